"""A small folder of a recording, written by hand as a user would, and data sets that are compared bit by bit."""

import numpy as np
import soundfile

TOML = 'dt_ms = 10.0\nunit = "s"\n'


def write_folder(folder, *, toml=TOML, sounds=("rain", "birds"), spikes=None, fs=16000, seconds=0.5):
    """Write two sounds and the spikes of two neurons in two repeats; everything can be replaced."""
    (folder / "stimuli").mkdir(parents=True)
    (folder / "recording.toml").write_text(toml)
    rng = np.random.default_rng(0)
    for name in sounds:
        soundfile.write(folder / "stimuli" / f"{name}.wav", 0.1 * rng.standard_normal(int(fs * seconds)), fs)
    if spikes is None:
        spikes = "neuron,stimulus,repeat,time\n" + "".join(
            f"{neuron},{sound},{repeat},{time}\n"
            for neuron in ("a", "b")
            for sound in sounds
            for repeat in (1, 2)
            for time in (0.012, 0.2, 0.2001, 0.415)
        )
    (folder / "spikes.csv").write_text(spikes)
    return folder


def assert_same(one, other):
    """Both data sets hold the same, bit by bit: stimuli, responses, metadata, bins, splits, bands."""
    assert type(one) is type(other)
    assert (one.dt, one.N_neurons, one.get_S()) == (other.dt, other.N_neurons, other.get_S())
    assert one.protocols == other.protocols
    for own, others in zip(one.stims, other.stims, strict=True):
        assert own.dtype == others.dtype
        np.testing.assert_array_equal(own.numpy(), others.numpy())
    for row, others in zip(one.responses, other.responses, strict=True):
        for own, response in zip(row, others, strict=True):
            assert own.dtype == response.dtype
            np.testing.assert_array_equal(own.numpy(), response.numpy())
    for own, others in ((one.stim_meta, other.stim_meta), (one.nrn_meta, other.nrn_meta)):
        # NaN is not equal to NaN, but reads the same
        assert [repr(sorted(meta.items())) for meta in own] == [repr(sorted(meta.items())) for meta in others]
    for name in ("hearing_range_hz", "spectrogram", "about", "F", "audio_fs", "H", "W", "C"):
        assert getattr(one, name, None) == getattr(other, name, None), name
    assert list(one.covariates) == list(other.covariates)
    for name, values in one.covariates.items():
        for own, value in zip(values, other.covariates[name], strict=True):
            np.testing.assert_array_equal(own.numpy(), value.numpy())
    own, others = ([float(f) for f in getattr(ds, "frequencies_hz", ())] for ds in (one, other))
    assert own == others
