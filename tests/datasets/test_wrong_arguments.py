"""What a user can pass to the data sets by mistake: each ends in an error that says what to do."""

import io
import warnings

import numpy as np
import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset, NS1Dataset
from deepSTRF.datasets.audio.cochleagram import band_centres, causal_cochleagram
from deepSTRF.datasets.audio.sound_files import load_wav, resample
from deepSTRF.datasets.collate import fill_missing_data, neural_collate
from deepSTRF.datasets.concatenation import concat_neural_datasets
from deepSTRF.datasets.natural_sounds import draw_spectrogram
from deepSTRF.datasets.selection import EmptySelectionError
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.smoothing import ResponseSmoothingTransform, hanning_smooth
from deepSTRF.datasets.splits import holdout, k_fold, leave_one_out
from deepSTRF.registry import UnknownNameError, get_dataset, register_dataset

NAN, INF = float("nan"), float("inf")
STIM, RESPONSES = np.ones((4, 30)), np.ones((2, 3, 30))


def made(n_stims=5, cls=AudioNeuralDataset, dt_ms=5.0):
    rng = np.random.default_rng(0)
    return cls.from_arrays(
        [rng.random((4, 30)) for _ in range(n_stims)],
        [rng.random((2, 3, 30)) for _ in range(n_stims)],
        dt_ms=dt_ms,
        nrn_meta=[{"area": "A1"}, {"position": np.ones(3)}],
    )


def arrays(stims=(STIM,), responses=(RESPONSES,), dt_ms=5.0, **kwargs):
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms, **kwargs)


def by_hand(**attributes):
    """A data set as a subclass fills it, with some attributes wrong."""
    ds = NeuralDataset("memory", 5.0)
    good = {
        "stims": [torch.ones(1, 4, 30)],
        "responses": [[torch.ones(3, 30)]],
        "stim_meta": [{}],
        "nrn_meta": [{}],
        "N_neurons": 1,
    }
    for name, value in {**good, **attributes}.items():
        setattr(ds, name, value)
    ds.validate()


def changed(name, value, then=None):
    """A good data set of which one attribute is replaced, and then used."""
    ds = made()
    setattr(ds, name, value)
    if then is not None:
        then(ds)


def protocol(**parts):
    changed("protocols", {"mine": parts}, lambda ds: ds.split("mine"))


def simulated(**kwargs):
    return SimulatedDataset(**{"n_neurons": 2, "n_stims": 2, "duration_s": 0.2, "n_repeats": 2, **kwargs})


def collated(*changes):
    """A batch of one good item and one for each change."""
    good = {"stims": torch.ones(1, 4, 30), "responses": [torch.ones(2, 30)], "stim_meta": {}}
    return neural_collate([good, *({**good, **change} for change in changes)])


def drawn(kind="texture", frequencies_hz=None, n_bins=20, dt_ms=5.0, rng=None):
    frequencies_hz = np.geomspace(500, 1000, 4) if frequencies_hz is None else frequencies_hz
    return draw_spectrogram(kind, frequencies_hz, n_bins, dt_ms, np.random.default_rng(0) if rng is None else rng)


def cochleagram(waveform=None, fs=48000, hop=240, **kwargs):
    return causal_cochleagram(torch.zeros(1, 4800) if waveform is None else waveform, fs, hop, **kwargs)


