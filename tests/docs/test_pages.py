"""Every block of code on every page runs as it stands (see ``pages``)."""

import shutil

import matplotlib.pyplot as plt
import pytest
from doc_pages import NOT_RUN, PYTHON, ROOT, SHELL, SHOWN, Session, blocks, pages
from shell import run
from stand_ins import stand_ins, write_files

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
WITH_CODE = [name for name, page in PAGES.items() if any(b.kind in PYTHON + SHELL for b in blocks(page.read_text()))]
# Python that needs what no machine of the tests has, an account or a cluster, or that is a sketch.
NEEDS_MORE = {
    f"docs/{name}.md": 1 for name in ("howto/saving", "howto/clusters", "contracts/data", "reference/data_sets")
}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files") / "home"
    folder.mkdir()
    write_files(folder)
    return folder


def run_command(*arguments):
    with stand_ins():
        result = run(*arguments)
    assert result.exit_code == 0, (arguments, result.output)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")  # of MLflow
@pytest.mark.parametrize("name", WITH_CODE)
def test_the_page_runs_as_it_stands(name, files, tmp_path, monkeypatch, no_figures):
    folder = tmp_path / "home"
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    session = Session(PAGES[name], run_command)
    for block in blocks(PAGES[name].read_text(encoding="utf-8")):
        session.run(block)
    plt.close("all")


@pytest.mark.parametrize("name", PAGES)
def test_every_kind_of_block_is_known(name):
    """A new kind of block is either run or known to be only looked at; nobody forgets to run one."""
    for block in blocks(PAGES[name].read_text(encoding="utf-8")):
        known = block.kind in PYTHON + SHELL + SHOWN
        assert known or block.kind.startswith("{"), f"{name}, line {block.line}: blocks of {block.kind!r} are not run"
        assert block.kind != "{code-block}", f"{name}, line {block.line}: use a fence of ``python`` or ``pycon``"
        if block.kind in ("", "text"):
            assert "import " not in block.text, f"{name}, line {block.line}: say that this is Python"


@pytest.mark.parametrize("name", PAGES)
def test_python_is_left_out_only_where_it_must(name):
    left_out = [b for b in blocks(PAGES[name].read_text(encoding="utf-8")) if b.skipped and b.kind in PYTHON]
    assert len(left_out) == NEEDS_MORE.get(name, 0), f"{name}: {[b.line for b in left_out]} begin with {NOT_RUN!r}"
