"""A second way to the law of a plan's outcome: draw by draw, without windows, in whole numbers or long doubles."""

from fractions import Fraction

import numpy as np

from radii.votes.plans import Boundaries


def count_paths(plan: Boundaries, p: float) -> list[list[Fraction]]:
    """Exactly how probable it is to end with c levels certified at look i: `[c][i]`, for the very number `p`."""
    success, whole = Fraction(p).as_integer_ratio()
    levels, looks = plan.certify.shape
    ended = [[Fraction(0)] * looks for _ in range(levels + 1)]
    ways = {(0, 0): 1}
    at = {int(n): look for look, n in enumerate(plan.looks)}
    for n in range(1, int(plan.looks[-1]) + 1):
        after: dict[tuple[int, int], int] = {}
        for (failures, done), weight in ways.items():
            for more, chance in ((0, success), (1, whole - success)):
                key = failures + more, done
                after[key] = after.get(key, 0) + weight * chance
        ways = after
        if n in at:
            ways = {}
            for (failures, before), weight in after.items():
                done = before
                while done < levels and failures <= plan.certify[done, at[n]]:
                    done += 1
                if done == levels or failures >= plan.futile[done, at[n]]:
                    ended[done][at[n]] += Fraction(weight, whole**n)
                else:
                    ways[failures, done] = ways.get((failures, done), 0) + weight
    assert not ways
    return ended


def draw_by_draw(looks: np.ndarray, certify: np.ndarray, p: float) -> float:
    """The probability that failures are at most `certify` at any of `looks`, both `(looks,)`, in long doubles."""
    q = np.longdouble(1 - p)
    law, total = np.zeros(int(looks[-1]) + 2, dtype=np.longdouble), np.longdouble(0)
    law[0] = 1
    # more failures than the last boundary are never few enough again
    end = int(np.max(certify)) + 2
    law = law[:end]
    at = dict(zip(looks.tolist(), certify.tolist(), strict=True))
    for n in range(1, int(looks[-1]) + 1):
        law[1:] = law[1:] * (1 - q) + law[:-1] * q
        law[0] *= 1 - q
        if n in at:
            total += law[: at[n] + 1].sum()
            law[: at[n] + 1] = 0
    return float(total)


def keep_going(plan: Boundaries) -> Boundaries:
    """The same tests, by someone who never gives up before the last look."""
    futile = np.full_like(plan.futile, plan.looks[-1] + 1)
    futile[:, -1] = plan.certify[:, -1] + 1
    return Boundaries(plan.looks, plan.certify, futile)
