import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from deepSTRF.datasets import NeuralDataset
from deepSTRF.utils import ResponseSmoothingTransform, hanning_smooth, neural_collate
from deepSTRF.utils.data import fill_missing_data

NAN = float("nan")
NO_DATA = torch.full((1, 1), NAN)


def naive(items):
    """The batch, written out element by element."""
    n_neurons = len(items[0]["responses"])
    repeats = max(r.shape[0] for item in items for r in item["responses"])
    bins = max(r.shape[1] for item in items for r in item["responses"])
    length = max(item["stims"].shape[-1] for item in items)
    stims = np.zeros((len(items), *items[0]["stims"].shape[:-1], length), dtype=np.float32)
    responses = np.full((len(items), n_neurons, repeats, bins), np.nan, dtype=np.float32)
    for b, item in enumerate(items):
        stims[b, ..., : item["stims"].shape[-1]] = item["stims"]
        for n, response in enumerate(item["responses"]):
            responses[b, n, : response.shape[0], : response.shape[1]] = response
    return stims, responses


def assert_batch(batch, items):
    stims, responses = naive(items)
    np.testing.assert_array_equal(batch["stims"], stims)
    np.testing.assert_array_equal(batch["responses"], responses)
    assert batch["valid_mask"].dtype == torch.bool
    np.testing.assert_array_equal(batch["valid_mask"], ~np.isnan(responses))
    assert batch["stim_meta"] == [item["stim_meta"] for item in items]


@st.composite
def datasets(draw):
    n_neurons, n_stims = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    stims, responses = [], []
    for s in range(n_stims):
        bins = draw(st.integers(1, 6))
        stims.append(torch.rand(2, bins, generator=generator))
        row = []
        for _ in range(n_neurons):
            repeats = draw(st.integers(0, 3))
            response = torch.rand(repeats, bins, generator=generator)
            if repeats and draw(st.booleans()):
                response[torch.rand(response.shape, generator=generator) < 0.3] = NAN
            row.append(response if repeats else None)
        responses.append(row)
    ds = NeuralDataset.from_arrays(stims, responses, 5.0, stim_meta=[{"n": s} for s in range(n_stims)])
    if draw(st.booleans()):
        ds.select_population(draw(st.lists(st.integers(0, n_neurons - 1), min_size=1, max_size=6)))
    if draw(st.booleans()):
        ds.select_stims(draw(st.lists(st.integers(0, n_stims - 1), min_size=1, max_size=4)))
    return ds


@settings(max_examples=80, deadline=None)
@given(datasets(), st.randoms())
def test_equals_the_naive_batch(ds, random):
    if len(ds) == 0:
        return
    items = [ds[i] for i in range(len(ds))]
    random.shuffle(items)
    assert_batch(neural_collate(items), items)
    # lists that some transform made are copied neuron by neuron, to the same end
    plain = [{**item, "responses": [r.clone() for r in item["responses"]]} for item in items]
    assert_batch(neural_collate(plain), items)
    mixed = [plain[i] if i % 2 else item for i, item in enumerate(items)]
    assert_batch(neural_collate(mixed), items)


@settings(max_examples=20, deadline=None)
@given(datasets(), st.randoms())
def test_permuting_neurons_permutes_the_batch(ds, random):
    ds.reset_pop_selection()
    ds.reset_stim_selection()
    if len(ds) == 0:
        return
    order = list(range(ds.N_neurons))
    random.shuffle(order)
    whole = neural_collate([ds[i] for i in range(len(ds))])
    ds.select_population(order)
    permuted = neural_collate([ds[i] for i in range(len(ds))])
    torch.testing.assert_close(permuted["responses"], whole["responses"][:, order], equal_nan=True, rtol=0, atol=0)


def make(n_neurons=3):
    row = [torch.rand(2 + n, 6) for n in range(n_neurons - 1)]
    return NeuralDataset.from_arrays([torch.rand(4, 6)] * 2, [[*row, None], [*row, torch.rand(1, 6)]], dt_ms=5.0)


