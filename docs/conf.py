"""Sphinx configuration. Build with `make docs`; warnings are errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import _tables
import torch

import deepSTRF

torch.set_num_threads(1)  # of the examples and of the code on the pages: on a busy machine a second one mostly waits

project = "deepSTRF"
author = "The deepSTRF developers"
copyright = "2026, the deepSTRF developers"
release = deepSTRF.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_parser",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "_math",
    "_run",
    "_tables",
]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"  # numpydoc's Parameters sections say it with shapes and units
autodoc_mock_imports: list[str] = []
numpydoc_show_class_members = False
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
bibtex_bibfiles = ["references.bib"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [f"../examples/{part}" for part in ("first_steps", "scores", "fields", "models")],
    "within_subsection_order": "_gallery.ReadingOrder",
    "filename_pattern": r"\.py$",  # run them all
    "ignore_pattern": "torchrun_loop",
    "image_scrapers": ("_gallery.save_figures",),
    "capture_repr": (),
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "doc_module": ("deepSTRF",),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "header_links_before_dropdown": 5,  # all of them
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": []}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_title = "deepSTRF"

# Before Sphinx looks for pages, because autosummary reads their text.
_tables.write_registered_page(Path(__file__).parent / "api" / "registered.rst")
