"""How tight every rule is, and what it costs: certified radii beside those of the best attack found, and their time.

Run: OMP_NUM_THREADS=1 python benchmarks/rules.py; a quarter of an hour.
"""

import numpy as np
from measure import seconds, table

import radii
from radii.certificates.falsify import attack_radius
from radii.noises import NOISES, Noise, example, example_name

PROBABILITIES = (0.75, 0.99)
ATTACKED, USUAL = (1, 4, 4), (3, 32, 32)
COUNT = 10_000


def ratio(noise: Noise, norm: str, p: float) -> str:
    """Certified radius over the least one at which an attack succeeds."""
    if norm == "l0":
        return ""
    certified = radii.certified_radius(noise, norm, np.array([p]), shape=ATTACKED)[0]
    attack = attack_radius(noise, norm, p, ATTACKED)
    return f"{certified / attack:.2f}" if attack < np.inf else "no attack"


def cost(noise: Noise, norm: str) -> str:
    """Microseconds a radius, once any table is made."""
    p = np.linspace(0.5, 0.9999, COUNT)
    taken = [seconds(lambda: radii.certified_radius(noise, norm, p, shape=USUAL)) for _ in range(2)]
    return f"{1e6 * taken[1] / COUNT:,.1f}"


def section() -> str:
    """All rules as a section in Markdown."""
    rows = []
    for kind in NOISES.values():
        noise = example(kind)
        for norm, rule in noise.rules.items():
            tight = [ratio(noise, norm, p) for p in PROBABILITIES]
            rows.append([f"{example_name(kind)}, {norm}", rule.tightness, *tight, cost(noise, norm)])
    heads = [f"certified / attack, p = {p:g}" for p in PROBABILITIES]
    attacked, usual = (" x ".join(map(str, shape)) for shape in (ATTACKED, USUAL))
    words = (
        f"Attacks: inputs of {attacked}, 100,000 noise samples, accurate to about 1 %; none in l0, where radii are "
        f"whole numbers. Time: {COUNT:,} top-1 radii from probabilities, {usual}, on one core."
    )
    return "\n\n".join(
        [
            "## Tightness and cost of every rule",
            words,
            table(["noise, norm", "tightness", *heads, "microseconds per radius"], rows),
        ]
    )


if __name__ == "__main__":
    print(section())
