"""What is stored in results/ follows from its votes, and its README says how the votes and the weights were made."""

import csv
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import radii
from commands import fine
from radii.attacks.search import exceeds_chance
from radii.certificates.runs import certify_all
from radii.cli import main
from radii.cli.options import load_named
from radii.data import DataSet
from radii.models import digest
from radii.report.attacked import attacks_name, found_beside
from radii.report.export import run_csv_text, table_markdown
from radii.report.html import Run
from radii.report.html.content import all_tables
from radii.report.published import load_published
from radii.votes import ImageIdentity

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "results" / "cifar10"
RUNS = sorted(path.parent for path in FOLDER.glob("*/votes.parquet"))
EVERY = RUNS + sorted(path.parent for path in (FOLDER.parent / "denoised").glob("*/votes.parquet"))
MEGABYTE = 2**20
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
each_run = pytest.mark.parametrize("run", EVERY, ids=lambda run: run.name)
stored = pytest.mark.skipif(not RUNS, reason="there are no stored votes")


def blank(name: str, split: str = "test", data_dir: object = None) -> DataSet:
    """A data set of the size of CIFAR-10 that needs no files."""
    count = 10_000 if split == "test" else 50_000
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (count, 3, 32, 32))
    identity = ImageIdentity(name, split, part="all")
    return DataSet(pixels, np.zeros(count, np.int64), np.arange(count), identity, CLASSES)


