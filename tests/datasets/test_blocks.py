"""Blocks of time: pieces with gaps between them, splits of one recording, and ceilings of the uncut one."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.blocks import parse_blocks, uncut_ceiling
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import noise_ceiling
from deepSTRF.models.audio.ridge import fit_ridge


def recording(lengths=(6000,), n_repeats=3, dt_ms=10.0, seed=0):
    rng = np.random.default_rng(seed)
    stims = [rng.normal(size=(2, length)) for length in lengths]
    responses = [rng.poisson(np.exp(0.5 * np.roll(x[0], 3)), (1, n_repeats, x.shape[1])) for x in stims]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=dt_ms)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(60, 400), min_size=1, max_size=3), st.integers(2, 8), st.integers(1, 10))
def test_pieces_follow_each_other_and_gaps_belong_to_no_block(lengths, n_blocks, gap):
    ds = recording(tuple(lengths), n_repeats=1, dt_ms=1.0)
    if min(lengths) // n_blocks < 2 * gap:
        with pytest.raises(ValueError, match="what fits"):
            ds.in_blocks(n_blocks, gap)
        return
    cut = ds.in_blocks(n_blocks, gap)
    assert cut.get_S() == n_blocks * len(lengths)
    for s, length in enumerate(lengths):
        pieces = [i for i, meta in enumerate(cut.stim_meta) if meta["stimulus"] == s]
        assert torch.equal(torch.cat([cut.stims[i] for i in pieces], -1), ds.stims[s])
        scored = torch.zeros(length)
        for i in pieces:
            meta, response = cut.stim_meta[i], cut.responses[i][0]
            scored[meta["start"] : meta["stop"]] += 1
            assert response.shape[-1] == meta["warm_up"] + meta["stop"] - meta["start"]
            assert bool(response[:, : meta["warm_up"]].isnan().all())
            assert torch.equal(response[:, meta["warm_up"] :], ds.responses[s][0][:, meta["start"] : meta["stop"]])
        assert scored.max() == 1
        assert scored.sum() == length - (n_blocks - 1) * gap
        metas = [cut.stim_meta[i] for i in pieces]
        assert all(after["start"] - before["stop"] == gap for before, after in itertools.pairwise(metas))


def test_stimuli_are_views_and_the_uncut_recording_is_at_hand():
    ds = recording()
    cut = ds.in_blocks(5)
    assert cut.stims[3].untyped_storage().data_ptr() == ds.stims[0].untyped_storage().data_ptr()
    assert cut.uncut.get_S() == 1
    assert cut.subset([1]).averaged().uncut is cut.uncut
    assert ds.uncut is None
    with pytest.raises(ValueError, match="uncut"):
        cut.in_blocks(2)


def test_message_says_what_fits():
    with pytest.raises(
        ValueError, match=r"6 blocks with this gap \('blocks:6:500'\) or .* 300 ms with 10 blocks \('blocks:10:300'\)"
    ):
        recording((600,)).in_blocks(10)
    with pytest.raises(ValueError, match="too short"):
        recording((5,)).in_blocks(5)


def test_one_recording_is_split_in_time():
    ds = recording()
    train, val, test = ds.split("blocks:5")
    assert [len(part) for part in (train, val, test)] == [3, 1, 1]
    assert test.stim_meta[0]["start"] == 2450
    assert [tuple(part) for part in ds.split_indices("blocks:5")] == [(0, 3, 4), (1,), (2,)]
    assert ds.split("blocks:5:300")[2].stim_meta[0]["start"] == 2430
    assert fit_ridge(train, val, alphas=0.1).ridge_alpha.tolist() == [0.1]


def test_default_split_depends_on_the_number_of_stimuli():
    assert recording().default_split == "blocks:5"
    assert recording((600,) * 5).default_split == "blocks:5"
    assert recording((600,) * 6).default_split == "holdout:1"
    assert recording((30,) * 20).default_split == "holdout:3"
    assert SimulatedDataset(n_neurons=1, n_stims=9, duration_s=0.2).default_split == "holdout:4"
    assert len(recording().split()[0]) == 3


def test_few_stimuli_are_told_of_blocks():
    with pytest.raises(ValueError, match="blocks:5"):
        recording((600, 600)).split("holdout:1")


@pytest.mark.parametrize("wrong", ["blocks:", "blocks:2", "blocks:x", "blocks:5:0", "blocks:5:6:7", "blocks:5:nan"])
def test_wrong_protocols(wrong):
    with pytest.raises(ValueError, match="blocks:B"):
        parse_blocks(wrong)


def test_ceiling_is_that_of_the_uncut_recording_for_any_number_of_blocks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 6000))
    slow = np.exp(np.sin(np.arange(6000) / 300))
    y = rng.poisson(0.2 * slow * np.exp(0.5 * np.roll(x[0], 3)), (1, 20, 6000))
    ds = AudioNeuralDataset.from_arrays([x], [y], dt_ms=10.0)
    whole = noise_ceiling(torch.from_numpy(y[None]).float())
    assert whole == pytest.approx(0.91, abs=0.01)
    for n_blocks in (3, 5, 20, 60):
        assert uncut_ceiling(ds.in_blocks(n_blocks, gap_ms=100)).item() == pytest.approx(float(whole), abs=1e-6)


def test_scaling_and_smoothing_reach_the_uncut_recording():
    ds = recording(n_repeats=10)
    cut = ds.in_blocks(5)
    part = cut.subset([0, 1])
    cut.smooth_responses(50.0)
    whole = recording(n_repeats=10)
    whole.smooth_responses(50.0)
    assert torch.equal(uncut_ceiling(cut), noise_ceiling(whole.responses[0][0][None, None], reduction="none"))
    assert not torch.equal(uncut_ceiling(part), uncut_ceiling(cut))


def test_neurons_without_data_in_a_block():
    x = np.random.default_rng(0).normal(size=(1, 600))
    y = np.ones((2, 1, 600))
    y[1, :, :200] = np.nan
    cut = AudioNeuralDataset.from_arrays([x], [y], dt_ms=10.0).in_blocks(3, gap_ms=100)
    assert cut.nrn_masks.tolist() == [[True, False], [True, True], [True, True]]
    assert cut.responses[0][1].shape == (1, 1)


def test_truth_of_simulated_cells_is_cut_too():
    ds = SimulatedDataset(n_neurons=2, n_stims=2, duration_s=2.0)
    cut = ds.in_blocks(3, gap_ms=100)
    assert torch.equal(torch.cat(list(cut.true_rates[3:]), -1), ds.true_rates[1])
