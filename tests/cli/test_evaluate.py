"""``deepstrf evaluate``: the same numbers again, or one clear line about a run that is damaged."""

import contextlib
import copy
import functools
import json
import shutil

import pytest
from damaged_runs import CONTENTS, damaged, edited, option, score, without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shell import error_line, run, tree

from deepSTRF.models.audio import Linear
from deepSTRF.runs import FitOptions, RunError, evaluate, evaluate_run


@pytest.fixture
def finished(ridge_run):
    """The folder of a finished run."""
    return ridge_run[0]


def test_evaluate_gets_the_same_numbers(ridge_run):
    out, stdout = ridge_run
    result = run("evaluate", out, exit_code=0)
    assert "the same numbers" in result.stdout
    table = [line for line in result.stdout.splitlines() if line.startswith(("train", "validation", "test"))]
    assert len(table) == 3
    assert all(line in stdout for line in table)
    as_json = json.loads(run("evaluate", out, "--json").stdout)
    assert as_json["largest_difference"] < 1e-6


def test_evaluate_does_not_call_an_undefined_score_the_same(ridge_run, tmp_path):
    shutil.copytree(ridge_run[0], tmp_path / "run")
    path = tmp_path / "run" / "scores.json"
    saved = json.loads(path.read_text())
    saved["parts"]["test"]["cc"] |= {"mean": None, "median": None, "defined": 0}
    path.write_text(json.dumps(saved))
    output = run("evaluate", tmp_path / "run").stdout
    assert "DIFFERENT" in output
    assert "undefined" in output


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("name", ["config.json", "scores.json", "model/config.json", "model/model.safetensors"])
def test_a_damaged_run(finished, elsewhere, name, kind):
    copy = damaged(finished, elsewhere, name, CONTENTS[kind])
    before = tree(copy)
    line = error_line("evaluate", copy)
    assert name.rpartition("/")[2] in line
    assert tree(copy) == before


@pytest.mark.parametrize("kind", ["truncated", "empty", "bytes"])
def test_damaged_metadata(finished, elsewhere, kind):
    line = error_line("evaluate", damaged(finished, elsewhere, "model/metadata.json", CONTENTS[kind]))
    assert "metadata.json is damaged" in line


def test_evaluate_needs_only_what_it_reads(finished, elsewhere):
    copy = damaged(finished, elsewhere, "history.jsonl", CONTENTS["bytes"])
    for name in ("neurons.csv", "predictions.npz", "model/README.md"):
        (copy / name).write_bytes(b"?")
    assert "the same numbers as the saved ones" in run("evaluate", copy, exit_code=0).stdout


