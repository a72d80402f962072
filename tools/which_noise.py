"""Write the tables of docs/which-noise.md from the votes in results/.

Run: make which-noise. A table goes between `<!-- table: DATA NORM K -->` and `<!-- end -->`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

import radii
from radii.data import load_data
from radii.report.export import markdown_table, write_whole
from radii.report.formatting import round_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "which-noise.md"
PLACE = re.compile(r"<!-- table: (\w+) (\w+) (\w+) -->\n.*?<!-- end -->", re.DOTALL)
ALPHA = 0.001
VOTES = {
    "mnist5k": ["mnist5k/*.parquet"],
    "cifar10": ["cifar10/*/votes.parquet", "denoised/*/votes.parquet"],
}
RADII = {
    ("mnist5k", "l0"): (1, 2, 4, 6, 8),
    ("mnist5k", "l1"): (0.25, 0.5, 1, 1.5, 2),
    ("mnist5k", "box"): (1, 1.5, 2, 3, 4),
    ("mnist5k", "l2"): (0.25, 0.5, 1, 1.5, 2),
    ("mnist5k", "linf"): (2 / 255, 4 / 255, 8 / 255, 12 / 255, 16 / 255),
    ("cifar10", "l1"): (0.25, 0.5, 0.75, 1, 2),
    ("cifar10", "l2"): (0.25, 0.5, 0.75, 1),
    ("cifar10", "linf"): (1 / 255, 2 / 255, 3 / 255, 4 / 255),
}
NETWORKS = {
    "ordinary": "trained without noise",
    "denoiser": "trained without noise, behind a denoiser",
    "gaussian": "trained under noise",
}
"""Networks by the first word in the names of votes under Gaussian noise."""
ALONE = ("ordinary", "denoiser", "longer")
"""First words of votes whose networks are trained in another way."""


# several tables read the same votes
@lru_cache
def votes_of(data: str) -> tuple[tuple[str, radii.Votes], ...]:
    """Return all votes on a data set, with the names of their files or runs."""
    # sorted: tables must not depend on the order in which a file system lists files
    paths = [path for kind in VOTES[data] for path in sorted((ROOT / "results").glob(kind))]
    names = [path.parent.name if path.stem == "votes" else path.stem for path in paths]
    return tuple((name, radii.load_votes(path)) for name, path in zip(names, paths, strict=True))


@lru_cache
def images_of(data: str) -> np.ndarray:
    """Return the test images of a data set."""
    return load_data(data, "test").images()


def shares(votes: radii.Votes, data: str, norm: str, k: int) -> np.ndarray:
    """Return certified accuracy at the radii of the tables; the norm "box" is l1 within the box of each image."""
    if norm == "box":
        certificates = radii.certify(votes, "l1", k=k, alpha=ALPHA, images=images_of(data)[votes.index])
    else:
        certificates = radii.certify(votes, norm, k=k, alpha=ALPHA)
    return certificates.accuracy(RADII[data, norm])


def compare(data: str, norm: str, k: int) -> str:
    """Return a table with a row per noise: at each radius the accuracy at its best level, which is in brackets.

    Noises that certify no image are listed below the table.
    """
    by_noise: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for name, votes in votes_of(data):
        if ("l1" if norm == "box" else norm) in votes.noise.rules and not name.startswith(ALONE):
            by_noise[votes.noise.title].append((f"{votes.noise.level:g}", shares(votes, data, norm, k)))
    best = {title: max_of(levels) for title, levels in by_noise.items()}
    # the sum over the radii orders the rows, from the noise that certifies the most
    total = {title: sum(share for share, _ in cells) for title, cells in best.items()}
    shown = [title for title in sorted(total, key=lambda title: -total[title]) if total[title]]
    none = ", ".join(title for title in total if not total[title])
    words = f"\nNo image certified at these radii: {none}.\n" if none else ""
    return accuracy_table("noise", data, norm, [(title, best[title]) for title in shown]) + words


def denoised(data: str, norm: str) -> str:
    """Return a table with a row for each level of Gaussian noise and each network."""
    known = {(votes.noise.level, name.split("-")[0]): votes for name, votes in votes_of(data)}
    rows = [
        (f"σ = {level:g}, {words}", [(share, "") for share in shares(known[level, kind], data, norm, 1)])
        for level in sorted({level for level, kind in known if kind in ALONE})
        for kind, words in NETWORKS.items()
        if (level, kind) in known
    ]
    return accuracy_table("network", data, norm, rows, bold=False)


def max_of(levels: Sequence[tuple[str, np.ndarray]]) -> list[tuple[float, str]]:
    """Return the largest accuracy at each radius, with its level."""
    columns = zip(*(row for _, row in levels), strict=True)
    return [
        max((share, level) for share, (level, _) in zip(column, levels, strict=True)) for column in columns
    ]


def accuracy_table(
    head: str,
    data: str,
    norm: str,
    rows: Iterable[tuple[str, Sequence[tuple[float, str]]]],
    bold: bool = True,
) -> str:
    """Return a table of names and shares, with levels in brackets and the largest share in bold."""
    kept = list(rows)
    tops = [max(cells[column][0] for _, cells in kept) for column in range(len(RADII[data, norm]))]
    lines = []
    for title, cells in kept:
        line = [title]
        for (share, level), top in zip(cells, tops, strict=True):
            text = f"{share:.1%}" if share > 0 else "–"
            text = f"**{text}**" if bold and share == top > 0 else text
            line.append(f"{text} ({level})" if level and share > 0 else text)
        lines.append(line)
    return markdown_table([head, *(round_text(radius, norm) for radius in RADII[data, norm])], lines)


def filled(page: str) -> str:
    """Return the page with all its tables."""

    def table(match: re.Match[str]) -> str:
        data, norm, kind = match.groups()
        text = denoised(data, norm) if kind == "denoised" else compare(data, norm, int(kind))
        return f"<!-- table: {data} {norm} {kind} -->\n\n{text}\n<!-- end -->"

    return PLACE.sub(table, page)


if __name__ == "__main__":
    write_whole(PAGE, filled(PAGE.read_text(encoding="utf-8")))
