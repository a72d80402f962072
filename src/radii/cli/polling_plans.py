"""The sampling plan that the options of radii vote mean, and how far it reaches."""

from typing import Any

from radii.designs import PLANS, Plan
from radii.errors import InputError, check_name
from radii.noises import Noise
from radii.norms import unit_of


def choose_plan(
    noise: Noise,
    name: str | None,
    radii: dict[str, tuple[float, ...]],
    n: int | None,
    n_max: int | None,
    selection: int | None,
    **asked: Any,
) -> Plan:
    """The plan that these options mean; options that it has no use for are refused."""
    from radii.planning import choose

    usual = "exhaustive" if noise.outcomes else "sequential" if radii else "fixed"
    name = check_name("sampling plan", name or usual, PLANS)
    for option, given, fits in (
        ("n", n is not None, name == "fixed"),
        ("n-max", n_max is not None, name not in ("fixed", "exhaustive")),
        ("radii", bool(radii), name in ("sequential", "top-k")),
        ("selection", selection is not None, name not in ("two-stage", "exhaustive")),
    ):
        if given and not fits:
            raise InputError(
                f"--{option} has no meaning for the plan {name}: leave it out, or choose another plan"
            )
    most, apart = (
        (1000 if n is None else n, 100) if name == "fixed" else (100_000 if n_max is None else n_max, 0)
    )
    given_apart = apart if selection is None else selection
    return choose(name, noise, radii, n_max=most, selection=given_apart, **asked)


def reachable(plan: Plan, noise: Noise, k: int, alpha: float, classes: int, shape: tuple[int, ...]) -> str:
    """What so many draws can certify at most, in words; an error if that is nothing."""
    from radii.certificates import check_reach, reachable_radius
    from radii.wording import radius_text

    if (test := plan.last_test(alpha, "two-event" if plan.per_image else "label")) is None:
        return f"All {plan.most} noisy copies of each image: exact, no error probability"
    (method, last), n = test, plan.most
    check_reach(n, k, last, method, classes)
    known: dict[str, Any] = {"k": k, "alpha": last, "method": method, "classes": classes, "shape": shape}
    reach = {
        norm: reachable_radius(noise, norm, n, unit=unit_of(norm, "pixel"), **known) for norm in noise.rules
    }
    farthest = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    return f"The largest radii that {n} draws can certify at alpha {alpha:g}: {farthest}"
