"""Every public name is on a page of the API reference, and the top navigation stays short."""

import importlib
import re

import pytest
from doc_pages import ROOT

LISTED = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
PACKAGES = ["analysis", "benchmark", "datasets", "metrics", "metrics.streaming", "models.activations", "models.layers"]
PACKAGES += ["models.prefiltering", "models.readouts", "models.wav2spec", "plotting", "registry", "runs", "sweeps"]
PACKAGES += ["testing", "training", "training.loggers"]
LEFT_OUT = {"LOGGER_KINDS", "Willmore_Adaptation", "softplus_by_default"}  # a constant, an old name, for subclasses


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_listed(package):
    names = set(importlib.import_module(f"deepSTRF.{package}").__all__) - LEFT_OUT
    missing = [name for name in sorted(names) if not re.search(rf"deepSTRF\.{package}\.{name}\b", LISTED)]
    assert not missing, f"add deepSTRF.{package}.{missing} to a page in docs/api"


def test_the_top_navigation_has_at_most_five_entries():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL)
    assert len([line for line in tree.splitlines() if line and not line.startswith(":")]) <= 5
