"""Loggers: interface.md §3.5, read back with each tool's own reader."""

import json
import os
import pickle
import random
import socket

import numpy as np
import processes
import pytest
import torch

from deepSTRF.models.audio import Linear
from deepSTRF.training import Fitter
from deepSTRF.training.loggers import (
    LOGGER_KINDS,
    JsonlLogger,
    MLflowSeedLogger,
    TensorBoardSeedLogger,
    WandbSeedLogger,
    make_jsonl_logger_factory,
    make_logger,
    make_mlflow_logger_factory,
    make_tensorboard_logger_factory,
    make_wandb_logger_factory,
    read_jsonl,
    summarise,
)

# SQLAlchemy 2.1 on MLflow's own tables
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

NAN = float("nan")
SCORES = torch.tensor([0.1, NAN, 0.4, 0.9, float("inf"), -0.2])
DEFINED = np.array([0.1, 0.4, 0.9, -0.2])
PERCENTILES = {"p10": 10, "p50": 50, "p90": 90}
FINAL = {"val": {"loss": 0.5, "cc": SCORES}, "test": {"loss": 0.75, "cc": SCORES}}


def epoch(number, **more):
    return {"epoch": number, "train_loss": torch.tensor(1 / (number + 1)), "val_cc": SCORES + number, **more}


# ---------------------------------------------------------------------- percentiles


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, "numpy", "needs gradients"])
def test_percentiles_are_those_of_numpy_over_the_defined_neurons(kind):
    values = {"numpy": SCORES.numpy(), "needs gradients": SCORES.clone().requires_grad_()}.get(kind)
    if values is None:
        values = SCORES.to(kind)
    summary = summarise(values)
    reference = DEFINED if kind != torch.bfloat16 else SCORES.bfloat16().double().numpy()[[0, 2, 3, 5]]
    assert summary.pop("n_valid") == 4
    assert summary.pop("mean") == pytest.approx(reference.mean(), rel=1e-6)
    assert summary == {name: pytest.approx(np.percentile(reference, q), rel=1e-6) for name, q in PERCENTILES.items()}


# ---------------------------------------------------------------------- JSONL


def test_jsonl_rows(tmp_path):
    log = JsonlLogger(tmp_path / "new" / "history.jsonl")
    assert not log.path.exists()  # a run that never finishes an epoch leaves no file
    log(epoch(0, val_cc_norm=torch.full((3,), NAN), lr=np.float32(0.5), val_loss=NAN, note="warm start"))
    log(epoch(1))
    text = log.path.read_text()
    assert text.endswith("\n")
    assert "NaN" not in text
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows == read_jsonl(log.path)
    assert list(rows[0]) == ["epoch", "train_loss", "val_cc", "val_cc_norm", "lr", "val_loss", "note"]
    assert rows[0]["val_cc"]["p90"] == pytest.approx(np.percentile(DEFINED, 90))
    assert rows[0]["val_cc_norm"] == {"mean": None, "p10": None, "p50": None, "p90": None, "n_valid": 0}
    assert (rows[0]["val_loss"], rows[0]["lr"], rows[0]["note"]) == (None, 0.5, "warm start")
    assert (rows[1]["epoch"], rows[1]["train_loss"]) == (1, 0.5)


def test_jsonl_goes_on_wherever_the_last_write_was_cut(tmp_path):
    log = JsonlLogger(tmp_path / "whole.jsonl")
    log({"epoch": 0, "train_loss": 0.5})
    first = log.path.stat().st_size
    log({"epoch": 1, "note": "µ"})
    content = log.path.read_bytes()
    for cut in range(len(content) + 1):
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(content[:cut])
        whole = (cut >= first - 1) + (cut >= len(content) - 1)  # a line that lacks nothing but its line break is whole
        assert [row["epoch"] for row in read_jsonl(torn)] == list(range(whole)), cut
        JsonlLogger(torn)({"epoch": 7})
        assert [row["epoch"] for row in read_jsonl(torn)] == [*range(whole), 7], cut
        assert [json.loads(line)["epoch"] for line in torn.read_text().splitlines()] == [*range(whole), 7], cut


