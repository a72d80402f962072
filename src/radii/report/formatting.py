"""Numbers as text: radii and their units, numbers of noise samples, and the guarantee in one sentence.

A printed radius is never larger than the certified one: it is rounded down, in exact arithmetic.
"""

import ast
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from radii.certificates.certify import Certificates
from radii.errors import InputError

NORM_NAMES = {"l0": "ℓ₀", "l1": "ℓ₁", "l2": "ℓ₂", "linf": "ℓ∞"}
NO_BREAK = "\N{NO-BREAK SPACE}"


def floor_text(value: float | Fraction, digits: int) -> str:
    """Return `value` with `digits` decimals, rounded down in exact arithmetic.

    >>> floor_text(0.9999, 3), floor_text(0.3, 3), floor_text(0.25, 3)
    ('0.999', '0.299', '0.250')

    The double 0.3 is slightly below three tenths.
    """
    if not math.isfinite(value):
        raise InputError(f"only finite numbers can be printed as a radius; got {value!r}")
    # in whole numbers: value * 10**digits in floating point may round up to the next digit
    numerator, denominator = value.as_integer_ratio()
    scaled = numerator * 10**digits // denominator
    sign, text = "-" * (scaled < 0), str(abs(scaled)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def radius_text(radius: float, norm: str) -> str:
    """Return a certified radius, rounded down: `0.612`, `3` (l0) or `1.97/255` (linf)."""
    if norm == "l0":
        # a mean or a median of l0 radii need not be a whole number
        return floor_text(radius, 0) if float(radius).is_integer() else floor_text(radius, 2)
    if norm == "linf":
        levels = Fraction(radius) * 255
        # two decimals would take a tenth off a radius like 0.0995/255
        return f"{floor_text(levels, 2 if levels >= 1 or not levels else 3)}/255"
    return floor_text(radius, 3)


def round_text(radius: float, norm: str) -> str:
    """Return the shortest text of a radius that was chosen, not certified: `0.25`, `2/255`."""
    return f"{radius * 255:.6g}/255" if norm == "linf" and radius else f"{radius:.6g}"


def unit_text(norm: str, unit: str) -> str:
    """Return the unit of a radius of `norm`, in words."""
    return f"changed {unit}s" if norm == "l0" else "image units, pixel values in [0, 1]"


def probability_text(alpha: float) -> str:
    """Return the probability 1 - alpha with which a certificate holds, in percent: `99.9 %`."""
    # ten digits hide the binary rounding of 1 - alpha
    return f"{100 * (1 - alpha):.10g}{NO_BREAK}%"


def draws_text(certificates: Iterable[Certificates]) -> str:
    """Return the number of noise samples per image.

    `1,000`; `up to 100,000 (1,021 on average)` if the plan stops early; `all 442` if the noise has no more outcomes.
    """
    every = list(certificates)
    # all outcomes are not a sample: their number is told apart from numbers of samples
    enumerated = [certified.n for certified in every if certified.plan == "exhaustive"]
    fixed = [certified.n for certified in every if certified.plan == "fixed"]
    stopped = [certified for certified in every if certified.plan not in ("exhaustive", "fixed")]
    texts = [
        _range_text(fixed) if fixed else "",
        _stopped_text(stopped) if stopped else "",
        f"all {_range_text(enumerated)}" if enumerated else "",
    ]
    return " or ".join(filter(None, texts))


def _stopped_text(certificates: Sequence[Certificates]) -> str:
    """Return the number of noise samples per image where the plan stops early."""
    most = _range_text([certified.n for certified in certificates])
    # rounded up: a text must not claim fewer samples than were drawn
    means = _range_text([math.ceil(certified.mean_samples) for certified in certificates])
    pilot = ", with a pilot" if any(certified.plan == "two-stage" for certified in certificates) else ""
    return f"up to {most} ({means} on average{pilot})"


def _range_text(values: Sequence[int]) -> str:
    """Return one number, or the smallest and the largest."""
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


BETA = 1e-3
"""Error probability of statements about all images at once."""

CONFINED = {
    "": "",
    "box": " that keeps the image in [0, 1] and",
    "grid": " that yields an 8-bit image and",
}
"""The perturbations that certificates cover, by `Certificates.confined`."""


def guarantee(certificates: Certificates) -> str:
    """Return the guarantee of a set of certificates in one sentence."""
    label = "any of the certified labels" if certificates.labels == "top-k-set" else "the certified label"
    effect = f"removes {label} from the top {certificates.k} of"
    # of one label, to leave the top 1 is to change the prediction; a set of labels keeps its own words
    if certificates.k == 1 and certificates.labels != "top-k-set":
        effect = "changes the certified prediction of"
    unit = unit_text(certificates.norm, certificates.unit)
    # alpha is 0 where all outcomes of the noise were counted
    odds = f", with probability at least {1 - certificates.alpha:.10g} over the noise samples"
    together = ", for all k and norms at once" if certificates.jointly else ""
    if_so = "If the log is what it was stated to be: for" if certificates.unchecked else "For"
    return (
        f"{if_so} each image{odds if certificates.alpha else ''}{together}, no perturbation"
        f"{CONFINED[certificates.confined]} whose {certificates.norm} norm is at most the radius (in {unit}) "
        f"{effect} the smoothed classifier."
    )


def dataset_guarantee(certificates: Certificates) -> str:
    """Return how many certificates of all images may be false, in one sentence."""
    false, images = certificates.most_false(BETA), f"the {len(certificates):,} images"
    if not certificates.alpha:
        return f"All certificates of {images} hold, without sampling error."
    question = "all k and norms" if certificates.jointly else "one k, all norms"
    return (
        f"With probability {1 - BETA:g}, at most {false:,} of {images} have too large a radius ({question})."
    )


def identity(certificates: Certificates) -> dict[str, Any]:
    """Return everything that identifies a set of certificates, ready for JSON."""
    noise = certificates.noise
    return {
        "noise": noise.name,
        **noise.parameters,
        "scale": noise.scale,
        "norm": certificates.norm,
        "unit": certificates.unit,
        "box": certificates.box,
        "on_grid": certificates.on_grid,
        "k": certificates.k,
        "alpha": certificates.alpha,
        "jointly": certificates.jointly,
        "n": certificates.n,
        "plan": certificates.plan,
        "mean_samples": certificates.mean_samples,
        "method": certificates.method,
        "labels": certificates.labels,
        "data": str(certificates.data or ""),
        "shape": list(certificates.shape),
        "images": len(certificates),
        "guarantee": guarantee(certificates),
        **({"unchecked": list(certificates.unchecked)} if certificates.unchecked else {}),
    }


_TEX = {
    # special characters
    **{character: f"\\{character}" for character in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # those of our texts that fonts of LaTeX lack
    "σ": r"$\sigma$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "√": r"$\surd$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\N{MINUS SIGN}": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "’": "'",
    NO_BREAK: "~",
    # between straight quotes, "<" and ">" of old encodings are other characters
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "|": r"\textbar{}",
    **{f"ℓ{sign}": rf"$\ell_{name}$" for sign, name in (("₀", 0), ("₁", 1), ("₂", 2), ("∞", r"\infty"))},
    "ℓ": r"$\ell$",
}
# the longest first, so that a norm is one symbol
_TEX_PARTS = re.compile("|".join(map(re.escape, sorted(_TEX, key=len, reverse=True))))


def tex_text(text: str) -> str:
    """Return a text for LaTeX: special characters escaped, symbols as mathematics, other letters as they are.

    >>> print(tex_text("ℓ₂, σ = 0.5, 95 % of my_run"))
    $\\ell_2$, $\\sigma$ = 0.5, 95 \\% of my\\_run
    """
    printable = "".join(letter if letter.isprintable() or letter == NO_BREAK else " " for letter in text)
    return _TEX_PARTS.sub(lambda part: _TEX[part.group()], printable)


def docstring(of: Callable[..., Any]) -> str:
    """Return the docstring of a function or a class; empty if there is none.

    `python -OO` strips docstrings, and dataclasses then get generated ones: there it is read from the source.
    """
    if sys.flags.optimize < 2:
        return inspect.getdoc(of) or ""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except OSError:
        # installed without sources
        return ""
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(node) or ""
