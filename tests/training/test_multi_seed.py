"""The same training from several seeds: interface.md §3.3 and the training rows of faults.md."""

import functools
import json
import math
import os
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from test_fitter import N_BANDS, N_NEURONS, make_batches, same_state
from torch.utils.data import DataLoader

from deepSTRF.metrics import corrcoef, mse_loss
from deepSTRF.models.audio import Linear
from deepSTRF.training import AllFitsFailedError, Fitter, UnknownMonitorError, fit_multi_seed, set_random_seed
from deepSTRF.training.loggers import make_jsonl_logger_factory, read_jsonl, summarise
from deepSTRF.utils import neural_collate

KWARGS = {"max_epochs": 3, "optimizer": functools.partial(torch.optim.AdamW, lr=0.02)}
PARTS = ("val", "test")
METRICS = ("loss", "cc", "cc_norm")


def make_model(seed):
    return Linear(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=N_NEURONS)


def make_loaders(seed):
    items = [
        {name: batch[name][0] for name in ("stims", "responses", "valid_mask", "stim_meta")}
        for batch in make_batches(6, 1)
    ]
    train = DataLoader(items, 2, shuffle=True, collate_fn=neural_collate)
    return train, make_batches(2, seed=1), make_batches(2, seed=2)


def fit(model_factory=make_model, loader_factory=make_loaders, n_seeds=2, fitter_kwargs=None, **options):
    return fit_multi_seed(
        model_factory, loader_factory, n_seeds, fitter_kwargs=KWARGS | (fitter_kwargs or {}), **options
    )


def by_hand(seed, **options):
    """What one seed does, in a user's own lines."""
    set_random_seed(seed)
    model = make_model(seed)
    train, val, test = make_loaders(seed)
    fitter = Fitter(model, train, val, log_fn=None, restore_best=True, **KWARGS | options)
    return fitter.fit(), fitter.evaluate(val), fitter.evaluate(test), model.state_dict()


def equal(one, two):
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[name], two[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(nan=1e9), two.nan_to_num(nan=1e9))
    return one == two or (one != one and two != two)


@pytest.fixture(scope="module")
def three():
    return fit(seeds=[5, 2, 9])


# ---------------------------------------------------------------- what it returns


def test_result_has_the_keys_and_shapes_of_the_interface(three):
    arrays = {f"{kind}_{part}_{m}" for kind in ("per_seed", "mean", "std") for part in PARTS for m in METRICS}
    others = {"seeds", "per_seed_histories", "best_seed", "best_state_dict", "failures"}
    assert set(three) == arrays | others
    assert three["seeds"] == [5, 2, 9]
    assert [len(history) for history in three["per_seed_histories"]] == [3, 3, 3]
    for part in PARTS:
        for metric, n in (("loss", 1), ("cc", N_NEURONS), ("cc_norm", N_NEURONS)):
            assert three[f"per_seed_{part}_{metric}"].shape == (3, n)
            assert three[f"mean_{part}_{metric}"].shape == three[f"std_{part}_{metric}"].shape == (n,)
    assert three["failures"] == {}


def test_every_seed_is_what_a_loop_by_hand_gives(three):
    for k, seed in enumerate(three["seeds"]):
        history, val, test, state = by_hand(seed)
        assert equal(three["per_seed_histories"][k], history)
        for part, scores in (("val", val), ("test", test)):
            assert torch.equal(three[f"per_seed_{part}_cc"][k], scores["cc"])
            assert three[f"per_seed_{part}_loss"][k, 0] == scores["loss"]
        if seed == three["best_seed"]:
            assert same_state(three["best_state_dict"], state)


def test_mean_and_deviation_are_those_of_numpy(three):
    for part in PARTS:
        for metric in METRICS:
            values = three[f"per_seed_{part}_{metric}"].numpy()
            np.testing.assert_allclose(three[f"mean_{part}_{metric}"], values.mean(0), rtol=1e-5)
            np.testing.assert_allclose(three[f"std_{part}_{metric}"], values.std(0), rtol=1e-4, atol=1e-7)


def test_the_first_seeds_are_0_to_n():
    assert fit(n_seeds=np.int64(2), fitter_kwargs={"max_epochs": 1})["seeds"] == [0, 1]


