"""The commands: what they print and write is what the functions give, and every mistake ends in one sentence."""

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.main import get_command

import radii
from commands import call, fine, tree
from driven import Command, held_at, kill, read
from patience import wait_until
from radii.certificates.costs import Work
from radii.cli import app
from radii.cli.options import load_named
from radii.data import load_data
from radii.noises import NOISES, make_noise
from radii.report.accuracy import summarize
from radii.report.export import csv_text, run_csv_text, summary
from radii.report.formatting import floor_text, radius_text
from radii.report.html import choose_examples
from radii.storage import parquet
from radii.votes import FORMAT, ImageIdentity
from vote_factory import make_votes

IMAGES = 60


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """One model, its votes, and what was printed on the way."""
    folder = tmp_path_factory.mktemp("work")
    run, votes = folder / "run", folder / "run" / "votes.parquet"
    printed = fine(
        "train", "--data", "digits", "--noise", "laplace", "--sigma", 0.4, "--epochs", 1, "--out", run
    )
    printed += fine("vote", run, "--n", 100, "--n0", 20, "--limit", IMAGES)
    bare = folder / "bare.parquet"
    replace(radii.load_votes(votes), labels=None, data=None).save(bare)
    return SimpleNamespace(folder=folder, run=run, votes=votes, bare=bare, printed=printed)


# what is said and written --------------------------------------------------------------------------


def test_names_of_files_stay_in_one_row(tmp_path):
    paths = [tmp_path / f"{name}.parquet" for name in ("a\nb", "a\x1b[2J", "ä")]
    for path in paths:
        make_votes("gaussian", 0.5).save(path)
    assert [*load_named(paths)] == [r"a\nb", r"a\x1b[2J", "ä"]


def test_train_and_vote_say_what_came_and_what_comes_next(work):
    assert f"Trained small-cnn under laplace noise, sigma 0.4: {work.run}" in work.printed
    assert f"Next: radii vote {work.run}\n" in work.printed
    assert (
        f"Votes on {IMAGES} images, 100 noise samples per image: {work.votes}\nNext: radii certify"
        in work.printed
    )
    noise, shape = radii.Laplace(0.4), (1, 8, 8)
    for norm in radii.NORMS:
        unit = "pixel" if norm == "l0" else "feature"
        reach = radii.reachable_radius(noise, norm, 100, classes=10, shape=shape, unit=unit)
        assert f"{norm} {radius_text(reach, norm)}" in work.printed
    assert (work.run / "metrics.csv").read_text().splitlines()[1].startswith("1,")
    assert {path.name for path in work.run.iterdir()} == {
        "config.json",
        "metrics.csv",
        "model.safetensors",
        "tensorboard",
        "votes.parquet",
    }


def test_votes_of_the_command_are_those_of_the_function(work):
    from radii.sampling import Smoothed
    from radii.training.run_folder import load_run

    model, config = load_run(work.run)
    expected = Smoothed(model, config.recipe.law()).vote(
        load_data("digits").first(IMAGES), plan=radii.fixed(100, 20)
    )
    votes = radii.load_votes(work.votes)
    np.testing.assert_array_equal(votes.counts, expected.counts)
    np.testing.assert_array_equal(votes.labels, expected.labels)
    assert str(votes.data) == f"digits test, first {IMAGES} of 355"


def test_votes_that_are_there_are_not_drawn_again(work, tmp_path):
    """A share that a scheduler starts twice, the second time when all is merged, has not failed."""
    line = ("vote", work.run, "--n", 60, "--limit", 8, "--out", tmp_path / "votes.parquet")
    fine(*line)
    written = (tmp_path / "votes.parquet").read_bytes()
    for more in ((), ("--shard", "2/3"), ("--workers", 2)):
        said = fine(*line, *more)
        assert "Nothing to do: the votes are complete." in said and "Next: radii certify" in said
    for more, words in (
        (("--seed", 1), "votes.parquet exists, with seed 0, not 1: choose another file with --out"),
        (("--n", 70), "exists, with plan n 60, not 70"),
        (("--limit", 9), "exists, with "),
    ):
        ended = call(*line, *more)
        assert ended.status == 2 and words in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["votes.parquet"]
    assert (tmp_path / "votes.parquet").read_bytes() == written
    (tmp_path / "votes.parquet").write_text("something else")
    ended = call(*line)
    assert ended.status == 2 and "votes.parquet exists, and holds no votes" in ended.err
    assert (tmp_path / "votes.parquet").read_text() == "something else"


def test_another_model_is_named_before_the_processor_that_ran_it(work, tmp_path):
    other = replace(radii.load_votes(work.votes), model="another", devices=("elsewhere",))
    other.save(tmp_path / "votes.parquet")
    ended = call("vote", work.run, "--n", 60, "--limit", 8, "--out", tmp_path / "votes.parquet")
    assert ended.status == 2 and "exists, with model another, not " in ended.err


def test_radii_and_norms_that_do_not_fit_are_refused(work):
    ended = call("certify", work.votes, "--norm", "linf", "--radii", "l2:0.5")
    assert ended.status == 2 and "--radii are about l2, but --norm also asks for linf" in ended.err


def test_vote_and_serve_print_the_largest_l0_radius_in_its_unit(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x_train=images, y_train=np.arange(8) % 2, x_test=images, y_test=[1] * 8)
    run, noise = tmp_path / "run", radii.Gaussian(0.5)
    fine("train", "--data", tmp_path / "colour.npz", "--noise", "gaussian", "--epochs", 1, "--out", run)
    monkeypatch.setattr("radii.serving.run", lambda *_: None)
    settings = {"classes": 2, "shape": (3, 8, 8)}
    for unit, radius in (("pixel", 0), ("feature", 1)):
        voted = ("vote", run, "--n", 1000, "--limit", 1, "--out", tmp_path / f"{unit}.parquet")
        served = ("serve", run, "--n", 1000, "--port", 0)
        assert radii.reachable_radius(noise, "l0", 1000, method="binary", unit=unit, **settings) == radius
        for command in (voted, served):
            assert f"alpha 0.001: l0 {radius}, l1 " in fine(*command, "--l0-unit", unit)


def test_vote_takes_every_so_many(work, tmp_path):
    fine(
        "vote",
        work.run,
        "--n",
        11,
        "--n0",
        0,
        "--stride",
        100,
        "--split",
        "train",
        "--out",
        tmp_path / "v",
    )
    votes = radii.load_votes(tmp_path / "v")
    assert votes.index.tolist() == list(range(0, 1442, 100)) and str(votes.data).startswith("digits train")


def test_vote_leaves_images_out(work, tmp_path):
    votes = tmp_path / "votes.parquet"
    chosen = ("--stride", 20, "--exclude", 40, "--exclude", 300, "--limit", 15)
    fine("vote", work.run, "--n", 11, "--n0", 0, *chosen, "--out", votes)
    found = radii.load_votes(votes)
    assert found.index.tolist() == [0, 20, *range(60, 300, 20), 320]
    assert str(found.data) == "digits test, first 15 of every 20th of 355 without 40, 300"
    np.testing.assert_array_equal(found.labels, load_data("digits").at(found.index).labels)
    fine("certify", votes, "--norm", "l0", "--box")  # finds the images by these words


PLANS = {
    "sequential": ("--radii", "l1:1/4", "--radii", 0.1, "--n-max", 400),
    "predicted": ("--radii", 0.1, "--n0", 30, "--alpha", 0.01, "--exact-arithmetic", "--n-max", 400),
    "top-k": ("--plan", "top-k", "--norm", "l1", "--radii", 0.25, "--k", 2, "--n-max", 400),
    "two-stage": ("--plan", "two-stage", "--norm", "l1", "--n-max", 400),
    "anytime": ("--plan", "anytime", "--seconds", 0.05, "--n-max", 400),
}


