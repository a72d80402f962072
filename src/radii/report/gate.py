"""The gate: does a classifier certify enough images, and is it no worse than a baseline, as far as tests can show."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.accuracy import certified_to
from radii.report.comparison import compare
from radii.report.formatting import NO_BREAK, NORM_NAMES, floor_text, round_text
from radii.report.paired import CONFIDENCE, check_confidence, difference_lower
from radii.report.winners import percent_text
from radii.votes.bounds import lower_bound


@dataclass(frozen=True)
class Check:
    """One condition of a gate, with a lower confidence bound over images on what it is about.

    Parameters
    ----------
    name : "at-least" or "baseline"
    estimate : certified accuracy on these images, or its difference from the baseline's
    bound : lower confidence bound on it
    needed : number that the bound must reach
    sentence : result in words
    """

    name: str
    estimate: float
    bound: float
    needed: float
    sentence: str

    @property
    def passed(self) -> bool:
        """Whether the bound is at least the number needed."""
        return self.bound >= self.needed


def check_accuracy(
    certificates: Certificates, radius: float, at_least: float, confidence: float = CONFIDENCE
) -> Check:
    """Return whether certified accuracy at a radius is at least a number, in the population of the images.

    Notes
    -----
    Guarantee: if the images are a random sample and the accuracy in the population is below `at_least`, the check
    passes with probability at most `1 - confidence` (Clopper & Pearson 1934).
    """
    check_confidence(confidence)
    if not 0 < at_least < 1:
        raise InputError(f"the accuracy to reach must lie between 0 and 1, for example 0.6; got {at_least!r}")
    images = len(certificates)
    held = int(certified_to(certificates, [radius]).sum())
    bound = float(lower_bound(np.array(held), images, 1 - confidence))
    sentence = (
        f"{_quantity(certificates, radius)} is {percent_text(held / images)} on {_images(images)}; its lower bound "
        f"{_percent_down(bound)} (confidence {confidence:g}) {_reaches(bound, at_least)} {_short_percent(at_least)}"
    )
    return Check("at-least", held / images, bound, at_least, sentence)


def check_baseline(
    certificates: Certificates,
    baseline: Certificates,
    radius: float,
    margin: float,
    confidence: float = CONFIDENCE,
    common: bool = False,
) -> Check:
    """Return whether certified accuracy at a radius is at most a margin below that of a baseline, in the population.

    Notes
    -----
    This is a test of non-inferiority. Guarantee: if the images are a random sample and the accuracy is worse by more
    than `margin`, the check passes with probability at most `1 - confidence`.
    """
    if not 0 < margin < 1:
        raise InputError(f"margin is a share between 0 and 1, for example 0.02; got {margin!r}")
    compared = compare(
        certificates,
        baseline,
        radii=[radius],
        common=common,
        confidence=confidence,
        names=("these votes", "the baseline"),
    )
    (more,), (less,) = compared.only
    bound = float(difference_lower(np.array(more), np.array(less), compared.images, 1 - confidence))
    result = f"{_reaches(bound, -margin)} {_short_percent(-margin)}"
    sentence = (
        f"{_quantity(certificates, radius)} is {100 * compared.difference[0]:+.1f} points from the baseline's on "
        f"{_images(compared.images, 'common ')} ({more} gained, {less} lost); the lower bound "
        f"{_percent_down(bound)} of this difference (confidence {confidence:g}) {result}"
    )
    return Check("baseline", float(compared.difference[0]), bound, -margin, sentence)


def _quantity(certificates: Certificates, radius: float) -> str:
    top = f"top-{certificates.k} " * (certificates.k > 1)
    unit = f" ({certificates.unit}s)" * (certificates.norm == "l0")
    at = f"{NORM_NAMES[certificates.norm]} radius {round_text(radius, certificates.norm)}{unit}"
    return f"certified {top}accuracy at {at}"


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}image{'s' * (count != 1)}"


def _percent_down(share: float) -> str:
    """Return a bound in percent, rounded down."""
    return f"{floor_text(100 * share, 2)}{NO_BREAK}%"


def _short_percent(share: float) -> str:
    return f"{100 * share:.6g}{NO_BREAK}%"


def _reaches(bound: float, needed: float) -> str:
    return "reaches" if bound >= needed else "does not reach"


def gate_json(checks: list[Check], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the decision with its settings, ready for JSON."""
    return {
        "passed": all(check.passed for check in checks),
        **settings,
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "estimate": check.estimate,
                "lower_bound": check.bound,
                "needed": check.needed,
                "sentence": check.sentence,
            }
            for check in checks
        ],
    }


# not even as a reference may these stand in XML, and names of files can hold them
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold."""


def junit_text(
    checks: list[Check], name: str, unchecked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> str:
    """Return the checks as JUnit XML, a test case each.

    `name`: of the votes. `unchecked`: what cannot be checked of imported runs, by name.
    """
    failures = str(sum(not check.passed for check in checks))
    counts = {"tests": str(len(checks)), "failures": failures, "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": "radii gate", **counts, "skipped": "0", "time": "0"}
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", name), "name": check.name, "time": "0"},
        )
        if not check.passed:
            ElementTree.SubElement(case, "failure", {"message": check.sentence, "type": "gate"})
        ElementTree.SubElement(case, "system-out").text = check.sentence
    if unchecked:
        lines = [f"{run}: {' '.join(sentences)}" for run, sentences in unchecked.items()]
        # a log may be named by any characters
        text = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", "\n".join(lines))
        ElementTree.SubElement(suite, "system-out").text = text
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode") + "\n"
