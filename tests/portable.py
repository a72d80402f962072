"""Numbers that must not depend on the processor, printed as JSON: test_portable.py runs it under many settings.

`same` must agree bit for bit, `near` to 1e-12. `portable.json` holds what one machine printed; where rules or plans
change on purpose, write it anew: python tests/portable.py > tests/portable.json
"""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np

import radii
from radii.noises import ProductNoise, example_name
from radii.noises.lattice import draw_levels
from radii.noises.streams import Stream

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "cifar10"
OLDER = Path(__file__).parent / "formats" / "votes-3-sequential.parquet"
SHAPE = (3, 32, 32)
SHOWN = 8
"""Of so many images of a stored run, the radius of one is compared."""
P = np.array([0.51, 0.6, 0.75, 0.9, 0.99, 0.999, 0.99999])
ASKED = {"l1": (0.25, 0.5, 1.0), "l2": (0.25, 0.5), "linf": (1 / 255, 2 / 255)}
ROUND = {**ASKED, "l0": (1, 2), "l2": (0.25, 0.5, 0.75, 1.0)}


def rules() -> dict[str, Any]:
    """The radius of every rule, for k = 1 and 3."""
    found = {}
    for kind in radii.NOISES.values():
        noise = radii.make_noise(example_name(kind))
        for norm in noise.rules:
            for k in (1, 3):
                at = radii.certified_radius(noise, norm, P, k=k, shape=SHAPE, unit="feature")
                found[f"{noise.name} {norm} {k}"] = at.tolist()
    return found


def bounds() -> dict[str, Any]:
    """Confidence bounds of some counts by every method."""
    counts = np.random.default_rng(0).multinomial(10_000, [0.6, 0.2, 0.1, 0.05, 0.05], size=20)
    counts = np.concatenate([counts, [[10_000, 0, 0, 0, 0], [0, 1, 9_999, 0, 0], [5_000, 5_000, 0, 0, 0]]])
    found = {}
    for method in ("two-event", "simultaneous", "binary"):
        lower, rivals = radii.bounds(counts, np.zeros(len(counts), int), k=2, method=method)
        found[method] = [lower.tolist(), rivals.ravel().tolist()]
    return found


def plans() -> dict[str, Any]:
    """Everything by which plans stop."""
    found: dict[str, Any] = {}
    for noise in (radii.Laplace(0.5), radii.Gaussian(0.25), radii.Uniform(0.5)):
        asked = [
            radii.RadiusTarget(noise, norm, at, SHAPE, k, exact_arithmetic=exact)
            for norm, at in ASKED.items()
            for k, exact in ((1, False), (3, True))
            if noise.name != "uniform" or norm == "l1"
        ]
        asked = [one for one in asked if max(one.radii) < one.farthest(100_000, 1e-3) * 0.9]
        plan = radii.sequential(*asked)
        edges = plan.boundaries
        found[noise.name] = [plan.levels, edges.looks, edges.certify, edges.futile]
        top = radii.sequential_top_k(asked[0])
        found[f"{noise.name} top-k"] = [top.level, top.looks]
        two = radii.two_stage(noise, "l1", shape=SHAPE)
        found[f"{noise.name} two-stage"] = [
            two.price,
            radii.certificates.planning.fresh_samples(two, noise, np.arange(1001), shape=SHAPE),
        ]
    return found


def stored() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of all stored votes: certified accuracy, abstentions, and the radii themselves."""
    same, near = {}, {}
    for path in [*sorted(RESULTS.glob("*/votes*.parquet")), OLDER]:
        votes = radii.load_votes(path)
        for norm in votes.noise.rules:
            one = radii.certify(votes, norm, alpha=1e-3, unit="feature")
            name = f"{path.parent.name}/{path.stem} {norm}"
            same[name] = [one.accuracy(ROUND[norm]), np.packbits(~one.certified)]
            near[name] = one.radius[::SHOWN].tolist()
    votes = [radii.load_votes(path) for path in sorted(RESULTS.glob("*/votes*.parquet"))]
    same["headline"] = runpy.run_path(str(ROOT / "tools" / "headline.py"))["headline"](votes)
    return same, near


def lattice() -> dict[str, Any]:
    """Noise in steps of the lattice, whole numbers."""
    stream = Stream(5).at([1, 2], [3, 4])
    return {
        noise.name: draw_levels(noise, stream, (2, 1, 16, 16))
        for noise in (radii.Laplace(0.5), radii.Gaussian(0.25), radii.Uniform(0.5))
        if isinstance(noise, ProductNoise)
    }


def main() -> None:
    """Print all of it."""
    same, near = stored()
    same |= {"plans": plans(), "lattice": lattice()}
    near |= {"rules": rules(), "bounds": bounds()}
    print(json.dumps({"near": near, "same": same}, default=lambda value: value.tolist(), sort_keys=True))


if __name__ == "__main__":
    main()
