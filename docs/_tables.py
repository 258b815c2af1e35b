"""Tables and API pages made from the registries while the docs are built: a registered class is listed by itself.

In a MyST page::

    ```{registry-table} datasets
    ```
"""

import importlib
import re
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
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
        table = [[column.replace("_", " ") for column in columns], ["---"] * len(columns)]
        table += [[_linked(str(row[column])) for column in columns] for row in rows]
        lines = [f"| {' | '.join(cells)} |" for cells in table]
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
    """Write the page with all registered classes."""
    sections = {
        "Data sets": {_public_name(get_dataset(name)) for name in dataset_cards()},
        "Models": {_public_name(get_model(name)) for name in model_cards()},
    }
    lines = ["Registered data sets and models", "=" * 31]
    for title, classes in sections.items():
        lines += [
            "",
            title,
            "-" * len(title),
            "",
            ".. autosummary::",
            "   :toctree: generated",
            "   :nosignatures:",
            "",
        ]
        lines += [f"   ~{name}" for name in sorted(classes)]
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _public_name(cls):
    """Where users import a class from: the package that exports it, or its own module."""
    package = cls.__module__.rpartition(".")[0]
    exported = getattr(importlib.import_module(package), cls.__name__, None) is cls
    return f"{package if exported else cls.__module__}.{cls.__qualname__}"


def _linked(text):
    """Escape what Markdown would take for its own, and make addresses and DOIs links."""
    text = text.replace("|", "\\|").replace("*", "\\*")
    text = re.sub(r"\bdoi:(10\.[^\s;,)]+)", r"https://doi.org/\1", text)
    cited = re.fullmatch(r"([^;\[\]]+?),? (https?://[^\s;,)]+)", text)
    return f"[{cited[1]}]({cited[2]})" if cited else re.sub(r"https?://[^\s;,)]+", r"<\g<0>>", text)


def _settings(recipe):
    if recipe.settings is None:
        return "closed form"
    settings = recipe.settings
    return f"lr {settings.lr}, {settings.epochs} epochs, {settings.loss}, window {settings.window_ms:g} ms"


class Citation(Directive):
    """How to cite the software, as text and as BibTeX, from CITATION.cff."""

    def run(self):
        cited = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8"))
        authors = " and ".join(author["name"] for author in cited["authors"])
        text = f"{authors}. *{cited['title']}*, version {cited['version']}. {cited['url']}"
        bibtex = f"""@software{{{cited["title"].lower()},
  author  = {{{{{authors}}}}},
  title   = {{{{{cited["title"]}: {cited["abstract"].rstrip(".")}}}}},
  version = {{{cited["version"]}}},
  url     = {{{cited["url"]}}},
}}"""
        node = nodes.Element()
        self.state.nested_parse(StringList([text]), self.content_offset, node)
        return [*node.children, nodes.literal_block(bibtex, bibtex, language="bibtex")]


def setup(app):
    app.add_directive("registry-table", RegistryTable)
    app.add_directive("citation", Citation)
    return {"parallel_read_safe": True}
