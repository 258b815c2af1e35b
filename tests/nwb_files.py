"""NWB files as laboratories write them, written by pynwb, and counts by numpy.histogram to compare with."""

from datetime import UTC, datetime

import numpy as np
import pynwb
from pynwb.epoch import TimeIntervals

DT_MS = 10.0


def new_file():
    return pynwb.NWBFile(
        session_description="a test", identifier="test", session_start_time=datetime(2026, 1, 1, tzinfo=UTC)
    )


def save(nwb, path):
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def poisson_times(rng, rate_hz, duration_s):
    return np.sort(rng.uniform(0, duration_s, rng.poisson(rate_hz * duration_s)))


def add_units(nwb, n_units=3, duration_s=60.0, seed=0, obs_intervals=None, electrodes=False, first_id=10):
    """Units with a quality, and their times."""
    rng = np.random.default_rng(seed)
    if electrodes:
        probe = nwb.create_device(name="probe")
        for area in ("A1", "AAF"):
            group = nwb.create_electrode_group(name=area, description="shank", location=area, device=probe)
            nwb.add_electrode(location=area, group=group)
    nwb.add_unit_column(name="quality", description="as sorted")
    times = [poisson_times(rng, 15, duration_s) for _ in range(n_units)]
    for index, own in enumerate(times):
        more = {}
        if obs_intervals is not None:
            more["obs_intervals"] = np.asarray(obs_intervals[index], dtype=float)
        if electrodes:
            more["electrodes"] = [index % 2]
        nwb.add_unit(spike_times=own, quality=("good", "mua")[index % 2], id=first_id + index, **more)
    return times


def add_trials(nwb, onsets, labels, column="stimulus", lasting=1.0, **more):
    nwb.add_trial_column(name=column, description="what was played")
    for name in more:
        nwb.add_trial_column(name=name, description=name)
    for index, (onset, label) in enumerate(zip(onsets, labels, strict=True)):
        own = {name: values[index] for name, values in more.items()}
        nwb.add_trial(start_time=float(onset), stop_time=float(onset) + lasting, **{column: label}, **own)


def interval_table(name, onsets, stops, **columns):
    table = TimeIntervals(name=name, description=f"presentations of {name}")
    for column in columns:
        table.add_column(name=column, description=column)
    for index, (onset, stop) in enumerate(zip(onsets, stops, strict=True)):
        own = {column: values[index] for column, values in columns.items()}
        table.add_row(start_time=float(onset), stop_time=float(stop), **own)
    return table


def histograms(times, onsets, n_bins, dt_ms=DT_MS):
    """Counts (N, R, T) by numpy.histogram, with edges that are computed apart from those of the library."""
    edges = np.arange(n_bins + 1) * dt_ms / 1000
    return np.array([[np.histogram(own, onset + edges)[0] for onset in onsets] for own in times], dtype=np.float32)
