"""The training loop against its contract: interface.md §3.1 and the training rows of faults.md."""

import copy
import functools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF.metrics import corrcoef, mse_loss, normalized_corrcoef, poisson_loss
from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.training import Fitter, NonFiniteLossError, set_random_seed
from deepSTRF.training.fitter import _default_val_metrics, _format_epoch, _pad_and_cat, _to_scalar

N_BANDS, N_NEURONS = 6, 4


def make_batches(n_batches=3, batch_size=2, n_repeats=4, n_bins=60, seed=0):
    """A linear toy population with repeats: stimuli drive the neurons through a fixed kernel."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(N_NEURONS, N_BANDS, generator=torch.Generator().manual_seed(7))
    batches = []
    for _ in range(n_batches):
        stims = torch.randn(batch_size, 1, N_BANDS, n_bins, generator=generator)
        signal = torch.einsum("nf,bft->bnt", kernel, stims[:, 0])
        noise = torch.randn(batch_size, N_NEURONS, n_repeats, n_bins, generator=generator)
        responses = signal[:, :, None] + noise
        batches.append(
            {
                "stims": stims,
                "responses": responses,
                "valid_mask": ~responses.isnan(),
                "stim_meta": [{} for _ in range(batch_size)],
            }
        )
    return batches


def make_model(seed=0):
    set_random_seed(seed)
    return Linear(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=N_NEURONS)


def make_fitter(model=None, train=None, val=None, **options):
    options = {"max_epochs": 3, "log_fn": None} | options
    return Fitter(
        make_model() if model is None else model,
        make_batches() if train is None else train,
        make_batches(seed=1) if val is None else val,
        **options,
    )


class ScriptedFitter(Fitter):
    """Replaces the validation score by a given sequence, to test what the loop does with it."""

    def __init__(self, *args, scores, **options):
        super().__init__(*args, monitor="scripted", **options)
        self.scores = scores

    def on_epoch_end(self, epoch, epoch_dict):
        epoch_dict["scripted"] = self.scores[epoch]


def scripted(scores, **options):
    options = {"max_epochs": len(scores), "log_fn": None} | options
    return ScriptedFitter(make_model(), make_batches(1), make_batches(1, seed=1), scores=scores, **options)


def same_state(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def fit_and_record_states(fitter):
    """Fit, and return the weights as they were at the end of every epoch."""
    states = []
    keep_best = fitter.keep_best

    def record(epoch, value):
        states.append(copy.deepcopy(fitter.model.state_dict()))
        keep_best(epoch, value)

    fitter.keep_best = record
    fitter.fit()
    return states


# ---------------------------------------------------------------- what fit() returns


def test_history_has_one_dict_per_epoch_with_per_neuron_tensors():
    fitter = make_fitter(max_epochs=2)
    history = fitter.fit()
    assert [row["epoch"] for row in history] == [0, 1]
    assert set(history[0]) == {
        "epoch", "train_loss", "train_cc", "train_cc_norm", "val_loss", "val_cc", "val_cc_norm",
    }  # fmt: skip
    assert isinstance(history[0]["train_loss"], float)
    for name in ("train_cc", "val_cc", "val_cc_norm"):
        assert history[0][name].shape == (N_NEURONS,)
        assert history[0][name].device.type == "cpu"
    assert history is fitter.history


def test_training_improves_loss_and_score_on_a_toy_problem():
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
    history = make_fitter(model, max_epochs=30, patience=30, optimizer=optimizer).fit()
    assert history[-1]["val_loss"] < 0.5 * history[0]["val_loss"]
    assert history[-1]["val_cc_norm"].mean() > 0.95
    assert history[-1]["val_cc_norm"].mean() > history[0]["val_cc_norm"].mean()


def test_seeded_runs_are_identical():
    first, second = make_fitter(make_model(3)).fit(), make_fitter(make_model(3)).fit()
    other = make_fitter(make_model(4)).fit()
    assert first[-1]["train_loss"] == second[-1]["train_loss"]
    assert torch.equal(first[-1]["val_cc"], second[-1]["val_cc"])
    assert first[-1]["train_loss"] != other[-1]["train_loss"]


def test_train_metrics_can_be_left_out():
    history = make_fitter(track_train_metrics=False, max_epochs=1).fit()
    assert "train_cc" not in history[0]
    assert "val_cc" in history[0]


def test_train_metrics_do_not_touch_the_training():
    weights = []
    for track in (True, False):
        fitter = make_fitter(track_train_metrics=track)
        fitter.fit()
        weights.append(fitter.model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_train_loss_is_the_mean_of_the_batch_losses():
    batches = make_batches(2) + make_batches(1, batch_size=1, seed=5)
    losses = []

    class Recording(Fitter):
        def compute_loss(self, pred, responses):
            loss = super().compute_loss(pred, responses)
            if pred.requires_grad:
                losses.append(float(loss.detach()))
            return loss

    history = Recording(make_model(), batches, make_batches(1), max_epochs=1, log_fn=None).fit()
    assert history[0]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


# ---------------------------------------------------------------- metrics over all batches at once


def test_evaluate_equals_the_metrics_of_the_concatenated_data_with_ragged_batches():
    batches = [
        *make_batches(2, batch_size=3, n_repeats=5, n_bins=50),
        *make_batches(1, batch_size=1, n_repeats=2, n_bins=80, seed=2),
    ]
    batches[0]["responses"][0, 1] = math.nan  # a missing pair
    batches[1]["responses"][2, :, 3:] = math.nan  # fewer repeats
    model = make_model().eval()
    values = make_fitter(model, val=batches).evaluate(batches)

    with torch.no_grad():
        pred = _pad_and_cat([model(batch["stims"]) for batch in batches])
    responses = _pad_and_cat([batch["responses"] for batch in batches])
    assert set(values) == {"loss", "cc", "cc_norm"}
    assert values["loss"] == pytest.approx(float(mse_loss(pred, responses)), rel=1e-5)
    torch.testing.assert_close(values["cc"], corrcoef(pred, responses, reduction="none"), rtol=1e-5, atol=1e-6)
    expected = normalized_corrcoef(pred, responses, method="schoppe", reduction="none")
    torch.testing.assert_close(values["cc_norm"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_fn", [mse_loss, poisson_loss, functools.partial(poisson_loss, log_input=True)])
def test_scores_do_not_depend_on_the_batch_size(loss_fn):
    one = make_batches(1, batch_size=6)[0]
    split = [{key: value[i : i + 1] for key, value in one.items()} for i in range(6)]
    model = make_model()
    whole = make_fitter(model, loss_fn=loss_fn).evaluate([one])
    parts = make_fitter(model, loss_fn=loss_fn).evaluate(split)
    assert whole["loss"] == pytest.approx(parts["loss"], rel=1e-5)
    torch.testing.assert_close(whole["cc_norm"], parts["cc_norm"], rtol=1e-5, atol=1e-6)


def test_own_metric_sees_all_batches_at_once_and_may_be_a_scalar():
    seen = []

    def count(pred, responses):
        seen.append((pred.shape, responses.shape))
        return torch.tensor(float(pred.shape[0]))

    history = make_fitter(
        val_metrics={"count": count}, monitor="val_count", max_epochs=1, track_train_metrics=False
    ).fit()
    assert seen == [((6, N_NEURONS, 1, 60), (6, N_NEURONS, 4, 60))]
    assert float(history[0]["val_count"]) == 6.0


def test_overridden_compute_loss_is_used_for_training_and_evaluation():
    class Doubled(Fitter):
        def compute_loss(self, pred, responses):
            return 2 * mse_loss(pred, responses)

    plain = make_fitter(make_model()).evaluate(make_batches())
    doubled = Doubled(make_model(), make_batches(), make_batches(), log_fn=None).evaluate(make_batches())
    assert doubled["loss"] == pytest.approx(2 * plain["loss"], rel=1e-6)


# ---------------------------------------------------------------- the seams of 0.1.0


def test_fit_calls_an_overridden_training_pass_and_an_overridden_evaluation():
    calls = []

    class Own(Fitter):
        def _train_one_epoch(self):
            calls.append("train")
            return {**super()._train_one_epoch(), "lr": self.optimizer.param_groups[0]["lr"]}

        def _evaluate(self, loader):
            calls.append(loader)
            return {**super()._evaluate(loader), "mine": 1.0}

    val, test = make_batches(1, seed=1), make_batches(1, seed=2)
    fitter = Own(make_model(), make_batches(1), val, max_epochs=2, log_fn=None, monitor="val_mine")
    history = fitter.fit()
    assert calls == ["train", val, "train", val]
    assert [(row["train_lr"], row["val_mine"]) for row in history] == [(1e-3, 1.0)] * 2
    plain = make_fitter(make_model(), make_batches(1), val, max_epochs=2)
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in plain.fit()]
    assert fitter.evaluate(test)["mine"] == 1.0
    assert calls[-1] is test


def test_fit_calls_a_patched_training_pass_and_a_patched_evaluation(monkeypatch):
    fitter = make_fitter(patience=1, monitor="val_cc")
    monkeypatch.setattr(fitter, "_train_one_epoch", lambda: {"loss": 0.5})
    monkeypatch.setattr(fitter, "_evaluate", lambda loader: {"loss": 0.25, "cc": 0.75})
    assert fitter.fit() == [{"epoch": epoch, "train_loss": 0.5, "val_loss": 0.25, "val_cc": 0.75} for epoch in (0, 1)]


def test_fit_calls_an_overridden_evaluate_too():
    class Own(Fitter):
        def evaluate(self, loader):
            return {**super().evaluate(loader), "mine": 1.0}

    fitter = Own(make_model(), make_batches(1), make_batches(1), max_epochs=1, log_fn=None)
    assert fitter.fit()[0]["val_mine"] == 1.0


# ---------------------------------------------------------------- modes, state, devices


def test_evaluate_leaves_every_module_in_the_mode_it_found():
    model = make_model()
    model.train()
    model.readout.bn.eval()  # a frozen normalisation must stay frozen
    make_fitter(model).evaluate(make_batches())
    assert model.training
    assert not model.readout.bn.training


def test_evaluate_restores_the_mode_when_a_metric_fails():
    def broken(pred, responses):
        raise RuntimeError("broken metric")

    fitter = make_fitter(val_metrics={"broken": broken})
    with pytest.raises(RuntimeError, match="broken metric"):
        fitter.evaluate(make_batches())
    assert fitter.model.training


def test_evaluate_changes_no_weights_and_needs_no_gradients():
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    make_fitter(model).evaluate(make_batches())
    assert same_state(before, model.state_dict())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fit_leaves_the_model_in_eval_mode():
    fitter = make_fitter(max_epochs=1)
    fitter.fit()
    assert not fitter.model.training


def test_detach_is_called_after_every_batch_in_training_and_evaluation():
    class Stateful(Linear):
        calls = 0

        def detach(self):
            type(self).calls += 1

    model = Stateful(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=N_NEURONS)
    make_fitter(model, train=make_batches(3), val=make_batches(2), max_epochs=1).fit()
    assert Stateful.calls == 5


# ---------------------------------------------------------------- early stopping and the monitor


def test_a_plateau_stops_after_patience_epochs():
    history = scripted([1.0] * 20, patience=4).fit()
    assert len(history) == 5


def test_only_a_strict_improvement_counts():
    fitter = scripted([0.1, 0.3, 0.3, 0.2, 0.3, 0.9], patience=3)
    assert len(fitter.fit()) == 5
    assert fitter.best_epoch == 1
    assert fitter.best_score == pytest.approx(0.3)


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_the_fitter_says_what_is_better_and_how_much_patience_is_left(mode, sign):
    fitter = scripted([sign * score for score in (0.1, 0.3, 0.3, 0.2)], mode=mode, patience=5)
    assert fitter.patience_left == 5
    assert fitter.is_better(sign * -100.0)
    assert not fitter.is_better(math.nan)
    seen, keep_best = [], fitter.keep_best

    def record(epoch, value):
        better = fitter.is_better(value)
        keep_best(epoch, value)
        seen.append((better, fitter.patience_left))

    fitter.keep_best = record
    fitter.fit()
    assert seen == [(True, 5), (True, 5), (False, 4), (False, 3)]
    assert fitter.is_better(torch.tensor([sign * 0.2, math.nan, sign * 0.8]))  # by the mean of what is defined


def test_mode_min():
    fitter = scripted([3.0, 1.0, 2.0], mode="min", patience=5)
    fitter.fit()
    assert fitter.best_epoch == 1


def test_early_stopping_state_is_per_call():
    fitter = scripted([0.5] * 5, patience=2)
    assert len(fitter.fit()) == 3
    assert len(fitter.fit()) == 3


def test_nan_monitor_warns_counts_towards_patience_and_never_wins():
    fitter = scripted([math.nan, 0.2, math.nan, math.nan, math.nan], patience=2, restore_best=True)
    with pytest.warns(UserWarning, match="undefined"):
        history = fitter.fit()
    assert len(history) == 4
    assert fitter.best_epoch == 1


def test_nan_monitor_from_the_start_stops_too():
    fitter = scripted([torch.full((N_NEURONS,), math.nan)] * 9, patience=3)
    with pytest.warns(UserWarning, match=f"{N_NEURONS} of {N_NEURONS}"):
        history = fitter.fit()
    assert len(history) == 3
    assert fitter.best_epoch is None


def test_partly_undefined_monitor_counts_by_its_defined_neurons():
    rows = [torch.tensor([0.1, math.nan]), torch.tensor([0.2, math.nan]), torch.tensor([0.15, math.nan])]
    fitter = scripted(rows)
    fitter.fit()
    assert fitter.best_epoch == 1


def test_unknown_monitor_is_a_key_error_that_lists_the_keys():
    with pytest.raises(KeyError, match=r"val_cc_nrom.*val_cc_norm"):
        make_fitter(monitor="val_cc_nrom").fit()


def test_on_epoch_end_fires_once_per_epoch_before_the_monitor_is_looked_up():
    fitter = scripted([0.1, 0.2, 0.3])
    history = fitter.fit()
    assert [row["scripted"] for row in history] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"mode": "best"}, "mode"), ({"patience": 0}, "patience"), ({"max_epochs": 0}, "max_epochs")],
)
def test_bad_arguments_are_value_errors(options, word):
    with pytest.raises(ValueError, match=word):
        make_fitter(**options)


# ---------------------------------------------------------------- keeping and restoring the best


def test_checkpoint_holds_the_best_state_dict_and_is_restored(tmp_path):
    path = tmp_path / "deep" / "down" / "best.pt"
    fitter = scripted([0.1, 0.9, 0.2, 0.3], ckpt_path=path)
    states = fit_and_record_states(fitter)
    saved = torch.load(path, weights_only=True)
    assert same_state(saved, states[1])
    assert same_state(fitter.model.state_dict(), states[1])
    assert not same_state(states[1], states[3])
    assert [file.name for file in path.parent.iterdir()] == ["best.pt"], "temporary files stay behind"


def test_a_path_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fitter = make_fitter(ckpt_path="~/runs/best.pt", resume=True, max_epochs=1)
    assert fitter.ckpt_path == tmp_path / "runs" / "best.pt"
    fitter.fit()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["best.pt", "best.pt.resume"]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_restore_best_keeps_the_best_weights_in_memory():
    fitter = scripted([0.1, 0.9, 0.2, 0.3], restore_best=True)
    states = fit_and_record_states(fitter)
    assert same_state(fitter.model.state_dict(), states[1])


def test_without_checkpoint_the_last_epoch_stays():
    fitter = scripted([0.1, 0.9, 0.2, 0.3])
    states = fit_and_record_states(fitter)
    assert same_state(fitter.model.state_dict(), states[-1])


def test_a_file_of_an_earlier_run_is_never_restored(tmp_path):
    path = tmp_path / "best.pt"
    stale = {name: torch.full_like(value, 99) for name, value in make_model().state_dict().items()}
    torch.save(stale, path)
    fitter = scripted([math.nan] * 3, ckpt_path=path)
    with pytest.warns(UserWarning, match="undefined"):
        fitter.fit()
    assert not same_state(fitter.model.state_dict(), stale)
    assert same_state(torch.load(path, weights_only=True), stale), "nothing improved, so nothing is overwritten"


def test_checkpoint_path_that_cannot_be_written_fails_before_training(tmp_path):
    fitter = make_fitter(ckpt_path=tmp_path)
    before = copy.deepcopy(fitter.model.state_dict())
    with pytest.raises(ValueError, match="folder"):
        fitter.fit()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        make_fitter(ckpt_path=tmp_path / "file" / "best.pt").fit()
    assert same_state(before, fitter.model.state_dict())


# ---------------------------------------------------------------- each neuron's own best


def per_cell_rows():
    """Scores of four neurons over four epochs: best at epochs 2, 0, 3, and never defined."""
    nan = math.nan
    return [
        torch.tensor([0.1, 0.9, 0.1, nan]),
        torch.tensor([0.2, 0.3, 0.2, nan]),
        torch.tensor([0.8, 0.2, 0.3, nan]),
        torch.tensor([0.3, 0.1, 0.4, nan]),
    ]


def test_per_cell_best_returns_every_neuron_to_its_own_epoch():
    fitter = scripted(per_cell_rows(), track_per_cell_best=True, restore_best=True)
    states = fit_and_record_states(fitter)
    final = fitter.model.state_dict()
    means = [float(row[:3].mean()) for row in per_cell_rows()]
    best_epochs = [2, 0, 3, int(np.argmax(means))]
    for name in (
        "readout.strf.kernel.weight",
        "readout.strf.kernel.bias",
        "readout.bn.running_mean",
        "readout.bn.weight",
    ):
        for neuron, epoch in enumerate(best_epochs):
            assert torch.equal(final[name][neuron], states[epoch][name][neuron]), (name, neuron)


def test_per_cell_best_does_not_change_the_trajectory():
    plain = make_fitter(make_model()).fit()
    tracked = make_fitter(make_model(), track_per_cell_best=True).fit()
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in tracked]


def test_no_neuron_is_worse_than_under_the_global_restore_when_nothing_is_shared():
    val = make_batches(seed=1)

    def fit(per_cell):
        model = make_model()
        fitter = make_fitter(
            model, val=val, max_epochs=25, patience=25, restore_best=True, track_per_cell_best=per_cell,
            optimizer=torch.optim.AdamW(model.parameters(), lr=0.3),
        )  # fmt: skip
        fitter.fit()
        return fitter.evaluate(val)["cc_norm"]

    whole, own = fit(False), fit(True)
    assert bool((own >= whole - 1e-5).all())
    assert bool((own > whole + 1e-5).any()), "with this learning rate neurons peak at different epochs"


def test_per_cell_snapshots_exist_only_when_asked_for():
    plain, tracked = make_fitter(max_epochs=1), make_fitter(max_epochs=1, track_per_cell_best=True)
    plain.fit()
    tracked.fit()
    assert not hasattr(plain, "_per_cell_snapshots")
    assert hasattr(tracked, "_per_cell_snapshots")


def test_per_cell_best_needs_one_score_per_neuron():
    with pytest.raises(ValueError, match="per-cell"):
        make_fitter(track_per_cell_best=True, monitor="val_loss", mode="min").fit()


def test_a_hidden_layer_as_wide_as_the_population_is_not_sliced():
    set_random_seed(0)
    # 4 neurons and hidden width 4 in the readout's MLP: the hidden layer is shared and must not be cut by neuron
    model = StateNet(n_frequency_bands=N_BANDS + 7, out_neurons=N_NEURONS, hidden_channels=2)
    from deepSTRF.models.readouts import LinearReadout

    features = model.readout.fc.in_features
    model.readout = LinearReadout(features, N_NEURONS, hidden=N_NEURONS)
    names = set(model.readout.per_neuron_tensors())
    hidden = {name for name, tensor in model.readout.named_parameters() if tensor.shape == (N_NEURONS, features)}
    assert hidden
    assert not names & hidden


def test_foreign_readouts_fall_back_to_the_first_axis():
    class Foreign(nn.Module):
        O = N_NEURONS

        def __init__(self):
            super().__init__()
            self.readout = nn.Linear(N_BANDS, N_NEURONS)

        def forward(self, stims):
            return self.readout(stims[:, 0].transpose(1, 2)).transpose(1, 2)[:, :, None]

    fitter = make_fitter(Foreign(), track_per_cell_best=True, max_epochs=2)
    assert len(fitter.fit()) == 2


# ---------------------------------------------------------------- clear errors


def test_nan_loss_names_epoch_and_batch_and_restores_the_best(tmp_path):
    model = make_model()
    fitter = make_fitter(model, max_epochs=5, restore_best=True, patience=5)
    fitter.run_epoch = functools.partial(_poison_second_epoch, fitter, fitter.run_epoch)
    with pytest.raises(NonFiniteLossError, match=r"nan in epoch 1, batch 2"):
        fitter.fit()
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def _poison_second_epoch(fitter, run_epoch, epoch):
    if epoch == 1:
        fitter.train_loader[2]["responses"] = torch.full_like(fitter.train_loader[2]["responses"], math.nan)
    return run_epoch(epoch)


def test_empty_loaders_are_errors():
    with pytest.raises(ValueError, match="train_loader"):
        make_fitter(train=[]).fit()
    with pytest.raises(ValueError, match="val_loader"):
        make_fitter(val=[]).fit()


def test_population_of_another_size_is_an_error():
    model = Linear(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=N_NEURONS + 1)
    with pytest.raises(ValueError, match=f"out_neurons={N_NEURONS}"):
        make_fitter(model).fit()


def test_a_loss_per_neuron_is_an_error():
    with pytest.raises(ValueError, match=r"single number.*reduction"):
        make_fitter(loss_fn=functools.partial(mse_loss, reduction="none")).fit()


def test_an_optimizer_of_another_model_is_an_error():
    with pytest.raises(ValueError, match="none of the model's trainable parameters"):
        make_fitter(optimizer=torch.optim.SGD(make_model().parameters(), lr=0.1))


# ---------------------------------------------------------------- small parts


def test_default_line_shows_epoch_and_numbers(capsys):
    Fitter(make_model(), make_batches(1), make_batches(1), max_epochs=1).fit()
    line = capsys.readouterr().out.strip()
    assert line.startswith("epoch 0000 | train_loss=")
    assert "val_cc_norm=" in line


def test_format_epoch():
    row = {"epoch": 3, "train_loss": 0.12344, "val_cc": torch.tensor([0.5, math.nan, 0.7])}
    assert _format_epoch(row) == "epoch 0003 | train_loss=0.1234 | val_cc=0.6000"


def test_to_scalar():
    assert _to_scalar(torch.tensor([1.0, math.nan, 3.0])) == 2.0
    assert _to_scalar(2) == 2.0
    assert math.isnan(_to_scalar(torch.tensor([])))
    assert math.isnan(_to_scalar(torch.tensor([math.nan])))


def test_pad_and_cat_pads_repeats_and_time_with_nan():
    joined = _pad_and_cat([torch.ones(1, 2, 3, 4), torch.ones(2, 2, 1, 6)])
    assert joined.shape == (3, 2, 3, 6)
    assert int(joined.isnan().sum()) == joined.numel() - 1 * 2 * 3 * 4 - 2 * 2 * 1 * 6
    with pytest.raises(ValueError, match="empty"):
        _pad_and_cat([])


def test_default_metrics_are_per_neuron():
    batch = make_batches(1)[0]
    for metric in _default_val_metrics().values():
        assert metric(batch["responses"].nanmean(2, keepdim=True), batch["responses"]).shape == (N_NEURONS,)


def test_generators_and_a_metric_called_loss_are_errors():
    with pytest.raises(ValueError, match="train_loader is a generator"):
        make_fitter(train=(batch for batch in make_batches())).fit()
    with pytest.raises(ValueError, match="val_loader is a generator"):
        make_fitter(val=(batch for batch in make_batches())).fit()
    assert len(make_fitter(train=(batch for batch in make_batches()), max_epochs=1).fit()) == 1
    with pytest.raises(ValueError, match="'loss'"):
        make_fitter(val_metrics={"loss": corrcoef})


def test_set_random_seed_takes_numpy_integers_and_nothing_but_integers():
    set_random_seed(np.int64(3))
    expected = torch.rand(2)
    set_random_seed(3)
    torch.testing.assert_close(torch.rand(2), expected)
    state = random.getstate()
    with pytest.raises(TypeError):
        set_random_seed(1.5)
    assert random.getstate() == state, "a seed that is an error seeds nothing"


def test_set_random_seed_seeds_everything():
    def draw():
        set_random_seed(5)
        return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002

    assert draw() == draw()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    with pytest.raises(ValueError, match="seed"):
        set_random_seed(-1)


# ---------------------------------------------------------------- streaming and concatenated metrics agree


def test_own_callables_see_the_concatenated_data_and_give_the_same_numbers():
    batches = [
        *make_batches(2, batch_size=3, n_repeats=5, n_bins=50),
        *make_batches(1, batch_size=1, n_repeats=2, n_bins=80, seed=2),
    ]
    batches[0]["responses"][0, 1] = math.nan

    def wrapped(metric):  # a lambda is not recognised, so it takes the other path
        return lambda pred, responses: metric(pred, responses)

    own = {name: wrapped(metric) for name, metric in _default_val_metrics().items()}
    model = make_model()
    streamed = make_fitter(model).evaluate(batches)
    concatenated = make_fitter(model, val_metrics=own, loss_fn=wrapped(mse_loss)).evaluate(batches)
    assert streamed["loss"] == pytest.approx(concatenated["loss"], rel=1e-6)
    for name in own:
        torch.testing.assert_close(streamed[name], concatenated[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "metric",
    [
        functools.partial(normalized_corrcoef, method="hsu", reduction="none", ccmax_iters=20),
        functools.partial(normalized_corrcoef, signal_power="concatenated", reduction="none"),
        functools.partial(poisson_loss, log_input=True, reduction="none"),
        functools.partial(corrcoef, reduction="sum"),
        corrcoef,
    ],
)
def test_every_recognised_metric_equals_its_function(metric):
    batches = make_batches(3)
    model = make_model()
    values = make_fitter(model, val_metrics={"value": metric}).evaluate(batches)["value"]
    with torch.no_grad():
        model.eval()
        pred = torch.cat([model(batch["stims"]) for batch in batches])
    expected = metric(pred, torch.cat([batch["responses"] for batch in batches]))
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_nothing_of_past_batches_is_kept_on_the_fast_path():
    import gc
    import weakref

    class Watching(Fitter):
        alive = ()
        most = 0

        def forward(self, batch):
            pred, responses = super().forward(batch)
            gc.collect()
            Watching.most = max(Watching.most, sum(reference() is not None for reference in Watching.alive))
            Watching.alive = (*Watching.alive, weakref.ref(pred))
            return pred, responses

    Watching(make_model(), make_batches(6), make_batches(1), log_fn=None).evaluate(make_batches(6))
    assert Watching.most <= 1


@pytest.mark.parametrize("loss_fn", [mse_loss, poisson_loss])
def test_no_number_is_waited_for_in_a_training_step(monkeypatch, loss_fn):
    """On a GPU that would stall every step; what is looked at early on a CPU only is left out here as it is there."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from deepSTRF.metrics import blocks, statistics
    from deepSTRF.metrics.running import RunningScores
    from deepSTRF.models.layers import normalization

    waits = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten._unique")
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            seen.append(str(operation))
            return operation(*args, **(kwargs or {}))

    monkeypatch.setattr(blocks, "may_be_complete", lambda responses, mask: False)
    monkeypatch.setattr(normalization, "_nothing_is_padded", lambda valid: False)
    monkeypatch.setattr(statistics, "replace_irregular", lambda block, regular, *powers: powers)
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    fitter = make_fitter(loss_fn=loss_fn, optimizer=optimizer, max_grad_norm=1.0)
    fitter._undefined_neurons = [0]  # as if they were known, so that the loss is not looked at either
    scores = RunningScores(fitter.val_metrics)
    with Watch():
        for batch in fitter.train_loader:
            fitter.train_step(batch, scores)
    assert "aten.convolution_backward.default" in seen
    assert [operation for operation in seen if operation.startswith(waits)] == []
