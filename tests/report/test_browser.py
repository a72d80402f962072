"""The report in a browser: nothing fails, nothing is loaded, every switch does what it says (`make test-browser`)."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import radii
from patience import HANG
from radii.cli.report import shown_examples
from radii.data import load_data
from radii.noises.norms import NORMS, unit_of
from radii.report.accuracy import certified_radii
from radii.report.formatting import NORM_NAMES, radius_text
from radii.report.html import Run, choose_examples, write_report

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
STORED = Path(__file__).parents[2] / "results" / "mnist5k"
KEPT = os.environ.get("RADII_SCREENSHOTS")
"""A folder for pictures of what was seen, if one is wanted."""
NOISES = ("laplace", "gaussian", "splitting")


@pytest.fixture(scope="module")
def runs():
    found = []
    for noise in NOISES:
        votes = radii.load_votes(STORED / f"{noise}-0.5.parquet")[:120]
        certificates = {
            (norm, k): radii.certify(votes, norm, k=k, unit=unit_of(norm, "pixel"))
            for norm in NORMS
            for k in (1, 2)
            if norm in votes.noise.rules
        }
        found.append(Run(noise.capitalize(), certificates, votes))
    one = found[0].certificates["l2", 1]
    lengths = np.where(one.correct & (one.radius > 0), 1.5 * one.radius, np.inf)
    lengths[::7] = np.inf
    return [Run(found[0].name, found[0].certificates, found[0].votes, {("l2", 1): lengths}), *found[1:]]


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    one = runs[0].certificates["l2", 1]
    images = load_data("mnist5k", "test").at(one.index[choose_examples(one)])
    examples = shown_examples(images, {run.name: run.votes for run in runs})
    page = write_report(runs, tmp_path_factory.mktemp("page"), examples=examples, title="Digits")
    assert page.stat().st_size < 5_000_000
    return page.as_uri()


@pytest.fixture
def opened(chromium, address):
    """Open the page at a width and in a colour scheme; at the end, check that nothing was logged or loaded."""
    logged, requested, contexts = [], [], []

    def opened(width=1200, height=900, **settings):
        context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, **settings)
        context.set_default_timeout(1000 * HANG)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert logged == [], "the console is empty"
    assert {url for url in requested if not url.startswith(("data:", "blob:"))} == {address}, (
        "one file is read"
    )


def keep(page, name, **settings):
    if KEPT:
        page.screenshot(path=Path(KEPT) / f"{name}.png", **settings)


def choose(page, name, value):
    """Click a switch as a person does, on what is seen of it."""
    page.locator(f"label:has(input[name={name}][value='{value}'])").click()


def curves(page):
    return page.locator(".chart .curve:not(.found)").count()


def readout(page):
    """The rows below the chart, by run and k."""
    rows = page.locator(".readout tbody tr")
    cells = [rows.nth(row).locator("th, td").all_inner_texts() for row in range(rows.count())]
    return {(row[0].strip(), int(row[1])): row[2:] for row in cells}


def radius_at(page):
    return float(page.locator("#explore input[type=range]").input_value())


def test_each_norm_shows_the_runs_that_have_a_rule(opened, runs):
    page = opened()
    for norm in NORMS:
        choose(page, "norm", norm)
        expected = [run for run in runs if run.by_k(norm)]
        assert curves(page) == len(expected) == len(readout(page))
        assert NORM_NAMES[norm] in page.locator(".chart .name").text_content()
        keep(page, f"explore-{norm}")


def test_values_below_the_chart_are_those_of_the_certificates(opened, runs):
    page = opened()
    choose(page, "k", 2)
    slider = page.locator("#explore input[type=range]")
    for norm in NORMS:
        choose(page, "norm", norm)
        slider.focus()
        for _ in range(3):
            for _ in range(1 if norm == "l0" else 20):
                page.keyboard.press("ArrowRight")
            radius, shown = radius_at(page), readout(page)
            for run in runs:
                for one in run.by_k(norm):
                    cells = shown[run.name, one.k]
                    assert float(cells[0].split()[0]) / 100 == pytest.approx(
                        one.accuracy([radius])[0], abs=6e-4
                    )
                    mean = certified_radii(one).mean()
                    scale = 255 if norm == "linf" else 1
                    assert (
                        0
                        <= mean * scale - float(cells[-2].split("/")[0])
                        < (0.02 if norm == "linf" else 2e-3)
                    )


def test_a_radius_that_images_just_reach_counts(opened, runs):
    page = opened()
    choose(page, "norm", "l0")
    page.locator("#explore input[type=range]").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert radius_at(page) == 1
    one = runs[0].certificates["l0", 1]
    assert (
        one.accuracy([1])[0] > 0 and readout(page)["Laplace", 1][0] == f"{100 * one.accuracy([1])[0]:.1f} %"
    )


def test_k_and_runs_can_be_chosen(opened, runs):
    page = opened()
    assert curves(page) == 3
    choose(page, "k", 2)
    assert curves(page) == 6 and {k for _, k in readout(page)} == {1, 2}
    keep(page, "two-ks")
    choose(page, "k", 1)
    assert curves(page) == 3 and {k for _, k in readout(page)} == {2}
    for run in range(3):
        choose(page, "run", run)
    assert curves(page) == 0 and page.locator(".nothing").is_visible()
    choose(page, "run", 1)
    assert [name for name, _ in readout(page)] == [runs[1].name] and not page.locator(".nothing").is_visible()


def test_one_class_at_a_time(opened, runs):
    page = opened()
    one = runs[0].certificates["l2", 1]
    page.locator("select[name=class]").select_option(label="3")
    here = one.true_label == 3
    held = one.correctly_certified[here]
    radius = radius_at(page)
    expected = np.mean(held & (one.radius[here] >= radius))
    assert readout(page)[runs[0].name, 1][0] == f"{100 * expected:.1f} %"


def test_attacks_are_drawn_above_the_certificates(opened, runs):
    page = opened()
    assert page.locator(".chart .found").count() == 1
    one, lengths = runs[0].certificates["l2", 1], runs[0].attacks["l2", 1]
    left = one.correctly_certified & ~(lengths <= radius_at(page))
    certified, attacked = (float(cell.split()[0]) for cell in readout(page)[runs[0].name, 1][:2])
    assert attacked == pytest.approx(100 * left.mean(), abs=0.06) and attacked >= certified
    note = page.locator(".note.found")
    assert note.is_visible()
    choose(page, "norm", "l1")
    assert page.locator(".chart .found").count() == 0
    assert page.locator(".readout .found").first.is_hidden() and note.is_hidden()


@pytest.mark.parametrize("width", [360, 420, 1200])
def test_no_word_of_the_chart_is_cut_off(opened, width):
    page = opened(width=width)
    for norm in radii.NORMS:
        choose(page, "norm", norm)
        ends = page.eval_on_selector_all(
            ".chart text", "all => all.map(one => [one.getBBox().x, one.getBBox().x + one.getBBox().width])"
        )
        inner = page.locator(".chart").evaluate("chart => chart.clientWidth")
        assert ends and min(left for left, _ in ends) >= 0 and max(right for _, right in ends) <= inner


def test_the_pointer_moves_the_radius(opened):
    page = opened()
    box, before = page.locator(".chart").bounding_box(), radius_at(page)
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    assert radius_at(page) > before
    assert page.locator("output").inner_text() == page.locator("input[type=range]").get_attribute(
        "aria-valuetext"
    )


def test_images_are_sorted_and_saved(opened, runs, tmp_path):
    page = opened()
    page.get_by_text("All images", exact=True).click()
    heads, rows = page.locator(".images thead button"), page.locator(".images tbody tr")
    assert heads.count() == 2 + 3 and rows.count() == 20
    heads.nth(2).click()
    radii_held = certified_radii(runs[0].certificates["l2", 1])
    assert rows.nth(0).locator("td").nth(1).inner_text() == radius_text(radii_held.max(), "l2")
    assert page.locator(".images th[aria-sort=descending]").count() == 1
    heads.nth(2).click()
    assert rows.nth(0).locator("td").nth(1).inner_text() == "–"
    page.locator(".images .more").click()
    assert rows.count() == 120 and page.locator(".images .more").is_hidden()
    with page.expect_download() as caught:
        page.locator(".images .save").click()
    caught.value.save_as(tmp_path / "radii.csv")
    assert caught.value.suggested_filename == "radii-l2.csv"
    saved = list(csv.reader((tmp_path / "radii.csv").read_text().splitlines()))
    assert saved[0][:2] == ["index", "true label"] and len(saved) == 121
    by_index = {int(row[0]): row[2] for row in saved[1:]}
    one = runs[0].certificates["l2", 1]
    for index, radius, held in zip(runs[0].index, radii_held, one.correctly_certified, strict=True):
        written = by_index[int(index)]
        assert (written == "" and not held) or float(written) == radius


def test_tables_are_sorted_and_saved(opened, tmp_path):
    page = opened()
    table = page.locator("#results table[data-norm=l1]")
    before = table.locator("tbody tr").all_inner_texts()
    head = table.locator("thead button").nth(2)
    head.click()
    column = [float(text) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert column == sorted(column, reverse=True)
    head.click()
    assert table.locator("th[aria-sort=ascending]").count() == 1
    column = [float(text) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert column == sorted(column) and sorted(before) == sorted(table.locator("tbody tr").all_inner_texts())
    with page.expect_download() as caught:
        table.locator("caption .save").click()
    caught.value.save_as(tmp_path / "table.csv")
    saved = list(csv.reader((tmp_path / "table.csv").read_text().splitlines()))
    assert caught.value.suggested_filename == "accuracy-l1-top1.csv"
    assert saved[0][0] == "radius" and len(saved) == 1 + 3 and [float(row[2]) for row in saved[1:]] == column


def test_all_can_be_done_with_the_keyboard(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.type || ''"))
    assert {"norm", "k", "run", "class", "range"} <= reached
    page.locator("input[name=norm]:checked").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("input[name=norm]:checked").get_attribute("value") == "l1"
    assert "ℓ₁" in page.locator(".chart .name").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1200])
def test_nobody_is_left_out(opened, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:90] for node in one["nodes"][:3]]) for one in found] == []
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, "nothing sticks out"
    keep(page, f"page-{scheme}-{width}", full_page=True)


def test_what_is_folded_is_printed(opened, tmp_path):
    page = opened()
    assert page.locator("details:not([open])").count() > 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 3
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    if KEPT:
        shutil.copy(tmp_path / "page.pdf", KEPT)


def test_without_programs_the_page_is_whole(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#explore").is_hidden() and page.locator("nav a[href='#explore']").is_hidden()
    assert page.locator("#results table").count() == 4 and page.locator("svg[role=img]").count() > 8
