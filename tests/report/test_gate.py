"""radii gate: its statuses, line, JSON and JUnit XML, and the errors of its decisions."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import beta, binom

import radii
from commands import call, fine
from radii.certificates.imported import load_run
from radii.report.gate import check_accuracy, check_baseline, junit_text
from vote_factory import make_votes, votes_of_counts


def certified(held, images, index=None):
    """Certificates of which the first `held` are certified to 0.5 in l2."""
    counts = np.where(np.arange(images)[:, None] < held, [[1000, 0]], [[500, 500]])
    votes = votes_of_counts(counts, index=np.arange(images) if index is None else index)
    return radii.certify(votes, "l2")


@pytest.mark.parametrize("held,images", [(60, 100), (0, 10), (1, 1), (500, 500)])
def test_the_bound_is_that_of_clopper_and_pearson(held, images):
    check = check_accuracy(certified(held, images), 0.5, 0.6)
    expected = beta.ppf(0.05, held, images - held + 1) if held else 0
    assert check.bound == pytest.approx(expected, rel=1e-9) and check.estimate == held / images
    assert check.passed == (expected >= 0.6)


def test_a_worse_model_seldom_passes():
    """By the probabilities of all outcomes: at a certified accuracy just below the number."""
    images, needed = 60, 0.6
    passing = [
        held for held in range(images + 1) if check_accuracy(certified(held, images), 0.5, needed).passed
    ]
    assert 0 < binom.pmf(passing, images, needed).sum() <= 0.05


def baseline_check(more, less, images, margin=0.02):
    first = certified(50 + more, images)
    order = np.r_[np.arange(50), np.arange(50 + more, images), np.arange(50, 50 + more)]
    # the baseline certifies the first 50 images, and `less` of those that the model does not
    votes = votes_of_counts(
        np.where(np.arange(images)[:, None] < 50 + less, [[1000, 0]], [[500, 500]]), index=order
    )
    return check_baseline(first, radii.certify(votes, "l2"), 0.5, margin)


def test_a_model_passes_if_it_is_shown_to_be_no_worse():
    same = baseline_check(0, 0, 400)
    assert same.passed and same.estimate == 0 and same.bound < 0
    assert not baseline_check(0, 0, 100).passed, "100 images do not show it"
    assert baseline_check(0, 0, 100, margin=0.1).passed
    worse = baseline_check(0, 40, 400)
    assert not worse.passed and worse.estimate == -0.1 and worse.bound < -0.1
    better = baseline_check(60, 5, 400)
    assert better.passed and better.bound > 0
    assert "(60 gained, 5 lost)" in better.sentence


# the command --------------------------------------------------------------------------------------


@pytest.fixture
def votes(tmp_path):
    path = tmp_path / "votes.parquet"
    make_votes("gaussian", images=300).save(path)
    return path


def gate(*arguments):
    ended = call("gate", *arguments, "--norm", "linf", "--radius", "1/255")
    assert ended.status in (0, 1, 2)
    assert (ended.out + ended.err).count("\n") == 1, "one line"
    return ended


def test_statuses(votes):
    certificates = radii.certify(radii.load_votes(votes), "linf")
    share = certificates.accuracy([1 / 255])[0]
    check = check_accuracy(certificates, 1 / 255, 0.1)
    passed = gate(votes, "--at-least", f"{check.bound - 1e-6:.9f}")
    assert passed.status == 0 and passed.out.startswith("passed: ") and f"{100 * share:.1f}" in passed.out
    failed = gate(votes, "--at-least", f"{check.bound + 1e-6:.9f}")
    assert failed.status == 1 and failed.out.startswith("failed: ") and "does not reach" in failed.out
    assert share > check.bound


@pytest.mark.parametrize(
    "arguments,words",
    [
        ((), "a gate needs a condition"),
        (("--at-least", "60"), "between 0 and 1"),
        (("--at-least", "nan"), "between 0 and 1"),
        (("--at-least", "0.6", "--confidence", "1"), "between 0 and 1"),
        (("--at-least", "0.6", "--k", "10"), "k must be smaller"),
        (("--baseline", "none.parquet"), "none.parquet"),
    ],
)
def test_wrong_input(votes, arguments, words):
    ended = gate(votes, *arguments)
    assert ended.status == 2 and words in ended.err


def test_wrong_questions(votes):
    for norm, radius, words in (
        ("l7", "0.5", "unknown norm"),
        ("l2", "-1", "at least 0"),
        ("l2", "much", "a number or a fraction"),
        ("linf", "8", "8/255"),
    ):
        ended = call("gate", votes, "--norm", norm, "--radius", radius, "--at-least", "0.5")
        assert ended.status == 2 and words in ended.err, ended.err


def test_a_baseline_on_other_images(votes, tmp_path):
    some, other = tmp_path / "some.parquet", tmp_path / "other.parquet"
    radii.load_votes(votes)[:280].save(some)
    make_votes("gaussian", images=50).save(other)
    assert "of which 280 are common" in gate(votes, "--baseline", some).err
    assert gate(votes, "--baseline", some, "--common").status == 0
    assert gate(votes, "--baseline", other, "--common").status == 2


def test_decisions_in_files(votes, tmp_path):
    found, xml = tmp_path / "gate.json", tmp_path / "gate.xml"
    ended = gate(votes, "--at-least", "0.99", "--baseline", votes, "--json", found, "--junit", xml)
    assert ended.status == 1
    read = json.loads(found.read_text())
    assert (read["passed"], read["norm"], read["radius"], read["confidence"]) == (
        False,
        "linf",
        1 / 255,
        0.95,
    )
    assert [(check["name"], check["passed"]) for check in read["checks"]] == [
        ("at-least", False),
        ("baseline", True),
    ]
    assert all(check["sentence"] in ended.out for check in read["checks"])
    root = ElementTree.parse(xml).getroot()
    suite = root.find("testsuite")
    assert root.tag == "testsuites" and (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = root.iter("failure")
    assert failure.get("message") == read["checks"][0]["sentence"]


def test_any_name_gives_xml_that_parses():
    check = replace(check_accuracy(certified(5, 10), 0.5, 0.6), sentence="a < b & c")
    for name in ("<b>&\"'", "a\x00b\x1b[31m", "\ufffe\ud800", "ℓ∞ \U0001f600"):
        root = ElementTree.fromstring(junit_text([check], name))
        assert next(root.iter("testcase")).get("classname")
        assert next(root.iter("system-out")).text == "a < b & c"


def test_nothing_certified_and_one_image(tmp_path):
    path = tmp_path / "one.parquet"
    votes_of_counts([[500, 500]]).save(path)
    ended = call("gate", path, "--norm", "l2", "--radius", "0.1", "--at-least", "0.1")
    assert ended.status == 1 and "is 0.0\N{NO-BREAK SPACE}% on 1 image;" in ended.out


def test_l0_counts_pixels_unless_told(votes):
    assert "(pixels)" in fine("gate", votes, "--norm", "l0", "--radius", "0", "--at-least", "0.01")


# runs of other codes -----------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path, votes):
    """The imported run of the log that Cohen et al. print for the votes."""
    made = radii.load_votes(votes)
    certified = radii.certify(made, "l2", labels="predicted", method="binary")
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime"]
    for index, label, predicted, radius in zip(
        made.index, made.labels, certified.label, certified.radius, strict=True
    ):
        predicted = predicted if radius else -1
        lines.append(f"{index}\t{label}\t{predicted}\t{radius}\t{int(label == predicted)}\t0:00:01")
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    stated = (
        "--noise",
        "gaussian",
        "--sigma",
        made.noise.sigma,
        "--shape",
        "3,32,32",
        "--n",
        made.plan.n_max,
    )
    fine("import", tmp_path / "log", *stated, "--out", tmp_path / "log.json")
    return tmp_path / "log.json"


def test_imported_runs_pass_or_fail(log, votes, tmp_path):
    found, xml = tmp_path / "gate.json", tmp_path / "gate.xml"
    run = load_run(log)
    check = check_accuracy(run.certificates("linf"), 1 / 255, 0.1)
    asked = ("--norm", "linf", "--radius", "1/255")
    ended = call(
        "gate", log, *asked, "--at-least", f"{check.bound - 1e-6:.9f}", "--json", found, "--junit", xml
    )
    first, last = ended.out.splitlines()
    assert (
        ended.status == 0 and last.startswith("passed: ") and first.startswith("these votes: Imported from")
    )
    assert json.loads(found.read_text())["unchecked"] == {"these votes": list(run.unchecked)}
    (suite,) = ElementTree.parse(xml).getroot()
    assert suite.findall("system-out")[-1].text == first
    assert call("gate", log, *asked, "--at-least", f"{check.bound + 1e-6:.9f}").status == 1


def test_an_imported_run_as_the_baseline_and_against_one(log, votes):
    asked = ("--norm", "linf", "--radius", "1/255")
    for arguments, name in (
        ((votes, "--baseline", log), "the baseline"),
        ((log, "--baseline", votes), "these votes"),
    ):
        ended = call("gate", *arguments, *asked, "--margin", "0.9")
        assert ended.status == 0 and ended.out.startswith(f"{name}: Imported from"), ended.err
    ended = call("gate", log, "--baseline", log, *asked)
    assert ended.out.count("Imported from") == 2 and "+0.0 points" in ended.out


@pytest.mark.parametrize(
    "norm,more,words",
    [("l2", ("--k", "2"), "which certifies k = 1: leave out --k"), ("l0", (), "no rule certifies l0")],
)
def test_questions_that_no_log_answers(log, norm, more, words):
    ended = call("gate", log, "--norm", norm, "--radius", "0.1", "--at-least", "0.5", *more)
    assert ended.status == 2 and words in ended.err and ended.err.count("\n") == 1