@pytest.mark.parametrize("name", PLANS)
def test_vote_by_plans_that_stop_early(work, tmp_path, name):
    votes, options = tmp_path / "votes.parquet", PLANS[name]
    printed = fine("vote", work.run, "--limit", 15, *options, "--out", votes)
    found = radii.load_votes(votes)
    assert (
        found.plan.n_max == 400
        and f"Votes on 15 images, {np.ceil(found.samples.mean()):,.0f} noise samples per image on average"
        in printed
    )
    assert len(set(found.counts.sum(1))) > 1 or name == "anytime"
    following = printed.split("Next: radii ")[1].split()
    certified = fine(*following)
    if name == "sequential":
        asked = [radii.certify(found, norm).accuracy([at])[0] for norm, at in (("l1", 0.25), ("l2", 0.1))]
        rows = [line.split() for line in certified.splitlines() if line.split()[:1] == ["Laplace"]]
        assert [row[3] for row in rows] == [f"{share:.1%}" for share in asked]
    pilot = ", with a pilot" if name == "two-stage" else ""
    mean = f"{np.ceil(found.samples.mean()):,.0f} on average{pilot}"
    assert f"n = up to 400 ({mean}) noise samples per image" in certified
    known = {"noise": radii.Laplace(0.4), "shape": (1, 8, 8)}
    if name == "sequential":
        questions = [
            radii.RadiusTarget(norm=norm, radii=(at,), **known) for norm, at in (("l1", 0.25), ("l2", 0.1))
        ]
        assert found.plan == radii.sequential(*questions, n_max=400)
        for question in questions:
            reached = radii.certify(found, question.norm).radius >= question.radii[0]
            assert 0 < reached.sum() < 15
    if name == "predicted":
        fine("certify", votes, "--alpha", 0.01)  # labels are those that the plan watched
        assert following[-6:] == ["--alpha", "0.01", "--labels", "predicted", "--radii", "l2:0.1"]
        question = radii.RadiusTarget(norm="l2", radii=(0.1,), exact_arithmetic=True, **known)
        assert found.plan == radii.sequential(question, alpha=0.01, n_max=400, selection=30)
    if name == "top-k":
        question = radii.RadiusTarget(norm="l1", radii=(0.25,), k=2, **known)
        assert found.plan == radii.sequential_top_k(question, n_max=400)
    if name == "two-stage":
        assert found.plan == radii.two_stage(norm="l1", n_max=400, **known)
    if name in ("sequential", "two-stage"):
        fine("report", votes, "--norm", "l1", "--k", 1, "--out", tmp_path / "report")
        assert "up to 400 (" in (tmp_path / "report" / "index.html").read_text()


