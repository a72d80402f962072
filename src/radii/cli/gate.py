"""radii gate: a decision for continuous integration, as exit status, one line, JSON and JUnit XML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from radii.certificates.imported import load_run
from radii.certificates.runs import certify_all, check_answers
from radii.cli.certify import say_unchecked
from radii.cli.compare import Confidence
from radii.cli.console import printable, say
from radii.cli.groups import Options, grouped
from radii.cli.options import Alpha, Common, K, L0Unit, parse_radii
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS


@dataclass(frozen=True)
class QuantityOptions(Options):
    """The certified accuracy that is checked."""

    title = "Accuracy"
    norm: Annotated[str, typer.Option(help="Norm: l0, l1, l2 or linf.")]
    radius: Annotated[str, typer.Option(metavar="RADIUS", help="Radius, for example 0.5 or 2/255.")]
    k: K = 1
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"


@dataclass(frozen=True)
class ConditionOptions(Options):
    """What must be shown."""

    title = "Conditions"
    at_least: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Certified accuracy to show, for example 0.6.")
    ] = None
    baseline: Annotated[
        Path | None, typer.Option(metavar="VOTES", help="Votes, or a run of radii import, to compare with.")
    ] = None
    margin: Annotated[
        float, typer.Option(metavar="SHARE", help="Loss against the baseline that is accepted.")
    ] = 0.02
    confidence: Confidence = 0.95
    common: Common = False


@grouped
def gate(
    votes: Annotated[
        Path, typer.Argument(metavar="VOTES", help="Votes of radii vote, or a run of radii import.")
    ],
    quantity: QuantityOptions,
    conditions: ConditionOptions,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="File for the decision.", rich_help_panel="Output"),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File for the decision as JUnit XML.", rich_help_panel="Output"),
    ] = None,
) -> None:
    """Pass or fail a model by its certified accuracy at one radius.

    With --at-least, the lower confidence bound on certified accuracy over images (Clopper-Pearson) must reach the
    number. With --baseline, the lower confidence bound on the paired difference from the baseline must be above minus
    the margin: the model passes if it is shown to be at most the margin worse. Few images show little, and then the
    gate fails. One line tells the result. Of imported runs, lines before it state what cannot be checked. The exit
    status is 0 if all conditions hold, 1 if not, and 2 for input that is wrong.
    """
    from radii.report.export import json_text, write_whole
    from radii.report.gate import check_accuracy, check_baseline, gate_json, junit_text

    if conditions.at_least is None and conditions.baseline is None:
        raise InputError("a gate needs a condition: give --at-least SHARE, --baseline VOTES or both")
    norm = check_name("norm", quantity.norm, NORMS)
    ((_, (radius,)),) = parse_radii([quantity.radius], norm).items()
    if not radius >= 0:
        raise InputError(f"radius must be a number of at least 0; got {quantity.radius}")

    runs = {"these votes": load_run(votes)}
    if conditions.baseline is not None:
        runs["the baseline"] = load_run(conditions.baseline)
    check_answers(runs, [norm], [quantity.k])
    certified = certify_all(runs, [norm], [quantity.k], alpha=quantity.alpha, unit=quantity.l0_unit)
    certificates, *baseline = [by_target[norm, quantity.k] for by_target in certified.values()]
    checks = []
    if conditions.at_least is not None:
        checks.append(check_accuracy(certificates, radius, conditions.at_least, conditions.confidence))
    checks += [
        check_baseline(
            certificates, other, radius, conditions.margin, conditions.confidence, conditions.common
        )
        for other in baseline
    ]
    unchecked = {
        name: sentences
        for name, by_target in certified.items()
        if (sentences := by_target[norm, quantity.k].unchecked)
    }
    passed = all(check.passed for check in checks)
    if json_file is not None:
        settings = {
            "votes": printable(str(votes)),
            "baseline": None if conditions.baseline is None else printable(str(conditions.baseline)),
            "norm": norm,
            "unit": certificates.unit,
            "radius": radius,
            "k": quantity.k,
            "alpha": certificates.alpha,
            "confidence": conditions.confidence,
            # of runs of other codes; none of votes
            "unchecked": unchecked,
        }
        write_whole(json_file, json_text(gate_json(checks, settings)))
    if junit is not None:
        write_whole(junit, junit_text(checks, printable(str(votes)), unchecked))
    say_unchecked(certified)
    say(f"{'passed' if passed else 'failed'}: {'; '.join(check.sentence for check in checks)}")
    if not passed:
        raise SystemExit(1)
