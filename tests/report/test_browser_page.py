"""The page on paper, in grey, in dark, and of unusual runs (`make test-browser`)."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from certificate_factory import make_certificates
from radii.report.html import Run, write_report
from radii.report.html.run_styles import CONTRAST, MARKERS, contrast

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
KEPT = os.environ.get("RADII_SCREENSHOTS")
SCRIPT = "<script>alert(1)</script>"
NORMS = ("l1", "l2")
NUMBER = r"\d+(?:\.\d+)?"


def make_run(name, noise="laplace", ks=(1, 2), norms=NORMS, **settings):
    found = {(norm, k): make_certificates(noise, norm, k=k, **settings) for norm in norms for k in ks}
    return Run(name, found)


@pytest.fixture(scope="module")
def runs():
    levels = [
        make_run(f"Laplace {sigma:g}", sigma=sigma, seed=number)
        for number, sigma in enumerate((0.25, 0.5, 1))
    ]
    return [*levels, make_run("Gaussian", "gaussian"), make_run(SCRIPT, "uniform", seed=9)]


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    return lambda runs: write_report(runs, tmp_path_factory.mktemp("page")).as_uri()


@pytest.fixture(scope="module")
def address(runs, page_of):
    return page_of(runs)


@pytest.fixture(scope="module")
def paper(chromium, address, tmp_path_factory):
    """The printed page, and the tables as they are in the browser: their cells and captions."""
    page = chromium.new_page(color_scheme="dark")
    page.goto(address)
    cells = page.locator("main table, .norm-card table").evaluate_all(
        "all => all.filter(one => !one.closest('.list')).flatMap(one => [...one.querySelectorAll('td, th')])"
        ".map(cell => cell.textContent.trim())"
    )
    headings = page.locator("h2, h3").evaluate_all("all => all.map(one => one.firstChild.textContent.trim())")
    path = tmp_path_factory.mktemp("paper") / "page.pdf"
    # as from a dialogue: the page opens what is folded, and browsers leave backgrounds out
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.pdf(path=path, prefer_css_page_size=True, print_background=False)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.close()
    if KEPT:
        shutil.copy(path, KEPT)
    # only `make test-browser` installs it
    from pypdf import PdfReader

    return PdfReader(path), cells, headings


def test_every_number_of_the_tables_is_printed(paper):
    reader, cells, _ = paper
    printed = {number for page in reader.pages for number in re.findall(NUMBER, page.extract_text())}
    numbers = {number for cell in cells for number in re.findall(NUMBER, cell)}
    assert len(numbers) > 100
    # a table that was cut would lack the numbers of its last columns
    assert numbers - printed == set()


def test_nothing_is_printed_beyond_the_paper(paper):
    reader, _, _ = paper
    for page in reader.pages:
        right, found = float(page.mediabox.width), []

        def visit(text, matrix, placed, font, size, found=found):
            if text.strip():
                found.append((placed[4] * matrix[0] + matrix[4], text))

        page.extract_text(visitor_text=visit)
        assert found and all(0 <= x < right - 10 for x, _ in found), [
            one for one in found if one[0] >= right - 10
        ]


def test_no_heading_ends_a_page(paper):
    reader, _, headings = paper
    for page in reader.pages:
        lines = [line.strip() for line in page.extract_text().splitlines() if line.strip()]
        assert not any(lines[-1].startswith(heading) and len(heading) > 3 for heading in headings), lines[-1]


def test_folded_parts_are_printed_and_folded_again(visit, address):
    page = visit(address)
    folded = page.locator("details:not([open]):not(.list)")
    assert folded.count() > 2
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folded.count() > 2


COLOURS = """() => {
  const dye = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const two = (part) => part.toString(16).padStart(2, "0");
  const hex = (colour) => {
    dye.fillStyle = colour;
    dye.fillRect(0, 0, 1, 1);
    return "#" + [...dye.getImageData(0, 0, 1, 1).data].slice(0, 3).map(two).join("");
  };
  const curves = [...document.querySelectorAll(".drawing .curve:not(.found)")];
  return {
    paper: hex(getComputedStyle(document.documentElement).backgroundColor),
    curves: curves.map((one) => ({
      colour: hex(getComputedStyle(one).stroke),
      dash: one.getAttribute("stroke-dasharray"),
      marker: one.nextSibling.getAttribute("d"),
    })),
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_from_the_paper_and_differ_in_grey(visit, address, scheme):
    found = visit(address, color_scheme=scheme).evaluate(COLOURS)
    assert len(found["curves"]) == 5
    for curve in found["curves"]:
        assert contrast(curve["colour"], found["paper"]) >= CONTRAST, curve
    # without colour, a curve is known by its dashes or its marker
    assert len({(curve["dash"], curve["marker"]) for curve in found["curves"]}) == 5
    laplace = found["curves"][:3]
    assert len({curve["colour"] for curve in laplace}) == 1 and len({curve["dash"] for curve in laplace}) == 3


def test_runs_of_one_noise_have_a_colour_each(visit, page_of):
    several = [make_run(f"model {number}", seed=number, ks=(1,)) for number in range(MARKERS)]
    found = visit(page_of(several)).evaluate(COLOURS)["curves"]
    assert len({curve["colour"] for curve in found}) == len({curve["marker"] for curve in found}) == MARKERS


def test_names_with_markup_are_text_everywhere(visit, address):
    page = visit(address)
    texts = page.locator(
        ".readout th, .norm-card .of, form .runs label, .drawing text.end"
    ).all_text_contents()
    assert sum(SCRIPT in text for text in texts) >= 3
    page.locator(".list summary").click()
    page.locator(".images tbody th button").first.click()
    assert SCRIPT in page.locator(".detail").inner_text()
    assert page.locator("main script:not(#data, #data + script), header script").count() == 0


@pytest.mark.parametrize("kind", ["one image", "nothing certified", "k above"])
def test_unusual_runs_have_a_page_that_works(visit, page_of, kind):
    run = make_run("Laplace", images=1 if kind == "one image" else 60)
    if kind == "nothing certified":
        empty = {
            question: replace(one, radius=np.zeros(60), label=(one.true_label + 1) % 10, lower=np.zeros(60))
            for question, one in run.certificates.items()
        }
        run = Run("Laplace", empty)
    if kind == "k above":
        run = make_run("Laplace", ks=(9, 10), images=60)
    page = visit(page_of([run]))
    assert page.locator(".readout tbody tr").count() == 1
    assert page.locator(".norm-card").count() == 2 and "NaN" not in page.locator("body").inner_text()
    page.locator(".drawing").scroll_into_view_if_needed()
    box = page.locator(".drawing").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    assert (
        "NaN" not in page.locator(".tip").inner_text() and page.locator(".drawing path[d*=NaN]").count() == 0
    )
    page.locator(".list summary").click()
    assert page.locator(".images tbody tr").count() == len(run.index)
    if kind == "nothing certified":
        assert page.locator(".readout td").nth(1).inner_text() == "0.0 %"


def test_one_of_many_classes_is_found_by_typing(visit, page_of):
    many = {}
    for question, one in make_run("Laplace", ks=(1,), images=200).certificates.items():
        labels = np.arange(200) % 100
        many[question] = replace(
            one, label=np.where(one.label == one.true_label, labels, 101), true_label=labels
        )
    page = visit(page_of([Run("Laplace", many)]))
    box = page.locator("input[name=class]")
    assert page.locator("datalist option").count() == 100
    box.fill("57")
    box.press("Enter")
    here = many["l2", 1].true_label == 57
    at = float(page.locator("#explore input[type=range]").input_value())
    expected = np.mean((many["l2", 1].correctly_certified & (many["l2", 1].radius >= at))[here])
    assert page.locator(".readout td").nth(1).inner_text() == f"{100 * expected:.1f} %"


def test_of_many_runs_the_first_are_drawn_and_all_can_be(visit, page_of):
    page = visit(
        page_of([make_run(f"run {number}", ks=(1,), norms=("l2",), seed=number) for number in range(20)])
    )
    curves = page.locator(".drawing .curve")
    assert curves.count() == 12
    page.locator(".runs .all").click()
    assert curves.count() == 20
    page.locator(".runs .none").click()
    assert curves.count() == 0 and page.locator(".nothing").is_visible()


def test_moving_the_pointer_draws_no_curve_again(visit, address):
    """Curves are made when the selection changes: the same elements stay while the pointer moves."""
    page = visit(address)
    page.evaluate("document.querySelector('.drawing svg').dataset.first = 'yes'")
    page.locator(".drawing").scroll_into_view_if_needed()
    box = page.locator(".drawing").bounding_box()
    for part in (0.3, 0.6, 0.9):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 100)
    assert page.locator(".drawing svg[data-first=yes]").count() == 1
    assert json.loads(page.locator("#data").text_content())["ks"] == [1, 2]


def test_moving_the_pointer_makes_no_element(visit, address):
    """Rows of the tooltip and of the readout stay: only their order and their texts change."""
    page = visit(address)
    page.locator(".drawing").scroll_into_view_if_needed()
    box = page.locator(".drawing").bounding_box()
    texts = set()
    for step in range(2):
        for part in (0.2, 0.5, 0.8):
            page.mouse.move(box["x"] + part * box["width"], box["y"] + 100)
            texts.add(page.locator(".tip").inner_text())
            # by the second round, each series has its row
            rows = page.locator(".tip tr, .readout tr")
            if step:
                assert rows.evaluate_all("all => all.every(row => row.dataset.first)")
            rows.evaluate_all("all => all.forEach(row => row.dataset.first = 'yes')")
    assert len(texts) == 3


def test_the_chart_does_not_wait_for_the_tables(visit, address):
    """What the program needs stands before the tables, which browsers read and lay out later."""
    page = visit(address)
    assert page.evaluate(
        "[...document.querySelectorAll('script')].every(one => one.compareDocumentPosition("
        "document.querySelector('#results')) === Node.DOCUMENT_POSITION_FOLLOWING)"
    )
    assert page.locator("table[data-file] .save").count() == page.locator("table[data-file]").count() > 0


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_tooltip_stays_in_the_chart(visit, page_of, width):
    """With a long name, and with the column of attacks."""
    plain = make_run("a name that is longer than half of the chart is wide on any screen", norms=("l2",))
    one = plain.certificates["l2", 1]
    run = Run(plain.name, plain.certificates, None, {("l2", 1): np.where(one.radius > 0, 2.0, np.inf)})
    page = visit(page_of([run]), width=width)
    page.locator(".drawing").scroll_into_view_if_needed()
    box = page.locator(".drawing").bounding_box()
    for part in (0.2, 0.4, 0.53, 0.6, 0.9):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 100)
        tip = page.locator(".tip").bounding_box()
        assert box["x"] <= tip["x"] and tip["x"] + tip["width"] <= box["x"] + box["width"]
    certified = page.locator(".readout td").nth(1).bounding_box()
    panel = page.locator(".wide:has(> .readout)").bounding_box()
    assert certified["x"] + certified["width"] <= panel["x"] + panel["width"]


@pytest.mark.parametrize("width", [360, 700, 760, 1200, 1400, 1440])
def test_nothing_leaves_its_card(visit, address, width):
    page = visit(address, width=width)
    beyond = page.locator(".norm-card").evaluate_all(
        "all => all.map(card => Math.max(...[...card.querySelectorAll('table, p')].map(one => "
        "one.getBoundingClientRect().right)) - card.getBoundingClientRect().right)"
    )
    assert len(beyond) == 2 and max(beyond) <= 0
