"""The base class of recordings with sounds: spectrograms, or waveforms on a grid that fits the responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from deepSTRF.checks import check_list, check_positive
from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.datasets.sources.waveforms import WaveformRecording

__all__ = ["AudioNeuralDataset"]


class AudioNeuralDataset(WaveformRecording, NeuralDataset):
    """Responses of a population of neurons to sounds.

    Stimuli are spectrograms (1, F, T_s) with one frame per response bin. If a subclass sets ``return_waveform = True``,
    they are mono waveforms (1, T_audio), with T_audio = T_s * hop, and items carry ``audio_fs`` and ``dt_ms``.

    Parameters
    ----------
    path, dt_ms
        As for :class:`~deepSTRF.datasets.NeuralDataset`.

    Attributes
    ----------
    F : int
        Number of frequency bands; -1 until it is set.
    audio_fs : int or None
        Sampling rate of the waveforms in Hz.
    hearing_range_hz : tuple of float or None
        Lowest and highest frequency that the animal hears.
    spectrogram : Spectrogram or None
        How the stimuli were made of sounds, as far as is known: it makes the same of a new sound.

    Examples
    --------
    >>> import numpy as np
    >>> ds = AudioNeuralDataset.from_arrays([np.ones((16, 100))], [np.ones((2, 3, 100))], dt_ms=5.0)
    >>> ds.get_F()
    16
    >>> ds.audio_fs = 48000
    >>> ds.hop
    240
    """

    frequencies_hz: Any  # one per band: an array, a tensor or a tuple
    F: int
    audio_fs: int | None
    hearing_range_hz: tuple[float, float] | None
    _stimulus_kind = "sounds"

    def _init_contract(self, path: str, dt_ms: float) -> None:
        super()._init_contract(path, dt_ms)
        self.F = -1
        self.audio_fs = None
        self.hearing_range_hz = None

    def get_F(self) -> int:
        """Number of frequency bands."""
        return self.F

    @property
    def hop(self) -> int | None:
        """Waveform samples per response bin, rounded; None where ``audio_fs`` is not set."""
        return None if self.audio_fs is None else round(self.audio_fs * self.dt / 1000)

    @classmethod
    def from_arrays(
        cls,
        stims: Sequence[Any] | Mapping[Any, Any],
        responses: Sequence[Any] | Mapping[Any, Any],
        dt_ms: float,
        *,
        frequencies_hz: Sequence[float] | None = None,
        **options: Any,
    ) -> Self:
        """Make a data set from spectrograms and responses in memory.

        Parameters
        ----------
        stims, responses, dt_ms, **options
            As for :meth:`NeuralDataset.from_arrays <deepSTRF.datasets.NeuralDataset.from_arrays>`.
        frequencies_hz : sequence of float, optional
            Centre frequency of each band in Hz, for the axes of figures; kept as ``frequencies_hz``.

        Raises
        ------
        TypeError, ValueError
            As there, and if there is not one positive frequency per band.

        Examples
        --------
        >>> import numpy as np
        >>> ds = AudioNeuralDataset.from_arrays(
        ...     [np.random.rand(2, 50)], [np.zeros((1, 3, 50))], 5.0, frequencies_hz=[500.0, 1000.0]
        ... )
        >>> ds.frequencies_hz
        (500.0, 1000.0)
        """
        dataset = super().from_arrays(stims, responses, dt_ms, **options)
        if frequencies_hz is not None:
            check_list("frequencies_hz", frequencies_hz, "frequencies in Hz")
            values = frequencies_hz.tolist() if hasattr(frequencies_hz, "tolist") else frequencies_hz
            dataset.frequencies_hz = tuple(float(check_positive("frequencies_hz", f)) for f in values)
            if len(dataset.frequencies_hz) != dataset.F:
                raise ValueError(
                    f"frequencies_hz must have one entry for each of {dataset.F} bands, got {len(frequencies_hz)}"
                )
        return dataset

    def _fill_stims(self, stims: list[Tensor]) -> None:
        super()._fill_stims(stims)
        self.F = self.stims[0].shape[1]

    def _item(self, stimulus: int) -> dict[str, Any]:
        """With waveforms, also their sampling rate and the width of a bin, which front ends are checked against."""
        grid = {"audio_fs": self.audio_fs, "dt_ms": self.dt} if _waveforms(self) else {}
        return super()._item(stimulus) | grid  # nothing is made for it, as {**item} would

    def _bins_of(self, stimulus: int) -> int | None:
        frames = self.stims[stimulus].shape[-1]
        return frames // self.hop if _waveforms(self) and self.hop else frames

    def validate(self) -> None:
        """Check the data contract, the number of bands, and that stimuli and responses share their grid.

        Raises
        ------
        TypeError, ValueError
            As :meth:`NeuralDataset.validate <deepSTRF.datasets.NeuralDataset.validate>`; and if ``F`` is not a positive
            integer, ``hearing_range_hz`` not an increasing positive pair, a spectrogram does not have F bands and as
            many frames as its responses have bins, or a waveform does not have ``hop`` samples per bin.
        """
        super().validate()
        if isinstance(self.F, bool) or not isinstance(self.F, int | np.integer):
            raise TypeError(f"F must be an integer number of frequency bands, got {type(self.F).__name__}")
        if self.F < 1:
            raise ValueError(f"F must be a positive number of frequency bands, got {self.F}; a subclass sets it")
        if self.hearing_range_hz is not None:
            _validate_hearing_range(self.hearing_range_hz)
        if getattr(self, "return_waveform", False):
            self._validate_waveforms()
        else:
            self._validate_spectrograms()

    def _validate_spectrograms(self) -> None:
        for index, (stim, block) in enumerate(zip(self.stims, self._packed().blocks(), strict=True)):
            if stim.ndim != 3 or stim.shape[:2] != (1, self.F):
                raise ValueError(f"stims[{index}] must have shape (1, F={self.F}, T), got {tuple(stim.shape)}")
            if len(block.neurons) and stim.shape[-1] != block.n_bins:
                raise ValueError(
                    f"stims[{index}] has {stim.shape[-1]} frames, the responses to it have {block.n_bins} bins; "
                    "cut the longer one or pad: spectrograms with zero, responses with NaN"
                )

    def _validate_waveforms(self) -> None:
        if isinstance(self.audio_fs, bool) or not isinstance(self.audio_fs, int | np.integer):
            raise TypeError(f"audio_fs must be an integer number of Hz to serve waveforms, got {self.audio_fs!r}")
        if self.audio_fs < 1:
            raise ValueError(f"audio_fs must be a positive number of Hz, got {self.audio_fs}")
        exact = self.audio_fs * self.dt / 1000
        hop = round(exact)
        if hop < 1 or abs(exact - hop) > 1e-6 * exact:
            raise ValueError(
                f"a bin of {self.dt} ms is {exact:g} samples at {self.audio_fs} Hz; it must be an integer number of "
                "samples: choose another dt_ms or audio_fs"
            )
        for index, (stim, block) in enumerate(zip(self.stims, self._packed().blocks(), strict=True)):
            if len(block.neurons) == 0:
                continue
            if stim.ndim != 2 or stim.shape[0] != 1:
                raise ValueError(f"stims[{index}] must be a mono waveform (1, T_audio), got {tuple(stim.shape)}")
            if stim.shape[1] % hop:
                raise ValueError(
                    f"stims[{index}] has {stim.shape[1]} samples, not a multiple of hop = {hop}; pad it with zeros"
                )
            if stim.shape[1] // hop != block.n_bins:
                raise ValueError(
                    f"stims[{index}] spans {stim.shape[1] // hop} bins, its neural responses {block.n_bins}; "
                    "cut or pad the waveform"
                )

    def _concat_check_compat(self, other: NeuralDataset) -> None:
        super()._concat_check_compat(other)
        if not isinstance(other, AudioNeuralDataset):
            raise TypeError(f"an audio data set can be joined with audio data sets only, got {type(other).__name__}")
        for name in ("F", "audio_fs"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"{name} mismatch: {getattr(self, name)} and {getattr(other, name)}")
        if _waveforms(self) != _waveforms(other):
            raise ValueError("return_waveform mismatch: one data set serves waveforms, the other spectrograms")
        own, others = self.spectrogram, other.spectrogram
        if own is not None and others is not None and own != others:
            different = [name for name, value in own.as_dict().items() if others.as_dict()[name] != value]
            raise ValueError(
                f"the spectrograms differ in {', '.join(different)}; make the second data set with that of the first: "
                "from_waveforms(..., spectrogram=first.spectrogram)"
            )

    def _concat_copy_attrs(self, source: Any) -> None:
        super()._concat_copy_attrs(source)
        self.F = source.F
        self.audio_fs = source.audio_fs
        self.hearing_range_hz = source.hearing_range_hz
        self.spectrogram = source.spectrogram
        self.return_waveform = _waveforms(source)
        if hasattr(source, "frequencies_hz"):
            self.frequencies_hz = source.frequencies_hz


def _waveforms(dataset: NeuralDataset) -> bool:
    return bool(getattr(dataset, "return_waveform", False))


def _validate_hearing_range(hearing_range_hz: Any) -> None:
    try:
        low, high = (float(frequency) for frequency in hearing_range_hz)
    except (TypeError, ValueError) as error:
        raise ValueError(f"hearing_range_hz must be None or a pair (low, high), got {hearing_range_hz!r}") from error
    if not 0 < low < high < float("inf"):
        raise ValueError(f"hearing_range_hz must be an increasing pair of positive Hz, got {hearing_range_hz!r}")
