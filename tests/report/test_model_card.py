"""report.json and the model card: the published schema, what they say of a run, and what is unknown."""

import json
import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

import radii
from certificate_factory import make_certificates
from radii.report.accuracy import summarize
from radii.report.document import SCHEMA, report_document
from radii.report.html import Run, write_report
from radii.report.html.content import all_tables
from radii.report.model_card import model_card
from vote_factory import votes_of_counts

RECIPE = {"model": "wrn-16-2", "epochs": 25, "options": {"m": 2}}
TRAINING = {"format": 1, "recipe": RECIPE, "trained_on": "digits train"}


def sampled_run(training=TRAINING) -> Run:
    votes = votes_of_counts([[990, 6, 4, 0], [930, 40, 20, 10], [400, 450, 100, 50], [10, 960, 20, 10]])
    certificates = {(norm, k): radii.certify(votes, norm, k=k) for norm in ("l2", "linf") for k in (1, 2)}
    return Run("first", certificates, votes, training=training)


def made_up(name, **changes) -> Run:
    return Run(name, {("l2", 1): replace(make_certificates(**changes), true_rank=None)})


RUNS = {
    "votes": [sampled_run()],
    "without training": [sampled_run(None)],
    "without votes": [made_up("a"), made_up("b", noise="gaussian")],
    "one image": [made_up("one", images=1)],
}


def document_of(runs):
    return json.loads(json.dumps(report_document(runs, all_tables(runs), "Title"), allow_nan=False))


@pytest.mark.parametrize("case", RUNS)
def test_the_document_has_the_published_form(case, tmp_path):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = document_of(RUNS[case])
    validator.validate(document)
    write_report(RUNS[case], tmp_path, title="Title")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written == document and json.loads((tmp_path / "report.schema.json").read_text()) == schema
    # the schema is no empty promise: a document without a part, or with a share above 1, is not of this form
    for part in document:
        assert not validator.is_valid({name: value for name, value in document.items() if name != part})
    document["results"][0]["results"]["plain_accuracy"] = 1.1
    assert not validator.is_valid(document)


def test_the_document_says_of_a_run_what_its_votes_say():
    run = sampled_run()
    (said,) = document_of([run])["runs"]
    assert (said["name"], said["images"], said["noise"], said["noise_parameters"]) == (
        "first",
        4,
        "gaussian",
        {"sigma": 0.5},
    )
    assert said["sampling"]["plan"] == {"name": "fixed", "n": 1000, "selection": 10}
    assert said["sampling"]["model"] == run.votes.model and said["training"] == TRAINING
    assert said["sampling"]["software"] == run.votes.software and said["sampling"]["canary"] is False


def test_the_card_holds_every_number_with_its_interval():
    run = sampled_run()
    document = document_of([run])
    card = model_card(document)
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| certified to")]
    # of the smallest k in each norm
    points = [point for result in document["results"] if result["k"] == 1 for point in result["curve"]]
    assert len(rows) == len(points)
    for (_, share, interval), point in zip(rows, points, strict=True):
        assert share == f"{point['share']:.1%}"
        assert interval == f"{point['lower']:.1%} to {point['upper']:.1%}"
    found = summarize(run.certificates["l2", 1])
    assert f"| plain accuracy, without certificate | {found.plain_accuracy:.1%} |" in card
    assert f"| refuted | {found.statuses['refuted']:.1%} |" in card
    assert "model wrn-16-2, epochs 25; trained on digits train (as written beside the votes)" in card
    assert "No rotations" not in card and "rotations" in card


def test_what_is_unknown_is_said():
    card = model_card(document_of(RUNS["without votes"]))
    assert card.count("| training | not recorded |") == 2 and card.count("| model | not recorded |") == 2
    unchecked = replace(make_certificates(), unchecked=("The noise was not seen.", "Nor was the model."))
    card = model_card(document_of([Run("theirs", {("l2", 1): unchecked})]))
    assert "| cannot be checked | The noise was not seen. Nor was the model. |" in card


def test_names_cannot_add_markup():
    run = replace(made_up("a"), name="x <script>\n# y | z")
    card = model_card(document_of([run]))
    assert "<script" not in card and not re.search(r"^# y", card, re.MULTILINE)
    assert np.array_equal([line.count("|") for line in card.splitlines() if line.startswith("| seed")], [3])