# id, what is done, the error, words of its message
CONSTRUCTION = [
    ("stims-none", lambda: arrays(stims=None), TypeError, ["stims", "list", "None"]),
    ("stims-empty", lambda: arrays(stims=[], responses=[]), ValueError, ["at least one stimulus"]),
    ("stims-rank", lambda: arrays(stims=[np.ones((1, 1, 4, 30))]), ValueError, ["stims[0]", "(F, T)", "(1, 1, 4, 30)"]),
    ("stims-object", lambda: arrays(stims=[np.array([[None, "x"]])]), TypeError, ["stims[0]", "array of numbers"]),
    ("stims-ragged", lambda: arrays(stims=[[[1, 2], [3]]]), TypeError, ["stims[0]", "array of numbers"]),
    ("stims-text", lambda: arrays(stims=["rain.wav"]), TypeError, ["stims[0]", "array", "str"]),
    ("stims-complex", lambda: arrays(stims=[STIM * 1j]), TypeError, ["stims[0]", "complex", "real"]),
    ("stims-nan", lambda: arrays(stims=[STIM * NAN]), ValueError, ["stims[0]", "NaN"]),
    ("stims-inf", lambda: arrays(stims=[STIM * INF]), ValueError, ["stims[0]", "infinite"]),
    ("stims-beyond-float32", lambda: arrays(stims=[STIM * 1e300]), ValueError, ["stims[0]", "infinite"]),
    ("stims-no-bins", lambda: arrays([np.ones((4, 0))], [np.ones((2, 3, 0))]), ValueError, ["stims[0]", "(1, 4, 0)"]),
    ("stims-bands", lambda: arrays([STIM, STIM[:3]], [RESPONSES] * 2), ValueError, ["same number of bands", "[3, 4]"]),
    ("responses-none", lambda: arrays(responses=None), TypeError, ["responses", "list", "None"]),
    ("responses-count", lambda: arrays(responses=[RESPONSES] * 2), ValueError, ["2 responses", "1 stimulus"]),
    ("responses-rank", lambda: arrays(responses=[RESPONSES[0]]), ValueError, ["responses[0]", "(N, R, T)", "(3, 30)"]),
    ("responses-bins", lambda: arrays(responses=[RESPONSES[..., 1:]]), ValueError, ["29 bins", "30"]),
    ("responses-N", lambda: arrays([STIM] * 2, [RESPONSES, RESPONSES[:1]]), ValueError, ["responses[1]", "1 neuron"]),
    ("responses-none-at-all", lambda: arrays(responses=[[]]), ValueError, ["N_neurons", "positive"]),
    ("responses-no-repeat", lambda: arrays(responses=[RESPONSES[:, :0]]), ValueError, ["at least one repeat"]),
    ("responses-inf", lambda: arrays(responses=[RESPONSES * INF]), ValueError, ["responses[0][0]", "infinite", "NaN"]),
    ("responses-complex", lambda: arrays(responses=[RESPONSES * 1j]), TypeError, ["responses[0]", "complex"]),
    ("responses-text", lambda: arrays(responses=[["spikes"]]), TypeError, ["responses[0][0]", "array", "str"]),
    ("dt-negative", lambda: arrays(dt_ms=-5), ValueError, ["dt", "positive", "-5"]),
    ("dt-nan", lambda: arrays(dt_ms=NAN), ValueError, ["dt", "positive", "nan"]),
    ("dt-text", lambda: arrays(dt_ms="5"), TypeError, ["dt", "number", "str"]),
    ("path", lambda: arrays(path=3), TypeError, ["path", "string", "int"]),
    ("nrn_meta-count", lambda: arrays(nrn_meta=[{}]), ValueError, ["nrn_meta", "1 entries", "2"]),
    ("stim_meta-number", lambda: arrays(stim_meta=5), TypeError, ["stim_meta", "list of dicts", "int"]),
    ("stim_meta-count", lambda: arrays(stim_meta=[{}, {}]), ValueError, ["stim_meta", "1, 1 and 2"]),
    ("hand-empty", lambda: by_hand(stims=[], responses=[], stim_meta=[]), ValueError, ["no stimuli", "stim_meta"]),
    ("hand-int", lambda: by_hand(stims=[torch.ones(1, 4, 30).int()]), TypeError, ["stims[0]", "int32", "float()"]),
    ("hand-bool-stims", lambda: by_hand(stims=[torch.ones(1, 4, 30) > 0]), TypeError, ["stims[0]", "torch.bool"]),
    ("hand-numpy", lambda: by_hand(responses=[[np.ones((3, 30))]]), TypeError, ["responses[0][0]", "torch.as_tensor"]),
    ("hand-rank", lambda: by_hand(responses=[[torch.ones(30)]]), ValueError, ["responses[0][0]", "(R, T)", "(30,)"]),
    ("hand-bins", lambda: by_hand(N_neurons=2, nrn_meta=[{}] * 2, responses=[[torch.ones(3, 30), torch.ones(3, 29)]]),
     ValueError, ["stimulus 0", "neuron 1", "29", "pad"]),
    ("hand-N", lambda: by_hand(N_neurons=2.0), TypeError, ["N_neurons", "integer", "float"]),
    ("hand-zero-N", lambda: by_hand(N_neurons=0, nrn_meta=[]), ValueError, ["N_neurons", "0"]),
    ("hand-F", lambda: changed("F", -1, AudioNeuralDataset.validate), ValueError, ["F", "positive", "-1"]),
    ("hand-hearing", lambda: changed("hearing_range_hz", (9e3, 200), AudioNeuralDataset.validate), ValueError,
     ["hearing_range_hz", "increasing"]),
]  # fmt: skip

