"""A front end for another sampling rate or another bin than the data's is found before the work starts."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.models.audio import Linear
from deepSTRF.models.wav2spec import make_wav2spec
from deepSTRF.runs.scores import predict
from deepSTRF.training import Fitter
from deepSTRF.utils import neural_collate

N_BINS = 60


def sounds(audio_fs=8000, dt_ms=5.0):
    generator = np.random.default_rng(0)
    responses = [generator.poisson(1.0, (2, 3, N_BINS)) for _ in range(4)]
    ds = AudioNeuralDataset.from_arrays([np.ones((1, N_BINS))] * 4, responses, dt_ms=dt_ms)
    ds.audio_fs, ds.return_waveform = audio_fs, True
    ds.stims = [torch.randn(1, N_BINS * ds.hop) for _ in range(4)]
    ds.validate()
    return ds


def loader(data, **options):
    return DataLoader(data, batch_size=2, collate_fn=neural_collate, **options)


def model_for(audio_fs=8000, dt_ms=5.0):
    return Linear(4, 3, 2, wav2spec=make_wav2spec("mel", audio_fs, dt_ms, n_mels=4))


def test_batches_of_waveforms_carry_rate_and_bin():
    batch = next(iter(loader(sounds())))
    assert batch["audio_fs"] == [8000, 8000]
    assert batch["dt_ms"] == [5.0, 5.0]
    spectrograms = AudioNeuralDataset.from_arrays([np.ones((4, 9))], [np.ones((2, 3, 9))], dt_ms=5.0)
    assert set(spectrograms[0]) == {"stims", "responses", "valid_mask", "psth", "statistics", "stim_meta"}


# The second fits in shape: 40 samples make a bin in both.
@pytest.mark.parametrize(("audio_fs", "dt_ms"), [(16000, 5.0), (4000, 10.0), (8000, 10.0)])
def test_another_front_end_is_an_error_before_the_first_step(audio_fs, dt_ms):
    data, model = sounds(), model_for(audio_fs, dt_ms)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    message = (
        rf"\(CausalMelSpectrogram\) is for sounds at {audio_fs} Hz in bins of {dt_ms:g} ms.*8000 Hz in bins of 5 ms"
    )
    for loaders in ((loader(data), loader(data)), (loader(sounds(audio_fs, dt_ms)), loader(data))):
        with pytest.raises(ValueError, match=message):
            Fitter(model, *loaders, log_fn=None).fit()
    with pytest.raises(ValueError, match=message):
        Fitter(model, loader(data), loader(data), log_fn=None).evaluate(loader(data))
    with pytest.raises(ValueError, match=message):
        predict(model, data)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_right_front_end_and_batches_without_these_keys_go_on():
    data, model = sounds(), model_for()
    Fitter(model, loader(data), loader(data), max_epochs=1, log_fn=None).fit()
    bare = [{name: batch[name] for name in ("stims", "responses")} for batch in loader(data)]
    Fitter(model, bare, bare, max_epochs=1, log_fn=None).fit()
    model.check_batch({"audio_fs": 8000.0, "dt_ms": torch.tensor(5.0)})
    with pytest.raises(ValueError, match="8000 Hz"):
        model.check_batch({"audio_fs": [8000, 44100]})
    Linear(4, 3, 2).check_batch({"audio_fs": 44100, "dt_ms": 5.0})  # spectrograms: nothing to compare


def test_looking_at_the_first_batch_costs_no_random_numbers():
    class Drawn(AudioNeuralDataset):
        def __getitem__(self, index):
            torch.rand(1)
            return super().__getitem__(index)

    data = sounds()
    data.__class__ = Drawn
    torch.manual_seed(0)
    fitter = Fitter(model_for(), loader(data, shuffle=True), loader(data), log_fn=None)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fitter._start_fit()
    assert torch.equal(torch.rand(1), expected)