VARIANTS = {
    "plain": ((), {}),
    "top-k-set": (("--labels", "top-k-set"), {"labels": "top-k-set"}),
    "predicted": (("--labels", "predicted", "--alpha", 0.01), {"labels": "predicted", "alpha": 0.01}),
    "simultaneous": (("--method", "simultaneous"), {"method": "simultaneous"}),
    "joint": (("--joint",), {"jointly": True}),
    "box": (("--box", "--l0-unit", "feature"), {"unit": "feature", "images": ...}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_certify_prints_and_writes_what_the_function_gives(work, tmp_path, variant):
    options, settings = VARIANTS[variant]
    printed = fine("certify", work.votes, "--k", 1, "--k", 3, *options, "--out", tmp_path)
    assert len(tree(tmp_path)) == 16
    said = " ".join(printed.split()).count("; perturbations keep images in [0, 1]")
    assert said == (4 if variant == "box" else 0)
    for norm in radii.NORMS:
        for k in (1, 3):
            refined = {"l0": ("unit", "images"), "l1": ("images",)}.get(norm, ())
            own = {
                name: value
                for name, value in settings.items()
                if name not in ("unit", "images") or name in refined
            }
            if norm == "l0":
                own = {"unit": "pixel", **own}
            if "images" in own:
                own["images"] = load_data("digits").first(IMAGES).images()
            expected = radii.certify(radii.load_votes(work.votes), norm, k=k, **own)
            stem = f"laplace-{norm}-top{k}" + "-joint" * (variant == "joint")
            assert (tmp_path / f"{stem}.csv").read_text() == csv_text(expected)
            written = json.loads((tmp_path / f"{stem}.json").read_text())
            assert written == json.loads(json.dumps(summary(expected)))
            assert written["box"] == ("images" in own) and written["jointly"] == (variant == "joint")
            assert ("for all k and norms at once" in written["guarantee"]) == (variant == "joint")
            assert written["all_images"]["guarantee"] in " ".join(printed.split())
            found = summarize(expected)
            row = next(
                line.split()
                for line in printed.split("certified ")[
                    1 + 2 * radii.NORMS.index(norm) + (k == 3)
                ].splitlines()
                if line.split()[:1] == ["Laplace"]
            )
            assert row[1:3] == [f"{found.plain_accuracy:.1%}", f"{found.certified:.1%}"]
            assert row[-len(found.statuses) - 1 : -1] == [f"{share:.1%}" for share in found.statuses.values()]
            assert row[-1] == radius_text(found.median_radius, norm)
    subject = "for all k and norms hold together" if variant == "joint" else "for its image"
    assert f"{subject} with probability {1 - settings.get('alpha', 0.001):g}; n = 100 noise" in printed


def test_votes_without_labels_are_certified_too(work):
    printed = fine("certify", work.bare, "--labels", "predicted", "--norm", "l2")
    one = radii.certify(radii.load_votes(work.bare), "l2", labels="predicted")
    assert "true labels unknown" in printed and floor_text(one.radius.max(), 3) in printed
    assert "carry no true labels" in call("certify", work.bare).err


def test_files_of_one_noise_are_told_apart(work, tmp_path):
    paths = [tmp_path / "a" / "v.parquet", tmp_path / "b" / "v.parquet"]
    for path in paths:
        radii.load_votes(work.votes)[:10].save(path)
    printed = fine("certify", work.votes, *paths, "--norm", "l2")
    assert all(f"\n {name} " in printed for name in ("run", "a", "b"))
    paths.append(tmp_path / "c" / "a" / "v.parquet")
    radii.load_votes(work.votes)[:10].save(paths[-1])
    printed = fine("certify", *paths, "--norm", "l1")
    assert all(f"\n {name}/v.parquet " in printed for name in ("a", "b", "c/a"))
    assert (
        call("certify", paths[0], paths[0]).err == "radii: a votes file is given twice: give each file once\n"
    )


def test_report_shows_every_run(work, tmp_path):
    other = tmp_path / "g" / "votes.parquet"
    replace(radii.load_votes(work.votes), noise=radii.Gaussian(0.4)).save(other)
    out = tmp_path / "page"
    printed = fine(
        "report", work.votes, other, "--norm", "l1", "--k", 1, "--k", 2, "--title", "Mine", "--out", out
    )
    assert f"Report: {out}/index.html" in printed and "no example images" not in printed
    page = (out / "index.html").read_text()
    assert "Mine" in page and "Laplace" in page and "Gaussian" in page and "data:image/png" in page
    assert {path.name for path in (out / "certificates").iterdir()} == {"laplace.csv", "gaussian.csv"}
    found = {("l1", k): radii.certify(radii.load_votes(work.votes), "l1", k=k) for k in (1, 2)}
    assert (out / "certificates" / "laplace.csv").read_text() == run_csv_text(found)


def test_report_chooses_images_by_the_k_that_their_cards_show(work, tmp_path):
    votes, chosen = radii.load_votes(work.votes), {}
    for k in (1, 2):
        chosen[k] = votes.index[choose_examples(radii.certify(votes, "l1", k=k))].tolist()
    assert chosen[1] != chosen[2]
    for order in ((1, 2), (2, 1)):
        fine("report", work.votes, "--norm", "l1", *(f"--k={k}" for k in order), "--out", tmp_path)
        page = (tmp_path / "index.html").read_text()
        assert list(map(int, re.findall(r"image (\d+)</span>", page))) == chosen[1]
        assert page.count("label, k = 1</th>") == len(chosen[1])


def test_votes_without_a_rule_for_the_norm_are_left_out_and_that_is_said(work, tmp_path):
    replace(radii.load_votes(work.votes), noise=make_noise("ablation:kept=9", None)).save(
        tmp_path / "ablated.parquet"
    )
    files = tmp_path / "ablated.parquet", work.votes
    said = "is excluded: no rule certifies l2 under ablation noise."
    printed = fine("certify", *files, "--norm", "l2", "--out", tmp_path / "new")
    assert (
        said in " ".join(printed.split())
        and "Each radius holds for its image with probability 0.999" in printed
    )
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".csv", ".json"}
    printed = fine("report", *files, "--norm", "l2", "--no-examples", "--out", tmp_path / "page")
    assert said in " ".join(printed.split())
    assert "Laplace" in (page := (tmp_path / "page" / "index.html").read_text()) and "Ablation" not in page


@pytest.mark.parametrize("classes,ks", [(2, {1}), (3, {1, 2}), (4, {1, 2, 3}), (10, {1, 2, 3})])
def test_the_usual_ranks_of_a_report_are_those_that_there_can_be(work, tmp_path, monkeypatch, classes, ks):
    one = radii.load_votes(work.votes)
    counts, selection = (
        np.eye(1, classes, dtype=np.int64) * n.sum(1)[:, None] for n in (one.counts, one.selection)
    )
    few = replace(one, counts=counts, selection=selection, labels=0 * one.labels, classes=())
    few.save(tmp_path / "v.parquet")
    asked = []
    monkeypatch.setattr(
        "radii.report.html.write_report", lambda runs, *_, **__: asked.extend(runs[0].certificates)
    )
    fine("report", tmp_path / "v.parquet", "--norm", "l2", "--no-examples", "--out", tmp_path / "page")
    assert {k for _, k in asked} == ks


def test_report_shows_published_rows_of_the_same_data(work, tmp_path):
    ended = call("report", work.votes, "--published", "cifar10", "--out", tmp_path / "new")
    assert ended.status == 2 and "is about cifar10 test, not about digits test" in ended.err
    assert not (tmp_path / "new").exists()
    rows = tmp_path / "own.toml"
    rows.write_text(
        'data = "digits test"\n[[row]]\nname = "theirs"\nnorm = "l2"\nsigma = 0.4\nsource = "a paper"\n'
        'accuracy = { "0.5" = 0.987 }\narchitecture = "SmallCNN"\nextra_data = "none"\n'
    )
    fine("report", work.votes, "--published", rows, "--norm", "l2", "--k", 1, "--out", tmp_path / "new")
    page = (tmp_path / "new" / "index.html").read_text()
    assert "theirs [1]" in page and "[1] a paper" in page and "98.7" in page
    assert "[1] a paper" in (tmp_path / "new" / "tables.md").read_text()


def test_report_compares_one_data_set_and_says_so_before_the_work(work, tmp_path, monkeypatch):
    replace(radii.load_votes(work.votes), data=ImageIdentity("mnist5k", "test", part="all")).save(
        tmp_path / "other.parquet"
    )
    monkeypatch.setattr("radii.cli.report.certify_all", lambda *_, **__: pytest.fail("too late"))
    ended = call("report", work.votes, tmp_path / "other.parquet", "--out", tmp_path / "new")
    assert (
        ended.status == 2 and "is about digits test and" in ended.err and "is about mnist5k test" in ended.err
    )
    assert "compare runs on one data set at a time" in ended.err and not (tmp_path / "new").exists()


def test_report_on_different_images_is_about_the_common_ones_if_asked(work, tmp_path):
    votes = radii.load_votes(work.votes)
    votes[1:].save(tmp_path / "fewer.parquet")
    line = ("report", work.votes, f"Fewer={tmp_path / 'fewer.parquet'}", "--norm", "l2", "--k", 1)
    ended = call(*line, "--out", tmp_path / "new")
    assert ended.status == 2 and f"of which {len(votes) - 1} are in all runs" in ended.err
    assert "--common" in ended.err and not (tmp_path / "new").exists()
    printed = fine(*line, "--common", "--out", tmp_path / "new")
    assert "no example images" not in printed
    document = json.loads((tmp_path / "new" / "report.json").read_text())
    alone = radii.certify(votes[1:], "l2")
    for run in document["runs"]:
        assert run["images"] == len(votes) - 1
        assert run["data"]["part"] in (f"{len(votes) - 1} images in common", votes[1:].data.part)
    assert {one["results"]["plain_accuracy"] for one in document["results"]} == {alone.correct.mean()}
    votes[:1].save(tmp_path / "first.parquet")
    votes[1:].save(tmp_path / "rest.parquet")
    none = call(
        "report", tmp_path / "first.parquet", f"B={tmp_path / 'rest.parquet'}", "--common", "--norm", "l2"
    )
    assert none.status == 2 and "no image is in all runs" in none.err


def test_no_run_is_marked_as_best_among_runs_on_different_images(work, tmp_path):
    votes = radii.load_votes(work.votes)
    votes[1:].save(tmp_path / "fewer.parquet")
    votes.save(tmp_path / "same.parquet")
    for other, marked in (("fewer", False), ("same", True)):
        line = ("certify", work.votes, f"B={tmp_path / other}.parquet", "--norm", "l2", "--radii", "0.01")
        assert ("**" in call(*line, "--format", "markdown").out) == marked


def test_report_goes_without_images_that_are_not_at_hand(work, tmp_path, monkeypatch):
    from radii.report.html import page

    monkeypatch.setattr("radii.report.html.write_report", lambda *_, examples, **__: tmp_path / str(examples))
    votes = replace(radii.load_votes(work.votes), data=ImageIdentity("mine", "test", part="all"))
    votes.save(tmp_path / "v")
    printed = fine("report", tmp_path / "v", "--norm", "l2", "--out", tmp_path)
    assert (
        "The page has no example images: unknown data set 'mine'" in printed and f"{tmp_path}/None" in printed
    )
    assert page
    printed = fine("report", work.votes, "--no-examples", "--norm", "l2", "--out", tmp_path)
    assert "example images" not in printed and f"{tmp_path}/None" in printed


def test_lists(tmp_path):
    printed = fine("data")
    assert all(name in printed for name in ("mnist5k", "digits", "cifar10", "wrn-40-2, 90 epochs"))
    assert fine("data", "digits").splitlines()[1] == "digits test: 355 images of (1, 8, 8), 10 classes"
    printed = fine("noises", "--norm", "l2", "--p", 0.9, "--sigma", 0.25)
    radius = radii.certified_radius(radii.Gaussian(0.25), "l2", np.array([0.9]), shape=(3, 32, 32))[0]
    ruled = sum("l2" in kind.rules for kind in radii.NOISES.values())
    assert radius_text(radius, "l2") in printed and printed.count(" l2 ") == ruled
    assert "generalized-normal:exponent=4 " in printed, "names are never cut"
    assert "p = 0.9, sigma = 0.25" in printed
    assert "a pixel is" not in fine("noises", "--norm", "l1", "--shape", "100")


def test_plan_says_what_the_plan_says():
    asked = ("--p", 0.9, "--p", 0.99, "--radii", 0.5, "--radii", 0.25, "--sigma", 0.25, "--n-max", 20_000)
    lines = fine("plan", *asked, "--batch-size", 16).splitlines()
    question = radii.RadiusTarget(radii.Gaussian(0.25), "l2", (0.25, 0.5), (3, 32, 32))
    plan = radii.sequential(question, n_max=20_000, batch=16)
    for p, first in ((0.9, 1), (0.99, 3)):
        found = plan.operating_characteristics(p)
        shown = lines[first].split()
        draws = [f"{p:g}", f"{found.mean_samples:.1f}", str(found.quantile(0.5)), str(found.quantile(0.95))]
        assert shown[:4] == draws and shown[4] == "0.25" and shown[6] == f"{found.certified[0]:.2%}"
        assert lines[first + 1].split()[:3:2] == ["0.5", f"{found.certified[1]:.2%}"]
    farthest = radius_text(question.farthest(20_000, 1e-3), "l2")
    assert lines[-1] == f"The largest that 20000 samples can certify: {farthest}"
    printed = fine("plan", "--norm", "l0", "--radii", 1, "--sigma", 2, "--noise", "laplace", "--k", 3)
    assert "a place in the top 3" in printed and "changed pixels" in printed
    assert "1/255" in fine("plan", "--norm", "linf", "--radii", 1 / 255)
    assert fine("plan", "--radii", "linf:2/255") == fine("plan", "--norm", "linf", "--radii", 2 / 255)


WHOLE = ("--images", 50_000, "--classes", 1000, "--passes-per-second", 3000, "--devices", 8, "--price", 2.5)


def costs(*arguments):
    """The cells of the table that `radii plan` prints about a whole data set, by row, and what comes after it."""
    printed = fine("plan", *arguments)
    about, rest = printed.split("Votes on ")[1].split("fixed: ")
    # below the title and the heads
    lines = about.splitlines()[2:]
    assert max(map(len, lines)) <= 100
    rows = [line.strip() for line in lines]
    return {words: cells for words, *cells in (re.split(r" {2,}", row) for row in rows if row)}, rest


def test_plan_says_what_a_whole_data_set_costs():
    found, rest = costs(*WHOLE)
    assert round(Work(50_000, 1000, (100_000,), 100).file_bytes) == 13_998_315
    assert found == {
        "forward passes per image": ["100,100"],
        "forward passes": ["5,005,000,000"],
        "device-hours": ["463.4"],
        "time on 8 devices": ["2 days 10 h"],
        "cost at 2.5 per hour": ["1,158.56"],
        "votes file, about": ["14.0 MB"],
    }
    assert rest.strip() == "100,000 noise samples per image, and 100 that predict its label."
    found, rest = costs("--images", 500, "--n", 1000, "--n0", 0)
    assert found["forward passes"] == ["500,000"] and list(found) == [
        "forward passes per image",
        "forward passes",
        "votes file, about",
    ]
    assert "With --passes-per-second, the time is shown too." in rest


def test_plan_prices_the_sequential_plan_beside_the_fixed_one():
    asked = ("--radii", 0.25, "--p", 0.9, "--p", 0.999)
    found, rest = costs(*asked, *WHOLE)
    plan = radii.sequential(radii.RadiusTarget(radii.Gaussian(0.5), "l2", (0.25,), (3, 32, 32)))
    mean = (
        plan.operating_characteristics(0.9).mean_samples + plan.operating_characteristics(0.999).mean_samples
    ) / 2
    assert found["forward passes per image"] == ["100,100", f"{mean:.3g}"]
    assert found["device-hours"][1] == f"{50_000 * mean / 3000 / 3600:,.1f}"
    assert (
        "as if the labels had the probabilities 0.9, 0.999 equally often" in rest
        and "That is a guess" in rest
    )
    # what is asked about single images is said as before
    assert fine("plan", *asked, *WHOLE).startswith(fine("plan", *asked))


def test_plan_certifies_several_norms_by_the_same_samples():
    asked = {"l2": (0.25, 0.5), "l1": (0.25,), "linf": (2 / 255,), "l0": (1,)}
    questions = [
        radii.RadiusTarget(
            radii.Gaussian(0.5), norm, at, (3, 32, 32), unit="pixel" if norm == "l0" else "feature"
        )
        for norm, at in asked.items()
    ]
    plan, words = radii.sequential(*questions), ("l2:0.25", "l2:0.5", "l1:0.25", "linf:2/255", "l0:1")
    text = fine("plan", "--p", 0.8, *(one for word in words for one in ("--radii", word)))
    rows = [line.split() for line in text.splitlines() if line.rstrip().endswith("%")]
    assert [row[-5:-3] for row in rows] == [word.split(":") for word in words]
    assert rows[0][:2] == ["0.8", f"{plan.operating_characteristics(0.8).mean_samples:.1f}"]
    assert len(plan.levels) == 4 and rows[0][-3:] == rows[2][-3:], (
        "l1 and l2 are one question to Gaussian noise"
    )
    for row, question, radius in zip(rows, [0, 0, 1, 2, 3], (0, 1, 0, 0, 0), strict=True):
        assert float(row[-3]) == pytest.approx(questions[question].levels()[radius], abs=1e-9)
    shares = [
        plan.operating_characteristics(0.8).certified[np.searchsorted(plan.levels, float(row[-3]) - 1e-9)]
        for row in rows
    ]
    assert [row[-2] for row in rows] == [f"{share:.2%}" for share in shares]
    assert (
        "l2, l1, linf, l0 radii" in text
        and "0, 1] or changed pixels (l0), under" in text
        and "can certify: l2 1." in text
    )


def test_plan_learns_from_a_pilot(work):
    like = ("--noise", "laplace", "--sigma", 0.4, "--shape", "1,8,8", "--norm", "l1", "--radii", 0.2)
    found, rest = costs(*like, "--images", 1000, "--pilot", work.votes)
    votes = radii.load_votes(work.votes)
    plan = radii.sequential(radii.RadiusTarget(votes.noise, "l1", (0.2,), votes.shape))
    right = votes.counts[np.arange(IMAGES), votes.labels]
    draws = np.array([plan.operating_characteristics(count / 100).mean_samples for count in right])
    assert float(found["forward passes"][1].replace(",", "")) == pytest.approx(1000 * draws.mean(), rel=0.005)
    error = draws.std(ddof=1) / np.sqrt(IMAGES) / draws.mean()
    assert f"like the {IMAGES} of the pilot" in rest and f"standard error of {error:.0%}" in rest


def commands_in(page):
    """The names of commands that the help lists."""
    listed = page.split("─ Commands ─")[1].splitlines()[1:]
    return [line.split()[1] for line in listed if re.match("│ [a-z]", line)]


GROUPS = {
    "demo": ["Images", "Noise", "Plan", "Training", "Output"],
    "train": ["Model", "Images", "Noise", "Training", "Running", "Output"],
    "vote": ["Model", "Images", "Noise", "Plan", "Running", "Output"],
    "certify": ["Certificates", "Images", "Output"],
    "report": ["Certificates", "Images", "Page", "Output"],
    "compare": ["Comparison", "Output"],
    "gate": ["Accuracy", "Conditions", "Output"],
    "attack": ["Model", "Images", "Certificates", "Attack", "Running", "Output"],
    "serve": ["Model", "Images", "Noise", "Plan", "Running", "Server"],
    "plan": ["Images", "Noise", "Plan", "Cost", "Output"],
    "falsify": ["Images", "Noise", "Plan", "Running", "Output"],
}


@pytest.mark.parametrize("command", GROUPS)
def test_help_shows_options_in_groups(command):
    page = fine(command, "--help")
    assert re.findall("╭─ ([A-Z][a-z]+) ─", page) == [
        *["Arguments"][command in ("demo", "train", "plan") :],
        "Options",
        *GROUPS[command],
    ]


def test_help_is_no_wider_than_the_terminal_nor_than_is_read_with_ease():
    for columns, widest in ((80, 80), (100, 100), (200, 120)):
        command = [sys.executable, "-m", "radii", "vote", "--help"]
        ended = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"COLUMNS": str(columns)}
        )
        assert max(map(len, ended.stdout.splitlines())) == widest


