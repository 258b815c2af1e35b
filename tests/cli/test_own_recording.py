"""deepstrf new and check: an example that can be read at once, a page about a folder, and exit codes."""

import json

import numpy as np
import processes
import pytest
from shell import error_line, run

from deepSTRF.datasets import read_folder
from deepSTRF.datasets.audio import AudioNeuralDataset


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "mine"
    return folder, run("new", folder, exit_code=0).output


def test_new_writes_an_example_that_is_small_and_commented(example):
    folder, said = example
    assert f"deepstrf check {folder}" in said
    assert f"deepstrf fit {folder}" in said
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1.5e6
    toml = (folder / "recording.toml").read_text()
    assert max(map(len, toml.splitlines())) <= 120
    for key in ("dt_ms", "unit", "trials", "onset_ms", "species", "[spectrogram]", "[splits.example]"):
        assert key in toml
    ds = read_folder(folder)
    assert (ds.N_neurons, ds.get_S(), ds.F, list(ds.protocols)) == (3, 12, 20, ["example"])


def test_new_refuses_a_folder_with_something_in_it(example, tmp_path):
    error_line("new", example[0], words=["is a folder that is not empty", "choose another name"])
    (tmp_path / "file").write_text("")
    error_line("new", tmp_path / "file", words=["is a file"])
    (tmp_path / "empty").mkdir()
    run("new", tmp_path / "empty", exit_code=0)


def test_check_says_what_is_in_the_example(example, tmp_path):
    page = run("check", example[0], "--figure", tmp_path / "figures" / "it.png", exit_code=0).output
    assert "12 stimuli, 2 s long, 24 s in all; spectrograms of 20 bands in bins of 5 ms" in page
    assert "3 neurons, recorded for 100 % of all pairs of neuron and stimulus, in 5 repeats" in page
    assert "split 'example': 8 train, 2 val, 2 test stimuli" in page
    assert "Nothing looks suspicious." in page
    assert (tmp_path / "figures" / "it.png").read_bytes().startswith(b"\x89PNG")


def test_check_as_json(example):
    found = json.loads(run("check", example[0], "--json", exit_code=0).output)
    assert found["neurons"] == ["n1", "n2", "n3"]
    assert found["coverage"] == 1
    assert np.shape(found["repeats"]) == (12, 3)
    assert found["suspicions"] == []


def test_check_names_what_looks_wrong_and_ends_well(tmp_path):
    counts = np.random.default_rng(0).poisson(0.3, (20, 3, 60))
    counts[:8] = 0
    names = [{"cell_id": f"u{n:02d}"} for n in range(20)]
    ds = AudioNeuralDataset.from_arrays({"rain": np.eye(3, 60)}, [counts], 5.0, nrn_meta=names)
    ds.to_folder(tmp_path / "mine")
    page = run("check", tmp_path / "mine", exit_code=0).output
    assert "8 things look suspicious:" in page
    assert "- neuron 'u04' never fires in any of 3 trials" in page
    assert "u05' never" not in page
    assert "and 3 more of this kind (all of them: --json)" in page
    assert "and 8 more (all of them: --json)" in page
    suspicions = json.loads(run("check", tmp_path / "mine", "--json", exit_code=0).output)["suspicions"]
    assert [suspicion["neuron"] for suspicion in suspicions] == [f"u{n:02d}" for n in range(8)]


def test_a_single_neuron_and_stimulus_are_one(tmp_path):
    counts = np.random.default_rng(0).poisson(0.3, (1, 3, 2400))
    AudioNeuralDataset.from_arrays({"rain": np.random.default_rng(1).random((3, 2400))}, [counts], 5.0).to_folder(
        tmp_path / "mine"
    )
    page = run("check", tmp_path / "mine", exit_code=0).output
    assert "1 stimulus, 12 s long" in page
    assert "1 neuron, recorded for" in page
    assert "1 neurons" not in page
    told = run("fit", tmp_path / "mine", "ridge", "--out", tmp_path / "run", exit_code=0).output
    assert "ridge on" in told
    assert ": 1 neuron, " in told
    assert "1 neurons" not in told
    assert "1 stimuli" not in told


def test_check_of_what_cannot_be_read(tmp_path):
    error_line("check", tmp_path / "nowhere", words=["there is no folder"])
    error_line("check", tmp_path, words=["there is no recording.toml", "deepstrf new"])


@pytest.mark.slow
def test_a_newcomers_way_from_nothing_to_a_fitted_run(tmp_path):
    """What is typed, as it is typed; each in a process of its own."""
    said = {}
    for line in ("new mine", "check mine", "fit mine ridge --out fitted"):
        done = processes.run(processes.COMMAND, *line.split(), folder=tmp_path)
        assert done.code == 0, done.err
        assert done.err == ""
        said[line] = done.out
    assert "Nothing looks suspicious." in said["check mine"]
    assert "3 neurons, 8 train, 2 val, 2 test stimuli (split example)" in said["fit mine ridge --out fitted"]
    scores = json.loads((tmp_path / "fitted" / "scores.json").read_text())
    assert scores["parts"]["test"]["cc_norm"]["mean"] > 0.7
