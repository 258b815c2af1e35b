"""Folders of Kilosort and phy: sorted units, their labels and the sampling rate. Nothing in them is executed."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from deepSTRF.checks import check_list, check_positive
from deepSTRF.datasets.naming import named_stimuli
from deepSTRF.datasets.sources.folder import kind_of_files
from deepSTRF.datasets.sources.folder_contents import load_array
from deepSTRF.datasets.sources.spike_times import SpikeTimeRecording
from deepSTRF.datasets.sources.stimulus_files import stimulus_files
from deepSTRF.datasets.sources.trials import trial_table
from deepSTRF.files import expand_path

__all__ = ["PhyRecording", "SortedUnits", "read_phy"]

_UNLABELLED = ("", "unsorted", "nan", "none")


class SortedUnits(NamedTuple):
    """Units of a folder of Kilosort or phy."""

    times_s: dict[int, np.ndarray]
    """Spike times in s by cluster id, in the order of ids."""
    metadata: list[dict[str, Any]]
    """What the tables of clusters say about each, and its label under ``group``."""
    sample_rate_hz: float


def read_phy(
    folder: str | Path, groups: str | Sequence[str] | None = "good", sample_rate_hz: float | None = None
) -> SortedUnits:
    """Read the units of a folder that Kilosort or phy wrote.

    Parameters
    ----------
    folder : str or Path
        With ``spike_times.npy`` and ``spike_clusters.npy`` (or ``spike_templates.npy``, as Kilosort leaves it), and
        the tables ``cluster_*.tsv``.
    groups : str, sequence of str or None
        Labels of the units to read; None for all. A label is the one that a person gave (``group``); where there is
        none, that of Kilosort (``KSLabel``); else ``"unsorted"``.
    sample_rate_hz : float, optional
        Where not given, it is read in ``params.py``, as text: the file is not executed.

    Returns
    -------
    SortedUnits

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or they don't belong together, there is no sampling rate, or no unit has such a label.
    """
    directory = Path(folder).expanduser()
    samples = _load(directory, "spike_times.npy")
    has_clusters = (directory / "spike_clusters.npy").exists()
    clusters = _load(directory, "spike_clusters.npy" if has_clusters else "spike_templates.npy")
    if len(samples) != len(clusters):
        raise ValueError(
            f"{directory} has {len(samples)} spike times, but clusters of {len(clusters)} spikes; are the files of one "
            "sorting?"
        )
    if len(samples) == 0:
        raise ValueError(f"spike_times.npy in {directory} holds no spike")
    rate = (
        _sample_rate(directory) if sample_rate_hz is None else float(check_positive("sample_rate_hz", sample_rate_hz))
    )
    tables = _cluster_tables(directory)

    order = np.argsort(clusters, kind="stable")
    ids, firsts = np.unique(clusters[order], return_index=True)
    metadata = {int(unit): _labelled(tables.get(int(unit), {})) for unit in ids}
    chosen = _chosen(metadata, groups, directory)
    parts = dict(zip(ids.tolist(), np.split(samples[order], firsts[1:]), strict=True))
    times = {unit: parts[unit].astype(np.float64) / rate for unit in chosen}
    return SortedUnits(times, [metadata[unit] for unit in chosen], rate)


class PhyRecording(SpikeTimeRecording):
    """A recording that can be made from a folder of Kilosort or phy."""

    @classmethod
    def from_phy(
        cls,
        folder: str | Path,
        stims: Any,
        trials: Any,
        dt_ms: float,
        *,
        unit: str | None = None,
        groups: str | Sequence[str] | None = "good",
        sample_rate_hz: float | None = None,
        onset_column: str | None = None,
        stimulus_column: str | None = None,
        spectrogram: Any = "log",
        **options: Any,
    ) -> Self:
        """Make a data set from stimuli, the output folder of Kilosort or phy, and a table of trials.

        Parameters
        ----------
        folder : str or Path
            With ``spike_times.npy``, ``spike_clusters.npy``, and the tables ``cluster_*.tsv``. ``params.py`` is read as
            text, never executed.
        stims : list, dict or folder
            As for :meth:`~deepSTRF.datasets.NeuralDataset.from_spike_times`; or a folder of sound files, or of arrays
            (.npy): spectrograms or movies in bins. Files that no trial names are left out.
        trials, dt_ms, onset_column, stimulus_column, **options
            As for :meth:`~deepSTRF.datasets.NeuralDataset.from_spike_times`: ``before_ms``, ``recorded``, ...
        spectrogram : str, dict or Spectrogram
            What becomes of sounds, as for ``from_waveforms``.
        unit : str
            Unit of the onsets in `trials`: ``"s"``, ``"ms"``, or ``"samples"`` of the recording. It has no default.
        groups : str, sequence of str or None
            Labels of the units to take: ``"good"``, as here, leaves out multi-unit activity and noise;
            ``["good", "mua"]``; None for all. A label is the one that a person gave in phy, else that of Kilosort.
        sample_rate_hz : float, optional
            Where ``params.py`` is missing.

        Returns
        -------
        NeuralDataset
            ``nrn_meta[n]`` has the id of the cluster as ``cell_id``, its label as ``group``, and the columns of the
            tables (``depth``, ``ch``, ``fr``, ...).

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        TypeError, ValueError
            As :meth:`~deepSTRF.datasets.NeuralDataset.from_spike_times`; if a file is damaged, files don't belong
            together, or no unit has such a label.
        """
        units = read_phy(folder, groups, sample_rate_hz)
        if unit is None:
            raise TypeError(
                'unit must be given, that of the onsets in trials: "s", "ms", or "samples" of the recording '
                f"({units.sample_rate_hz:g} Hz)"
            )
        from_files = isinstance(stims, str | os.PathLike)
        files = stimulus_files(expand_path(stims, "stims")) if from_files else {}
        arrays, names = named_stimuli(files or stims)
        keys = len(arrays) if names is None else names
        table = trial_table(
            trials,
            keys,
            unit=unit,
            rate_hz=units.sample_rate_hz,
            onset_column=onset_column,
            stimulus_column=stimulus_column,
        )
        stimuli = [int(s) if names is None else names[s] for s in table.stimulus_of_trial]
        columns: dict[str, Any] = {"onset": table.onsets_s, "stimulus": stimuli}
        if table.durations_s is not None:
            columns["duration"] = table.durations_s
        options.setdefault("path", str(folder))
        options.setdefault("nrn_meta", units.metadata)
        if from_files:
            presented = {name: file for name, file in files.items() if name in set(stimuli)}
            if kind_of_files(files) == "sounds":
                sounds: Any = cls
                return sounds.from_waveforms(
                    presented, spikes=units.times_s, dt_ms=dt_ms, unit="s", trials=columns, spectrogram=spectrogram,
                    **options,
                )  # fmt: skip
            stims = {name: load_array(file) for name, file in presented.items()}
        return cls.from_spike_times(stims, units.times_s, dt_ms, unit="s", trials=columns, **options)


def _load(directory: Path, name: str) -> np.ndarray:
    """One number per spike: sample or cluster."""
    file = directory / name
    if not file.is_file():
        below = sorted(str(path.parent) for path in directory.glob("*/spike_times.npy"))
        hint = f"; did you mean {below[0]}?" if below else ""
        raise FileNotFoundError(
            f"there is no {name} in {directory}, which should be the output folder of Kilosort or phy{hint}"
        )
    try:
        values = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    values = values.ravel()
    if values.dtype.kind == "f" and len(values) and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise ValueError(
            f"{file} must hold integers, one per spike, got {values.dtype}"
            + (": times in samples, not in seconds" if name == "spike_times.npy" else "")
        )
    return values


def _sample_rate(directory: Path) -> float:
    file = directory / "params.py"
    if not file.is_file():
        raise ValueError(f"there is no params.py in {directory}, which says the sampling rate: give sample_rate_hz=")
    text = file.read_text(encoding="utf-8-sig", errors="replace")  # the paths in it may be in any encoding
    found = re.search(r"^\s*sample_rate\s*=\s*([0-9][0-9_.eE+]*)\s*(?:#.*)?$", text, re.M)
    if found is None:
        raise ValueError(f"{file} has no line such as 'sample_rate = 30000.': give sample_rate_hz=")
    return float(check_positive(f"sample_rate in {file}", float(found.group(1))))


def _cluster_tables(directory: Path) -> dict[int, dict[str, Any]]:
    """What all tables of clusters say, by cluster; the summary first, so that single tables add to it."""
    tables: dict[int, dict[str, Any]] = {}
    for file in sorted(directory.glob("cluster_*.tsv"), key=lambda path: (path.name != "cluster_info.tsv", path.name)):
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for number, row in enumerate(csv.DictReader(lines, delimiter="\t"), start=2):
                cluster = row.get("cluster_id") or row.get("id") or ""
                if not cluster.strip().isdigit():
                    raise ValueError(f"line {number} of {file} has no cluster_id, a whole number; got {cluster!r}")
                known = {key: _parsed(value) for key, value in row.items() if key and value not in (None, "")}
                known.pop("cluster_id", None)
                known.pop("id", None)
                tables.setdefault(int(cluster), {}).update(known)
    return tables


def _parsed(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _labelled(table: dict[str, Any]) -> dict[str, Any]:
    labels = [str(table.get(column, "")) for column in ("group", "KSLabel")]
    label = next((label for label in labels if label.lower() not in _UNLABELLED), "unsorted")
    return {**table, "group": label}


def _chosen(metadata: dict[int, dict[str, Any]], groups: str | Sequence[str] | None, directory: Path) -> list[int]:
    if groups is None:
        return list(metadata)
    wanted = [groups] if isinstance(groups, str) else list(check_list("groups", groups, "labels, such as 'good'"))
    chosen = [unit for unit, meta in metadata.items() if meta["group"] in wanted]
    if not chosen:
        counts = Counter(meta["group"] for meta in metadata.values()).most_common()
        raise ValueError(
            f"no unit in {directory} has the label {' or '.join(map(repr, wanted))}; there are "
            f"{', '.join(f'{count} {label}' for label, count in counts)}. Choose with groups=, None for all"
        )
    return chosen
