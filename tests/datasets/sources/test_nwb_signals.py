"""Fluorescence and potentials of NWB files, in the bins of trials."""

import numpy as np
import pytest
import torch

pytest.importorskip("pynwb", reason="needs the extra nwb")

from nwb_files import add_trials, add_units, new_file, save
from pynwb import TimeSeries
from pynwb.ecephys import LFP, ElectricalSeries
from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.sources.binning import signals_in_trials

DT_MS = 100.0
STIMS = {"rain": np.ones((4, 15)), "birds": np.ones((4, 20))}
ONSETS = [1.0, 5.03, 10.0]


def imaging(data, **clock):
    nwb = new_file()
    device = nwb.create_device(name="microscope")
    channel = OpticalChannel(name="green", description="GCaMP", emission_lambda=510.0)
    plane = nwb.create_imaging_plane(
        name="plane", optical_channel=channel, description="layer 2/3", device=device, excitation_lambda=920.0,
        indicator="GCaMP6s", location="V1",
    )  # fmt: skip
    module = nwb.create_processing_module(name="ophys", description="imaging")
    images, fluorescence = ImageSegmentation(), Fluorescence()
    module.add(images)
    module.add(fluorescence)
    segmentation = images.create_plane_segmentation(description="cells", imaging_plane=plane)
    segmentation.add_column(name="is_red", description="interneuron")
    for index in range(data.shape[1]):
        segmentation.add_roi(pixel_mask=[(index, 0, 1.0)], is_red=index == 0, id=100 + index)
    rois = segmentation.create_roi_table_region(region=list(range(data.shape[1])), description="all")
    fluorescence.add_roi_response_series(RoiResponseSeries(name="dff", data=data, rois=rois, unit="n.a.", **clock))
    add_trials(nwb, ONSETS, ["rain", "birds", "rain"])
    return nwb


def same_rows(dataset, expected):
    for row, values in zip(dataset.responses, expected, strict=True):
        assert np.allclose(torch.stack(list(row)).numpy(), values, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_fluorescence_at_a_rate(tmp_path):
    data = np.random.default_rng(0).random((400, 3))
    path = save(imaging(data, rate=30.0, starting_time=0.1), tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=STIMS)
    same_rows(ds, signals_in_trials(data.T, 30.0, 0.1, ONSETS, [0, 1, 0], [15, 20], DT_MS))
    assert ds.nrn_meta[0] == {"cell_id": "100", "is_red": True, "area": "V1"}


def test_samples_at_the_rate_of_the_bins_stay_as_they_are(tmp_path):
    data = np.random.default_rng(0).random((130, 2)).astype(np.float32)
    path = save(imaging(data, rate=10.0), tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=STIMS)
    assert np.array_equal(ds.responses[0][1].numpy(), np.stack([data[10:25, 1], data[100:115, 1]]))


def test_timestamps_drift_and_have_gaps(tmp_path):
    rng = np.random.default_rng(1)
    times = 0.05 + np.arange(600) / 29.9
    times[500:] += 2.0  # a break
    times = np.delete(times, [160, 161])  # lost frames in the second trial
    slow = np.stack([np.sin(times), times / 10], 1) + 0 * rng.random((len(times), 1))
    ds = AudioNeuralDataset.from_nwb(save(imaging(slow, timestamps=times), tmp_path / "a.nwb"), DT_MS, stims=STIMS)
    centres = (np.arange(20) + 0.5) / 10 - 0.5 / 29.9  # a sample is a frame that begins at its timestamp
    first, second = ds.responses[0][0].numpy(), ds.responses[1][0].numpy()
    assert np.abs(first[0] - np.sin(1.0 + centres[:15])).max() < 0.01
    lost = np.isnan(second[0])
    assert 1 <= lost.sum() <= 3
    assert lost[int((times[159] - 5.03 + 1 / 29.9) * 10)]
    assert np.abs(second[0] - np.sin(5.03 + centres))[~lost].max() < 0.02


def test_lfp_has_the_areas_of_its_electrodes_and_its_unit(tmp_path):
    nwb = new_file()
    probe = nwb.create_device(name="probe")
    group = nwb.create_electrode_group(name="shank", description="shank", location="A1", device=probe)
    for location in ("A1", "AAF", "A1"):
        nwb.add_electrode(location=location, group=group)
    data = np.random.default_rng(0).integers(-500, 500, (12_500, 2)).astype(np.int16)
    region = nwb.create_electrode_table_region(region=[1, 2], description="two")
    lfp = LFP()
    nwb.create_processing_module(name="ecephys", description="LFP").add(lfp)
    lfp.add_electrical_series(ElectricalSeries(name="lfp", data=data, electrodes=region, rate=1000.0, conversion=1e-6))
    region = nwb.create_electrode_table_region(region=[1, 2], description="two")
    nwb.add_acquisition(ElectricalSeries(name="raw", data=data, electrodes=region, rate=1000.0))
    add_trials(nwb, ONSETS, ["rain", "birds", "rain"])
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS, stims=STIMS)
    same_rows(ds, signals_in_trials(data.T * 1e-6, 1000.0, 0.0, ONSETS, [0, 1, 0], [15, 20], DT_MS))
    assert [entry["area"] for entry in ds.nrn_meta] == ["AAF", "A1"]
    assert [entry["cell_id"] for entry in ds.nrn_meta] == ["1", "2"]


def test_another_series_is_chosen_by_name(tmp_path):
    nwb = new_file()
    add_units(nwb)
    add_trials(nwb, ONSETS, ["rain", "birds", "rain"])
    pupil = np.random.default_rng(0).random(130)
    module = nwb.create_processing_module(name="behavior", description="eye")
    module.add(TimeSeries(name="pupil", data=pupil, rate=10.0, unit="mm"))
    path = save(nwb, tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=STIMS, responses="pupil")
    assert np.array_equal(ds.responses[0][0].numpy()[0], pupil[10:25].astype(np.float32))
    with pytest.raises(ValueError, match=r"unknown set of responses 'pupils'; available: pupil, units. Did you mean"):
        AudioNeuralDataset.from_nwb(path, DT_MS, stims=STIMS, responses="pupils")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.append(np.arange(129) / 10, 3.0), r"the timestamps of dff must rise, but number 129 is 3\.0 after 12\.8"),
        (np.append(np.arange(129) / 10, np.nan), r"the timestamps of dff must rise, but number 129 is nan"),
    ],
)
def test_wrong_timestamps(tmp_path, times, message):
    path = save(imaging(np.ones((130, 2)), timestamps=times), tmp_path / "a.nwb")
    with pytest.raises(ValueError, match=message):
        AudioNeuralDataset.from_nwb(path, DT_MS, stims=STIMS)


def test_trials_outside_of_the_samples(tmp_path):
    nwb = imaging(np.ones((130, 2)), rate=10.0, starting_time=500.0)
    with pytest.raises(ValueError, match="no trial lies inside the times in which there is a recording"):
        AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS, stims=STIMS)
