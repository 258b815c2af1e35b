"""Figures of the example scripts, for the gallery.

sphinx-gallery by itself shows those that pyplot knows, and the figures of deepSTRF are not among them.
"""

import weakref

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_saved: weakref.WeakSet = weakref.WeakSet()


def save_figures(block, block_vars, gallery_conf):
    """Save each figure that a variable of the script holds, once, after the block that made it."""
    paths = []
    for value in list(block_vars["example_globals"].values()):
        figure = value.figure if isinstance(value, Axes) else value
        if isinstance(figure, Figure) and figure not in _saved:
            _saved.add(figure)
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], dpi=110)
    plt.close("all")
    return figure_rst(paths, gallery_conf["src_dir"])


class ReadingOrder:
    """Which example comes first in its part of the gallery; those that are not named here come last."""

    names = (
        *("first_fit", "own_recording", "missing_data", "movie"),
        *("noise_ceiling", "choosing_a_model", "amount_of_data", "sound_or_movement"),
        *("tuning_errors", "changing_field", "best_stimulus", "eeg"),
    )

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, file):
        name = file.removesuffix(".py")
        return (self.names.index(name) if name in self.names else len(self.names), name)
