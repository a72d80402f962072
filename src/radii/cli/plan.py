"""The command that says what certificates will cost, before anything is paid."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli.listings import parse_shape
from radii.cli.options import Alpha, Radii, Sigma, Unit, parse_radii
from radii.console import console, say
from radii.errors import InputError
from radii.norms import unit_of


def plan(
    radius: Radii,
    p: Annotated[
        list[float],
        typer.Option(
            "--p", metavar="P", help="Probability of the label under noise; may be given several times."
        ),
    ] = [0.6, 0.9, 0.99, 0.999],  # noqa: B006 (typer copies it)
    noise: Annotated[str, typer.Option(help="laplace, gaussian or uniform.")] = "gaussian",
    sigma: Sigma = 0.5,
    norm: Annotated[str, typer.Option(help="l0, l1, l2 or linf.")] = "l2",
    k: Annotated[int, typer.Option(help="Certify the top K.")] = 1,
    alpha: Alpha = 1e-3,
    n_max: Annotated[int, typer.Option(help="The most noisy copies of one image.")] = 100_000,
    batch: Annotated[int, typer.Option(help="Look only after whole batches of so many copies.")] = 1,
    shape: Annotated[str, typer.Option(help="Shape of one image.")] = "3,32,32",
    unit: Unit = "pixel",
) -> None:
    """Say what certificates will cost.

    For each probability of the label: how likely the sequential plan certifies each radius, from the votes of the label
    alone, and how many noisy copies that takes, the mean, the median, and what is enough 19 times in 20; beside it,
    how likely the usual fixed number of n-max copies certifies the same. All exact, without any sampling.
    """
    from radii.designs import fixed_boundaries
    from radii.noises import make_noise
    from radii.planning import Question, sequential
    from radii.results import radius_text, round_text, unit_text

    law, asked = make_noise(noise, sigma), parse_radii(radius, norm)
    if len(asked) > 1:
        raise InputError(f"ask about one norm at a time; got radii in {', '.join(asked)}")
    norm, at = next(iter(asked.items()))
    unit = unit_of(norm, unit)
    question = Question(law, norm, at, parse_shape(shape), k, unit)
    chosen = sequential(question, alpha=alpha, n_max=n_max, batch=batch)
    usual = fixed_boundaries(chosen.levels, n_max, alpha)
    table = Table(box=SIMPLE_HEAD)
    law_of_draws = ("p", "mean copies", "median", "95 %")
    for header in (*law_of_draws, "radius", "needs p above", "certified", f"by {n_max} fixed"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in p:
        found, fixed = chosen.operating(one), usual.operating(one)
        draws = [f"{found.passes:.1f}", str(found.quantile(0.5)), str(found.quantile(0.95))]
        for row, level in enumerate(chosen.levels):
            first = [f"{one:.10g}", *draws] if row == 0 else [""] * 4
            shares = (f"{share[row]:.2%}" for share in (found.certified, fixed.certified))
            table.add_row(*first, round_text(question.radii[row], norm), f"{level:.10f}", *shares)
    console.print(table)
    reach = radius_text(question.farthest(n_max, alpha), norm)
    top = "first place" if k == 1 else f"a place in the top {k}"
    say(
        f"{norm} radii within which {top} is certain, in {unit_text(norm, unit)}, under {noise} noise, "
        f"sigma {sigma:g}, alpha {alpha:g}.\nThe largest that {n_max} copies can certify: {reach}"
    )
