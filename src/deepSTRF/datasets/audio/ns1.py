"""NS1: single and multi units of ferret auditory cortex, 20 natural sounds with 20 repeats."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Literal

import torch

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.ns1_release import (
    CHORDS,
    SOUNDS,
    open_release,
    read_authors_cochleagram,
    read_metadata,
    read_sounds,
    read_unit,
    release_files,
    time_grid,
)
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.cochleagram import band_centres, causal_cochleagram
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_folder import recording_folder
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.datasets.sources.binning import count_in_repeats
from deepSTRF.datasets.sources.parts import JoinedSessions
from deepSTRF.datasets.spectrograms import Spectrogram
from deepSTRF.registry import register_dataset

__all__ = ["NS1_TEST", "NS1_TRAINVAL", "NS1Dataset", "download_ns1"]

NS1_TRAINVAL: tuple[int, ...] = (0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Stimuli that Rahman et al. (2019, 2020) fitted and validated on."""

NS1_TEST: tuple[int, ...] = (3, 6, 9, 19)
"""Stimuli that Rahman et al. (2019, 2020) tested on."""

_RAHMAN_VALIDATION = (5, 11, 16)

_TYPES = {0: "water_sounds", 19: "water_sounds", 3: "ferret_vocalization", 6: "insects_buzzing"} | dict.fromkeys(
    range(8, 12), "human_speech"
)
_NATURAL = [{"name": f"nat{s + 1:02d}", "type": _TYPES.get(s, "unknown")} for s in range(len(SOUNDS))]
_DRC = [{"name": f"drc{s + 1:02d}", "type": "dynamic_random_chords"} for s in range(len(CHORDS))]
_COCHLEAGRAM_FS = 48000


def download_ns1(dest: str | os.PathLike[str] | None = None) -> Path:
    """Download the public release of NS1 from OSF, what is not there yet.

    The archive stays packed: :class:`NS1Dataset` reads it as it is.

    As ``recording_folder("NS1", dest, download=True)``, see
    :func:`~deepSTRF.datasets.recording_folder.recording_folder`.
    """
    return recording_folder("NS1", dest, download=True)


