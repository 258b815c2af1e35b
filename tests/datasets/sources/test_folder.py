"""A folder is read as the arrays that are in it, and a data set comes back from a folder bit by bit."""

import numpy as np
import pytest
import torch
from folder_files import assert_same, write_folder
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset, read_folder
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.spectrograms import sound_stimuli
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.testing import check_dataset

NAN = float("nan")
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(), st.text(st.characters(codec="utf-8"), max_size=8)
)
META = st.dictionaries(
    st.sampled_from(["name", "cell_id", "neuron", "stimulus", "area", "snr", "é, \n"]),
    VALUES | st.lists(VALUES, max_size=2),
)


def expected_counts(times, n_bins, dt_s):
    return np.histogram(times, np.arange(n_bins + 1) * dt_s)[0]


def test_sounds_and_spikes(tmp_path):
    ds = read_folder(write_folder(tmp_path / "mine"))
    stims, spectrogram, _ = sound_stimuli(
        {name: tmp_path / "mine" / "stimuli" / f"{name}.wav" for name in ("birds", "rain")}, None, 10.0
    )
    assert isinstance(ds, AudioNeuralDataset)
    assert [meta["name"] for meta in ds.stim_meta] == ["birds", "rain"]
    assert [meta["cell_id"] for meta in ds.nrn_meta] == ["a", "b"]
    assert ds.spectrogram == spectrogram
    assert list(ds.frequencies_hz) == spectrogram.frequencies_hz.tolist()
    for stim, expected in zip(ds.stims, stims, strict=True):
        assert torch.equal(stim, expected)
    counts = expected_counts([0.012, 0.2, 0.2001, 0.415], 50, 0.01)
    expected = AudioNeuralDataset.from_arrays(stims, [np.tile(counts, (2, 2, 1))] * 2, 10.0)
    for s in range(2):
        assert torch.equal(ds.responses[s].block.values, expected.responses[s].block.values)
    check_dataset(ds)


@pytest.mark.parametrize("class_", [NeuralDataset, AudioNeuralDataset])
def test_the_classes_that_read_sounds(tmp_path, class_):
    ds = class_.from_folder(write_folder(tmp_path / "mine"))
    assert type(ds) is class_
    assert ds.stims[0].shape == (1, 34, 50)


def test_toml_says_unit_onset_splits_and_where_it_comes_from(tmp_path):
    toml = """
dt_ms = 10
unit = "ms"
onset_ms = 100
species = "ferret"
area = "A1"
hearing_range_hz = [100, 30000]
[spectrogram]
kind = "mel"
n_bands = 12
[splits.paper]
train = ["rain.wav"]
val = ["birds"]
test = ["wind"]
"""
    spikes = "time;repeat;neuron;stimulus\n" + "".join(
        f"{time};{repeat};a;{sound}.wav\n"
        for sound in ("rain", "birds", "wind")
        for repeat in (0, 1)
        for time in (112, 305)
    )
    folder = write_folder(tmp_path / "mine", toml=toml, sounds=("rain", "birds", "wind"), spikes=spikes)
    ds = read_folder(folder)
    assert ds.responses[0][0].nonzero().tolist() == [[0, 1], [0, 20], [1, 1], [1, 20]]
    assert ds.protocols == {"paper": {"train": (1,), "val": (0,), "test": (2,)}}
    assert ds.split().train.stim_meta == [{"name": "rain"}]
    assert (ds.about, ds.F, ds.hearing_range_hz) == ({"species": "ferret", "area": "A1"}, 12, (100, 30000))


def test_tables_of_neurons_and_stimuli_set_order_and_metadata(tmp_path):
    folder = write_folder(tmp_path / "mine", toml='dt_ms = 10.0\nunit = "s"\ntrials = "all"\n')
    (folder / "neurons.csv").write_text("neuron,area,depth_um,good\nb,A1,120.5,True\nsilent,,7,False\na,007,3,\n")
    (folder / "stimuli.csv").write_text("\ufeffstimulus,type,repeats\nrain,noise,3\nbirds,song,\n")
    ds = read_folder(folder)
    assert ds.nrn_meta == [
        {"cell_id": "b", "area": "A1", "depth_um": 120.5, "good": True},
        {"cell_id": "silent", "depth_um": 7, "good": False},
        {"cell_id": "a", "area": "007", "depth_um": 3},
    ]
    assert ds.stim_meta == [{"name": "rain", "type": "noise", "repeats": 3}, {"name": "birds", "type": "song"}]
    assert [tuple(block.values.shape) for block in ds._packed().blocks()] == [(3, 3, 50), (3, 2, 50)]
    assert ds.responses[0][0].sum(1).tolist() == [4, 4, 0]


