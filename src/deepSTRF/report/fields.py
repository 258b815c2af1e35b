"""Receptive fields of the neurons of a run, for its report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from deepSTRF.analysis import Tuning, receptive_fields, tuning
from deepSTRF.models import NeuralModel
from deepSTRF.plotting.movies import strongest_pixel
from deepSTRF.registry import Settings, get_model_card
from deepSTRF.report.reading import ReadRun
from deepSTRF.runs import folder as files
from deepSTRF.runs.figures import one_channel
from deepSTRF.runs.recording import Recording

__all__ = ["Fields", "fields_of"]

LARGEST = 127
TUNING = (
    "best_frequency_hz",
    "bandwidth_octaves",
    "bandwidth_bands",
    "latency_ms",
    "excitation_inhibition",
    "separability",
    "best_rate_hz",
)


@dataclass
class Fields:
    """The receptive fields of a run.

    Parameters
    ----------
    values : array (N, F, T) or (N, H, W, T)
        Positive where it excites; the last lag is the current bin.
    dt_ms : float
        Width of a lag.
    frequencies_hz : list of float, optional
        Centres of the bands, for sounds.
    """

    values: np.ndarray
    dt_ms: float
    frequencies_hz: list[float] | None = None

    @property
    def description(self) -> dict[str, Any]:
        """Sizes, for the page."""
        return {
            "shape": list(self.values.shape[1:]),
            "dt_ms": self.dt_ms,
            "frequencies_hz": self.frequencies_hz,
        }

    @cached_property
    def _tuning(self) -> Tuning | None:
        """That of fields over frequency and time."""
        if self.values.ndim != 3:
            return None
        hertz = self.frequencies_hz or [0.0]
        in_hertz = hertz[0] > 0 and bool((np.diff(hertz) > 0).all())  # octaves need it; a spectrum may begin at 0 Hz
        return tuning(self.values, self.dt_ms, hertz if in_hertz else None)

    def _tuned_to(self, n: int) -> dict[str, float | None]:
        """Numbers of :func:`deepSTRF.analysis.tuning` with four digits, those that are undefined as None."""
        numbers = {name: getattr(self._tuning, name) for name in TUNING}
        single = {name: float(values[n]) for name, values in numbers.items() if values is not None}
        return {name: float(f"{value:.4g}") if math.isfinite(value) else None for name, value in single.items()}

    def pack(self, n: int) -> tuple[dict[str, Any] | None, bytes]:
        """The field of one neuron as whole numbers from -127 to 127, and the largest weight; None if undefined.

        Of a movie (H, W, T) these are the map at the lag of the strongest weight, and the time course of its pixel.
        """
        field = self.values[n]
        largest = float(np.abs(field).max())
        if not math.isfinite(largest) or largest == 0:
            return None, b""
        whole = (field / largest * LARGEST).round().astype(np.int8)
        if field.ndim == 2:
            band, peak_lag = divmod(int(field.argmax()), field.shape[1])
            peak = {"band": band, "lag_ms": (field.shape[1] - 1 - peak_lag) * self.dt_ms}
            described = {"largest": largest, "peak": peak if field.max() > 0 else None, "tuning": self._tuned_to(n)}
            return described, whole.tobytes()
        row, column, lag = strongest_pixel(field)
        of_movie = {
            "largest": largest,
            "lag_ms": (field.shape[-1] - 1 - lag) * self.dt_ms,
            "pixel": [int(row), int(column)],
        }
        return of_movie, whole[:, :, lag].tobytes() + whole[row, column].tobytes()


def fields_of(run: ReadRun, recording: Recording | None) -> Fields | None:
    """The receptive fields of a finished run, as in its ``strfs.png``; None, with a note, where there are none.

    Without the recording, those of models that are more than one kernel are gradients around silence.
    """
    options = run.config["options"]
    try:
        card = get_model_card(options["model"])  # imports the file of a model that is no part of deepSTRF
        if card.stimulus == "waveform":
            run.notes.append("no receptive fields: those of a model of waveforms are over features that it learnt")
            return None
        model: Any = NeuralModel.from_pretrained(run.folder / files.MODEL_FOLDER)
        dt_ms = float(run.config["dt_ms"])
        window = options.get("window_ms") or (run.config["settings"] or {}).get("window_ms") or Settings().window_ms
        part = None if recording is None else recording.parts["train"]
        values = receptive_fields(model, max(1, round(window / dt_ms)), part)
    except (OSError, ValueError, TypeError, LookupError, ImportError) as error:
        run.notes.append(f"no receptive fields, since the model could not be loaded: {' '.join(str(error).split())}")
        return None
    frequencies = None if recording is None else getattr(recording.dataset, "frequencies_hz", None)
    hertz = None if frequencies is None else np.asarray(frequencies, dtype=float).round(1).tolist()
    single = one_channel(values)
    if len(values) != len(run.neurons) or single is None:
        run.notes.append(f"no receptive fields: the model has {len(values)} neurons, the run {len(run.neurons)}")
        return None
    return Fields(single.numpy(), dt_ms, hertz)
