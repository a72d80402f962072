"""Several runs at once: votes and runs of other codes, certified in every norm and for every k."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from radii.certificates.certify import Certificates, Labels, certify
from radii.certificates.imported import ImportedRun
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, Norm, Unit
from radii.votes import Votes
from radii.votes.bounds import Method


def certifiable(votes: Iterable[Votes | ImportedRun]) -> list[Norm]:
    """Return the norms for which the noise of any of the votes has a rule, or in which any imported run has radii."""
    with_rule = {norm for run in votes for norm in norms_of(run)}
    return [norm for norm in NORMS if norm in with_rule]


def norms_of(run: Votes | ImportedRun) -> Iterable[Norm]:
    """Return the norms in which one run has certificates."""
    return run.noise.rules if isinstance(run, Votes) else run.norms


def check_answers(runs: Mapping[str, Votes | ImportedRun], norms: Iterable[str], ks: Iterable[int]) -> None:
    """Raise `InputError` unless every run, by name, has certificates in every norm and for every k."""
    for name, run in runs.items():
        for norm in norms:
            if check_name("norm", norm, NORMS) not in norms_of(run):
                raise InputError(f"no rule certifies {norm} under the noise of {name}: choose another norm")
        if isinstance(run, ImportedRun) and set(ks) != {1}:
            raise InputError(f"{name} is the log of another code, which certifies k = 1: leave out --k")


def certify_all(
    votes: Mapping[str, Votes | ImportedRun],
    norms: Sequence[Norm],
    ks: Sequence[int],
    *,
    alpha: float = 1e-3,
    labels: Labels | None = None,
    method: Method | None = None,
    unit: Unit = "pixel",
    images: Mapping[str, np.ndarray] = MappingProxyType({}),
    jointly: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, dict[tuple[str, int], Certificates]]:
    """Certify several runs, by name, in every norm and for every k.

    `labels`: by default those that the looks of a plan tested, else the true ones. `unit`: what l0 counts, as in
    `certify`. `images`: those of the votes, for their boxes in l0 and l1. `jointly`: alpha covers all tables of a run.
    Imported runs have certificates of their own, which no option changes, for k = 1.
    Runs whose noise has no rule for any of the norms are left out. Raises `InputError` for a norm without a rule in any
    run.
    """
    # without repetitions, in the order of the options
    targets = list(dict.fromkeys((norm, k) for norm in norms for k in ks))
    certificates: dict[str, dict[tuple[str, int], Certificates]] = {name: {} for name in votes}
    for name, run in votes.items():
        if not isinstance(run, Votes) and (
            labels not in (None, "predicted") or method or jointly or name in images
        ):
            raise InputError(
                f"{name} is a log of predicted labels, whose bounds are fixed: leave out labels, method, joint and box"
            )
    for done, (norm, k) in enumerate(targets):
        # before the work, so that the first line shows at once; a table of Laplace noise in linf takes a second
        if progress is not None:
            progress(done, len(targets))
        if check_name("norm", norm, NORMS) not in certifiable(votes.values()):
            noises = ", ".join(dict.fromkeys(run.noise.name for run in votes.values()))
            known = ", ".join(certifiable(votes.values()))
            raise InputError(f"no rule certifies {norm} under {noises} noise: choose {known}")
        for name, run in votes.items():
            if not isinstance(run, Votes):
                if k == 1 and norm in run.norms:
                    certificates[name][norm, k] = run.certificates(norm, unit)
            elif norm in run.noise.rules:
                certificates[name][norm, k] = certify(
                    run,
                    norm,
                    k=k,
                    alpha=alpha,
                    labels=labels or run.tested_labels or "true",
                    method=method,
                    unit=unit,
                    # `Ball` rejects images in other norms, which have no rules in the box
                    images=images.get(name) if norm in ("l0", "l1") else None,
                    jointly=jointly,
                )
    if progress is not None:
        progress(len(targets), len(targets))
    certified = {name: by_target for name, by_target in certificates.items() if by_target}
    if not certified:
        # every norm has a rule for some run, so that k alone can be the reason
        raise InputError("imported logs are about the most probable label: leave out k, or give k = 1")
    return certified