def test_listed_trials_are_the_only_ones_recorded(tmp_path):
    spikes = "neuron,stimulus,repeat,time\na,rain,1,0.1\na,rain,2,\nb,rain,2,0.2\n"
    ds = read_folder(write_folder(tmp_path / "m", toml='dt_ms = 10.0\nunit = "s"\ntrials = "listed"', spikes=spikes))
    counts = ds._packed()[1].block.values.sum(-1)
    np.testing.assert_array_equal(counts.numpy(), [[1, 0], [NAN, 1]])
    assert ds.nrn_masks.tolist() == [[False, False], [True, True]]


def test_responses_instead_of_spikes(tmp_path):
    folder = write_folder(tmp_path / "mine", toml="dt_ms = 10.0")
    (folder / "spikes.csv").unlink()
    responses = np.random.default_rng(0).normal(size=(3, 2, 50)).astype(np.float32)
    responses[1, 1:] = NAN
    np.savez(folder / "responses.npz", rain=responses)
    ds = read_folder(folder)
    assert ds.nrn_meta == [{}] * 3
    np.testing.assert_array_equal(ds.responses[1].block.values.numpy(), responses)
    assert ds.responses[1][1].shape == (1, 50)
    assert not ds.nrn_masks[0].any()


def test_waveforms_of_sound_files_and_back(tmp_path):
    folder = write_folder(tmp_path / "mine", fs=22050)
    ds = read_folder(folder, return_waveform=True)
    assert (ds.audio_fs, ds.hop, ds.stims[0].shape) == (22100, 221, (1, 50 * 221))
    ds.covariates = {"a/b@c": [torch.ones(2, 50), torch.full((50,), NAN)], "speed": [torch.zeros(50)] * 2}
    ds.to_folder(tmp_path / "again")
    assert_same(read_folder(tmp_path / "again"), ds)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_round_trip_of_simulated_sounds(tmp_path, missing):
    ds = SimulatedDataset(4, 7, (0.3, 0.5), (1, 4), missing=missing, seed=3)
    ds.protocols = {"a b": {"train": (6, 1), "val": (0,), "test": (2, 3)}}
    ds.to_folder(tmp_path / "saved")
    back = read_folder(tmp_path / "saved")
    assert_same(back, _plain(ds))


def _plain(ds):
    """The same as an AudioNeuralDataset."""
    twin = AudioNeuralDataset(ds.path, ds.dt)
    vars(twin).update({k: v for k, v in vars(ds).items() if not k.startswith("true_")})
    return twin


@settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_round_trip(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    n_stims, n_neurons = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    movies = data.draw(st.booleans())
    shape = tuple(rng.integers(1, 4, 3)) if movies else (int(rng.integers(1, 5)),)
    stims, responses = [], []
    for _ in range(n_stims):
        bins = int(rng.integers(1, 7))
        stims.append(rng.normal(size=(*shape, bins)).astype(np.float32))
        row = []
        for _ in range(n_neurons):
            response = rng.normal(size=(rng.integers(1, 4), bins)).astype(np.float32)
            response[rng.random(response.shape) < data.draw(st.sampled_from([0, 0.3, 0.9, 1]))] = NAN
            row.append(None if rng.random() < 0.2 else response)
        responses.append(row)
    class_ = VideoNeuralDataset if movies else AudioNeuralDataset
    options = {} if movies or rng.random() < 0.5 else {"frequencies_hz": [float(f) for f in rng.random(shape[0]) + 1]}
    ds = class_.from_arrays(
        stims, responses, data.draw(st.sampled_from([5, 5.0, 1 / 3])),
        stim_meta=data.draw(st.lists(META, min_size=n_stims, max_size=n_stims)),
        nrn_meta=data.draw(st.lists(META, min_size=n_neurons, max_size=n_neurons)),
        **options,
    )  # fmt: skip
    if n_stims > 2:
        ds.protocols = {
            data.draw(st.text(st.characters(codec="utf-8"))): {
                "train": (2, *range(3, n_stims)),
                "val": (0,),
                "test": (1,),
            }
        }
    folder = tmp_path_factory.mktemp("saved") / "it"
    ds.to_folder(folder)
    assert_same(read_folder(folder), ds)


def test_what_json_does_not_know_comes_back_as_lists(tmp_path):
    ds = AudioNeuralDataset.from_arrays(
        [np.ones((2, 5))], [np.ones((2, 1, 5))], 5.0,
        nrn_meta=[("unit", 3), {"field": np.arange(2), "snr": np.float64(0.5), "cell_id": 7}],
    )  # fmt: skip
    ds.to_folder(tmp_path / "saved")
    assert read_folder(tmp_path / "saved").nrn_meta == [
        {"metadata": ["unit", 3]},
        {"field": [0, 1], "snr": 0.5, "cell_id": 7},
    ]


def test_nothing_is_overwritten_and_nothing_is_left_behind(tmp_path):
    ds = AudioNeuralDataset.from_arrays([np.ones((2, 5))], [np.ones((1, 1, 5))], 5.0, nrn_meta=[{"f": object()}])
    with pytest.raises(TypeError, match="'f' of neuron 0 can't be saved in a table"):
        ds.to_folder(tmp_path / "saved")
    assert not list(tmp_path.iterdir())
    (tmp_path / "saved").mkdir()
    ds.nrn_meta = [{}]
    ds.to_folder(tmp_path / "saved")
    with pytest.raises(FileExistsError, match="is a folder that is not empty; choose another name"):
        ds.to_folder(tmp_path / "saved")
    ds.stims = [stim.double() for stim in ds.stims]
    with pytest.raises(TypeError, match=r"holds float32, and this data set has torch.float32, torch.float64"):
        ds.to_folder(tmp_path / "other")


def test_a_second_start_reads_the_cache_until_a_file_changes(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "mine")
    first = read_folder(folder)

    def read(*_):
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr("deepSTRF.datasets.sources.folder.read_contents", read)
        assert_same(read_folder(folder), first)
        with pytest.raises(AssertionError, match="read again"):
            read_folder(folder, cache=False)
    spikes = (folder / "spikes.csv").read_text()
    (folder / "spikes.csv").write_text(spikes + "a,rain,1,0.3\n")
    assert read_folder(folder).responses[1][0].sum() == first.responses[1][0].sum() + 1
    (folder / "neurons.csv").write_text("neuron\nb\na\n")
    assert [meta["cell_id"] for meta in read_folder(folder).nrn_meta] == ["b", "a"]


@pytest.mark.parametrize("kind", ["sounds", "spectrograms", "movies"])
def test_time_before_and_after_the_stimulus_is_that_of_from_spike_times(tmp_path, kind):
    toml = 'dt_ms = 10.0\nunit = "s"\nbefore_ms = 30\nafter_ms = 50\nonset_ms = 5\n'
    spikes = {name: {"a": [[0.012, 0.2, 0.5302, 0.8], [-0.01, 0.415]]} for name in ("birds", "rain")}
    lines = [
        f"a,{name},{repeat + 1},{time}\n" for name in spikes for repeat in (0, 1) for time in spikes[name]["a"][repeat]
    ]
    folder = write_folder(tmp_path / "mine", toml=toml, spikes="neuron,stimulus,repeat,time\n" + "".join(lines))
    sounds = {name: folder / "stimuli" / f"{name}.wav" for name in spikes}
    options = {"unit": "s", "dt_ms": 10.0, "before_ms": 30, "after_ms": 50, "onset_ms": 5}
    if kind == "sounds":
        expected = AudioNeuralDataset.from_waveforms(sounds, spikes=spikes, **options)
    else:
        (folder / "recording.toml").write_text(toml + "silence = -2.0\n")
        class_ = AudioNeuralDataset if kind == "spectrograms" else VideoNeuralDataset
        shape = (4, 50) if kind == "spectrograms" else (4, 3, 50)
        stims = {name: np.random.default_rng(0).random(shape) for name in spikes}
        for name, stim in stims.items():
            sounds[name].unlink()
            np.save(folder / "stimuli" / f"{name}.npy", stim)
        expected = class_.from_spike_times(stims, spikes, silence=-2.0, **options)
    ds = read_folder(folder, cache=False)
    assert ds.responses[0][0].shape == (2, 58)
    assert ds.responses[0][0].sum() == 5
    ds.about = expected.about
    assert_same(ds, expected)
    ds.to_folder(tmp_path / "copy")
    assert_same(read_folder(tmp_path / "copy", cache=False), ds)


def test_saved_responses_with_time_before_the_stimulus(tmp_path):
    folder = write_folder(tmp_path / "mine", toml="dt_ms = 10.0\nbefore_ms = 20\n")
    (folder / "spikes.csv").unlink()
    counts = np.ones((1, 2, 52))
    np.savez(folder / "responses.npz", rain=counts, birds=counts)
    assert read_folder(folder, cache=False).stims[0].shape == (1, 34, 52)
    np.savez(folder / "responses.npz", rain=counts[..., 2:], birds=counts)
    with pytest.raises(ValueError, match="as the stimulus with before_ms and after_ms, 52"):
        read_folder(folder, cache=False)
    (folder / "recording.toml").write_text("dt_ms = 10.0\nafter_ms = 25\n")
    with pytest.raises(ValueError, match="after_ms must be a whole number of bins of 10 ms, got 25; next to it"):
        read_folder(folder, cache=False)


def test_stereo_sounds_are_noted(tmp_path):
    import soundfile

    folder = write_folder(tmp_path / "mine")
    soundfile.write(folder / "stimuli" / "rain.wav", np.random.default_rng(0).normal(0, 0.1, (8000, 2)), 16000)
    assert read_folder(folder).stim_meta == [{"name": "birds"}, {"channels": 2, "name": "rain"}]
