"""docs/references.bib holds what docstrings, cards and pages refer to."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOI = re.compile(r"\b(10\.\d{4,9}/[^\s\"'<>`\\]+)|arxiv\.org/abs/([\d.]*\d)", re.IGNORECASE)
PARTS = [("src", "*.py"), ("docs", "*.md"), ("docs", "*.py"), ("examples", "*.py")]
FILES = [path for folder, kind in PARTS for path in sorted((ROOT / folder).rglob(kind))]
MADE = {"auto_examples", "generated", "_build"}  # by the build of the docs
FILES = [path for path in FILES if not MADE & set(path.parts)] + [ROOT / "README.md", ROOT / "CHANGELOG.md"]


def read_bib():
    """Key to fields, of entries with one field a line."""
    text = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", text, flags=re.DOTALL | re.MULTILINE)
    assert len(entries) == text.count("\n@"), "an entry is not written as the others"
    fields = [(key, dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, flags=re.MULTILINE))) for key, body in entries]
    twice = [key for key, count in Counter(key for key, _ in fields).items() if count > 1]
    assert not twice, f"keys that are there twice: {twice}"
    return dict(fields)


def dois_in(text):
    for doi, arxiv in DOI.findall(text):
        doi = doi.rstrip(".,;:)]}*")
        doi += ")" if doi.count("(") > doi.count(")") else ""
        yield (f"10.48550/arxiv.{arxiv}" if arxiv else doi).lower()


def test_entries_are_complete():
    entries = read_bib()
    assert len(entries) > 80
    for key, fields in entries.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert fields["year"] in key or key[-1].isalpha(), f"{key} is from {fields['year']}"


def test_no_work_is_there_twice():
    dois = Counter(fields["doi"].lower() for fields in read_bib().values() if "doi" in fields)
    assert [doi for doi, count in dois.items() if count > 1] == []


@pytest.mark.parametrize(
    ("text", "dois"),
    [
        ("see https://doi.org/10.1016/0042-6989(65)90033-7.", ["10.1016/0042-6989(65)90033-7"]),
        ("[Harper](https://doi.org/10.1371/journal.pcbi.1005113)).", ["10.1371/journal.pcbi.1005113"]),
        (
            "doi:10.7554/eLife.53445, https://arxiv.org/abs/1610.01644",
            ["10.7554/elife.53445", "10.48550/arxiv.1610.01644"],
        ),
    ],
)
def test_dois_are_found(text, dois):
    assert list(dois_in(text)) == dois


def test_every_doi_is_in_the_bibliography():
    known = {fields[name].lower() for fields in read_bib().values() for name in ("doi", "data") if name in fields}
    unknown = {
        (doi, str(path.relative_to(ROOT)))
        for path in FILES
        for doi in dois_in(path.read_text(encoding="utf-8"))
        if doi not in known
    }
    assert not unknown, f"not in docs/references.bib: {sorted(unknown)}"
