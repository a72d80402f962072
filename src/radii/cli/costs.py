"""What radii plan says of a whole data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.console import console, duration_text, say, size_text
from radii.costs import Devices, Work, mean_draws, pilot_shares, standard_error
from radii.designs import Sequential, fixed
from radii.errors import InputError
from radii.planning import Question
from radii.votes import Votes, load_votes

Images = Annotated[
    int | None, typer.Option(help="Images of a data set: say what votes on all of them cost as well.")
]
Classes = Annotated[int | None, typer.Option(help="Classes of the model.  [default: the pilot's, or 10]")]
Pace = Annotated[
    float | None, typer.Option(help="Noisy copies that one device polls in a second; says how long it takes.")
]
Number = Annotated[int | None, typer.Option(help="Devices that share the work.  [default: 1]")]
Price = Annotated[float | None, typer.Option(help="Price of one device for an hour, in any currency.")]
Draws = Annotated[
    int | None, typer.Option(help="Copies of every image, by the fixed plan.  [default: as n-max]")
]
Selection = Annotated[
    int | None,
    typer.Option(help="Separate copies that predict its label, by the fixed plan.  [default: 100]"),
]
Pilot = Annotated[
    Path | None,
    typer.Option(
        metavar="VOTES",
        help="Votes of the model on some of the images, 1000 or so of each, from which P is estimated.",
    ),
]


@dataclass(frozen=True)
class Asked:
    """What is asked about a whole data set, by the names of the options; None for what was not given."""

    images: int | None
    pilot: Path | None
    classes: int | None
    n: int | None
    selection: int | None
    passes_per_second: float | None
    devices: int | None
    price: float | None

    def check(self, has_radii: bool) -> None:
        """Refuse options that mean nothing without others."""
        given = [one.name for one in fields(self) if getattr(self, one.name) is not None]
        if given and self.images is None:
            option = given[0].replace("_", "-")
            raise InputError(f"--{option} is about a whole data set: say with --images how large it is")
        if not given and not has_radii:
            raise InputError("missing option '--radii', or --images to plan for a fixed number of copies")
        if self.pilot and not has_radii:
            raise InputError("--pilot is for the sequential plan: say with --radii what to certify")
        if self.passes_per_second is None and (self.devices is not None or self.price is not None):
            name = "price" if self.devices is None else "devices"
            raise InputError(f"--{name} needs --passes-per-second, of one device")
        self.fleet()

    def fleet(self) -> Devices | None:
        """The devices, if it is known what they can do."""
        if self.passes_per_second is None:
            return None
        return Devices(self.passes_per_second, 1 if self.devices is None else self.devices, self.price)

    def work(
        self,
        n_max: int,
        question: Question | None = None,
        plan: Sequential | None = None,
        p: Sequence[float] = (),
    ) -> tuple[dict[str, Work], str]:
        """The work by the fixed plan, and by a sequential one, and what that assumes."""
        assert self.images is not None
        votes, classes = load_pilot(self.pilot, self.classes)
        selection = {} if self.selection is None else {"selection": self.selection}
        usual = fixed(n_max if self.n is None else self.n, **selection)
        work = {"fixed": Work(self.images, classes, (usual.n,), usual.selection)}
        if question is None or plan is None:
            return work, ""
        draws, assumed = expected_draws(question, plan, p, votes)
        return work | {"sequential": Work(self.images, classes, tuple(draws.tolist()))}, assumed


def load_pilot(path: Path | None, classes: int | None) -> tuple[Votes | None, int]:
    """The pilot, if there is one, and the number of classes."""
    if path is None:
        return None, 10 if classes is None else classes
    pilot = load_votes(path)
    if classes not in (None, len(pilot.classes)):
        raise InputError(f"the pilot has {len(pilot.classes)} classes, not {classes}: leave out --classes")
    return pilot, len(pilot.classes)


def expected_draws(
    question: Question, plan: Sequential, p: Sequence[float], pilot: Votes | None
) -> tuple[np.ndarray, str]:
    """Mean draws of images that stand for all, `(kinds,)`, and what that assumes."""
    if pilot is None:
        draws, listed = mean_draws(plan, p), ", ".join(f"{one:.10g}" for one in p)
        assumed = (
            f"as if these had the probabilities {listed} equally often, and no others.\n"
            "That is a guess: votes on some of the images, given as --pilot, say what a model needs."
        )
    else:
        draws = mean_draws(plan, pilot_shares(pilot, question.noise, question.shape))
        assumed = (
            f"as if all images were like the {len(pilot)} of the pilot, and each label\nas probable as its share of "
            f"{pilot.n:,} votes; so few images leave a standard error of {standard_error(draws):.0%}."
        )
    return draws, f"sequential: watching true labels, {assumed}"


def say_costs(asked: Asked, work: Mapping[str, Work], assumed: str) -> None:
    """Print what votes on the whole data set cost, and what that assumes."""
    fleet = asked.fleet()
    console.print(cost_table(work, fleet))
    usual = work["fixed"]
    say(f"fixed: {usual.draws[0]:,} copies of every image, and {usual.selection:,} that predict its label.")
    if assumed:
        say(assumed)
    if not fleet:
        say("With --passes-per-second, also how long it takes.")


def cost_table(work: Mapping[str, Work], devices: Devices | None) -> Table:
    """What each plan costs, a column for each."""
    known = next(iter(work.values()))
    title = f"Votes on {known.images:,} images, {known.classes:,} classes"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in work:
        table.add_column(name, justify="right", no_wrap=True)

    def row(words: str, cell: Callable[[Work], str]) -> None:
        table.add_row(words, *map(cell, work.values()))

    row("passes an image", lambda one: passes_text(one.passes_an_image))
    row("passes", lambda one: passes_text(one.passes))
    if devices:
        row("device-hours", lambda one: f"{devices.hours(one.passes):,.1f}")
        many = "1 device" if devices.number == 1 else f"{devices.number:,} devices"
        row(f"time on {many}", lambda one: duration_text(devices.seconds(one.passes)))
        if devices.price:
            row(f"at {devices.price:g} a device-hour", lambda one: f"{devices.money(one.passes):,.2f}")
    row("votes file, about", lambda one: size_text(one.file_bytes))
    return table


def passes_text(passes: float) -> str:
    """A number of passes: all digits of a whole one, three of an estimate."""
    if passes.is_integer():
        return f"{passes:,.0f}"
    return f"{passes:.3g}" if passes < 100 else f"{float(f'{passes:.3g}'):,.0f}"
