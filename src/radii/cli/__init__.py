"""The command line: each command reads files and writes files."""

import os
from shutil import get_terminal_size
from typing import Annotated

import typer

from radii import __version__
from radii.cli import attack, certify, data, doctor, falsify, noises, plan, report, serve, train, vote
from radii.cli.console import INTERRUPTED, end_when_asked, one_sentence, say, show_notices
from radii.cli.options import RENAMED, completed
from radii.cli.terminal import delivering, open_streams
from radii.errors import InputError
from radii.report.formatting import docstring
from radii.storage.memory import keep_freed_memory

WIDEST = 120
"""Columns of the help."""

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def radii(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Certify classifiers by randomized smoothing: for a model and an input, a radius in l0, l1, l2 or linf within
    which no perturbation removes the label from the smoothed top-k prediction.

    Start with radii demo, which does the whole job on embedded images in a minute or so. With a model or data of
    your own: radii train, then vote, then certify or report; each reads the files that the previous one wrote.
    radii COMMAND --help describes inputs, outputs and options, with an example.
    """
    if version:
        say(f"radii {__version__}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


app.callback(invoke_without_command=True, help=docstring(radii))(radii)


for command, example in (
    (train.demo, "radii demo --sigma 0.25 --out demo-0.25"),
    (train.train, "radii train --data mnist5k --noise laplace --sigma 0.5 --out runs/first"),
    (
        vote.vote,
        "radii vote runs/first --stride 10 --radii linf:2/255 --radii l1:0.5; "
        "radii vote model.onnx --data cifar10 --noise laplace --sigma 0.5 --input-range -1,1",
    ),
    (vote.merge, "radii merge here/votes.parts there/votes.parts --out votes.parquet"),
    (certify.certify, "radii certify runs/first/votes.parquet --norm l2 --norm linf --k 1 --k 3"),
    (report.report, "radii report runs/*/votes.parquet --out report"),
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
    app.command(help=docstring(command), epilog=f"Example: {example}")(completed(command))


def main() -> None:
    """Run a command; what the user can mend ends in one sentence and exit status 2."""
    keep_freed_memory()
    # OpenMP threads that spin while they wait make a busy machine many times slower; read when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # no figure needs a display; read when matplotlib is loaded
    os.environ["MPLBACKEND"] = "agg"
    # the help is as wide as the terminal, up to lines that are read with ease; read when help is shown
    os.environ["TERMINAL_WIDTH"] = str(min(get_terminal_size().columns, WIDEST))
    open_streams()
    show_notices()
    with one_sentence(), delivering():
        end_when_asked()
        try:
            # by this name shells know the command, also where Python was given the module
            status = app(prog_name="radii", standalone_mode=False)
        except typer.TyperException as error:
            message = error.format_message().rstrip(".")
            if (new := RENAMED.get(getattr(error, "option_name", ""))) is not None:
                message = f"no such option: {error.option_name} is called {new} now"  # type: ignore[attr-defined]
            where = getattr(getattr(error, "ctx", None), "command_path", "radii")
            raise InputError(f"{message[:1].lower()}{message[1:]}; see {where} --help") from error
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        raise SystemExit(status or 0)
