"""Tables for other programs: --format of the commands that print tables."""

import csv
import io
import json
import re

import pytest

import radii
from commands import call, fine
from radii.report.accuracy import summarize
from radii.report.latex import SYMBOLS, escaped
from vote_factory import votes_of_counts

COUNTS = [[990, 6, 3, 1], [500, 480, 10, 10], [20, 900, 50, 30], [700, 200, 60, 40]]
COMMANDS = {
    "certify": ("certify", "FILE", "--norm", "l2", "--norm", "linf", "--k", 1, "--k", 2),
    "noises": ("noises", "--norm", "l1"),
    "plan": ("plan", "--p", 0.9, "--noise", "gaussian", "--sigma", 0.25, "--norm", "l2", "--radii", 0.25),
    "data": ("data",),
    "falsify": ("falsify", "gaussian", "l2", "--p", 0.9, "--draws", 1000, "--shape", "1,2,2"),
}


@pytest.fixture
def votes(tmp_path):
    path = tmp_path / "votes.parquet"
    votes_of_counts(COUNTS).save(path)
    return path


def filled(command, votes):
    return [votes if word == "FILE" else word for word in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_format_holds_the_same_cells(command, votes):
    arguments = filled(command, votes)
    tables = json.loads(call(*arguments, "--format", "json").out)["tables"]
    blocks = call(*arguments, "--format", "csv").out.rstrip("\n").split("\n\n")
    read = [list(csv.DictReader(io.StringIO(block))) for block in blocks]
    assert len(read) == len(tables) >= 1
    for table, rows in zip(tables, read, strict=True):
        assert [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in table["rows"]
        ] == rows
    # texts are those of the terminal, where columns are at least two spaces apart
    shown = fine(*arguments)
    markdown = call(*arguments, "--format", "markdown").out
    body = [line for line in markdown.splitlines() if line.startswith("| ")]
    cells = [cell.strip(" *") for line in body for cell in line.strip("|").split(" | ")]
    words = " ".join(shown.split())
    assert len(body) == sum(len(rows) + 2 for rows in read)
    assert all(part in words for cell in cells for part in cell.split() if not set(part) <= set("-:"))
    latex = call(*arguments, "--format", "latex").out
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == len(tables)
    for block in re.findall(r"\\begin{tabular}{(l*r*)}(.*?)\\end{tabular}", latex, re.DOTALL):
        lines = [line for line in block[1].splitlines() if line.endswith(r"\\")]
        assert all(len(re.findall(r"(?<!\\)&", line)) == len(block[0]) - 1 for line in lines)


def test_programs_get_the_numbers_of_the_certificates(votes):
    document = json.loads(call(*filled("certify", votes), "--format", "json").out)
    questions = [(norm, k) for norm in ("l2", "linf") for k in (1, 2)]
    for (norm, k), table in zip(questions, document["tables"], strict=True):
        (row,) = table["rows"]
        one = radii.certify(radii.load_votes(votes), norm, k=k)
        found = summarize(one)
        assert (row["norm"], row["k"], row["plain"], row["0"]) == (
            norm,
            k,
            found.plain_accuracy,
            found.certified,
        )
        assert {name: row[name] for name in ("open", "refuted")} == found.statuses
        assert row["median"] == found.median_radius
    assert any("holds for its image with probability 0.999" in sentence for sentence in document["sentences"])


def test_standard_output_is_for_programs_alone(votes):
    ended = call(*filled("certify", votes), "--format", "json")
    assert ended.status == 0 and json.loads(ended.out) and "holds for its image" in ended.err
    # the next command prints for people again
    assert "holds for its image" in fine(*filled("certify", votes))


def test_a_command_that_fails_prints_no_table(votes):
    # the first norm has a table, the second has no rule
    ended = call("certify", votes, "--norm", "l2", "--k", 4, "--format", "csv")
    assert (ended.status, ended.out) == (2, "") and "smaller than the number of classes" in ended.err
    ended = call("certify", votes, "--format", "jsn")
    assert (ended.status, ended.out) == (2, "") and "unknown format 'jsn'; did you mean 'json'?" in ended.err


def test_rules_are_for_terminals(votes):
    printed = fine(*filled("certify", votes))
    assert "─" not in printed and "│" not in printed


def test_text_in_latex_is_shown_literally():
    assert escaped("a_b & 5% \\ {x} #1 $ ^ ~") == (
        r"a\_b \& 5\% \textbackslash{} \{x\} \#1 \$ \textasciicircum{} \textasciitilde{}"
    )
    # everything that tables print is either ASCII or has a command of LaTeX
    assert set("ℓ₀₁₂∞σα≤≥±–") <= set(SYMBOLS)
