"""``dataset.select("area=A1", "snr>0.2", stimuli="type=song")``."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.conditions import parse_condition
from deepSTRF.datasets.neural_dataset import EmptySelectionError
from deepSTRF.datasets.quality import neuron_qualities
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import ccmax, noise_ceiling, snr

NRN_META = [
    {"cell_id": "007", "area": "A1", "depth": 300, "good": True},
    {"cell_id": "8", "area": "AAF", "depth": "450.0", "good": False},
    {"cell_id": "9", "area": "A1", "depth": float("nan"), "good": True},
    {"cell_id": "a, b", "depth": np.float32(0.1)},
]
STIM_META = [{"name": "one", "type": "song"}, {"name": "two", "type": "noise"}, {"name": "three", "type": "song"}]


@pytest.fixture
def ds():
    """Four neurons, the last of which heard only the noise; three repeats, or two."""
    generator = np.random.default_rng(0)
    responses = []
    for s, n_bins in enumerate((30, 40, 50)):
        signal = generator.random((4, 1, n_bins))
        row = list(signal + 0.3 * generator.random((4, 3 - s % 2, n_bins)))
        responses.append([*row[:3], row[3] if s == 1 else None])
    stims = [generator.random((5, n)) for n in (30, 40, 50)]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=10.0, nrn_meta=NRN_META, stim_meta=STIM_META)


def cells(ds):
    return [NRN_META.index(meta) for meta in ds.nrn_meta]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["area=A1"], [0, 2]),
        (["area==A1"], [0, 2]),
        ([" area = A1 , AAF "], [0, 1, 2]),
        (["area!=A1"], [1]),  # without an area, nothing is known
        (["area!=A1,MGB"], [1]),
        (["depth>=300"], [0, 1]),
        (["depth=450"], [1]),
        (["depth<1"], [3]),
        (["depth=0.1"], [3]),
        (["cell_id=007"], [0]),
        (["cell_id=7"], [0]),
        (['cell_id="a, b",8'], [1, 3]),
        (["good=true"], [0, 2]),
        (["area=A1", "depth>0"], [0]),
        (["index=3,0"], [0, 3]),
        (["index!=1"], [0, 2, 3]),
        (["repeats>2"], [0, 1, 2]),
        (["rate>0"], [0, 1, 2, 3]),
        ([], [0, 1, 2, 3]),
    ],
)
def test_conditions_on_neurons(ds, conditions, expected):
    part = ds.select(*conditions)
    assert cells(part) == expected
    assert part.N_neurons == len(expected)
    assert type(part) is AudioNeuralDataset
    for s in range(3):
        for new, old in enumerate(expected):
            torch.testing.assert_close(part.responses[s][new], ds.responses[s][old], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(part.nrn_masks, ds.nrn_masks[:, expected])
    part.validate()
    assert part.F == 5


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [("type=song", [0, 2]), (["type=song", "duration>0.4"], [2]), ("repeats=2", [1]), ("index<2", [0, 1])],
)
def test_conditions_on_stimuli(ds, conditions, expected):
    part = ds.select(stimuli=conditions)
    assert [meta["name"] for meta in part.stim_meta] == [STIM_META[s]["name"] for s in expected]
    assert part.N_neurons == (4 if 1 in expected else 3)  # the fourth neuron heard only the noise


def test_quality_is_that_of_the_metrics_on_the_chosen_stimuli(ds):
    songs = ds.select(stimuli="type=song")
    responses = torch.full((2, 3, 3, 50), torch.nan)
    for s in range(2):
        for n, response in enumerate(songs.responses[s]):
            responses[s, n, : response.shape[0], : response.shape[1]] = response
    for name, metric in (("snr", snr), ("ccmax", ccmax), ("ceiling", noise_ceiling)):
        values = metric(responses, reduction="none")
        threshold = float(values.sort().values[:2].mean())
        expected = [n for n in range(3) if float(values[n]) > threshold]
        assert cells(ds.select(f"{name}>{threshold!r}", stimuli="type=song")) == expected
    rates = [float(torch.cat([row[n].flatten() for row in songs.responses]).mean()) * 100 for n in range(3)]
    assert cells(songs.select(f"rate>={max(rates) - 1e-3}")) == [rates.index(max(rates))]
    with pytest.raises(EmptySelectionError, match="'rate' lies between"):
        songs.select(f"rate>{max(rates) + 1e-3}")


def test_trial_correlation_is_that_of_pairs_of_repeats_weighted_by_bins():
    rng = np.random.default_rng(0)
    counts = [rng.poisson(2.0, (2, 4, 60)).astype("f4"), rng.poisson(2.0, (2, 3, 20)).astype("f4")]
    counts[1][1, 1:] = np.nan  # one repeat of the second stimulus: it doesn't count for this neuron
    ds = NeuralDataset.from_arrays([np.ones((2, 60)), np.ones((2, 20))], counts, dt_ms=5.0)
    pairs = [[np.corrcoef(own)[np.triu_indices(len(own), 1)].mean() for own in stimulus] for stimulus in counts]
    expected = [(60 * pairs[0][0] + 20 * pairs[1][0]) / 80, pairs[0][1]]
    np.testing.assert_allclose(neuron_qualities(ds)["trial_correlation"](), expected, atol=1e-6)


def test_single_trials_have_no_reliability():
    ds = NeuralDataset.from_arrays([np.ones((2, 9))], [np.random.default_rng(0).random((2, 1, 9))], dt_ms=5.0)
    for name in ("snr", "ccmax", "ceiling", "trial_correlation"):
        with pytest.raises(EmptySelectionError, match=f"no neuron matches {name}>0; '{name}' is undefined for all"):
            ds.select(f"{name}>0")


def test_what_was_selected_before_is_the_frame(ds):
    ds.select_population([2, 1, 0])
    assert cells(ds.select("depth>0")) == [1, 0]
    ds.select_stim(1)
    assert ds.select("depth>0").get_S() == 1
    assert ds.I == [2, 1, 0]  # as it was


def test_the_original_stays_as_it_is(ds):
    part = ds.select("area=A1")
    part.nrn_meta[0]["area"] = "MGB"
    part.responses[0][0] = part.responses[0][0] + 1
    assert ds.nrn_meta[0]["area"] == "A1"
    assert ds.N_neurons == 4
    assert len(ds.select()) == 3


def test_named_splits_are_cut_to_the_stimuli_that_are_left(ds):
    ds.protocols = {
        "own": {"train": (0,), "val": (1,), "test": (2,)},
        "songs": {"train": (0,), "val": (0,), "test": (2,)},
    }
    assert ds.select("area=A1").protocols == ds.protocols
    part = ds.select(stimuli="type=song")
    assert part.protocols == {"songs": {"train": (0,), "val": (0,), "test": (1,)}}
    assert part.split("songs").test.stim_meta[0]["name"] == "three"


def test_the_truth_goes_with_the_neurons_and_blocks_with_their_recording():
    ds = SimulatedDataset(n_neurons=6, n_stims=3, duration_s=0.5, n_repeats=2, n_bands=4)
    part = ds.select("index=4,1")
    assert torch.equal(part.true_strfs, ds.true_strfs[[1, 4]])
    assert torch.equal(part.true_rates[2], ds.true_rates[2][[1, 4]])
    blocks = ds.in_blocks(3, 25.0).select("index=4,1")
    assert blocks.uncut.N_neurons == 2
    assert blocks.select(stimuli="block=0").get_S() == 3


def test_missing_values_of_pandas():
    pandas = pytest.importorskip("pandas")
    for missing in (pandas.NA, pandas.NaT, np.nan, None, " "):
        assert not parse_condition("area!=A1").matches(missing)
        assert not parse_condition("depth<3").matches(missing)


BAD = [
    (("snr",), ValueError, "expected a condition such as 'area=A1'.*got 'snr'.*quotes"),
    (("",), ValueError, "expected a condition"),
    (("depth=>3",), ValueError, "unknown operator '=>' in 'depth=>3'; there are = != > >= < <="),
    (("area~A1",), ValueError, "unknown operator '~'"),
    (("area=",), ValueError, "'area=' needs a value after '='"),
    (("area=A1,,AAF",), ValueError, "needs a value after"),
    (("=A1",), ValueError, "'=A1' needs a key before '='"),
    (("depth=nan",), ValueError, "missing values fulfil no condition"),
    (("depth>deep",), ValueError, "> compares with one number, got 'deep'"),
    (("depth>1,2",), ValueError, "> compares with one number, got '1,2'; several values go with"),
    (("area>3",), ValueError, r"area>3: > compares numbers, but values of 'area': 'A1' \(2\), 'AAF' \(1\)"),
    (
        ("aera=A1",),
        ValueError,
        "unknown key of neurons 'aera'; available: cell_id, area, depth.*snr.*Did you mean 'area'",
    ),
    (("area=MGB",), ValueError, r"no neuron matches area=MGB; values of 'area': 'A1' \(2\), 'AAF' \(1\)"),
    (("area=a1",), ValueError, "no neuron matches area=a1"),
    (
        ("area=A1", "depth>400"),
        ValueError,
        r"no neuron matches all conditions; of 4 neurons match: area=A1 2, depth>400 1$",
    ),
    (("rate>1e9", "area=A1"), ValueError, "rate>1e9 0, area=A1 2; 'rate' lies between"),
    ((3,), TypeError, "a condition is a string such as .* got an int: 3"),
    ((["area=A1"],), TypeError, "a condition is a string such as .* got a list"),
    ((None,), TypeError, "got None"),
]


@pytest.mark.parametrize(("conditions", "error", "message"), BAD)
def test_bad_conditions_are_clear(ds, conditions, error, message):
    with pytest.raises(error, match=message):
        ds.select(*conditions)


@pytest.mark.parametrize(
    ("neurons", "stimuli", "error", "message"),
    [
        ((), "typ=song", ValueError, "unknown key of stimuli 'typ'; .* Did you mean 'type'"),
        ((), "type=speech", EmptySelectionError, "no stimulus matches type=speech; values of 'type'"),
        ((), 5, TypeError, "stimuli must be conditions such as .* got an int: 5"),
        ((), {"type": "song"}, TypeError, "stimuli must be conditions such as .* got a dict"),
        (("depth<1",), "type=song", EmptySelectionError, "none of the 1 selected neurons has data for any of the 2"),
    ],
)
def test_bad_conditions_on_stimuli_are_clear(ds, neurons, stimuli, error, message):
    with pytest.raises(error, match=message):
        ds.select(*neurons, stimuli=stimuli)


def test_nothing_to_select_from(ds):
    ds.select_population([])
    with pytest.raises(EmptySelectionError, match="there is nothing to select from: select_population"):
        ds.select("area=A1")


OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "=": "!=", "!=": "="}


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(
    st.sampled_from(list(OPPOSITE)),
    st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6),
)
def test_numbers_are_compared_as_numbers(sign, value, limit):
    """Whether they are numbers or text; an order and its opposite exclude each other."""
    condition = parse_condition(f"key{sign}{limit!r}")
    opposite = parse_condition(f"key{OPPOSITE[sign]}{limit!r}")
    assert condition.matches(value) == condition.matches(repr(value)) == condition.matches(np.float64(value))
    assert condition.matches(value) != opposite.matches(value)
    if sign in (">", "<="):
        assert condition.matches(value) == ((value > limit) == (sign == ">"))


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=12))
def test_any_text_is_a_condition_or_a_clear_error(text):
    with contextlib.suppress(ValueError):
        condition = parse_condition(text)
        assert condition.key
        assert all(condition.values)
        assert parse_condition(str(condition)) == condition
