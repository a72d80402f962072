"""Numbers of a page against a few lines that read the Parquet files and know nothing of radii."""

import math
import re

import numpy as np
import pyarrow.parquet
import pytest
from scipy.stats import beta, binom, binomtest, norm

import pages
from commands import fine

STORED = pages.ROOT / "results" / "mnist5k"
ALPHA, N = 0.001, 1000
DIVISOR = {"l2": 1, "l1": 1, "linf": math.sqrt(784) / 255}


def by_hand(sigma: str) -> dict[str, np.ndarray]:
    """Radii in l2, by Cohen et al. 2019 with a bound on the runner-up, and what is said of each true label."""
    table = pyarrow.parquet.read_table(STORED / f"gaussian-{sigma}.parquet")
    counts, label = np.array(table["counts"].to_pylist()), np.array(table["label"])
    # of equally frequent classes the first is predicted
    right = counts.argmax(axis=1) == label
    own = counts[np.arange(len(label)), label]
    counts[np.arange(len(label)), label] = -1
    other = counts.max(axis=1)
    lower = np.where(own > 0, beta.ppf(ALPHA / 2, own, N - own + 1), 0)
    upper = np.where(other < N, beta.ppf(1 - ALPHA / 2, other + 1, N - other), 1)
    rival = np.minimum(upper, 1 - lower)
    radius = np.maximum(float(sigma) / 2 * (norm.ppf(lower) - norm.ppf(rival)), 0)
    # a sign test of each other class, at an equal share of alpha
    refuted = binom.sf(other - 1, own + other, 0.5) <= ALPHA / 9
    return {"right": right, "held": lower > rival, "refuted": refuted, "radius": radius}


def percent(of: np.ndarray) -> str:
    return f"{100 * of.mean():.1f}"


def down(value: float, digits: int) -> str:
    return f"{math.floor(value * 10**digits * (1 - 1e-12)) / 10**digits:.{digits}f}"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    files = [STORED / f"gaussian-{sigma}.parquet" for sigma in ("0.5", "1")]
    norms = [word for one in DIVISOR for word in ("--norm", one)]
    fine("report", *files, *norms, "--k", 1, "--no-examples", "--out", folder)
    return (folder / "index.html").read_text()


def test_the_tables_of_radii_are_those_of_a_few_lines(page: str) -> None:
    rows = re.findall(r"</svg>Gaussian (0\.5|1)</th>((?:<td>[^<]+</td>){8})</tr>", page)
    assert len(rows) == 2 * len(DIVISOR)
    numbers = 0
    for place, (sigma, cells) in enumerate(rows):
        shown, found = re.findall(r"<td>([^<]+)</td>", cells), by_hand(sigma)
        division = [*DIVISOR.values()][place // 2]
        neither = ~found["held"] & ~found["refuted"]
        assert shown[:5] == ["1", *map(percent, (found["right"], found["held"], neither, found["refuted"]))]
        radii = np.quantile(found["radius"] / division, [0.25, 0.5, 0.75])
        expected = [down(radius, 3) if division == 1 else f"{down(radius, 2)}/255" for radius in radii]
        assert shown[5:] == expected
        numbers += 7
    assert numbers >= 30


def test_the_cards_are_those_of_a_few_lines(page: str) -> None:
    found = {sigma: by_hand(sigma) for sigma in ("0.5", "1")}
    cards = re.findall(r'<article class="norm-card" data-norm="(\w+)">(.*?)</article>', page, re.DOTALL)
    assert {name for name, _ in cards} == set(DIVISOR)
    for name, card in cards:
        lines = re.findall(
            r'row">([^<]+)</th><td class="share">([^<]+) %</td><td class="interval">([^<]+)</td>', card
        )
        assert len(lines) >= 3
        for at, share, interval in lines:
            if at == "plain accuracy":
                held = [one["right"] for one in found.values()]
            else:
                top, _, bottom = at.removeprefix("r = ").partition("/")
                radius = float(top) / float(bottom or 1) * (255 if name == "linf" else 1)
                held = [one["radius"] / DIVISOR[name] >= radius for one in found.values()]
            best = max(held, key=np.mean)
            ends = binomtest(int(best.sum()), len(best)).proportion_ci(method="exact")
            low, high = math.floor(1000 * ends.low) / 10, math.ceil(1000 * ends.high) / 10
            assert (share, interval) == (percent(best), f"{low:.1f}–{high:.1f}"), (name, at)
