import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.utils import concat_neural_datasets
from deepSTRF.utils.data import concatenate_datasets


def random_dataset(seed, n_stims, n_neurons):
    generator = torch.Generator().manual_seed(seed)
    stims = [torch.rand(3, 5 + s, generator=generator) for s in range(n_stims)]
    responses = [
        [
            torch.rand(1 + (n + s) % 3, 5 + s, generator=generator)
            if torch.rand(1, generator=generator) > 0.3
            else None
            for n in range(n_neurons)
        ]
        for s in range(n_stims)
    ]
    return NeuralDataset.from_arrays(stims, responses, dt_ms=5.0, path=f"seed{seed}")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4))
def test_block_diagonal(sizes):
    parts = [random_dataset(seed, *size) for seed, size in enumerate(sizes)]
    joined = concat_neural_datasets(parts)
    joined.validate()
    assert torch.equal(joined.nrn_masks, torch.block_diag(*(p.nrn_masks.int() for p in parts)).bool())
    assert joined.path == "+".join(p.path for p in parts)
    s0 = n0 = 0
    for part in parts:
        for s in range(part.get_S()):
            assert joined.stims[s0 + s] is part.stims[s]
            for n in range(joined.N_neurons):
                inside = n0 <= n < n0 + part.N_neurons
                if inside:
                    expected = part.responses[s][n - n0]
                    torch.testing.assert_close(joined.responses[s0 + s][n], expected, equal_nan=True)
                else:
                    assert joined.responses[s0 + s][n].shape == (1, 1)
        s0, n0 = s0 + part.get_S(), n0 + part.N_neurons


def test_nothing_is_copied(ds, make):
    other = make(seed=1)
    joined = ds + other
    held = {block.values.untyped_storage().data_ptr() for block in joined._packed().blocks()}
    assert held == {b.values.untyped_storage().data_ptr() for d in (ds, other) for b in d._packed().blocks()}
    values = sum(block.values.numel() for block in joined._packed().blocks())
    assert values == 2 * sum(block.values.numel() for block in ds._packed().blocks())


def test_changing_the_sum_leaves_the_parts(ds, make):
    joined = ds + make(seed=1)
    before = ds.responses[0][0].clone()
    joined.responses[0][0] = torch.zeros(3, 30)
    joined.smooth_responses()
    joined.standardize_stims()
    assert torch.equal(ds.responses[0][0], before)
    assert joined.nrn_masks.sum() == 2 * ds.nrn_masks.sum()


def test_names_and_metadata(ds, make):
    other = make(seed=1)
    other.nrn_meta[0]["dataset"] = "old"
    joined = concat_neural_datasets([ds, other], names=["left", "right"])
    assert [meta["dataset"] for meta in joined.nrn_meta] == ["left"] * 3 + ["right"] * 3
    assert [meta["dataset"] for meta in joined.stim_meta] == ["left"] * 4 + ["right"] * 4
    assert "dataset" not in ds.nrn_meta[0]
    assert other.nrn_meta[0]["dataset"] == "old"
    assert {meta["dataset"] for meta in (ds + other).nrn_meta} == {"NeuralDataset"}
    with pytest.raises(ValueError, match="names must have one entry per dataset"):
        concat_neural_datasets([ds, other], names=["left"])
    with pytest.raises(ValueError, match="names must have one entry per dataset"):
        concat_neural_datasets([ds], names=[])


def test_selections_are_reset(ds, make):
    ds.select_neuron(0)
    ds.select_stim(1)
    joined = ds + make(seed=1)
    assert joined.I == []
    assert joined.S_sel is None
    assert len(joined) == 8
    assert ds.I == [0]
    joined.select_neuron(5)
    assert len(joined) == 1


def test_single_and_none(ds):
    assert concat_neural_datasets([ds]) is ds
    with pytest.raises(ValueError, match="at least one"):
        concat_neural_datasets([])


def test_what_does_not_fit(ds, make):
    for other in (1, [1], None, torch.utils.data.TensorDataset(torch.ones(1))):
        with pytest.raises(TypeError):
            ds + other
    with pytest.raises(TypeError, match="input 1 must be a NeuralDataset, got str"):
        concat_neural_datasets([ds, "ds"])
    with pytest.raises(ValueError, match=r"dt mismatch: 5\.0 ms and 2\.0 ms"):
        ds + make(dt_ms=2.0)
    with pytest.raises(ValueError, match="dt mismatch"):
        ds._concat_check_compat(make(dt_ms=2.0))


def test_class_of_the_result(make):
    class One(AudioNeuralDataset):
        pass

    class Two(AudioNeuralDataset):
        pass

    class Three(One):
        pass

    assert type(make(One) + make(One)) is One
    assert type(make(One) + make(Two)) is AudioNeuralDataset
    assert type(make(Three) + make(One)) is One
    assert type(make() + make(One)) is NeuralDataset
    with pytest.raises(TypeError, match="audio data sets only"):
        make(One) + make()


def test_deprecated_name(ds, make):
    with pytest.warns(DeprecationWarning, match="concat_neural_datasets"):
        joined = concatenate_datasets(ds, make())
    assert joined.N_neurons == 6
