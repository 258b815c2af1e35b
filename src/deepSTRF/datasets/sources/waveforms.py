"""Sounds become a data set: files or arrays of any rate, with responses in bins or spike times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from deepSTRF.checks import check_list, check_positive
from deepSTRF.datasets.cache import cached
from deepSTRF.datasets.importers import bins_of_responses
from deepSTRF.datasets.naming import by_stimulus, described
from deepSTRF.datasets.sounds import are_named, read_sounds, sound_items
from deepSTRF.datasets.sources.signals import SignalRecording
from deepSTRF.datasets.sources.spike_times import SpikeTimeRecording
from deepSTRF.datasets.sources.windows import whole_bins
from deepSTRF.datasets.spectrograms import Spectrogram, as_spectrogram, spectrograms_of
from deepSTRF.files import expand_path

__all__ = ["WaveformRecording"]

_MAY_LACK = 0.05  # of the bins of a sound


class WaveformRecording(SpikeTimeRecording, SignalRecording):
    """A recording that can be made from sounds; it keeps how their spectrograms were made."""

    spectrogram: Spectrogram | None = None
    F: int
    audio_fs: int | None
    return_waveform: bool

    @classmethod
    def from_waveforms(
        cls,
        sounds: Any,
        rate: float | None = None,
        responses: Any = None,
        dt_ms: float | None = None,
        *,
        spikes: Any = None,
        signals: Any = None,
        rate_hz: float | None = None,
        spectrogram: Any = "log",
        before_ms: float = 0.0,
        after_ms: float = 0.0,
        stim_meta: Any = None,
        path: str | None = None,
        cache: bool = True,
        **options: Any,
    ) -> Self:
        """Make a data set from sounds, and responses in bins, spike times, or continuous signals.

        Parameters
        ----------
        sounds : list, dict or folder
            Sound files (WAV, FLAC, ...), which may differ in rate, or arrays (T,), (C, T) or (T, C). The keys of a dict
            are their names; files are called as they are without extension. A folder stands for the sound files in it,
            sorted by name. Of several channels the mean is taken; to choose one instead, give it as an array.
        rate : float, optional
            Sampling rate of arrays in Hz. Files say their own.
        responses : sequence or dict, optional
            Per sound, in their order or by name, responses in bins of `dt_ms`, as for :meth:`from_arrays`. They begin
            with the sound (`before_ms` before it), and may end up to 5 % of its bins before the sound: the rest is not
            used. They may be one bin longer, which is then completed with silence.
        dt_ms : float
            Width of a bin in ms; any, since sounds are resampled where it is no whole number of samples.
        spikes : optional
            Instead of `responses`: spike times as for :meth:`from_spike_times`, with its options `unit`, `trials`, ...
        signals, rate_hz : optional
            Or else continuous signals, such as EEG, and their rate, as for :meth:`from_signals`, with its options.
        spectrogram : str, dict or Spectrogram
            ``"log"`` (the causal cochleagram of NS1), ``"mel"``, ``"erb"``, ``"gammatone"``, ``"envelope"``, or
            ``"waveform"`` for models that take waveforms; a dict of settings, or a
            :class:`~deepSTRF.datasets.spectrograms.Spectrogram`.
        before_ms, after_ms : float
            Silence before and after each sound that belongs to the responses, a whole number of bins.
        stim_meta : sequence of dict or data frame, optional
            Metadata of each sound; its name is added, and its number of channels where there are several.
        path : str, optional
            What to say where the data came from.
        cache : bool
            Keep the spectrograms of files in the cache (:mod:`deepSTRF.datasets.cache`), and take them from there as
            long as no file has changed. Not where a sound is an array.
        **options
            More of :meth:`from_arrays`, or of :meth:`from_spike_times` and :meth:`from_signals`, such as `nrn_meta`.

        Returns
        -------
        AudioNeuralDataset
            With ``spectrogram``, everything that is needed to treat a new sound as these were treated, and
            ``frequencies_hz``. Levels are in dB below the loudest band and bin of all sounds, whatever their unit; for
            a mean and deviation call ``standardize_stims`` with the training stimuli, as runs do.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            If a sound is missing or cannot be read, has an unclear shape or NaN, if the rate is missing or in kHz, all
            is silent, or a band lies above what the sounds hold; and as :meth:`from_arrays` or :meth:`from_spike_times`
            do.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> noise = np.random.default_rng(0).normal(size=(2, 44100))
        >>> counts = [np.ones((3, 5, 200)), np.ones((3, 5, 200))]
        >>> ds = AudioNeuralDataset.from_waveforms({"a": noise[0], "b": noise[1]}, 44100, counts, dt_ms=5.0)
        >>> ds.F, ds.stims[0].shape, ds.spectrogram.hop
        (34, torch.Size([1, 34, 200]), 221)

        Spike times, in bins of 1 ms:

        >>> ds = AudioNeuralDataset.from_waveforms([noise[0]], 44100, spikes=[[[0.1, 0.2]]], unit="s", dt_ms=1.0)
        >>> ds.responses[0][0].sum()
        tensor(2.)
        """
        every = {"responses": responses, "spikes": spikes, "signals": signals}
        given = [name for name, value in every.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                "give either responses in bins, or spikes (spike times), or signals with their rate_hz, got "
                f"{' and '.join(given) or 'neither'}"
            )
        if (signals is None) != (rate_hz is None):
            raise ValueError("signals and rate_hz belong together: continuous signals, and their sampling rate in Hz")
        if dt_ms is None:
            raise ValueError("dt_ms is missing: the width of a bin in ms")
        before, after = (whole_bins(*edge, dt_ms) for edge in (("before_ms", before_ms), ("after_ms", after_ms)))
        # One bin more than asked for, for responses that round up; cut off below.
        loaded, stims, made_with = _stimuli(sounds, rate, dt_ms, as_spectrogram(spectrogram), before, after + 1, cache)
        # Arrays in a list have no names: trials and responses refer to them by index.
        names = [name for name, _ in loaded] if are_named(sounds) else None
        hop = made_with.hop if made_with.kind == "waveform" else 1
        n_bins = [stim.shape[-1] // hop - 1 for stim in stims]
        if responses is not None:
            responses = by_stimulus("responses", responses, names)
            check_list("responses", responses, "entries, one per sound: an array (N, R, T) or a list of (R, T) arrays")
            if len(responses) != len(loaded):
                raise ValueError(f"responses must have one entry per sound: {len(responses)} and {len(loaded)} sounds")
            n_bins = [
                _fitting(count, bins_of_responses(entry), name, dt_ms)
                for count, entry, (name, _) in zip(n_bins, responses, loaded, strict=True)
            ]
        stims = [stim[..., : count * hop] for stim, count in zip(stims, n_bins, strict=True)]
        frequencies = made_with.frequencies_hz
        options |= {
            "stim_meta": _metadata(stim_meta, loaded),
            "path": path or "sounds",
            "frequencies_hz": None if frequencies is None else frequencies.tolist(),
        }
        # Responses are checked against bins: a waveform stands in as one band, and takes its place afterwards.
        bands = [stim[..., ::hop] for stim in stims]
        inside: Any = [band[..., before : band.shape[-1] - after] for band in bands]
        inside = inside if names is None else dict(zip(names, inside, strict=True))
        window: dict[str, Any] = {"before_ms": before_ms, "after_ms": after_ms}
        if responses is not None:
            dataset = cls.from_arrays(bands, responses, dt_ms, **options)
        elif spikes is not None:
            dataset = cls.from_spike_times(inside, spikes, dt_ms, **window, **options)
        else:
            signal_rate = float(check_positive("rate_hz", rate_hz))
            dataset = cls.from_signals(inside, signals, signal_rate, dt_ms, **window, **options)
        dataset.stims = [stim.clone() for stim in stims]
        dataset.spectrogram = made_with
        if made_with.kind == "waveform":
            dataset.return_waveform, dataset.audio_fs, dataset.F = True, round(made_with.fs or 0), made_with.n_bands
            dataset.validate()
        return dataset


def _fitting(of_sound: int, of_responses: int | None, name: str, dt_ms: float) -> int:
    """The bins that are used of a sound, whose responses may be a little shorter or a bin longer."""
    if of_responses is None or of_responses == of_sound:
        return of_sound
    if of_sound * (1 - _MAY_LACK) <= of_responses <= of_sound + 1:
        return of_responses
    ratio = of_responses / of_sound
    raise ValueError(
        f"the responses to {name!r} have {of_responses} bins ({of_responses * dt_ms / 1000:g} s), the sound has "
        f"{of_sound} ({of_sound * dt_ms / 1000:g} s), {ratio:.3g} times as many: is dt_ms={dt_ms:g} right, and the "
        "rate of the sound? Responses may end up to 5 % before the sound, or a bin after it. For those with silence "
        "around the sound there are before_ms and after_ms; pad with NaN where nothing was recorded"
    )


def _metadata(stim_meta: Any, sounds: Sequence[tuple[str, int]]) -> list[Any] | None:
    metadata = described(stim_meta, [name for name, _ in sounds], "name", "stim_meta")
    return metadata and [
        {"channels": channels, **entry} if channels > 1 and isinstance(entry, dict) else entry
        for (_, channels), entry in zip(sounds, metadata, strict=True)
    ]


def _stimuli(
    sounds: Any, rate: float | None, dt_ms: float, spectrogram: Spectrogram, before: int, after: int, cache: bool
) -> tuple[list[tuple[str, int]], list[Tensor], Spectrogram]:
    """Name and number of channels of each sound, its stimulus, and how these were made; those of files are cached."""

    def make() -> dict[str, Any]:
        loaded = read_sounds(sounds, rate)
        stims, made_with = spectrograms_of(loaded, dt_ms, spectrogram, before, after)
        return {
            "sounds": [(sound.name, sound.channels) for sound in loaded],
            "stims": stims,
            "spectrogram": made_with.as_dict(),
        }

    items = sound_items(sounds)
    files = [sound for _, sound in items if isinstance(sound, str | os.PathLike) and expand_path(sound).is_file()]
    # Waveforms would be copies of the files.
    if cache and len(files) == len(items) and spectrogram.kind != "waveform":
        options = {
            "names": [name for name, _ in items], "rate": rate if rate is None else float(rate), "dt_ms": float(dt_ms),
            "spectrogram": spectrogram.as_dict(), "around": [before, after],
        }  # fmt: skip
        made = cached("spectrograms", files, options, make)
    else:
        made = make()
    return [tuple(sound) for sound in made["sounds"]], made["stims"], Spectrogram.from_dict(made["spectrogram"])
