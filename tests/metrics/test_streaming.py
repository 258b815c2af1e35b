"""Streaming metrics: the functional metrics on all data together, for every way to deal the data out."""

import copy
import pickle
from functools import partial

import hypothesis.strategies as st
import processes
import pytest
import streaming_ranks
import torch
import torch.multiprocessing
from hypothesis import given, settings
from streaming_ranks import CLASSES, build, fewer_repeats, population
from test_metric_properties import populations
from torchmetrics import MetricCollection

from deepSTRF import metrics
from deepSTRF.metrics import streaming
from deepSTRF.metrics.correlation import CORRCOEF
from deepSTRF.metrics.statistics import Measure, Moments


def of_responses(function, **options):
    return lambda pred, responses, **keywords: function(responses, **options, **keywords)


FUNCTIONS = {
    "mse": metrics.mse_loss,
    "poisson": metrics.poisson_loss,
    "poisson_log": partial(metrics.poisson_loss, log_input=True, eps=1e-3),
    "corrcoef": metrics.corrcoef,
    "fve": metrics.fve,
    "schoppe": metrics.normalized_corrcoef,
    "concatenated": partial(metrics.normalized_corrcoef, signal_power="concatenated"),
    "hsu": partial(metrics.normalized_corrcoef, method="hsu"),
    "signal_power": of_responses(metrics.signal_power),
    "noise_power": of_responses(metrics.noise_power),
    "snr": of_responses(metrics.snr),
    "noise_ceiling": of_responses(metrics.noise_ceiling),
    "noise_ceiling_concatenated": of_responses(metrics.noise_ceiling, signal_power="concatenated"),
}
close = partial(torch.testing.assert_close, equal_nan=True, rtol=1e-6, atol=1e-6)
few = settings(max_examples=20, deadline=None)


def whole(name, pred, responses, mask=None):
    """The functional metric, with float64 results."""
    return FUNCTIONS[name](pred.double(), responses.double(), mask=mask, reduction="none").float()


def trimmed(pred, responses):
    """A batch as the collate function makes it: as long and with as many repeats as its stimuli need."""
    valid = ~responses.isnan()
    bins = int(valid.any(0).any(0).any(0).nonzero().max()) + 1 if valid.any() else 1
    repeats = int(valid.any(0).any(0).any(-1).nonzero().max()) + 1 if valid.any() else 1
    return pred[..., :bins], responses[:, :, :repeats, :bins]


@st.composite
def dealt(draw):
    """A population, and its stimuli dealt out to batches."""
    pred, responses = draw(populations())
    batches = draw(st.lists(st.integers(0, 3), min_size=len(pred), max_size=len(pred)))
    # float64 data, so that the thresholds for "constant" are those of the reference
    return pred.double(), responses.double(), [torch.tensor(batches) == batch for batch in sorted(set(batches))]


@pytest.mark.parametrize("name", CLASSES)
@few
@given(data=dealt())
def test_any_split_gives_the_functional_metric(name, data):
    pred, responses, batches = data
    metric = build(name)
    for batch in batches:
        metric.update(*trimmed(pred[batch], responses[batch]))
    expected = whole(name, pred, responses)
    value = metric.compute()
    assert value.shape == (pred.shape[1],)
    assert value.dtype == torch.float32
    close(value, expected)


@pytest.mark.parametrize("name", CLASSES)
@few
@given(data=dealt(), seed=st.integers(0, 1000))
def test_forward_masks_and_merging(name, data, seed):
    pred, responses, batches = data
    mask = ~responses.isnan() & (torch.rand(responses.shape, generator=torch.Generator().manual_seed(seed)) < 0.8)
    one, other = build(name), build(name)
    for number, batch in enumerate(batches):
        metric = (one, other)[number % 2]
        close(
            metric(pred[batch], responses[batch], mask[batch]), whole(name, pred[batch], responses[batch], mask[batch])
        )
    if one.update_called:
        one.compute()
    one.merge_state(other)
    close(one.compute(), whole(name, pred, responses, mask))


@pytest.mark.parametrize("name", CLASSES)
def test_long_recording_with_a_large_offset(name):
    generator = torch.Generator().manual_seed(3)
    pred = torch.rand(60, 4, 1, 25, generator=generator) + torch.arange(60.0).view(60, 1, 1, 1) / 10
    responses = pred + 0.3 * torch.randn(60, 4, 4, 25, generator=generator)
    responses[::7, 2] = torch.nan
    metric = build(name)
    for stimulus in range(60):
        metric.update(pred[stimulus : stimulus + 1], responses[stimulus : stimulus + 1])
    close(metric.compute(), whole(name, pred, responses))
    assert metric.compute().isfinite().all()
    held = sum(state.numel() for state in metric.metric_state.values())
    assert held <= 4 * (7 + 5 * 16)
    assert all(state.dtype == torch.float64 for state in metric.metric_state.values())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reduction(name, reduction):
    pred, responses = population()
    metric = build(name, reduction=reduction)
    metric.update(pred[:2], responses[:2])
    metric.update(pred[2:], responses[2:])
    close(metric.compute(), FUNCTIONS[name](pred, responses, reduction=reduction))


