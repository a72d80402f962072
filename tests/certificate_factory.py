"""Made-up certificates, seeded, for the tests of everything that shows results."""

import math

import numpy as np

from radii.certificates import Certificates
from radii.noises import make_noise
from radii.votes import ImageIdentity

# Roughly what three models of CIFAR-10 reach: the spread of their radii in each norm, as multiples of sigma.
REACH = {
    "laplace": {"l0": 2.0, "l1": 1.6, "l2": 1.1, "linf": 0.021},
    "gaussian": {"l0": 2.4, "l1": 1.2, "l2": 1.2, "linf": 0.022},
    "uniform": {"l0": 0.9, "l1": 1.5, "l2": 0.4, "linf": 0.0008},
}


def make_certificates(
    noise="laplace", norm="l2", *, k=1, sigma=0.5, images=120, seed=0, unit="feature"
) -> Certificates:
    """Certificates of `images` images: the same seed gives radii that grow with k, as real ones do."""
    draws = np.random.default_rng([seed, images])
    # the same for all seeds: runs are about the same images
    true = np.random.default_rng(0).integers(0, 10, 100_000)[:images]
    lower = 1 - draws.beta(0.55, 1.1, images) ** (0.8 + 0.35 * k)
    wrong = draws.random(images) < 0.15 / k
    label = np.where(wrong, (true + 1) % 10, true)
    abstained = lower <= 1 / (k + 1)
    cap = (1e-3) ** (1 / 100_000)
    lower = np.minimum(lower, cap)
    strength = np.log(np.maximum(lower * k / (1 - lower), 1.0)) / math.log(cap / (1 - cap))
    radius = np.where(abstained, 0.0, 3 * sigma * REACH[noise][norm] * strength)
    if norm == "l0":
        radius = np.floor(radius * 2)
    return Certificates(
        label=label,
        predicted=label,
        status=np.where(abstained, "abstained", "certified"),
        radius=radius,
        lower=lower,
        index=np.arange(images) * 20,
        true_label=true,
        true_rank=None,
        noise=make_noise(noise, sigma),
        norm=norm,
        unit=unit if norm == "l0" else "feature",
        k=k,
        alpha=1e-3,
        method="two events",
        labels="predicted",
        shape=(3, 32, 32),
        n=100_000,
        plan="fixed",
        mean_samples=100_100.0,
        seed=seed,
        data=ImageIdentity("CIFAR-10", "test", part="every 20th of 10000"),
    )
