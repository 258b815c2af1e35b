"""The zoo table: every model fitted to NS1 by its recipe, over seeds; written into docs/reference/zoo.md.

    make zoo DATA=path/to/ns1                     # less than an hour on two cores; interrupted, it goes on
    python benchmarks/zoo.py path/to/ns1 --models nrf dnet --seeds 0 1 2

Scores are test cc and cc_norm, the mean over neurons, then mean ± sd over seeds. A fit uses one core, so that its
seconds compare where as many run at once. The time of a bin is measured alone afterwards, on one core.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deepSTRF.models import NeuralModel
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.registry import get_recipe, model_cards
from deepSTRF.runs import FitOptions
from deepSTRF.sweeps import Outcome, Run, Sweep, run_sweep

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "zoo.md"
BEGIN, END = "<!-- table: begin (made by benchmarks/zoo.py) -->", "<!-- table: end -->"


def step_times(model: NeuralModel, bins: int = 3000) -> tuple[float, float] | None:
    """Median and 99th percentile of the time of a bin, in ms, on one core."""
    torch.set_num_threads(1)
    frames = torch.randn(bins, 1, 1, model.F, 1)
    stream = model.stream()
    milliseconds = []
    try:
        for frame in frames:
            started = time.perf_counter()
            stream.step(frame)
            milliseconds.append(1e3 * (time.perf_counter() - started))
    except NotStreamableError:
        return None
    milliseconds = sorted(milliseconds[bins // 10 :])  # without the warm-up
    return statistics.median(milliseconds), milliseconds[int(0.99 * len(milliseconds))]


def spread(values: Sequence[float]) -> str:
    sd = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{sd}"


def row(name: str, outcomes: Sequence[Outcome], out: Path) -> dict[str, Any]:
    model = NeuralModel.from_pretrained(out / outcomes[0].run.name / "model")
    times = step_times(model)
    scores = [outcome.scores for outcome in outcomes]
    return {
        "model": f"`{name}`",
        "parameters": f"{model.count_trainable_params():,}".replace(",", " "),
        "seeds": len(outcomes),
        "validation cc_norm": spread([score["val_cc_norm_mean"] for score in scores]),
        "test cc_norm": spread([score["test_cc_norm_mean"] for score in scores]),
        "test cc": spread([score["test_cc_mean"] for score in scores]),
        "fit (s)": f"{statistics.median(score['fit_seconds'] for score in scores):.0f}",
        "bin (ms), median / p99": "no stream" if times is None else f"{times[0]:.2f} / {times[1]:.2f}",
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *[list(map(str, entry.values())) for entry in rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_page(text: str) -> None:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder of the NS1 recording")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: every model of spectrograms")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    options = parser.parse_args()
    names = options.models or [name for name, card in model_cards().items() if card.stimulus == "spectrogram"]
    data = str(Path(options.data).resolve())
    runs = [
        Run(f"{name}-seed{seed}", FitOptions(dataset="ns1", data=data, model=name, seed=seed))
        for name in names
        for seed in (options.seeds if get_recipe(name).settings else options.seeds[:1])
    ]
    outcomes = run_sweep(
        Sweep(options.out.resolve(), tuple(runs)),
        jobs=options.jobs,
        on_outcome=lambda outcome: print(outcome.run.name, outcome.status, outcome.error, flush=True),
    )
    failed = [outcome.run.name for outcome in outcomes if outcome.status != "complete"]
    if failed:
        raise SystemExit(f"these fits failed, see {options.out}/errors.txt: {', '.join(failed)}")
    by_name = {name: [outcome for outcome in outcomes if outcome.run.options.model == name] for name in names}
    text = table([row(name, found, options.out.resolve()) for name, found in by_name.items()])
    print(text)
    if options.models is None:
        write_page(text)


if __name__ == "__main__":
    main()
