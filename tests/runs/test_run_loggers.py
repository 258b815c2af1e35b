"""``deepstrf fit --log``: more loggers for a run, read back with their own readers."""

import json
import sys

import pytest
from shell import run as command

from deepSTRF.runs import FitOptions, Interrupted, RunError, fit_run
from deepSTRF.runs.options import LOGGERS
from deepSTRF.training import NonFiniteLossError
from deepSTRF.training.loggers import LOGGER_KINDS, read_jsonl

pytestmark = [
    pytest.mark.usefixtures("no_figures"),
    # SQLAlchemy 2.1 on MLflow's own tables
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


def options(**more):
    return FitOptions(**{"dataset": "tiny", "model": "linear", "epochs": 4, "batch_size": 4} | more)


def tensorboard_curve(run, tag):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (folder,) = {path.parent for path in (run / "tensorboard").rglob("events.out.tfevents.*")}
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def stop_after(epoch):
    return lambda fitter, row: fitter.stop() if row["epoch"] == epoch else None


def test_the_command_logs_what_the_history_has(tmp_path):
    pytest.importorskip("tensorboard")
    arguments = ["fit", "tiny", "linear", "--epochs", 2, "--out", tmp_path / "run", "--log", "tensorboard", "--json"]
    result = command(*arguments, exit_code=0)
    assert json.loads(result.stdout)["folder"] == str(tmp_path / "run")
    history = read_jsonl(tmp_path / "run" / "history.jsonl")
    for name in ("mean", "p10", "p90"):
        curve = tensorboard_curve(tmp_path / "run", "val_cc" if name == "mean" else f"val_cc/{name}")
        assert curve == [(row["epoch"], pytest.approx(row["val_cc"][name], rel=1e-5)) for row in history]
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["parts"]
    for part in ("val", "test"):
        for name in ("cc", "cc_norm"):
            ((_, value),) = tensorboard_curve(tmp_path / "run", f"final/{part}_{name}")
            assert value == pytest.approx(scores[part][name]["mean"], rel=1e-5)


def test_a_model_in_closed_form_has_one_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    fit_run(FitOptions(dataset="tiny", model="ridge"), tmp_path / "run", loggers=["tensorboard"])
    (row,) = read_jsonl(tmp_path / "run" / "history.jsonl")
    assert tensorboard_curve(tmp_path / "run", "val_cc") == [(0, pytest.approx(row["val_cc"]["mean"], rel=1e-5))]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_the_same_curves(tmp_path):
    """And logging changes nothing of what is fitted."""
    pytest.importorskip("tensorboard")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    whole = fit_run(options(), tmp_path / "whole")
    run, loggers = tmp_path / "run", ("tensorboard", "mlflow")
    with pytest.raises(Interrupted):
        fit_run(options(), run, loggers=loggers, on_epoch=stop_after(1))
    fit_run(options(), run, loggers=loggers, resume=True)
    weights = "model/model.safetensors"
    assert (run / weights).read_bytes() == (whole.folder / weights).read_bytes()

    client = mlflow.MlflowClient(f"sqlite:///{run}/mlruns/mlflow.db")
    (logged,) = client.search_runs([client.get_experiment_by_name("deepSTRF").experiment_id])
    assert (logged.info.run_name, logged.info.status) == ("run-seed0", "FINISHED")
    assert logged.data.params["epochs"] == "4"
    steps = [metric.step for metric in client.get_metric_history(logged.info.run_id, "val_cc")]
    assert steps == [step for step, _ in tensorboard_curve(run, "val_cc")] == [0, 1, 2, 3]
    assert logged.data.metrics["final/test_cc"] == pytest.approx(float(whole.scores["test"]["cc"].mean()))


class Recorder:
    """A logger that remembers what was done to it."""

    def __init__(self, kind, folder, **_):
        self.calls = []
        recorders.append(self)

    def __call__(self, row):
        self.calls.append(row["epoch"])

    def finalize(self, final):
        self.calls.append("finalize")

    def close(self):
        self.calls.append("close")


recorders = []


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr("deepSTRF.runs.fit.make_logger", Recorder)
    recorders.clear()
    return recorders


def test_loggers_are_closed_however_the_run_ends(tmp_path, recorded):
    fit_run(options(epochs=1), tmp_path / "whole", loggers=["wandb", "mlflow", "wandb"])
    assert [recorder.calls for recorder in recorded] == [[0, "finalize", "close"]] * 2, "each kind once"
    with pytest.raises(Interrupted):
        fit_run(options(), tmp_path / "stopped", loggers=["wandb"], on_epoch=stop_after(0))
    with pytest.warns(UserWarning, match="val_cc_norm is undefined"), pytest.raises(NonFiniteLossError):
        fit_run(options(lr=1e30), tmp_path / "failed", loggers=["wandb"])
    assert recorded[2].calls == [0, "close"]
    assert recorded[3].calls[-1] == "close"
    assert "finalize" not in recorded[3].calls


def test_the_loggers_of_a_run_are_all_but_the_history():
    assert {"jsonl", *LOGGERS} == set(LOGGER_KINDS)


def test_what_cannot_log_is_said_and_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(RunError, match=r"unknown logger 'jsonl'; available: tensorboard, wandb, mlflow"):
        fit_run(options(), tmp_path / "run", loggers=["jsonl"])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install deepSTRF\[loggers\]"):
        fit_run(options(), tmp_path / "run", loggers=["tensorboard"])
    assert not list(tmp_path.iterdir())