USE = [
    ("assign-bins", lambda: made().responses[1].__setitem__(0, torch.ones(2, 29)), ValueError,
     ["neuron 0", "29 bins", "stimulus 1 has 30"]),
    ("assign-numpy", lambda: made().responses[1].__setitem__(0, np.ones((2, 30))), TypeError, ["neuron 0", "ndarray"]),
    ("assign-index", lambda: made().responses[1].__setitem__("a", torch.ones(2, 30)), TypeError, ["neuron", "'a'"]),
    ("assign-all", lambda: changed("responses", None), TypeError, ["responses", "list", "None"]),
    ("read-stimulus", lambda: made().responses[9], IndexError, ["stimulus 9", "there are 5"]),
    ("read-neuron", lambda: made().responses[1][9], IndexError, ["neuron 9", "there are 2"]),
    ("item-text", lambda: made()["rain"], TypeError, ["item index", "integer", "'rain'"]),
    ("item-beyond", lambda: made()[9], IndexError, ["item 9", "5 stimuli"]),
    ("item-mask", lambda: made()[torch.tensor([True, False])], TypeError, ["item index", "bool"]),
    ("all-missing", lambda: arrays(responses=[[None, None]])[0], EmptySelectionError, ["no items", "no selected"]),
    ("all-missing-loop", lambda: iter(arrays(responses=[RESPONSES * NAN])), EmptySelectionError, ["no items"]),
    ("I-number", lambda: changed("I", 3), TypeError, ["list of neuron indices", "int"]),
    ("I-beyond", lambda: changed("I", [9], len), IndexError, ["no neuron 9", "there are 2"]),
    ("S_sel-number", lambda: changed("S_sel", 3), TypeError, ["list of stimulus indices", "int"]),
    ("S_sel-beyond", lambda: changed("S_sel", [9], lambda ds: ds.split("holdout:1")), IndexError, ["no stimulus 9"]),
    ("select-beyond", lambda: made().select_neuron(2), IndexError, ["no neuron 2", "numbered from 0"]),
    ("select-bool", lambda: made().select_neuron(True), TypeError, ["neuron index", "bool"]),
    ("select-one-as-many", lambda: made().select_population(1), TypeError, ["list of neuron indices", "int"]),
    ("select-float", lambda: made().select_population([0.5]), TypeError, ["neuron index", "float"]),
    ("select-negative", lambda: made().select_stims([-1]), IndexError, ["no stimulus -1", "negative"]),
    ("predicate", lambda: made().select_pop_by_nrn_predicate("area"), TypeError, ["predicate", "function", "str"]),
    ("attr-array", lambda: made().select_pop_by_nrn_attr("position", 1.0), TypeError, ["'position'", "predicate"]),
    ("attr-tuple", lambda: arrays(nrn_meta=[{}, ("A1",)]).select_pop_by_nrn_attr("area", "A1"), TypeError,
     ["nrn_meta[1]", "dict", "attribute", "tuple", "predicate"]),
    ("attr-unhashable", lambda: made().select_stims_by_attr(["n"], 1), TypeError, ["key", "string", "list"]),
    ("split-unknown", lambda: made().split("rahman"), ValueError, ["no split 'rahman'", "holdout:K"]),
    ("split-list", lambda: made().split(["a"]), ValueError, ["no split ['a']", "holdout:K"]),
    ("split-0", lambda: made().split("holdout:0"), ValueError, ["k", "positive", "0"]),
    ("split-too-large", lambda: made().split("holdout:3"), ValueError, ["holdout:3", "7 in all", "there are 5"]),
    ("split-no-size", lambda: made().split("holdout:"), ValueError, ["no split 'holdout:'"]),
    ("split-fraction", lambda: made().split("holdout:0.2"), ValueError, ["no split 'holdout:0.2'"]),
    ("split-digits", lambda: made().split("holdout:" + 5000 * "9"), ValueError, ["no split"]),
    ("split-seed", lambda: made().split("holdout:1", seed=-1), ValueError, ["seed", "at least 0", "-1"]),
    ("split-seed-float", lambda: made().split("holdout:1", seed=1.5), TypeError, ["seed", "integer", "1.5"]),
    ("protocol-part", lambda: protocol(train=[0]), ValueError, ["'mine'", "train, val, test"]),
    ("protocol-index", lambda: protocol(train=[0], val=["x"], test=[2]), TypeError, ["'mine'", "integer", "'x'"]),
    ("protocol-beyond", lambda: protocol(train=[0], val=[1], test=[9]), ValueError, ["'mine'", "[9]", "there are 5"]),
    ("holdout", lambda: holdout("all", 1), TypeError, ["n must be an integer", "'all'"]),
    ("k_fold", lambda: k_fold(5, 2.5), TypeError, ["k must be an integer", "2.5"]),
    ("k_fold-few", lambda: k_fold(5, 2), ValueError, ["3 to 5 folds", "k=2"]),
    ("leave_one_out", lambda: leave_one_out(2), ValueError, ["at least 3", "2"]),
    ("subset-number", lambda: made().subset(3), TypeError, ["list of stimulus indices", "int"]),
    ("standardize-number", lambda: made().standardize_stims(3), TypeError, ["list of stimulus indices", "int"]),
    ("standardize-none", lambda: made().standardize_stims([]), ValueError, ["no stims"]),
    ("standardize-eps", lambda: made().standardize_stims(eps=0), ValueError, ["eps", "positive", "0"]),
    ("standardize-bands", lambda: changed("stims", [torch.ones(1, n, 30) for n in range(1, 6)],
                                          AudioNeuralDataset.standardize_stims), ValueError, ["differ in time only"]),
    ("normalize-method", lambda: made().normalize_responses("minmax"), ValueError, ["'max'", "'zscore'", "'minmax'"]),
    ("normalize-eps", lambda: made().normalize_responses("zscore", eps=NAN), ValueError, ["eps", "positive", "nan"]),
    ("quality", lambda: made().compute_neuron_quality(1.5), TypeError, ["integer", "float"]),
    ("smooth-nan", lambda: made().smooth_responses(NAN), ValueError, ["window_ms", "positive", "nan"]),
    ("smooth-inf", lambda: made().smooth_responses(INF), ValueError, ["window_ms", "finite", "inf"]),
    ("smooth-text", lambda: made().smooth_responses("21"), TypeError, ["window_ms", "number", "'21'"]),
    ("smooth-huge", lambda: made().smooth_responses(1e13), ValueError, ["window_ms", "more than", "bins"]),
    ("hann-numpy", lambda: hanning_smooth(np.ones(5), 21, 5), TypeError, ["torch tensor", "ndarray"]),
    ("hann-complex", lambda: hanning_smooth(torch.ones(5) * 1j, 21, 5), TypeError, ["complex", "real"]),
    ("hann-scalar", lambda: hanning_smooth(torch.tensor(1.0), 21, 5), ValueError, ["time axis"]),
    ("transform", lambda: ResponseSmoothingTransform(dt_ms="5"), TypeError, ["dt_ms", "number", "'5'"]),
    ("transform-inf", lambda: ResponseSmoothingTransform(1.0, INF), ValueError, ["window_size_ms", "finite"]),
    ("concat-none", lambda: concat_neural_datasets(None), TypeError, ["list of NeuralDatasets", "None"]),
    ("concat-empty", lambda: concat_neural_datasets([]), ValueError, ["at least one data set"]),
    ("concat-other", lambda: concat_neural_datasets([made(), 5]), TypeError, ["input 1", "NeuralDataset", "int"]),
    ("concat-dt", lambda: made() + made(dt_ms=4.0), ValueError, ["dt mismatch", "5.0", "4.0"]),
    ("concat-F", lambda: made() + arrays(stims=[STIM[:3]]), ValueError, ["F mismatch", "4 and 3"]),
    ("concat-kind", lambda: made() + made(cls=NeuralDataset), TypeError, ["audio", "NeuralDataset"]),
    ("concat-names", lambda: concat_neural_datasets([made(), made()], names="ab"), TypeError, ["names", "list", "str"]),
    ("concat-names-count", lambda: concat_neural_datasets([made(), made()], names=["a"]), ValueError, ["1 names, 2"]),
]  # fmt: skip

