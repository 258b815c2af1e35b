"""Scores that others published, as they stated them; none of them was fitted here.

They are facts to stand beside, not to rank by: protocols, preprocessing and the choice of neurons differ.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["QUOTED", "Quoted", "quoted_scores"]


@dataclass(frozen=True)
class Quoted:
    """A published score.

    Parameters
    ----------
    dataset : str
        Registered name of the recording.
    model : str
        As its authors call it.
    cc, cc_norm : float
        Mean over neurons unless `protocol` says otherwise; NaN where it was not stated.
    protocol : str
        How it was measured, as far as that was stated.
    source : str
        Where it stands.
    """

    dataset: str
    model: str
    cc: float
    cc_norm: float
    protocol: str
    source: str

    @property
    def address(self) -> str:
        """Where the source is on the web; empty where that is not known."""
        found = re.search(r"https:\S+|doi:(\S+)", self.source)
        return "" if found is None else f"https://doi.org/{found[1]}" if found[1] else found[0]

    @property
    def source_name(self) -> str:
        """The source without its address."""
        return re.sub(r",? ?(https:|doi:)\S+", "", self.source)


_NAN = math.nan
_DOCS = "docs of deepSTRF 0.1.0, after Rançon et al. 2025, doi:10.1038/s42003-025-08858-3"
_NOTES = "docs of deepSTRF 0.1.0"
_HUB = "model card of the checkpoint, https://huggingface.co/urancon/deepSTRF-statenet-gru-ns1"
_AHMED = "docs of deepSTRF 0.1.0, which compares it with Ahmed et al. 2025, doi:10.1371/journal.pcbi.1013334"
_POPULATION = "population model; split not stated"
_AC1 = "21 cells (Wehr), a model each, bins of 5 ms; approximate"
_DOWNER = "well-tuned units, TIMIT, bins of 50 ms, FFT window of 25 ms; approximate"

QUOTED = (
    Quoted("ns1", "StateNet GRU", 0.556, 0.751, _POPULATION, _DOCS),
    Quoted(
        "ns1", "StateNet GRU (checkpoint)", 0.65948, 0.77031,
        "split checkpoint (sounds 0–13 train, 14–16 validate, 17–19 test), seed 0", _HUB,
    ),
    Quoted("ns1", "Linear, mel spectrogram", _NAN, 0.573, "mel spectrogram of the sounds; split not stated", _NOTES),
    Quoted("ns1", "Linear", _NAN, 0.548, "spectrogram of the release; split not stated", _NOTES),
    Quoted("nat4", "StateNet LSTM", 0.466, 0.651, f"A1, {_POPULATION}", _DOCS),
    Quoted("nat4", "2D-CNN + AdapTrans", 0.464, 0.645, f"A1, {_POPULATION}", _DOCS),
    Quoted("nat4", "Transformer", 0.466, 0.644, f"A1, {_POPULATION}", _DOCS),
    Quoted("nat4", "Transformer", 0.397, 0.555, f"PEG, {_POPULATION}", _DOCS),
    Quoted("nat4", "2D-CNN + AdapTrans", 0.392, 0.552, f"PEG, {_POPULATION}", _DOCS),
    Quoted("nat4", "StateNet LSTM", 0.389, 0.547, f"PEG, {_POPULATION}", _DOCS),
    Quoted("aa1", "StateNet GRU", _NAN, 0.710, f"Field L, {_POPULATION}", _DOCS),
    Quoted("aa1", "Transformer", _NAN, 0.655, f"Field L, {_POPULATION}", _DOCS),
    Quoted("aa1", "2D-CNN", _NAN, 0.650, f"Field L, {_POPULATION}", _DOCS),
    Quoted("aa1", "StateNet Mamba", _NAN, 0.734, f"MLd, {_POPULATION}", _DOCS),
    Quoted("aa1", "2D-CNN", _NAN, 0.689, f"MLd, {_POPULATION}", _DOCS),
    Quoted("aa1", "Transformer", _NAN, 0.683, f"MLd, {_POPULATION}", _DOCS),
    Quoted("crcns_ac1", "StateNet GRU", _NAN, 0.31, _AC1, _NOTES),
    Quoted("crcns_ac1", "Linear", _NAN, 0.21, _AC1, _NOTES),
    Quoted(
        "le_2025", "StateNet GRU", 0.183, 0.465,
        "nat8b, continuous songs only, 6 motifs train, 1 validates, 1 tests, bins of 5 ms; median over neurons", _NOTES,
    ),
    Quoted("downer2025", "ridge", _NAN, 0.53, _DOWNER, _AHMED),
    Quoted("espejo", "Linear", _NAN, 0.402, "168 cells, animal AMT, each cell at its own best epoch", _NOTES),
    Quoted("espejo", "Linear, one epoch for all", _NAN, 0.378, "168 cells, animal AMT", _NOTES),
    Quoted("alice_eeg", "StateNet GRU", 0.05, _NAN, "one person, one held-out segment; approximate", _NOTES),
)  # fmt: skip


def quoted_scores(dataset: str) -> list[Quoted]:
    """Published scores on a recording, best first.

    Parameters
    ----------
    dataset : str
        A registered name; there are none for any other.

    Examples
    --------
    >>> [score.cc_norm for score in quoted_scores("le_2025")]
    [0.465]
    """
    own = [score for score in QUOTED if score.dataset == dataset]
    return sorted(own, key=lambda score: -(score.cc if math.isnan(score.cc_norm) else score.cc_norm))
