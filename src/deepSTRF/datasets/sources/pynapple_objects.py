"""Objects of pynapple become a data set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self, Unpack

import numpy as np

from deepSTRF.checks import describe_type
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.binning import count_in_trials
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.nwb_trials import Columns, Session, check_skip, table_session
from deepSTRF.datasets.sources.responses_to_trials import Window, WindowOptions, check_fires, dataset_of_session
from deepSTRF.datasets.sources.series import series_in_trials
from deepSTRF.datasets.sources.trials import columns_of

__all__ = ["PynappleRecording"]

_SPIKES = ("TsGroup", "Ts")
_SIGNALS = ("TsdFrame", "Tsd")


class PynappleRecording(ArrayRecording):
    """A recording that can be made from objects of pynapple."""

    @classmethod
    def from_pynapple(
        cls,
        stims: Any,
        responses: Any,
        trials: Any,
        dt_ms: float,
        *,
        rate: float | None = None,
        spectrogram: Any = "log",
        stimulus_column: str | None = None,
        skip: Any = (),
        covariates: Any = None,
        **around: Unpack[WindowOptions],
    ) -> Self:
        """Make a data set from objects of pynapple, whose times are in s.

        Parameters
        ----------
        stims : folder, dict or list
            Spectrograms (F, T) or movies (H, W, T) in bins of `dt_ms`; or a folder of sound files, or a dict of names
            and sound files or waveforms (with their `rate`). The keys are the names that the trials use.
        responses : TsGroup, Ts, TsdFrame or Tsd
            Spike times, or continuous signals.
        trials : IntervalSet or table
            Its metadata say which stimulus each interval began; where there is one stimulus only, none are needed.
        dt_ms : float
            Width of a bin in ms.
        rate, spectrogram, stimulus_column, skip, covariates, onset_ms, before_ms, after_ms, silence
            As for :meth:`from_nwb`.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. ``nrn_meta`` holds the metadata of the TsGroup or TsdFrame. Trials that
            the time support does not cover are missing data, except where it only ends with the first or last spike.

        Raises
        ------
        TypeError, ValueError
            If an object is of another type, or the trials don't name stimuli.

        Examples
        --------
        >>> import numpy as np, pynapple as nap  # doctest: +SKIP
        >>> units = nap.TsGroup({3: nap.Ts(np.arange(0, 9, 0.1))}, metadata={"area": ["A1"]})  # doctest: +SKIP
        >>> trials = nap.IntervalSet([0, 4], [1, 5], metadata={"stimulus": ["rain", "rain"]})  # doctest: +SKIP
        >>> ds = AudioNeuralDataset.from_pynapple({"rain": np.ones((4, 100))}, units, trials, 10.0)  # doctest: +SKIP
        """
        kind = type(responses).__name__
        if not _is_of_pynapple(responses) or kind not in (*_SPIKES, *_SIGNALS):
            raise TypeError(
                f"responses must be a TsGroup, Ts, TsdFrame or Tsd of pynapple, got {describe_type(responses)}; "
                "plain arrays of times go to from_spike_times, of samples to from_signals"
            )
        window = Window(dt_ms, **around)
        stimuli = FileStimuli(None, cls._stimulus_kind == "movies", stims, rate)
        session = _session(trials, stimuli, Columns(stimulus_column, None, check_skip(skip)))
        if kind in _SPIKES:
            times, recorded, metadata = _units(responses)

            def respond(onsets: Any, stimulus: Any, n_bins: Any, dt_ms: float, offset_s: float) -> list[Any]:
                counts = count_in_trials(times, onsets, stimulus, n_bins, dt_ms, offset_s, recorded)
                return check_fires(counts, "responses")

        else:
            series, metadata = _series(responses)

            def respond(onsets: Any, stimulus: Any, n_bins: Any, dt_ms: float, offset_s: float) -> list[Any]:
                return series_in_trials(series, onsets, stimulus, n_bins, dt_ms, offset_s)

        return dataset_of_session(cls, session, respond, window, spectrogram, metadata, "pynapple", covariates)


def _is_of_pynapple(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pynapple"


def _session(trials: Any, stimuli: FileStimuli, columns: Columns) -> Session:
    if _is_of_pynapple(trials) and type(trials).__name__ != "IntervalSet":
        raise TypeError(f"trials must be an IntervalSet of pynapple, or a table, got {describe_type(trials)}")
    if _is_of_pynapple(trials) and len(trials.metadata.columns) == 0:
        names = stimuli.names
        if len(names) > 1:
            raise ValueError(
                f"trials has no metadata, which say which of {len(names)} stimuli each interval began: make it with "
                'nap.IntervalSet(start, end, metadata={"stimulus": names})'
            )
        session = Session()
        session.add(*stimuli.find(names[0], None), trials.start.tolist())
        return session
    return table_session("trials", columns_of(trials), stimuli, columns)


def _units(group: Any) -> tuple[list[np.ndarray], list[np.ndarray] | None, list[dict[str, Any]]]:
    """Times, recorded intervals and metadata of the units."""
    if type(group).__name__ == "Ts":
        times, metadata = [np.asarray(group.t)], [{"cell_id": "0"}]
    else:
        keys = list(group.keys())
        if not keys:
            raise ValueError("responses has no unit: the TsGroup is empty")
        times = [np.asarray(group[key].t) for key in keys]
        metadata = _metadata(keys, group.metadata)
    if not sum(map(len, times)):
        raise ValueError("responses holds no spike at all")
    support = np.asarray(group.time_support.values, dtype=float)
    first, last = min(own.min() for own in times if len(own)), max(own.max() for own in times if len(own))
    # A support that was not given goes from the first to the last spike: it doesn't say when the recording began.
    if np.isclose(support[0, 0], first, rtol=0, atol=1e-9):
        support[0, 0] = -np.inf
    if np.isclose(support[-1, 1], last, rtol=0, atol=1e-9):
        support[-1, 1] = np.inf
    return times, [support] * len(times), metadata


def _series(signal: Any) -> tuple[Any, list[dict[str, Any]]]:
    """What :func:`series_in_trials` reads, and metadata of the signals."""
    values = np.asarray(signal.d)
    series = SimpleNamespace(
        name=type(signal).__name__, data=values, rate=None, timestamps=np.asarray(signal.t), conversion=1.0, offset=0.0
    )
    if values.ndim == 1:
        return series, [{"cell_id": "0"}]
    return series, _metadata(list(signal.columns), signal.metadata)


def _metadata(keys: list[Any], table: Any) -> list[dict[str, Any]]:
    rows = table.to_dict("records") if len(table.columns) else [{} for _ in keys]
    return [{"cell_id": str(key), **row} for key, row in zip(keys, rows, strict=True)]
