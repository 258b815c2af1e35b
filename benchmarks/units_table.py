"""Do units matter? Every model on the simulated default, with responses × 0.001, 1 and 1000, and thinned to 5 %.

    python benchmarks/units_table.py [--models ridge statenet] [--seed 0]

Test cc_norm, the mean over neurons. The first three columns of a row should agree: they hold the same recording in
other units. The last one is the cc with 5 % of the spikes, since the signal power of so few spikes is uncertain, and
cc_norm with it; ridge shows what can be had there.
"""

import argparse
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import torch

from deepSTRF.registry import get_dataset, model_cards
from deepSTRF.runs import FitOptions, fit_run

FACTORS = (0.001, 1.0, 1000.0)
KEPT = 0.05


def scaled(factor: float):
    """The simulated default in other units."""
    dataset = get_dataset("simulated")()
    dataset.responses = [[response * factor for response in row] for row in dataset.responses]
    dataset.validate()
    return dataset


def thinned(kept: float):
    """The simulated default with every spike kept with this probability."""
    dataset = get_dataset("simulated")()
    generator = torch.Generator().manual_seed(0)
    dataset.responses = [
        [torch.binomial(response, torch.full_like(response, kept), generator=generator) for response in row]
        for row in dataset.responses
    ]
    dataset.validate()
    return dataset


def score(dataset, model: str, seed: int, kind: str) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        mock.patch("deepSTRF.runs.fit.draw_figures"),
    ):
        warnings.simplefilter("ignore")
        result = fit_run(FitOptions(dataset=dataset, model=model, seed=seed, threads=1), Path(folder) / "run")
    return float(result.scores["test"][kind].nanmean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: every model of spectrograms")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.models or [name for name, card in model_cards().items() if "spectrogram" in card.stimulus]
    columns = {f"× {factor:g}": (scaled(factor), "cc_norm") for factor in FACTORS}
    columns[f"{KEPT:.0%} of spikes, cc"] = (thinned(KEPT), "cc")
    print(f"| model | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for name in names:
        scores = [score(dataset, name, options.seed, kind) for dataset, kind in columns.values()]
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in scores)} |", flush=True)


if __name__ == "__main__":
    main()
