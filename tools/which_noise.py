"""Write the tables of docs/which-noise.md and the sentences below them from the votes in results/.

Run: make which-noise. A table goes between `<!-- table: DATA NORM K -->` and `<!-- end -->`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from textwrap import fill

import numpy as np

import radii
from radii.data import load_data
from radii.report.export import markdown_table, write_whole
from radii.report.formatting import round_text
from radii.report.winners import Winners, find_winners, winners_text

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


def certified(votes: radii.Votes, data: str, norm: str, k: int) -> radii.Certificates:
    """Return the certificates of a table; the norm "box" is l1 within the box of each image."""
    if norm == "box":
        return radii.certify(votes, "l1", k=k, alpha=ALPHA, images=images_of(data)[votes.index])
    return radii.certify(votes, norm, k=k, alpha=ALPHA)


def runs_of(data: str, norm: str, k: int) -> dict[str, radii.Certificates]:
    """Return the certificates of all runs of a table, by the names that reports give to runs."""
    return {
        f"{votes.noise.title} {votes.noise.level:g}": certified(votes, data, norm, k)
        for name, votes in votes_of(data)
        if ("l1" if norm == "box" else norm) in votes.noise.rules and not name.startswith(ALONE)
    }


def compare(data: str, norm: str, k: int) -> str:
    """Return a table with a row per noise: at each radius the accuracy at its best level, which is in brackets.

    In bold are the best run of a column and all that paired tests do not separate from it. Below the table stand
    the best runs, and the noises that certify no image.
    """
    runs = runs_of(data, norm, k)
    at_columns = find_winners(runs, RADII[data, norm])
    best = {
        title: best_levels(at_columns, {name: one for name, one in runs.items() if one.noise.title == title})
        for title in dict.fromkeys(one.noise.title for one in runs.values())
    }
    # the sum over the radii orders the rows, from the noise that certifies the most
    total = {title: sum(share for share, _, _ in cells) for title, cells in best.items()}
    shown = [title for title in sorted(total, key=lambda title: -total[title]) if total[title]]
    none = ", ".join(title for title in total if not total[title])
    words = f"\nNo image certified at these radii: {none}.\n" if none else ""
    # the runs on CIFAR-10 are those of the report, which tests them at radii that depend on the runs alone
    tested = find_winners(runs) if data == "cifar10" else at_columns
    table = accuracy_table("noise", data, norm, [(title, best[title]) for title in shown])
    # a number stays with its percent sign, since `fill` does not break lines at the space between them
    best_runs = fill(winners_text(tested), width=100, break_long_words=False, break_on_hyphens=False)
    return f"{table}{words}\n{best_runs}\n"


def denoised(data: str, norm: str) -> str:
    """Return a table with a row for each level of Gaussian noise and each network."""
    known = {(votes.noise.level, name.split("-")[0]): votes for name, votes in votes_of(data)}
    rows = [
        (
            f"σ = {level:g}, {words}",
            [
                (share, "", False)
                for share in certified(known[level, kind], data, norm, 1).accuracy(RADII[data, norm])
            ],
        )
        for level in sorted({level for level, kind in known if kind in ALONE})
        for kind, words in NETWORKS.items()
        if (level, kind) in known
    ]
    return accuracy_table("network", data, norm, rows)


def best_levels(winners: Winners, runs: Mapping[str, radii.Certificates]) -> list[tuple[float, str, bool]]:
    """Return the largest accuracy of the runs at each radius, its level, and whether it may be the best of all runs."""
    rows = [winners.names.index(name) for name in runs]
    cells = []
    for column in range(len(winners.radii)):
        # of equal shares that of the largest level
        row, name = max(
            zip(rows, runs, strict=True),
            key=lambda pair: (winners.shares[pair[0], column], runs[pair[1]].noise.level),
        )
        cells.append(
            (
                float(winners.shares[row, column]),
                f"{runs[name].noise.level:g}",
                bool(winners.leaders[row, column]),
            )
        )
    return cells


def accuracy_table(
    head: str,
    data: str,
    norm: str,
    rows: Iterable[tuple[str, Sequence[tuple[float, str, bool]]]],
) -> str:
    """Return a table of names and shares, with levels in brackets, and bold where marked."""
    lines = []
    for title, cells in rows:
        line = [title]
        for share, level, bold in cells:
            text = f"{share:.1%}" if share > 0 else "–"
            text = f"**{text}**" if bold and share > 0 else text
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