def test_changed_lists_are_seen():
    ds = make()
    for change in (
        lambda responses: responses.__setitem__(0, torch.full((5, 9), 3.0)),
        lambda responses: responses.reverse(),
        lambda responses: responses.append(torch.ones(1, 6)),
        lambda responses: responses.pop(),
        lambda responses: responses.__imul__(2),
    ):
        item = ds[1]
        change(item["responses"])
        assert_batch(neural_collate([item]), [item])


def test_a_copied_item_collates_the_same():
    ds = make()
    for item in (copy.deepcopy(ds[0]), copy.copy(ds[0]), dict(ds[0])):
        assert_batch(neural_collate([item]), [ds[0]])


def test_no_memory_is_shared():
    ds = make()
    ds.responses[0][2] = torch.rand(3, 6)
    items = [ds[0]]
    batch = neural_collate(items)
    batch["responses"].zero_()
    batch["stims"].zero_()
    assert ds.stims[0].any()
    assert ds.responses[0][0].all()
    assert items[0]["responses"][0].all()
    one = NeuralDataset.from_arrays([torch.rand(4, 6)], [torch.rand(1, 1, 6)], dt_ms=5.0)
    neural_collate([one[0]])["responses"].zero_()
    assert one.responses[0][0].all()


def test_extra_keys_pass_through():
    ds = make()
    items = [{**ds[i], "pupil": i, "trial": [i]} for i in range(2)]
    batch = neural_collate(items)
    assert batch["pupil"] == [0, 1]
    assert batch["trial"] == [[0], [1]]
    assert list(batch)[:3] == ["stims", "responses", "valid_mask"]


def test_items_of_other_data_sets():
    items = [{"stims": torch.rand(1, 7), "responses": [torch.rand(2, 3), NO_DATA], "stim_meta": {}} for _ in range(2)]
    assert_batch(neural_collate(items), items)  # stimuli and responses need not have the same clock


def test_dtype_follows_the_stimuli():
    ds = make()
    items = [{**ds[0], "stims": ds.stims[0].double()}]
    batch = neural_collate(items)
    assert batch["responses"].dtype == torch.float64
    np.testing.assert_array_equal(batch["responses"][0, 0, :2], ds.responses[0][0].double())
    plain = [{**item, "responses": list(item["responses"])} for item in items]
    assert neural_collate(plain)["responses"].dtype == torch.float64
    ds.responses[0][2] = torch.rand(2, 6, dtype=torch.float64)
    ds.responses[0][1] = NO_DATA
    assert neural_collate([ds[0]])["responses"].dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda item: item.update(stims=torch.rand(1, 5, 6)), ValueError, r"item 1 has shape \(1, 5, 6\)"),
        (lambda item: item.update(stims=torch.rand(4, 6)), ValueError, "item 1 has shape"),
        (lambda item: item.update(stims=torch.rand(1, 4, 6).double()), TypeError, "item 1 is torch.float64"),
        (lambda item: item.update(stims=torch.ones(1, 4, 6, dtype=torch.uint8)), TypeError, "floating point"),
        (lambda item: item.update(stims=np.ones((1, 4, 6))), TypeError, "floating point"),
        (lambda item: item["responses"].pop(), ValueError, r"same number of neurons, got \[3, 2\]"),
        (lambda item: item["responses"].__setitem__(1, torch.ones(6)), ValueError, "neuron 1 must be a tensor"),
        (lambda item: item.pop("responses"), ValueError, "item 1 has the keys"),
        (lambda item: item.update(pupil=1), ValueError, "item 1 has the keys"),
    ],
)
def test_clear_errors(change, error, message):
    ds = make()
    items = [ds[0], ds[1]]
    change(items[1])
    with pytest.raises(error, match=message):
        neural_collate(items)


def test_an_empty_batch():
    with pytest.raises(ValueError, match="at least one item"):
        neural_collate([])


def test_loader_with_workers():
    ds = make()
    batch = next(iter(DataLoader(ds, batch_size=2, collate_fn=neural_collate, num_workers=1)))
    assert_batch(batch, [ds[0], ds[1]])


