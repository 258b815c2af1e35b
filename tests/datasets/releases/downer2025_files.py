"""The squirrel monkey recording as Zenodo delivers it: a .mat file per channel, sentences, vocalizations, a table."""

from typing import NamedTuple

import numpy as np
import scipy.io
import soundfile

N_SENTENCES, SENTENCE_S = 22, 0.1
FS = 16000
WAVE_FS = 41000
TEST = {"timit": (12, 13), "mvocs": (7, 9)}
VOCALIZATIONS = [1, 7, 2, 9, 7, 9, 3, 7, 9, 4, 5, 6, 10, 11, 14]  # numbers in the order of the sound file
CODES = {"timit": "timitStimcode", "mvocs": "mVocStimcode"}
SESSIONS = {  # channels of each, by animal
    "180627": ("b", ["Ch1", "Ch1p", "Ch10", "Ch2"]),
    "190606": ("c", ["Ch3", "Ch3s2", "Ch4ps2"]),
    "191210": ("c", ["Ch5"]),
    "190607": ("c", ["Ch1"]),  # a bad one
}
TABLE = """
# sessions per animal and hemisphere
c_RH_sessions: [190606, 190607]
b_RH_sessions: [180627]
f_RH_sessions: []
c_LH_sessions: [191210]
area_wise_sessions:
  core:
    - 180627  # A1
    - 190606
  non-primary: [191210, 190607]
session_coordinates: {190606: [-0.4, 1.4], 180627: [-0.8, 0.98], 191210: [0.8, -1.3], 190607: [1.1, -0.8]}
bad_sessions: ['190607']
stim_wise_num_repeats: {timit: 11, mVocs: 15}
"""


class Truth(NamedTuple):
    spikes: dict  # (kind, cell, stimulus number) -> per trial, times in s from the onset
    sounds: dict  # (kind, stimulus number) -> (samples, rate)


def write_release(folder, seed=0):
    """Three good sessions: one heard some vocalizations only, and in one a channel has other trials than the rest."""
    rng = np.random.default_rng(seed)
    truth = Truth({}, {})
    (folder / "stimuli").mkdir(parents=True)
    (folder / "sessions_metadata.yml").write_text(TABLE)
    _write_sentences(folder / "stimuli", rng, truth)
    _write_vocalizations(folder / "stimuli", rng, truth)
    for session, (animal, channels) in SESSIONS.items():
        (folder / "sessions" / session).mkdir(parents=True)
        trials = _trials(rng, session)
        for channel in channels:
            if channel == "Ch4ps2":  # recorded at another time
                trials = _trials(rng, session)
            _write_channel(folder, session, f"{animal}_{session}_{channel}", trials, rng, truth)
    return truth


def _write_sentences(folder, rng, truth):
    table = np.zeros((1, N_SENTENCES), dtype=[(name, object) for name in ("name", "sound", "soundf", "befaft")])
    for k in range(N_SENTENCES):
        sound = 0.1 * rng.normal(size=round(FS * (SENTENCE_S + 0.0033 * (k % 7))))
        silence = np.zeros(FS // 2)
        table[0, k] = (f"fadg0_si{k}", np.concatenate([silence, sound, silence])[:, None], FS, np.array([0.5, 0.5]))
        truth.sounds["timit", k + 1] = (sound, FS)
    file = folder / "out_sentence_details_timit_all_loudness.mat"
    scipy.io.savemat(file, {"sentdet": table, "features": np.eye(2)}, do_compression=True)


def _write_vocalizations(folder, rng, truth):
    gaps = np.round(WAVE_FS * (0.12 + 0.002 * rng.integers(0, 20, len(VOCALIZATIONS)))).astype(int)
    starts = np.cumsum(gaps) - gaps + 500
    waves = np.zeros((gaps.sum() + 500, 2))
    for code, start, gap in zip(VOCALIZATIONS, starts, gaps, strict=True):
        waves[start : start + gap, 0] = 0.1 * rng.normal(size=gap)
        waves[start : start + 20, 1] = 1  # a pulse
        shortest = gaps[np.array(VOCALIZATIONS) == code].min()
        truth.sounds.setdefault(("mvocs", code), (waves[start : start + shortest, 0], WAVE_FS))
    soundfile.write(folder / "MonkVocs_15Blocks.wav", waves, WAVE_FS, subtype="PCM_16")
    variables = {"mVocsStimCodes": np.array(VOCALIZATIONS), "mVocsStimOnTimes": starts / WAVE_FS}
    scipy.io.savemat(folder / "SqMoPhys_MVOCStimcodes.mat", variables)


def _trials(rng, session):
    """Onset, kind and number of each trial; some are of other kinds of sounds."""
    sentences = [k for k in range(1, N_SENTENCES + 1) for _ in range(3 if k in TEST["timit"] else 1)]
    heard = VOCALIZATIONS if session != "191210" else VOCALIZATIONS[:9]
    trials = [("timit", k) for k in rng.permutation(sentences)] + [("mvocs", k) for k in heard] + [("am", 3)] * 2
    return [(10 + 0.5 * i + rng.uniform(0, 0.2), kind, int(k)) for i, (kind, k) in enumerate(trials)]


def _write_channel(folder, session, cell, trials, rng, truth):
    spikes = []
    for i, (onset, kind, number) in enumerate(trials):
        own = np.sort(rng.uniform(0, 0.25, 0 if i % 9 == 0 else rng.integers(1, 30)))  # some trials without a spike
        if kind in CODES:
            truth.spikes.setdefault((kind, cell, number), []).append(own)
        spikes.append(onset + own)
    times = np.concatenate(spikes)
    trial = {"stimon": np.array([onset for onset, _, _ in trials])}
    for kind, code in CODES.items():
        trial[code] = np.array([number if own == kind else 0 for _, own, number in trials], dtype=np.uint16)
    spike = {"spktimes": times[:, None], "events": np.zeros((len(times), 4))}
    file = folder / "sessions" / session / f"{cell}_MUspk.mat"
    scipy.io.savemat(file, {"spike": spike, "trial": trial}, do_compression=True)