def test_a_scalar_metric_gives_one_column():
    metrics = {
        "tensor": functools.partial(corrcoef, reduction="mean"),
        "number": lambda pred, responses: 0.5,
        "array": lambda pred, responses: pred.mean((0, 2, 3)).numpy(),
    }
    result = fit(fitter_kwargs={"max_epochs": 1, "val_metrics": metrics, "monitor": "val_tensor"})
    assert result["per_seed_val_tensor"].shape == result["per_seed_test_number"].shape == (2, 1)
    assert result["per_seed_test_array"].shape == (2, N_NEURONS)
    assert result["mean_val_number"].tolist() == [0.5]
    assert result["std_val_number"].tolist() == [0.0]


def test_undefined_neurons_are_left_out_of_mean_and_deviation():
    table = {0: [0.5, math.nan, math.nan], 1: [1.0, 0.25, math.nan]}
    result = scored(table, "max")
    assert equal(result["mean_val_fixed"], torch.tensor([0.75, 0.25, math.nan]))
    assert equal(result["std_val_fixed"], torch.tensor([0.25, 0.0, math.nan]))


def test_same_seed_is_identical_and_another_differs():
    result = fit(seeds=[7, 7, 8])
    losses = result["per_seed_test_loss"][:, 0]
    assert equal(result["per_seed_histories"][0], result["per_seed_histories"][1])
    assert losses[0] == losses[1] != losses[2]
    assert result["per_seed_histories"][0][0]["train_loss"] != result["per_seed_histories"][2][0]["train_loss"]


def test_the_seed_is_set_before_model_and_loaders_and_passed_to_both():
    drawn = {}

    def model(seed):
        drawn[seed] = torch.rand(1).item()
        return make_model(seed)

    def loaders(seed):
        assert seed in drawn
        return make_loaders(seed)

    fit(model, loaders, seeds=[3, 4], fitter_kwargs={"max_epochs": 1})
    for seed, number in drawn.items():
        set_random_seed(seed)
        assert torch.rand(1).item() == number


def test_a_logger_that_draws_changes_nothing(three):
    def noisy(seed):
        torch.rand(100)
        return lambda row: None

    assert equal(fit(seeds=[5], logger_factory=noisy)["per_seed_test_cc"][0], three["per_seed_test_cc"][0])


@pytest.mark.parametrize("strict", [False, True])
def test_strict_is_passed_on(monkeypatch, strict):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what it sets is gone after the test
    seen = []

    def model(seed):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return make_model(seed)

    try:
        fit(model, n_seeds=1, fitter_kwargs={"max_epochs": 1}, set_seed_strict=strict)
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [strict]


# ---------------------------------------------------------------- the best seed, the best epoch


def scored(table, mode, monitor="val_fixed", **options):
    """Seeds with given scores; the loader of a seed says which one it is."""
    current = {}

    def loaders(seed):
        current["seed"] = seed
        return make_loaders(seed)

    metrics = {"fixed": lambda pred, responses: torch.tensor(table[current["seed"]])}
    kwargs = {"val_metrics": metrics, "monitor": monitor, "mode": mode, "max_epochs": 1}
    return fit(loader_factory=loaders, seeds=list(table), fitter_kwargs=kwargs, **options)


@pytest.mark.parametrize(
    ("mode", "table", "best"),
    [
        ("max", {4: 0.2, 5: 0.6, 6: 0.4}, 5),
        ("min", {4: 0.2, 5: 0.6, 6: 0.1}, 6),
        ("max", {4: [0.2, 0.3], 5: [0.9, -0.9]}, 4),
        ("max", {4: [0.2, math.nan], 5: [0.1, 0.1]}, 5),  # a neuron that is lost must not help
        ("max", {4: [0.1, 0.1], 5: [0.2, math.nan], 6: [0.2, 0.1]}, 6),
        ("min", {4: [0.3, math.nan], 5: [0.2, 0.2]}, 5),
        ("max", {4: 0.5, 5: 0.5}, 4),
        ("max", {4: -math.inf, 5: -math.inf}, 4),
    ],
)
def test_the_best_seed_defines_most_neurons_and_has_the_best_mean_over_them(mode, table, best):
    assert scored(table, mode)["best_seed"] == best


@pytest.mark.filterwarnings("ignore:epoch 0. val_fixed is undefined")
@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_seed_without_a_defined_score_never_wins(mode):
    assert scored({4: [math.nan] * 2, 5: [0.1, math.nan], 6: [math.nan] * 2}, mode)["best_seed"] == 5


