"""The command that answers over HTTP. It imports torch late, and what the extra serve brings."""

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import Stopped, say
from radii.cli.model_options import (
    Batch,
    Binary,
    ClassMap,
    Compile,
    Declared,
    Exact,
    GivenNoise,
    GivenSigma,
    InputRange,
    Layout,
    Mean,
    Named,
    Polled,
    Precision,
    Split,
    Std,
    polled_by,
)
from radii.cli.options import Alpha, Behind, DataDir, Unit, reachable
from radii.errors import InputError
from radii.noises.norms import unit_of
from radii.noises.streams import check_seed
from radii.votes.plans.fixed import check_whole

if TYPE_CHECKING:
    from radii.sampling import Smoothed


MOST_PLACES = 10**6


def serve(
    run: Named,
    norm: Annotated[str, typer.Option(help="Norm of the radii: l0, l1, l2 or linf.")] = "l2",
    k: Annotated[int, typer.Option(help="Certify the top K.")] = 1,
    n: Annotated[
        int,
        typer.Option(
            help="The most noisy copies of an image that bound its radius; 100 more choose its label."
        ),
    ] = 1000,
    seconds: Annotated[
        float | None,
        typer.Option(help="Stop polling after so long, with the copies that are there.  [default: never]"),
    ] = None,
    alpha: Alpha = 1e-3,
    unit: Unit = "pixel",
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000,
    queue: Annotated[
        int, typer.Option(help="Requests at a time, waiting ones included; any more are answered 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Seconds after which a request without an answer is answered 503.")
    ] = 60.0,
    seed: Annotated[
        int | None,
        typer.Option(
            envvar="RADII_SEED",
            help="A secret: noise follows from it and the image.  [default: a new one at each start]",
        ),
    ] = None,
    classifier: Behind = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Of a MODEL: images such as it will be asked about; they say shape and classes, and whether the scale "
            "is right.",
        ),
    ] = None,
    noise: GivenNoise = None,
    sigma: GivenSigma = None,
    input_range: InputRange = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    binary: Binary = None,
    class_map: ClassMap = None,
    split: Split = "test",
    precision: Precision = "float32",
    batch: Batch = None,
    compile: Compile = False,
    exact: Exact = False,
    data_dir: DataDir = None,
) -> None:
    """Answer over HTTP with labels and radii.

    POST an image, get its label and the radius within which it holds. The model is one that radii train made, or any
    other, of which --data, --noise and what it takes are said. Images that wait together are polled together. GET /
    says how to ask; /health and /metrics are for machines. Ctrl-C or SIGTERM: what is there is answered, nothing more
    is taken.
    """
    from radii.sampling.smoothed import within
    from radii.serving import Limits, Service, listen
    from radii.serving import run as run_service
    from radii.serving.app import address_of

    declared = Declared(input_range, mean, std, layout, binary, class_map)
    polled = polled_by(run, classifier, data, noise, sigma, declared)
    check_whole("queue", queue, 1, MOST_PLACES)
    if not timeout > 0:
        raise InputError(f"--timeout must be above 0 seconds; got {timeout:g}")
    listen(host, port).close()  # a port that is taken is found before the model is loaded
    loaded = load(polled, precision, batch, compile, exact)
    smoothed, shape, classes = polled.takes(loaded, split, data_dir)
    plan = within(smoothed.noise, n, alpha, seconds)
    secret = secrets.randbits(64) if seed is None else check_seed(seed)
    voter = smoothed.ready(shape)
    service = Service(voter, plan, secret, norm, k, unit_of(norm, unit), alpha, seconds, classes)
    say(reachable(plan, smoothed.noise, k, alpha, voter.classes, shape))
    with listen(host, port) as place:
        say(f"Listening on {address_of(place)} until Ctrl-C; it says how to ask.")
        # by then what was asked is answered, which is no interruption
        with suppress(KeyboardInterrupt, Stopped):
            run_service(service, Limits(queue, timeout), place)
    say("All that was asked is answered.")


def load(polled: Polled, precision: str, batch: int | None, compile: bool, exact: bool) -> "Smoothed":
    """The smoothed classifier, on the best device there is."""
    from radii.models.devices import best_device
    from radii.sampling import Smoothed

    return Smoothed(polled.load(best_device()), polled.law(), precision, batch, compile, exact)
