"""The page in a browser; skipped where playwright or Chromium is missing."""

import json
import shutil

import pytest
from big_run import write_big_run

from deepSTRF.report import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page_file(two_runs, tmp_path_factory):
    return write_report(two_runs, tmp_path_factory.mktemp("page") / "report.html")


def names(page):
    return page.locator("#neuron-table tbody tr:not([hidden]) th").all_inner_texts()


def column(page, label):
    labels = [text.rstrip(" ↑↓") for text in page.locator("#neuron-table thead th").all_inner_texts()]
    cells = page.locator(
        f"#neuron-table tbody tr:not([hidden]) > :nth-child({labels.index(label) + 1})"
    ).all_inner_texts()
    return [float(cell.replace("−", "-")) for cell in cells]


def test_the_best_neuron_is_shown_first(page_file, open_page):
    page = open_page(page_file)
    page.wait_for_selector("#neuron h3")
    values = column(page, "cc_norm linear-nonlinear")
    assert values == sorted(values, reverse=True)
    assert page.locator("#neuron h3").inner_text() == f"Neuron {names(page)[0]}"
    assert page.locator("#neuron .plot canvas").count() == 6  # raster, traces, and two fields with their tuning
    assert page.locator("#curve-charts canvas").count() == 2
    tuned = page.locator("#neuron .tuning")
    assert tuned.count() == 2
    assert {"best frequency", "latency", "separability"} <= set(tuned.first.locator("dt").all_inner_texts())


def test_table_sorts_by_mouse_and_keyboard(page_file, open_page):
    page = open_page(page_file)
    head = page.locator("#neuron-table thead th", has_text="ceiling")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "ceiling") == sorted(column(page, "ceiling"), reverse=True)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "ceiling") == sorted(column(page, "ceiling"))
    page.locator("#neuron-table thead button").first.click()
    assert names(page) == ["sim000", "sim001", "sim002", "sim003"]
    assert head.get_attribute("aria-sort") == "none"


def test_table_filters_by_words_and_conditions(page_file, open_page):
    page = open_page(page_file)
    count = page.locator("#count")
    middle = sorted(column(page, "ceiling"))[2]
    for text, left in (
        ("SIM002", 1),
        ("sim", 4),
        (f"ceiling >= {middle}", 2),
        (f"ceiling<{middle} sim", 2),
        ("n_repeats=3", 4),
        ("kind=none", 0),
    ):
        page.fill("#filter", text)
        assert count.inner_text() == f"{left} of 4 neurons"
        assert len(names(page)) == left
    page.fill("#filter", "colour>3")
    assert "no column colour" in count.inner_text()


def test_neurons_are_chosen_by_mouse_and_keyboard(page_file, open_page):
    page = open_page(page_file)
    title, order = page.locator("#neuron h3"), names(page)
    expect = pytest.importorskip("playwright.sync_api").expect
    page.locator("#neuron-table tbody tr").nth(2).locator("td").first.click()
    expect(title).to_have_text(f"Neuron {order[2]}")
    page.locator("#neuron-table tbody button").nth(2).press("ArrowDown")
    expect(title).to_have_text(f"Neuron {order[3]}")
    assert page.evaluate("document.activeElement.textContent") == order[3]
    assert page.locator("#neuron-table button[aria-pressed=true]").all_inner_texts() == [order[3]]
    page.get_by_role("button", name="Previous neuron").click()
    expect(title).to_have_text(f"Neuron {order[2]}")
    assert page.get_by_role("button", name="Previous neuron").is_enabled()
    assert title.inner_text() == f"Neuron {order[2]}"


def test_time_zooms_in_raster_and_traces_alike(page_file, open_page):
    page = open_page(page_file)
    page.wait_for_selector("#neuron h3")
    spans = "panelCharts.filter((c) => c.cursor.sync?.key === 'time').map((c) => [c.scales.x.min, c.scales.x.max])"

    def zoomed(name):
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(50)
        (first, second) = page.evaluate(spans)
        assert first == second
        return [round(value, 4) for value in first]

    assert zoomed("Zoom in") == [0.125, 0.375]
    assert zoomed("Later") == [0.25, 0.5]
    assert zoomed("Earlier") == [0.125, 0.375]
    assert zoomed("All of the stimulus") == [0, 0.5]
    box = page.locator("#neuron .u-over").nth(1).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, y, steps=4)
    page.mouse.up()
    page.wait_for_timeout(50)
    (raster, traces) = page.evaluate(spans)
    assert raster == traces == pytest.approx([0.1, 0.2], abs=0.01)
    assert "PSTH" in page.locator(".readout").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_violation_and_no_sideways_scrolling(page_file, open_page, axe, width, scheme):
    page = open_page(page_file, width, scheme)
    page.wait_for_selector("#neuron h3")
    page.evaluate(axe)
    violations = page.evaluate("axe.run()")["violations"]
    assert [(v["impact"], v["id"]) for v in violations if v["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_long_names_without_spaces_do_not_scroll_sideways(two_runs, tmp_path, open_page):
    run = shutil.copytree(two_runs[0], tmp_path / ("run" * 40))
    summary = json.loads((run / "scores.json").read_text())
    (run / "scores.json").write_text(json.dumps(summary | {"notes": ["left out: " + 200 * "x"]}))
    (run / "neurons.csv").write_text((run / "neurons.csv").read_text().replace("sim000", 120 * "x"))
    page = open_page(write_report(run, tmp_path / "report.html"), 390)
    page.wait_for_selector("#neuron h3")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_unfinished_and_prints(two_runs, tmp_path, open_page):
    run = shutil.copytree(two_runs[1], tmp_path / "running")
    (run / "scores.json").unlink()
    page = open_page(write_report(run, tmp_path / "report.html"), scheme="dark")
    assert page.locator("#curve-charts canvas").count() == 2
    page.get_by_role("button", name="Reload").click()
    page.wait_for_load_state()
    assert len(page.pdf()) > 10_000


def test_two_thousand_neurons_stay_usable(tmp_path, open_page):
    path = write_report(write_big_run(tmp_path / "big", 2000), tmp_path / "report.html")
    assert path.stat().st_size < 8_000_000
    page = open_page(path)
    page.wait_for_selector("#neuron h3")
    assert page.evaluate("performance.now()") < 5000
    page.fill("#filter", "area=AAF cc>0.5")
    shown = len(names(page))
    assert 0 < shown < 700
    assert page.locator("#count").inner_text() == f"{shown} of 2000 neurons"
    milliseconds = page.evaluate(
        "(() => { const start = performance.now(); document.querySelector('#neuron-table thead button').click();"
        " document.body.offsetHeight; return performance.now() - start; })()"
    )
    assert milliseconds < 2000
