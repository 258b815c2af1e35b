"""Bad options, folders and damaged runs on the command line: one clear line, exit code 2, and nothing is lost."""

import contextlib
import copy
import functools
import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from file_builders import tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepSTRF.cli.main import main
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models.audio import Linear
from deepSTRF.registry import DatasetCard, register_dataset
from deepSTRF.runs import FitOptions, RunError, evaluate, evaluate_run, fit_run


@register_dataset(
    DatasetCard(
        name="few",
        summary="a few simulated neurons, so that these tests are quick",
        species="none",
        area="none",
        size="3 neurons, 6 sounds of 0.5 s, 3 repeats",
        paper="none",
        licence="none",
        default_split="holdout:1",
    )
)
class Few(SimulatedDataset):
    def __init__(self, dt_ms=5.0):
        super().__init__(n_neurons=3, n_stims=6, duration_s=0.5, n_repeats=3, n_bands=8, dt_ms=dt_ms)


LINEAR = ("fit", "few", "linear")
RIDGE = ("fit", "few", "ridge")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs that go to ``runs/`` by default must not end in the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small finished run."""
    out = tmp_path_factory.mktemp("runs") / "ridge"
    result = CliRunner().invoke(main, [*RIDGE, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def refused(*arguments):
    """The line that the command prints; whatever is not one clear line with exit code 2 is a failure."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    return lines[0]


OPTION_TABLE = [
    pytest.param(["fit", "simulatd"], ["no data set 'simulatd'", "Did you mean 'simulated'?"], id="dataset"),
    pytest.param(["fit", "simulated", "ridg"], ["no model 'ridg'", "Did you mean 'ridge'?"], id="model"),
    pytest.param(["fit", "simulated", "Statenet"], ["statenet"], id="model-case"),
    pytest.param(["fit", ""], ["no data set ''", "simulated"], id="dataset-empty"),
    pytest.param([*LINEAR, "--epochs", "0"], ["--epochs must be at least 1, got 0"], id="epochs-zero"),
    pytest.param([*LINEAR, "--epochs", "2.5"], ["--epochs", "2.5", "integer"], id="epochs-float"),
    pytest.param([*LINEAR, "--patience", "-1"], ["--patience must be at least 1, got -1"], id="patience"),
    pytest.param([*LINEAR, "--batch-size", "0"], ["--batch-size must be at least 1, got 0"], id="batch-size"),
    pytest.param([*LINEAR, "--lr", "-1"], ["--lr must be positive"], id="lr-negative"),
    pytest.param([*LINEAR, "--lr", "nan"], ["--lr must be positive", "finite"], id="lr-nan"),
    pytest.param([*LINEAR, "--lr", "fast"], ["--lr", "fast", "float"], id="lr-str"),
    pytest.param([*LINEAR, "--weight-decay", "inf"], ["--weight-decay", "finite"], id="weight-decay"),
    pytest.param([*LINEAR, "--loss", "mae"], ["--loss", "'mae'", "mse", "poisson"], id="loss"),
    pytest.param([*LINEAR, "--monitor", "val_ccc"], ["--monitor must be one of val_cc_norm, val_cc"], id="monitor"),
    pytest.param([*LINEAR, "--seed", "-1"], ["--seed must lie between 0 and 2**32 - 1, got -1"], id="seed"),
    pytest.param([*LINEAR, "--seed", "x"], ["--seed", "integer"], id="seed-str"),
    pytest.param([*LINEAR, "--threads", "0"], ["--threads", "x>=1"], id="threads"),
    pytest.param([*LINEAR, "--device", "nope"], ["--device nope cannot be used here"], id="device"),
    pytest.param([*LINEAR, "--device", "meta"], ["--device meta holds no numbers"], id="device-meta"),
    pytest.param([*LINEAR, "--dt-ms", "0"], ["dt_ms must be positive", "got 0"], id="dt-zero"),
    pytest.param([*LINEAR, "--dt-ms", "nan"], ["dt_ms must be positive", "got nan"], id="dt-nan"),
    pytest.param([*LINEAR, "--dt-ms", "1e9"], ["dt_ms must lie in (0, 50]"], id="dt-huge"),
    pytest.param([*RIDGE, "--split", "nope"], ["no split 'nope'", "holdout:K"], id="split"),
    pytest.param([*RIDGE, "--split", "holdout:0"], ["at least one stimulus per part"], id="split-zero"),
    pytest.param([*RIDGE, "--split", "holdout:999"], ["1999 in all, but there are 6"], id="split-large"),
    pytest.param([*RIDGE, "--epochs", "3"], ["closed form", "--epochs would do nothing"], id="ridge-epochs"),
    pytest.param([*RIDGE, "--data", "."], ["needs no files; leave --data out"], id="data-of-simulated"),
    pytest.param(["fit", "ns1", "ridge", "--data", "nowhere"], ["nowhere does not exist", "--data"], id="data-missing"),
    pytest.param([*RIDGE, "--out", "/proc/nothing"], ["cannot make the run folder /proc/nothing"], id="out-unwritable"),
    pytest.param([*RIDGE, "--bogus"], ["No such option", "--bogus"], id="option"),
    pytest.param([*RIDGE, "more"], ["unexpected extra argument", "more"], id="argument"),
    pytest.param(["evaluate", "nowhere"], ["no run folder nowhere", "`deepstrf fit`"], id="evaluate-missing"),
    pytest.param(["evaluate", ""], ["not a finished run"], id="evaluate-empty"),
]


@pytest.mark.parametrize(("arguments", "words"), OPTION_TABLE)
def test_options(elsewhere, arguments, words):
    line = refused(*arguments)
    assert [word for word in words if word not in line] == []
    assert list(elsewhere.iterdir()) == []  # refused before a folder is made


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there():
    assert "--device cuda cannot be used here" in refused(*LINEAR, "--device", "cuda")


def test_data_that_are_a_file_or_an_empty_folder(elsewhere):
    (elsewhere / "file").write_text("mine")
    (elsewhere / "empty").mkdir()
    assert "file is a file" in refused("fit", "ns1", "ridge", "--data", "file")
    line = refused("fit", "ns1", "ridge", "--data", "empty")
    assert "incomplete" in line
    assert "MetadataSHEnCneurons.mat is missing" in line
    assert tree(elsewhere) == {"file": b"mine", "empty": None}


def test_a_run_never_overwrites(elsewhere, finished):
    before = tree(finished)
    assert "already exists, and a run never overwrites anything" in refused(*RIDGE, "--out", finished)
    assert "already exists" in refused(*RIDGE, "--out", finished / "config.json" / "below")
    assert "--resume" not in refused(*RIDGE, "--out", finished)
    assert tree(finished) == before
    (elsewhere / "begun").mkdir()
    (elsewhere / "begun" / "config.json").write_text("{}")
    assert "or go on with this unfinished run with --resume" in refused(*RIDGE, "--out", "begun")
    (elsewhere / "file").write_text("mine")
    assert "already exists" in refused(*RIDGE, "--out", "file")
    assert (elsewhere / "file").read_text() == "mine"


# --- damaged runs -----------------------------------------------------------------------------------------------------


def damaged(finished, elsewhere, name, content):
    """A copy of the run, with one file missing (None), made a folder ('folder'), or of other content."""
    copy = elsewhere / "copy"
    shutil.copytree(finished, copy)
    path = copy / name
    before = path.read_bytes()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content(before))
    return copy


CONTENTS = {
    "missing": None,
    "folder": "folder",
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "bytes": lambda content: b"\xff\x00" * 50,
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("name", ["config.json", "scores.json", "model/config.json", "model/model.safetensors"])
def test_evaluate_refuses_a_damaged_run(finished, elsewhere, name, kind):
    copy = damaged(finished, elsewhere, name, CONTENTS[kind])
    before = tree(copy)
    line = refused("evaluate", copy)
    assert name.rpartition("/")[2] in line
    assert tree(copy) == before


@pytest.mark.parametrize("kind", ["truncated", "empty", "bytes"])
def test_evaluate_refuses_damaged_metadata(finished, elsewhere, kind):
    line = refused("evaluate", damaged(finished, elsewhere, "model/metadata.json", CONTENTS[kind]))
    assert "metadata.json is damaged" in line


def test_evaluate_needs_only_what_it_reads(finished, elsewhere):
    copy = damaged(finished, elsewhere, "history.jsonl", CONTENTS["bytes"])
    for name in ("neurons.csv", "predictions.npz", "model/README.md"):
        (copy / name).write_bytes(b"?")
    result = CliRunner().invoke(main, ["evaluate", str(copy)])
    assert result.exit_code == 0
    assert "the same numbers as the saved ones" in result.output


def edited(*keys, to):
    """Change the entry of a JSON file that `keys` lead to."""

    def edit(content):
        value = json.loads(content)
        functools.reduce(lambda entry, key: entry[key], keys[:-1], value)[keys[-1]] = to
        return json.dumps(value).encode()

    return edit


def without(*keys):
    def edit(content):
        value = json.loads(content)
        del functools.reduce(lambda entry, key: entry[key], keys[:-1], value)[keys[-1]]
        return json.dumps(value).encode()

    return edit


def option(name, value):
    return edited("options", name, to=value)


def score(value, part="test", name="cc_norm", statistic="median"):
    return edited("parts", part, name, statistic, to=value)


CONFIG_TABLE = [
    pytest.param(lambda content: b"[1]", ["not that of a run"], id="list"),
    pytest.param(lambda content: b"{}", ["not that of a run", "options"], id="nothing"),
    pytest.param(lambda content: b"[" * 100_000, ["cannot be read as JSON"], id="deep"),
    pytest.param(edited("options", to=None), ["not that of a run"], id="no-options"),
    pytest.param(edited("options", to=[["seed", 0]]), ["not that of a run"], id="options-list"),
    pytest.param(option("depth", 3), ["not that of a run", "depth"], id="unknown-option"),
    pytest.param(without("data_sha256"), ["not that of a run", "data_sha256"], id="no-fingerprint"),
    pytest.param(edited("data_sha256", to=5), ["not that of a run", "data_sha256 is 5"], id="fingerprint-number"),
    pytest.param(option("seed", "0"), ["--seed must be a whole number, got '0'"], id="seed-str"),
    pytest.param(option("seed", None), ["--seed must be a whole number, got None"], id="seed-None"),
    pytest.param(option("seed", -1), ["--seed must lie between 0 and 2**32 - 1, got -1"], id="seed-negative"),
    pytest.param(option("threads", 1.5), ["--threads must be a whole number, got 1.5"], id="threads-float"),
    pytest.param(option("threads", True), ["--threads must be a whole number, got True"], id="threads-bool"),
    pytest.param(option("threads", 0), ["--threads must lie between 1 and 1024, got 0"], id="threads-zero"),
    pytest.param(option("threads", 10**6), ["--threads must lie between 1 and 1024"], id="threads-million"),
    pytest.param(option("dt_ms", "5"), ["--dt-ms must be a number, got '5'"], id="dt-str"),
    pytest.param(option("split", ["holdout:1"]), ["--split must be a text, got ['holdout:1']"], id="split-list"),
    pytest.param(option("dataset", 5), ["--dataset must be a text, got 5"], id="dataset-number"),
    pytest.param(option("dataset", {}), ["--dataset must be a text, got {}"], id="dataset-dict"),
    pytest.param(option("dataset", "simulatd"), ["Did you mean 'simulated'?"], id="dataset"),
    pytest.param(option("split", "nope"), ["no split 'nope'"], id="split"),
    pytest.param(option("data", "nowhere"), ["needs no files"], id="data"),
    pytest.param(option("dt_ms", 4), ["the data are not those that the run was fitted on"], id="other-data"),
]
SCORES_TABLE = [
    pytest.param(lambda content: b"[1]", ["not that of a run"], id="list"),
    pytest.param(lambda content: b"null", ["not that of a run"], id="null"),
    pytest.param(edited("parts", to=[1]), ["not that of a run"], id="parts-list"),
    pytest.param(without("parts"), ["not that of a run", "'parts'"], id="no-parts"),
    pytest.param(without("parts", "train"), ["not that of a run", "'train'"], id="no-train"),
    pytest.param(edited("parts", "val", to=0.5), ["not that of a run"], id="part-number"),
    pytest.param(without("parts", "val", "cc"), ["not that of a run", "'cc'"], id="no-cc"),
    pytest.param(edited("parts", "val", "cc", to=0.5), ["not that of a run"], id="cc-number"),
    pytest.param(without("parts", "val", "cc", "median"), ["not that of a run", "'median'"], id="no-median"),
    pytest.param(without("parts", "val", "cc", "defined"), ["not that of a run", "'defined'"], id="no-count"),
    pytest.param(score("high"), ["not that of a run", "'high'"], id="median-str"),
    pytest.param(score([0.5]), ["not that of a run", "list"], id="median-list"),
    pytest.param(score(float("nan")), ["not that of a run", "a score is not finite"], id="median-nan"),
    pytest.param(score(10**400), ["not that of a run", "too large"], id="median-huge"),
]


def refused_evaluation(run, words):
    before = tree(run)
    line = refused("evaluate", run)
    assert [word for word in words if word not in line] == []
    assert tree(run) == before


@pytest.mark.parametrize(("content", "words"), CONFIG_TABLE)
def test_evaluate_refuses_configurations_that_are_json_but_of_no_run(finished, elsewhere, content, words):
    refused_evaluation(damaged(finished, elsewhere, "config.json", content), words)


@pytest.mark.parametrize(("content", "words"), SCORES_TABLE)
def test_evaluate_refuses_scores_that_are_json_but_of_no_run(finished, elsewhere, content, words):
    refused_evaluation(damaged(finished, elsewhere, "scores.json", content), ["scores.json", *words])


def test_evaluate_refuses_a_model_of_another_population(finished, elsewhere):
    run = damaged(finished, elsewhere, "scores.json", lambda content: content)
    for neurons, bands, words in ((1, 8, ["is a model of 1 neurons, but the run has 3"]), (3, 9, ["(B, 1, 9, T)"])):
        shutil.rmtree(run / "model")
        Linear(bands, 5, neurons).save_pretrained(run / "model")
        refused_evaluation(run, words)


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
def test_fuzzed_json_is_read_or_refused(finished, elsewhere, monkeypatch, name):
    """Whatever stands in the place of any entry; the data are those of the run, so that no example loads its own."""
    run = damaged(finished, elsewhere, name, lambda content: content)
    good = json.loads((run / name).read_text())
    recording = evaluate.load_recording(FitOptions("few", "ridge"))
    monkeypatch.setattr(evaluate, "load_recording", lambda options: recording)
    monkeypatch.setattr(evaluate, "cpu_threads", lambda number: contextlib.nullcontext())

    @settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(places(good))), JSON_VALUES, st.booleans())
    def check(keys, value, remove):
        changed = copy.deepcopy(good)
        if keys:
            entry = functools.reduce(lambda inner, key: inner[key], keys[:-1], changed)
            entry.__delitem__(keys[-1]) if remove else entry.__setitem__(keys[-1], value)
        (run / name).write_text(json.dumps(changed if keys else value))
        with contextlib.suppress(RunError):
            assert evaluate_run(run).largest_difference >= 0

    check()


