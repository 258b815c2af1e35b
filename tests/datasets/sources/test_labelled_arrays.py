"""Arrays of xarray give the tensors of from_arrays, whatever the order and the names of their axes."""

import numpy as np
import pytest
import torch

pytest.importorskip("xarray", reason="needs xarray")

import xarray as xr

from deepSTRF.datasets.audio import AudioNeuralDataset

STIMS = {"rain": np.random.default_rng(0).random((4, 60)), "birds": np.random.default_rng(1).random((4, 60))}
COUNTS = np.random.default_rng(2).poisson(0.3, (3, 2, 5, 60)).astype(float)  # neuron, stimulus, repeat, time


def array(dims=("unit", "stimulus", "trial", "time"), values=COUNTS):
    return xr.DataArray(
        values,
        dims=dims,
        coords={dims[0]: [7, 8, 12], "area": (dims[0], ["A1", "A1", "AAF"]), dims[1]: ["birds", "rain"]},
    )


def rows(dataset, stimulus):
    return torch.stack(list(dataset.responses[stimulus])).numpy()


@pytest.mark.parametrize(
    "dims",
    [("unit", "stimulus", "trial", "time"), ("neurons", "stim_id", "repeats", "time_relative_to_stimulus_onset")],
)
def test_axes_are_known_by_their_usual_names_in_any_order(dims):
    ds = AudioNeuralDataset.from_xarray(STIMS, array(dims).transpose(*dims[::-1]), 10.0)
    other = AudioNeuralDataset.from_arrays([STIMS["birds"], STIMS["rain"]], [COUNTS[:, 0], COUNTS[:, 1]], 10.0)
    for own, one in zip(ds.responses, other.responses, strict=True):
        assert torch.equal(own.block.values, one.block.values)
    assert all(torch.equal(own, one) for own, one in zip(ds.stims, other.stims, strict=True))
    assert ds.nrn_meta[2] == {"cell_id": "12", "area": "AAF"}
    assert [meta["name"] for meta in ds.stim_meta] == ["birds", "rain"]


def test_one_array_per_stimulus_and_axes_by_name():
    arrays = {name: xr.DataArray(COUNTS[:, 0, 0], dims=("site", "time")) for name in STIMS}
    ds = AudioNeuralDataset.from_xarray(STIMS, arrays, 10.0, dims={"neuron": "site"})
    assert np.array_equal(rows(ds, 1), COUNTS[:, 0, :1])
    message = r"responses has the axes site, time, and none of them is known as neuron .* say which with dims="
    with pytest.raises(ValueError, match=message):
        AudioNeuralDataset.from_xarray(STIMS, arrays, 10.0)


def test_stimuli_may_be_an_array_with_names_too_and_nan_ends_them():
    values = np.stack([STIMS["birds"], STIMS["rain"]])
    values[1, :, 50:] = np.nan
    stims = xr.DataArray(values, dims=("stimulus", "frequency", "time"), coords={"stimulus": ["birds", "rain"]})
    counts = COUNTS.copy()
    counts[:, 1, :, 50:] = np.nan
    ds = AudioNeuralDataset.from_xarray(stims, array(values=counts), 10.0)
    assert ds.stims[1].shape == (1, 4, 50)
    assert np.array_equal(rows(ds, 1), counts[:, 1, :, :50])


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="responses has the axis 'probe' beside neuron, stimulus, repeat and time"):
        AudioNeuralDataset.from_xarray(STIMS, array().expand_dims("probe"), 10.0)
    with pytest.raises(ValueError, match="unknown axis 'cells'; available: unit"):
        AudioNeuralDataset.from_xarray(STIMS, array(), 10.0, dims={"neuron": "cells"})
    with pytest.raises(ValueError, match="dims must name the axes neuron, stimulus, repeat, time; got 'cell'"):
        AudioNeuralDataset.from_xarray(STIMS, array(), 10.0, dims={"cell": "unit"})
    with pytest.raises(
        TypeError, match=r"got a Dataset with counts: take one of its variables, as dataset\['counts'\]"
    ):
        AudioNeuralDataset.from_xarray(STIMS, xr.Dataset({"counts": array()}), 10.0)
    with pytest.raises(TypeError, match=r"responses\['0'\] must be a DataArray of xarray, got a ndarray"):
        AudioNeuralDataset.from_xarray(STIMS, [COUNTS[:, 0]], 10.0)
    with pytest.raises(ValueError, match="responses has the stimulus 'birds', but the stimuli are 'rain'"):
        AudioNeuralDataset.from_xarray({"rain": STIMS["rain"]}, array(), 10.0)
    clocked = array().assign_coords(time=np.arange(60) * 0.005)
    message = "the coordinates of time have steps of 0.005, which is dt_ms=10 neither in s nor in ms"
    with pytest.raises(ValueError, match=message):
        AudioNeuralDataset.from_xarray(STIMS, clocked, 10.0)
    assert len(AudioNeuralDataset.from_xarray(STIMS, clocked, 5.0)) == 2
