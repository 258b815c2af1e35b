"""Continuous signals become a data set: calcium imaging, LFP, EEG, at a rate of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from deepSTRF.checks import check_number, check_positive, counted, describe_type
from deepSTRF.datasets.arrays import column_names
from deepSTRF.datasets.importers import ArrayRecording, bins_of_responses
from deepSTRF.datasets.naming import by_stimulus
from deepSTRF.datasets.sources.binning import resample_to_bins, signals_in_trials
from deepSTRF.datasets.sources.plausible import CLOCK_RATIO, check_overlap
from deepSTRF.datasets.sources.session import check_durations, covariates_in_trials
from deepSTRF.datasets.sources.trials import check_heard, trial_table
from deepSTRF.datasets.sources.windows import Windows, fill_windows, onsets_in_s, stimulus_windows
from deepSTRF.datasets.time_axis import check_time_axis

__all__ = ["SignalRecording"]


class SignalRecording(ArrayRecording):
    """A recording that can be made from continuous signals."""

    @classmethod
    def from_signals(
        cls,
        stims: Any,
        signals: Any,
        rate_hz: float,
        dt_ms: float,
        *,
        trials: Any = None,
        unit: str | None = None,
        start_s: float = 0.0,
        onset_ms: float | Sequence[float] = 0.0,
        before_ms: float = 0.0,
        after_ms: float = 0.0,
        silence: float = 0.0,
        onset_column: str | None = None,
        stimulus_column: str | None = None,
        stim_meta: Any = None,
        nrn_meta: Any = None,
        covariates: Any = None,
        path: str = "signals",
        **options: Any,
    ) -> Self:
        """Make a data set from stimuli and continuous signals, which are brought to the bins of the stimuli.

        A bin holds the value at its centre after a low-pass filter at half the rate of the bins (that of
        ``scipy.signal.resample_poly``), so that what is faster does not fold into them. Slower signals are
        interpolated. Sample j covers [j / rate, (j + 1) / rate). Signals with the rate of the bins, whose samples fall
        on them, stay as they are, bit by bit.

        Parameters
        ----------
        stims, dt_ms, onset_ms, before_ms, after_ms, silence, onset_column, stimulus_column
            As for :meth:`~deepSTRF.datasets.NeuralDataset.from_spike_times`.
        signals : array or sequence
            With `trials`: the whole session, (N, samples), one line per channel; a dict of names and lines, or a data
            frame with a column per channel, whose names become ``nrn_meta[n]["cell_id"]``. Without: per stimulus an
            array (N, R, samples), or a list with (R, samples), (samples,) or None for each channel; a dict has the
            names of the stimuli as keys. NaN is missing data, and so is a bin that holds a part of it.
        rate_hz : float
            Sampling rate of the signals.
        trials : table, optional
            Onset and stimulus of each trial, as for ``from_spike_times``.
        unit : str
            Unit of the onsets in `trials`, ``"s"``, ``"ms"`` or ``"samples"`` of the signals; it has no default. Not
            needed without `trials`.
        start_s : float
            Time of the first sample in the clock of `trials`.
        stim_meta, nrn_meta, covariates, path, **options
            As for ``from_spike_times``.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on.

        Raises
        ------
        TypeError, ValueError
            If signals are no numbers, are shorter than the window of their stimulus by a bin or more, have more
            channels than samples, or `trials` doesn't fit; the message names the trial, or stimulus and channel.

        Examples
        --------
        Calcium at 30 Hz, brought to bins of 10 ms:

        >>> import numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> stims = {"rain": np.random.rand(16, 100), "birds": np.random.rand(16, 80)}
        >>> fluorescence = np.random.rand(5, 300)
        >>> trials = {"onset": [0.5, 2.0, 3.5], "stimulus": ["rain", "birds", "rain"]}
        >>> ds = AudioNeuralDataset.from_signals(stims, fluorescence, 30.0, dt_ms=10.0, trials=trials, unit="s")
        >>> ds.N_neurons, ds.responses[0][0].shape
        (5, torch.Size([2, 100]))
        """
        rate = float(check_positive("rate_hz", rate_hz))
        windows = stimulus_windows(stims, dt_ms, before_ms, after_ms, silence)
        ids = None
        if trials is None:
            responses = _resampled_repeats(signals, windows, rate, dt_ms, onset_ms)
        else:
            if np.ndim(onset_ms) or onset_ms:
                raise ValueError("onset_ms belongs to signals per stimulus; with trials=, their table says the onsets")
            lines, ids = _lines(signals)
            table = trial_table(
                trials,
                windows.keys,
                unit=unit,
                rate_hz=rate,
                onset_column=onset_column,
                stimulus_column=stimulus_column,
            )
            check_heard(table.stimulus_of_trial, windows.keys)
            check_durations(table, windows, dt_ms)
            offset_s = -windows.before * dt_ms / 1000
            bins = np.asarray(windows.n_bins)[table.stimulus_of_trial]
            begins = table.onsets_s + offset_s
            check_overlap(begins, begins + bins * dt_ms / 1000)
            _check_covered(begins, bins, lines.shape[1] / rate, float(check_number("start_s", start_s)), dt_ms)
            responses = list(
                signals_in_trials(
                    lines, rate, start_s, table.onsets_s, table.stimulus_of_trial, windows.n_bins, dt_ms, offset_s
                )
            )
            covariates = covariates_in_trials(covariates, table, windows, dt_ms)
        options |= {"stim_meta": stim_meta, "covariates": covariates, "path": path}
        return fill_windows(cls, windows, responses, dt_ms, nrn_meta, ids, **options)


def _lines(signals: Any) -> tuple[np.ndarray, list[Any] | None]:
    """Signals of a session as (N, samples), and the names of the channels where they have some."""
    if hasattr(signals, "get_data") and hasattr(signals, "info"):
        raise TypeError("signals must be an array (N, samples); of MNE, give raw.get_data() and raw.info['sfreq']")
    ids: list[Any] | None = column_names(signals)
    if ids is not None:
        signals = signals.to_numpy().T
    elif isinstance(signals, Mapping):
        ids, signals = list(signals), list(signals.values())
    lines = _numbers(signals, "signals")
    if lines.ndim != 2 or lines.size == 0:
        hint = "; for a single channel give signals[None]" if lines.ndim == 1 else ""
        raise ValueError(f"with trials=, signals must have shape (N, samples), got {lines.shape}{hint}")
    if lines.shape[0] > lines.shape[1]:
        raise ValueError(
            f"signals must have shape (N, samples), got {lines.shape}, more channels than samples; transpose them, "
            "as signals.T"
        )
    return lines, ids


def _numbers(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise TypeError(f"{where} must be an array of numbers, but it cannot be read as one: {error}") from error
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{where} must be an array of real numbers, got {describe_type(values)} of dtype {array.dtype}")
    if np.isinf(array).any():
        raise ValueError(f"{where} holds infinite values; use NaN where data are missing")
    return array


def _check_covered(begins: np.ndarray, bins: np.ndarray, duration_s: float, start_s: float, dt_ms: float) -> None:
    """Raise ValueError if the window of a trial misses the recording by a bin or more."""
    dt_s = dt_ms / 1000
    ends = begins + bins * dt_s
    outside = np.flatnonzero((begins <= start_s - dt_s) | (ends >= start_s + duration_s + dt_s))
    if len(outside):
        trial = int(outside[0])
        raise ValueError(
            f"the windows of {len(outside)} of {len(begins)} trials are not inside the recording, which lasts from "
            f"{start_s:g} s to {start_s + duration_s:g} s: that of trial {trial} lasts from {begins[trial]:g} s to "
            f"{ends[trial]:g} s. Leave them out, or check rate_hz, start_s and the unit of the onsets"
        )
    if duration_s > CLOCK_RATIO * (ends.max() - start_s):
        raise ValueError(
            f"the recording lasts {duration_s:g} s, and the last trial ends at {ends.max():g} s of it: rate_hz must be "
            "in samples per second, and unit that of the onsets; if only the beginning was used, leave out the rest"
        )


def _resampled_repeats(signals: Any, windows: Windows, rate: float, dt_ms: float, onset_ms: Any) -> list[Any]:
    """Per stimulus and channel (R, T_s), None where nothing was recorded."""
    entries = by_stimulus("signals", signals, windows.names)
    if not isinstance(entries, Sequence | np.ndarray) or isinstance(entries, str | bytes):
        raise TypeError(f"signals must hold an entry (N, R, samples) for each stimulus, got {describe_type(entries)}")
    if len(entries) != len(windows.stims):
        raise ValueError(
            f"signals must have one entry per stimulus: {counted(len(entries), 'entry', 'entries')}, "
            f"{counted(len(windows.stims), 'stimulus', 'stimuli')}; for one "
            "long session, of shape (N, samples), give trials="
        )
    onsets_s = onsets_in_s(onset_ms, len(windows.stims))
    around = windows.before + windows.after
    check_time_axis(windows.shapes, [_bins_of(entry, 1000 / rate / dt_ms, around) for entry in entries], windows.names)
    responses: list[Any] = []
    for s, entry in enumerate(entries):
        if isinstance(entry, np.ndarray) and entry.ndim != 3:
            raise ValueError(f"signals[{s}] must have shape (N, R, samples), got {entry.shape}")
        if isinstance(entry, str | bytes) or not hasattr(entry, "__len__"):
            raise TypeError(f"signals[{s}] must be an array (N, R, samples) or a list, got {describe_type(entry)}")
        row: list[np.ndarray | None] = []
        for n, channel in enumerate(entry):
            if channel is None:
                row.append(None)
                continue
            repeats = np.atleast_2d(_numbers(channel, f"signals[{s}][{n}]"))
            start_s = onsets_s[s] - windows.before * dt_ms / 1000
            _check_long_enough(repeats, f"signals[{s}][{n}]", start_s, windows.n_bins[s], rate, dt_ms)
            row.append(resample_to_bins(repeats, start_s * rate, windows.n_bins[s], rate * dt_ms / 1000))
        responses.append(row)
    return responses


def _bins_of(entry: Any, bins_per_sample: float, around: int) -> float | None:
    """How many bins of the stimulus the signals of one stimulus have, without those before and after it."""
    samples = bins_of_responses(entry)
    return None if samples is None else samples * bins_per_sample - around


def _check_long_enough(repeats: np.ndarray, where: str, start_s: float, n_bins: int, rate: float, dt_ms: float) -> None:
    if repeats.ndim != 2 or repeats.size == 0:
        raise ValueError(f"{where} must have shape (R, samples) or (samples,), got {repeats.shape}")
    start_ms, duration_ms = 1000 * start_s, 1000 * repeats.shape[1] / rate
    if start_ms <= -dt_ms or start_ms + n_bins * dt_ms >= duration_ms + dt_ms:
        raise ValueError(
            f"{where} lasts {duration_ms:g} ms ({repeats.shape[1]} samples at {rate:g} Hz), the window of its stimulus "
            f"from {start_ms:g} ms to {start_ms + n_bins * dt_ms:g} ms of it; check rate_hz, onset_ms, before_ms and "
            "after_ms"
        )
