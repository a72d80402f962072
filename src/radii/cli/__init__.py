"""The command line: each command reads files and writes files."""

import os
from shutil import get_terminal_size
from typing import Annotated

import typer

from radii import __version__
from radii.cli import (
    attack,
    certify,
    compare,
    data,
    doctor,
    falsify,
    gate,
    import_log,
    noises,
    plan,
    report,
    serve,
    train,
    vote,
)
from radii.cli.console import INTERRUPTED, handle_signals, one_sentence, print_warnings, say
from radii.cli.options import completed, usage_error
from radii.cli.terminal import delivering, open_streams
from radii.report.formatting import docstring
from radii.storage.memory import keep_freed_memory

WIDEST = 120
"""Columns of the help: longer lines are hard to read."""

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def radii(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Version of radii.")] = False,
) -> None:
    """Certify classifiers by randomized smoothing.

    For an input and a norm (l0, l1, l2 or linf), radii computes a radius within which, with confidence 1 - alpha, no
    perturbation removes the label from the smoothed top-k prediction.

    To begin, run radii demo, which trains, samples, certifies and reports on embedded images in about a minute. For
    your own model or data, run radii train, vote, and certify or report; each reads the files of the previous one.
    radii COMMAND --help describes the inputs, outputs and options of a command, with an example.
    """
    if version:
        say(f"radii {__version__}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


app.callback(invoke_without_command=True, help=docstring(radii))(radii)


for command, example in (
    (train.demo, "radii demo --sigma 0.25 --out demo-0.25"),
    (train.train, "radii train --data mnist5k --noise laplace --sigma 0.5 --out runs/first"),
    (vote.vote, "radii vote runs/first --stride 10 --radii linf:2/255 --radii l1:0.5"),
    (vote.merge, "radii merge here/votes.parts there/votes.parts --out votes.parquet"),
    (certify.certify, "radii certify runs/first/votes.parquet --norm l2 --norm linf --k 1 --k 3"),
    (report.report, "radii report runs/*/votes.parquet --out report"),
    (compare.compare, "radii compare runs/new/votes.parquet runs/old/votes.parquet --norm l2 --radii 0.5"),
    (gate.gate, "radii gate runs/new/votes.parquet --norm linf --radius 2/255 --at-least 0.6"),
    (
        import_log.import_log,
        "radii import cohen/sigma_0.25 --noise gaussian --sigma 0.25 --shape 3,32,32 --n 100000 --data cifar10",
    ),
    (attack.attack, "radii attack runs/first/votes.parquet --norm l2 --norm linf --stride 10"),
    (serve.serve, "radii serve runs/first --norm linf --seconds 2 --port 8000"),
    (
        plan.plan,
        "radii plan --p 0.9 --p 0.99 --noise gaussian --sigma 0.25 --norm l2 --radii 0.25 --radii 0.5",
    ),
    (data.data, "radii data cifar10 --data-dir ~/data"),
    (falsify.falsify, "radii falsify laplace linf --p 0.9 --overclaim 1.05"),
    (noises.noises, "radii noises --norm linf --sigma 0.25 --p 0.999 --shape 3,224,224"),
    (doctor.doctor, "radii doctor --json > doctor.json"),
):
    # `import` is a word of Python's, which no function can have as its name
    name = "import" if command is import_log.import_log else None
    app.command(name, help=docstring(command), epilog=f"Example: {example}")(completed(command))


def main() -> None:
    """Run a command; an error that the user can fix ends in one sentence and exit status 2."""
    keep_freed_memory()
    # OpenMP threads that spin while they wait slow a busy machine down many times; read when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # no figure needs a display; read when matplotlib is loaded
    os.environ["MPLBACKEND"] = "agg"
    # read when help is shown
    os.environ["TERMINAL_WIDTH"] = str(min(get_terminal_size().columns, WIDEST))
    open_streams()
    print_warnings()
    with one_sentence(), delivering():
        # not earlier: only within `one_sentence` is an interruption reported
        handle_signals()
        try:
            # not standalone, or typer would print errors itself and exit; shells complete this name, also where Python
            # was started as `python -m radii`
            status = app(prog_name="radii", standalone_mode=False)
        except typer.TyperException as error:
            raise usage_error(error) from error
        # typer turns KeyboardInterrupt into this status
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        raise SystemExit(status or 0)
