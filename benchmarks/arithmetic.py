"""How long the arithmetic takes: bounds and certified radii of 10,000 images, k = 3, on one core.

Run: OMP_NUM_THREADS=1 python benchmarks/arithmetic.py. The first Laplace linf row of each size also builds its table.
"""

import time

import numpy as np

import radii

IMAGES, K = 10_000, 3


def seconds(call) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(100_000, rng.dirichlet(np.full(10, 0.3), IMAGES))
    label = counts.argmax(axis=1)
    for method in ("two-event", "simultaneous", "label"):
        taken = seconds(lambda m=method: radii.bounds(counts, label, k=K, method=m))
        print(f"bounds, {method:13} {taken:8.3f} s")
    lower, rivals = radii.bounds(counts, label, k=K)
    for shape in ((3, 32, 32), (3, 224, 224)):
        print(f"\ncertified radii, inputs of {np.prod(shape)} features")
        for noise in (radii.Gaussian(0.5), radii.Laplace(0.5), radii.Uniform(0.5)):
            for norm in radii.NORMS:

                def certify(noise=noise, norm=norm, shape=shape) -> None:
                    radii.certified_radius(noise, norm, lower, rivals, k=K, shape=shape)

                first, again = seconds(certify), seconds(certify)
                print(f"{noise.name:9} {norm:5} {first:8.3f} s, again {again:8.3f} s")


if __name__ == "__main__":
    main()