def test_an_option_by_its_old_name_is_told_the_new_one():
    from radii.cli.options import RENAMED

    # a gate has one radius, and calls it so
    shown = "".join(fine(command, "--help") for command in commands_in(fine()) if command != "gate")
    for old, new in RENAMED.items():
        assert f"│ {new} " in shown and f"│ {old} " not in shown
        told = [call(command, old).err for command in commands_in(fine())]
        assert f"no such option: {old} is called {new} here; see radii" in "".join(told)


def test_the_help_of_each_option_is_a_phrase_of_at_most_twelve_words():
    for name, command in get_command(app).commands.items():
        for parameter in command.params:
            words = (parameter.help or "").split()
            assert 1 <= len(words) <= 12 and words[-1].endswith("."), (name, parameter.name)
        assert command.epilog.startswith(f"Example: radii {name}") and "; " not in command.epilog


def test_help_is_worth_reading():
    top = fine()
    assert top == fine("--help") and fine("--version") == f"radii {radii.__version__}\n"
    for command in (
        "demo",
        "train",
        "vote",
        "merge",
        "certify",
        "report",
        "compare",
        "gate",
        "attack",
        "serve",
        "plan",
        "data",
        "noises",
    ):
        page = fine(command, "--help")
        assert command in commands_in(top)
        assert (f"Example: radii {command} " in page and "default:" in page) or command == "data"
        assert len(page.split("╭─")[0].split()) > 30, "what goes in, what comes out"


