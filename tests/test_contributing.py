"""The templates of CONTRIBUTING.md keep the contracts, and what stands beside them agrees with pyproject.toml."""

import re
import textwrap
import tomllib
from pathlib import Path

import pytest
import yaml

from deepSTRF import registry

ROOT = Path(__file__).parent.parent


@pytest.fixture
def registered(monkeypatch):
    """Whatever the templates register is forgotten afterwards."""
    registry.dataset_cards(), registry.model_cards()
    for names in (registry._datasets, registry._models):
        monkeypatch.setattr(names, "entries", dict(names.entries))


@pytest.mark.parametrize("part", ["A model", "A data set", "A metric"])
def test_templates_pass_their_own_checks(part, registered):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {part} in three steps\n(.*?)(?=^## )", text, flags=re.DOTALL | re.MULTILINE)
    template, check = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    code = textwrap.dedent("   " + template.lstrip()) + textwrap.dedent(check)
    assert "check_" in check
    exec(compile(code, f"CONTRIBUTING.md: {part}", "exec"), {"__name__": "contributed"})


def test_citation_has_the_version_and_licence_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] == project["authors"]


def test_forms_and_hooks_are_what_their_readers_expect():
    for form in ("bug.yml", "addition.yml"):
        content = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / form).read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(content)
        identifiers = [field["id"] for field in content["body"]]
        assert len(set(identifiers)) == len(identifiers)
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_links_of_contributing_lead_somewhere():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / target).exists(), target
