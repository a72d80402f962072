"""Several runs as an ensemble, and mirror averages, in the commands."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import radii
from commands import call, fine, tree
from radii.cli.options import load_named
from radii.models import Ensemble, Mirrored, digest, make_model
from radii.training.recipe import Recipe
from radii.training.run_folder import Config, load_run, save_config, save_model

SHAPE, CLASSES = (1, 8, 8), tuple("0123456789")
RECIPE = Recipe("digits", "small-cnn", "gaussian", 0.25)
SMALL = ("--n", 20, "--n0", 5, "--limit", 4)


def save_run(folder: Path, seed: int, **changes) -> Path:
    """Write a run folder of a network with fresh weights; `changes`: fields of its configuration."""
    config = replace(Config(RECIPE, SHAPE, CLASSES), **changes)
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_model("small-cnn", config.shape, len(config.classes)).eval()
    save_config(folder, config)
    save_model(folder, model, config)
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    return [save_run(tmp_path / f"run{seed}", seed) for seed in range(3)]


def test_several_runs_are_an_ensemble(runs: list[Path], tmp_path: Path) -> None:
    said = fine("vote", *runs, *SMALL)
    assert f"Ensemble of {', '.join(map(str, runs))}\n" in said
    assert "Next: radii certify run0+run1+run2.votes.parquet" in said
    votes = radii.load_votes(tmp_path / "run0+run1+run2.votes.parquet")
    models = [load_run(run)[0] for run in runs]
    assert votes.model == digest(Ensemble(models)) == f"probabilities({', '.join(map(digest, models))})"
    assert votes.noise == radii.Gaussian(0.25)
    expected = radii.Smoothed(Ensemble(models), votes.noise)
    data = radii.data.load_data("digits").first(4)
    assert (votes.counts == expected.vote(data, plan=radii.fixed(20, 5)).counts).all()
    assert "Nothing to do: the votes are complete." in fine("vote", *runs, *SMALL)


def test_mirror_averages_have_files_of_their_own(runs: list[Path]) -> None:
    said = fine("vote", runs[0], "--mirror", *SMALL)
    assert f"{runs[0]}, averaged with mirror images\n" in said
    fine("vote", runs[0], *SMALL)
    fine("vote", runs[0], runs[1], "--mirror", *SMALL)
    models = [load_run(run)[0] for run in runs[:2]]
    for path, model in {
        runs[0] / "mirrored.votes.parquet": Mirrored(models[0]),
        runs[0] / "votes.parquet": models[0],
        Path("run0+run1.mirrored.votes.parquet"): Mirrored(Ensemble(models)),
    }.items():
        assert radii.load_votes(path).model == digest(model)


def test_votes_of_another_set_of_members_are_never_taken_for_these(runs: list[Path], tmp_path: Path) -> None:
    line = (*SMALL, "--out", tmp_path / "votes.parquet")
    fine("vote", *runs, *line)
    before = tree(tmp_path)
    for other in (runs[:2], runs[::-1], runs[:1], [*runs, "--mirror"]):
        ended = call("vote", *other, *line)
        assert ended.status == 2 and "votes.parquet exists, with model " in ended.err
    assert tree(tmp_path) == before


def test_parts_of_another_set_of_members_are_not_continued(runs: list[Path], tmp_path: Path) -> None:
    line = (*SMALL, "--part-size", 25, "--out", tmp_path / "votes.parquet")
    fine("vote", *runs[:2], *line, "--shard", "1/2")
    before = tree(tmp_path)
    for other in (runs, runs[1::-1], [*runs[:2], "--mirror"]):
        ended = call("vote", *other, *line, "--shard", "2/2")
        assert ended.status == 2 and "model" in ended.err
    assert tree(tmp_path) == before
    fine("vote", *runs[:2], *line, "--shard", "2/2")
    fine("merge", tmp_path / "votes.parts")
    assert radii.load_votes(tmp_path / "votes.parquet").counts.sum() == 80


def test_tables_tell_ensembles_and_mirror_averages_apart(runs: list[Path]) -> None:
    fine("vote", runs[0], *SMALL)
    fine("vote", runs[0], "--mirror", *SMALL)
    fine("vote", *runs, *SMALL)
    fine("vote", *runs, "--mirror", *SMALL)
    paths = [
        runs[0] / "votes.parquet",
        runs[0] / "mirrored.votes.parquet",
        Path("run0+run1+run2.votes.parquet"),
        Path("run0+run1+run2.mirrored.votes.parquet"),
    ]
    assert [*load_named(paths)] == [
        "Gaussian",
        "Gaussian, mirrored",
        "Gaussian, ensemble",
        "Gaussian, mirrored ensemble",
    ]
    fine("report", *paths, "--norm", "l2", "--out", "report")
    page = Path("report/index.html").read_text()
    # each member by 12 digits of its digest
    short = [digest(load_run(run)[0])[:12] for run in runs]
    assert f"mirrored-probabilities(probabilities({', '.join(short)}))" in page
    assert not re.search("[0-9a-f]{64}", page[page.index("model digests") :][:400])


def test_an_attack_loads_the_same_ensemble(runs: list[Path]) -> None:
    fine("vote", *runs[:2], "--mirror", *SMALL)
    votes = "run0+run1.mirrored.votes.parquet"
    line = ("attack", votes, "--steps", 1, "--eot-samples", 2, "--n", 20)
    named = ("--run", runs[0], "--run", runs[1])
    fine(*line, *named, "--mirror")
    for wrong in (named, (*named[2:], *named[:2], "--mirror"), (*named[:2], "--mirror")):
        ended = call(*line, *wrong)
        assert ended.status == 2 and "another model than the one that gave these votes" in ended.err


def test_an_ensemble_is_served(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr("radii.serving.run", lambda service, *_: served.append(service))
    fine("serve", *runs[:2], "--mirror", "--port", 0, "--n", 100)
    assert len(served) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (1, 9, 9)}, "was trained with images of the shape (1, 9, 9)"),
        ({"classes": CLASSES[:9]}, "was trained with the classes"),
        ({"classes": CLASSES[::-1]}, "was trained with the classes"),
        ({"recipe": replace(RECIPE, sigma=0.5)}, "was trained with the noise gaussian:sigma=0.5"),
        ({"recipe": replace(RECIPE, noise="laplace")}, "was trained with the noise laplace"),
    ],
)
def test_runs_that_differ_make_no_ensemble(
    runs: list[Path], tmp_path: Path, changes: dict, words: str
) -> None:
    other, before = save_run(tmp_path / "other", 5, **changes), tree(tmp_path)
    ended = call("vote", runs[0], other, *SMALL)
    assert ended.status == 2 and "the runs of an ensemble must be alike" in ended.err and words in ended.err
    assert tree(tmp_path) == before


def test_what_is_no_ensemble_ends_in_one_sentence(runs: list[Path]) -> None:
    Path("given.py").write_text("def model(images):\n    return images.flatten(1)[:, :10]\n")
    external = ("--data", "digits", "--noise", "gaussian")
    for arguments, words in (
        ((runs[0], runs[0]), "a run is given twice"),
        ((runs[0], "given:model"), "an ensemble consists of run folders, and given:model is none"),
        (("given:model", "given:model", *external), "an ensemble consists of run folders"),
        ((runs[0], "nowhere"), "nowhere is not a run folder"),
        ((*runs, "--noise", "laplace"), "--noise is for models not trained by radii train"),
        (("given:model", *external, "--mirror"), "what is mirrored must be a torch module; got function"),
    ):
        ended = call("vote", *arguments, *SMALL)
        assert ended.status == 2 and words in ended.err and "Traceback" not in ended.err


def test_other_modules_can_be_mirrored(runs: list[Path]) -> None:
    # a name of its own: Python imports a module once
    Path("mirrorable.py").write_text(
        "from radii.training.run_folder import load_run\nmodel = load_run('run0')[0]\n"
    )
    said = fine("vote", "mirrorable:model", "--data", "digits", "--noise", "gaussian", "--mirror", *SMALL)
    assert "Averaged with mirror images" in said
    assert radii.load_votes("model.mirrored.votes.parquet").model == digest(Mirrored(load_run(runs[0])[0]))


def test_symmetric_splitting_noise_trains_and_votes(tmp_path: Path) -> None:
    noise = ("--noise", "splitting:symmetric=1", "--sigma", 0.02)
    run = tmp_path / "run"
    fine("train", "--data", "digits", *noise, "--epochs", 1, "--out", run)
    fine("vote", run, "--mirror", "--limit", 2)
    votes = radii.load_votes(run / "mirrored.votes.parquet")
    assert votes.noise == radii.Splitting(0.02, symmetric=1) and votes.counts.sum(1).tolist() == [18, 18]
    assert "certified accuracy" in fine("certify", run / "mirrored.votes.parquet", "--norm", "l1")
