"""The command that answers over HTTP. It imports torch late, and what the extra serve brings."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import Stopped, say
from radii.cli.groups import Options, grouped
from radii.cli.model_options import Declared, Execution, Named, NoiseOptions, Polled, Split, polled_by
from radii.cli.options import Alpha, DataDir, L0Unit, reach_text
from radii.errors import InputError
from radii.noises.norms import unit_of
from radii.noises.streams import check_seed
from radii.votes.plans.fixed import check_whole

if TYPE_CHECKING:
    from radii.sampling import Smoothed


MOST_PLACES = 10**6


@dataclass(frozen=True)
class Answers(Options):
    """What each answer certifies, and how many noise samples it takes."""

    title = "Plan"
    norm: Annotated[str, typer.Option(help="Norm of the radii: l0, l1, l2 or linf.")] = "l2"
    k: Annotated[int, typer.Option(help="Certify the top K.")] = 1
    n: Annotated[
        int,
        typer.Option(help="Most noise samples per image that bound its radius; 100 more choose its label."),
    ] = 1000
    seconds: Annotated[
        float | None,
        typer.Option(help="Time limit per image, with the samples that are there.  [default: none]"),
    ] = None
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"


@dataclass(frozen=True)
class Address(Options):
    """Where requests come in, and how many at a time."""

    title = "Server"
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000
    queue: Annotated[
        int, typer.Option(help="Most requests at a time, waiting ones included; others are answered 429.")
    ] = 64
    timeout: Annotated[
        float, typer.Option(help="Seconds after which a request without an answer is answered 503.")
    ] = 60.0

    def check(self) -> None:
        """Refuse what no server can be, before the model is loaded."""
        from radii.serving import listen

        check_whole("queue", self.queue, 1, MOST_PLACES)
        if not self.timeout > 0:
            raise InputError(f"--timeout must be above 0 seconds; got {self.timeout:g}")
        listen(self.host, self.port).close()  # a port that is taken


@dataclass(frozen=True)
class Samples(Options):
    """Images like those that the model will be sent."""

    title = "Images"
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Of a MODEL: images like those that will be sent; they give shape and classes, and test the scale.",
        ),
    ] = None
    split: Split = "test"
    data_dir: DataDir = None


@grouped
def serve(
    run: Named,
    declared: Declared,
    samples: Samples,
    noise: NoiseOptions,
    answers: Answers,
    execution: Execution,
    address: Address,
    seed: Annotated[
        int | None,
        typer.Option(
            envvar="RADII_SEED",
            help="A secret: noise follows from it and the image.  [default: a new one at each start]",
            rich_help_panel="Running",
        ),
    ] = None,
) -> None:
    """Serve labels with certified radii over HTTP.

    POST an image, get its label and the radius within which it holds. The model is a run folder of radii train, or
    any other model, for which --data, --noise and its input format are given. Images that arrive together share
    forward passes. GET / describes the interface; /health and /metrics are for machines. After Ctrl-C or SIGTERM,
    accepted requests are answered and no more are taken.
    """
    from radii.sampling.smoothed import budget_plan
    from radii.serving import Limits, Service, listen
    from radii.serving import run as run_service
    from radii.serving.app import address_of

    polled = polled_by(run, samples.data, noise.noise, noise.sigma, declared)
    address.check()
    loaded = load(polled, execution, noise.exact_arithmetic)
    smoothed, shape, classes = polled.takes(loaded, samples.split, samples.data_dir)
    alpha, seconds, norm = answers.alpha, answers.seconds, answers.norm
    plan = budget_plan(smoothed.noise, answers.n, alpha, seconds)
    secret = secrets.randbits(64) if seed is None else check_seed(seed)
    sampler, unit = smoothed.ready(shape), unit_of(norm, answers.l0_unit)
    service = Service(sampler, plan, secret, norm, answers.k, unit, alpha, seconds, classes)
    say(reach_text(plan, smoothed.noise, answers.k, alpha, sampler.classes, shape))
    with listen(address.host, address.port) as place:
        say(f"Listening on {address_of(place)} until Ctrl-C; it says how to ask.")
        # by then what was asked is answered, which is no interruption
        with suppress(KeyboardInterrupt, Stopped):
            run_service(service, Limits(address.queue, address.timeout), place)
    say("All that was asked is answered.")


def load(polled: Polled, how: Execution, exact: bool) -> "Smoothed":
    """The smoothed classifier, on the best device there is."""
    from radii.models.devices import best_device
    from radii.sampling import Smoothed

    model = polled.load(best_device())
    return Smoothed(model, polled.law(), how.precision, how.batch_size, how.compile, exact)
