"""Texts and tables in LaTeX, with the rules of the package booktabs."""

from collections.abc import Iterable, Sequence

SYMBOLS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "ℓ": r"$\ell$",
    "₀": r"$_0$",
    "₁": r"$_1$",
    "₂": r"$_2$",
    "∞": r"$_\infty$",
    "σ": r"$\sigma$",
    "α": r"$\alpha$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "–": "--",
    "\N{NO-BREAK SPACE}": "~",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
"""Letters that LaTeX takes for commands, and those that its usual fonts lack."""


def escaped(text: str) -> str:
    """Return text as LaTeX shows it literally.

    >>> print(escaped("50% of σ_1"))
    50\\% of $\\sigma$\\_1
    """
    return "".join(SYMBOLS.get(letter, letter) for letter in text)


def bold(text: str) -> str:
    """Return text in bold."""
    return rf"\textbf{{{text}}}"


def tabular(headers: Sequence[str], rows: Iterable[Iterable[str]], names: int = 1) -> str:
    """Return a table of cells in LaTeX, the first `names` columns aligned left, the others right."""
    columns = "l" * names + "r" * (len(headers) - names)
    lines = [_row(headers), r"\midrule", *map(_row, rows)]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}", ""]
    )


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
