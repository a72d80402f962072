"""Whether numbers come out right on this machine: known radii and bounds, stored noise, sums without rounding.

Nothing of this depends on luck. It takes a second, and is no proof: the tests are far more.
"""

from collections.abc import Callable

import numpy as np

from radii.certificates.radius import certified_radius
from radii.noises import Laplace, make_noise
from radii.noises.lattice import PARTS, draw_levels
from radii.noises.streams import Stream
from radii.votes.bounds import bounds

SHAPE = (3, 32, 32)

CLOSED = (
    ("gaussian:sigma=0.25", "l2", 0.99, 0.5815869685102103),  # sigma times the quantile of p
    ("laplace:sigma=0.5", "l1", 0.99, 1.38310899764801),  # -b log(2 (1 - p))
    ("uniform:sigma=0.5", "l1", 0.9, 0.6928203230275509),  # the width of the cube times p - 1/2
)
"""Noise, norm, probability of the label, and the radius that has a closed form."""

COMPUTED = (
    ("laplace:sigma=0.5", "linf", 0.99, 0.014943462),
    ("laplace:sigma=0.5", "l2", 0.99, 0.79429394),
    ("generalized-normal:exponent=4,sigma=0.5", "l2", 0.99, 0.82529671),
)
"""The same, of rules that compose losses or read a table that comes with radii."""

COUNTED = ((1000, 0, 0.9931160484209338), (990, 10, 0.9760361871553114))
"""Votes for the label and for its rival, and the lower bound on its probability, at alpha 0.001."""

PLACE = (7, 123)
"""The image and the draw whose noise is stored here; the seed is 5."""

DRAWN = {
    "normal": (1.3368006, -3.1186938, -0.61672294, 1.4390442),
    "exponential": (0.8379549, 6.959413, 0.92130196, 1.2337818),
    "uniform": (0.82638085, 0.9041584, 0.44874007, 0.7628757),
    "double": (0.904158472741577, 0.762875717237764, 0.17584645689229894, 0.2548207296668077),
}
"""Its first numbers, as the noises that are made of them ask for them."""

LATTICE = (145, 390, -2507, 1972, -2649, 352, 2632, -24)
"""Laplace noise of sigma 0.5 there in steps of the lattice."""


def wrong_radii() -> str:
    """Closed forms to nine digits, and from below; the others to a millionth."""
    for cases, above, below in ((CLOSED, 1e-12, 1e-9), (COMPUTED, 1e-6, 1e-6)):
        for name, norm, p, expected in cases:
            found = float(certified_radius(make_noise(name), norm, np.array([p]), shape=SHAPE)[0])
            if not expected * (1 - below) <= found <= expected * (1 + above):
                return f"the {norm} radius of {name} at p = {p:g} is {expected:.10g}, not {found:.10g}"
    return ""


def wrong_bounds() -> str:
    """Exact confidence bounds, to nine digits and from below."""
    for votes, others, expected in COUNTED:
        found = float(bounds(np.array([[votes, others]]), np.array([0]), method="binary")[0][0])
        if not expected * (1 - 1e-9) <= found <= expected:
            return (
                f"{votes} of {votes + others} votes prove a probability of {expected:.10g}, not {found:.10g}"
            )
    return ""


def wrong_noise() -> str:
    """Counted random numbers, to the last digits, where other processors may round differently."""
    for kind, expected in DRAWN.items():
        found = getattr(Stream(5).at(*([one] for one in PLACE)), kind)((1, len(expected)))[0]
        if not np.allclose(found, expected, rtol=1e-6, atol=0):
            return (
                f"from one seed numpy {np.__version__} draws other {kind} numbers than radii knows: votes drawn here "
                "hold, but nobody with another version can draw them again"
            )
    return ""


def wrong_lattice() -> str:
    """Noise on the lattice as it is stored, and its sums with bytes in float32, which must round nothing."""
    noise = draw_levels(Laplace(0.5), Stream(5).at(*([one] for one in PLACE)), (1, 256))
    levels = np.arange(256, dtype=np.uint8)[None]
    if (noise[0, : len(LATTICE)] * PARTS).tolist() != list(LATTICE):
        return "noise on the lattice is not that which is stored"
    if not np.array_equal((levels + noise).astype(np.float64), levels.astype(np.float64) + noise):
        return "a byte plus noise on the lattice was rounded"
    return ""


def wrong_network(device: str) -> str:
    """A convolution and a matrix product of whole numbers so small that nothing is rounded, in whatever order."""
    import torch

    random = np.random.default_rng(0)
    images, kernels = random.integers(-8, 9, (4, 8, 18, 18)), random.integers(-8, 9, (16, 8, 3, 3))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (2, 3))
    expected = np.einsum("nchwij,kcij->nkhw", windows, kernels)
    with torch.inference_mode():
        left, right = (torch.from_numpy(one).float().to(device) for one in (images, kernels))
        found = torch.nn.functional.conv2d(left, right).cpu().numpy()
        product = (left.flatten(1) @ left.flatten(1).T).cpu().numpy()
    flat = images.reshape(len(images), -1)
    if not (np.array_equal(found, expected) and np.array_equal(product, flat @ flat.T)):
        return f"torch multiplies whole numbers wrongly on {device}"
    return ""


CHECKS: dict[str, Callable[[], str]] = {
    "radii from probabilities": wrong_radii,
    "bounds from counts": wrong_bounds,
    "counted noise": wrong_noise,
    "noise on the lattice": wrong_lattice,
}
"""What is checked, and what says the first thing that is wrong, or nothing; all without torch."""
