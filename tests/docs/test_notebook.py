"""Every notebook runs and is paired with its text; the one of results needs votes alone, and tells what they say."""

import ast
import contextlib
import io
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

import radii
from radii.errors import RadiiWarning
from radii.report.accuracy_table import tabulate
from radii.report.export import table_markdown
from radii.report.published import load_published
from vote_factory import RUNS, make_votes, save_runs

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
SOURCE = ROOT / "notebooks" / "results.py"
STORED = sorted((ROOT / "results" / "cifar10").glob("*/votes.parquet"))
TOOL = runpy.run_path(str(ROOT / "tools" / "notebook.py"))
HEADLINE = runpy.run_path(str(ROOT / "tools" / "headline.py"))


def made(folder: Path, text: Path = SOURCE) -> nbformat.NotebookNode:
    """The notebook as the tool makes it in `folder`; that of results needs votes there."""
    (folder / "notebooks").mkdir()
    source = Path(shutil.copy(text, folder / "notebooks"))
    command = [sys.executable, str(ROOT / "tools" / "notebook.py"), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """What the cells show in one format."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    # what ends a cell is its result
    kinds = {"display_data", "execute_result"}
    assert all(output.output_type in kinds for output in outputs), "figures and words only"
    return [output.data[kind] for output in outputs if kind in output.data]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """All that the output of its cells tells: lines that were printed, tables, and the texts in figures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [
        text for output in outputs for text in (output.get("text", ""), *output.get("data", {}).values())
    ]
    lines = [re.findall(r">([^<>]+)</t", text) if "<svg" in text else text.splitlines() for text in shown]
    return [line for several in lines for line in several]


def test_the_notebook_runs_from_votes_alone(tmp_path: Path) -> None:
    save_runs(tmp_path / "results" / "cifar10")
    notebook = made(tmp_path)
    words, drawings = "\n".join(shown(notebook, "text/markdown")), shown(notebook, "image/svg+xml")
    titles = [title for drawing in drawings for title in re.findall(r">(Certified [^<]*)</text>", drawing)]
    for norm in ("ℓ₀", "ℓ₁", "ℓ₂", "ℓ∞"):
        assert (
            f"Certified accuracy, {norm}" in titles and f"Certified {norm} radius by noise, σ = 0.5" in titles
        )
        assert f"Certified top-k accuracy, {norm}, Laplace noise, σ = 0.5" in titles
    for k in (1, 5):
        cert = radii.certify(make_votes(), "linf", k=k)
        assert f"| k = {k} | {cert.accuracy([0])[0]:.1%} |" in words
    cert = radii.certify(make_votes("uniform"), "l1")
    assert load_published("cifar10")[0].source in words
    assert f"| Uniform | {cert.accuracy([0])[0]:.1%} |" in words.replace("**", "")


def test_the_notebook_does_with_the_runs_that_are_there(tmp_path: Path) -> None:
    save_runs(tmp_path / "results" / "cifar10", RUNS[1:2], images=20)
    assert shown(made(tmp_path), "image/svg+xml")


def test_there_are_three() -> None:
    assert [path.stem for path in SOURCES] == ["quick-start", "results", "your-own-model"] and TOOL[
        "SOURCES"
    ] == SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_are_paired_with_their_texts(source: Path) -> None:
    text = TOOL["read"](source)
    kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ], "make notebook"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_stored_notebooks_were_run_and_name_no_folder_of_a_machine(source: Path) -> None:
    kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    cells = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and all(output.output_type != "error" for output in outputs)
    assert not re.search(r"Traceback|Warning:|RadiiWarning:|/src/radii/|site-packages", str(outputs))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_links_in_notebooks_lead_somewhere(source: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)", source.read_text()):
        assert (source.parent / link).is_file(), link


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_show_one_figure_each_and_figures_show_themselves(source: Path) -> None:
    kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    figures = [
        sum("image/svg+xml" in output.get("data", {}) for output in cell.get("outputs", []))
        for cell in kept.cells
    ]
    assert max(figures) == 1 and "svg_text" not in source.read_text()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_use_names_that_the_reference_lists(source: Path) -> None:
    listed = set(re.findall(r"^   (radii\.[\w.]+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    for cell in TOOL["read"](source).cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("radii"):
                    used = {f"{node.module}.{alias.name}" for alias in node.names}
                    assert used <= listed, f"not in docs/api.md: {used - listed}"
                elif isinstance(node, ast.Attribute):
                    assert not node.attr.startswith("_")
                    if isinstance(node.value, ast.Name) and node.value.id == "radii":
                        assert node.attr in radii.__all__


def test_tables_and_certificates_show_themselves() -> None:
    certified = radii.certify(make_votes(), "l2")
    table = tabulate({"Laplace": certified})
    assert table._repr_markdown_() == table_markdown(table)
    shown = certified._repr_html_()
    assert all(line.strip() in shown for line in repr(certified).replace("\n", ", ").split(", "))
    assert "<b>" not in replace(certified, data=None, classes=("<b>",) * 10)._repr_html_()


def gone_through(name: str) -> tuple[dict[str, Any], str]:
    """What the cells of a notebook leave behind, run one after the other in this process, and what they printed."""
    space: dict[str, Any] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiiWarning)  # the last digits of a product may depend on the batch
        for cell in TOOL["read"](ROOT / "notebooks" / f"{name}.py").cells:
            if cell.cell_type == "code":
                exec(cell.source, space)
    return space, said.getvalue()


def test_quick_start() -> None:
    found, said = gone_through("quick-start")
    votes, certified = found["votes"], found["certified"]
    assert len(votes) == 100 and votes.n == 1000 and certified["l2"].accuracy([0.25])[0] > 0.5
    for norm, one in certified.items():
        np.testing.assert_array_equal(one.radius, radii.certify(votes, norm).radius)
    stay, leave = (tuple(map(int, pair)) for pair in re.findall(r"radius: (\d+) of (\d+) keep", said))
    assert (
        stay[0] == stay[1] == leave[1] == (certified["l2"].radius[:20] > 0).sum() and leave[0] < stay[0] / 2
    )
    assert found["decided"].mean_samples < 2000 and found["decided"].norm == "l2"


def test_your_own_model() -> None:
    found, said = gone_through("your-own-model")
    assert "with --input-range 0,255" in said, "the wrong scale is found out"
    for name, votes in found["votes"].items():
        assert votes.noise == radii.Gaussian(0.25) and radii.certify(votes, "l2").accuracy([0.1])[0] > 0.6, (
            name
        )
    assert found["votes"]["discriminant"].model.startswith("unknown:sklearn.")
    assert len(re.findall(r"for every perturbation within an l2 radius of|no answer", said)) == 5


@pytest.mark.skipif(not STORED, reason="there are no stored votes")
def test_the_notebook_tells_what_the_stored_votes_say(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    kept = nbformat.read(SOURCE.with_suffix(".ipynb"), as_version=4)
    anew = made(tmp_path)
    assert shown(kept, "text/markdown") == shown(anew, "text/markdown"), "make notebook"
    assert texts(kept) == texts(anew), "make notebook"


@pytest.mark.slow
@pytest.mark.parametrize("source", [path for path in SOURCES if path != SOURCE], ids=lambda path: path.stem)
def test_stored_notebooks_speak_the_words_of_the_present_code(source: Path, tmp_path: Path) -> None:
    """The words alone: numbers follow from models that another processor trains otherwise."""
    stored, anew = (
        re.findall(r"\b[^\W\d_]+\b", "\n".join(texts(one)))
        for one in (nbformat.read(source.with_suffix(".ipynb"), as_version=4), made(tmp_path, source))
    )
    assert len(stored) > 50 and stored == anew, "make notebook"


def test_the_headline_answers_every_question() -> None:
    votes = [make_votes(noise, sigma) for noise, sigma in RUNS]
    page = HEADLINE["headline"](votes)
    by_name = {(one.noise.name, one.noise.sigma): one for one in votes}
    top3 = radii.certify(by_name["laplace", 0.5], "linf", k=3).accuracy([2 / 255])[0]
    assert f"| Laplace, σ = 0.5 | ℓ∞ | 3 | 2/255 | {top3:.1%} | – | – |" in page
    shares = {s: radii.certify(by_name["laplace", s], "l1").accuracy([1])[0] for s in (0.25, 0.5, 1.0)}
    best = max(shares, key=lambda sigma: (shares[sigma], sigma))
    assert (
        f"| Laplace, best σ | ℓ₁ | 1 | 1 | {shares[best]:.1%} (σ = {best:g}) | – | 39.0% (Laplace, Teng et al. 2019) |"
        in page
    )
    assert (
        "60 images (cifar10 test, first 60 of every 20th of 10000), n = 2,000 noise samples per image" in page
    )
    rows = HEADLINE["headline"](votes[:1]).splitlines()
    assert (
        "| Uniform, σ = 0.5 | ℓ₁ | 1 | 0.5 | – | – | 71.1% (uniform + stability, Yang et al. 2020) |" in rows
    ), "not there yet"


def test_the_headline_tells_what_sequential_votes_were_asked() -> None:
    noise, corners = radii.Laplace(0.5), (1.0, 0.6, 0.0)
    images = np.array(corners, dtype=np.float32)[:, None, None, None].repeat(4, 2).repeat(2, 3)
    question = radii.RadiusTarget(noise, "l1", (0.25, 0.5), images.shape[1:])

    def bright_corner(noisy):
        right = (noisy[:, 0, 0, 0] > 0.2).float()
        return torch.stack([right, 1 - right], 1)

    # the probabilities are .95, .84 and .28, the radii ask for .75 and .88
    voted = radii.Smoothed(bright_corner, noise, batch=64).vote(
        images, np.zeros(3, dtype=np.int64), plan=radii.sequential(question, n_max=20_000)
    )
    page = HEADLINE["headline"]([make_votes(), voted])
    shares = [
        page.split(f"| Laplace, σ = 0.5 | ℓ₁ | 1 | {r} | ")[1].split(" | ")[1] for r in ("0.25", "0.5", "1")
    ]
    assert shares == ["66.7%", "33.3%", "–"]
    assert (
        "or at 20,000 samples" in page
        and f"On average they took {voted.samples.mean():,.0f} with laplace 0.5" in page
    )