SIMULATION = [
    ("repeats-fraction", lambda: simulated(n_repeats=2.5), TypeError, ["n_repeats", "integer", "2.5"]),
    ("repeats-range", lambda: simulated(n_repeats=(1, 2.5)), TypeError, ["n_repeats", "integer", "2.5"]),
    ("repeats-zero", lambda: simulated(n_repeats=0), ValueError, ["n_repeats", "1 <= low <= high", "0"]),
    ("repeats-negative", lambda: simulated(n_repeats=-3), ValueError, ["n_repeats", "-3"]),
    ("repeats-nan", lambda: simulated(n_repeats=NAN), ValueError, ["n_repeats", "nan"]),
    ("repeats-reversed", lambda: simulated(n_repeats=(3, 1)), ValueError, ["n_repeats", "low <= high", "(3, 1)"]),
    ("repeats-three", lambda: simulated(n_repeats=(1, 2, 3)), ValueError, ["n_repeats", "(low, high)", "(1, 2, 3)"]),
    ("repeats-text", lambda: simulated(n_repeats="ten"), TypeError, ["n_repeats", "number", "'ten'"]),
    ("neurons-fraction", lambda: simulated(n_neurons=2.5), TypeError, ["n_neurons", "integer", "2.5"]),
    ("neurons-zero", lambda: simulated(n_neurons=0), ValueError, ["n_neurons", "positive", "0"]),
    ("stims-negative", lambda: simulated(n_stims=-1), ValueError, ["n_stims", "positive", "-1"]),
    ("duration-nan", lambda: simulated(duration_s=NAN), ValueError, ["duration_s", "nan"]),
    ("duration-inf", lambda: simulated(duration_s=INF), ValueError, ["duration_s", "inf"]),
    ("duration-none", lambda: simulated(duration_s=None), TypeError, ["duration_s", "number", "None"]),
    ("bands-fraction", lambda: simulated(n_bands=4.5), TypeError, ["n_bands", "integer", "4.5"]),
    ("bands-one", lambda: simulated(n_bands=1), ValueError, ["at least 2 bands", "n_bands=1"]),
    ("dt-zero", lambda: simulated(dt_ms=0), ValueError, ["dt_ms", "positive", "0"]),
    ("dt-large", lambda: simulated(dt_ms=51), ValueError, ["dt_ms", "(0, 50]", "51"]),
    ("seed-negative", lambda: simulated(seed=-1), ValueError, ["seed", "at least 0", "-1"]),
    ("seed-text", lambda: simulated(seed="a"), TypeError, ["seed", "integer", "'a'"]),
    ("snr-inf", lambda: simulated(snr=(1.0, INF)), ValueError, ["snr", "inf"]),
    ("missing-all", lambda: simulated(missing=1), ValueError, ["missing", "[0, 1)", "1"]),
    ("missing-nan", lambda: simulated(missing=NAN), ValueError, ["missing", "nan"]),
    ("kinds-list", lambda: simulated(kinds=["ln"]), TypeError, ["kinds", "dict", "['ln']"]),
    ("kinds-unknown", lambda: simulated(kinds={"simple": 1}), ValueError, ["kinds", "gain_control", "simple"]),
    ("kinds-inf", lambda: simulated(kinds={"ln": INF}), ValueError, ["kinds", "inf"]),
    ("draw-kind", lambda: drawn(kind="music"), ValueError, ["texture", "'music'"]),
    ("draw-bins", lambda: drawn(n_bins=0), ValueError, ["n_bins", "at least 2", "0"]),
    ("draw-dt", lambda: drawn(dt_ms=-5.0), ValueError, ["dt_ms", "positive", "-5.0"]),
    ("draw-frequencies", lambda: drawn(frequencies_hz=np.zeros(4)), ValueError, ["frequencies_hz", "rising"]),
    ("draw-rng", lambda: drawn(rng=7), TypeError, ["rng", "default_rng", "int"]),
    ("centres-inf", lambda: band_centres(4, 500.0, INF), ValueError, ["high_hz", "finite", "inf"]),
    ("cochleagram-numpy", lambda: cochleagram(np.zeros((1, 4800))), TypeError, ["waveform", "tensor", "ndarray"]),
    ("cochleagram-nan", lambda: cochleagram(torch.full((1, 4800), NAN)), ValueError, ["waveform", "NaN"]),
    ("cochleagram-hop", lambda: cochleagram(hop=0), ValueError, ["hop", "positive", "0"]),
    ("cochleagram-fs", lambda: cochleagram(fs=0), ValueError, ["fs", "positive", "0"]),
    ("cochleagram-window", lambda: cochleagram(window_ms=NAN), ValueError, ["window_ms", "positive", "nan"]),
    ("cochleagram-floor", lambda: cochleagram(floor_db=NAN), ValueError, ["floor_db", "finite", "nan"]),
    ("cochleagram-centres", lambda: cochleagram(centres_hz=torch.ones(1)), ValueError, ["centres_hz", "at least 2"]),
    ("resample-inf", lambda: resample(torch.ones(1, 10), 48000, INF), ValueError, ["target_fs", "finite", "inf"]),
    ("resample-text", lambda: resample(torch.ones(1, 10), "48k", 5), TypeError, ["fs", "number", "'48k'"]),
    ("resample-units", lambda: resample(torch.ones(1, 10), 48000, 4), ValueError, ["1000-fold", "48000", "4 Hz"]),
    ("resample-numpy", lambda: resample(np.ones((1, 10)), 48000, 44100), ValueError, ["tensor (C, T)", "ndarray"]),
    ("ns1-dt-text", lambda: NS1Dataset("/nowhere", dt_ms="5"), TypeError, ["dt_ms", "number", "'5'"]),
    ("ns1-fs-fraction", lambda: NS1Dataset("/nowhere", return_waveform=True, audio_fs=44100.5), TypeError,
     ["audio_fs", "integer", "44100.5"]),
    ("ns1-fs-zero", lambda: NS1Dataset("/nowhere", return_waveform=True, audio_fs=0), ValueError, ["audio_fs", "0"]),
    ("name-number", lambda: get_dataset(5), TypeError, ["name", "string", "int"]),
    ("name-unknown", lambda: get_dataset("ns2"), UnknownNameError, ["'ns2'", "Did you mean 'ns1'"]),
    ("card", lambda: register_dataset("mine"), TypeError, ["DatasetCard", "str"]),
    ("wav-number", lambda: load_wav(3), TypeError, ["path", "int"]),
    ("wav-empty", lambda: load_wav(io.BytesIO()), ValueError, ["sound file", "expected WAV"]),
]  # fmt: skip

