"""A saved model applied to new sounds: as the run itself did, in the units of the recording."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch
from shell import run

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.runs import FitOptions, RunError, fit_run, predict

RNG = np.random.default_rng(0)
FS = 16000
SOUNDS = {f"sound-{k}": (0.1 * RNG.normal(size=FS // 2) * (1 + k)).astype(np.float32) for k in range(6)}
COUNTS = {name: RNG.poisson(1.5, (3, 4, 50)) for name in SOUNDS}
IDS = [{"cell_id": f"unit {n}"} for n in range(3)]


def fitted(folder, model="ridge", **options):
    dataset = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 10.0, nrn_meta=IDS, **options)
    settings = {} if model == "ridge" else {"epochs": 1}
    return fit_run(FitOptions(dataset=dataset, model=model, **settings), folder)


@pytest.fixture(scope="module")
def ridge(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
        return fitted(tmp_path_factory.mktemp("runs") / "ridge", spectrogram={"n_bands": 8})


@pytest.mark.parametrize("kind", ["arrays", "one array", "files", "model folder"])
def test_a_sound_of_the_recording_gets_the_predictions_of_the_run(ridge, tmp_path, kind):
    for name, sound in SOUNDS.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, FS, subtype="FLOAT")
    if kind == "arrays":
        predictions = predict(ridge.folder, SOUNDS, FS)
    elif kind == "one array":
        predictions = predict(ridge.folder, SOUNDS["sound-0"], FS)
    else:
        predictions = predict(ridge.folder / ("model" if kind == "model folder" else ""), tmp_path)
    expected = ridge.predictions[: len(predictions)]
    assert predictions.names == (["sound 0"] if kind == "one array" else list(SOUNDS))
    assert predictions.cell_ids == ["unit 0", "unit 1", "unit 2"]
    assert all(torch.equal(one, other) for one, other in zip(predictions, expected, strict=True))
    assert predictions.notes == []
    assert float(predictions[0].mean()) == pytest.approx(1.5, abs=0.3)  # in spikes per bin


@pytest.mark.parametrize(("model", "spectrogram"), [("linear", "mel"), ("icnet", "waveform")])
def test_networks_and_models_of_waveforms(tmp_path, no_figures, model, spectrogram):
    result = fitted(tmp_path / "run", model, spectrogram=spectrogram)
    predictions = predict(tmp_path / "run", SOUNDS, FS)
    assert all(torch.equal(one, other) for one, other in zip(predictions, result.predictions, strict=True))


def test_stimuli_that_were_standardised_before_the_run(tmp_path, no_figures):
    stereo = {name: np.stack([sound, sound], 1) for name, sound in SOUNDS.items()}
    dataset = AudioNeuralDataset.from_waveforms(stereo, FS, COUNTS, 10.0)
    dataset.standardize_stims([0, 1])
    result = fit_run(FitOptions(dataset=dataset, model="ridge"), tmp_path / "run")
    predictions = predict(tmp_path / "run", stereo, FS)
    assert all(torch.equal(one, other) for one, other in zip(predictions, result.predictions, strict=True))
    assert "the sounds have several channels: the mean of them was used" in result.summary["notes"]


def test_sounds_of_another_rate_and_length(ridge):
    t = np.arange(44100 * 2) / 44100
    predictions = predict(ridge.folder, {"tone": np.sin(2000 * np.pi * t)}, 44100)
    assert predictions[0].shape == (3, 200)
    with pytest.raises(ValueError, match="the last band lies at 7600 Hz, and sound 'tone' of 8000 Hz ends at 4000 Hz"):
        predict(ridge.folder, {"tone": np.ones(8000)}, 8000)


def test_a_sound_in_another_unit_is_noticed(ridge):
    (note,) = predict(ridge.folder, {"loud": SOUNDS["sound-0"] * 1e5}, FS).notes
    assert "loud is unlike the training stimuli" in note


def test_stimuli_as_arrays(ridge, tmp_path, no_figures):
    dataset = AudioNeuralDataset.from_waveforms(SOUNDS, FS, COUNTS, 10.0, spectrogram={"n_bands": 8})
    stim = dataset.stims[2]
    np.save(tmp_path / "stim.npy", stim[0].numpy())
    for given in (stim, stim[0].numpy(), [stim], tmp_path / "stim.npy", {"a": stim[0]}):
        assert torch.equal(predict(ridge.folder, given)[0], ridge.predictions[2])
    np.save(tmp_path / "wave.npy", SOUNDS["sound-2"])
    assert torch.equal(predict(ridge.folder, tmp_path / "wave.npy", FS)[0], ridge.predictions[2])
    movies = RNG.normal(size=(6, 5, 4, 60))
    seen = VideoNeuralDataset.from_arrays(movies, list(RNG.poisson(1.0, (6, 2, 3, 60))), 20.0)
    result = fit_run(FitOptions(dataset=seen, model="video-ln", epochs=1), tmp_path / "movies")
    assert torch.equal(predict(tmp_path / "movies", movies[1])[0], result.predictions[1])
    with pytest.raises(RunError, match="does not say how stimuli of shape"):
        predict(tmp_path / "movies", SOUNDS["sound-0"], FS)


def test_bad_inputs_say_what_to_do(ridge, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npy").write_text("no array")
    unknown = tmp_path / "unknown"
    shutil.copytree(ridge.folder, unknown)
    metadata = json.loads((unknown / "model" / "metadata.json").read_text())
    for change in ({"spectrogram": None}, {"stimulus_shape": None}):
        (unknown / "model" / "metadata.json").write_text(json.dumps(metadata | change))
        with pytest.raises(RunError, match=r"does not say how stimuli|was not written by a run"):
            predict(unknown, SOUNDS, FS)
    for arguments, kind, message in [
        ((tmp_path / "gone", SOUNDS, FS), RunError, "there is no folder"),
        ((tmp_path / "empty", SOUNDS, FS), RunError, "does not hold the model of a run, it has no metadata.json"),
        ((ridge.folder, tmp_path / "gone.wav"), FileNotFoundError, "no sound file or folder"),
        ((ridge.folder, [tmp_path / "gone.npy"]), FileNotFoundError, "there is no file"),
        ((ridge.folder, tmp_path / "text.npy"), ValueError, "cannot be read as an array of numbers"),
        ((ridge.folder, SOUNDS["sound-0"]), ValueError, "a waveform needs its rate"),
        ((ridge.folder, SOUNDS, 16.0), ValueError, "was it given in kHz?"),
        ((ridge.folder, np.ones((9, 50))), ValueError, "has shape (9, 50), the stimuli of the run are (1, 8)"),
        ((ridge.folder, np.full((8, 50), np.nan)), ValueError, "holds NaN or infinite values"),
    ]:
        with pytest.raises(kind, match=re.escape(message)):
            predict(*arguments)


def test_a_run_of_an_earlier_version_says_so(ridge, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(ridge.folder, old)
    file = old / "model" / "metadata.json"
    metadata = json.loads(file.read_text()) | {"deepSTRF": "0.1.9"}
    for key in ("spectrogram", "stimulus_shape"):
        metadata.pop(key)
        file.write_text(json.dumps(metadata))
        with pytest.raises(RunError, match=rf"earlier version of deepSTRF \(0\.1\.9\).*{key}.*fit it again"):
            predict(old, SOUNDS, FS)


def test_the_command_writes_table_arrays_and_figure(ridge, tmp_path):
    soundfile.write(tmp_path / "new.wav", np.stack([SOUNDS["sound-1"]] * 2, 1), FS, subtype="FLOAT")
    out = tmp_path / "out"
    printed = run("predict", ridge.folder, tmp_path / "new.wav", "--out", out, exit_code=0).stdout
    assert "new: 3 neurons, 50 bins of 10 ms (0.5 s)" in printed
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["sound", "time_s", "unit 0", "unit 1", "unit 2"]
    assert rows[3][:2] == ["new", "0.02"]
    np.testing.assert_allclose([float(row[3]) for row in rows[1:]], ridge.predictions[1][1], rtol=1e-6)
    with np.load(out / "predictions.npz") as arrays:
        assert np.array_equal(arrays["pred_000"], ridge.predictions[1])
        assert arrays["names"].tolist() == ["new"]
    assert (out / "predictions.png").read_bytes().startswith(b"\x89PNG")
    assert "already exists" in run("predict", ridge.folder, tmp_path / "new.wav", "--out", out, exit_code=2).stderr
    summary = json.loads(run("predict", ridge.folder, tmp_path / "new.wav", "--json", exit_code=0).stdout)
    assert summary["folder"] == str(ridge.folder / "predicted-1")
    assert summary["sounds"][0]["bins"] == 50


def test_the_command_cache(tmp_path, monkeypatch):
    from deepSTRF.datasets.cache import cached

    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    cached("folder", [__file__], {}, lambda: torch.zeros(1000))
    assert re.search(r"folder +0\.0 MB .*\n1 entry, 0\.0 MB, in .*cache", run("cache", exit_code=0).stdout)
    assert json.loads(run("cache", "--json", exit_code=0).stdout)["entries"][0]["kind"] == "folder"
    assert "cleared 1 entry" in run("cache", "--clear", exit_code=0).stdout
    assert "0 entries" in run("cache", exit_code=0).stdout