@pytest.mark.parametrize("groups", [True, False])
def test_collection(groups):
    pred, responses = population()
    together = MetricCollection({name: build(name) for name in CLASSES}, compute_groups=groups)
    for _ in range(2):
        for batch in torch.arange(7).split(3):
            together.update(pred=pred[batch], responses=responses[batch])
        values = together.compute()
        for name, value in values.items():
            close(value, whole(name, pred, responses))
        together.reset()
    if groups:
        shared = [set(group) for group in together.compute_groups.values() if len(group) > 1]
        assert shared == [{"corrcoef", "fve", "mse"}, {"noise_power", "signal_power", "snr"}]
    batch_values = together(pred, responses)
    assert batch_values.keys() == CLASSES.keys()


@pytest.mark.parametrize("first", ["no data", "perfect"])
def test_equal_first_batches_do_not_join_different_metrics(first):
    """A collection joins metrics whose states are equal after one batch; names tell different statistics apart."""
    pred, responses = population()
    start = responses * torch.nan if first == "no data" else pred.clone()
    members = {
        **{name: build(name) for name in CLASSES},
        "ten": streaming.NormalizedCorrcoef("hsu", ccmax_iters=2),
        "eps": streaming.PoissonLoss(eps=0.5),
    }
    # in this order the ceiling, which knows no prediction, would lead its group
    together = MetricCollection({name: members[name] for name in sorted(members, reverse=True)})
    together.update(pred, start)
    together.update(pred, responses)
    both = torch.cat((pred, pred)), torch.cat((start.expand_as(responses), responses))
    if first == "perfect":
        both[1][:7, :, 1:] = torch.nan  # one repeat
    values = together.compute()
    for name in CLASSES:
        close(values[name], whole(name, *both))
    close(values["ten"], metrics.normalized_corrcoef(*both, method="hsu", ccmax_iters=2, reduction="none"))
    close(values["eps"], metrics.poisson_loss(*both, eps=0.5, reduction="none"))


@pytest.mark.parametrize("name", CLASSES)
def test_reset_copies_and_pickles(name):
    pred, responses = population()
    metric = build(name)
    metric.update(pred[:3], responses[:3])
    for twin in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric), metric.clone()):
        twin.update(pred[3:], responses[3:])
        close(twin.compute(), whole(name, pred, responses))
        assert twin.compute().shape == (4,)
    metric.reset()
    assert not metric.update_called
    metric.update(pred[:, :1], responses[:, :1])  # another population
    assert metric.compute().shape == (1,)


@pytest.mark.parametrize("name", CLASSES)
def test_state_dict(name):
    pred, responses = population()
    metric = build(name)
    metric.update(pred[:3], responses[:3])
    assert metric.state_dict() == {}
    metric.persistent(True)
    resumed = torch.nn.ModuleDict({"score": build(name)})
    resumed["score"].persistent(True)
    resumed.load_state_dict({f"score.{key}": value for key, value in metric.state_dict().items()})
    resumed["score"].update(pred[3:], responses[3:])
    close(resumed["score"].compute(), whole(name, pred, responses))


@pytest.mark.parametrize("cast", [torch.nn.Module.half, lambda module: module.to("cpu", torch.float16)])
def test_state_stays_in_float64(cast):
    pred, responses = population()
    module = torch.nn.ModuleDict({"score": streaming.Corrcoef(), "layer": torch.nn.Linear(1, 1)})
    module["score"].update(pred[:3], responses[:3])
    cast(module)
    assert module["layer"].weight.dtype == torch.float16
    module["score"].update(pred[3:], responses[3:])
    assert module["score"].Moments_of.dtype == torch.float64
    close(module["score"].compute(), whole("corrcoef", pred, responses))


def test_moves_to_a_device():
    metric = streaming.Corrcoef().to("meta")
    assert metric.device == torch.device("meta")
    assert metric.Moments_of.device == torch.device("meta")
    pred, responses = population()
    with pytest.raises(ValueError, match=r"Corrcoef is on meta but got responses on cpu; move it with \.to\('cpu'\)"):
        metric.update(pred, responses)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", CLASSES)
def test_on_a_gpu(name):
    pred, responses = population()
    metric = build(name).to("cuda")
    for batch in torch.arange(7).split(3):
        metric.update(pred[batch].cuda(), responses[batch].cuda())
    assert metric.compute().is_cuda
    close(metric.compute().cpu(), whole(name, pred, responses))
    metric.reset()
    metric.update(pred.cuda(), responses.cuda())
    close(metric.cpu().compute(), whole(name, pred, responses))