BATCHES = [
    ("empty", lambda: neural_collate([]), ValueError, ["at least one item"]),
    ("none", lambda: neural_collate(None), TypeError, ["list of items", "None"]),
    ("one-item", lambda: neural_collate(made()[0]), TypeError, ["list of items", "dict"]),
    ("tuples", lambda: neural_collate([(torch.ones(1, 4, 30), 3)]), TypeError, ["item 0", "dict", "tuple"]),
    ("missing-key", lambda: neural_collate([{"stims": torch.ones(1, 4, 30)}]), ValueError, ["item 0", "'responses'"]),
    ("other-keys", lambda: collated({"behaviour": 1}), ValueError, ["item 1", "'behaviour'"]),
    ("mixed-N", lambda: collated({"responses": [torch.ones(2, 30)] * 2}), ValueError, ["number of neurons", "[1, 2]"]),
    ("nan-stims", lambda: collated({"stims": torch.full((1, 4, 30), NAN)}), ValueError, ["item 1", "NaN"]),
    ("inf-stims", lambda: collated({"stims": torch.full((1, 4, 30), INF)}), ValueError, ["item 1", "infinite"]),
    ("int-stims", lambda: collated({"stims": torch.ones(1, 4, 30).int()}), TypeError, ["item 1", "floating", "int32"]),
    ("numpy-stims", lambda: collated({"stims": np.ones((1, 4, 30))}), TypeError, ["item 1", "tensor", "ndarray"]),
    ("mixed-bands", lambda: collated({"stims": torch.ones(1, 5, 30)}), ValueError, ["item 1", "time only"]),
    ("mixed-dtype", lambda: collated({"stims": torch.ones(1, 4, 30).half()}), TypeError, ["item 1", "float16"]),
    ("mixed-device", lambda: collated({"stims": torch.ones(1, 4, 30, device="meta")}), TypeError, ["item 1", "meta"]),
    ("response-rank", lambda: collated({"responses": [torch.ones(30)]}), ValueError, ["neuron 0", "(R, T)", "(30,)"]),
    ("response-empty", lambda: collated({"responses": [torch.ones(0, 30)]}), ValueError, ["neuron 0", "(0, 30)"]),
    ("response-complex", lambda: collated({"responses": [torch.ones(2, 30) * 1j]}), TypeError, ["neuron 0", "complex"]),
    ("responses-none", lambda: collated({"responses": None}), TypeError, ["item 1", "list of tensors", "NoneType"]),
    ("fill-none", lambda: fill_missing_data(None, -1), TypeError, ["list of tensors", "None"]),
    ("fill-empty", lambda: fill_missing_data([], -1), ValueError, ["at least one tensor"]),
    ("fill-numpy", lambda: fill_missing_data([np.ones(3)], -1), TypeError, ["stims[0]", "tensor", "ndarray"]),
    ("fill-dims", lambda: fill_missing_data([torch.ones(3)], 3), IndexError, ["no dimension 3", "1 dimensions"]),
    ("fill-dims-text", lambda: fill_missing_data([torch.ones(3)], "time"), TypeError, ["dims", "integers", "str"]),
    ("fill-sizes", lambda: fill_missing_data([torch.ones(2, 3), torch.ones(3, 3)], -1), ValueError, ["dimension 0"]),
    ("fill-value", lambda: fill_missing_data([torch.ones(3).long()], -1, NAN), ValueError, ["value", "int64", "nan"]),
]  # fmt: skip

