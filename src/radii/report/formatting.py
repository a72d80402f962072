"""The texts that tell numbers: radii rounded down, what they are counted in, how many draws, what is promised.

A text never says more than its number: radii that were measured are rounded down, exactly.
"""

import ast
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from radii.certificates.certify import Certificates
from radii.errors import InputError

NORM_NAMES = {"l0": "ℓ₀", "l1": "ℓ₁", "l2": "ℓ₂", "linf": "ℓ∞"}


def floor_text(value: float | Fraction, digits: int) -> str:
    """`value` with `digits` decimals, rounded down; exact, so the text is never above the value.

    >>> floor_text(0.9999, 3), floor_text(0.3, 3), floor_text(0.25, 3)
    ('0.999', '0.299', '0.250')

    (the binary number 0.3 is a little less than three tenths).
    """
    if not math.isfinite(value):
        raise InputError(f"only finite numbers can be printed as a radius; got {value!r}")
    scaled = math.floor(Fraction(value) * 10**digits)
    sign, text = "-" * (scaled < 0), str(abs(scaled)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def radius_text(radius: float, norm: str) -> str:
    """A certified radius for people, rounded down: `0.612`, `3` (l0) or `1.97/255` (linf)."""
    if norm == "l0":
        return floor_text(radius, 0) if float(radius).is_integer() else floor_text(radius, 2)
    if norm == "linf":
        levels = Fraction(radius) * 255
        return f"{floor_text(levels, 2 if levels >= 1 or not levels else 3)}/255"
    return floor_text(radius, 3)


def round_text(radius: float, norm: str) -> str:
    """A round radius that was chosen, not measured: the shortest text that names it."""
    return f"{radius * 255:.6g}/255" if norm == "linf" and radius else f"{radius:.6g}"


def unit_text(norm: str, unit: str) -> str:
    """What a radius of `norm` is counted in."""
    return f"changed {unit}s" if norm == "l0" else "image units, pixel values in [0, 1]"


def draws_text(certificates: Iterable[Certificates]) -> str:
    """Draws an image: `1,000`, where a plan stops early `up to 100,000 (1,021 copies on average)`, or `all 442`."""
    several = list(certificates)
    listed = [one.n for one in several if one.plan == "exhaustive"]
    drawn = [one for one in several if one.plan != "exhaustive"]
    texts = [_drawn_text(drawn) if drawn else "", f"all {_ends(listed)}" if listed else ""]
    return " or ".join(filter(None, texts))


def _drawn_text(certificates: Sequence[Certificates]) -> str:
    """Draws an image where they are a sample of the noise."""
    most = _ends([one.n for one in certificates])
    early = [math.ceil(one.mean_samples) for one in certificates if one.plan != "fixed"]
    pilot = ", with a pilot" if any(one.plan == "two-stage" for one in certificates) else ""
    return f"up to {most} ({_ends(early)} copies on average{pilot})" if early else most


def _ends(values: Sequence[int]) -> str:
    """One number, or the smallest and the largest."""
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


INSIDE = {
    "": "",
    "box": " that keeps it in [0, 1] and",
    "grid": " that leaves it an 8-bit image and",
}


def guarantee(certificates: Certificates) -> str:
    """The promise of one set of certificates, in one sentence."""
    top = "first place" if certificates.k == 1 else f"the {certificates.k} most probable labels"
    label = "any of the certified labels" if certificates.labels == "top-k-set" else "the certified label"
    unit = unit_text(certificates.norm, certificates.unit)
    inside = INSIDE[certificates.confined]
    odds = f", with probability at least {1 - certificates.alpha:.10g} over the noise draws"
    return (
        f"For each image{odds if certificates.alpha else ''}, no perturbation{inside} whose {certificates.norm} norm is"
        f" at most the radius (in {unit}) pushes {label} out of {top} of the smoothed classifier."
    )


def identity(certificates: Certificates) -> dict[str, Any]:
    """Everything that identifies a set of certificates, ready for JSON."""
    one = certificates
    return {
        "noise": one.noise.name,
        **asdict(one.noise),
        "scale": one.noise.scale,
        "norm": one.norm,
        "unit": one.unit,
        "box": one.box,
        "on_grid": one.on_grid,
        "k": one.k,
        "alpha": one.alpha,
        "n": one.n,
        "plan": one.plan,
        "mean_samples": one.mean_samples,
        "method": one.method,
        "labels": one.labels,
        "data": str(one.data or ""),
        "shape": list(one.shape),
        "images": len(one),
        "guarantee": guarantee(one),
    }


def docstring(of: Callable[..., Any]) -> str:
    """Return the docstring of a function or a class; empty if there is none.

    `python -OO` leaves docstrings out, and dataclasses then make up others: there it is read from the source.
    """
    if sys.flags.optimize < 2:
        return inspect.getdoc(of) or ""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except OSError:  # installed without sources
        return ""
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(node) or ""
