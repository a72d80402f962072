"""report.json: everything that a report concludes, and from what, for programs; report.schema.json describes it."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from radii.certificates.certify import Certificates
from radii.report.accuracy import certified_to
from radii.report.accuracy_table import AccuracyTable
from radii.report.export import summary, table_json
from radii.report.paired import CONFIDENCE, share_interval
from radii.report.runs import Run, by_name
from radii.report.winners import Winners, find_winners
from radii.votes import Votes
from radii.votes.image_identity import ImageIdentity

SCHEMA = Path(__file__).parent / "report.schema.json"
FORMAT = "radii-report-1"
"""Name and number of the form that report.schema.json describes."""


def report_document(runs: Sequence[Run], tables: Sequence[AccuracyTable], title: str) -> dict[str, Any]:
    """Return a report, with its tables of all norms and k, as plain values."""
    questions = [(table.norm, table.k) for table in tables]
    return {
        "format": FORMAT,
        "title": title,
        "radii": version("radii"),
        "confidence": CONFIDENCE,
        "runs": [run_json(run) for run in runs],
        "results": [
            result_json(run.name, run.certificates[table.norm, table.k], table.radii)
            for table in tables
            for run in runs
            if (table.norm, table.k) in run.certificates
        ],
        "tables": [table_json(table) for table in tables],
        "best": [winners_json(find_winners(by_name(runs, norm, k))) for norm, k in questions],
    }


def run_json(run: Run) -> dict[str, Any]:
    """Return what a run is: images, noise, plan, model and arithmetic, and what is not known of it."""
    first = run.all[0]
    return {
        "name": run.name,
        "images": len(first),
        "data": data_json(first.data),
        "noise": first.noise.name,
        "noise_parameters": first.noise.parameters,
        "alpha": first.alpha,
        "labels": first.labels,
        "seed": first.seed,
        "mean_samples": first.mean_samples,
        "sampling": None if run.votes is None else sampling_json(run.votes),
        "training": None if run.training is None else dict(run.training),
        "unchecked": list(first.unchecked),
    }


def sampling_json(votes: Votes) -> dict[str, Any]:
    """Return how votes were sampled: plan, model, arithmetic, versions."""
    return {
        "plan": votes.plan.document(),
        "model": votes.model,
        "canary": bool(votes.canary),
        "classes": list(votes.classes),
        "precision": votes.precision,
        "exact_arithmetic": votes.exact_arithmetic,
        "devices": list(votes.devices),
        "software": dict(votes.software),
    }


def data_json(data: ImageIdentity | None) -> dict[str, Any] | None:
    """Return the identity of images by its fields."""
    if data is None:
        return None
    return {"name": data.name, "split": data.split, "part": data.part, "digest": data.digest}


def result_json(name: str, certificates: Certificates, radii: Sequence[float]) -> dict[str, Any]:
    """Return the results of one run, norm and k: shares, with their intervals over images, and the guarantee."""
    return {
        "run": name,
        **summary(certificates),
        "curve": accuracy_with_interval(certificates, radii),
    }


def accuracy_with_interval(certificates: Certificates, radii: Sequence[float]) -> list[dict[str, float]]:
    """Return certified accuracy with its 95 % Clopper-Pearson interval over images, at each radius."""
    counts = certified_to(certificates, radii).sum(axis=1)
    intervals = share_interval(counts, len(certificates))
    return [
        {
            "radius": float(radius),
            "share": float(count) / len(certificates),
            "lower": float(low),
            "upper": float(high),
        }
        for radius, count, (low, high) in zip(radii, counts, intervals, strict=True)
    ]


def winners_json(winners: Winners) -> dict[str, Any]:
    """Return the best runs by intervals of radii; several where paired tests do not separate them."""
    return {
        "norm": winners.norm,
        "unit": winners.unit,
        "k": winners.k,
        "intervals": [
            {"above": part.start, "up_to": part.end, "runs": list(part.winners), "clear": part.clear}
            for part in winners.intervals
        ],
    }