TEXTS = """
import contextlib, inspect, io, json, sys
from radii.cli import main
from radii.report.formatting import docstring
from radii.noises import NOISES
found = {name: docstring(kind) for name, kind in NOISES.items()}
for command in sys.argv[1:]:
    shown = io.StringIO()
    sys.argv = ["radii", *command.split(), "--help"]
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main()
    found[command] = shown.getvalue()
print(json.dumps(found))
"""


def test_help_keeps_its_texts_where_python_leaves_docstrings_out():
    """And so do reports what they say of noises."""
    commands = ["", *commands_in(fine())]
    assert {"demo", "certify", "doctor"} < set(commands)
    ended = subprocess.run([sys.executable, "-OO", "-c", TEXTS, *commands], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    usual = {name: fine(*name.split(), "--help") for name in commands}
    assert json.loads(ended.stdout) == {name: inspect.getdoc(kind) for name, kind in NOISES.items()} | usual


# mistakes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(work):
    """Files that are not what they should be."""
    folder = work.folder / "broken"
    folder.mkdir()
    whole = work.votes.read_bytes()
    (folder / "short.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.parquet").touch()
    columns, header = parquet.decode(whole, work.votes, FORMAT)
    (folder / "newer.parquet").write_bytes(parquet.encode(columns, header, FORMAT + 1))
    batches = folder / "cifar" / "cifar-10-batches-bin"
    batches.mkdir(parents=True)
    (batches / "test_batch.bin").write_bytes(bytes(3073))
    for number in range(1, 6):
        (batches / f"data_batch_{number}.bin").write_bytes(bytes(3073))
    (batches / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    for name in ("unfinished", "cut"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_bytes((work.run / "config.json").read_bytes())
    weights = (work.run / "model.safetensors").read_bytes()
    (folder / "cut" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return folder


# `{run}`, `{votes}`, `{bare}`, `{broken}`, `{new}` (nothing there yet): what the sentence says
MISTAKES = {
    "certfy x": "no such command 'certfy'; did you mean 'certify'? See radii --help",
    "certify": "missing argument",
    "train --sgma 1": "no such option: --sgma; did you mean --sigma? See radii train --help",
    "train --recipe cifar10-gpu --out {new}": "unknown recipe 'cifar10-gpu'; did you mean 'cifar10-cpu'",
    "train --loss macr --out {new}": "unknown loss 'macr'; did you mean 'macer'?",
    "train --loss macer --option n=4 --out {new}": "unknown option of macer 'n'",
    "train --loss macer --option m --out {new}": "an option of a loss is NAME=VALUE",
    "train --loss denoising --out {new}": "the loss denoising is for denoisers",
    "train --data digits --model denoiser-4-8 --out {new}": "for denoisers, and denoisers need it",
    "train --denoise {new} --out {new}": "{new} is not a run folder",
    "train --denoise {run} --loss macer --out {new}": "for denoisers, and denoisers need it",
    "train --denoise {run} --model small-cnn --out {new}": "for denoisers, and denoisers need it",
    "train --denoise {run} --data mnist5k --out {new}": "{run} was trained on images of the shape (1, 8, 8)",
    "train --denoise {run} --noise ablation:kept=9 --out {new}": "denoising queries the model on images without noise",
    "vote {run} --classifier {run} --out {new}": "{run} holds no denoiser: leave the classifier {run} out",
    "train --ema 1 --out {new}": "average must be at least 0 and below 1",
    "train --epochs many": "--epochs must be a whole number; got 'many'; see radii train --help",
    "train --sigma abc": "--sigma must be a number; got 'abc'; see radii train --help",
    "train --epochs 1.5": "--epochs must be a whole number; got '1.5'",
    "plan --p x": "--p must be a number; got 'x'",
    "serve {run} --port http": "--port must be a whole number; got 'http'; see radii serve --help",
    "train --sigma": "option '--sigma' requires an argument",
    "train --noise laplac --out {new}": "unknown noise 'laplac'; did you mean 'laplace'?",
    "train --noise Laplace --out {new}": "unknown noise 'Laplace'; did you mean 'laplace'?",
    "certify {votes} --out {votes}": "a folder was expected, but {votes} is a file: choose another path",
    "report {votes} --out {votes}/page": "a folder was expected, but {votes} is a file",
    "attack {votes} --out {votes}": "a folder was expected, but {votes} is a file",
    "demo --data digits --out {votes}/new": "a folder was expected, but {votes} is a file",
    "merge {bare} --out {votes}/v.parquet": "a folder was expected, but {votes} is a file",
    "noises --norm l1 --plot {votes}/l1.png": "a folder was expected, but {votes} is a file",
    "vote {run} --out {votes}/v.parquet": "a folder was expected, but {votes} is a file",
    "vote {run} --workers 0 --out {new}": "there must be at least one worker; got 0",
    "vote {run} --worker-timeout -1 --out {new}": "must be above 0 seconds; got -1",
    "vote {run} --l0-unit pixels --out {new}": "unknown unit 'pixels'; did you mean 'pixel'?",
    "plan --images 10 --classes 10 --k 10 --radii 0.5": "k must be smaller than the number of classes, 10",
    "train --data ./nowhere --out {new}": "there is no file or folder nowhere of images",
    "train --data nowhere --out {new}": "There is no file or folder of that name here either.",
    "train --data minst5k --out {new}": "unknown data set 'minst5k'; did you mean 'mnist5k'?",
    "train --data digits --model smal-cnn --out {new}": "unknown model 'smal-cnn'; did you mean 'small-cnn'?",
    "train --data digits --model wrn-17-2 --out {new}": "depth 6 n + 4",
    "train --sigma 0 --out {new}": "sigma must be a number from 1e-09",
    "train --sigma -0.5 --out {new}": "sigma must be a number from 1e-09",
    "train --sigma nan --out {new}": "sigma must be a number from 1e-09 to 1e+09; got nan",
    "train --sigma inf --out {new}": "sigma must be a number from 1e-09 to 1e+09; got inf",
    "train --epochs 0 --out {new}": "epochs must be at least 1",
    "train --lr -1 --out {new}": "lr must be above 0",
    "train --seed -1 --out {new}": "seed must be",
    "train --data digits --out {run}": "already holds a trained model",
    "train --data digits --out {votes}": "a folder was expected, but {votes} is a file",
    "train --data cifar10 --data-dir {new} --out {new}": "the data folder {new} does not exist",
    "train --data cifar10 --data-dir {run} --out {new}": "no CIFAR-10 in {run}",
    "train --data cifar10 --data-dir {broken}/cifar --out {new}": "it has 3073",
    "vote {new}": "{new} is not a run folder: it does not exist",
    "vote {votes}": "is not a run folder: it is a file",
    "vote {run} --radii linf:-1/255 --out {new}": "above 0; got -0.003921568627",
    "certify {votes} --radii 1/0": "a radius is a number or a fraction",
    "vote {broken}/unfinished --out {new}": "the training did not finish",
    "vote {broken}/cut --out {new}": "damaged",
    "vote {run}": "{run}/votes.parquet exists",
    "vote {run} --out {run}": "{run}",
    "vote {run} --out {votes}/votes": "{votes}",
    "vote {run} --out {new} --n 0": "n must be a whole number of at least 1",
    "vote {run} --out {new} --n 10": "n = 10 samples cannot certify anything at alpha = 0.001 and k = 1",
    "vote {run} --out {new} --n 3 --alpha 0.05": "take at least 6 samples",
    "vote {run} --out {new} --alpha 0": "alpha is the probability",
    "vote {run} --out {new} --n0 -1": "selection must be",
    "vote {run} --out {new} --split tset": "unknown split 'tset'; did you mean 'test'?",
    "vote {run} --out {new} --stride 0": "got 0",
    "vote {run} --indics 2": "no such option: --indics; did you mean --indices? See radii vote --help",
    "vote {run} --out {new} --exclude 99999999999999999999": "image 99999999999999999999 cannot be left out",
    "vote {run} --out {new} --batch-size 99999999999999999999": "batch must be at most",
    "vote {run} --out {new} --n 99999999999999999999": "n must be at most",
    "vote {run} --out {new} --radii 0.1 --n-max 99999999999999999999": "n_max must be at most",
    "vote {run} --out {new} --radii 0.1 --k 99999999999999999999": "k must be at most",
    "vote {run} --radii l1:1e999999999 --out {new}": "got 'l1:1e999999999'",
    "certify {votes} --alpha 1e-320": "at least 1e-200 and below 1",
    "plan --images 9 --passes-per-second 1e-320": "passes per second must be a finite number above 0",
    "vote {run} --out {new} --stride 20 --exclude 7": "image 7 cannot be left out: it is not in digits test",
    "vote {run} --out {new} --exclude x": "--exclude must be a whole number; got 'x'",
    "vote {run} --out {new} --limit 0": "at least one image",
    "vote {run} --out {new} --seed -1": "seed must be",
    "vote {run} --out {new} --precision float23": "did you mean 'float32'",
    "vote {run} --out {new} --data-dir {new}": "the data folder {new} does not exist",
    "certify {new}": "there is no file {new}",
    "certify {run}": "{run} is a folder",
    "certify .": "'.' does not name a file",
    "merge {votes} --out /": "'/' does not name a file",
    "merge .": "'.' does not name a file",
    "merge {run} --out {new}": "{run} holds no parts: name a folder",
    "vote {run} --out .": "'.' does not name a file",
    "certify {run}/metrics.csv": "is the metrics.csv of a training, not votes: give a file that radii vote wrote",
    "certify {broken}/short.parquet": "damaged",
    "certify {broken}/empty.parquet": "is an empty file, not votes",
    "certify {run}/config.json": "is the config.json of a trained model, not votes",
    "certify {run}/model.safetensors": "is weights in a safetensors file, not votes",
    "certify {broken}/newer.parquet": "was written by a newer radii",
    "certify {votes} --norm l2 --norm linff --out {new}": "unknown norm 'linff'; did you mean 'linf'?",
    "certify {votes} --k 1 --k 0 --out {new}": "k must be a whole number of at least 1; got 0",
    "certify {votes} --k 1 --k 10 --out {new}": "k must be smaller than the number of classes, 10",
    "certify {votes} --radii 0.5 --out {new}": "the norm of the radius 0.5 is unknown: write for example l2:0.5",
    "certify {votes} --radii l9:0.5 --out {new}": "unknown norm 'l9'",
    "certify {votes} --radii l1:x --out {new}": "got 'l1:x'",
    "certify {votes} --alpha 0 --out {new}": "at least 1e-200 and below 1; got 0",
    "certify {votes} --alpha 1": "at least 1e-200 and below 1; got 1",
    "certify {votes} --alpha nan": "at least 1e-200 and below 1; got nan",
    "certify {votes} --alpha 1e-40": "take at least 134 samples",
    "certify {votes} --labels predictd": "did you mean 'predicted'?",
    "certify {votes} --norm linf --radii 8": "got 8: did you mean 8/255?",
    "certify {votes} --norm linf --eps 8/255": "--eps is called --radii here; see radii certify",
    "train --eps 8/255": "no such option: --eps; did you mean --epochs? See radii train --help",
    "certify {votes} --foo": "no such option: --foo; see radii certify --help",
    "vote {run} --out {new}.npz": "votes are written as Parquet; got {new}.npz: call it {new}.parquet",
    "merge {votes} --out {new}.csv": "votes are written as Parquet; got {new}.csv: call it {new}.parquet",
    "vote {run} --radii linf:4 --out {new}": "linf radii are at most 1, for images in [0, 1]; got linf:4",
    "plan --p 0.9 --norm linf --radii 2": "did you mean 2/255?",
    "certify {votes} --method two-evnt": "did you mean 'two-event'?",
    "certify {votes} --l0-unit pixle": "did you mean 'pixel'?",
    "certify {votes} --out {run}/metrics.csv": "{run}/metrics.csv",
    "certify {bare} --labels predicted --box": "name no data set",
    "report {votes} --norm linff --out {new}": "did you mean 'linf'?",
    "report {votes} --published cifar --out {new}": "unknown set of published results 'cifar'; did you mean 'cifar10'?",
    "report {votes} --published {new}.toml --out {new}": "there is no file {new}.toml of published results",
    "report {votes} --published cifar10 --out {new}": "is about cifar10 test, not about digits test",
    "report {votes} --data-dir {new} --out {new}": "the data folder {new} does not exist",
    "report {bare} --out {new}": "no true labels",
    "report {votes} --norm l2 --k 1 --out {run}/metrics.csv": "{run}/metrics.csv",
    "data dgits": "did you mean 'digits'?",
    "data cifar10 --data-dir {broken}/cifar": "it has 3073",
    "vote {run} --radii 0.1 --n 5 --out {new}": "--n has no meaning for the plan sequential",
    "vote {run} --n-max 50 --out {new}": "--n-max has no meaning for the plan fixed",
    "vote {run} --plan fixed --radii 1 --out {new}": "--radii has no meaning for the plan fixed",
    "vote {run} --plan two-stage --n0 9 --out {new}": "--n0 has no meaning for the plan two-stage",
    "vote {run} --plan top-k --out {new}": "the plan top-k decides given radii: give radii",
    "vote {run} --plan top-k --radii l1:1 --radii 0.1 --out {new}": "in one norm; got l1, l2",
    "vote {run} --plan sequentail --out {new}": "did you mean 'sequential'?",
    "vote {run} --radii x --out {new}": "for example 0.5 or linf:2/255; got 'x'",
    "vote {run} --radii l1:1/0 --out {new}": "got 'l1:1/0'",
    "vote {run} --radii l9:1 --out {new}": "unknown norm 'l9'",
    "vote {run} --radii 0.9 --n-max 20 --out {new}": "take at least",
    "vote {run} --seconds 1 --out {new}": "--seconds has no meaning for the plan fixed",
    "vote {run} --plan anytime --seconds 0 --out {new}": "seconds, above 0, are for",
    "plan": "missing option '--radii'",
    "plan --classes 100": "--classes is about a whole data set: give its size with --images",
    "plan --radii 0.25 --passes-per-second 9": "--passes-per-second is about a whole data set",
    "plan --images 0": "images must be a whole number of at least 1; got 0",
    "plan --images -5": "images must be a whole number of at least 1; got -5",
    "plan --images 9 --classes 1": "classes must be a whole number of at least 2; got 1",
    "plan --images 9 --n 0": "n must be a whole number of at least 1; got 0",
    "plan --images 9 --n0 -1": "selection must be a whole number of at least 0; got -1",
    "plan --images 9 --price 2": "--price needs --passes-per-second",
    "plan --images 9 --devices 2": "--devices needs --passes-per-second",
    "plan --images 9 --passes-per-second 0": "passes per second must be a finite number above 0; got 0",
    "plan --images 9 --passes-per-second -3": "passes per second must be a finite number above 0; got -3",
    "plan --images 9 --passes-per-second 3 --devices 0": "devices must be a whole number of at least 1; got 0",
    "plan --images 9 --passes-per-second 3 --price 0": "price must be a finite number above 0; got 0",
    "plan --images 9 --pilot {votes}": "give the radii to certify with --radii",
    "plan --images 9 --pilot {votes} --classes 9 --radii 1": "the pilot has 10 classes, not 9",
    "plan --images 9 --pilot {votes} --radii 0.1": "plan with --noise laplace:sigma=0.4 --shape 1,8,8",
    "plan --images 9 --pilot {new} --radii 0.1": "there is no file {new}",
    "plan --radii 0.25 --p 1.1": "p is a probability, from 0 to 1",
    "plan --radii 0.25 --sigma 0.1 --n-max 100": "take at least",
    "plan --radii 0": "radii must be finite numbers that rise, above 0; got 0",
    "plan --radii 1 --noise uniform": "certifies no l2 radius of 1",
    "plan --radii 0.25 --n-max 1000000000": "n_max must be at most",
    "noises --p 1": "p is a probability",
    "noises --p 0": "p is a probability",
    "noises --shape 3,x": "for example 3,32,32; got '3,x'",
    "noises --shape 0": "got '0'",
    "noises --norm l3": "unknown norm 'l3'",
    "noises --sigma 0": "sigma must be",
    "demo --out {new} --n 5": "n = 5 samples cannot certify anything",
    "demo --out {new} --n 0": "n must be",
    "demo --out {new} --images 0": "at least one image",
    "demo --out {new} --sigma -1": "sigma must be",
    "demo --out {new} --data cifra10": "unknown data set 'cifra10'; did you mean 'cifar10' or 'cifar100'?",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(work, broken, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    names = {
        "run": work.run,
        "votes": work.votes,
        "bare": work.bare,
        "broken": broken,
        "new": tmp_path / "new",
    }
    before = tree(work.folder)
    ended = call(*(part.format(**names) for part in line.split()))
    assert ended.status == 2
    assert ended.err.startswith("radii: ") and ended.err.count("\n") == 1 and "Errno" not in ended.err
    assert MISTAKES[line].format(**names) in ended.err
    assert "done in" not in ended.out, "it came before the work"
    assert tree(work.folder) == before and not tree(tmp_path)


@pytest.mark.parametrize("line", ["vote {run} --n 20 --limit 5 --out {new}/v", "certify {votes} --out {new}"])
def test_a_full_disk_is_said_and_leaves_nothing(work, tmp_path, monkeypatch, line):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("radii.storage.atomic.os.fsync", full)
    ended = call(
        *(part.format(run=work.run, votes=work.votes, new=tmp_path / "new") for part in line.split())
    )
    assert ended.status == 2 and ended.err.startswith(f"radii: No space left on device: {tmp_path / 'new'}")
    assert ".part " not in f"{ended.err} ".replace("\n", " ") and not tree(tmp_path)


def test_an_unwritable_folder_is_found_before_the_work(work, tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    for line in (("vote", work.run, "--n", 20), ("train", "--data", "digits")):
        ended = call(*line, "--out", tmp_path / "x")
        assert ended.status == 2 and ended.err.startswith(f"radii: Permission denied: {tmp_path / 'x'}")
        assert "done in" not in ended.out


# interruptions, and processes of their own --------------------------------------------------------


IMPORTING = """
import os, sys, time

class Held:
    # finds no module, and stands still where the first one of some name is wanted
    def find_spec(self, name, *_):
        if name == os.environ["HELD"]:
            open(os.environ["REACHED"], "w").close()
            while os.getppid() == int(os.environ["STARTER"]):
                time.sleep(0.01)

sys.meta_path.insert(0, Held())
from radii.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["numpy", "typer", "torch"])
def test_ctrl_c_during_imports_is_one_sentence(module, tmp_path):
    with Command(
        *("-c", IMPORTING, "train", "--data", "digits", "--out", tmp_path / "run"),
        log=tmp_path / "log",
        HELD=module,
        REACHED=str(tmp_path / "reached"),
        STARTER=str(os.getpid()),
    ) as command:
        wait_until(lambda: (tmp_path / "reached").exists() or not command.alive)
        kill(command.process.pid, signal.SIGINT)
        status, said = command.wait()
    assert status == 130 and said.startswith("radii: interrupted") and said.count("\n") == 1


@pytest.mark.parametrize("sign,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
def test_an_interrupted_vote_goes_on_where_it_was(work, tmp_path, sign, status, workers):
    place = tmp_path / "place"
    votes, parts = place / "votes.parquet", place / "votes.parts"
    line = ("vote", work.run, "--limit", 12, "--n", 3000, "--n0", 0, "--part-size", 3000)
    with Command(
        *("-m", "radii", *line, "--out", votes, *workers), log=tmp_path / "log", **held_at(10, tmp_path)
    ) as command:
        wait_until(lambda: len(list(parts.glob("part-*.parquet"))) >= 2 or not command.alive)
        kill(command.process.pid, sign)
        ended = command.wait()
    stored = len(list(parts.glob("part-*.parquet")))
    assert "Traceback" not in command.printed() and not votes.exists() and ended.status == status
    # one that was stored at the very moment of the signal may be missing from the number
    assert ended.err in [
        f"radii: interrupted; {count} finished {'part is' if count == 1 else 'parts are'} kept in {parts}, and the "
        "same command continues from there\n"
        for count in (stored, stored - 1)
    ]
    left = 12 - stored
    assert 0 < left < 11
    ended = call(*line, "--out", votes)
    assert ended.status == 0 and ended.err == f"radii: note: {12 - left} of 12 parts were sampled before\n"
    assert [path.name for path in place.iterdir()] == ["votes.parquet"]
    fine(*line, "--out", tmp_path / "whole")
    assert votes.read_bytes() == (tmp_path / "whole").read_bytes()


MOMENTS = {
    "before": lambda command: True,
    "one": lambda command: command.workers(),
    "both": lambda command: len(command.workers()) == 2,
    "torch": lambda command: any(b"libtorch" in read(pid, "maps") for pid in command.workers()),
}
"""In the life of the workers of a command: none is there, Python begins in one or both, one is loading torch."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_for_the_command_alone_even_while_workers_start(work, tmp_path, moment):
    """A terminal tells all processes of a command, those that only begin to load Python, too."""
    out = tmp_path / "place" / "votes.parquet"
    line = ("vote", work.run, "--limit", 12, "--n", 900, "--part-size", 900, "--workers", 2, "--out", out)
    with Command("-m", "radii", *line, log=tmp_path / "log", **held_at(0, tmp_path)) as command:
        wait_until(lambda: (out.parent / "votes.parts" / "law.json").exists() or not command.alive)
        wait_until(lambda: MOMENTS[moment](command) or not command.alive)
        os.killpg(command.process.pid, signal.SIGINT)
        status, err = command.wait()
    assert status == 130 and err.startswith("radii: interrupted") and err.count("\n") == 1


def test_an_interrupted_training_can_be_given_again(tmp_path):
    run = tmp_path / "run"
    line = ("train", "--data", "digits", "--batch-size", 1000, "--out", run)
    with Command("-m", "radii", *line, "--epochs", 10**6, log=tmp_path / "log") as command:
        wait_until(lambda: (run / "metrics.csv").exists() or not command.alive)
        kill(command.process.pid, signal.SIGINT)
        status, err = command.wait()
    assert status == 130 and err.startswith("radii: interrupted") and err.count("\n") == 1
    assert {path.name for path in run.iterdir()} == {
        "config.json",
        "metrics.csv",
        "checkpoint.safetensors",
        "tensorboard",
    }
    assert "did not finish" in call("vote", run).err
    assert "unfinished training with epochs 1000000, not 1:" in call(*line, "--epochs", 1).err
    (run / "checkpoint.safetensors").unlink()
    fine(*line, "--epochs", 1)
    assert (run / "model.safetensors").is_file() and len((run / "metrics.csv").read_text().splitlines()) == 2


def test_a_recipe_with_changes(tmp_path):
    from radii.training.run_folder import load_config

    run = tmp_path / "run"
    fine(
        *("train", "--recipe", "digits", "--epochs", 1, "--noise", "uniform", "--ema", 0.9, "--out", run),
        *("--loss", "consistency", "--option", "m=3", "--option", "weight=2.5"),
    )
    recipe = load_config(run).recipe
    assert (recipe.data, recipe.noise, recipe.epochs, recipe.average) == ("digits", "uniform", 1, 0.9)
    assert recipe.options == {"m": 3, "weight": 2.5} and recipe.loss == "consistency"


def test_certify_needs_no_torch_and_a_closed_pipe_is_no_error(work):
    code = "import sys; sys.modules['torch'] = None; from radii.cli import main; main()"
    command = [sys.executable, "-W", "error", "-c", code, "certify", str(work.votes), "--norm", "l2"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "") and "Laplace" in ended.stdout
    assert "\x1b" not in ended.stdout
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


# consoles of other letters, and outputs that take nothing ------------------------------------------

CONSOLES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
ALL = """
import shlex, sys
import radii.cli.doctor
from radii.cli import main
radii.cli.doctor._devices = lambda: ([], "")  # how fast they are takes seconds
for line in open(sys.argv[1], encoding="utf-8"):
    sys.argv = ["radii", *shlex.split(line)]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
"""
"""Commands one after the other, in one process."""
THEIRS = """data = "digits test"
[[row]]
name = "Lévy's ℓ₂ – σ"
norm = "l2"
sigma = "best"
noise = "laplace"
accuracy = {{ "0.25" = 0.5 }}
source = "Paul Lévy, 1937"
architecture = "Lévy’s"
extra_data = "none"
"""


def in_console(folder, votes, **environment):
    """What commands print to a console, as bytes, and the files that they write."""
    folder.mkdir()
    (folder / "theirs.toml").write_text(THEIRS.format(), encoding="utf-8")
    lines = [
        f"certify {' '.join(map(str, votes))} --out found",
        "noises --norm l2 --norm linf --plot rules.png",
        "plan --images 9 --radii l2:0.25 --radii linf:1/255 --shape 1,8,8",
        "data",
        "data digits",
        "doctor",
        f"report {' '.join(map(str, votes))} --norm l2 --k 1 --no-examples --published theirs.toml --title ℓ₂",
        "vote --help",
    ]
    (folder / "lines").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-c", ALL, "lines"]
    ended = subprocess.run(command, capture_output=True, cwd=folder, env=os.environ | environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout, {str(path.relative_to(folder)): content for path, content in tree(folder).items()}


@pytest.fixture(scope="module")
def as_usual(work):
    """What a console with all letters shows, of votes at two levels whose classes have accents."""
    classes = ("zéro", "один", "二", *"3456789")
    votes = [work.folder / "usual" / f"{sigma}.parquet" for sigma in (0.4, 0.8)]
    for path, sigma in zip(votes, (0.4, 0.8), strict=True):
        replace(radii.load_votes(work.votes), noise=radii.Laplace(sigma), classes=classes).save(path)
    return votes, *in_console(work.folder / "utf-8", votes, PYTHONIOENCODING="utf-8")


@pytest.mark.parametrize("name", CONSOLES)
def test_every_console_shows_which_norm_is_which(as_usual, tmp_path, name):
    votes, usual, files = as_usual
    printed, written = in_console(tmp_path / "here", votes, **CONSOLES[name])
    text = printed.decode("ascii" if name == "C" else name)
    assert written == files and {"report/tables.md", "report/index.html", "rules-linf.png"} < set(written)
    assert (
        all(f"{norm}: certified accuracy" in text for norm in radii.NORMS) and "Laplace, best sigma" in text
    )
    assert "?" not in text and "ℓ₂" in usual.decode("utf-8") and "best σ" in usual.decode("utf-8")


def test_files_are_utf_8_whatever_the_console(as_usual):
    files = as_usual[2]
    assert "ℓ₂" in files["report/tables.md"].decode("utf-8") and "Lévy" in files["report/index.html"].decode(
        "utf-8"
    )
    assert "σ" in files["report/report.json"].decode("utf-8")


def in_shell(line, folder, **how):
    """A shell's command of radii: its exit status and both outputs, as far as they are not elsewhere."""
    command = ["sh", "-c", line.replace("radii", f"{sys.executable} -m radii")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, **how)
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr
    return ended


FULL = "radii: standard output cannot be written (No space left on device): send it elsewhere\n"
OUTPUTS = {
    "radii certify {votes} --out here >&-": (0, ""),
    "radii certify {votes} --out here >&- 2>&-": (0, ""),
    "radii certify {votes} --out here <&- >&- 2>&-": (0, ""),
    "radii certify {votes} --out here > /dev/full": (2, FULL),
    "radii certify {votes} --out here > /dev/full 2>&1": (2, ""),
    "radii vote --help > /dev/full": (2, "radii: No space left on device\n"),
    "radii noises --norm l2 > /dev/full": (2, FULL),
    "radii certify nothing > /dev/full": (2, "radii: there is no file nothing\n"),
    "radii certify nothing 2>&-": (2, ""),
    "radii certify nothing 2> /dev/full": (2, ""),
    "radii certify nothing >&- 2>&-": (2, ""),
}


@pytest.mark.parametrize("line", OUTPUTS)
def test_an_output_that_takes_nothing_is_no_traceback(work, tmp_path, line):
    ended = in_shell(line.format(votes=work.votes), tmp_path)
    assert (ended.returncode, ended.stderr) == OUTPUTS[line] and ended.stdout == ""
    if "here" in line:
        fine("certify", work.votes, "--out", tmp_path / "usual")
        usual = {path.name: content for path, content in tree(tmp_path / "usual").items()}
        assert {path.name: content for path, content in tree(tmp_path / "here").items()} == usual


@pytest.mark.parametrize("line", ["certify {votes}", "noises", "vote --help"])
def test_a_reader_that_has_gone_ends_a_command_as_it_ends_others(work, line):
    command = [sys.executable, "-m", "radii", *line.format(votes=work.votes).split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 128 + signal.SIGPIPE


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from radii.cli import main; sys.argv = ['radii', '--help']\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'matplotlib', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]" and ended.returncode == 0
