"""What check_recording finds: sizes, and every kind of mistake by the names of neuron, stimulus and repeat."""

import numpy as np
import pytest
import soundfile
from folder_files import TOML, write_folder

from deepSTRF.datasets import check_recording
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import noise_ceiling, snr

HEADER = "neuron,stimulus,repeat,time\n"
TRIALS = [(neuron, sound, repeat) for neuron in "ab" for sound in ("rain", "birds") for repeat in (1, 2, 3)]


def lines(times=(0.012, 0.2, 0.31, 0.41), trials=TRIALS):
    rng = np.random.default_rng(1)
    return [f"{n},{s},{r},{t + rng.uniform(0, 0.05):.5f}" for n, s, r in trials for t in times]


def found_in(folder):
    return {(found.kind, found.neuron, found.stimulus, found.repeat) for found in check_recording(folder).suspicions}


def test_sizes_and_numbers():
    ds = SimulatedDataset(4, 3, (0.3, 0.5), (2, 4), missing=0.2, smooth=False, seed=1)
    found = check_recording(ds)
    assert found.neurons == [meta["cell_id"] for meta in ds.nrn_meta]
    assert found.stimuli == [meta["name"] for meta in ds.stim_meta]
    expected = [
        [len(r) if m else 0 for r, m in zip(row, mask, strict=True)]
        for row, mask in zip(ds.responses, ds.nrn_masks, strict=True)
    ]
    np.testing.assert_array_equal(found.repeats, expected)
    assert found.coverage == ds.nrn_masks.double().mean().item()
    assert (found.kind, found.shape, found.numbers) == ("spectrograms", (34,), "counts")
    assert found.durations_s == pytest.approx([meta["duration_s"] for meta in ds.stim_meta])
    from deepSTRF.datasets.collate import neural_collate

    responses = neural_collate([ds[s] for s in range(len(ds))])["responses"]
    np.testing.assert_allclose(found.ceilings, noise_ceiling(responses, reduction="none"), rtol=1e-5)
    np.testing.assert_allclose(found.snrs, snr(responses, reduction="none"), rtol=1e-5)
    np.testing.assert_allclose(found.rates_hz, responses.nanmean((0, 2, 3)) * 200, rtol=1e-5)
    assert "snr" not in {key for meta in check_recording(ds).about for key in meta}


def test_decimal_commas_are_named_with_their_column(tmp_path):
    folder = write_folder(tmp_path / "mine", spikes=HEADER + "\n".join(lines()))
    (folder / "neurons.csv").write_text("neuron;depth;layer;note\na;1,5;4;3,2 mm\nb;2;5;\n")
    (folder / "stimuli.csv").write_text('stimulus,level\nrain,"60,5"\nbirds,"61,0"\n')
    found = {suspicion.text for suspicion in check_recording(folder).suspicions if suspicion.kind == "decimal comma"}
    assert found == {
        "neurons.csv: the column 'depth' is text, because its numbers have a decimal comma, such as '1,5' of 'a'; "
        "write 1.5",
        "stimuli.csv: the column 'level' is text, because its numbers have a decimal comma, such as '60,5' of 'rain'; "
        "write 60.5",
    }


def test_nothing_suspicious(tmp_path):
    found = check_recording(write_folder(tmp_path / "mine", spikes=HEADER + "\n".join(lines())))
    assert found.suspicions == ()
    np.testing.assert_array_equal(found.repeats, np.full((2, 2), 3))
    np.testing.assert_allclose(found.rates_hz, 8.0)


