"""A training loop of your own over several processes, whose scores are those of one process.

    torchrun --standalone --nproc-per-node 2 examples/torchrun_loop.py --out runs/two
    python examples/torchrun_loop.py --out runs/one

Every process ("rank") has its share of the stimuli: gradients are averaged by DistributedDataParallel, scores are
gathered by the streaming metrics. docs/howto/several_processes.md explains each step.
"""

import argparse
import copy
import json
import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, Subset
from torchmetrics import MetricCollection

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import mse_loss
from deepSTRF.metrics.streaming import Corrcoef, MSELoss, NormalizedCorrcoef
from deepSTRF.models.audio import StateNet
from deepSTRF.training import set_random_seed
from deepSTRF.utils import neural_collate

BATCH_SIZE = 4  # of all ranks together, so that their number changes nothing


def fit(epochs: int, rank: int, ranks: int) -> tuple[StateNet, list[dict], dict]:
    dataset = SimulatedDataset(n_neurons=8, n_stims=18, duration_s=(0.5, 1.0), missing=0.2)
    dataset.standardize_stims(dataset.split_indices("holdout:3").train, per_band=False)
    train, val, test = dataset.split("holdout:3")
    sampler = DistributedSampler(train, ranks, rank, shuffle=True, seed=0, drop_last=True)
    train_loader = DataLoader(train, BATCH_SIZE // ranks, sampler=sampler, collate_fn=neural_collate)

    set_random_seed(0)  # the same first weights on every rank
    model = StateNet(n_frequency_bands=dataset.F, out_neurons=dataset.N_neurons)
    parallel = DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history, best, best_weights = [], float("-inf"), model.state_dict()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)  # another order in every epoch, the same one on every rank
        model.train()
        for batch in train_loader:
            optimizer.zero_grad()
            share_of_the_loss(parallel(batch["stims"]), batch["responses"], ranks).backward()
            optimizer.step()
        scores = evaluate(model, val, rank, ranks)
        history.append({name: values.tolist() for name, values in scores.items()})
        score = float(scores["cc_norm"].nanmean())
        if score > best:  # every rank has the same scores, and so comes to the same decision
            best, best_weights = score, copy.deepcopy(model.state_dict())
        if rank == 0:
            print(f"epoch {epoch}  val loss {scores['loss'].nanmean():.4f}  val cc_norm {score:.4f}", flush=True)
    model.load_state_dict(best_weights)
    return model, history, {name: values.tolist() for name, values in evaluate(model, test, rank, ranks).items()}


def share_of_the_loss(pred: torch.Tensor, responses: torch.Tensor, ranks: int) -> torch.Tensor:
    """What this rank adds to the loss of the whole batch.

    DistributedDataParallel takes the mean of the gradients over ranks. With plain means as losses, a bin on a rank that
    has few of them (short sounds, missing responses) would count for more than one elsewhere.
    """
    bins = (~responses.isnan()).any(2).sum((0, 2)).double()  # (N,) with data
    of_all = bins.clone()
    if dist.is_initialized():
        dist.all_reduce(of_all)
    per_neuron = mse_loss(pred, responses, reduction="none").nan_to_num()  # NaN where a neuron has no data here
    return (ranks * bins / of_all.clamp(min=1) * per_neuron).sum() / (of_all > 0).sum()


@torch.no_grad()
def evaluate(model: StateNet, part: torch.utils.data.Dataset, rank: int, ranks: int) -> dict[str, torch.Tensor]:
    """Scores (N,) on all stimuli of `part`, the same on every rank.

    Not with a DistributedSampler: it repeats stimuli so that every rank gets as many.
    """
    model.eval()
    scores = MetricCollection({"loss": MSELoss(), "cc": Corrcoef(), "cc_norm": NormalizedCorrcoef()})
    for batch in DataLoader(Subset(part, range(rank, len(part), ranks)), 2, collate_fn=neural_collate):
        scores.update(model(batch["stims"]), batch["responses"])
    return scores.compute()  # gathers the statistics of all ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for the model and scores.json")
    options = parser.parse_args()
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))  # set by torchrun
    if BATCH_SIZE % ranks:
        parser.error(f"{BATCH_SIZE} stimuli in a batch cannot be shared evenly by {ranks} processes")
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    try:
        model, history, test = fit(options.epochs, rank, ranks)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if rank == 0 and options.out is not None:  # one process writes
        model.save_pretrained(options.out / "model")
        scores = {"ranks": ranks, "val": history, "test": test}
        (options.out / "scores.json").write_text(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