TABLE = {"construction": CONSTRUCTION, "use": USE, "simulation": SIMULATION, "batches": BATCHES}


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        pytest.param(action, error, words, id=f"{part}-{name}")
        for part, rows in TABLE.items()
        for name, action, error, words in rows
    ],
)
def test_the_error_says_what_is_wrong(action, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning in place of an error would let bad data through
        with pytest.raises(error) as caught:
            action()
    message = str(caught.value)
    assert type(caught.value) is error
    assert [word for word in words if word not in message] == []
    raised_in = caught.traceback[-1]
    assert "deepSTRF" in str(raised_in.path), f"raised by {raised_in.path}, not by the library: {message}"


# --- what looks bad and is not ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float64])
def test_every_real_type_of_array_is_welcome(dtype):
    ds = arrays(stims=[STIM.astype(dtype)], responses=[RESPONSES.astype(dtype)])
    assert ds.stims[0].dtype == ds.responses[0][0].dtype == torch.float32
    assert float(ds.responses[0].block.values.sum()) == RESPONSES.size


def test_a_neuron_without_data_and_one_without_variance_pass_through_preprocessing():
    flat, silent = np.full((2, 30), 3.0), None
    ds = arrays(stims=[np.zeros((4, 30))] * 2, responses=[[flat, silent]] * 2)
    quality = ds.compute_neuron_quality()
    ds.standardize_stims()
    ds.smooth_responses(unit_gain=True)
    ds.normalize_responses("zscore")
    ds.validate()
    assert all((stim == 0).all() for stim in ds.stims)
    assert ds.nrn_masks.tolist() == [[True, False]] * 2
    assert torch.isfinite(neural_collate([ds[0], ds[1]])["responses"][:, 0]).all()
    assert quality["snr"].isnan().all()
    assert quality["ccmax"].isnan()[1]


def test_constant_bands_in_half_precision_stay_numbers():
    ds = made()
    ds.stims = [torch.ones(1, 4, 30, dtype=torch.float16) for _ in ds.stims]
    ds.standardize_stims()
    ds.validate()
    assert all((stim == 0).all() for stim in ds.stims)


def test_large_stimuli_are_not_mistaken_for_infinite_ones():
    """Their sum, which the collate looks at first, is beyond the type."""
    for dtype in (torch.float16, torch.float32):
        stim = torch.full((1, 4, 30), torch.finfo(dtype).max, dtype=dtype)
        batch = neural_collate([{"stims": stim, "responses": [torch.ones(2, 30)]}])
        assert torch.equal(batch["stims"][0], stim)


def test_a_stimulus_and_its_responses_change_their_bins_one_after_the_other():
    ds = made()
    ds.stims[0] = ds.stims[0][..., ::2]
    for n in range(2):
        ds.responses[0][n] = ds.responses[0][n][:, ::2]
    ds.responses[1][0] = torch.full((1, 1), NAN)  # the mark of missing data has a single bin
    ds.validate()
    assert ds[0]["responses"][0].shape == (3, 15)
    assert ds.nrn_masks[1].tolist() == [False, True]


@pytest.mark.parametrize("copied", [lambda ds: ds.subset([1, 0]), lambda ds: ds + ds, lambda ds: ds.averaged()])
def test_copies_compare_assignments_with_their_own_stimuli(copied):
    source = made()
    source.stims[1] = source.stims[1][..., :20]
    source.responses[1] = [response[:, :20] for response in source.responses[1]]
    ds = copied(source)
    short = next(s for s, stim in enumerate(ds.stims) if stim.shape[-1] == 20)
    ds.responses[short][1] = torch.ones(1, 20)
    with pytest.raises(ValueError, match=f"stimulus {short} has 20"):
        ds.responses[short][1] = torch.ones(1, 30)
    ds.validate()


def test_an_assignment_that_raises_changes_nothing():
    ds = made()
    before = ds.responses[0].block.values.clone()
    with pytest.raises(ValueError, match="29 bins"):
        ds.responses[0][1] = torch.ones(3, 29)
    ds.validate()
    assert torch.equal(ds.responses[0].block.values, before)


@pytest.mark.parametrize("action", ["standardize_stims", "normalize_responses", "smooth_responses"])
def test_preprocessing_that_raises_changes_nothing(action):
    ds, same = made(), made()
    with pytest.raises((ValueError, TypeError)):
        getattr(ds, action)(**({"window_ms": -1} if action == "smooth_responses" else {"eps": -1}))
    assert all(torch.equal(a, b) for a, b in zip(ds.stims, same.stims, strict=True))
    assert torch.equal(ds.responses[0].block.values, same.responses[0].block.values)
