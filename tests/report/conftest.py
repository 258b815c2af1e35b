"""Two small runs on the same neurons, fitted once; and headless Chromium, by playwright, for the tests of pages."""

import shutil
import subprocess
import tarfile

import pytest
from tiny_data import Tiny

from deepSTRF.runs import FitOptions, fit_run

AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """Folders of a ridge and of a linear-nonlinear run on the data set "tiny"."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])
        for model, options in (("ridge", {}), ("linear-nonlinear", {"epochs": 3})):
            fit_run(FitOptions("tiny", model, **options), folder / model)
    return folder / "ridge", folder / "linear-nonlinear"


@pytest.fixture
def object_run(tmp_path, no_figures):
    """A run that was fitted to a data set object, and the object."""
    dataset = Tiny()
    return fit_run(FitOptions(dataset, "ridge", split="holdout:2"), tmp_path / "object").folder, dataset


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("axe-core comes from npm, which is not installed")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        ["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.fixture
def open_page(browser):
    """Open a file; at the end, nothing was written to the console and nothing was asked of a network."""
    contexts, problems = [], []

    def open_file(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url.startswith("file:") or problems.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []
