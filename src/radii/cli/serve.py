"""radii serve: labels with certified radii over HTTP. It imports torch and the extra serve late."""

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import Interrupted, say
from radii.cli.groups import Options, grouped
from radii.cli.model_options import Execution, InputFormat, ModelsArgument, NoiseOptions, model_source
from radii.cli.options import Alpha, DataDir, K, L0Unit, Split, reach_text
from radii.errors import InputError
from radii.noises.streams import check_seed, secret_seed
from radii.storage import atomic
from radii.votes.plans.fixed import check_whole

if TYPE_CHECKING:
    from radii.serving import Limits

MOST_REQUESTS = 10**6
"""About the most files, and so connections, that Linux lets a process open."""


@dataclass(frozen=True)
class InputOptions(Options):
    """Images like those that clients will send."""

    title = "Images"
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Data with the shape, classes and scale of a MODEL's input.",
            show_default="that of RUN",
        ),
    ] = None
    split: Split = "test"
    data_dir: DataDir = None


@dataclass(frozen=True)
class ResponseOptions(Options):
    """What each response certifies, and from how many noise samples."""

    title = "Plan"
    norm: Annotated[str, typer.Option(help="Norm of the radii: l0, l1, l2 or linf.")] = "l2"
    k: K = 1
    n: Annotated[
        int,
        typer.Option(help="Maximum noise samples per image, besides 100 for its label."),
    ] = 1000
    seconds: Annotated[
        float | None,
        typer.Option(help="Time limit of the sampling, in seconds per image.", show_default="none"),
    ] = None
    alpha: Alpha = 1e-3
    alpha_budget: Annotated[
        float | None,
        typer.Option(
            help="Error probability of all responses together, which limits the images.",
            show_default="none",
        ),
    ] = None
    l0_unit: L0Unit = "pixel"


@dataclass(frozen=True)
class ServerOptions(Options):
    """Where the service listens, and which requests it accepts."""

    title = "Server"
    host: Annotated[str, typer.Option(help="Address to listen on, or 0.0.0.0 for all addresses.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(help="Port to listen on, or 0 for a free one.")] = 8000
    queue: Annotated[
        int, typer.Option(help="Maximum number of requests in progress; others get status 429.")
    ] = 64
    per_client: Annotated[
        int | None,
        typer.Option(help="Maximum number of requests per client address.", show_default="half of --queue"),
    ] = None
    trusted_proxy: Annotated[
        list[str],
        typer.Option(
            metavar="ADDRESS",
            help="Proxy whose X-Forwarded-For names the client (repeatable).",
            show_default="none",
        ),
    ] = field(default_factory=list)
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the token that requests must carry.", show_default="none"
        ),
    ] = None
    timeout: Annotated[
        float, typer.Option(help="Seconds until a request without a response gets status 503.")
    ] = 60.0

    def limits(self) -> "Limits":
        """Return the limits, and raise `InputError` for impossible ones or an occupied port, before the model loads."""
        from radii.serving import Limits, listen

        check_whole("queue", self.queue, 1, MOST_REQUESTS)
        per_client = -(-self.queue // 2) if self.per_client is None else self.per_client
        check_whole("per-client", per_client, 1, MOST_REQUESTS)
        if not self.timeout > 0:
            raise InputError(f"--timeout must be above 0 seconds; got {self.timeout:g}")
        for address in self.trusted_proxy:
            check_address(address)
        token = "" if self.token_file is None else read_secret(self.token_file, "a token")
        listen(self.host, self.port).close()
        return Limits(self.queue, self.timeout, per_client, proxies=tuple(self.trusted_proxy), token=token)


def check_address(address: str) -> None:
    """Raise `InputError` unless this is the address of a proxy, or a network of them."""
    try:
        ipaddress.ip_network(address)
    except ValueError as error:
        raise InputError(
            f"--trusted-proxy must be an IP address or a network, 10.0.0.1 or 10.0.0.0/8; got {address!r}"
        ) from error


def read_secret(path: Path, what: str) -> str:
    """Return the only word in a file; errors never show it."""
    try:
        words = atomic.read(path).decode("ascii").split()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise InputError(f"{path} must be a text file with {what} ({reason})") from error
    if len(words) != 1 or not re.fullmatch("[!-~]+", words[0]):
        raise InputError(f"{path} must hold {what}, one word of printable ASCII; it holds {len(words)} words")
    return words[0]


def given_seed(seed: int | None, path: Path | None) -> int:
    """Return the seed that was given, that in a file, or a new one."""
    if seed is not None and path is not None:
        raise InputError("the seed is given twice: leave out --seed and RADII_SEED, or --seed-file")
    if path is not None:
        word = read_secret(path, "a seed")
        if not re.fullmatch("[0-9]{1,20}", word):
            raise InputError(f"{path} must hold a seed, a whole number below 2**64; it holds something else")
        return check_seed(int(word))
    # with a known seed, an adversary could search offline for an image whose noise deceives (docs/serving.md)
    return secret_seed(seed)


@grouped
def serve(
    runs: ModelsArgument,
    input_format: InputFormat,
    images: InputOptions,
    noise: NoiseOptions,
    response: ResponseOptions,
    execution: Execution,
    server: ServerOptions,
    seed: Annotated[
        int | None,
        typer.Option(
            envvar="RADII_SEED",
            help="Secret seed, which with an image determines its noise.",
            show_default="a new one at each start",
            rich_help_panel="Running",
        ),
    ] = None,
    seed_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the secret seed, for the same responses after a restart.",
            show_default="none",
            rich_help_panel="Running",
        ),
    ] = None,
) -> None:
    """Serve labels with certified radii over HTTP.

    A client posts an image and receives its label, with the radius within which the label holds. The model is a run
    folder of radii train, several of them as an ensemble, or any other model with --data, --noise and its input
    format. Images that arrive together share forward passes. GET / describes the interface; /health and /metrics are
    for monitoring. After Ctrl-C or SIGTERM, the service answers the requests that it has accepted, and accepts no more.
    """
    from radii.models.devices import best_device
    from radii.sampling import Smoothed
    from radii.sampling.smoothed import budget_plan
    from radii.serving import Service, listen
    from radii.serving import run as run_service
    from radii.serving.app import address_of

    source = model_source(runs, images.data, noise.noise, noise.sigma, input_format)
    limits, secret = server.limits(), given_seed(seed, seed_file)
    smoothed, shape, classes = source.interface(
        Smoothed(
            source.load(best_device()),
            source.noise(),
            execution.precision,
            execution.batch_size,
            execution.compile,
            noise.exact_arithmetic,
        ),
        images.split,
        images.data_dir,
    )
    alpha, seconds, norm = response.alpha, response.seconds, response.norm
    plan = budget_plan(smoothed.noise, response.n, alpha, seconds)
    sampler, unit = smoothed.ready(shape), response.l0_unit
    service = Service(
        sampler, plan, secret, norm, response.k, unit, alpha, seconds, classes, response.alpha_budget
    )
    say(reach_text(plan, smoothed.noise, response.k, alpha, sampler.classes, shape, response.l0_unit))
    with listen(server.host, server.port) as socket:
        say(f"Listening on {address_of(socket)} until Ctrl-C; GET / describes the interface.")
        # the server has answered all requests before it raises, so nothing was interrupted
        with suppress(KeyboardInterrupt, Interrupted):
            run_service(service, limits, socket)
    say("All accepted requests are answered.")
