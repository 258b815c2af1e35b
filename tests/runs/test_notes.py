"""Nothing fails in silence: what is behind undefined and doubtful scores is said once, with names and numbers."""

import json
from types import SimpleNamespace

import pytest
import torch

from deepSTRF.cli.report import result_text
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.splits import Split
from deepSTRF.runs import FitOptions, RunError, evaluate_run, fit_run
from deepSTRF.runs.late_stimulus import late_correlations
from deepSTRF.runs.notes import _about_fit, _about_window, run_notes
from deepSTRF.runs.recording import Recording
from deepSTRF.runs.scores import score_parts, summarise

N_BINS = 60
INDICES = {"train": (0, 1), "val": (2,), "test": (3,)}


def make(dt_ms=5.0, offset=0.0, repeats=3):
    """Four neurons that follow a band each, with repeats; the last has single trials."""
    generator = torch.Generator().manual_seed(0)
    stims = [torch.randn(4, N_BINS, generator=generator) + offset for _ in range(4)]
    responses = [
        [stim[n] + torch.randn(1 if n == 3 else repeats, N_BINS, generator=generator) for n in range(4)]
        for stim in stims
    ]
    return AudioNeuralDataset.from_arrays(
        stims, responses, dt_ms=dt_ms, nrn_meta=[{"cell_id": name} for name in ("a", "b", "c", "d")]
    )


def notes_of(data, predictions, model=None):
    recording = Recording(data, "own", INDICES, {name: data.subset(list(s)) for name, s in INDICES.items()})
    scores = score_parts(predictions, recording.indices, recording.parts)
    return run_notes(scores, predictions, recording, model or SimpleNamespace(T=10)), scores


def follow(data):
    """Right, with noise of its own: not better than the ceiling allows."""
    generator = torch.Generator().manual_seed(1)
    return [stim[0] + torch.randn(4, N_BINS, generator=generator) for stim in data.stims]


def test_nothing_is_said_of_a_clean_recording():
    data = make()
    notes, _ = notes_of(data, follow(data))
    assert notes == [
        "single trials only in training and validation and test for 1 of 4 neurons (d): no noise ceiling, left out of "
        "cc_norm"
    ]


def test_constant_and_nan_predictions_are_named_and_leave_the_means():
    data = make()
    predictions = follow(data)
    for prediction in predictions:
        prediction[1] = 0.1
    predictions[3][2, 5] = torch.nan
    notes, scores = notes_of(data, predictions)
    assert any("prediction is NaN or infinite for 1 of 4 neurons (c)" in note for note in notes)
    assert any("prediction is constant for 1 of 4 neurons (b) in training and validation and test" in n for n in notes)
    assert len(notes) == 3
    test = summarise(scores)["test"]
    assert (test["cc"]["defined"], test["cc_norm"]["defined"], test["cc"]["all"]) == (2, 1, 4)


def test_with_folds_they_are_about_the_predictions_of_folds():
    data = make()
    follows = follow(data)
    of_test = [prediction.clone() for prediction in follows]
    of_test[2][0] = 0.5  # the model of the second fold predicts a constant, those of the others do not
    for prediction in of_test:
        prediction[1] = 0.1
    of_test[0][2, 3] = torch.nan
    everything = dict.fromkeys(INDICES, tuple(range(4)))
    folds = (Split((2, 3), (2,), (0, 1)), Split((0, 1), (3,), (2,)), Split((0, 1), (0,), (3,)))
    recording = Recording(data, "3 folds", everything, dict.fromkeys(INDICES, data), folds)
    predictions = {"train": follows, "val": follows, "test": of_test}
    scores = score_parts(predictions, recording.indices, recording.parts)
    notes = run_notes(scores, predictions, recording, SimpleNamespace(T=10))
    assert notes == [
        "the prediction is NaN or infinite for 1 of 4 neurons (c) in the folds: left out of cc and cc_norm",
        "the prediction is constant for 1 of 4 neurons (b) in the folds: left out of cc and cc_norm",
        "the prediction is constant for 1 of 4 neurons (a) in fold 2 of 3",
        "single trials only in the folds for 1 of 4 neurons (d): no noise ceiling, left out of cc_norm",
    ]


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.slow
def test_single_trials_have_no_cc_norm_anywhere(folds, tmp_path):
    data = make(repeats=1)
    data.protocols = {"own": INDICES}
    options = FitOptions(dataset=data, model="linear", window_ms=20, epochs=2, folds=folds)
    result = fit_run(options, tmp_path / "run")
    histories = [path.read_text() for path in (tmp_path / "run").glob("history*.jsonl")]
    assert len(histories) == 1 + (folds or 0)
    assert all("cc_norm" not in text for text in histories)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["monitor"] == "val_cc"
    assert (tmp_path / "run" / "learning_curves.png").exists()
    assert result.summary["parts"]["test"]["cc_norm"]["defined"] == 0
    assert sum(note.startswith("single trials only") for note in result.summary["notes"]) == 1
    with pytest.raises(RunError, match="cannot be val_cc_norm; choose val_cc"):
        fit_run(FitOptions(dataset=data, model="linear", monitor="val_cc_norm", folds=folds), tmp_path / "other")