def test_whole_items_are_copied_as_blocks():
    """The fast path copies blocks: the neuron-by-neuron fallback must not be what whole items take."""
    ds = make()
    assert ds[0]["responses"].source is not None
    ds.select_population([0, 2])
    assert ds[1]["responses"].source is not None


# --- ResponseSmoothingTransform


@pytest.mark.parametrize("shape", [(3, 2, 40), (2, 3, 2, 40)])
def test_smoothing_transform(shape):
    responses = torch.rand(shape)
    transform = ResponseSmoothingTransform(dt_ms=5, window_size_ms=21)
    assert isinstance(transform, torch.nn.Module)
    assert repr(transform) == "ResponseSmoothingTransform(dt_ms=5, window_size_ms=21, unit_gain=False)"
    torch.testing.assert_close(transform(responses), hanning_smooth(responses, 21, 5), rtol=0, atol=0)
    responses[..., 0, 10:12] = NAN
    smooth = transform(responses)
    assert smooth.shape == responses.shape
    assert torch.equal(torch.isnan(smooth), torch.isnan(responses))
    assert repr(ResponseSmoothingTransform()).startswith("ResponseSmoothingTransform(dt_ms=1.0, window_size_ms=21.0")
    with pytest.raises(ValueError, match="must be positive"):
        ResponseSmoothingTransform(dt_ms=0)


# --- fill_missing_data


def test_fill_missing_data():
    stims = [torch.ones(1, 3, 5), torch.ones(1, 2, 7)]
    filled = fill_missing_data(stims, dims=(1, -1), value=-1.0)
    assert filled.shape == (2, 1, 3, 7)
    assert filled[0, 0, :, :5].eq(1).all()
    assert filled[0, 0, :, 5:].eq(-1).all()
    assert filled[1, 0, 2].eq(-1).all()
    assert int(filled.eq(1).sum()) == 29
    assert fill_missing_data([torch.ones(2, dtype=torch.int64)], 0).dtype == torch.int64


@pytest.mark.parametrize(
    ("stims", "dims", "error", "message"),
    [
        ([], -1, ValueError, "at least one"),
        ([np.ones(3)], -1, TypeError, r"stims\[0\] must be a tensor"),
        ([torch.ones(3), torch.ones(1, 3)], -1, ValueError, r"stims\[1\] has ndim 2"),
        ([torch.ones(3), torch.ones(3).double()], -1, ValueError, "dtype"),
        ([torch.ones(3), torch.ones(3, device="meta")], -1, ValueError, "device"),
        ([torch.ones(2, 3), torch.ones(3, 3)], -1, ValueError, "size 3 in dimension 0"),
        ([torch.ones(2, 3)], 2, IndexError, "no dimension 2"),
        ([torch.ones(2, 3)], [-3], IndexError, "no dimension -3"),
        ([torch.ones(2, 3)], 0.5, TypeError, "integers"),
    ],
)
def test_fill_missing_data_refuses(stims, dims, error, message):
    with pytest.raises(error, match=message):
        fill_missing_data(stims, dims)


# --- the package


def test_figures_are_exported():
    import deepSTRF.utils

    assert callable(deepSTRF.utils.plot_psth_vs_pred)
    assert callable(deepSTRF.utils.plot_stim_with_response)
    with pytest.raises(AttributeError, match="nothing_like_this"):
        deepSTRF.utils.nothing_like_this


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_mask_is_right_in_every_precision_and_its_own(dtype):
    response = torch.tensor([[1.0, NAN, 3.0], [float("inf"), 0.0, NAN]], dtype=dtype)
    item = {"stims": torch.zeros(1, 2, 3, dtype=dtype), "responses": [response, NO_DATA], "stim_meta": {}}
    batch = neural_collate([item])
    assert batch["valid_mask"].tolist() == [
        [[[True, False, True], [True, True, False]], [[False, False, False], [False, False, False]]]
    ]
    batch["responses"].fill_(NAN)
    assert bool(batch["valid_mask"][0, 0, 0, 0])
