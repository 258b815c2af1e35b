"""Importing stays light, and the names of interface.md stay importable."""

import importlib
import subprocess
import sys

import pytest

MODULES = [
    "deepSTRF", "deepSTRF.datasets.neural_dataset", "deepSTRF.datasets.audio.audio_dataset",
    "deepSTRF.datasets.video.video_dataset", "deepSTRF.models.video.video_model",
    "deepSTRF.models.neural_model", "deepSTRF.models.audio.audio_model", "deepSTRF.models.layers",
    "deepSTRF.metrics.performance",
]  # fmt: skip
NAMES = {
    "deepSTRF.datasets": ["NeuralDataset"],
    "deepSTRF.datasets.audio": ["AudioNeuralDataset", "NS1Dataset"],
    "deepSTRF.datasets.video": ["VideoNeuralDataset"],
    "deepSTRF.metrics": ["mse_loss", "poisson_loss", "corrcoef", "fve", "normalized_corrcoef", "coherence",
                         "signal_power", "noise_power", "snr"],
    "deepSTRF.models": ["NeuralModel"],
    "deepSTRF.models.audio": ["AudioEncodingModel", "Linear", "LinearNonlinear", "StateNet"],
    "deepSTRF.models.video": ["VideoEncodingModel"],
    "deepSTRF.training": ["Fitter", "auto_config", "cross_validate", "fit_multi_seed", "set_random_seed",
                          "slug_from_config"],
    "deepSTRF.training.fitter": ["_pad_and_cat", "_default_val_metrics", "_to_scalar", "_format_epoch"],
    "deepSTRF.utils": ["concat_neural_datasets", "hanning_smooth", "neural_collate", "ResponseSmoothingTransform",
                       "plot_psth_vs_pred", "plot_stim_with_response", "plot_strf_grid"],
    "deepSTRF.utils.data": ["fill_missing_data", "concatenate_datasets"],
    "deepSTRF.utils.hub": ["save_pretrained_to_dir", "load_pretrained_from_dir", "CONFIG_FILE", "WEIGHTS_FILE",
                           "METADATA_FILE", "MODEL_CARD_FILE"],
    "deepSTRF.metrics.performance": ["compute_CCmax", "compute_TTRC"],
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_module_is_importable(module):
    assert importlib.import_module(module)


@pytest.mark.parametrize("module", NAMES)
def test_names_are_importable(module):
    loaded = importlib.import_module(module)
    for name in NAMES[module]:
        assert getattr(loaded, name) is not None


def loaded_by(*statements):
    """The modules that each of some statements loads, run one after the other in a new Python."""
    steps = "\n".join(f"{each}\nprint('\\t'.join(sys.modules))" for each in statements)
    code = f"import sys\n{steps}"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = [set(line.split("\t")) for line in output.splitlines()]
    assert len(loaded) == len(statements)
    return [new - before for before, new in zip([set(), *loaded], loaded, strict=False)]


STEP = (
    "from torch import nn, ones; from deepSTRF.training.arguments import make_optimizer; layer = nn.Linear(1, 1); "
    "optimizer = make_optimizer(None, layer); layer(ones(1)).backward(); optimizer.step(); optimizer.state_dict()"
)


@pytest.mark.slow
def test_nothing_heavy_is_loaded_beside_torch_before_it_is_needed():
    """In one Python, because torch takes its time."""
    _, fitter, utils, run, step, figure = loaded_by(
        "import torch",
        "from deepSTRF.training import Fitter",
        "import deepSTRF.utils",
        "import deepSTRF.sweeps, deepSTRF.cli.report",
        STEP,
        "from deepSTRF.utils import plot_strf_grid; assert callable(plot_strf_grid)",
    )
    heavy = {"scipy", "matplotlib", "soundfile", "pooch", "torchmetrics", "safetensors", "tqdm", "joblib",
             "deepSTRF.datasets"}  # fmt: skip
    assert not fitter & heavy
    assert {"deepSTRF.training.fitter", "deepSTRF.metrics"} <= fitter
    assert "matplotlib" not in utils | run
    assert "scipy" not in fitter | utils | run | figure
    assert not step & {"torch._dynamo", "sympy"}


def test_importing_deepstrf_loads_no_torch():
    assert "torch" not in loaded_by("import deepSTRF")[0]


def test_help_of_the_command_loads_no_torch():
    assert "torch" not in loaded_by("from deepSTRF.cli.main import main")[0]