FOLDERS = {
    "a spike before and one after the stimulus": (
        TOML, [*lines(), "a,rain,2,-0.3", "b,birds,3,0.77"],
        {("outside", "a", "rain", 2), ("outside", "b", "birds", 3)},
    ),
    "responses go on after the stimulus": (
        TOML, lines((0.1, 0.2, 0.6)), {("length", None, "rain", None), ("length", None, "birds", None)},
    ),
    "the sound begins later": (
        TOML, lines((-0.2, 0.1)), {("outside", None, "rain", None), ("outside", None, "birds", None)},
    ),
    "ms read as s": (TOML, lines((120, 303, 410)), {("times", None, None, None)}),
    "s read as ms": ('dt_ms = 10\nunit = "ms"', lines(), {("times", None, None, None)}),
    "a list written twice": (
        TOML, lines() + lines()[:4] * 2, {("doubled", "a", "rain", 1)},
    ),
    "a pair without a line": (
        TOML, lines(trials=TRIALS[:-3]), {("not listed", "b", "birds", None)},
    ),
    "a repeat without a line": (
        TOML, lines(trials=[trial for trial in TRIALS if trial[1:] != ("rain", 2)]), {("not listed", None, "rain", 2)},
    ),
    "a stimulus that nobody heard": (
        TOML, lines(trials=[trial for trial in TRIALS if trial[1] == "rain"]), {("not heard", None, "birds", None)},
    ),
    "single trials": (
        TOML, lines(trials=[trial for trial in TRIALS if trial[2] == 1]), {("single trials", None, None, None)},
    ),
    "faster than neurons are": (
        TOML, lines(np.linspace(0, 0.4, 200)), {("rate", "a", None, None), ("rate", "b", None, None)},
    ),
    "two neurons that are one": (
        TOML, lines(trials=TRIALS[:6]) + [line.replace("a", "b", 1) for line in lines(trials=TRIALS[:6])],
        {("copy", "b", None, None)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_suspicions_of_folders(tmp_path, name):
    toml, spikes, expected = FOLDERS[name]
    folder = write_folder(tmp_path / "mine", toml=toml, spikes=HEADER + "\n".join(spikes) + "\n")
    kinds = {kind for kind, *_ in expected}
    assert {found for found in found_in(folder) if found[0] in kinds} == expected
    others = {found[0] for found in found_in(folder)} - kinds
    assert others <= {"never fires", "copy", "not listed"}


def test_clipping_and_silence(tmp_path):
    folder = write_folder(tmp_path / "mine", spikes=HEADER + "\n".join(lines()))
    sound = np.clip(3 * np.sin(np.arange(8000) / 5), -1, 1)
    soundfile.write(folder / "stimuli" / "rain.wav", sound, 16000)
    soundfile.write(folder / "stimuli" / "birds.wav", np.zeros(8000), 16000)
    assert found_in(folder) == {("clipping", None, "rain", None), ("constant", None, "birds", None)}


def test_responses_that_are_longer_than_the_stimulus(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "spikes.csv").unlink()
    rng = np.random.default_rng(0)
    np.savez(folder / "responses.npz", rain=rng.poisson(0.3, (2, 3, 60)), birds=rng.poisson(0.3, (2, 3, 40)))
    found = check_recording(folder)
    assert [(s.kind, s.stimulus) for s in found.suspicions] == [("length", "birds"), ("length", "rain")]
    assert found.suspicions[1].text.startswith("the responses to 'rain' are longer than the stimulus: 60 bins of 10 ms")


def test_suspicions_of_a_data_set():
    rng = np.random.default_rng(0)
    stim = rng.normal(size=(4, 200))
    first = rng.poisson(0.2, (5, 4, 200)).astype(float)
    first[1] = 0
    first[2, 3] = 0
    first[3, 1] = first[3, 0]
    second = first[:, ::-1].copy()
    first[4], second[4] = np.nan, np.nan
    ds = AudioNeuralDataset.from_arrays(
        [stim, stim], [first, second], 5.0,
        stim_meta=[{"name": "rain"}, {"name": "rain"}],
        nrn_meta=[{"cell_id": name} for name in ("u1", "u2", "u3", "u1", "u5")],
    )  # fmt: skip
    found = {(s.kind, s.neuron, s.stimulus, s.repeat) for s in check_recording(ds).suspicions}
    assert found == {
        ("duplicate id", "u1", None, None),
        ("duplicate id", None, "rain", None),
        ("never fires", "u2", None, None),
        ("no data", "u5", None, None),
        ("silent trial", "u3", "rain", 3),
        ("silent trial", "u3", "rain", 0),
        ("copy", "u1", "rain", 1),
        ("copy", "u1", "rain", 3),
        ("copy", None, "rain", None),
    }


def test_many_of_a_kind_are_counted(tmp_path):
    trials = [("a", "rain", repeat) for repeat in range(1, 601)]
    outside = [f"a,rain,{repeat},0.7" for repeat in range(1, 151)]
    folder = write_folder(
        tmp_path / "mine", spikes=HEADER + "\n".join([*lines((0.1, 0.2), trials), *outside, "a,birds,1,0.2"])
    )
    texts = [s.text for s in check_recording(folder).suspicions if s.kind == "outside"]
    assert len(texts) == 101
    assert texts[-1] == "and 50 more of the kind 'outside'"


def test_neither_data_set_nor_path():
    with pytest.raises(TypeError, match="expected a data set or the folder of one, got an int"):
        check_recording(3)
