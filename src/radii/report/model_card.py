"""The model card: what was certified, how, and what follows from it, in Markdown, from report.json."""

from collections.abc import Mapping
from typing import Any

from radii.noises.norms import NORMS
from radii.report.export import markdown_table
from radii.report.formatting import NORM_NAMES, radius_text, round_text, unit_text

UNKNOWN = "not recorded"
LIMITS = (
    "Certified accuracy is that of the smoothed classifier, which answers by majority vote under noise. The network"
    " alone has no certificate.",
    "The guarantee is about perturbations of bounded norm. It says nothing about rotations, crops, blur, other data or"
    " other tasks.",
    "Intervals are about other images from the same source. On images from elsewhere accuracy may be lower.",
    "A fixed seed is for fixed test sets. Where others choose the images, noise must come from a secret seed.",
)


def model_card(report: Mapping[str, Any]) -> str:
    """Return the model card of the runs of a report, `radii.report.document.report_document`."""
    parts = [f"# Model card: {_heading(report['title'])}"]
    for run in report["runs"]:
        parts += [f"## {_heading(run['name'])}", _facts(run), "### Certified accuracy"]
        results = [result for result in report["results"] if result["run"] == run["name"]]
        # a card is read by people: of the smallest k in each norm, the others are in report.json
        first = {result["norm"]: result for result in sorted(results, key=lambda one: one["k"], reverse=True)}
        parts += [_results(first[norm]) for norm in NORMS if norm in first]
    confidence = f"{100 * report['confidence']:g} %"
    parts += [
        f"Intervals over images are exact (Clopper-Pearson) and hold with confidence {confidence} each.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
        f"Made by radii {report['radii']}; report.json has all numbers.",
    ]
    return "\n\n".join(parts) + "\n"


def _heading(text: str) -> str:
    """Return text as a heading of one line: names come from files, and could hold HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def _facts(run: Mapping[str, Any]) -> str:
    """Return training, data, sampling and arithmetic of a run as a table."""
    sampling, data = run["sampling"] or {}, run["data"]
    parameters = ", ".join(f"{name} = {value:g}" for name, value in run["noise_parameters"].items())
    rows = {
        "noise": f"{run['noise']}, {parameters}",
        "training": _training(run["training"]),
        "images": f"{run['images']:,}: {_data(data)}",
        "labels": run["labels"],
        "noise samples per image": f"{run['mean_samples']:,.0f} on average, selection included",
        "plan": ", ".join(f"{name} {_value(value)}" for name, value in sampling.get("plan", {}).items())
        or UNKNOWN,
        "error per image, alpha": f"{run['alpha']:g}",
        "seed": str(run["seed"]),
        "model": sampling.get("model", UNKNOWN),
        "arithmetic": _arithmetic(sampling),
        "processors": ", ".join(sampling.get("devices", ())) or UNKNOWN,
        "versions": ", ".join(f"{name} {number}" for name, number in sampling.get("software", {}).items())
        or UNKNOWN,
        **({"cannot be checked": " ".join(run["unchecked"])} if run["unchecked"] else {}),
    }
    return markdown_table(["", "value"], [[name, text] for name, text in rows.items()]).rstrip()


def _value(value: Any) -> str:
    """Return a field of a plan; of long lists, such as decisions, their length."""
    return f"({len(value)})" if isinstance(value, list | tuple | dict) else str(value)


def _data(data: Mapping[str, str] | None) -> str:
    if data is None:
        return UNKNOWN
    digest = f"sha256:{data['digest']}" if data["digest"] else ""
    return ", ".join(filter(None, (f"{data['name']} {data['split']}".strip(), data["part"], digest)))


def _training(training: Mapping[str, Any] | None) -> str:
    if training is None:
        return UNKNOWN
    recipe = training.get("recipe", {})
    words = ", ".join(
        f"{name} {value}"
        for name, value in recipe.items()
        # a classifier behind a denoiser, for example, which most recipes do not have
        if not isinstance(value, dict | list) and value not in ("", None)
    )
    trained_on = f"; trained on {training['trained_on']}" if training.get("trained_on") else ""
    return f"{words}{trained_on} (as written beside the votes)"


def _arithmetic(sampling: Mapping[str, Any]) -> str:
    if not sampling:
        return UNKNOWN
    exact = (
        "noise on a lattice, added exactly"
        if sampling["exact_arithmetic"]
        else "noise drawn and added in float32"
    )
    return f"{sampling['precision']} network, {exact}"


def _results(result: Mapping[str, Any]) -> str:
    """Return the accuracies of one norm and k: without perturbation, and certified to radii with their intervals."""
    norm, numbers = result["norm"], result["results"]
    rows = [["plain accuracy, without certificate", f"{numbers['plain_accuracy']:.1%}", ""]]
    for point in result["curve"]:
        name = f"certified to {round_text(point['radius'], norm)}"
        rows.append([name, f"{point['share']:.1%}", f"{point['lower']:.1%} to {point['upper']:.1%}"])
    rows += [[status, f"{share:.1%}", ""] for status, share in numbers["statuses"].items()]
    top = "" if result["k"] == 1 else f", top {result['k']}"
    median = radius_text(numbers["quantiles"]["0.5"], norm)
    return "\n\n".join(
        [
            f"**{NORM_NAMES[norm]}{top}**, radii in {unit_text(norm, result['unit'])}; median radius {median}",
            markdown_table(["", "share of images", "interval"], rows).rstrip(),
            result["guarantee"],
        ]
    )