CONFIG_TABLE = [
    pytest.param(lambda content: b"[1]", ["not written by a run"], id="list"),
    pytest.param(lambda content: b"{}", ["not written by a run", "options"], id="nothing"),
    pytest.param(lambda content: b"[" * 100_000, ["cannot be read as JSON"], id="deep"),
    pytest.param(edited("options", to=None), ["not written by a run"], id="no-options"),
    pytest.param(edited("options", to=[["seed", 0]]), ["not written by a run"], id="options-list"),
    pytest.param(option("depth", 3), ["not written by a run", "depth"], id="unknown-option"),
    pytest.param(without("data_sha256"), ["not written by a run", "data_sha256"], id="no-fingerprint"),
    pytest.param(edited("data_sha256", to=5), ["not written by a run", "data_sha256 is 5"], id="fingerprint-number"),
    pytest.param(option("seed", "0"), ["seed must be an integer, got a str: '0'"], id="seed-str"),
    pytest.param(option("seed", None), ["seed must be an integer, got None"], id="seed-None"),
    pytest.param(option("seed", -1), ["seed must lie between 0 and 4294967295, got -1"], id="seed-negative"),
    pytest.param(option("threads", 1.5), ["threads must be an integer, got a float: 1.5"], id="threads-float"),
    pytest.param(option("threads", True), ["threads must be an integer, got the bool True"], id="threads-bool"),
    pytest.param(option("threads", 0), ["threads must lie between 1 and 1024, got 0"], id="threads-zero"),
    pytest.param(option("threads", 10**6), ["threads must lie between 1 and 1024"], id="threads-million"),
    pytest.param(option("dt_ms", "5"), ["dt_ms must be a number, got a str: '5'"], id="dt-str"),
    pytest.param(
        option("split", ["holdout:1"]), ["split must be a string, got a list: ['holdout:1']"], id="split-list"
    ),
    pytest.param(option("dataset", 5), ["dataset must be a string, got an int: 5"], id="dataset-number"),
    pytest.param(option("dataset", {}), ["dataset must be a string, got a dict: {}"], id="dataset-dict"),
    pytest.param(option("dataset", "simulatd"), ["Did you mean 'simulated'?"], id="dataset"),
    pytest.param(option("split", "nope"), ["split 'nope'"], id="split"),
    pytest.param(option("data", "nowhere"), ["nowhere"], id="data"),
    pytest.param(option("dt_ms", 4), ["the data are not those that the run was fitted on"], id="other-data"),
]
SCORES_TABLE = [
    pytest.param(lambda content: b"[1]", ["not written by a run"], id="list"),
    pytest.param(lambda content: b"null", ["not written by a run"], id="null"),
    pytest.param(edited("parts", to=[1]), ["not written by a run"], id="parts-list"),
    pytest.param(without("parts"), ["not written by a run", "'parts'"], id="no-parts"),
    pytest.param(without("parts", "train"), ["not written by a run", "'train'"], id="no-train"),
    pytest.param(edited("parts", "val", to=0.5), ["not written by a run"], id="part-number"),
    pytest.param(without("parts", "val", "cc"), ["not written by a run", "'cc'"], id="no-cc"),
    pytest.param(edited("parts", "val", "cc", to=0.5), ["not written by a run"], id="cc-number"),
    pytest.param(without("parts", "val", "cc", "median"), ["not written by a run", "'median'"], id="no-median"),
    pytest.param(without("parts", "val", "cc", "defined"), ["not written by a run", "'defined'"], id="no-count"),
    pytest.param(score("high"), ["not written by a run", "'high'"], id="median-str"),
    pytest.param(score([0.5]), ["not written by a run", "list"], id="median-list"),
    pytest.param(score(float("nan")), ["not written by a run", "a score is not finite"], id="median-nan"),
    pytest.param(score(10**400), ["not written by a run", "too large"], id="median-huge"),
]


def check_not_evaluated(folder, words):
    before = tree(folder)
    error_line("evaluate", folder, words=words)
    assert tree(folder) == before


@pytest.mark.parametrize(("content", "words"), CONFIG_TABLE)
def test_configurations_that_are_json_but_of_no_run(finished, elsewhere, content, words):
    check_not_evaluated(damaged(finished, elsewhere, "config.json", content), words)


@pytest.mark.parametrize(("content", "words"), SCORES_TABLE)
def test_scores_that_are_json_but_of_no_run(finished, elsewhere, content, words):
    check_not_evaluated(damaged(finished, elsewhere, "scores.json", content), ["scores.json", *words])


def test_a_model_of_another_population(finished, elsewhere):
    folder = damaged(finished, elsewhere, "scores.json", lambda content: content)
    for neurons, bands, words in ((1, 8, ["is a model of 1 neuron, but the run has 4"]), (4, 9, ["(B, 1, 9, T)"])):
        shutil.rmtree(folder / "model")
        Linear(bands, 5, neurons).save_pretrained(folder / "model")
        check_not_evaluated(folder, words)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(value, keys=()):
    """Where in a JSON value something can be replaced."""
    yield keys
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*keys, key))


@pytest.mark.parametrize("name", ["config.json", "scores.json"])
def test_fuzzed_json_is_read_or_an_error(finished, elsewhere, monkeypatch, name):
    """Whatever stands in the place of any entry; the data are those of the run, so that no example loads its own."""
    folder = damaged(finished, elsewhere, name, lambda content: content)
    good = json.loads((folder / name).read_text())
    recording = evaluate.load_recording(FitOptions("tiny", "ridge"))
    monkeypatch.setattr(evaluate, "load_recording", lambda *_: recording)
    monkeypatch.setattr(evaluate, "cpu_threads", lambda number: contextlib.nullcontext())

    @settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(places(good))), JSON_VALUES, st.booleans())
    def check(keys, value, remove):
        changed = copy.deepcopy(good)
        if keys:
            entry = functools.reduce(lambda inner, key: inner[key], keys[:-1], changed)
            entry.__delitem__(keys[-1]) if remove else entry.__setitem__(keys[-1], value)
        (folder / name).write_text(json.dumps(changed if keys else value))
        with contextlib.suppress(RunError):
            assert evaluate_run(folder).largest_difference >= 0

    check()
