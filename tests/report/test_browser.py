"""The report in a browser: nothing fails, nothing is loaded, every switch does what it says (`make test-browser`)."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import radii
from radii.cli.report import shown_examples
from radii.data import load_data
from radii.noises.norms import NORMS, unit_of
from radii.report.accuracy import accuracy_curve, certified_radii
from radii.report.formatting import NORM_NAMES, radius_text
from radii.report.html import Examples, Run, choose_examples, write_report
from radii.report.paired import share_interval

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
    lengths = np.where(one.correctly_certified & (one.radius > 0), 1.5 * one.radius, np.inf)
    lengths[::7] = np.inf
    # the negative stands for a perturbed image: nobody takes it for the clean one
    clean = load_data("mnist5k", "test").at(one.index).pictures()
    negatives = {int(one.index[row]): 255 - clean[row, 0] for row in np.flatnonzero(np.isfinite(lengths))}
    attacked = replace(found[0], attacks={("l2", 1): lengths}, perturbed={("l2", 1): negatives})
    return [attacked, *found[1:]]


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    one = runs[0].certificates["l2", 1]
    images = load_data("mnist5k", "test").at(one.index[choose_examples(one)])
    examples = shown_examples(images, {run.name: run.votes for run in runs})
    small = load_data("mnist5k", "test").at(one.index)
    page = write_report(
        runs,
        tmp_path_factory.mktemp("page"),
        examples=examples,
        thumbnails=Examples(small.pictures(), small.index),
        title="Digits",
    )
    assert page.stat().st_size < 5_000_000
    return page.as_uri()


@pytest.fixture
def opened(visit, address):
    """Open the page at a width and in a colour scheme."""
    return lambda width=1200, height=900, state="", **settings: visit(
        address, width, height, state, **settings
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
    """The rows beside the chart, by run and k."""
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


def test_values_beside_the_chart_are_those_of_the_certificates(opened, runs):
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
    assert page.locator(".drawing .found").count() == page.locator(".drawing .between").count() == 1
    one, lengths = runs[0].certificates["l2", 1], runs[0].attacks["l2", 1]
    # an image that was never certified was not attacked: it counts with its prediction
    left = one.correct & ~(lengths <= radius_at(page))
    cells = readout(page)[runs[0].name, 1]
    certified, attacked = (float(cells[place].split()[0]) for place in (0, 2))
    assert attacked == pytest.approx(100 * left.mean(), abs=0.06) and attacked >= certified
    page.locator("input[name=radius]").fill("0")
    plain = f"{100 * one.correct.mean():.1f} %"
    assert readout(page)[runs[0].name, 1][2] == plain == readout(page)[runs[0].name, 1][3], "no attack at 0"
    note = page.locator(".note.found")
    assert note.is_visible()
    choose(page, "norm", "l1")
    assert page.locator(".drawing .found").count() == 0
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


def point_at(page, part):
    """Move the pointer over the chart, at a part of its width."""
    page.locator(".drawing").scroll_into_view_if_needed()
    box = page.locator(".drawing").bounding_box()
    page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)


def test_the_pointer_moves_the_radius(opened):
    page = opened()
    before = radius_at(page)
    point_at(page, 0.8)
    assert radius_at(page) > before
    typed = page.locator("input[name=radius]").input_value()
    assert typed == page.locator("input[type=range]").get_attribute("aria-valuetext")
    assert float(typed) == radius_at(page), "a round radius, which can be typed"


def test_the_tooltip_shows_what_the_exports_hold(opened, address, runs):
    """The CSV files beside the page are read, not the certificates."""
    page = opened()
    folder = Path(address.removeprefix("file://")).parent / "certificates"
    for norm in NORMS:
        choose(page, "norm", norm)
        for part in (0.2, 0.5, 0.9):
            point_at(page, part)
            radius, tip = radius_at(page), page.locator(".tip")
            assert tip.is_visible() and NORM_NAMES[norm] in tip.locator("b").inner_text()
            shown = {}
            for row in tip.locator("tr").all():
                name, share, interval, _ = row.locator("th, td").all_inner_texts()
                shown[name.strip()] = (share, interval)
            for run in runs:
                if run.by_k(norm):
                    saved = list(csv.DictReader((folder / f"{run.slug}.csv").read_text().splitlines()))
                    # radii in files are rounded down at the seventh decimal
                    held = [float(row[f"{norm}_top1"] or -1) + 1e-7 >= radius for row in saved]
                    low, high = (float(end) / 100 for end in shown[run.name][1].split("–"))
                    assert shown[run.name][0] == f"{100 * np.mean(held):.1f} %"
                    expected = 1000 * share_interval(np.array(sum(held)), len(held))
                    assert round(1000 * low) == np.floor(expected[0]) and round(1000 * high) == np.ceil(
                        expected[1]
                    )
    page.mouse.move(0, 0)
    assert page.locator(".tip").is_hidden()
    point_at(page, 0.5)
    keep(page, "tooltip")


def test_a_radius_can_be_typed(opened, runs):
    page = opened()
    typed, one = page.locator("input[name=radius]"), runs[0].certificates["linf", 1]
    choose(page, "norm", "linf")
    typed.fill("2/255")
    assert radius_at(page) == 2 / 255
    assert readout(page)[runs[0].name, 1][0] == f"{100 * one.accuracy([2 / 255])[0]:.1f} %"
    typed.fill("2/")
    assert typed.get_attribute("aria-invalid") == "true" and radius_at(page) == 2 / 255
    typed.press("Enter")
    assert typed.input_value() == "2/255"
    choose(page, "norm", "l0")
    typed.fill("999")
    typed.press("Enter")
    assert float(typed.input_value()) == radius_at(page) < 999, "not beyond the axis"


def test_the_address_holds_the_view(opened, address, visit):
    page = opened()
    choose(page, "norm", "linf")
    choose(page, "k", 2)
    choose(page, "run", 1)
    page.locator("select[name=class]").select_option(label="3")
    page.locator("input[name=radius]").fill("1/255")
    page.wait_for_url(lambda url: "class=3" in url and "r=1%2F255" in url)
    state = page.evaluate("location.hash")
    other = opened(state=state)
    assert readout(other) == readout(page) and curves(other) == 4
    assert other.locator("select[name=class]").input_value() == "3" and radius_at(other) == 1 / 255
    # the address of a section, or one that means nothing, changes nothing
    assert curves(opened(state="#results")) == 3 and curves(opened(state="#norm=l7&k=9")) == 3


def test_the_chart_is_saved_as_it_is_seen(opened, runs, tmp_path):
    page = opened()
    choose(page, "norm", "l1")
    saved = {}
    for kind in ("svg", "png", "csv"):
        with page.expect_download() as caught:
            page.locator(f"[data-save={kind}]").click()
        assert caught.value.suggested_filename == f"accuracy-l1.{kind}"
        caught.value.save_as(tmp_path / kind)
        saved[kind] = (tmp_path / kind).read_bytes()
    assert saved["png"].startswith(b"\x89PNG") and len(saved["png"]) > 10_000
    drawing = ElementTree.fromstring(saved["svg"])
    text = saved["svg"].decode()
    assert drawing.tag.endswith("svg") and "var(--run" not in text and "class=" not in text
    assert all(run.name in text for run in runs if run.by_k("l1"))
    rows = list(csv.DictReader(saved["csv"].decode().splitlines()))
    for run in runs:
        one = run.by_k("l1")[0]
        mine = [row for row in rows if row["run"] == run.name]
        at, shares = accuracy_curve(one)
        assert [float(row["radius"]) for row in mine] == at.tolist()
        assert [float(row["certified"]) for row in mine] == pytest.approx(shares.tolist())


def test_images_are_sorted_and_saved(opened, runs, tmp_path):
    page = opened()
    page.locator(".list summary").click()
    heads, rows = page.locator(".images thead button"), page.locator(".images tbody tr")
    assert heads.count() == 2 + 3 and rows.count() == 100
    heads.nth(2).click()
    radii_held = certified_radii(runs[0].certificates["l2", 1])
    assert rows.nth(0).locator("td").nth(1).inner_text() == radius_text(radii_held.max(), "l2")
    assert page.locator(".images th[aria-sort=descending]").count() == 1
    heads.nth(2).click()
    assert rows.nth(0).locator("td").nth(1).inner_text() == "–"
    page.locator(".images .on").click()
    assert rows.count() == 20 and page.locator(".images .on").is_disabled()
    assert page.locator(".pages span").inner_text() == "101–120 of 120"
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


def test_images_are_found_by_status_class_and_number(opened, runs):
    page = opened()
    page.locator(".list summary").click()
    for run in (1, 2):
        choose(page, "run", run)
    one, lengths = runs[0].certificates["l2", 1], runs[0].attacks["l2", 1]
    rows, status = page.locator(".images tbody tr"), page.locator("select[name=status]")
    expected = {"certified": one.status == "certified", "attacked": np.isfinite(lengths)}
    expected |= {name: one.status == name for name in ("open", "refuted") if (one.status == name).any()}
    assert set(status.locator("option").all_inner_texts()) <= {
        "all",
        "certified",
        "open",
        "refuted",
        "attacked",
    }
    for name, where in expected.items():
        status.select_option(label=name)
        indices = {int(text) for text in rows.locator("> th").all_inner_texts()}
        assert indices == set(one.index[where].tolist()[:100])
    status.select_option(label="all")
    find = page.locator("input[name=find]")
    find.fill(str(one.index[5]))
    labels = rows.locator("> td:nth-child(2)").all_inner_texts()
    assert str(one.index[5]) in rows.locator("> th").all_inner_texts() and len(labels) < 20
    find.fill("nothing is called this")
    assert rows.count() == 0 and page.locator(".pages span").inner_text() == "0–0 of 0"


def test_an_image_shows_its_votes_and_radii_in_all_runs_and_norms(opened, runs):
    page = opened()
    page.locator(".list summary").click()
    first = page.locator(".images tbody th button").first
    first.focus()
    page.keyboard.press("Enter")
    detail = page.locator(".detail")
    assert detail.count() == 1 and page.evaluate("document.activeElement.ariaExpanded") == "true"
    table = detail.locator("tbody tr")
    assert table.count() == len(runs)
    for place, run in enumerate(runs):
        cells = table.nth(place).locator("> th, > td").all_inner_texts()
        assert cells[0].strip() == run.name and cells[2] == run.by_k("l1")[0].status[0]
        counts = run.votes.counts[0]
        for share in (100 * np.sort(counts)[::-1] / counts.sum())[:1]:
            assert f"{share:.3g} %" in cells[1]
        for norm, cell in zip(NORMS, cells[3:], strict=True):
            by_k = run.by_k(norm)
            held = by_k and by_k[0].correctly_certified[0]
            expected = radius_text(by_k[0].radius[0], norm) if held else "–" if by_k else ""
            assert cell.split("\n")[0].strip() == expected
    assert page.locator(".images canvas").count() > 1, "small pictures"
    keep(page, "image")
    page.keyboard.press("Enter")
    assert detail.count() == 0


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
    assert {"norm", "k", "run", "class", "radius", "range"} <= reached
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


def test_without_programs_the_page_is_whole(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#explore").is_hidden() and page.locator("nav a[href='#explore']").is_hidden()
    assert page.locator("#results table").count() == 4 and page.locator("svg[role=img]").count() > 8


def test_an_image_is_shown_as_it_was_attacked(opened, runs):
    page = opened()
    page.locator(".list summary").click()
    lengths, index = runs[0].attacks["l2", 1], runs[0].index
    row = int(np.flatnonzero(np.isfinite(lengths))[0])
    page.locator("input[name=find]").fill(str(index[row]))
    page.locator(f".images tbody th button:has-text('{index[row]}')").first.click()
    shown = page.locator(".detail td canvas")
    assert shown.count() == 2
    assert shown.nth(1).get_attribute("aria-label") == f"image {index[row]}, perturbed in ℓ₂"
    # drawn once its sheet is decoded
    blank = "Object.assign(document.createElement('canvas'), {width: 28, height: 28}).toDataURL()"
    page.wait_for_function(
        f"Array.from(document.querySelectorAll('.detail td canvas'), c => c.toDataURL()).every(one => one !== {blank})"
    )
    clean, attacked = (
        np.array(
            one.evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
        )
        for one in (shown.nth(0), shown.nth(1))
    )
    assert np.array_equal(attacked.reshape(-1, 4)[:, 0], 255 - clean.reshape(-1, 4)[:, 0])
    keep(page, "attacked")
    # where attacks removed nothing, there is nothing to show
    row = int(np.flatnonzero(~np.isfinite(lengths))[0])
    page.locator("input[name=find]").fill(str(index[row]))
    page.locator(f".images tbody th button:has-text('{index[row]}')").first.click()
    assert page.locator(".detail").last.locator("td canvas").count() == 1
