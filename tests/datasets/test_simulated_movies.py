"""The simulated retina: the same from the same seed, and as true as it says."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.registry import dataset_cards, get_dataset
from deepSTRF.testing import check_dataset

SMALL = {"n_neurons": 4, "n_stims": 3, "duration_s": 2.0, "n_repeats": 3, "spatial_resol": (6, 8)}


def test_default_is_what_its_card_says():
    ds = SimulatedMovieDataset()
    assert get_dataset("simulated-movies") is SimulatedMovieDataset
    assert (ds.N_neurons, len(ds), ds.C, ds.H, ds.W) == (12, 12, 1, 10, 10)
    assert all(stim.shape == (1, 10, 10, 600) for stim in ds.stims)
    assert all(response.shape == (6, 600) for row in ds.responses for response in row)
    assert [len(part) for part in ds.split(dataset_cards()["simulated-movies"].default_split)] == [8, 2, 2]
    pixels = torch.cat(ds.stims, -1)[0]
    torch.testing.assert_close(pixels.mean((0, 1, 2)), torch.tensor(0.0), atol=0.02, rtol=0)
    torch.testing.assert_close(pixels.std((2,)), torch.ones(10, 10), atol=0.1, rtol=0)


def test_it_keeps_the_data_contract():
    check_dataset(lambda: SimulatedMovieDataset(**SMALL))


def test_same_seed_same_bits_and_the_movies_do_not_depend_on_the_cells():
    torch_state = torch.get_rng_state()
    first, second = SimulatedMovieDataset(**SMALL, seed=7), SimulatedMovieDataset(**SMALL, seed=7)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.equal(first.true_fields, second.true_fields)
    for s in range(3):
        assert torch.equal(first.stims[s], second.stims[s])
        assert all(map(torch.equal, first.responses[s], second.responses[s]))
    assert not torch.equal(first.stims[0], SimulatedMovieDataset(**SMALL, seed=8).stims[0])
    more = SimulatedMovieDataset(**SMALL | {"n_neurons": 6, "n_repeats": 1}, seed=7)
    assert all(map(torch.equal, first.stims, more.stims))


def test_a_rate_rises_with_the_filtered_movie_and_counts_are_poisson_around_it():
    ds = SimulatedMovieDataset(**SMALL | {"n_repeats": 60})
    n_lags = ds.true_fields.shape[-1]
    for movie, rates, responses in zip(ds.stims, ds.true_rates, ds.responses, strict=True):
        padded = torch.nn.functional.pad(movie, (n_lags - 1, 0)).double()
        drive = torch.nn.functional.conv3d(padded[None], ds.true_fields[:, None].double())[0, :, 0, 0]
        for n in range(4):
            along = rates[n].double()[drive[n].argsort()]
            assert (along.diff() > -1e-5).all()
        counts = torch.stack(list(responses)).double()
        z = (counts.mean(1) - rates) / (rates / 60).sqrt().clamp_min(1e-9)
        assert 0.85 < z[rates > 0.1].std() < 1.15
    mean_rate = torch.cat(ds.true_rates, 1).mean(1) / (ds.dt / 1000)
    assert [meta["mean_rate_hz"] for meta in ds.nrn_meta] == pytest.approx(mean_rate.tolist(), rel=1e-4)


def test_fields_are_biphasic_with_a_surround_of_the_other_sign():
    ds = SimulatedMovieDataset()
    fields = ds.true_fields.double()
    torch.testing.assert_close(fields.flatten(1).norm(dim=1), torch.ones(12, dtype=torch.float64))
    for field, meta in zip(fields, ds.nrn_meta, strict=True):
        sign = 1 if meta["kind"] == "on" else -1
        lag = int(field.abs().amax((0, 1)).argmax())
        row, column = divmod(int(field[..., lag].abs().argmax()), 10)
        assert max(abs(row - meta["row"]), abs(column - meta["column"])) <= 0.51
        course = sign * field[row, column]
        assert course.argmax() == lag
        assert course[lag] > 0.2
        assert course[:lag].min() < -0.15 * course[lag]  # light long ago acts the other way
        assert abs(course[-1]) < 0.1 * course[lag]
        distance = np.hypot(*(np.indices((10, 10)) - np.array([meta["row"], meta["column"]])[:, None, None]))
        assert (sign * field[..., lag])[torch.from_numpy((distance > 3) & (distance < 4))].max() < 0
    assert [meta["kind"] for meta in ds.nrn_meta].count("off") == 6


def test_a_part_has_the_rates_of_its_movies():
    ds = SimulatedMovieDataset(**SMALL)
    part = ds.subset([2, 0])
    assert torch.equal(part.true_rates[0], ds.true_rates[2])
    assert len(part.true_rates) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_neurons": 0}, ValueError, "n_neurons"),
        ({"n_repeats": 2.5}, TypeError, "n_repeats"),
        ({"duration_s": 0.01}, ValueError, "two bins"),
        ({"dt_ms": 80.0}, ValueError, "dt_ms"),
        ({"spatial_resol": (3, 8)}, ValueError, "spatial_resol"),
        ({"spatial_resol": (10, 10, 1)}, ValueError, "pair"),
        ({"spatial_resol": 10}, TypeError, "pair"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_mistakes_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        SimulatedMovieDataset(**arguments)