def test_inside_inference_mode_and_out():
    pred, responses = population()
    metric = streaming.NormalizedCorrcoef()
    with torch.inference_mode():
        metric.update(pred[:3], responses[:3])
    metric.update(pred[3:].requires_grad_(), responses[3:])
    close(metric.compute(), whole("schoppe", pred.detach(), responses))
    assert not metric.compute().requires_grad


def test_reliability_takes_no_prediction():
    _, responses = population()
    for name in ("signal_power", "noise_power", "snr", "noise_ceiling"):
        metric = build(name)
        metric.update(None, responses)
        close(metric.compute(), whole(name, responses[:, :, :1], responses))


def test_a_batch_without_stimuli_knows_the_neurons():
    metric = streaming.Corrcoef()
    metric.update(torch.zeros(0, 3, 1, 5), torch.zeros(0, 3, 2, 5))
    assert metric.compute().isnan().tolist() == [True] * 3


def test_nothing_seen():
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert streaming.Corrcoef().compute().shape == (0,)
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert streaming.Corrcoef(reduction="mean").compute().isnan()


def test_errors():
    pred, responses = population()
    metric = streaming.Corrcoef()
    metric.update(pred, responses)
    value = metric.compute()
    for bad, error, message in [
        ((pred[:, :2], responses[:, :2]), ValueError, "has seen N = 4 neurons, got a batch of N = 2"),
        ((pred[:2], responses), ValueError, "shape mismatch"),
        ((pred, responses[:, :, 0]), ValueError, "must have the shape"),
        ((None, responses), TypeError, "pred must be a torch.Tensor"),
        ((pred, responses, responses), TypeError, "mask must be a bool tensor"),
    ]:
        with pytest.raises(error, match=message):
            metric.update(*bad)
    close(metric.compute(), value)  # a bad batch leaves no trace
    with pytest.raises(TypeError, match=r"responses must be a torch\.Tensor"):
        streaming.SNR().update(None, None)
    other = streaming.Corrcoef()
    other.update(pred[:, :2], responses[:, :2])
    with pytest.raises(ValueError, match="of N = 2 and 4"):
        metric.merge_state(other)
    with pytest.raises(ValueError, match="merge metrics with the same options only"):
        streaming.NormalizedCorrcoef().merge_state(streaming.NormalizedCorrcoef("hsu"))
    with pytest.raises(ValueError, match="Expected incoming state"):
        metric.merge_state(streaming.SNR())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: streaming.Corrcoef(reduction="median"), "reduction must be one of"),
        (lambda: streaming.NormalizedCorrcoef("pearson"), "method must be one of"),
        (lambda: streaming.NormalizedCorrcoef(signal_power="all"), "signal_power must be one of"),
        (lambda: streaming.NormalizedCorrcoef("hsu", ccmax_iters=0), "ccmax_iters must be a positive integer"),
        (lambda: streaming.PoissonLoss(eps=0.0), "eps must be positive"),
        (lambda: streaming.Corrcoef(sync=True), "Unexpected keyword arguments"),
        (lambda: streaming.StreamingMetric(Measure((Moments.of,) * 2, CORRCOEF.compute)), "twice"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of two gloo processes."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    processes.context()
    context = torch.multiprocessing.start_processes(
        streaming_ranks.run, args=(folder,), nprocs=2, join=False, start_method="forkserver"
    )
    try:
        for _ in range(120):  # join returns when one process ends, True when all did
            if context.join(timeout=1):
                break
        else:
            pytest.fail("the two processes did not finish in 120 s")
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", CLASSES)
def test_two_processes(ranks, rank, name):
    pred, responses = population()
    results = ranks[rank]
    expected = whole(name, pred, responses)
    close(results["uneven", name], expected)
    close(results["nothing", name], expected)
    close(results["collection"][name], expected)
    close(results["repeats", name], whole(name, pred, fewer_repeats(responses)))
    again = torch.cat((pred, pred[:1], pred[:1])), torch.cat((responses, responses[:1], responses[:1]))
    close(results["goes on", name], whole(name, *again))


@pytest.mark.slow
def test_two_processes_with_options(ranks):
    pred, responses = population()
    firsts = (slice(0, 3), slice(4, 7))
    both = torch.cat([pred[first] for first in firsts]), torch.cat([responses[first] for first in firsts])
    for results, first in zip(ranks, firsts, strict=True):
        close(results["alone"], whole("corrcoef", pred[first], responses[first]))
        close(results["step"], whole("corrcoef", *both))
        close(results["step total"], whole("corrcoef", *both))
        assert "of N = 3 and 4" in results["error"]