# --- sweeps -----------------------------------------------------------------------------------------------------------

SWEEP = """
out = "sweep"
[[dataset]]
name = "few"
[[model]]
name = "ridge"
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ["needs a folder"], id="empty"),
        pytest.param(b"\xff\x00" * 50, ["sweep.toml is not a TOML file"], id="bytes"),
        pytest.param(SWEEP.encode()[:-2], ["sweep.toml is not a TOML file", "end of document"], id="cut"),
        pytest.param(b"out = " + b"[" * 10**5, ["sweep.toml is not a TOML file"], id="deep"),
        pytest.param(SWEEP.replace("few", "fww").encode(), ["'fww'", "Did you mean 'few'?"], id="dataset"),
    ],
)
def test_damaged_files_of_a_sweep(elsewhere, content, words):
    (elsewhere / "sweep.toml").write_bytes(content)
    line = refused("sweep", "sweep.toml")
    assert [word for word in words if word not in line] == []
    assert tree(elsewhere) == {"sweep.toml": content}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("config.json", lambda content: b"[1]", ["not that of a run"], id="config-list"),
        pytest.param("config.json", edited("options", to=None), ["not that of a run"], id="options"),
        pytest.param("config.json", option("seed", "x"), ["another run", "seed 'x', not 0"], id="seed"),
        pytest.param("config.json", without("neurons"), ["not that of a run", "'neurons'"], id="neurons"),
        pytest.param("scores.json", lambda content: content[:50], ["cannot be read as JSON"], id="scores-cut"),
        pytest.param("scores.json", lambda content: b"[1]", ["not that of a run"], id="scores-list"),
        pytest.param("scores.json", without("parts", "val"), ["not that of a run", "'val'"], id="part"),
        pytest.param("scores.json", score("high"), ["not that of a run", "'high'"], id="median"),
    ],
)
def test_a_damaged_run_of_a_sweep_is_refused_and_left_alone(finished, elsewhere, name, content, words):
    (elsewhere / "sweep.toml").write_text(SWEEP)
    run = damaged(finished, elsewhere, name, content)
    (elsewhere / "sweep").mkdir()
    run = run.rename(elsewhere / "sweep" / "few-ridge-seed0")
    before = tree(run)
    line = refused("sweep", "sweep.toml")
    assert [word for word in [name if "another" not in words[0] else str(run), *words] if word not in line] == []
    assert tree(run) == before


# --- unfinished runs --------------------------------------------------------------------------------------------------

EPOCHS = FitOptions("few", "linear", epochs=2)


@pytest.fixture
def unfinished(elsewhere):
    """A run that was ended after its first epoch."""

    def stop(fitter, row):
        fitter.stop()

    with pytest.raises(RunError, match="stopped after epoch 0"):
        fit_run(EPOCHS, elsewhere / "run", on_epoch=stop)
    return elsewhere / "run"


STATE = "training/best.pt.resume"
RESUME_TABLE = [
    pytest.param("config.json", lambda content: content[:50], ["config.json cannot be read as JSON"], id="config-cut"),
    pytest.param("config.json", lambda content: b"[1]", ["another configuration"], id="config-list"),
    pytest.param("config.json", lambda content: b"[" * 10**5, ["cannot be read as JSON"], id="config-deep"),
    pytest.param("config.json", option("seed", 1), ["options.seed: was 1, is 0", "--out"], id="config-seed"),
    pytest.param("config.json", edited("options", to=5), ["another configuration"], id="config-options"),
    pytest.param("history.jsonl", lambda content: b"?\n" + content, ["line 1 is not a JSON object"], id="history"),
    pytest.param("history.jsonl", lambda content: b"[" * 10**5 + b"\n", ["line 1", "mend"], id="history-deep"),
    pytest.param("history.jsonl", lambda content: b"{}\n" + content, ["line 1 is not that"], id="history-{}"),
    pytest.param("history.jsonl", edited("epoch", to="0"), ["line 1 is not that of an epoch"], id="history-epoch"),
    pytest.param("history.jsonl", edited("seconds", to=None), ["line 1 is not that of"], id="history-seconds"),
    pytest.param(STATE, lambda content: content[:-9], ["best.pt.resume is damaged", "Delete it"], id="state-cut"),
    pytest.param(STATE, lambda content: b"", ["best.pt.resume is damaged", "Delete it"], id="state-empty"),
]


@pytest.mark.parametrize(("name", "content", "words"), RESUME_TABLE)
def test_a_damaged_unfinished_run_is_refused_and_left_alone(unfinished, name, content, words):
    (unfinished / name).write_bytes(content((unfinished / name).read_bytes()))
    before = tree(unfinished)
    line = refused(*LINEAR, "--epochs", 2, "--resume", "--out", unfinished)
    assert [word for word in words if word not in line] == []
    after = tree(unfinished)
    assert after.pop("config.json") is not None
    assert {path: content for path, content in before.items() if path != "config.json"} == after


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_leaves_what_was_there(disk, finished):
    folder = disk(250)
    (folder / "mine.txt").write_text("mine")
    line = refused(*LINEAR, "--epochs", 1, "--out", folder / "run")
    assert f"No space left on device: '{folder / 'run'}" in line
    assert (folder / "mine.txt").read_text() == "mine"
    assert "not a finished run" in refused("evaluate", folder / "run")


def test_a_disk_that_is_full_from_the_start(disk, elsewhere):
    folder = disk(100)
    with contextlib.suppress(OSError):
        (folder / "ballast").write_bytes(bytes(10**6))
    before = tree(folder)
    assert f"No space left on device: '{folder / 'run'}" in refused(*RIDGE, "--out", folder / "run")
    assert tree(folder) == before  # no folder of a run, nor a temporary file


def test_an_unfinished_run_on_a_full_disk_stays_as_it_is(disk, unfinished):
    run = disk(400) / "run"
    shutil.copytree(unfinished, run)
    with contextlib.suppress(OSError):
        (run.parent / "ballast").write_bytes(bytes(10**7))
    before = tree(run)
    assert f"No space left on device: '{run}" in refused(*LINEAR, "--epochs", 2, "--resume", "--out", run)
    assert tree(run) == before


def test_a_disk_that_can_only_be_read(disk, read_only, finished):
    folder = disk(2000)
    shutil.copytree(finished, folder / "run")
    read_only(folder)
    assert "Read-only file system" in refused(*RIDGE, "--out", folder / "new")
    result = CliRunner().invoke(main, ["evaluate", str(folder / "run")])
    assert "the same numbers as the saved ones" in result.output
    assert tree(folder / "run") == tree(finished)
