"""Receptive fields of the neurons of a run, for its report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from deepSTRF.analysis import STRF, Tuning, gradient_strf, receptive_fields, tuning
from deepSTRF.analysis.receptive_fields import is_one_kernel
from deepSTRF.datasets import NeuralDataset
from deepSTRF.models import NeuralModel
from deepSTRF.plotting.movies import strongest_pixel
from deepSTRF.registry import Settings, get_model_card
from deepSTRF.report.reading import ReadRun
from deepSTRF.runs import folder as files
from deepSTRF.runs.figures import one_channel
from deepSTRF.runs.recording import Recording

__all__ = ["Fields", "fields_of"]

LARGEST = 127
MOST_VALUES = 2**19  # of fields that get standard errors: 20 times as many are in memory, in double precision
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
    result : STRF, optional
        The fields over frequency and time with what their tuning has its standard errors from.
    """

    values: np.ndarray
    dt_ms: float
    frequencies_hz: list[float] | None = None
    result: STRF | None = None

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
        fields = self.values if self.result is None else self.result
        return tuning(fields, self.dt_ms, self.frequencies_hz if _rise(self.frequencies_hz) else None)

    def _tuned_to(self, n: int) -> tuple[dict[str, float | None], dict[str, float | None]]:
        """Numbers of :func:`deepSTRF.analysis.tuning` and their standard errors, those that are undefined as None."""
        numbers = {name: getattr(self._tuning, name) for name in TUNING}
        errors = {} if self._tuning is None else self._tuning.standard_errors or {}
        return _digits(numbers, n, 4), _digits({name: errors.get(name) for name in TUNING}, n, 2)

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
            numbers, errors = self._tuned_to(n)
            described = {"largest": largest, "peak": peak if field.max() > 0 else None, "tuning": numbers, "se": errors}
            return described, whole.tobytes()
        row, column, lag = strongest_pixel(field)
        of_movie = {
            "largest": largest,
            "lag_ms": (field.shape[-1] - 1 - lag) * self.dt_ms,
            "pixel": [int(row), int(column)],
        }
        return of_movie, whole[:, :, lag].tobytes() + whole[row, column].tobytes()


def _digits(numbers: dict[str, Any], n: int, digits: int) -> dict[str, float | None]:
    """Those of one neuron with so many digits; None where undefined."""
    single = {name: float(values[n]) for name, values in numbers.items() if values is not None}
    return {name: float(f"{value:.{digits}g}") if math.isfinite(value) else None for name, value in single.items()}


def _rise(hertz: list[float] | None) -> bool:
    """Whether the bands are centred on frequencies that octaves can be counted in; a spectrum may begin at 0 Hz."""
    return hertz is not None and hertz[0] > 0 and bool((np.diff(hertz) > 0).all())


def _fields(model: Any, n_lags: int, part: NeuralDataset | None, hertz: list[float] | None) -> STRF:
    """Those of ``strfs.png``; gradients over few bands and lags with their leave-one-out estimates."""
    if part is not None and not is_one_kernel(model) and (hertz is None or _rise(hertz)):
        frame = part.stims[0].shape[1:-1]
        if len(frame) == 1 and part.N_neurons * frame[0] * n_lags <= MOST_VALUES:
            return gradient_strf(model, part, n_lags)
    return STRF(receptive_fields(model, n_lags, part))


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
        frequencies = getattr(getattr(recording, "dataset", None), "frequencies_hz", None)
        hertz = None if frequencies is None else np.asarray(frequencies, dtype=float).round(1).tolist()
        result = _fields(model, max(1, round(window / dt_ms)), part, hertz)
    except (OSError, ValueError, TypeError, LookupError, ImportError) as error:
        run.notes.append(f"no receptive fields, since the model could not be loaded: {' '.join(str(error).split())}")
        return None
    single = one_channel(result.fields)
    if single is None or len(single) != len(run.neurons):
        run.notes.append(f"no receptive fields: the model has {len(result.fields)} neurons, the run {len(run.neurons)}")
        return None
    return Fields(single.numpy(), dt_ms, hertz, result)