def asked(command: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the line of the README above `run` that makes it asks for; nothing is trained or polled."""
    place = re.escape(f"results/{run.parent.name}/{run.name}")
    line_of = {
        "train": rf"^radii (train .* --out {place})$",
        "vote": rf"^radii (vote {place} (?!.*--out).*)$",
        "vote-sequential": rf"^radii (vote {place} .* --out {place}/votes-sequential\.parquet)$",
    }
    (line,) = re.findall(line_of[command], (run.parent / "README.md").read_text(), re.M)
    found = SimpleNamespace()

    def train(recipe, data, folder, progress, classifier):
        behind = digest(classifier) if classifier else ""
        found.__dict__.update(recipe=replace(recipe, classifier=behind), folder=folder)

    def draw(source, loaded, plan, seed, *_):
        smoothed, data = loaded
        found.__dict__.update(smoothed=smoothed, data=data, plan=plan, seed=seed)

    monkeypatch.setattr("radii.data.load_data", blank)
    monkeypatch.setattr("radii.training.train", train)
    monkeypatch.setattr("radii.cli.vote.sample", draw)
    monkeypatch.setattr(sys, "argv", ["radii", *shlex.split(line)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return found


def as_stored(plan: radii.Fixed | radii.Sequential, stored: object) -> object:
    """The plan with the levels of the stored one, which is older than their rounding, if only that sets them apart."""
    if not isinstance(plan, radii.Sequential) or not isinstance(stored, radii.Sequential):
        return plan
    np.testing.assert_allclose(1 - np.array(stored.levels), 1 - np.array(plan.levels), rtol=2**-19)
    return replace(plan, levels=stored.levels)


@pytest.mark.parametrize("noise, sigma", [("laplace", 0.25), ("laplace", 0.5), ("laplace", 1.0)])
def test_the_readme_trains_under_the_noise_that_names_the_run(noise, sigma, monkeypatch) -> None:
    found = asked("train", FOLDER / f"{noise}-{sigma:g}", monkeypatch)
    assert (found.recipe.noise, found.recipe.sigma, found.recipe.data) == (noise, sigma, "cifar10")
    assert found.folder == Path("results/cifar10") / f"{noise}-{sigma:g}"


@each_run
def test_the_commands_of_the_readme_made_the_run(run, tmp_path, monkeypatch) -> None:
    from radii.training.run_folder import load_config

    # all runs but their votes, beside each other
    for one in EVERY:
        copy = tmp_path / one.relative_to(ROOT)
        copy.mkdir(parents=True)
        for name in ("model.safetensors", "config.json"):
            (copy / name).symlink_to(one / name)
    monkeypatch.chdir(tmp_path)
    assert load_config(run).recipe == asked("train", run, monkeypatch).recipe
    for path in sorted(run.glob("votes*.parquet")):
        found, votes = asked(path.stem.replace("votes", "vote"), run, monkeypatch), radii.load_votes(path)
        assert digest(found.smoothed.model) == votes.model, "these votes are of other weights"
        assert (found.smoothed.noise, found.smoothed.precision) == (votes.noise, votes.precision)
        assert found.smoothed.compile == ("compiler" in votes.software)
        assert found.smoothed.exact_arithmetic == votes.exact_arithmetic
        assert (as_stored(found.plan, votes.plan), found.seed) == (votes.plan, votes.seed) and votes.complete
        assert found.data.identity == votes.data
        assert np.array_equal(found.data.index, votes.index)


@stored
def test_the_readme_names_no_votes_that_are_not_there() -> None:
    named = re.findall(r"--out results/cifar10/(\S+\.parquet)$", (FOLDER / "README.md").read_text(), re.M)
    assert set(named) == {str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/votes-*.parquet")}


@stored
def test_attacks_are_those_of_the_readme_on_all_that_is_certified_and_refute_nothing() -> None:
    line = r"^radii attack results/cifar10/(\S+)/votes\.parquet --norm (\w+)(?: --k (\d))? .* --out (\S+)$"
    commands = re.findall(line, (FOLDER / "README.md").read_text(), re.M)
    assert all(out == f"results/cifar10/{run}/attacks" for run, _, _, out in commands)
    named = [(run, norm, int(k or 1)) for run, norm, k, _ in commands]
    made = {f"{run}/attacks/{attacks_name(Path('votes'), norm, k)}" for run, norm, k in named}
    assert made and made == {str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/attacks/*")}
    for run, norm, k in named:
        path = FOLDER / run / "votes.parquet"
        one = radii.certify(radii.load_votes(path), norm, k=k, alpha=1e-3)
        found = found_beside(path, {(norm, k): one})[norm, k]
        assert (found[one.radius == 0] == np.inf).all() and np.isfinite(found).any()
        assert not exceeds_chance(int((found <= one.radius).sum()), int((one.radius > 0).sum()), 1e-3)


@each_run
def test_a_run_is_whole_small_and_on_the_usual_images(run) -> None:
    sizes = {path.name: path.stat().st_size for path in run.iterdir() if path.is_file()}
    assert {"model.safetensors", "config.json", "metrics.csv", "votes.parquet"} <= set(sizes)
    assert sizes["model.safetensors"] <= 5 * MEGABYTE
    index = radii.load_votes(run / "votes.parquet").index
    assert index.tolist() == [position for position in range(0, 10_000, 20) if position != 7580]


@stored
def test_all_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.parent.rglob("*") if path.is_file()) < 45 * MEGABYTE


@stored
def test_the_headline_follows_from_the_votes() -> None:
    headline = runpy.run_path(str(ROOT / "tools" / "headline.py"))["headline"]
    votes = [radii.load_votes(path) for path in sorted(FOLDER.glob("*/votes*.parquet"))]
    assert (FOLDER / "tables.md").read_text() == headline(votes), "make results"


def made_by() -> str:
    """The commands of `make results`."""
    return subprocess.run(
        ["make", "-n", "results"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@stored
def test_the_report_is_about_every_run() -> None:
    assert set(re.findall(r"results/cifar10/(\S+)/votes\.parquet", made_by())) == {run.name for run in RUNS}


def texts(page: Path) -> list[str]:
    """All that a page and its figures tell, without its program and the data for it."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r">\s*([^<>]*[^<>\s])\s*<", shown)


@pytest.mark.slow
@stored
def test_the_stored_page_tells_what_the_present_code_tells(tmp_path, monkeypatch) -> None:
    (command,) = re.findall(r"radii (report .*) --out \S+$", made_by().replace("\\\n", ""), re.M)
    monkeypatch.chdir(ROOT)
    fine(*shlex.split(command), "--out", tmp_path)
    kept = texts(FOLDER / "report" / "index.html")
    assert len(kept) > 1000 and kept == texts(tmp_path / "index.html"), "make results"


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """The runs as `make results` compares them."""
    paths = [run / "votes.parquet" for noise in radii.NOISES for run in RUNS if run.name.startswith(noise)]
    found = certify_all(load_named(paths), list(radii.NORMS), [1, 2, 3, 4, 5], unit="pixel")
    return [Run(name, certificates) for name, certificates in found.items()]


@stored
def test_the_certificates_follow_from_the_votes(runs) -> None:
    for run in runs:
        kept = (FOLDER / "report" / "certificates" / f"{run.slug}.csv").read_text()
        (head, *one), (names, *other) = (
            list(csv.reader(text.splitlines())) for text in (kept, run_csv_text(run.certificates))
        )
        assert head == names and [[cell == "" for cell in row] for row in one] == [
            [cell == "" for cell in row] for row in other
        ]
        # another processor may differ in the last digit
        numbers = [np.array([[float(cell or 0) for cell in row] for row in rows]) for rows in (one, other)]
        np.testing.assert_allclose(*numbers, rtol=0, atol=2e-7, err_msg="make results")


@stored
def test_the_tables_of_the_report_follow_from_the_votes(runs) -> None:
    written = (FOLDER / "report" / "tables.md").read_text()
    tables = all_tables(runs, published=load_published("cifar10"))
    assert written.count("## ") == len(tables) == 20
    assert all(table_markdown(table) in written for table in tables), "make results"
