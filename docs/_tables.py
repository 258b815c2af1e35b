"""Tables and API pages made from the registries while the docs are built: a registered class is listed by itself.

In a MyST page::

    ```{registry-table} datasets
    ```
"""

import warnings
from dataclasses import asdict

import torch
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.registry import dataset_cards, get_dataset, get_model, get_recipe, model_cards


class RegistryTable(Directive):
    required_arguments = 1

    def run(self):
        kind = self.arguments[0]
        if kind == "datasets":
            rows = [asdict(card) for card in dataset_cards().values()]
            rows = [
                {name: "" if cell is None else cell for name, cell in row.items() if name != "recording"}
                for row in rows
            ]
        elif kind == "models":
            recordings = {"spectrogram": _sounds(), "waveform": _waveforms(), "movie": SimulatedMovieDataset()}
            rows = [
                asdict(card)
                | {"parameters": _parameters(name, recordings[card.stimulus.split(" or ")[0]])}
                | {"defaults": _settings(get_recipe(name))}
                for name, card in model_cards().items()
            ]
        else:
            raise self.error(f"registry-table knows datasets and models, not {kind!r}")
        columns = list(rows[0])
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for cells in ([column.replace("_", " ") for column in columns], *[[row[c] for c in columns] for row in rows]):
            lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)]
        node = nodes.Element()
        self.state.nested_parse(StringList(lines), self.content_offset, node)
        return node.children


def _sounds():
    """A recording of the size of NS1, in which the parameters are counted."""
    return SimulatedDataset(n_neurons=119, n_stims=6, duration_s=1.0, n_repeats=2, n_bands=34, dt_ms=5.0)


def _waveforms():
    sounds = AudioNeuralDataset(path="noise", dt_ms=5.0)
    sounds.N_neurons, sounds.F, sounds.audio_fs, sounds.return_waveform = 119, 34, 48000, True
    sounds.stims = [torch.randn(1, 4800) for _ in range(2)]
    sounds.responses = [list(torch.rand(119, 1, 20)) for _ in range(2)]
    sounds.stim_meta, sounds.nrn_meta = [{}] * 2, [{}] * 119
    sounds.validate()
    return sounds


def _parameters(name, recording):
    """Of the model that the recipe builds for `recording`."""
    recipe = get_recipe(name)
    window_ms = 150.0 if recipe.settings is None else recipe.settings.window_ms
    with warnings.catch_warnings(action="ignore"):  # that a little noise is fitted badly
        model = recipe.build(recording, recording, window_ms)
    return f"{model.count_trainable_params():,}".replace(",", " ")


def write_registered_page(path):
    """Write the page with the modules of all registered classes."""
    sections = {
        "Data sets": {get_dataset(name).__module__ for name in dataset_cards()},
        "Models": {get_model(name).__module__ for name in model_cards()},
    }
    lines = ["Registered data sets and models", "=" * 31]
    for title, modules in sections.items():
        lines += ["", title, "-" * len(title), "", ".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {module}" for module in sorted(modules)]
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _settings(recipe):
    if recipe.settings is None:
        return "closed form"
    return ", ".join(f"{name} {value}" for name, value in asdict(recipe.settings).items())


def setup(app):
    app.add_directive("registry-table", RegistryTable)
    return {"parallel_read_safe": True}
