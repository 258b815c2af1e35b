"""Alice EEG as DRUM delivers it: a .fif file for each person, in three folders, and twelve sounds."""

from typing import NamedTuple

import numpy as np
import pytest
import soundfile

RATE_HZ = 100
FIRST_SAMPLE = {"S01": 1234, "S03": 0, "S26": 777}  # where the acquisition began to count
CHANNELS = {"S01": ["1", "2", "3"], "S03": ["1", "2", "3"], "S26": ["2", "3", "45"]}
BAD = {"S01": ["2"], "S03": [], "S26": []}
FOLDERS = {"S01": "eeg.0", "S03": "eeg.0", "S26": "eeg.2"}


class Truth(NamedTuple):
    signals: dict  # person -> (channels, samples) in V
    onsets: dict  # person -> segment -> sample at which it begins
    gap: list  # of S03, first and last sample that an annotation calls bad, within its segment 5
    sounds: list


def write_release(folder, seed=0):
    """Three people: one with a bad channel, one with a bad span of time, one without the first segment."""
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(seed)
    sounds = [0.1 * rng.normal(size=2205 + 210 * k) for k in range(12)]  # 0.1 s and more at 22050 Hz
    (folder / "stimuli").mkdir(parents=True)
    for number, sound in enumerate(sounds, start=1):
        soundfile.write(folder / "stimuli" / f"{number}.wav", sound, 22050, subtype="FLOAT")
    truth = Truth({}, {}, [], sounds)
    for person, names in CHANNELS.items():
        signals = 1e-5 * rng.normal(size=(len(names), 1200)).cumsum(1)
        segments = range(2 if person == "S26" else 1, 13)
        onsets = {k: 90 * int(order) + 10 * (k % 3) for k, order in zip(segments, rng.permutation(12), strict=False)}
        truth.signals[person], truth.onsets[person] = signals, onsets
        info = mne.create_info([*names, "VEOG"], RATE_HZ, [*["eeg"] * len(names), "misc"])
        places = {name: np.array([0.01 * k, 0.02, 0.03]) for k, name in enumerate(names)}
        raw = mne.io.RawArray(
            np.vstack([signals, np.zeros(1200)]), info, first_samp=FIRST_SAMPLE[person], verbose="error"
        )
        raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
        if person == "S01":
            raw.set_meas_date(1_400_000_000)
        # Onsets without a date are relative to the first sample.
        marks = [(start / RATE_HZ, 0.1, str(segment)) for segment, start in onsets.items()]
        if person == "S03":
            first, last = onsets[5] + 3, onsets[5] + 7
            truth.gap[:] = first, last
            marks.append((first / RATE_HZ, (last - first) / RATE_HZ, "BAD_blink"))
        raw.set_annotations(mne.Annotations(*zip(*marks, strict=True)))
        raw.info["bads"] = BAD[person]
        place = folder / FOLDERS[person] / "eeg" / person
        place.mkdir(parents=True)
        raw.save(place / f"{person}_alice-raw.fif", fmt="double", verbose="error")
    return truth
