"""What the Fitter says to arguments, batches, models, losses and metrics that it cannot use."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from noise_training import Model, Untouched, batches, explode, fit, fitter
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from deepSTRF.metrics import corrcoef, mse_loss
from deepSTRF.models.audio import Linear
from deepSTRF.training import NonFiniteLossError, UnknownMonitorError, set_random_seed

NAN, INF = torch.nan, torch.inf


# --- arguments --------------------------------------------------------------------------------------------------------

ARGUMENT_TABLE = [
    pytest.param({"max_epochs": 0}, ValueError, "max_epochs must be a positive integer, got 0", id="epochs-zero"),
    pytest.param({"max_epochs": -1}, ValueError, "max_epochs must be", id="epochs-negative"),
    pytest.param({"max_epochs": 2.5}, TypeError, "max_epochs must be an integer, got a float: 2.5", id="epochs-float"),
    pytest.param({"max_epochs": "3"}, TypeError, "max_epochs must be an integer, got a str: '3'", id="epochs-str"),
    pytest.param({"max_epochs": True}, TypeError, "max_epochs must be an integer.* True", id="epochs-bool"),
    pytest.param({"patience": True}, TypeError, "patience must be an integer.* True", id="patience-bool"),
    pytest.param({"patience": 0}, ValueError, "patience must be", id="patience-zero"),
    pytest.param({"patience": 2.5}, TypeError, "patience must be an integer", id="patience-float"),
    pytest.param({"patience": None}, TypeError, "patience must be an integer", id="patience-None"),
    pytest.param({"max_grad_norm": 0}, ValueError, "max_grad_norm must be positive", id="norm-zero"),
    pytest.param({"max_grad_norm": "1"}, TypeError, "max_grad_norm must be a number, got a str: '1'", id="norm-str"),
    pytest.param({"max_grad_norm": NAN}, ValueError, "max_grad_norm must be positive", id="norm-nan"),
    pytest.param({"mode": "best"}, ValueError, "mode must be one of 'max', 'min'; got 'best'", id="mode"),
    pytest.param(
        {"model": Linear}, TypeError, "torch.nn.Module, got the class Linear; make an instance", id="model-class"
    ),
    pytest.param({"model": lambda stims: stims}, TypeError, "torch.nn.Module, got a function", id="model-function"),
    pytest.param({"model": Linear(4, 3, 3).to("meta")}, ValueError, "meta device.* on the cpu", id="model-meta"),
    pytest.param({"model": nn.Identity()}, ValueError, "Identity has no trainable parameters", id="model-empty"),
    pytest.param({"loss_fn": "mse"}, TypeError, "loss_fn must be a function .*got a str", id="loss-str"),
    pytest.param({"loss_fn": None}, TypeError, "loss_fn must be a function .*got None", id="loss-None"),
    pytest.param(
        {"log_fn": "log.txt"}, TypeError, "log_fn must be a function .epoch_dict., or None, got a str", id="log"
    ),
    pytest.param({"val_metrics": [corrcoef]}, TypeError, "val_metrics must be a dict .*got a list", id="metrics-list"),
    pytest.param({"val_metrics": {"cc": "corrcoef"}}, TypeError, r"val_metrics\['cc'\] must be a fun", id="metric-str"),
    pytest.param({"val_metrics": {1: corrcoef}}, TypeError, "names of val_metrics .*an int: 1", id="metric-name"),
    pytest.param({"device": "toaster"}, ValueError, "device toaster cannot be used here: Expected", id="device-name"),
    pytest.param({"device": "cuda:99"}, ValueError, "device cuda:99 cannot be used here: ", id="device-number"),
    pytest.param({"device": "hpu"}, ValueError, "device hpu cannot be used here: ", id="device-foreign"),
    pytest.param({"device": "meta"}, ValueError, "device meta holds no numbers.*use cpu", id="device-meta"),
    pytest.param({"device": None}, TypeError, "device must be a name .*got None", id="device-None"),
    pytest.param({"device": 1.5}, TypeError, "device must be a name .*got a float: 1.5", id="device-float"),
    pytest.param({"val_metrics": {"loss": corrcoef}}, ValueError, "cannot be called 'loss'", id="metric-loss"),
    pytest.param(
        {"val_metrics": {"cc": functools.partial(corrcoef, reduction="median")}},
        ValueError,
        "'none', 'mean', 'sum'; got 'median'",
        id="metric-reduction",
    ),
    pytest.param(
        {"optimizer": "adam"}, TypeError, "optimizer must be a torch.optim.Optimizer.* got 'adam'", id="opt-str"
    ),
    pytest.param({"optimizer": 0.1}, TypeError, "optimizer must be", id="opt-number"),
    pytest.param(
        {"optimizer": torch.optim.SGD(Linear(4, 3, 3).parameters(), lr=0.1)},
        ValueError,
        "none of the model's trainable parameters",
        id="opt-other",
    ),
    pytest.param({"optimizer": lambda _: None}, TypeError, "must return a torch.optim.Opt.*, got None", id="opt-None"),
    pytest.param({"scheduler": lambda _: None}, TypeError, "scheduler=.* must return.*got None", id="scheduler-None"),
    pytest.param({"scheduler": "cosine"}, TypeError, "scheduler must be .* got 'cosine'", id="scheduler-str"),
    pytest.param(
        {"scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(Linear(4, 3, 3).parameters(), lr=0.1), 1)},
        ValueError,
        "belongs to another optimizer",
        id="scheduler-other",
    ),
    pytest.param(
        {"scheduler": functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, mode="min")},
        ValueError,
        "mode 'min', but the monitor has mode 'max'",
        id="scheduler-mode",
    ),
    pytest.param({"resume": True}, ValueError, "resume=True needs a ckpt_path", id="resume"),
    pytest.param(
        {"track_per_cell_best": True, "model": Model(lambda pred: pred)}, ValueError, "`readout`", id="per-cell"
    ),
    pytest.param({"ckpt_path": 5}, TypeError, "ckpt_path must be a path .*int: 5", id="path-int"),
    pytest.param({"train": []}, ValueError, "train_loader is empty.*selection", id="train-empty"),
    pytest.param({"val": []}, ValueError, "val_loader is empty.*selection", id="val-empty"),
    pytest.param({"train": 5}, TypeError, "train_loader must be a DataLoader .*got an int", id="train-int"),
    pytest.param({"val": 5}, TypeError, "val_loader must be a DataLoader .*got an int", id="val-int"),
    pytest.param({"train": (batch for batch in batches())}, ValueError, "is a generator, .*one epoch", id="generator"),
    pytest.param({"val": iter(batches())}, ValueError, "val_loader is a list_iterator, .*one epoch", id="iterator"),
    pytest.param({"val": map(dict, batches())}, ValueError, "is a map, .*starts again", id="map"),
    pytest.param({"train": iter(DataLoader(batches(), batch_size=None))}, ValueError, "used up", id="iter-of-loader"),
]


@pytest.mark.parametrize(("options", "error", "words"), ARGUMENT_TABLE)
def test_bad_arguments_are_errors_before_work_starts(options, error, words):
    with pytest.raises(error, match=words):
        fit(**{"train": Untouched(batches()), "val": Untouched(batches()), **options})


@pytest.mark.parametrize(("monitor", "words"), [("val_ccc", "'val_ccc' is not in .*'val_cc'"), (None, "None is not")])
def test_unknown_monitors(monitor, words):
    with pytest.raises(UnknownMonitorError, match=words):
        fit(monitor=monitor)


class Stream(IterableDataset):
    """A data set without a length."""

    def __iter__(self):
        return iter(batches())


def test_loaders_of_unknown_length_and_one_pass_over_an_iterator_are_fine():
    reference = fit()
    assert fit(train=DataLoader(Stream(), batch_size=None))[1]["train_loss"] == reference[1]["train_loss"]
    once = fit(train=iter(batches()), val=iter(batches()), max_epochs=1)
    assert once[0]["val_loss"] == reference[0]["val_loss"]


def test_evaluating_nothing():
    with pytest.raises(ValueError, match="empty list of batches: the loader gave none"):
        fitter().evaluate([])


@pytest.mark.parametrize(
    ("seed", "error", "words"),
    [
        pytest.param(-1, ValueError, "seed must lie between 0", id="negative"),
        pytest.param(2**32, ValueError, "seed must lie between 0", id="large"),
        pytest.param(2.5, TypeError, "float", id="float"),
        pytest.param("1", TypeError, "str", id="str"),
        pytest.param(None, TypeError, "got None", id="None"),
    ],
)
def test_seeds(seed, error, words):
    with pytest.raises(error, match=words):
        set_random_seed(seed)


# --- batches, models, losses ------------------------------------------------------------------------------------------

BATCH_TABLE = [
    pytest.param(
        {"stims": torch.full((2, 1, 4, 20), NAN)}, NonFiniteLossError, "nan in epoch 0, batch 0 of 2", id="nan"
    ),
    pytest.param(
        {"responses": torch.full((2, 3, 2, 20), NAN)}, NonFiniteLossError, "every response is missing", id="all-missing"
    ),
    pytest.param({"responses": torch.full((2, 3, 2, 20), INF)}, NonFiniteLossError, "infinite values", id="infinite"),
    pytest.param({"responses": torch.zeros(2, 2, 2, 20)}, ValueError, "build it with out_neurons=2", id="neurons"),
    pytest.param({"responses": torch.zeros(2, 3, 2, 19)}, ValueError, r"need \(2, 3, 1, 19\)", id="bins"),
    pytest.param({"responses": torch.zeros(3, 3, 2, 20)}, ValueError, r"need \(3, 3, 1, 20\)", id="stimuli"),
    pytest.param({"responses": torch.zeros(2, 3, 0, 20)}, NonFiniteLossError, "missing", id="no-repeat"),
    pytest.param({"responses": torch.zeros(2, 3, 2, 20) > 1}, TypeError, "real numbers.*bool", id="bool"),
    pytest.param({"responses": torch.zeros(2, 3, 2, 20).cfloat()}, TypeError, "real numbers.*complex64", id="complex"),
    pytest.param({"stims": torch.zeros(2, 1, 4, 20).double()}, TypeError, "are torch.float64, but", id="float64"),
    pytest.param({"stims": torch.zeros(2, 1, 5, 20)}, ValueError, r"\(B, 1, 4, T\) with T >= 1", id="bands"),
    pytest.param({"stims": torch.zeros(2, 4, 20)}, ValueError, r"\(B, 1, 4, T\) with T >= 1", id="rank"),
    pytest.param({"stims": torch.full((2, 1, 4, 20), INF)}, NonFiniteLossError, "infinite values", id="inf"),
    pytest.param({"stims": np.zeros((2, 1, 4, 20))}, TypeError, "stims .* tensor, got a ndarray; .*coll", id="numpy"),
    pytest.param({"stims": None}, TypeError, "stims of a batch must be a tensor, got None", id="no-stims"),
    pytest.param({"responses": torch.zeros(2, 3, 20)}, ValueError, r"\(B, N, R, T\), got \(2, 3, 20\)", id="responses"),
    pytest.param({"responses": [torch.zeros(3, 20)] * 2}, TypeError, "got a list; .*neural_collate", id="uncollated"),
]


@pytest.mark.parametrize(("changes", "error", "words"), BATCH_TABLE)
def test_training_batches(changes, error, words):
    with pytest.raises(error, match=words):
        fit(train=batches(**changes))


STIMS, RESPONSES = batches(1)[0].values()


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        pytest.param((STIMS, RESPONSES), TypeError, "must be a dict with 'stims' and 'resp.*got a tuple", id="tuple"),
        pytest.param(None, TypeError, "must be a dict .*got None; .*collate_fn=neural_collate", id="None"),
        pytest.param({"stims": STIMS, "x": 1}, ValueError, r"needs 'responses', but has \['stims', 'x'\]", id="half"),
        pytest.param({"responses": RESPONSES}, ValueError, r"needs 'stims', but has \['responses'\]", id="other-half"),
    ],
)
def test_what_is_not_a_batch(batch, error, words):
    for broken in ({"train": [batch]}, {"val": [batch]}):
        with pytest.raises(error, match=words):
            fit(**broken)


def test_a_neuron_without_data_and_one_without_variance_do_not_spoil_the_others():
    responses = batches(1)[0]["responses"]
    responses[:, 0], responses[:, 1] = NAN, 3.0
    trained = fitter(train=batches(responses=responses), val=batches(responses=responses), restore_best=True)
    history = trained.fit()
    assert [row["val_cc"].isnan().tolist() for row in history] == [[True, True, False]] * 2
    assert [np.isfinite(row["train_loss"]) for row in history] == [True, True]
    assert trained.best_score == pytest.approx(float(history[trained.best_epoch]["val_cc"][2]))
    assert all(bool(value.isfinite().all()) for value in trained.model.state_dict().values())


@pytest.mark.parametrize(
    "changes",
    [
        {"stims": torch.full((2, 1, 4, 20), NAN)},
        {"stims": torch.full((2, 1, 4, 20), INF)},
        {"responses": torch.full((2, 3, 2, 20), NAN)},
        {"responses": torch.full((2, 3, 2, 20), INF)},
        {"responses": torch.full((2, 3, 2, 20), 3.0)},
    ],
    ids=["nan-stims", "inf-stims", "all-missing", "inf-responses", "zero-variance"],
)
def test_undefined_validation_scores_warn_and_win_nothing(changes):
    trained = fitter(val=batches(**changes), max_epochs=1, restore_best=True)
    with pytest.warns(UserWarning, match="val_cc is undefined for 3 of 3; it counts as no improvement"):
        trained.fit()
    assert trained.best_epoch is None


MODEL_TABLE = [
    pytest.param(lambda pred: pred[:, :2], ValueError, r"predicts \(2, 2, 1, 20\) .*out_neurons=3", id="neurons"),
    pytest.param(
        lambda pred: pred[..., 1:], ValueError, r"need \(2, 3, 1, 20\).*one output per response bin", id="bins"
    ),
    pytest.param(lambda pred: pred[:, :, 0], ValueError, r"predicts \(2, 3, 20\)", id="rank"),
    pytest.param(lambda pred: pred.expand(-1, -1, 2, -1), ValueError, r"predicts \(2, 3, 2, 20\)", id="repeats"),
    pytest.param(lambda pred: pred * NAN, NonFiniteLossError, "nan in epoch 0", id="nan"),
    pytest.param(lambda pred: pred > 0, TypeError, "pred must hold real numbers.*bool", id="bool"),
    pytest.param(lambda pred: pred.cfloat(), TypeError, "pred must hold real numbers.*complex64", id="complex"),
    pytest.param(lambda pred: pred.to("meta"), ValueError, "pred is on meta and gt on cpu", id="device"),
    pytest.param(lambda pred: (pred, None), TypeError, r"as a tensor .*\(2, 3, 1, 20\), got a tuple", id="tuple"),
    pytest.param(lambda pred: None, TypeError, "must return its predictions as a tensor .* got None", id="None"),
    pytest.param(lambda pred: pred.detach().numpy(), TypeError, "must return .* got a ndarray", id="numpy"),
    pytest.param(lambda pred: pred.detach(), ValueError, r"depends on no parameter .*\.detach\(\)", id="detached"),
]


@pytest.mark.parametrize(("change", "error", "words"), MODEL_TABLE)
def test_models(change, error, words):
    with pytest.raises(error, match=words):
        fit(model=Model(change))


def test_a_frozen_model():
    with pytest.raises(ValueError, match=r"nothing would be trained: .* no trainable parameters"):
        fit(model=Linear(4, 3, 3).requires_grad_(False), train=Untouched(batches()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_predictions_of_another_precision_are_fine(dtype):
    history = fit(model=Model(lambda pred: pred.to(dtype)), max_epochs=1)
    reference = fit(model=Model(lambda pred: pred), max_epochs=1)
    assert history[0]["train_loss"] == pytest.approx(reference[0]["train_loss"], rel=1e-2)


LOSS_TABLE = [
    pytest.param(
        lambda pred, gt: mse_loss(pred, gt, reduction="none"), ValueError, r"single number.*\(3,\)", id="vector"
    ),
    pytest.param(lambda pred, gt: pred.mean().reshape(1), ValueError, r"single number.*\(1,\)", id="one-element"),
    pytest.param(lambda pred, gt: pred.mean() * NAN, NonFiniteLossError, "nan in epoch 0, batch 0", id="nan"),
    pytest.param(lambda pred, gt: pred.mean() * INF, NonFiniteLossError, "inf in epoch 0, batch 0", id="inf"),
    pytest.param(explode, ZeroDivisionError, "mine", id="raises"),
    pytest.param(lambda pred, gt: pred.mean().item(), TypeError, r"must be a tensor, got a float; .*item", id="float"),
    pytest.param(lambda pred, gt: None, TypeError, "loss must be a tensor, got None", id="None"),
    pytest.param(lambda pred, gt: pred.detach().mean(), ValueError, "depends on no parameter", id="detached"),
    pytest.param(lambda pred, gt: pred.mean() * 1j, TypeError, "must be a real number, got torch.compl", id="complex"),
]


@pytest.mark.parametrize(("loss", "error", "words"), LOSS_TABLE)
def test_losses(loss, error, words):
    with pytest.raises(error, match=words):
        fit(loss_fn=loss)


@pytest.mark.parametrize(
    "value", [1.5, np.float32(1.5), torch.tensor(1.5), np.array(1.5), np.array([1.0, NAN, 2.0]), np.array([1, 2, 1.5])]
)
def test_metrics_may_return_numbers_tensors_and_arrays(value):
    trained = fitter(val_metrics={"mine": lambda pred, responses: value}, monitor="val_mine", restore_best=True)
    history = trained.fit()
    assert (trained.best_epoch, trained.best_score) == (0, 1.5)
    assert not any(isinstance(row["val_mine"], (np.ndarray, np.generic)) for row in history)
    torch.testing.assert_close(torch.as_tensor(history[1]["val_mine"]).double(), torch.as_tensor(value).double(),
                               equal_nan=True)  # fmt: skip


def test_each_neurons_own_best_is_kept_by_a_metric_in_numpy():
    values = iter([[1.0, 5.0, 1.0], [2.0, 4.0, NAN]] * 2)  # of the training batches, then the validation batches
    options = {"val_metrics": {"mine": lambda pred, responses: np.array(next(values))}, "track_train_metrics": False}
    trained = fitter(**options, monitor="val_mine", track_per_cell_best=True)
    with pytest.warns(UserWarning, match="undefined for 1 neuron"):
        trained.fit()
    assert trained._per_cell_snapshots.best.tolist() == [2.0, 5.0, 1.0]


@pytest.mark.parametrize("value", [None, "high", [0.5, 0.5], {"cc": 0.5}, 1j, np.array(["a"]), torch.ones(3) * 1j])
def test_a_metric_that_returns_something_else_is_named(value):
    with pytest.raises(TypeError, match=r"value of metric 'mine' must be a number, or a tensor or array .*, got "):
        fit(val_metrics={"mine": lambda pred, responses: value}, monitor="val_mine")


@pytest.mark.parametrize("value", [np.array([1.0, 2.0, 3.0]), np.float64(2.0)])
def test_on_epoch_end_may_add_numpy_too_and_nothing_else(value):
    trained = fitter(log_fn=lambda row: row.update(mine=value), monitor="mine", restore_best=True)
    trained.fit()
    assert trained.best_score == 2.0
    with pytest.raises(TypeError, match=r"monitor 'mine' must be a number, .*, got 'high'"):
        fit(log_fn=lambda row: row.update(mine="high"), monitor="mine")


@dataclass
class Metric:
    """A function that cannot be a key of a dict."""

    factor: float

    def __call__(self, pred, responses):
        return self.factor * pred.mean()


def test_any_callable_is_a_metric():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Metric(0.0))
    assert fit(val_metrics={"mine": Metric(0.0)}, monitor="val_mine", loss_fn=Metric(1.0))[0]["val_mine"] == 0


def test_a_metric_that_raises_is_not_hidden():
    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(val_metrics={"mine": explode}, monitor="val_mine")