@pytest.mark.filterwarnings("ignore:epoch 0. val_fixed is undefined")
def test_without_any_defined_score_there_is_no_best_seed(tmp_path):
    with pytest.warns(UserWarning, match="val_fixed is undefined for every seed"):
        result = scored({4: math.nan, 5: math.nan}, "max", output_dir=tmp_path)
    assert result["best_seed"] is None
    assert result["best_state_dict"] is None
    assert json.loads((tmp_path / "summary.json").read_text())["best_seed"] is None


def test_the_validation_loss_can_be_the_monitor():
    result = fit(seeds=[1, 2, 3], fitter_kwargs={"monitor": "val_loss", "mode": "min", "loss_fn": mse_loss})
    assert result["best_seed"] == result["seeds"][int(result["per_seed_val_loss"].argmin())]


def test_best_weights_fit_a_new_model_and_give_its_scores(three):
    model = make_model(0)
    model.load_state_dict(three["best_state_dict"])
    _, val, test = make_loaders(0)
    row = three["seeds"].index(three["best_seed"])
    scores = Fitter(model, [], val).evaluate(test)
    assert torch.equal(scores["cc"], three["per_seed_test_cc"][row])
    assert all(value.device.type == "cpu" and not value.requires_grad for value in three["best_state_dict"].values())


def test_best_weights_are_a_copy():
    models = []

    def model(seed):
        models.append(make_model(seed))
        return models[-1]

    state = fit(model, n_seeds=1)["best_state_dict"]
    before = {name: value.clone() for name, value in state.items()}
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.add_(1)
    assert same_state(state, before)


def test_the_best_epoch_is_reported_without_a_checkpoint_file(tmp_path):
    scores = iter([0.1, 0.9, 0.5, 0.4, 0.0, 0.0])  # four epochs, then the final scores of both parts
    kwargs = {
        "max_epochs": 4,
        "val_metrics": {"scripted": lambda pred, responses: next(scores)},
        "monitor": "val_scripted",
        "track_train_metrics": False,
    }
    result = fit(n_seeds=1, fitter_kwargs=kwargs, output_dir=tmp_path)
    losses = [row["val_loss"] for row in result["per_seed_histories"][0]]
    assert result["per_seed_val_loss"][0, 0] == losses[1]
    assert losses[1] not in (losses[0], losses[2], losses[3])
    assert same_state(torch.load(tmp_path / "seed0" / "best.pt"), result["best_state_dict"])


