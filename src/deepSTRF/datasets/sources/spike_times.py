"""Spike times become a data set: per stimulus, neuron and repeat, or of one long session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.binning import count_in_repeats
from deepSTRF.datasets.sources.nested_times import NestedTimes, read_nested
from deepSTRF.datasets.sources.plausible import TimesSeen
from deepSTRF.datasets.sources.session import covariates_in_trials, session_counts
from deepSTRF.datasets.sources.trials import seconds_per
from deepSTRF.datasets.sources.windows import Windows, fill_windows, onsets_in_s, stimulus_windows
from deepSTRF.datasets.time_axis import misplaced_time_of_spikes

__all__ = ["SpikeTimeRecording"]


class SpikeTimeRecording(ArrayRecording):
    """A recording that can be made from spike times."""

    @classmethod
    def from_spike_times(
        cls,
        stims: Any,
        spikes: Any,
        dt_ms: float,
        *,
        unit: str | None = None,
        trials: Any = None,
        onset_ms: float | Sequence[float] = 0.0,
        before_ms: float = 0.0,
        after_ms: float = 0.0,
        silence: float = 0.0,
        onset_column: str | None = None,
        stimulus_column: str | None = None,
        recorded: Any = None,
        stim_meta: Any = None,
        nrn_meta: Any = None,
        covariates: Any = None,
        path: str = "spike times",
        **options: Any,
    ) -> Self:
        """Make a data set from stimuli and spike times, which are counted in the bins of the stimuli.

        A bin holds the number of spikes in [k dt, (k + 1) dt): the sum over bins is the number of spikes in the window.
        Spikes outside of the window are not counted.

        Parameters
        ----------
        stims : sequence or dict of array
            Stimuli as for :meth:`~deepSTRF.datasets.NeuralDataset.from_arrays`, time last, in bins of `dt_ms`. The keys
            of a dict are their names, and become ``stim_meta[s]["name"]``.
        spikes : nested lists, dicts or object arrays
            Without `trials`: ``spikes[stimulus][neuron][repeat]`` is an array of times since the stimulus began.
            Stimuli and neurons go by order, or by name in dicts; ``spikes[stimulus][neuron]`` may be the times of a
            single repeat. None stands for what was not recorded, an empty list for a repeat without spike. Repeats may
            differ in number.

            With `trials`: per unit its times in the whole session; a dict of ids and times, a list, or a data frame
            with a column ``spike_times``. Times need not be sorted. Those of Neo keep their own unit.

            Ids of neurons become ``nrn_meta[n]["cell_id"]``.
        dt_ms : float
            Width of a bin in ms.
        unit : str
            Unit of the times, and of the onsets in `trials`: ``"s"`` or ``"ms"``. It has no default.
        trials : table, optional
            For one long session, the onset and the stimulus (its name, or its index) of each trial: a data frame, dict
            of columns, structured array, list of dicts, list of (onset, stimulus), or the path of a .csv or .tsv file.
            Repeats are in the order of the trials.
        onset_ms : float or sequence of float
            When the stimulus begins, in the clock of a trial: all stimuli, or each of them.
        before_ms, after_ms : float
            Time before and after the stimulus that belongs to the response, a whole number of bins. The stimulus is
            padded.
        silence : float
            Value of the stimulus in the bins before and after it: 0, as where batches are padded. A spectrogram in
            decibels has another value for silence, perhaps its minimum.
        onset_column, stimulus_column : str, optional
            Columns of `trials`, where they don't have usual names such as ``start_time`` and ``stimulus``.
        recorded : sequence, optional
            When was recorded in a session, in `unit`: (start, stop), or intervals of shape (I, 2) for each unit, or
            None for always. Trials that are not wholly inside are missing data (NaN).
        stim_meta, nrn_meta : sequence of dict or data frame, optional
            Metadata of each stimulus and neuron; names and ids are added.
        covariates : dict, optional
            What else was measured, as for ``from_arrays``: arrays for each stimulus in the bins of its window; or, with
            `trials`, a :class:`~deepSTRF.datasets.covariates.Continuous` of the whole session.
        path : str
            What to say where the data came from.
        **options
            More of ``from_arrays``, such as ``frequencies_hz`` for sounds.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on.

        Raises
        ------
        TypeError, ValueError
            If there is no `unit`, times are no times, or names and numbers don't fit; and if the times are most likely
            not what they are said to be: a factor 1000 off, all outside of the stimuli, or trials beyond the recording.
            The message names stimulus, neuron and repeat, or the trial.

        Examples
        --------
        Two stimuli, one neuron, two repeats:

        >>> import numpy as np
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> stims = {"rain": np.random.rand(16, 100), "birds": np.random.rand(16, 80)}
        >>> spikes = {"rain": {"unit 7": [[0.0312, 0.204], []]}, "birds": {"unit 7": [[0.39], [0.101, 0.1033]]}}
        >>> ds = AudioNeuralDataset.from_spike_times(stims, spikes, dt_ms=5.0, unit="s")
        >>> ds.responses[1][0].sum(-1), ds.nrn_meta
        (tensor([1., 2.]), [{'cell_id': 'unit 7'}])

        One long session:

        >>> trials = {"onset": [0.5, 2.0, 3.5], "stimulus": ["rain", "birds", "rain"]}
        >>> ds = AudioNeuralDataset.from_spike_times(
        ...     stims, {7: [0.53, 0.7, 2.1, 3.9]}, dt_ms=5.0, unit="s", trials=trials, before_ms=50.0
        ... )
        >>> ds.responses[0][0].shape, ds.responses[0][0].sum(-1)
        (torch.Size([2, 110]), tensor([2., 1.]))
        """
        scale = seconds_per(unit)
        windows = stimulus_windows(stims, dt_ms, before_ms, after_ms, silence)
        if isinstance(spikes, str | os.PathLike):
            raise TypeError(
                f"spikes must hold times, got the path {spikes}; from_phy reads folders of Kilosort and phy"
            )
        if trials is None:
            for name, value in (("recorded", recorded), ("onset_column", onset_column)):
                if value is not None:
                    raise ValueError(f"{name} belongs to one long session, which needs trials= too")
            nested = read_nested(spikes, windows.keys, scale)
            responses, ids = _nested_counts(nested, windows, dt_ms, onset_ms, str(unit)), nested.unit_ids
        else:
            if np.ndim(onset_ms) or onset_ms:
                raise ValueError("onset_ms belongs to times per stimulus; with trials=, their table says the onsets")
            session = session_counts(
                spikes, trials, windows, dt_ms, str(unit),
                onset_column=onset_column, stimulus_column=stimulus_column, recorded=recorded,
            )  # fmt: skip
            responses, ids = session.responses, session.unit_ids
            nrn_meta = session.unit_meta if nrn_meta is None else nrn_meta
            covariates = covariates_in_trials(covariates, session.trials, windows, dt_ms)
        options |= {"stim_meta": stim_meta, "covariates": covariates, "path": path}
        return fill_windows(cls, windows, responses, dt_ms, nrn_meta, ids, **options)


def _nested_counts(nested: NestedTimes, windows: Windows, dt_ms: float, onset_ms: Any, unit: str) -> list[Any]:
    """Counts (R, T_s) per stimulus and neuron, None where nothing was recorded."""
    onsets_s = onsets_in_s(onset_ms, len(windows.stims))
    before_s = windows.before * dt_ms / 1000
    seen = TimesSeen(unit, dt_ms)
    responses: list[Any] = []
    last, n_outside, n_spikes = [], 0, 0
    for row, onset, n_bins in zip(nested.times, onsets_s, windows.n_bins, strict=True):
        last.append(-np.inf)
        counts: list[np.ndarray | None] = []
        for repeats in row:
            if repeats is None:
                counts.append(None)
                continue
            block = count_in_repeats(repeats, onset - before_s, n_bins, dt_ms)
            times = np.concatenate([repeat for repeat in repeats if repeat is not None])
            seen.add(times - onset, int(np.nansum(block)), n_bins - windows.before)
            counts.append(block)
            bins = (times - onset) / (dt_ms / 1000)
            last[-1] = max(last[-1], float(bins.max(initial=-np.inf)))
            n_outside, n_spikes = n_outside + int((bins > n_bins - windows.before).sum()), n_spikes + len(bins)
        responses.append(counts)
    seen.check()
    if text := misplaced_time_of_spikes(windows.shapes, last, n_outside, n_spikes, windows.names, windows.after):
        raise ValueError(text)
    return responses
