"""What the terminal shows: progress with the time left, tables, and errors in one sentence."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from radii.certificates import Certificates
from radii.errors import InputError
from radii.results import NORM_NAMES, radius_text, round_radii, summarize, tabulate, unit_text

# a file or a pipe has no width of its own
console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
INTERRUPTED = 130


@contextmanager
def progress(words: str) -> Iterator[Callable[..., None]]:
    """A bar with the time left, moved by calling what this yields with `(done, total)`; more is shown as text."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(words, total=None, note="")

        def move(done: int, total: int, values: Mapping[str, float] = MappingProxyType({})) -> None:
            note = "  ".join(
                f"{name} {value:.4g}" for name, value in (values or {}).items() if name != "epoch"
            )
            bar.update(task, completed=done, total=total, note=note)

        yield move


def accuracy_table(certificates: Mapping[str, Certificates]) -> Table:
    """Certified accuracy at round radii, one row a name, with abstention and mean and median radius."""
    found = tabulate(certificates, round_radii(certificates.values(), most=5))
    what = "certified accuracy" if found.k == 1 else f"certified top-{found.k} accuracy"
    title = f"{NORM_NAMES[found.norm]}: {what} at a radius of at least"
    caption = f"radii in {unit_text(found.norm, found.unit)}\n"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for header in (*found.headers, "abstained", "mean", "median"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, shares, best in zip(found.names, found.shares, found.best, strict=True):
        cells = [f"[bold]{x:.1%}[/bold]" if top else f"{x:.1%}" for x, top in zip(shares, best, strict=True)]
        numbers = summarize(certificates[name])
        radii = [radius_text(radius, found.norm) for radius in (numbers.mean_radius, numbers.median_radius)]
        table.add_row(name, *cells, f"{numbers.abstention:.1%}", *radii)
    return table


def unlabelled_table(certificates: Mapping[str, Certificates]) -> Table:
    """What can be said without true labels: how many labels are certified, and how far."""
    table = Table("", "images", "abstained", "largest", "median radius of all", box=SIMPLE_HEAD)
    for name, one in certificates.items():
        middle = sorted(one.radius)[(len(one) - 1) // 2]
        shown = [radius_text(radius, one.norm) for radius in (one.radius.max(), middle)]
        table.add_row(name, str(len(one)), f"{one.abstained.mean():.1%}", *shown)
    return table


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a user can mend into one sentence and exit status 2; an interruption into status 130."""
    try:
        yield
    except InputError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename or 'while reading or writing'}", 2)
    except KeyboardInterrupt:
        fail("interrupted; finished files are whole, and the same command starts the rest again", INTERRUPTED)


def fail(sentence: str, status: int) -> None:
    """Print `radii: sentence` to standard error and leave."""
    print(f"radii: {sentence}", file=sys.stderr)
    raise SystemExit(status)
