"""Le 2025: units of the zebra finch's auditory pallium and song motifs with gaps, noise, or noise over gaps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from deepSTRF.checks import check_choice
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.le2025_release import critical_intervals, parts_of_name, read_cells
from deepSTRF.datasets.audio.release_tables import read_rows
from deepSTRF.datasets.audio.spike_lines import Cell, HeardSound, fill
from deepSTRF.datasets.cached_recordings import fill_cached
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.quality import measured
from deepSTRF.datasets.recording_folder import files_in, find_in, recording_folder
from deepSTRF.datasets.smoothing import smoother_of_counts
from deepSTRF.datasets.spectrograms import Spectrogram
from deepSTRF.metrics.reliability import NOISE_POWER, SIGNAL_POWER, SNR
from deepSTRF.registry import register_dataset

__all__ = ["Le2025Dataset"]

_FOLDERS = {"nat8a": ("nat8a-alpha", "nat8a-beta"), "nat8b": ("nat8b",), "synth8b": ("synth8b",)}


@register_dataset(RECORDINGS["Le_2025"].card)
class Le2025Dataset(AudioNeuralDataset):
    """Auditory restoration [1]_: units of the zebra finch's pallium, song motifs and variants with gaps and noise.

    The variants are C, the continuous motif; G, with a gap; N, noise alone; GB and CB, noise in the place of the gap or
    over it; GM and CM, noise over the whole motif with or without gap (not in nat8a). Each motif has two critical
    intervals, 1 and 2, in which gap or noise lie. Responses are spike counts per bin from sound onset to the last whole
    bin of the sound.

    Parameters
    ----------
    path : str or path, optional
        Folder with the published archive or what it unpacks to. By default ``default_cache_dir("Le_2025")``.
    experiment : {'nat8b', 'nat8a', 'synth8b'}
        Which of the three; nat8a is both of its cohorts.
    dt_ms : float
        Width of a bin in ms.
    n_bands, fmin, fmax, window_ms
        Of the causal gammatone spectrogram, log(1 + amplitude): number of bands, centres of the first and the last in
        Hz, and length of the window in ms, a bin at least.
    smooth : bool
        Smooth the responses with the 21 ms Hann window.
    keep_areas : sequence of str, optional
        Only units of these areas, by default all.
    compute_reliability : bool
        Add signal_power, noise_power and snr to ``nrn_meta``.
    download : bool
        Fetch the archive if it is not in the folder.
    return_waveform, audio_fs, cache
        As of :class:`CRCNSAA1Dataset`.

    Attributes
    ----------
    critical_intervals_ms : dict
        ``{(motif, 1): (start, stop), ...}``, as far as the archive lists them.
    protocols : dict
        ``'motifs'``, ours: the last two motifs test, the one before validates, as variants of a motif sound alike.

    Raises
    ------
    FileNotFoundError, RecordingError
        If a file is missing or can't be read; the message names it and says how to get it.
    ValueError
        If there is no such experiment or area.

    References
    ----------
    .. [1] Le, Bjoring & Meliza (2025), https://doi.org/10.1038/s41467-025-63182-y

    Examples
    --------
    >>> ds = Le2025Dataset("recordings/le_2025", experiment="nat8b")  # doctest: +SKIP
    >>> _ = ds.select_restoration_quartet("5ia1qk", 1)  # doctest: +SKIP
    """

    behavioral_state = "anesthetized"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        experiment: Literal["nat8b", "nat8a", "synth8b"] = "nat8b",
        dt_ms: float = 5.0,
        n_bands: int = 50,
        fmin: float = 1000.0,
        fmax: float = 8000.0,
        window_ms: float = 2.5,
        smooth: bool = True,
        keep_areas: Sequence[str] | None = None,
        compute_reliability: bool = True,
        download: bool = False,
        return_waveform: bool = False,
        audio_fs: int = 48000,
        *,
        cache: bool = True,
    ) -> None:
        check_choice("experiment", experiment, tuple(_FOLDERS))
        spectrogram = (
            Spectrogram("waveform", n_bands, fs=audio_fs)
            if return_waveform
            else Spectrogram(
                "gammatone", n_bands, low_hz=fmin, high_hz=fmax, window_ms=window_ms, compression="log1p", range_db=60.0
            )
        )
        root = recording_folder("Le_2025", path, download=download)
        super().__init__(path=str(root), dt_ms=float(dt_ms))
        sites = read_rows(find_in(root, "metadata/recordings.csv", "Le_2025"))
        folders = [find_in(root, f"{name}-responses", "Le_2025") for name in _FOLDERS[experiment]]
        birds, place = (find_in(root, name, "Le_2025") for name in ("metadata/song-birds.csv", f"{experiment}-stimuli"))
        wanted = [keep_areas] if isinstance(keep_areas, str) else keep_areas

        def fill_all() -> None:
            cells = _of_areas((cell for folder in folders for cell in read_cells(folder, sites)), wanted)
            names = {file: parts_of_name(file.stem) for file in files_in(place, "*.wav")}
            sounds = {file.stem: HeardSound(file, parts["variant"]) for file, parts in names.items()}
            fill(self, cells, sounds, spectrogram, smoother_of_counts(False, self.dt))  # reliability is that of counts
            self.stim_meta = [{**meta, **parts_of_name(meta["name"])} for meta in self.stim_meta]
            self._add_splits(birds)
            if compute_reliability:
                self._add_reliability()
            if smooth:
                self.smooth_responses()

        options = {
            "path": self.path, "experiment": experiment, "dt_ms": self.dt, "made_with": spectrogram.as_dict(),
            "smooth": bool(smooth), "keep_areas": wanted, "compute_reliability": bool(compute_reliability),
        }  # fmt: skip
        fill_cached(self, "le_2025", [*folders, place, birds.parent], options, fill_all, cache=cache)

    def _add_splits(self, birds: Path) -> None:
        motifs = sorted({meta["motif"] for meta in self.stim_meta})
        self.critical_intervals_ms = critical_intervals(birds, set(motifs))
        of_part = {"train": motifs[:-3], "val": motifs[-3:-2], "test": motifs[-2:]}
        self.protocols = {
            "motifs": {
                part: tuple(s for s, meta in enumerate(self.stim_meta) if meta["motif"] in names)
                for part, names in of_part.items()
            }
        }

    def _add_reliability(self) -> None:
        values = measured(self._packed().blocks(), self.N_neurons, SIGNAL_POWER, NOISE_POWER, SNR)
        for name, column in zip(("signal_power", "noise_power", "snr"), values, strict=True):
            for meta, value in zip(self.nrn_meta, column.tolist(), strict=True):
                meta[name] = value

    def select_variant(self, variant: str) -> list[int]:
        """Select the stimuli of one variant: C, G, N, GB, CB, GM or CM."""
        return self.select_stims_by_attr("variant", variant)

    def select_motif(self, motif: str) -> list[int]:
        """Select the stimuli made of one motif."""
        return self.select_stims_by_attr("motif", motif)

    def select_critical_interval(self, ci: int) -> list[int]:
        """Select the stimuli with a gap or noise in one critical interval, 1 or 2."""
        return self.select_stims_by_attr("critical_interval", ci)

    def select_restoration_quartet(
        self, motif: str, ci: int, variants: Sequence[str] = ("C", "CB", "GB", "GM")
    ) -> list[int]:
        """Select variants of one motif for one critical interval; those with neither, such as C, belong to both."""
        return self.select_stims_by_predicate(
            lambda meta: (
                meta["motif"] == motif and meta["variant"] in variants and meta["critical_interval"] in (ci, None)
            )
        )


def _of_areas(cells: Iterator[Cell], wanted: Sequence[str] | None) -> Iterator[Cell]:
    """Those of some areas, one at a time; in the end an area that none of them is of is an error."""
    areas = set()
    for cell in cells:
        areas.add(str(cell.meta["area"]))
        if wanted is None or cell.meta["area"] in wanted:
            yield cell
    for area in wanted or ():
        check_choice("keep_areas", area, sorted(areas))
