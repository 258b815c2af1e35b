"""One small registered data set for all tests; a module, so that worker processes can load it too."""

from pathlib import Path

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.registry import DatasetCard, register_dataset


@register_dataset(
    DatasetCard(
        "tiny",
        "a few simulated cells, so that tests are quick",
        size="4 neurons, 8 sounds of 0.5 s, 3 repeats",
        default_split="holdout:2",
        **dict.fromkeys(("species", "area", "paper", "licence"), "none"),
    )
)
class Tiny(SimulatedDataset):
    """The file ``seed`` in the folder `path` stands for the files of a recording."""

    def __init__(self, path=None, dt_ms=5.0):
        seed = 0 if path is None else int((Path(path) / "seed").read_text())
        super().__init__(n_neurons=4, n_stims=8, duration_s=0.5, n_repeats=3, n_bands=8, dt_ms=dt_ms, seed=seed)


def make_recording(folder, seed=0):
    """Write the folder of a recording that ``Tiny(folder)`` reads."""
    folder.mkdir()
    (folder / "seed").write_text(str(seed))
    return folder