def test_missing_data_constant_responses_and_noise_are_told_apart():
    data = make()
    data.responses[3][0] = torch.full((1, 1), torch.nan)
    data.responses[2][1] = torch.ones(3, N_BINS)
    notes, _ = notes_of(data, follow(data))
    assert any("no data in test for 1 of 4 neurons (a)" in note for note in notes)
    assert any("response is constant for 1 of 4 neurons (b) in validation" in note for note in notes)


@pytest.mark.parametrize(
    ("dt_ms", "window", "words"), [(0.005, 1, "seconds"), (5.0, 80, "400 ms is longer than 4 of 4")]
)
def test_bins_and_windows(dt_ms, window, words):
    data = make()
    data.dt = dt_ms  # from_arrays raises for seconds; a class of the user's own may not
    notes, _ = notes_of(data, follow(data), SimpleNamespace(T=window))
    assert sum(words in note for note in notes) == 1


def slow(lag_bins, n_bins=600):
    """Four neurons that follow a band each, so many bins later; slow noise of the trials."""
    generator = torch.Generator().manual_seed(0)
    stims = [torch.randn(12, n_bins, generator=generator) for _ in range(6)]
    noise = [torch.randn(4, 2, n_bins, generator=generator).cumsum(-1) / 10 for _ in stims]
    responses = [stim[:4].roll(lag_bins, 1)[:, None] + drift for stim, drift in zip(stims, noise, strict=True)]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


def test_a_window_that_ends_before_the_response_does():
    recording = slow(14)
    flat = [torch.randn(4, 600, generator=torch.Generator().manual_seed(1)) for _ in range(6)]
    late = late_correlations(recording, flat, 10)
    assert (late > 0.2).all()
    assert "50 to 100 ms before a bin" in "; ".join(window_notes(recording, flat, 10))
    assert "a window of 100 ms" in "; ".join(window_notes(recording, flat, 10))
    for responses_after, window in ((14, 20), (5, 10), (45, 10)):
        assert window_notes(slow(responses_after), flat, window) == []
    assert window_notes(slow(1), flat, 1) == []  # of a recurrent model
    # what was predicted is no longer in the residuals
    assert window_notes(recording, [stim[0, :4].roll(14, 1) for stim in recording.stims], 10) == []
    # too little data to tell
    assert window_notes(slow(14, 200), [p[:, :200] for p in flat], 10) == []
    recording.responses[0][1] = torch.full_like(recording.responses[0][1], torch.nan)
    assert late_correlations(recording, flat, 10)[0] == pytest.approx(float(late[0]))


def window_notes(recording, predictions, window):
    data = Recording(recording, "own", {}, {})
    return list(_about_window(predictions, data, SimpleNamespace(T=window), list("abcd")))


def test_a_mean_far_above_the_spread():
    data = make(offset=50.0)
    data.standardize_stims(per_band=False)
    notes, _ = notes_of(data, follow(data))
    (note,) = [note for note in notes if "hardly vary" in note]
    assert "mean 50" in note


def test_penalties_at_the_edge_and_training_above_the_ceiling():
    data = make()
    edge = torch.tensor([False, True, False, False])
    model = SimpleNamespace(T=10, ridge_at_edge=edge, ridge_alpha=torch.full((4,), 1e4))
    recorded = [torch.stack([data.responses[s][n].mean(0) for n in range(4)]) for s in range(4)]
    notes, _ = notes_of(data, recorded, model)
    assert any("end of the grid for 1 of 4 neurons (b: 1e+04)" in note for note in notes)
    assert any("cc_norm in training is clearly above 1 for 3 of 4 neurons (a: 1." in note for note in notes)


def test_a_little_above_the_ceiling_is_chance():
    train = {"cc_norm": torch.tensor([1.02, 1.2, 1.3]), "n_repeats": torch.tensor([10, 10, 1])}
    (note,) = _about_fit({"train": train}, SimpleNamespace(), ["a", "b", "c"])
    assert "clearly above 1 for 1 of 3 neurons (b: 1.200)" in note


def test_they_are_in_the_table_the_file_and_the_evaluation(tmp_path, no_figures):
    data = make()
    data.protocols = {"own": INDICES}
    result = fit_run(FitOptions(dataset=data, model="linear", window_ms=20, epochs=1), tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "scores.json").read_text())["notes"]
    assert saved == result.summary["notes"]
    assert any(note.startswith("single trials only") for note in saved)
    text = result_text(result)
    assert all(text.count(note) == 1 for note in saved)
    assert list(evaluate_run(result.folder, data=data).notes) == saved
