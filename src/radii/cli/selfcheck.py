"""Self checks: whether this machine computes known radii, bounds, noise and sums correctly.

Each check is deterministic and returns the first error that it finds, or an empty text. They take a second, and do not
replace the tests.
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
"""The same for rules that compose losses or read a table of the package."""

COUNTED = ((1000, 0, 0.9931160484209338), (990, 10, 0.9760361871553114))
"""Votes for the label and for its rival, and the lower bound on the label's probability at alpha 0.001."""

POSITION = (7, 123)
"""Image and draw of the stored random numbers; the seed is 5."""

DRAWN = {
    "normal": (1.3368006, -3.1186938, -0.61672294, 1.4390442),
    "exponential": (0.8379549, 6.959413, 0.92130196, 1.2337818),
    "uniform": (0.82638085, 0.9041584, 0.44874007, 0.7628757),
    "double": (0.904158472741577, 0.762875717237764, 0.17584645689229894, 0.2548207296668077),
}
"""The first numbers there, by the methods that noises call."""

LATTICE = (145, 390, -2507, 1972, -2649, 352, 2632, -24)
"""Laplace noise of sigma 0.5 there, in steps of the lattice."""


def wrong_radii() -> str:
    """Check radii: closed forms to nine digits and from below, the others to a millionth."""
    # a radius above its closed form would not be a certificate, so that side has the room of rounding alone
    for cases, above, below in ((CLOSED, 1e-12, 1e-9), (COMPUTED, 1e-6, 1e-6)):
        for name, norm, p, expected in cases:
            radius = float(
                certified_radius(make_noise(name), norm, np.array([p]), shape=SHAPE, unit="feature")[0]
            )
            if not expected * (1 - below) <= radius <= expected * (1 + above):
                return f"the {norm} radius of {name} at p = {p:g} is {expected:.10g}, not {radius:.10g}"
    return ""


def wrong_bounds() -> str:
    """Check Clopper-Pearson bounds, to nine digits and from below."""
    for votes, others, expected in COUNTED:
        lower = float(bounds(np.array([[votes, others]]), np.array([0]), method="binary")[0][0])
        if not expected * (1 - 1e-9) <= lower <= expected:
            return (
                f"{votes} of {votes + others} votes prove a probability of {expected:.10g}, not {lower:.10g}"
            )
    return ""


def wrong_noise() -> str:
    """Check counter-based random numbers, up to the last digits, which other processors may round differently."""
    for kind, expected in DRAWN.items():
        # a new stream for each kind, so that all begin at the same position
        numbers = getattr(_stream(), kind)((1, len(expected)))[0]
        if not np.allclose(numbers, expected, rtol=1e-6, atol=0):
            return (
                f"numpy {np.__version__} draws other {kind} numbers from a seed than radii expects: votes drawn here "
                "are valid, but another version cannot reproduce them"
            )
    return ""


def wrong_lattice() -> str:
    """Check noise on the lattice, and its sums with bytes in float32, which must be exact."""
    # 256 numbers, one for each value of a byte, so that a sum with every byte is checked
    noise = draw_levels(Laplace(0.5), _stream(), (1, 256))
    levels = np.arange(256, dtype=np.uint8)[None]
    if (noise[0, : len(LATTICE)] * PARTS).tolist() != list(LATTICE):
        return "noise on the lattice differs from the stored noise"
    if not np.array_equal((levels + noise).astype(np.float64), levels.astype(np.float64) + noise):
        return "a byte plus noise on the lattice was rounded"
    return ""


def _stream() -> Stream:
    return Stream(5).at(*([number] for number in POSITION))


def wrong_network(device: str) -> str:
    """Check a convolution and a matrix product on a device, of integers small enough for exact sums in any order."""
    import torch

    random = np.random.default_rng(0)
    # sums of 2592 products of at most 64 stay far below 2**24, up to which float32 holds all integers, also in tf32
    images, kernels = random.integers(-8, 9, (4, 8, 18, 18)), random.integers(-8, 9, (16, 8, 3, 3))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (2, 3))
    expected = np.einsum("nchwij,kcij->nkhw", windows, kernels)
    with torch.inference_mode():
        left, right = (torch.from_numpy(array).float().to(device) for array in (images, kernels))
        convolved = torch.nn.functional.conv2d(left, right).cpu().numpy()
        product = (left.flatten(1) @ left.flatten(1).T).cpu().numpy()
    flat = images.reshape(len(images), -1)
    if not (np.array_equal(convolved, expected) and np.array_equal(product, flat @ flat.T)):
        return f"torch multiplies integers wrongly on {device}"
    return ""


CHECKS: dict[str, Callable[[], str]] = {
    "radii from probabilities": wrong_radii,
    "bounds from counts": wrong_bounds,
    "reproducible noise": wrong_noise,
    "noise on the lattice": wrong_lattice,
}
"""Checks that need no torch, by what they check."""