def test_jsonl_rewind_removes_what_will_be_fitted_again(tmp_path):
    log = JsonlLogger(tmp_path / "history.jsonl")
    for number in range(5):
        log(epoch(number))
    log.path.chmod(0o640)
    whole = log.path.read_bytes()
    with log.path.open("a") as file:
        file.write('{"epoch": 5, "tra')
    again = JsonlLogger(log.path)
    again.rewind(3)
    assert log.path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
    assert log.path.stat().st_mode & 0o777 == 0o640
    again(epoch(3))
    assert [row["epoch"] for row in read_jsonl(log.path)] == [0, 1, 2, 3]
    again.rewind(9)
    assert [row["epoch"] for row in read_jsonl(log.path)] == [0, 1, 2, 3]
    again.rewind(0)
    assert read_jsonl(log.path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_jsonl_rewind_of_a_run_without_lines_makes_no_file(tmp_path):
    JsonlLogger(tmp_path / "history.jsonl").rewind(0)
    assert not list(tmp_path.iterdir())


def test_jsonl_rewind_drops_a_torn_line_even_where_no_row_goes(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 0}\n{"epoch": 1, "tr')
    log = JsonlLogger(path)
    log.rewind(1)
    log({"epoch": 1})
    assert path.read_text() == '{"epoch": 0}\n{"epoch": 1}\n'


def test_jsonl_rewind_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    log = JsonlLogger(tmp_path / "history.jsonl")
    for number in range(3):
        log(epoch(number))
    before = log.path.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        log.rewind(1)
    assert log.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_jsonl_seeds_in_one_file_keep_to_themselves(tmp_path):
    path = tmp_path / "seeds.jsonl"
    for seed in (0, 1):
        log = JsonlLogger(path, seed, {"lr": 1e-3, "device": torch.device("cpu")})
        for number in range(3):
            log({"epoch": number})
        log.finalize(FINAL)
        log.close()
    log = JsonlLogger(path, 1, {"lr": 1e-3})  # goes on: the config is there already
    log.rewind(1)
    rows = read_jsonl(path)
    assert [row.get("epoch") for row in rows if row["seed"] == 0] == [None, 0, 1, 2, None]
    assert [row.get("epoch") for row in rows if row["seed"] == 1] == [None, 0]
    assert rows[0] == {"seed": 0, "config": {"lr": 1e-3, "device": "cpu"}}
    final = rows[4]["final"]
    assert final["test"]["loss"] == 0.75
    assert final["val"]["cc"]["p50"] == pytest.approx(np.percentile(DEFINED, 50))


@pytest.mark.parametrize("damage", [b'{"epoch": 1, "tr\n', b"\0\0\0\n", b"[1, 2]\n", b"\n", b"\xff\xfe\n"])
def test_jsonl_damaged_line_is_named_and_nothing_is_removed(tmp_path, damage):
    path = tmp_path / "history.jsonl"
    content = b'{"epoch": 0}\n' + damage + b'{"epoch": 2}\n'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2 is not a JSON object"):
        read_jsonl(path)
    with pytest.raises(ValueError, match="line 2"):
        JsonlLogger(path).rewind(1)
    assert path.read_bytes() == content


def test_jsonl_path_that_is_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; add a file name"):
        JsonlLogger(tmp_path)


def batches(seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "stims": torch.randn(2, 1, 6, 40, generator=generator),
            "responses": torch.randn(2, 4, 3, 40, generator=generator),
        }
        for _ in range(2)
    ]


def test_loggers_see_what_the_fitter_found_and_change_nothing(tmp_path):
    def fit(log_fn):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model = Linear(n_frequency_bands=6, temporal_window_size=3, out_neurons=4)
        history = Fitter(model, batches(0), batches(1), max_epochs=3, log_fn=log_fn).fit()
        drawn = (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: NPY002
        return history, [parameter.detach().clone() for parameter in model.parameters()], drawn

    loggers = [JsonlLogger(tmp_path / "history.jsonl"), TensorBoardSeedLogger(0, log_dir=tmp_path)]
    _, weights, drawn = fit(None)
    history, logged_weights, drawn_after_logging = fit(lambda row: [log(row) for log in loggers])
    loggers[1].close()
    assert drawn == drawn_after_logging
    assert all(torch.equal(one, other) for one, other in zip(weights, logged_weights, strict=True))
    rows = read_jsonl(loggers[0].path)
    assert [row["val_cc"]["mean"] for row in rows] == [float(row["val_cc"].double().mean()) for row in history]
    steps = [event.step for event in tensorboard_events(loggers[1].run_dir).Scalars("val_cc_norm")]
    assert steps == [0, 1, 2]


# ---------------------------------------------------------------------- TensorBoard


def tensorboard_events(folder):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(accumulators.DEFAULT_SIZE_GUIDANCE, 0)
    )
    events.Reload()
    return events


def curve(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def text(events, tag):
    return events.Tensors(tag + "/text_summary")[-1].tensor_proto.string_val[0].decode()


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard")
    log = TensorBoardSeedLogger(
        3, log_dir=tmp_path, group="linear", config={"lr": 0.5, "model": "Linear", "deep": True}
    )
    assert (log.seed, log.run_dir) == (3, tmp_path / "linear" / "linear-seed3")
    log(epoch(0, val_cc_norm=torch.full((4,), NAN), note="warm"))
    log(epoch(1, constant=torch.zeros(5)))
    log.finalize(FINAL)
    log.close()
    log.close()
    events = tensorboard_events(log.run_dir)
    assert curve(events, "train_loss") == [(0, 1.0), (1, 0.5)]
    assert curve(events, "val_cc") == [(n, pytest.approx(DEFINED.mean() + n)) for n in (0, 1)]
    for name, q in PERCENTILES.items():
        assert curve(events, f"val_cc/{name}") == [(n, pytest.approx(np.percentile(DEFINED, q) + n)) for n in (0, 1)]
        assert curve(events, f"final/test_cc/{name}") == [(0, pytest.approx(np.percentile(DEFINED, q)))]
    assert curve(events, "final/test_loss") == [(0, 0.75)]
    assert curve(events, "final/val_cc") == [(0, pytest.approx(DEFINED.mean()))]
    assert np.isnan(events.Scalars("val_cc_norm/p50")[0].value)
    histogram = events.Histograms("val_cc/hist")[1].histogram_value
    assert (histogram.num, histogram.min, histogram.max) == (4, pytest.approx(0.8), pytest.approx(1.9))
    assert {"val_cc/hist", "constant/hist", "final/test_cc/hist"} <= set(events.Tags()["histograms"])
    assert "val_cc_norm/hist" not in events.Tags()["histograms"]  # no neuron has a value
    assert curve(events, "hparams/lr") == [(0, 0.5)]
    assert curve(events, "hparams/seed") == [(0, 3.0)]
    assert text(events, "hparams/model") == "Linear"
    assert text(events, "note") == "warm"
    assert "| lr | 0.5 |" in text(events, "config")


@pytest.mark.parametrize(
    ("options", "folder"),
    [({}, "default/seed2"), ({"name": "a"}, "default/a-seed2"), ({"name": "a", "group": "g"}, "g/a-seed2")],
)
def test_tensorboard_folder(tmp_path, options, folder):
    pytest.importorskip("tensorboard")
    log = make_tensorboard_logger_factory(log_dir=tmp_path, **options)(2)
    log.close()
    assert log.run_dir == tmp_path / folder
    assert log.run_dir.is_dir()


@pytest.mark.parametrize("start", [0, 2])
def test_tensorboard_curves_are_replaced_from_the_first_epoch_of_a_later_fit(tmp_path, start):
    pytest.importorskip("tensorboard")
    for loss, epochs in ((1.0, range(5)), (2.0, range(start, 4))):
        for older in tmp_path.rglob("events.out.tfevents.*"):  # files are read by name, in which the second stands
            older.rename(older.with_name(f"events.out.tfevents.1000000000.{older.name}"))
        log = TensorBoardSeedLogger(0, log_dir=tmp_path, config={"lr": loss})
        for number in epochs:
            log({"epoch": number, "train_loss": loss})
        log.close()
    events = tensorboard_events(log.run_dir)
    assert curve(events, "train_loss") == [(n, 1.0 if n < start else 2.0) for n in range(4)]
    assert curve(events, "hparams/lr")[-1] == (0, 2.0)


# ---------------------------------------------------------------------- MLflow


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory):
    """One store for all tests here: making its tables takes two seconds."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    return tmp_path_factory.mktemp("mlflow store")


@pytest.mark.slow
def test_mlflow_reads_back_what_was_logged(mlflow_store, monkeypatch):
    monkeypatch.chdir(mlflow_store)
    config = {"lr": 0.5, "model": "Linear", "kernel": {"size": 3}, **{f"option{n}": n for n in range(120)}}
    log = MLflowSeedLogger(3, tracking_dir="runs", experiment="linear", config=config)
    for number in range(3):
        log(epoch(number, val_cc_norm=torch.full((4,), NAN), note=f"epoch {number}"))
    log.finalize(FINAL)
    log.close()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{mlflow_store}/runs/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("linear").experiment_id])
    assert (run.info.run_id, run.info.run_name, run.info.status) == (log.run_id, "linear-seed3", "FINISHED")
    assert run.info.artifact_uri.startswith((mlflow_store / "runs" / "artifacts").as_uri())
    assert len(run.data.params) == len(config) + 1
    assert {name: run.data.params[name] for name in ("lr", "model", "kernel", "seed")} == {
        "lr": "0.5", "model": "Linear", "kernel": '{"size": 3}', "seed": "3"
    }  # fmt: skip
    assert run.data.tags["note"] == "epoch 2"

    def history(name):
        return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]

    assert history("train_loss") == [(n, pytest.approx(1 / (n + 1))) for n in range(3)]
    for name, q in PERCENTILES.items():
        assert history(f"val_cc/{name}") == [(n, pytest.approx(np.percentile(DEFINED, q) + n)) for n in range(3)]
        assert history(f"final/test_cc/{name}") == [(0, pytest.approx(np.percentile(DEFINED, q)))]
    assert history("final/val_loss") == [(0, 0.5)]
    assert [np.isnan(value) for _, value in history("val_cc_norm")] == [True] * 3
    assert "epoch" not in run.data.metrics
    assert sorted(path.name for path in mlflow_store.iterdir()) == ["runs"]  # nothing in the working folder


@pytest.mark.slow
def test_mlflow_run_is_continued(mlflow_store):
    first = MLflowSeedLogger(0, tracking_dir=mlflow_store / "runs", name="again", config={"epochs": 1})
    first({"epoch": 0, "train_loss": 0.5})
    first.close()
    second = MLflowSeedLogger(
        0, tracking_dir=mlflow_store / "runs", name="other name", config={"epochs": 2}, run_id=first.run_id
    )
    assert second.client.get_run(first.run_id).info.status == "RUNNING"
    second({"epoch": 1, "train_loss": 0.25})
    second.close()
    run = second.client.get_run(first.run_id)
    assert (run.info.run_name, run.info.status, run.data.params["epochs"]) == ("again-seed0", "FINISHED", "1")
    losses = second.client.get_metric_history(first.run_id, "train_loss")
    assert [(metric.step, metric.value) for metric in losses] == [(0, 0.5), (1, 0.25)]
    with pytest.raises(ValueError, match="there is no run 'none' to continue"):
        MLflowSeedLogger(0, tracking_dir=mlflow_store / "runs", run_id="none")


@pytest.mark.parametrize("name", ["50%25", "what?"])
def test_mlflow_folder_that_an_address_cannot_name(tmp_path, name):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    with pytest.raises(ValueError, match="must not contain % or"):
        MLflowSeedLogger(0, tracking_dir=tmp_path / name)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- Weights & Biases


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """wandb with all its folders in `tmp_path` and its service process ended with the test."""
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    wandb.teardown()  # what another test started knows another environment
    yield wandb
    wandb.teardown()
    for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):  # set by the logger
        os.environ.pop(name, None)


@pytest.mark.slow
def test_wandb_is_offline_by_default(wandb, tmp_path):
    log = WandbSeedLogger(3, group="linear", dir=tmp_path / "runs", config={"lr": 0.5})
    assert os.environ["WANDB_MODE"] == "offline"
    assert (log.seed, log.run.name, log.run.settings.mode) == (3, "linear-seed3", "offline")
    assert dict(log.run.config) == {"lr": 0.5, "seed": 3}
    log(epoch(0, val_cc_norm=torch.full((4,), NAN)))
    log(epoch(1))
    log.finalize(FINAL)
    summary = log.run.summary
    assert summary["test_loss"] == 0.75
    assert summary["val_cc"] == pytest.approx(DEFINED.mean())
    assert summary["test_cc/p90"] == pytest.approx(np.percentile(DEFINED, 90))
    assert summary["train_loss"] == 0.5
    assert sum(summary["val_cc/hist"]["values"]) == 4
    log.close()
    (run_folder,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    assert next(run_folder.glob("run-*.wandb")).stat().st_size > 0


def test_wandb_logs_what_belongs_to_an_epoch_as_one_step(wandb, tmp_path, monkeypatch):
    log = WandbSeedLogger(0, mode="disabled")
    logged = []
    monkeypatch.setattr(log.run, "log", lambda values, step, commit: logged.append((step, values)))
    log(epoch(4, val_cc_norm=torch.full((4,), NAN)))
    log.close()
    ((step, values),) = logged
    assert step == 4
    histogram = values.pop("val_cc/hist")
    assert isinstance(histogram, wandb.Histogram)
    assert sum(histogram.histogram) == 4
    assert sorted(values) == [
        "train_loss", "val_cc", "val_cc/p10", "val_cc/p50", "val_cc/p90",
        "val_cc_norm", "val_cc_norm/p10", "val_cc_norm/p50", "val_cc_norm/p90",
    ]  # fmt: skip
    assert values["val_cc/p10"] == pytest.approx(np.percentile(DEFINED, 10) + 4)
    assert np.isnan(values["val_cc_norm"])


def test_wandb_disabled_creates_no_files(wandb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = WandbSeedLogger(0, mode="disabled", dir=tmp_path / "runs")
    log(epoch(0))
    log.finalize(FINAL)
    log.close()
    assert not list(tmp_path.rglob("*run-*"))
    assert not (tmp_path / "runs").exists()
    assert "WANDB_MODE" not in os.environ


def test_wandb_does_not_write_into_a_run_that_is_open(wandb, tmp_path):
    first, second = (WandbSeedLogger(seed, name="a", dir=tmp_path) for seed in (0, 1))
    first(epoch(0))
    second(epoch(5))
    assert (first.run.name, second.run.name) == ("a-seed0", "a-seed1")
    assert (first.run.step, second.run.step) == (1, 6)
    first.close()
    second.close()


USE_LOGGER = """
import sys
from deepSTRF.training.loggers import WandbSeedLogger, make_logger
kind, folder, seed = sys.argv[1:]
log = make_logger(kind, folder, seed=int(seed), config={"lr": 0.5})
for epoch in range(20):
    log({"epoch": epoch, "train_loss": 0.5})
log.finalize({"test": {"loss": 0.5}})
log.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOGGER_KINDS)
def test_a_logger_uses_no_network_and_writes_into_its_folder_only(kind, tmp_path):
    """With MLflow from two processes at once, which make its store."""
    if kind != "jsonl":
        pytest.importorskip(kind)
    home, folder = tmp_path / "home", tmp_path / "run"
    work = [tmp_path / f"work{seed}" for seed in range(2 if kind == "mlflow" else 1)]
    for made in (home, *work):
        made.mkdir()
    # MLflow and wandb report to their makers unless they are told not to, or find themselves in a test.
    told = ("CI", "GITHUB_", "PYTEST_", "WANDB_", "MLFLOW_", "DO_NOT_TRACK")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(told) and "proxy" not in name.lower()
    }
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment |= {"HOME": str(home), "HTTPS_PROXY": address, "HTTP_PROXY": address}
        started = [
            processes.start(USE_LOGGER, kind, folder, seed, folder=own, environment=environment)
            for seed, own in enumerate(work)
        ]
        ended = [processes.wait(process, own) for process, own in zip(started, work, strict=True)]
        assert [done.code for done in ended] == [0] * len(work), ended
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody is waiting to be let in
            proxy.accept()
    assert all({path.name for path in own.iterdir()} == {"out", "err"} for own in work)
    made = sorted(path.name for path in folder.iterdir())
    assert made == {"jsonl": ["history.jsonl"], "mlflow": ["mlruns"]}.get(kind, [kind])
    if kind == "mlflow":
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        assert len(runs) == 2
        assert [len(client.get_metric_history(run.info.run_id, "train_loss")) for run in runs] == [20, 20]


