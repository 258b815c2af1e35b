"""What is wrong in a folder is said with the file, the line, and what to do."""

import re

import numpy as np
import pytest
import torch
from folder_files import TOML, write_folder

from deepSTRF.datasets import NeuralDataset, read_folder
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset

HEADER = "neuron,stimulus,repeat,time\n"
LINES = "a,rain,1,0.1\na,birds,1,0.1\n"
NPZ = "dt_ms = 10.0\n"

TOMLS = {
    'unit = "s"': "dt_ms is missing, the width of a response bin in milliseconds: dt_ms = 5.0",
    "dt_ms = 10": 'unit is missing, the unit of the times in spikes.csv: unit = "s" or unit = "ms"',
    'dt_ms = 10\nunit = "us"': "unit must be one of 's', 'ms'; got 'us'",
    'dt = 10\nunit = "s"': "unknown key 'dt'; available: dt_ms, .* Did you mean 'dt_ms'?",
    TOML + 'stimuli = "waveforms"': "audio_fs is missing, the sampling rate in Hz of the waveforms",
    'dt_ms = 0.005\nunit = "s"': "dt_ms is the width of a bin in milliseconds, got 0.005; did you mean 5?",
    'dt_ms = "5"\nunit = "s"': "dt_ms must be a number, got a str: '5'",
    "dt_ms = 10\nunit = s": "is not a TOML file: .*line 2",
    TOML + 'area = ["A1"]': 'area must be a text: area = "...", got ',
    TOML + 'trials = "some"': "trials must be one of 'all', 'listed'; got 'some'",
    TOML + 'spectrogram = "spectrogram"': "unknown spectrogram 'spectrogram'; available: log, mel, ",
    TOML + "[spectrogram]\nbands = 3": "unknown setting of a spectrogram 'bands'; available: kind, n_bands",
    TOML + "frequencies_hz = [100, 200]": "frequencies_hz must have one entry for each of 34 bands, got 2",
    TOML + 'splits = ["rain"]': r"splits must be tables, \[splits.NAME\]",
    TOML + '[splits.a]\ntrain = ["rain"]\ntest = ["birds"]': "'a' needs the lists .* got 'train', 'test'",
    TOML + '[splits.a]\ntrain = ["rain"]\nval = ["birds"]\ntest = ["wind"]': "split 'a': unknown stimulus 'wind'",
    TOML + '[splits.a]\ntrain = ["rain"]\nval = ["rain"]\ntest = ["birds"]': "'rain' is in train and in val",
    TOML + '[splits.a]\ntrain = "rain"\nval = ["rain"]\ntest = ["birds"]': "train must be a list of names of stimuli",
    'dt_ms = 10.0\nunit = "ms"': r'all 32 spikes lie in the first 0.415 ms .*if they are in seconds, give unit="s"',
}  # fmt: skip


SPIKES = {
    "neuron,stimulus,repeat\na,rain,1\n": "needs the columns neuron, stimulus, repeat, time: unknown column 'time'",
    "cell,stimulus,repeat,time\n" + LINES: "unknown column 'neuron'; available: cell, ",
    "": "is empty: expected a first line with the names of the columns",
    HEADER: "has no spikes: expected a line for each",
    HEADER + LINES + "a,wind,1,0.1\n": "line 4: there is no file of this name in stimuli/: unknown stimulus 'wind'",
    HEADER + LINES + "a,rain,1,soon\n": "line 4: time must be a number, got 'soon'",
    "neuron;stimulus;repeat;time\na;rain;1;0,1\n": r"line 2: time must be a number \(decimals with a point",
    HEADER + LINES + "a,rain,1,inf\n": "line 4: time must be a finite number, got 'inf'; leave it empty",
    HEADER + LINES + "a,rain,first,0.1\n": "line 4: repeat must be the number of the repeat, 1, 2, 3 ..., got 'first'",
    HEADER + LINES + "a,rain,-1,0.1\n": "line 4: repeat must be the number",
    HEADER + LINES + ",rain,1,0.1\n": "line 4: the cell 'neuron' is empty",
    HEADER + LINES + "a,rain,1,0,1\n": "line 4: 5 cells, .* 4 columns: 'a,rain,1,0,1'; write decimals with a point",
    HEADER + LINES + "\n\na,wind,1,0.1\n": "line 6: there is no file of this name",
    HEADER + LINES + "a,rain\n": "line 4: 2 cells, expected 4: 'a,rain'",
    HEADER + LINES + "a,rain,187,0.1\n": "repeats of stimulus 'rain' are numbered up to 187, but only 2 of them",
    HEADER + LINES + "b,rain,1,0.1\n": "neuron 'b' has no spike for stimulus 'birds'. Was it recorded there?",
    HEADER + LINES.replace("0.1", "7.5"): "no spike is inside",
    HEADER + LINES.replace("0.1", "120"): 'if they are in milliseconds, give unit="ms"',
}  # fmt: skip