# ---------------------------------------------------------------- files


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A call with everything that may end in a file: several neurons, a scalar, an undefined neuron."""

    def loaders(seed):
        train, val, test = make_loaders(seed)
        for batch in test:
            batch["responses"][:, 0] = math.nan
        return train, val, test

    folder = tmp_path_factory.mktemp("written") / "a" / "b"
    metrics = {
        "cc": functools.partial(corrcoef, reduction="none"),
        "mean_cc": functools.partial(corrcoef, reduction="mean"),
    }
    kwargs = {"val_metrics": metrics, "monitor": "val_cc"}
    return folder, fit(loader_factory=loaders, seeds=[0, 3], fitter_kwargs=kwargs, output_dir=str(folder))


def test_the_folder_is_as_the_interface_says(written):
    folder, _ = written
    names = ("best.pt", "final.json", "final_neurons.pt", "history.json")
    seeds = [f"seed{k}/{name}" for k in (0, 3) for name in names]
    assert tree(folder) == [*seeds, "summary.json", "summary_neurons.pt"]


def test_history_and_final_scores_are_summarised(written):
    folder, result = written
    for k, seed in enumerate(result["seeds"]):
        history = json.loads((folder / f"seed{seed}" / "history.json").read_text())
        assert [row["epoch"] for row in history] == [0, 1, 2]
        for row, returned in zip(history, result["per_seed_histories"][k], strict=True):
            assert row.keys() == returned.keys()
            assert row["val_cc"] == summarise(returned["val_cc"])
            assert row["train_loss"] == returned["train_loss"]
        final = json.loads((folder / f"seed{seed}" / "final.json").read_text())
        assert final.keys() == {"val", "test"}
        assert final["test"].keys() == {"loss", "cc", "mean_cc"}
        assert final["test"]["cc"] == summarise(result["per_seed_test_cc"][k])
        assert final["test"]["cc"]["n_valid"] == N_NEURONS - 1
        assert final["test"]["loss"] == result["per_seed_test_loss"][k, 0]
        assert final["val"]["mean_cc"] == pytest.approx(float(result["per_seed_val_mean_cc"][k, 0]))


def test_final_neurons_hold_what_is_per_neuron(written):
    folder, result = written
    for k, seed in enumerate(result["seeds"]):
        neurons = torch.load(folder / f"seed{seed}" / "final_neurons.pt")
        assert {part: set(values) for part, values in neurons.items()} == {"val": {"cc"}, "test": {"cc"}}
        assert equal(neurons["test"]["cc"], result["per_seed_test_cc"][k])
        assert neurons["test"]["cc"].isnan().tolist() == [True, False, False, False]


def test_best_pt_is_the_best_epoch_of_its_seed(written):
    folder, result = written
    assert same_state(torch.load(folder / f"seed{result['best_seed']}" / "best.pt"), result["best_state_dict"])


def test_summary_holds_every_array(written):
    folder, result = written
    summary = json.loads((folder / "summary.json").read_text())
    arrays = {name for name in result if name.startswith(("per_seed_", "mean_", "std_"))} - {"per_seed_histories"}
    assert summary.keys() == arrays | {"seeds", "best_seed", "monitor", "mode", "failures"}
    assert summary["seeds"] == [0, 3]
    assert (summary["best_seed"], summary["monitor"], summary["mode"]) == (result["best_seed"], "val_cc", "max")
    assert summary["per_seed_test_cc"] == [summarise(row) for row in result["per_seed_test_cc"]]
    assert summary["mean_test_cc"] == summarise(result["mean_test_cc"])
    assert summary["per_seed_test_loss"] == result["per_seed_test_loss"][:, 0].tolist()
    assert summary["std_val_mean_cc"] == pytest.approx(float(result["std_val_mean_cc"]))
    neurons = torch.load(folder / "summary_neurons.pt")
    assert neurons.keys() == {f"{kind}_{part}_cc" for kind in ("per_seed", "mean", "std") for part in PARTS}
    assert all(equal(values, result[name]) for name, values in neurons.items())


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(n_seeds=1)
    assert tree(tmp_path) == []


def test_files_of_an_earlier_call_are_replaced(tmp_path):
    fit(seeds=[1], output_dir=tmp_path)
    result = fit(seeds=[1], fitter_kwargs={"max_epochs": 1}, output_dir=tmp_path)
    assert len(json.loads((tmp_path / "seed1" / "history.json").read_text())) == 1
    assert same_state(torch.load(tmp_path / "seed1" / "best.pt"), result["best_state_dict"])


def test_a_call_in_which_everything_fails_leaves_the_files_of_an_earlier_one(tmp_path):
    fit(seeds=[1], output_dir=tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in tree(tmp_path)}
    with pytest.raises(AllFitsFailedError):
        fit(failing({1}), seeds=[1], output_dir=tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in tree(tmp_path)} == before


def test_what_a_log_fn_adds_to_an_epoch_does_not_cost_the_seed(tmp_path):
    def log(row):
        row["note"] = Path("figure.png")
        row["model"] = Linear

    fit(n_seeds=1, fitter_kwargs={"max_epochs": 1, "log_fn": log}, output_dir=tmp_path)
    (row,) = json.loads((tmp_path / "seed0" / "history.json").read_text())
    assert row["note"] == "figure.png"
    assert row["model"] == str(Linear)


def test_folders_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit(n_seeds=1, fitter_kwargs={"max_epochs": 1, "ckpt_path": "~/best/best.pt"}, output_dir="~/out")
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["best_seed0.pt"]
    assert (tmp_path / "out" / "summary.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "out"]


def test_checkpoint_files_carry_the_seed(tmp_path):
    result = fit(seeds=[1, 12], fitter_kwargs={"ckpt_path": tmp_path / "made" / "best.v2.pt"})
    assert tree(tmp_path) == ["made/best.v2_seed1.pt", "made/best.v2_seed12.pt"]
    assert same_state(torch.load(tmp_path / f"made/best.v2_seed{result['best_seed']}.pt"), result["best_state_dict"])


def test_a_killed_call_goes_on_with_resume(tmp_path):
    class KilledError(BaseException):
        pass

    def kill(row):
        if row["epoch"] == 1 and len(tree(tmp_path)) > 2:  # in the second seed
            raise KilledError

    kwargs = {"ckpt_path": str(tmp_path / "best.pt"), "resume": True}
    with pytest.raises(KilledError):
        fit(fitter_kwargs=kwargs | {"log_fn": kill})
    assert equal(fit(fitter_kwargs=kwargs)["per_seed_histories"], fit()["per_seed_histories"])


# ---------------------------------------------------------------- loggers


class Logger:
    def __init__(self, seed):
        self.seed, self.calls = seed, []

    def __call__(self, row):
        self.calls.append(row["epoch"])

    def finalize(self, final):
        self.calls.append(final)

    def close(self):
        self.calls.append("closed")


def recorded(loggers):
    def factory(seed):
        loggers[seed] = Logger(seed)
        return loggers[seed]

    return factory


def test_a_logger_sees_every_epoch_and_the_final_scores_and_is_closed():
    loggers, ignored = {}, []
    result = fit(logger_factory=recorded(loggers), fitter_kwargs={"log_fn": ignored.append})
    assert ignored == []
    assert list(loggers) == [0, 1]
    for k, logger in loggers.items():
        *epochs, final, closed = logger.calls
        assert (epochs, closed) == ([0, 1, 2], "closed")
        assert final.keys() == {"val", "test"}
        assert torch.equal(final["test"]["cc"], result["per_seed_test_cc"][k])


def broken_loaders(seed):
    train, val, test = make_loaders(seed)
    if seed == 1:
        train = make_batches(2)
        train[1]["stims"][:] = math.inf
    return train, val, test


@pytest.mark.parametrize("where", ["training", "model", "loaders"])
def test_a_logger_is_closed_but_not_finalized_when_its_seed_fails(where):
    loggers = {}
    factories = {
        "training": {"loader_factory": broken_loaders},
        "model": {"model_factory": failing({1})},
        "loaders": {"loader_factory": failing({1}, make_loaders)},
    }[where]
    with pytest.warns(UserWarning, match="1 of 2 seeds failed"):
        fit(logger_factory=recorded(loggers), **factories)
    assert loggers[1].calls == ["closed"]
    assert loggers[0].calls[-1] == "closed"


def test_loggers_are_closed_on_ctrl_c():
    loggers = {}

    def interrupted(seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, logger_factory=recorded(loggers))
    assert loggers[0].calls == ["closed"]


def test_a_plain_function_is_a_logger():
    rows = []
    fit(logger_factory=lambda seed: rows.append, fitter_kwargs={"max_epochs": 1})
    assert [row["epoch"] for row in rows] == [0, 0]


def test_without_a_logger_the_log_fn_is_called():
    rows = []
    fit(fitter_kwargs={"max_epochs": 1, "log_fn": rows.append})
    assert len(rows) == 2


def test_training_is_silent_by_default(capsys):
    fit(n_seeds=1)
    assert capsys.readouterr().out == ""


def test_a_seed_whose_logger_fails_at_the_end_keeps_its_files(tmp_path):
    class Full(Logger):
        def finalize(self, final):
            raise OSError("disk full")

    with pytest.raises(AllFitsFailedError, match="disk full"):
        fit(n_seeds=1, logger_factory=Full, output_dir=tmp_path)
    assert "seed0/best.pt" in tree(tmp_path)


def test_the_loggers_of_the_library_fit_in(tmp_path):
    result = fit(n_seeds=1, logger_factory=make_jsonl_logger_factory(tmp_path))
    *epochs, final = read_jsonl(tmp_path / "seed0.jsonl")
    assert [row["epoch"] for row in epochs] == [0, 1, 2]
    assert final["final"]["test"]["cc"] == summarise(result["per_seed_test_cc"][0])


# ---------------------------------------------------------------- arguments


def never(seed):
    pytest.fail("nothing may be made before the arguments are checked")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_seeds": 0}, ValueError, "n_seeds"),
        ({"n_seeds": -1}, ValueError, "n_seeds"),
        ({"n_seeds": 2.5}, TypeError, "n_seeds"),
        ({"seeds": []}, ValueError, "seeds is empty"),
        ({"seeds": [0, -1]}, ValueError, "got -1"),
        ({"seeds": [2**32]}, ValueError, "2\\*\\*32"),
        ({"seeds": [0.5]}, TypeError, "seed must be an integer"),
        ({"seeds": 3}, TypeError, "list of integers"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs"),
        ({"n_jobs": None}, TypeError, "n_jobs"),
        ({"fitter_kwargs": {"model": None}}, ValueError, "managed by fit_multi_seed"),
        ({"fitter_kwargs": {"train_loader": []}}, ValueError, "managed by fit_multi_seed"),
        ({"fitter_kwargs": {"val_loader": []}}, ValueError, "managed by fit_multi_seed"),
        ({"fitter_kwargs": {"monitor": "val_fve"}}, UnknownMonitorError, r"val_fve.*val_loss.*val_cc_norm"),
        ({"fitter_kwargs": {"monitor": "train_loss"}}, KeyError, "train_loss"),
        ({"fitter_kwargs": {"monitor": "loss"}}, KeyError, "val_loss"),
        ({"fitter_kwargs": {"val_metrics": {"fve": mse_loss}}}, KeyError, "val_cc_norm"),
        ({"fitter_kwargs": {"mode": "best"}}, ValueError, "mode"),
        ({"fitter_kwargs": {"patience": 0}}, ValueError, "patience"),
        ({"fitter_kwargs": {"max_epoch": 3}}, TypeError, "max_epoch"),
        ({"fitter_kwargs": {"restore_best": False}}, ValueError, "restore_best"),
        ({"fitter_kwargs": {"resume": True}}, ValueError, "ckpt_path"),
        ({"fitter_kwargs": {"optimizer": torch.optim.SGD(make_model(0).parameters())}}, TypeError, "functools.partial"),
        ({"fitter_kwargs": {"scheduler": 0.9}}, TypeError, "scheduler"),
    ],
)
def test_bad_arguments_are_errors_before_work_starts(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        fit_multi_seed(never, never, output_dir=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_an_error_before_work_starts(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fit_multi_seed(never, never, output_dir=tmp_path / "file" / "out")


def test_the_monitor_may_be_any_validation_metric():
    kwargs = {"val_metrics": {"mse": mse_loss}, "monitor": "val_mse", "mode": "min", "max_epochs": 1}
    assert fit(fitter_kwargs=kwargs)["best_seed"] in (0, 1)


def test_every_seed_has_its_own_optimizer_and_scheduler():
    kwargs = {"scheduler": functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)}
    result = fit(seeds=[5, 5], fitter_kwargs=kwargs)
    history, *_ = by_hand(5, **kwargs)
    assert equal(result["per_seed_histories"], [history, history])


# ---------------------------------------------------------------- seeds that fail


def failing(seeds, factory=make_model):
    def made(seed):
        if seed in seeds:
            raise RuntimeError(f"no luck with {seed}")
        return factory(seed)

    return made


def test_a_failing_seed_is_reported_and_the_others_finish(tmp_path, three):
    with pytest.warns(
        UserWarning, match=r"1 of 3 seeds failed and are excluded .seed 2: RuntimeError: no luck with 2"
    ) as caught:
        result = fit(failing({2}), seeds=[5, 2, 9], output_dir=tmp_path)
    assert Path(caught[0].filename).name == "test_multi_seed.py"
    assert list(result["failures"]) == [2]
    assert "in made" in result["failures"][2]  # where it happened
    assert result["per_seed_histories"][1] == []
    assert result["per_seed_test_cc"][1].isnan().all()
    for k in (0, 2):
        assert equal(result["per_seed_histories"][k], three["per_seed_histories"][k])
        assert equal(result["per_seed_test_cc"][k], three["per_seed_test_cc"][k])
    assert equal(result["mean_test_cc"], three["per_seed_test_cc"][[0, 2]].mean(0))
    assert result["best_seed"] in (5, 9)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == [5, 2, 9]
    assert summary["failures"] == {"2": result["failures"][2]}
    assert summary["per_seed_test_loss"][1] is None
    assert not (tmp_path / "seed2").exists()


def test_a_diverging_seed_is_reported():
    with pytest.warns(UserWarning, match=r"seed 1: .*NonFiniteLossError: .*epoch 0, batch 1"):
        result = fit(loader_factory=broken_loaders)
    assert result["best_seed"] == 0


def test_when_all_fail_the_error_holds_the_first_reason():
    with pytest.raises(AllFitsFailedError, match=r"(?s)all 2 seeds failed. Seed 3:.*no luck with 3"):
        fit(failing({3, 4}), seeds=[3, 4])


def test_a_logger_factory_that_fails_fails_its_seed_only():
    with pytest.warns(UserWarning, match="no luck with 1"):
        result = fit(logger_factory=failing({1}, lambda seed: lambda row: None))
    assert list(result["failures"]) == [1]


# ---------------------------------------------------------------- worker processes

WHERE = {
    "cc": functools.partial(corrcoef, reduction="none"),
    "threads": lambda pred, responses: float(torch.get_num_threads()),
    "process": lambda pred, responses: float(os.getpid()),
}


def without_process(result):
    return {
        name: [[{m: v for m, v in row.items() if "process" not in m} for row in history] for history in value]
        if name == "per_seed_histories"
        else value
        for name, value in result.items()
        if not name.endswith("process")
    }


@pytest.mark.slow
def test_worker_processes_give_the_numbers_of_one_thread_here(tmp_path):
    assert torch.get_num_threads() == 1
    kwargs = {"val_metrics": WHERE, "monitor": "val_cc", "ckpt_path": tmp_path / "best.pt"}
    serial = fit(n_seeds=3, fitter_kwargs=kwargs, output_dir=tmp_path / "serial")
    parallel = fit(n_seeds=3, fitter_kwargs=kwargs, output_dir=tmp_path / "parallel", n_jobs=2)
    assert equal(without_process(parallel), without_process(serial))
    assert parallel["per_seed_test_threads"].tolist() == [[1.0]] * 3
    assert os.getpid() not in parallel["per_seed_test_process"].flatten().tolist()
    assert set(serial["per_seed_test_process"].flatten().tolist()) == {os.getpid()}
    assert tree(tmp_path / "parallel") == tree(tmp_path / "serial")
    for name in tree(tmp_path / "serial"):
        if name.endswith("best.pt"):
            assert same_state(torch.load(tmp_path / "parallel" / name), torch.load(tmp_path / "serial" / name))


@pytest.mark.slow
def test_large_data_failing_seeds_and_loader_workers_in_processes(three):
    """More than a megabyte goes to the workers as a file; a DataLoader may have workers of its own there."""
    table = torch.arange(500_000.0)

    def loaders(seed):
        train, val, test = make_loaders(seed)
        assert torch.equal(table, torch.arange(500_000.0))
        train = DataLoader(train.dataset, 2, shuffle=True, collate_fn=neural_collate, num_workers=1)
        return train, val, test

    def log(row):
        if row["epoch"] == 0 and threading.current_thread() is threading.main_thread():
            row["lock"] = threading.Lock()  # cannot come back

    with pytest.warns(UserWarning, match=r"(?s)2 of 4 seeds failed.*seed 2: .*no luck with 2.*seed 4: .*pickle"):
        result = fit(
            failing({2}),
            loaders,
            seeds=[5, 2, 9, 4],
            logger_factory=lambda seed: log if seed == 4 else None,
            n_jobs=2,
        )
    assert list(result["failures"]) == [2, 4]
    assert equal(result["per_seed_test_cc"][[0, 2]], three["per_seed_test_cc"][[0, 2]])
    assert result["per_seed_test_cc"][[1, 3]].isnan().all()


def test_what_cannot_be_copied_to_a_worker_is_an_error_before_work_starts():
    lock = threading.Lock()

    def model(seed):
        with lock:
            return never(seed)

    with pytest.raises(TypeError, match="n_jobs=1"):
        fit(model, n_jobs=2)


def test_one_per_core_on_a_single_core_runs_here(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    kwargs = {"val_metrics": WHERE, "monitor": "val_cc", "max_epochs": 1}
    result = fit(n_seeds=1, fitter_kwargs=kwargs, n_jobs=-1)
    assert result["per_seed_val_process"].item() == os.getpid()


def test_things_that_make_nothing_new_are_errors():
    for name, wrong in (("model_factory", make_model(0)), ("loader_factory", make_loaders(0))):
        with pytest.raises(TypeError, match=f"{name} must be a function that takes a seed"):
            fit(**{name: wrong})
