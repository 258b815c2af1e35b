"""Cross-validation of recipes, of factories that see the training part, and of blocks of time."""

import numpy as np
import pytest
import torch
from torch import nn

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.splits import k_fold
from deepSTRF.metrics import noise_ceiling
from deepSTRF.models.audio import Linear
from deepSTRF.models.audio.ridge import fit_ridge
from deepSTRF.registry import Recipe, get_recipe
from deepSTRF.training import cross_validate

pytestmark = pytest.mark.filterwarnings("ignore:the best penalty:UserWarning")


def recording(n_stims=6, n_bins=200, n_repeats=4):
    rng = np.random.default_rng(0)
    stims = [rng.normal(size=(3, n_bins)) for _ in range(n_stims)]
    responses = [rng.poisson(np.exp(0.6 * np.roll(x[1], 2)), (2, n_repeats, n_bins)) for x in stims]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=10.0)


class Memory(nn.Module):
    """Answers a stimulus that it has seen with the response to it, and any other with noise of its own."""

    def __init__(self, train):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        averaged = train.averaged()
        self.seen = [(x, torch.cat(list(r))) for x, r in zip(averaged.stims, averaged.responses, strict=True)]

    def forward(self, stims):
        noise = torch.randn(len(stims), 2, 1, stims.shape[-1], generator=torch.Generator().manual_seed(0))
        for row, stim in zip(noise, stims, strict=True):
            for seen, response in self.seen:
                if torch.equal(seen, stim):
                    row[:, 0] = response
        return noise + 0 * self.weight


@pytest.mark.parametrize(
    "how", [Recipe(None, lambda train, val, window_ms: Memory(train)), lambda seed, train: Memory(train)]
)
def test_what_memorises_cannot_score_on_folds(how):
    result = cross_validate(how, recording(), folds=3, fitter_kwargs={"max_epochs": 1})
    assert result["pooled_cc"].abs().max() < 0.15
    assert all(prediction.shape == (2, 200) for prediction in result["predictions"])
    everything = Memory(recording())
    assert torch.equal(everything(recording().stims[0][None])[0, 0, 0], recording().responses[0][0].mean(0))


@pytest.mark.parametrize("name", ["ridge", "linear", "dnet"])
def test_recipes_honour_the_selected_neurons_and_stimuli(name):
    options = {} if name == "ridge" else {"fitter_kwargs": {"max_epochs": 1}}
    chosen = recording()
    chosen.select_population([1])
    chosen.select_stims([0, 2, 3, 5])
    result = cross_validate(name, chosen, folds=3, **options)
    alone = recording().subset([0, 2, 3, 5])._part([1])
    expected = cross_validate(name, alone, folds=3, **options)
    torch.testing.assert_close(result["pooled_cc"], expected["pooled_cc"])
    assert result["pooled_cc"].shape == (1,)
    assert result["predictions"][0].shape == (1, 200)
    assert result["predictions"][1] is None


def test_ridge_by_name_is_fitted_to_each_training_part():
    result = cross_validate("ridge", recording(), folds=3)
    for split in k_fold(6, 3, seed=0):
        own = recording()
        own.standardize_stims(split.train, per_band=False)
        model = fit_ridge(own.subset(split.train))
        for s in split.test:
            expected = model(own.stims[s][None])[0, :, 0].detach()
            torch.testing.assert_close(result["predictions"][s], expected, rtol=1e-4, atol=1e-5)
    assert result["pooled_cc"].min() > 0.5
    assert [len(history) for history in result["per_fold_histories"]] == [1, 1, 1]


def test_network_by_name_trains_as_its_recipe_says():
    result = cross_validate("linear", recording(), folds=3, fitter_kwargs={"max_epochs": 2})
    assert [len(history) for history in result["per_fold_histories"]] == [2, 2, 2]
    same = cross_validate(get_recipe("linear"), recording(), folds=3, fitter_kwargs={"max_epochs": 2})
    assert torch.equal(result["pooled_cc"], same["pooled_cc"])


def test_factory_is_given_the_standardised_training_part():
    seen = []

    def factory(train):
        seen.append(torch.cat(train.stims, -1))
        return Linear(train.F, 5, train.N_neurons)

    cross_validate(factory, recording(), folds=3, fitter_kwargs={"max_epochs": 1})
    assert len(seen) == 3
    for stims in seen:
        assert float(stims.mean()) == pytest.approx(0, abs=1e-5)
        assert float(stims.std()) == pytest.approx(1, abs=1e-5)


def test_blocks_of_one_recording():
    whole = recording(n_stims=1, n_bins=2000)
    result = cross_validate("ridge", whole, folds="blocks:4:300")
    assert [len(part) for part in result["folds"][0]] == [2, 1, 1]
    assert sorted(s for split in result["folds"] for s in split.test) == [0, 1, 2, 3]
    assert torch.cat(result["predictions"], -1).shape == (2, 2000)
    assert result["dataset"].uncut.get_S() == 1
    ceiling = noise_ceiling(torch.stack(list(whole.responses[0]))[None], reduction="none")
    torch.testing.assert_close(result["pooled_cc_norm"], result["pooled_cc"] / ceiling)