TEXTS = {"toml": TOMLS, "spikes": SPIKES}


@pytest.mark.parametrize(("file", "number"), [(file, n) for file, texts in TEXTS.items() for n in range(len(texts))])
def test_recording_toml_and_spikes(tmp_path, file, number):
    text, message = list(TEXTS[file].items())[number]
    folder = write_folder(tmp_path / "mine", **{file: text})
    with pytest.raises(ValueError, match=message) as error:
        read_folder(folder)
    named = {"toml": (str(folder),), "spikes": ("spikes.csv", "stimulus 'rain'")}[file]
    assert any(name in str(error.value) for name in named)


def test_a_line_far_down_is_named(tmp_path):
    spikes = HEADER + LINES * 200_000
    folder = write_folder(tmp_path / "mine", spikes=spikes + "a,rain,1,x\n")
    with pytest.raises(ValueError, match="line 400002: time must be a number, got 'x'"):
        read_folder(folder)


TABLES = {
    "neurons.csv": {
        "neuron,area\na,A1\na,A1\n": "line 3: neuron 'a' is there already, in line 2",
        "id,area\na,A1\n": "needs a column 'neuron' with the names of the neurons; its columns: id, area",
        "neuron,area,area\na,A1,A1\n": "has two columns 'area'; rename one",
        "neuron,area\na,A1,left\n": "line 2: 3 cells, but the header has 2 columns",
        "neuron,area\n,A1\n": "line 2: the cell 'neuron' is empty",
        "neuron\nb\n": "spikes.csv, line 2: unknown neuron 'a'; available: b",
        "neuron\n": "neurons.csv has no neuron",
    },
    "stimuli.csv": {
        "stimulus\nrain\n": "has no row for stimuli/birds.wav; add one",
        "stimulus\nrain\nbirds\nwind\n": "line 4: there is no file of this name in stimuli/: unknown stimulus 'wind'",
        "stimulus,repeats\nrain,1\nbirds,1\n": "stimulus 'rain' has spikes in repeat 2, but `repeats` .* has 1",
        "stimulus,repeats\nrain,many\nbirds,1\n": "line 2: repeats must be an integer",
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TABLES.items() for text in texts])
def test_tables(tmp_path, name, text):
    folder = write_folder(tmp_path / "mine")
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=TABLES[name][text]):
        read_folder(folder)


