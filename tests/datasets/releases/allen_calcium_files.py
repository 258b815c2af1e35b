"""Allen calcium imaging as DANDI delivers it: processed fluorescence, templates, and when their frames were shown."""

import warnings
from datetime import UTC, datetime
from typing import NamedTuple

import h5py
import numpy as np
import pynwb
from hdmf.common import DynamicTable, VectorData
from pynwb.base import Images
from pynwb.image import Image, ImageSeries, IndexSeries
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, PlaneSegmentation, RoiResponseSeries

SAMPLE_S, FRAME_S, NOISE_S = 0.0332, 1 / 30, 0.25
IDS, RATIOS = (517_410_165, 517_410_161, 517_410_173), (0.1, 0.4, 0.7)
MOVIE, NOISE, BLOCKS = (180, 16, 24), (130, 8, 14), (70, 50)  # of 130 pictures of noise, 120 were shown
FIELD = (3, 5)  # the pixel whose white drives the events of the first neuron


class Truth(NamedTuple):
    movie: np.ndarray  # (T, H, W)
    noise: np.ndarray
    movie_onsets: np.ndarray  # of each showing
    noise_onsets: np.ndarray  # of each picture
    times: np.ndarray  # of samples
    traces: dict  # by response, (T, N)


def write_release(folder, seed=0, session=530026508):
    """Three neurons, two showings of a movie, and sparse noise in two blocks; the microscope lost samples in one."""
    rng = np.random.default_rng(seed)
    movie = rng.integers(0, 256, MOVIE, dtype=np.uint8)
    noise = np.full(NOISE, 127, np.uint8)
    spots = rng.random(NOISE)
    noise[spots < 0.05], noise[spots > 0.95] = 0, 255
    movie_onsets = np.array([5.0, 5.0 + MOVIE[0] * FRAME_S])
    noise_onsets = np.concatenate([20 + NOISE_S * np.arange(BLOCKS[0]), 60 + NOISE_S * np.arange(BLOCKS[1])])
    times = SAMPLE_S * np.arange(round(80 / SAMPLE_S))
    times = times[(times < 12.0) | (times > 12.2)]  # lost
    traces = {"dff": rng.normal(size=(len(times), 3)), "events": rng.exponential(0.01, (len(times), 3))}
    white = noise[: sum(BLOCKS), *FIELD] == 255
    for onset in noise_onsets[white]:
        traces["events"][(times > onset + 0.1) & (times < onset + 0.3), 0] += 5.0
    path = folder / f"sub-516024042_ses-{session}-StimC_behavior+image+ophys.nwb"
    with warnings.catch_warnings(action="ignore"), pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(_session(movie, noise, movie_onsets, noise_onsets, times, traces, session))
    with h5py.File(path, "a") as file:  # what pynwb does not write any more: an index into a series that has no rate
        shown = file["stimulus/presentation/natural_movie_one_stimulus"]
        del shown["indexed_images"]
        shown["indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/natural_movie_one")
    with h5py.File(folder / f"sub-516024042_ses-{session}-StimC_ophys.nwb", "w") as file:
        file["acquisition/MotionCorrectedTwoPhotonSeries/data"] = np.zeros((2, 3, 3))
    return Truth(movie, noise, movie_onsets, noise_onsets, times, traces)


def _session(movie, noise, movie_onsets, noise_onsets, times, traces, session):
    nwb = pynwb.NWBFile(
        session_description="a test", identifier="test", session_start_time=datetime(2016, 7, 1, tzinfo=UTC),
        session_id=f"{session}-StimC", subject=pynwb.file.Subject(subject_id="516024042", species="Mus musculus"),
    )  # fmt: skip
    template = ImageSeries(name="natural_movie_one", data=movie, unit="n.a.", starting_time=np.nan, rate=np.nan)
    nwb.add_stimulus_template(template)
    pictures = [Image(name=f"LocallySparseImage{k}", data=picture) for k, picture in enumerate(noise)]
    stack = Images(name="locally_sparse_noise_template", images=pictures)
    nwb.add_stimulus_template(stack)
    frames = np.tile(np.arange(MOVIE[0]), 2)
    onsets = (movie_onsets[:, None] + FRAME_S * np.arange(MOVIE[0])).ravel()
    shown = {"natural_movie_one": (frames, onsets), "locally_sparse_noise": (np.arange(sum(BLOCKS)), noise_onsets)}
    for name, (order, begins) in shown.items():
        nwb.add_stimulus(
            IndexSeries(
                name=f"{name}_stimulus",
                data=order.astype(np.uint32),
                indexed_images=stack,
                unit="N/A",
                timestamps=begins,
            )
        )
    _add_fluorescence(nwb, times, traces)
    return nwb


def _add_fluorescence(nwb, times, traces):
    device = nwb.create_device(name="Microscope")
    channel = OpticalChannel(name="OpticalChannel", description="light", emission_lambda=np.nan)
    plane = nwb.create_imaging_plane(
        name="ImagingPlane", optical_channel=channel, description="plane", device=device, excitation_lambda=910.0,
        indicator="GCaMP6f", location="VISp",
    )  # fmt: skip
    regions = PlaneSegmentation(name="PlaneSegmentation", description="regions", imaging_plane=plane)
    regions.add_column(name="global_roi_id", description="of all sessions")
    for number in IDS:
        regions.add_roi(id=number, pixel_mask=[(1, 1, 1.0)], global_roi_id=number)
    where = regions.create_roi_table_region(region=list(range(len(IDS))), description="all")
    corrected = RoiResponseSeries(name="Corrected", data=1 + traces["dff"], timestamps=times, unit="n.a.", rois=where)
    series = [
        RoiResponseSeries(name=name, data=traces[key], timestamps=corrected, unit="a.u.", rois=where)
        for name, key in (("DfOverF", "dff"), ("DfOverFEvents", "events"))
    ]
    table = DynamicTable(
        name="ContaminationRatios", description="ratios", columns=[VectorData("ratios", "of each", data=list(RATIOS))]
    )
    module = nwb.create_processing_module(name="ophys", description="processed")
    for part in (
        ImageSegmentation(name="ImageSegmentation", plane_segmentations=regions),
        Fluorescence(name="Fluorescence", roi_response_series=[corrected]),
        DfOverF(name="DfOverF", roi_response_series=series),
        table,
    ):
        module.add(part)