# ---------------------------------------------------------------------- factories, names, missing packages


def test_factories_can_travel_to_other_processes(tmp_path):
    factories = [
        make_jsonl_logger_factory(folder=tmp_path, config={"lr": 1}),
        make_tensorboard_logger_factory(log_dir=tmp_path),
        make_wandb_logger_factory(project="a", mode="disabled"),
        make_mlflow_logger_factory(tracking_dir=tmp_path),
    ]
    copies = [pickle.loads(pickle.dumps(factory)) for factory in factories]
    log = copies[0](4)
    log(epoch(0))
    assert [row["seed"] for row in read_jsonl(tmp_path / "seed4.jsonl")] == [4, 4]
    assert [copy.keywords for copy in copies] == [factory.keywords for factory in factories]


def test_unknown_kind(tmp_path):
    with pytest.raises(ValueError, match=r"unknown logger 'comet'; available: jsonl, tensorboard, wandb, mlflow"):
        make_logger("comet", tmp_path)


def test_paths_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_jsonl_logger_factory("~/lines")(0)(epoch(0))
    TensorBoardSeedLogger(0, log_dir="~/curves").close()
    make_logger("jsonl", "~/run")(epoch(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "lines", "run"]


def test_names_of_the_earlier_release():
    from deepSTRF.training import tb_log, wandb_log

    assert tb_log.TensorBoardSeedLogger is TensorBoardSeedLogger
    assert tb_log.make_tensorboard_logger_factory is make_tensorboard_logger_factory
    assert wandb_log.WandbSeedLogger is WandbSeedLogger
    assert wandb_log.make_wandb_logger_factory is make_wandb_logger_factory


def test_packages_are_imported_by_their_loggers_only(tmp_path):
    code = (
        "import sys, deepSTRF.training.tb_log, deepSTRF.training.wandb_log\n"
        "from deepSTRF.training.loggers import make_logger\n"
        "make_logger('jsonl', sys.argv[1])({'epoch': 0})\n"
        "names = ('tensorboard', 'wandb', 'mlflow')\n"
        "print([name for name in names if name in sys.modules])\n"
        "sys.modules |= dict.fromkeys(names)  # import them now, and they are not there\n"
        "for name in names:\n"
        "    try: make_logger(name, sys.argv[1])\n"
        "    except ImportError as error: print(name, '|', error)"
    )
    (tmp_path / "process").mkdir()
    done = processes.run(code, tmp_path / "run", folder=tmp_path / "process")
    loaded, *errors = done.out.splitlines()
    assert loaded == "[]", done.err
    assert [error.split(" | ")[0] for error in errors] == ["tensorboard", "wandb", "mlflow"], done.err
    for error, logger in zip(errors, ("TensorBoardSeedLogger", "WandbSeedLogger", "MLflowSeedLogger"), strict=True):
        assert f"{logger} needs" in error
        assert error.endswith("run: pip install deepSTRF[loggers]")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["history.jsonl"]