def test_marks_line_ends_and_empty_cells_of_spreadsheets(tmp_path):
    folder = write_folder(tmp_path / "mine", spikes=HEADER + LINES)
    expected = read_folder(folder)
    (folder / "recording.toml").write_bytes(b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode())
    (folder / "spikes.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + LINES.replace("\n", ",,\n\n")).encode())
    assert all(map(torch.equal, read_folder(folder).responses[0], expected.responses[0]))


def test_names_of_files_as_apple_writes_them(tmp_path):
    """With two characters for an umlaut; and an extension in capitals."""
    folder = write_folder(tmp_path / "mine", sounds=("Vo\u0308gel", "rain"), spikes=HEADER + "a,V\u00f6gel.wav,1,0.1\n")
    file = folder / "stimuli" / "Vo\u0308gel.wav"
    file.rename(file.with_suffix(".WAV"))
    (folder / "recording.toml").write_text(TOML + 'trials = "all"\n')
    dataset = read_folder(folder)
    heard = [str(meta["name"]) for meta, row in zip(dataset.stim_meta, dataset.nrn_masks, strict=True) if row[0]]
    assert heard == ["Vo\u0308gel"]


def test_text_of_another_encoding(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "neurons.csv").write_bytes("neuron,where\na,Zürich\nb,\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"neurons.csv is not a text in UTF-8 .*; save it as CSV UTF-8"):
        read_folder(folder)


def _remove(name):
    def change(folder):
        for path in sorted(folder.glob(name)):
            path.unlink()

    return change


def _write(name, content=b"nothing"):
    return lambda folder: (folder / name).write_bytes(content)


def _npz(**arrays):
    def change(folder):
        (folder / "spikes.csv").unlink()
        np.savez(folder / "responses.npz", **arrays)

    return change


FILES = [
    (_remove("recording.toml"), FileNotFoundError, "there is no recording.toml in .*`deepstrf new FOLDER` writes one"),
    (_remove("spikes.csv"), FileNotFoundError, "there is neither spikes.csv .* nor responses.npz"),
    (_remove("stimuli/*"), ValueError, "stimuli is empty: expected a sound file or an array"),
    (_remove("stimuli/birds.wav"), ValueError, "line 10: .* unknown stimulus 'birds'; available: rain"),
    (_write("stimuli/rain.wav"), ValueError, "rain.wav can't be read as a sound file"),
    (_write("stimuli/rain.mp4"), ValueError, "rain.mp4 is no stimulus: expected sound files"),
    (_write("stimuli/wind.npy"), ValueError, "holds both sound files and arrays"),
    (_write("stimuli/rain.flac"), ValueError, "are two stimuli of one name; rename one"),
    (_write("responses.npz"), ValueError, "has spikes.csv and responses.npz; keep the one"),
    (_npz(rain=np.ones((2, 50))), ValueError, r"must have shape \(neurons, repeats, bins\) .*got \(2, 50\)"),
    (_npz(rain=np.ones((2, 1, 51))), ValueError, r"as many bins as the stimulus, 50; got \(2, 1, 51\)"),
    (_npz(rain=np.ones((2, 1, 50)), birds=np.ones((3, 1, 50))), ValueError, "'rain' are of 2 neurons, there are 3"),
    (_npz(wind=np.ones((2, 1, 50))), ValueError, "unknown stimulus 'wind'; available: birds, rain"),
    (_npz(rain=np.array([None])), ValueError, r"responses.npz can't be read: .*write it with numpy.savez"),
    (_npz(**{"rain": np.ones((1, 1, 50)), "rain@neurons": np.array([0])}), ValueError, "@neurons needs neurons.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), FILES, ids=range(len(FILES)))
def test_files(tmp_path, change, error, message):
    folder = write_folder(tmp_path / "mine")
    change(folder)
    with pytest.raises(error, match=message):
        read_folder(folder)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"is a file; expected the folder of a recording, with recording.toml"):
        read_folder(write_folder(tmp_path / "mine") / "spikes.csv")
    with pytest.raises(TypeError, match="path must be a path"):
        read_folder(3)


def test_damaged_arrays(tmp_path):
    folder = tmp_path / "mine"
    AudioNeuralDataset.from_arrays({"rain": np.ones((2, 5))}, [np.ones((1, 1, 5))], 5.0).to_folder(folder)
    good = (folder / "responses.npz").read_bytes()
    (folder / "responses.npz").write_bytes(good[:-30])
    with pytest.raises(ValueError, match=r"responses.npz can't be read"):
        read_folder(folder)
    (folder / "responses.npz").write_bytes(good)
    (folder / "stimuli" / "rain.npy").write_bytes((folder / "stimuli" / "rain.npy").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"rain.npy can't be read as an array: .*; write it with numpy.save"):
        read_folder(folder)


def test_the_class_for_other_stimuli(tmp_path):
    folder = write_folder(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"holds sounds, and VideoNeuralDataset is for movies: .*AudioNeuralDataset"):
        VideoNeuralDataset.from_folder(folder)
    movie = VideoNeuralDataset.from_arrays([np.ones((2, 3, 5))], [np.ones((1, 1, 5))], 5.0)
    movie.to_folder(tmp_path / "movie")
    with pytest.raises(ValueError, match=re.escape("holds movies, and NeuralDataset is for sounds")):
        NeuralDataset.from_folder(tmp_path / "movie")
    with pytest.raises(ValueError, match="of which no waveforms can be made"):
        read_folder(tmp_path / "movie", return_waveform=True)
