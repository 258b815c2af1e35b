"""A file of Neurodata Without Borders becomes a data set."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from deepSTRF.datasets.cached_recordings import cached_recording
from deepSTRF.datasets.importers import ArrayRecording
from deepSTRF.datasets.sources.hdf5_links import with_linked_files
from deepSTRF.datasets.sources.nwb_contents import open_nwb
from deepSTRF.datasets.sources.nwb_responses import (
    choose_responses,
    metadata_of_signals,
    metadata_of_units,
    responses_in_trials,
)
from deepSTRF.datasets.sources.nwb_stimuli import FileStimuli
from deepSTRF.datasets.sources.nwb_trials import Columns, check_skip, find_session
from deepSTRF.datasets.sources.responses_to_trials import Window, check_fires, dataset_of_session
from deepSTRF.datasets.spectrograms import Spectrogram
from deepSTRF.files import AnyPath, expand_path

__all__ = ["NWBRecording"]


class NWBRecording(ArrayRecording):
    """A recording that can be made from an NWB file."""

    @classmethod
    def from_nwb(
        cls,
        path: AnyPath,
        dt_ms: float | None = None,
        *,
        stims: Any = None,
        rate: float | None = None,
        spectrogram: Any = "log",
        trials: Any = None,
        stimulus_column: str | None = None,
        onset_column: str | None = None,
        skip: Any = (),
        responses: str | None = None,
        onset_ms: float = 0.0,
        before_ms: float = 0.0,
        after_ms: float = 0.0,
        silence: float | None = None,
        covariates: Any = None,
        cache: bool = True,
    ) -> Self:
        """Make a data set from a file of Neurodata Without Borders (NWB 2), such as those of the DANDI archive.

        ``from_nwb(path)`` is enough where the file leaves no doubt. Where it does, the error lists what the file holds
        and says which argument chooses.

        Parameters
        ----------
        path : str or path
            The file. Spike times and signals are read unit by unit and trial by trial.
        dt_ms : float, optional
            Width of a bin in ms. Default: 5 for sounds, a frame for movies, 10 for pictures; needed with `stims`
            that are in bins.
        stims : folder, dict or list, optional
            Stimuli that are not in the file: a folder of sound files, or a dict of the names that the trials use and
            sound files, waveforms (with their `rate`), spectrograms (F, T) or movies (H, W, T) in bins. Default: those
            under ``stimulus/presentation`` and ``stimulus/templates``.
        rate : float, optional
            Sampling rate of waveforms in `stims`, in Hz.
        spectrogram : str or Spectrogram
            What becomes of sounds, as for ``from_waveforms``.
        trials : str or table, optional
            The table of intervals that says when stimuli began; or a table of your own with onsets in s, or the path of
            a .csv file; or ``"presentation"`` for the times at which the file says that its stimuli were presented.
            Default: the tables whose rows name stimuli, or that are named after a stimulus
            (``natural_movie_one_presentations``); where there are none, the times of the stimuli themselves.
        stimulus_column, onset_column : str, optional
            Columns of that table. Default: the column all of whose cells name stimuli, by their name or file name;
            and a column of the stimulus' onset (``stim_onset``) where it lies inside the trial, or ``start_time``.
        skip : str or list of str
            Stimuli whose trials are left out; ``""`` stands for trials without one.
        responses : str, optional
            The units or the series that respond. Default: the units; else the fluorescence (RoiResponseSeries), LFP, or
            the ElectricalSeries.
        onset_ms : float
            Added to the onsets: for instance the latency of a loudspeaker or a screen.
        before_ms, after_ms, silence
            As for :meth:`from_spike_times`. Default for `silence`: the floor of a spectrogram in dB, else 0.
        covariates : dict, optional
            As for :meth:`from_arrays`, by the names of the stimuli.
        cache : bool
            Keep the data set in the cache (:mod:`deepSTRF.datasets.cache`), and take it from there as long as neither
            the file nor one that it links to has changed. Not where `stims`, `trials` or `covariates` are in memory.

        Returns
        -------
        NeuralDataset
            Of the class that this is called on. ``nrn_meta`` holds the columns of the units (or of regions of interest,
            or electrodes), their id as ``cell_id``, and the ``area``: a column of that name, or where the electrodes
            are. Trials outside of a unit's ``obs_intervals``, and in ``invalid_times``, are missing data. Stimuli that
            no trial showed are left out.

        Raises
        ------
        ImportError
            If pynwb is missing: ``pip install 'deepSTRF[nwb]'``.
        FileNotFoundError
            If there is no such file.
        TypeError, ValueError
            If it is not an NWB file, or has no responses, stimuli or trials, or more than one choice of them; if a
            stimulus has no trial or a trial no stimulus; if a time is NaN.

        Notes
        -----
        A table with a column ``frame`` (or an IndexSeries) has a row per picture or frame: pictures of 100 ms and more
        are a stimulus each, shorter ones are the frames of movies, and movies with the same frames are repeats.
        Timestamps of signals need not be regular: they are followed trial by trial, and gaps are missing data.

        Examples
        --------
        >>> from deepSTRF.datasets.audio import AudioNeuralDataset
        >>> ds = AudioNeuralDataset.from_nwb("session.nwb")  # doctest: +SKIP
        >>> ds = AudioNeuralDataset.from_nwb("session.nwb", stims="sounds/", skip="catch")  # doctest: +SKIP
        """

        def make() -> Any:
            window = Window(dt_ms, onset_ms, before_ms, after_ms, silence)
            columns = Columns(stimulus_column, onset_column, check_skip(skip))
            with open_nwb(path) as contents:
                source = choose_responses(contents, responses)
                stimuli = FileStimuli(contents, cls._stimulus_kind == "movies", stims, rate)
                session = find_session(contents, stimuli, trials, columns)
                is_spikes = any(source is units for units in contents.units.values())

                def respond(*session: Any) -> list[Any]:
                    values = responses_in_trials(source, contents.invalid, *session)
                    return check_fires(values, contents.path.name) if is_spikes else values

                metadata = metadata_of_units(source) if is_spikes else metadata_of_signals(source)
                return dataset_of_session(
                    cls, session, respond, window, spectrogram, metadata, str(contents.path), covariates
                )

        options = {
            "path": str(path), "dt_ms": dt_ms, "stims": stims, "rate": rate, "spectrogram": spectrogram,
            "trials": trials, "stimulus_column": stimulus_column, "onset_column": onset_column, "skip": skip,
            "responses": responses, "onset_ms": onset_ms, "before_ms": before_ms, "after_ms": after_ms,
            "silence": silence, "covariates": covariates,
        }  # fmt: skip
        files = _files(path, stims, trials) if cache else None
        settings = None if files is None else _as_json(options)
        return make() if files is None or settings is None else cached_recording(cls, "nwb", files, settings, make)


def _files(path: AnyPath, stims: Any, trials: Any) -> list[Path] | None:
    """All files that a data set is made of; None where something is missing, which its reader says."""
    given = (
        list(stims.values()) if isinstance(stims, Mapping) else stims if isinstance(stims, list | tuple) else [stims]
    )
    paths = [expand_path(stim) for stim in given if isinstance(stim, str | os.PathLike)]
    file = expand_path(path)
    if find_spec("h5py") is None or not file.is_file() or not all(found.exists() for found in paths):
        return None
    if isinstance(trials, str | os.PathLike) and expand_path(trials).is_file():
        paths.append(expand_path(trials))
    return [*with_linked_files(file), *paths]


def _as_json(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments as JSON; None where one is an object in memory."""
    plain = {name: value.as_dict() if isinstance(value, Spectrogram) else value for name, value in options.items()}
    try:
        return json.loads(json.dumps(plain, default=os.fspath))
    except (TypeError, ValueError):
        return None