@register_dataset(RECORDINGS["NS1"].card)
class NS1Dataset(AudioNeuralDataset):
    """Natural Sound data set 1: 119 units of ferret auditory cortex, 20 natural sounds, 20 repeats each.

    Reads the public release [1]_ [2]_ as it is downloaded. Responses are spike counts per bin: a spike at time t after
    sound onset counts in bin ``floor(t / dt_ms)``; spikes before the onset or after the last whole bin of the 4995
    recorded ms don't count.

    Parameters
    ----------
    path : str or path, optional
        Folder with ``MetadataSHEnCneurons.mat`` and ``spikesandwav.zip``, or its unpacked folder ``spikesandwav/``,
        which is preferred where both lie there. By default ``default_cache_dir("NS1")``.
    dt_ms : float
        Width of a time bin. Must divide the 4995 ms recorded or the 5000 ms of the sounds, and be a whole number of
        audio samples. Gives ``floor(4995 / dt_ms)`` bins: 999 of 5 ms, 499 of 10 ms.
    smooth : bool
        Smooth the responses with the 21 ms Hann window, as published scores do. At ``dt_ms=10`` and above that window
        is too short to change anything, which is said in a warning.
    download : bool
        Fetch files that are not in the folder; check those that are.
    return_waveform : bool
        Give the sounds as waveforms ``(1, T * hop)`` at `audio_fs` rather than as cochleagrams ``(1, 34, T)``.
    audio_fs : int
        Sampling rate of the waveforms in Hz. Only used with `return_waveform`: cochleagrams are made at 48 kHz.
    cochleagram : {'sounds', 'authors'}
        ``'sounds'`` computes it with :func:`~deepSTRF.datasets.cochleagram.causal_cochleagram`, in dB.
        ``'authors'`` reads their precomputed ``test_data_5ms.mat`` (github.com/monzilur/DNet), which must lie in
        the folder; for ``dt_ms=5`` only. Its frames may see a few ms of the future.
    stimuli : {'natural', 'drc'}
        The 20 natural sounds, or the 12 dynamic random chords with 5 repeats. Where the sounds of the chords are not in
        the release, a warning says so, and the stimuli are zero: the responses can be looked at, not fitted.
    cache : bool
        Keep what was read in the cache (:mod:`deepSTRF.datasets.cache`), and take it from there as long as no file has
        changed.

    Attributes
    ----------
    frequencies_hz : Tensor, shape (34,)
        Centre frequencies of the bands, 500 Hz to 22 627 Hz in 1/6 octaves.
    protocols : dict
        ``'checkpoint'``: train 0-13, validation 14-16, test 17-19. ``'rahman2020'``: test 3, 6, 9, 19 as in the
        papers [2]_; they cross-validate over the other 16, of which we keep 5, 11 and 16 for validation (spread over
        both groups of sounds).

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing, cut off, corrupt or of another structure; the message says which, and how to get it.
    ValueError
        If `dt_ms`, `audio_fs` and `cochleagram` don't fit together.

    Notes
    -----
    The sounds are not normalised: standardise them with the training sounds,
    ``ds.standardize_stims(ds.split_indices("checkpoint").train, per_band=False)``.

    The sounds of 48 828.125 Hz are resampled by a linear-phase filter, which is then delayed by 10 samples (0.2 ms) so
    that it is causal: no frame and no sample depends on a later moment of the recorded sound.

    ``nrn_meta`` holds cell_id, area, depth_um (negative: outside of cortex), noise_ratio, single_n, single_t ('Yes',
    'Maybe', 'No': a single unit?), n_electrodes and electrode_number, as the release has them. The papers use the 73
    units with ``single_t`` of Yes or Maybe and a depth of at least 0.

    References
    ----------
    .. [1] Harper NS, Schoppe O, Willmore BDB, Cui Z, Schnupp JWH, King AJ (2016). Network receptive field modeling
       reveals extensive integration and multi-feature selectivity in auditory cortical neurons. PLoS Comput Biol
       12:e1005113. doi:10.1371/journal.pcbi.1005113
    .. [2] Rahman M, Willmore BDB, King AJ, Harper NS (2019). A dynamic network model of temporal receptive fields in
       primary auditory cortex. PLoS Comput Biol 15:e1006618. doi:10.1371/journal.pcbi.1006618

    Examples
    --------
    >>> ds = NS1Dataset("recordings/ns1")  # doctest: +SKIP
    >>> kept = ds.select_pop_by_nrn_predicate(  # doctest: +SKIP
    ...     lambda meta: meta["single_t"] in ("Yes", "Maybe") and meta["depth_um"] >= 0
    ... )
    >>> len(kept)  # doctest: +SKIP
    73
    """

    protocols = {  # noqa: RUF012 - replaced, never changed, by instances
        "checkpoint": {"train": tuple(range(14)), "val": (14, 15, 16), "test": (17, 18, 19)},
        "rahman2020": {
            "train": tuple(s for s in NS1_TRAINVAL if s not in _RAHMAN_VALIDATION),
            "val": _RAHMAN_VALIDATION,
            "test": NS1_TEST,
        },
    }

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        dt_ms: float = 5.0,
        smooth: bool = True,
        download: bool = False,
        return_waveform: bool = False,
        audio_fs: int = _COCHLEAGRAM_FS,
        *,
        cochleagram: Literal["sounds", "authors"] = "sounds",
        stimuli: Literal["natural", "drc"] = "natural",
        cache: bool = True,
    ) -> None:
        check_choice("cochleagram", cochleagram, ("sounds", "authors"))
        check_choice("stimuli", stimuli, ("natural", "drc"))
        if stimuli == "drc":
            self.protocols = {}
            if cochleagram == "authors":
                raise ValueError("the authors' cochleagram is of the natural sounds only; use cochleagram='sounds'")
        if cochleagram == "authors" and (dt_ms != 5 or return_waveform):
            raise ValueError(
                f"the authors' cochleagram has bins of 5 ms and no waveform; got dt_ms={dt_ms}, "
                f"return_waveform={return_waveform}. Use cochleagram='sounds'."
            )
        fs = audio_fs if return_waveform else _COCHLEAGRAM_FS
        n_bins, hop = time_grid(dt_ms, fs)
        parts = ("authors",) if cochleagram == "authors" else ()
        folder = recording_folder("NS1", path, download=download, parts=parts)
        super().__init__(path=str(folder), dt_ms=float(dt_ms))
        self.return_waveform = return_waveform
        self.audio_fs = audio_fs if return_waveform else None
        self.hearing_range_hz = (200.0, 40000.0)
        self.frequencies_hz = band_centres()
        self.F = len(self.frequencies_hz)
        if return_waveform:
            self.spectrogram = Spectrogram("waveform", fs=audio_fs, dt_ms=dt_ms)
        elif cochleagram == "sounds":
            self.spectrogram = _spectrogram(dt_ms)
        smoothed = smoother_of_counts(smooth, self.dt)
        first, names = (0, SOUNDS) if stimuli == "natural" else (len(SOUNDS), CHORDS)

        def fill() -> None:
            units = read_metadata(folder)
            with open_release(folder) as release:
                if cochleagram == "authors":
                    self.stims = read_authors_cochleagram(folder, self.F, n_bins)
                else:
                    sounds = read_sounds(release, names, fs, n_bins * hop)
                    self.stims = sounds if return_waveform else [causal_cochleagram(one, fs, hop) for one in sounds]
                    del sounds  # as long as the responses are made, they are in the way
                joined = JoinedSessions([n_bins] * len(names), len(units))
                for n, unit in enumerate(units):
                    for s, repeats in enumerate(read_unit(release, unit["path"], first, len(names))):
                        spikes = count_in_repeats(repeats, 0.0, n_bins, self.dt, times_per_s=1000)
                        joined.add(s, [n], smoothed(torch.from_numpy(spikes))[None])
            self.responses = PackedResponses(joined.rows(), len(units))
            self.stim_meta = [dict(meta) for meta in (_NATURAL if stimuli == "natural" else _DRC)]
            self.nrn_meta = [{key: value for key, value in unit.items() if key != "path"} for unit in units]
            self.N_neurons = len(units)
            self.validate()

        options = {
            "path": self.path, "dt_ms": self.dt, "smooth": bool(smooth), "audio_fs": self.audio_fs,
            "cochleagram": cochleagram, "stimuli": stimuli,
        }  # fmt: skip
        fill_cached(self, "ns1", release_files(folder, *parts), options, fill, cache=cache)
        silent = [name for name, stim in zip(names, self.stims, strict=True) if stim.min() == stim.max()]
        if stimuli == "drc" and silent:
            warnings.warn(
                f"the sounds of {len(silent)} of {len(CHORDS)} chords are not in the release ({silent[0]}, ...): these "
                "stimuli are zero, so that the responses can be looked at, not fitted",
                stacklevel=2,
            )


def _spectrogram(dt_ms: float) -> Spectrogram:
    """What :func:`~deepSTRF.datasets.cochleagram.causal_cochleagram` computes with its defaults."""
    return Spectrogram(
        "log", low_hz=500.0, high_hz=22627.417, window_ms=10.0, range_db=40.0, reference_db=0.0, fs=48000, dt_ms=dt_ms
    )
