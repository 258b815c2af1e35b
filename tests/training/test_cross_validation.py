"""Out-of-fold predictions: every stimulus by a model that never saw it."""

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.splits import Split, k_fold, leave_one_out
from deepSTRF.metrics import corrcoef, mse_loss
from deepSTRF.models.audio import Linear
from deepSTRF.training import AllFitsFailedError, Fitter, UnknownMonitorError, cross_validate, set_random_seed
from deepSTRF.utils import neural_collate

N_BANDS, N_NEURONS, N_STIMS = 4, 3, 6
KWARGS = {"max_epochs": 3, "optimizer": functools.partial(torch.optim.AdamW, lr=0.02)}


def make_dataset(missing=()):
    """Stimuli that all differ in length, which tells which one a model is given; `missing` pairs have no response."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(N_NEURONS, N_BANDS, generator=generator)
    stims = [3 + 2 * torch.randn(N_BANDS, 30 + s, generator=generator) for s in range(N_STIMS)]
    responses = []
    for s, stim in enumerate(stims):
        noisy = (kernel @ stim)[:, None] + torch.randn(N_NEURONS, 2, stim.shape[1], generator=generator)
        responses.append([None if (s, n) in missing else noisy[n] for n in range(N_NEURONS)])
    return NeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


def make_model(seed, n_neurons=N_NEURONS, cls=Linear):
    return cls(n_frequency_bands=N_BANDS, temporal_window_size=3, out_neurons=n_neurons)


def validate(dataset=None, model_factory=make_model, fitter_kwargs=None, **options):
    dataset = make_dataset() if dataset is None else dataset
    return cross_validate(model_factory, dataset, fitter_kwargs=KWARGS | (fitter_kwargs or {}), **options)


def batches_of(stims, dataset, chosen, size):
    items = []
    for s in chosen:
        responses = torch.stack([dataset.responses[s][n] for n in range(N_NEURONS)])
        items.append(
            {"stims": stims[s], "responses": responses, "valid_mask": ~responses.isnan(), "stim_meta": {}},
        )
    return torch.utils.data.DataLoader(items, size, shuffle=size > 1, collate_fn=neural_collate)


def by_hand(dataset, splits, seed):
    """The same in a user's own lines, with NumPy's mean and deviation of the training stimuli."""
    predictions, scores = {}, []
    for split in splits:
        training = np.concatenate([dataset.stims[s].numpy().ravel() for s in split.train]).astype(np.float64)
        mean, std = np.float32(training.mean()), np.float32(training.std(ddof=1))
        stims = [(stim - mean) / std for stim in dataset.stims]
        set_random_seed(seed)
        model = make_model(seed)
        train, val, test = (batches_of(stims, dataset, part, size) for part, size in zip(split, (2, 1, 1), strict=True))
        fitter = Fitter(model, train, val, log_fn=None, restore_best=True, **KWARGS)
        fitter.fit()
        scores.append(fitter.evaluate(test))
        for s in split.test:
            with torch.no_grad():
                predictions[s] = model(stims[s][None])[0, :, 0]
    return [predictions[s] for s in sorted(predictions)], scores


def close(one, two):
    return len(one) == len(two) and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, two, strict=True))


class Spy(Linear):
    """Notes the stimuli that it is given, by their length."""

    def __init__(self, **options):
        super().__init__(**options)
        self.given = {True: [], False: []}

    def forward(self, x):
        self.given[self.training].append(x.clone())
        return super().forward(x)

    def stimuli(self, training):
        return {x.shape[-1] - 30 for x in self.given[training]}


def spied(**options):
    models = []

    def model(seed):
        models.append(make_model(seed, cls=Spy))
        return models[-1]

    return models, validate(model_factory=model, **options)


@pytest.fixture(scope="module")
def three():
    dataset = make_dataset()
    return SimpleNamespace(dataset=dataset, result=validate(dataset, folds=3, batch_size=2, seed=4))


# ---------------------------------------------------------------- predictions and scores


def test_predictions_equal_a_loop_by_hand(three):
    predictions, scores = by_hand(three.dataset, k_fold(N_STIMS, 3, 4), 4)
    assert close(three.result["predictions"], predictions)
    for k, score in enumerate(scores):
        assert torch.allclose(three.result["per_fold_test_cc"][k], score["cc"], atol=1e-5)
        assert three.result["per_fold_test_loss"][k, 0] == pytest.approx(score["loss"], rel=1e-5)


def test_pooled_scores_are_those_of_all_predictions_together(three):
    predictions = [prediction.numpy() for prediction in three.result["predictions"]]
    for n in range(N_NEURONS):
        pred = np.concatenate([prediction[n] for prediction in predictions])
        psth = np.concatenate([three.dataset.responses[s][n].mean(0).numpy() for s in range(N_STIMS)])
        assert float(three.result["pooled_cc"][n]) == pytest.approx(np.corrcoef(pred, psth)[0, 1], abs=1e-5)
    responses = [torch.stack([three.dataset.responses[s][n] for n in range(N_NEURONS)]) for s in range(N_STIMS)]
    batch = neural_collate(
        [
            {"stims": stim, "responses": r, "valid_mask": ~r.isnan(), "stim_meta": {}}
            for stim, r in zip(three.dataset.stims, responses, strict=True)
        ]
    )["responses"]
    padded = torch.full((N_STIMS, N_NEURONS, 1, batch.shape[-1]), math.nan)
    for s, prediction in enumerate(three.result["predictions"]):
        padded[s, :, 0, : prediction.shape[1]] = prediction
    assert three.result["pooled_loss"] == pytest.approx(float(mse_loss(padded, batch)), rel=1e-5)


def test_result_has_every_key_and_shape(three):
    result, metrics = three.result, ("loss", "cc", "cc_norm")
    arrays = {f"{kind}_{part}_{m}" for kind in ("per_fold", "mean", "std") for part in ("val", "test") for m in metrics}
    pooled = {f"pooled_{m}" for m in metrics}
    assert set(result) == arrays | pooled | {"predictions", "folds", "per_fold_histories", "failures"}
    assert [prediction.shape for prediction in result["predictions"]] == [(N_NEURONS, 30 + s) for s in range(N_STIMS)]
    assert result["folds"] == k_fold(N_STIMS, 3, 4)
    assert result["per_fold_test_cc"].shape == (3, N_NEURONS)
    assert result["per_fold_val_loss"].shape == (3, 1)
    assert result["mean_test_cc"].shape == result["std_test_cc"].shape == result["pooled_cc_norm"].shape == (N_NEURONS,)
    assert isinstance(result["pooled_loss"], float)
    assert [len(history) for history in result["per_fold_histories"]] == [3, 3, 3]
    assert result["failures"] == {}


def test_mean_and_deviation_are_those_of_numpy(three):
    values = three.result["per_fold_test_cc"].numpy()
    np.testing.assert_allclose(three.result["mean_test_cc"], values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(three.result["std_test_cc"], values.std(0), rtol=1e-4)


@pytest.mark.parametrize("folds", [3, "leave-one-out", [[0, 1], [2], [3, 4, 5]]])
def test_every_stimulus_is_predicted_once_by_a_model_that_never_saw_it(folds):
    models, result = spied(folds=folds, standardize=False, fitter_kwargs={"max_epochs": 1})
    assert len(models) == len(result["folds"])
    tested = []
    for model, split in zip(models, result["folds"], strict=True):
        assert model.stimuli(training=True) == set(split.train)
        # a new model is calibrated with training stimuli, in eval mode
        assert model.stimuli(training=False) - {*split.train} == {*split.val, *split.test}
        assert not {*split.train, *split.val} & set(split.test)
        tested += split.test
    assert sorted(tested) == list(range(N_STIMS))
    assert all(prediction is not None for prediction in result["predictions"])


def test_the_best_epoch_predicts():
    scores = iter([0.1, 0.9, 0.5] + [0.0] * 3)  # per epoch, the final ones of both parts, and the pooled one
    kwargs = {
        "val_metrics": {"scripted": lambda pred, responses: next(scores)},
        "monitor": "val_scripted",
        "track_train_metrics": False,
    }
    result = validate(folds=[Split((0, 1, 2), (3,), (4, 5))], fitter_kwargs=kwargs)
    losses = [row["val_loss"] for row in result["per_fold_histories"][0]]
    assert result["per_fold_val_loss"][0, 0] == losses[1] != losses[2]


def test_same_seed_is_identical_and_another_differs():
    splits = [Split((0, 1, 2), (3,), (4, 5))]
    one, two, other = (validate(folds=splits, seed=seed)["predictions"][4] for seed in (1, 1, np.int64(2)))
    assert torch.equal(one, two)
    assert not torch.allclose(one, other)


def test_a_metric_of_the_users_own_sees_all_predictions():
    kwargs = {
        "val_metrics": {
            "stimuli": lambda pred, responses: len(pred),
            "mean": functools.partial(corrcoef, reduction="mean"),
        },
        "monitor": "val_mean",
    }
    result = validate(folds=3, fitter_kwargs=kwargs)
    assert result["pooled_stimuli"] == N_STIMS
    assert result["per_fold_test_stimuli"].tolist() == [[2.0]] * 3
    assert result["pooled_mean"].ndim == 0


# ---------------------------------------------------------------- folds


def test_numbers_and_leave_one_out_are_those_of_the_splits():
    assert validate(folds=np.int64(4), fitter_kwargs={"max_epochs": 1}, seed=9)["folds"] == k_fold(N_STIMS, 4, 9)
    result = validate(folds="leave-one-out", fitter_kwargs={"max_epochs": 1})
    assert result["folds"] == leave_one_out(N_STIMS)


def test_lists_are_tested_and_the_next_one_validates():
    result = validate(folds=[np.array([5, 0]), [1], (2,)], fitter_kwargs={"max_epochs": 1})
    assert result["folds"] == [
        Split(train=(2, 3, 4), val=(1,), test=(5, 0)),
        Split(train=(0, 3, 4, 5), val=(2,), test=(1,)),
        Split(train=(1, 3, 4), val=(5, 0), test=(2,)),
    ]
    assert [s for s, prediction in enumerate(result["predictions"]) if prediction is not None] == [0, 1, 2, 5]
    assert [result["predictions"][s].shape[1] for s in (5, 0)] == [35, 30]


def test_complete_splits_are_taken_as_they_are():
    split = Split((0, 1), [2], (4, 3))
    result = validate(folds=[split], fitter_kwargs={"max_epochs": 1})
    assert result["folds"] == [Split((0, 1), (2,), (4, 3))]
    assert [prediction is None for prediction in result["predictions"]] == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"folds": 2}, ValueError, "3 to 6 folds"),
        ({"folds": 7}, ValueError, "3 to 6 folds"),
        ({"folds": True}, TypeError, "bool"),
        ({"folds": "loo"}, ValueError, "'leave-one-out'"),
        ({"folds": 3.5}, TypeError, "integer, 'leave-one-out' or a list, got 3.5"),
        ({"folds": []}, ValueError, "empty"),
        ({"folds": [[0, 1]]}, ValueError, "at least two"),
        ({"folds": [[0, 1, 2], [3, 4, 5]]}, ValueError, "fold 0 has no stimuli for: train"),
        ({"folds": [[0], []]}, ValueError, "no stimuli for: val"),
        ({"folds": [[0], [0], [1]]}, ValueError, r"fold 0 has the stimuli \[0\] more than once"),
        ({"folds": [[0], [1], [0]]}, ValueError, "more than once"),
        ({"folds": [Split((0,), (1,), (2,)), Split((0,), (1,), (2,))]}, ValueError, r"\[2\] are in the test part of"),
        ({"folds": [[0], [6], [1]]}, ValueError, r"\[6\]"),
        ({"folds": [[0], [-1], [1]]}, ValueError, r"\[-1\]"),
        ({"folds": [[0.5], [1], [2]]}, TypeError, "list of stimulus indices"),
        ({"folds": [0, 1, 2]}, TypeError, "list of stimulus indices"),
        ({"folds": [Split((0,), (1,), (2,)), [3]]}, TypeError, "list of stimulus indices"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"fitter_kwargs": {"model": None}}, ValueError, "managed by cross_validate"),
        ({"fitter_kwargs": {"monitor": "val_fve"}}, UnknownMonitorError, "val_fve"),
        ({"fitter_kwargs": {"optimizer": 1e-3}}, TypeError, "functools.partial"),
    ],
)
def test_bad_arguments_are_errors_before_work_starts(options, error, match):
    def never(seed):
        pytest.fail("nothing may be made before the arguments are checked")

    with pytest.raises(error, match=match):
        validate(model_factory=never, **options)


# ---------------------------------------------------------------- the data


def test_the_data_set_is_left_as_it_is():
    dataset = make_dataset({(1, 2)})
    dataset.I = [2, 0]
    dataset.select_stims([0, 1, 3, 4, 5])
    stims = [stim.clone() for stim in dataset.stims]
    responses = [[dataset.responses[s][n].clone() for n in range(N_NEURONS)] for s in range(N_STIMS)]
    validate(dataset, functools.partial(make_model, n_neurons=2), folds=3, fitter_kwargs={"max_epochs": 1})
    assert (dataset.I, dataset.S_sel) == ([2, 0], [0, 1, 3, 4, 5])
    assert all(torch.equal(now, then) for now, then in zip(dataset.stims, stims, strict=True))
    for s in range(N_STIMS):
        for n in range(N_NEURONS):
            assert torch.equal(dataset.responses[s][n].nan_to_num(nan=9e9), responses[s][n].nan_to_num(nan=9e9))
    assert getattr(dataset, "stim_normalization", None) is None


def test_stimuli_are_standardised_with_the_training_stimuli_only():
    dataset = make_dataset()
    models, result = spied(dataset=dataset, folds=3, fitter_kwargs={"max_epochs": 1})
    for model, split in zip(models, result["folds"], strict=True):
        training = torch.cat([dataset.stims[s].flatten() for s in split.train])
        for given in (model.given[True], model.given[False]):
            for x in given:
                expected = (dataset.stims[x.shape[-1] - 30] - training.mean()) / training.std()
                assert torch.allclose(x[0], expected, atol=1e-5)


def test_a_wild_test_stimulus_changes_neither_training_nor_validation():
    splits = [Split((0, 1, 2), (3,), (4, 5))]
    calm, wild = make_dataset(), make_dataset()
    wild.stims[4] = 100 * wild.stims[4]
    one, two = validate(calm, folds=splits), validate(wild, folds=splits)
    assert [row["val_loss"] for row in one["per_fold_histories"][0]] == [
        row["val_loss"] for row in two["per_fold_histories"][0]
    ]
    assert torch.equal(one["predictions"][5], two["predictions"][5])
    assert not torch.equal(one["predictions"][4], two["predictions"][4])


def test_without_standardising_the_stimuli_go_in_as_they_are():
    dataset = make_dataset()
    models, _ = spied(dataset=dataset, folds=3, standardize=False, fitter_kwargs={"max_epochs": 1})
    assert all(torch.equal(x[0], dataset.stims[x.shape[-1] - 30]) for model in models for x in model.given[False])


def test_a_neuron_is_scored_on_the_stimuli_that_it_heard():
    dataset = make_dataset({(0, 1), (3, 1)} | {(s, 2) for s in range(N_STIMS)})
    result = validate(dataset, folds=3)
    assert all(prediction.isfinite().all() for prediction in result["predictions"])
    heard = [1, 2, 4, 5]
    pred = np.concatenate([result["predictions"][s][1].numpy() for s in heard])
    psth = np.concatenate([dataset.responses[s][1].mean(0).numpy() for s in heard])
    assert float(result["pooled_cc"][1]) == pytest.approx(np.corrcoef(pred, psth)[0, 1], abs=1e-5)
    assert result["pooled_cc"].isnan().tolist() == [False, False, True]
    assert result["mean_test_cc"].isnan().tolist() == [False, False, True]


def test_a_stimulus_that_nobody_heard_takes_no_part():
    dataset = make_dataset({(2, n) for n in range(N_NEURONS)})
    models, result = spied(dataset=dataset, folds="leave-one-out", fitter_kwargs={"max_epochs": 1})
    assert len(result["folds"]) == N_STIMS - 1
    assert [s for s, prediction in enumerate(result["predictions"]) if prediction is None] == [2]
    assert all(2 not in model.stimuli(training) for model in models for training in (True, False))
    with pytest.raises(ValueError, match=r"\[2\].*no response"):
        validate(dataset, folds=[[0], [2], [1]])


def test_selections_are_honoured():
    """A selection of stimuli also hides the neurons that heard none of them, here neuron 1."""
    dataset = make_dataset({(s, 1) for s in range(4)})
    dataset.select_stims([0, 1, 2, 3])
    assert len(dataset[0]["responses"]) == 2
    result = validate(dataset, functools.partial(make_model, n_neurons=2), folds="leave-one-out")
    assert [prediction is None for prediction in result["predictions"]] == [False] * 4 + [True] * 2
    assert result["predictions"][0].shape == (2, 30)
    assert result["pooled_cc"].shape == (2,)
    psth = np.concatenate([dataset.responses[s][2].mean(0).numpy() for s in range(4)])
    pred = np.concatenate([result["predictions"][s][1].numpy() for s in range(4)])
    assert float(result["pooled_cc"][1]) == pytest.approx(np.corrcoef(pred, psth)[0, 1], abs=1e-5)


def test_selected_neurons_keep_their_order():
    dataset = make_dataset()
    dataset.I = [2, 0]
    result = validate(dataset, functools.partial(make_model, n_neurons=2), folds=3)
    for row, n in enumerate([2, 0]):
        psth = np.concatenate([dataset.responses[s][n].mean(0).numpy() for s in range(N_STIMS)])
        pred = np.concatenate([prediction[row].numpy() for prediction in result["predictions"]])
        assert float(result["pooled_cc"][row]) == pytest.approx(np.corrcoef(pred, psth)[0, 1], abs=1e-5)


def test_an_empty_selection_is_an_error_with_its_reason():
    dataset = make_dataset()
    dataset.S_sel = []
    with pytest.raises(ValueError, match=r"nothing to cross-validate.*selects no stimulus"):
        validate(dataset)


# ---------------------------------------------------------------- folds that fail, files, processes


def failing(folds):
    calls = iter(range(100))

    def model(seed):
        if next(calls) in folds:
            raise RuntimeError("no luck")
        return make_model(seed)

    return model


def test_a_failing_fold_is_reported_and_the_others_finish(three):
    with pytest.warns(UserWarning, match="1 of 3 folds failed and are excluded .fold 1: RuntimeError: no luck"):
        result = validate(three.dataset, failing({1}), folds=3, batch_size=2, seed=4)
    assert list(result["failures"]) == [1]
    assert result["per_fold_histories"][1] == []
    assert result["per_fold_test_cc"][1].isnan().all()
    lost = result["folds"][1].test
    for s, prediction in enumerate(result["predictions"]):
        assert prediction is None if s in lost else torch.equal(prediction, three.result["predictions"][s])
    kept = [s for s in range(N_STIMS) if s not in lost]
    psth = np.concatenate([three.dataset.responses[s][0].mean(0).numpy() for s in kept])
    pred = np.concatenate([result["predictions"][s][0].numpy() for s in kept])
    assert float(result["pooled_cc"][0]) == pytest.approx(np.corrcoef(pred, psth)[0, 1], abs=1e-5)


def test_when_all_folds_fail_the_error_holds_the_first_reason():
    with pytest.raises(AllFitsFailedError, match=r"(?s)all 3 folds failed. Fold 0:.*no luck"):
        validate(model_factory=failing({0, 1, 2}), folds=3)


def test_checkpoint_files_carry_the_fold(tmp_path):
    validate(folds=3, fitter_kwargs={"ckpt_path": tmp_path / "best.pt"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_fold0.pt", "best_fold1.pt", "best_fold2.pt"]


@pytest.mark.slow
def test_worker_processes_give_the_numbers_of_one_thread_here(three):
    assert torch.get_num_threads() == 1
    result = validate(three.dataset, folds=3, batch_size=2, seed=4, n_jobs=2)
    for one, two in zip(result["predictions"], three.result["predictions"], strict=True):
        assert torch.equal(one, two)
    for name, value in three.result.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(result[name], value), name
