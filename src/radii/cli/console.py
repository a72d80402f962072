"""What the terminal shows: progress with the time left, tables, and errors in one sentence."""

import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from unicodedata import category

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from radii.certificates.certify import Certificates
from radii.cli.terminal import Screen, warn
from radii.errors import InputError, RadiiWarning, without_keys
from radii.report.accuracy import round_radii, same_question, summarize, tabulate
from radii.report.formatting import NORM_NAMES, radius_text, unit_text
from radii.storage.memory import is_out_of_memory

# a file or a pipe has no width of its own
console = Screen(
    highlight=False, markup=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 100
)
INTERRUPTED, TERMINATED = 130, 143
REPEATABLE = "finished files are whole, and the same command starts the rest again"
FIRST_LINE, RAREST_LINE = 5.0, 600.0
"""Seconds until the first line of progress where there is no terminal, and most seconds between two."""
TELLING = 0.01
"""The share of a job that must be done before its end can be told."""
UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
UNSEEN = ("Cc", "Cf", "Cs")
"""Categories of Unicode: commands of terminals, marks that turn the order of letters round, halves of letters."""

Move = Callable[..., None]
"""Called as `move(done, total)`, or with a mapping of metrics as the third argument."""


class Stopped(BaseException):
    """A command was asked to end, by Ctrl-C or SIGTERM; `kept` says what is left and how to go on."""

    def __init__(self, status: int, kept: str = REPEATABLE) -> None:
        super().__init__(kept)
        self.status, self.kept = status, kept


_asked: list[BaseException] = []


def end_when_asked() -> None:
    """Let SIGTERM, which clusters send when the time is over, end a command as Ctrl-C does."""
    _asked.clear()

    def end(number: int, _: Any) -> None:
        _asked.append(KeyboardInterrupt() if number == signal.SIGINT else Stopped(TERMINATED))
        raise _asked[-1]

    signal.signal(signal.SIGTERM, end)
    # a command in the background may have been started without Ctrl-C
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


def unless_asked_to_end(move: Move) -> Move:
    """The same after a look whether the command was asked to end.

    pyarrow, for one, drops whatever is raised while it imports pandas on its own: the command would go on for hours.
    """

    def moved(*state: Any) -> None:
        if _asked:
            raise _asked[-1]
        move(*state)

    return moved


@contextmanager
def keeping(words: Callable[[], str]) -> Iterator[None]:
    """Say `words` if the command is asked to end meanwhile."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(INTERRUPTED, words()) from None
    except Stopped as error:
        raise Stopped(error.status, words()) from None


class Pace:
    """How fast a job goes since its first sign of life: what came before was its start, and comes only once."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, now: float, done: int, total: int) -> float | None:
        """Seconds left at the average pace so far, or None while too little is done to tell."""
        if done and self._first is None:
            self._first = now, done
        then, before = self._first or (now, done)
        if done - before < TELLING * total:
            return None
        return (now - then) * (total - done) / (done - before)


class TimeLeft(ProgressColumn):
    """The time left at the average pace so far; the time it took, at the end and while that is not known."""

    def render(self, task: Task) -> Text:
        taken = (task.finished_time if task.finished else task.elapsed) or 0.0
        left, moved = task.fields["left"], task.fields["moved"]
        if task.finished or left is None:
            return Text(f"{clock(taken)}     ")
        return Text(f"{clock(max(left - (taken - moved), 0.0))} left")


@contextmanager
def progress(words: str, *, passing: bool = False) -> Iterator[Move]:
    """Show how far a job is, and how long it will take: a bar, or a few lines where there is no terminal.

    Yields what is to be called with `(done, total)`. A `passing` bar leaves nothing behind.
    """
    if not console.is_terminal:
        yield unless_asked_to_end(lines(words, passing))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TimeLeft(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=passing) as bar:
        task, pace = bar.add_task(words, total=None, note="", left=None, moved=0.0), Pace()

        def move(done: int, total: int, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
            moved = bar.tasks[0].elapsed or 0.0
            left = pace.left(moved, done, total)
            bar.update(task, completed=done, total=total, note=note(metrics), left=left, moved=moved)

        yield unless_asked_to_end(move)


def lines(words: str, passing: bool) -> Move:
    """Progress for a file or a pipe: a line after some seconds, then ever rarer ones, and one at the end."""
    start = last = time.monotonic()
    pace = Pace()

    def move(done: int, total: int, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
        nonlocal last
        now = time.monotonic()
        rest = pace.left(now, done, total)
        wait = min(max(FIRST_LINE, (last - start) / 2), RAREST_LINE)
        if passing if done >= total else now - last < wait:
            return
        last, taken = now, now - start
        left = "" if rest is None else f", {clock(rest)} left"
        state = f"{done / total:.0%}{left}" if done < total else f"done in {clock(taken)}"
        console.print(", ".join(filter(None, [f"{words}: {state}", note(metrics)])))

    return move


def note(metrics: Mapping[str, float]) -> str:
    """The metrics that say how a training goes, in a few letters; the last is images a second."""
    if not metrics:
        return ""
    loss, accuracy, pace = (metrics[name] for name in ("loss", "accuracy", "images_per_second"))
    return f"loss {loss:.3g}, {accuracy:.0%} right, {pace:,.0f}/s"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=int(seconds)))


def duration_text(seconds: float) -> str:
    """A long time for people, in its two largest units: `3 days 4 h`, `1 h 20 min`, `12 s`."""
    for (name, size), (small_name, small) in pairwise(UNITS):
        if seconds >= size:
            many, rest = divmod(round(seconds / small), size // small)
            plural = "s" if name == "day" and many > 1 else ""
            return f"{many} {name}{plural}" + (f" {rest} {small_name}" if rest else "")
    return f"{round(seconds)} s" if seconds >= 1 else "less than 1 s"


def say(sentence: str) -> None:
    """Print a sentence as it is: a path is never broken."""
    console.print(harmless(sentence), soft_wrap=True)


def harmless(text: str) -> str:
    """What a terminal shows and does not obey, without keys: words of files and paths may hold its commands."""
    return "".join(
        one if one == "\n" or category(one) not in UNSEEN else "\N{REPLACEMENT CHARACTER}"
        for one in without_keys(text)
    )


def accuracy_table(certificates: Mapping[str, Certificates], radii: Sequence[float] = ()) -> Table:
    """Certified accuracy at 0 and `radii`, one row a name, with abstention and mean and median radius.

    Without radii at round ones, as many as the terminal has room for, five at most.
    """
    if radii:
        return _accuracy_table(certificates, [0.0, *radii])
    roomy = console.options.update(width=10 * console.width)
    several = certificates.values()
    tables = (_accuracy_table(certificates, round_radii(several, most=most)) for most in (5, 4, 3, 2))
    return next(
        (table for table in tables if console.measure(table, options=roomy).maximum <= console.width),
        _accuracy_table(certificates, round_radii(several, most=1)),
    )


def _accuracy_table(certificates: Mapping[str, Certificates], radii: Sequence[float]) -> Table:
    found = tabulate(certificates, radii)
    what = "certified accuracy" if found.k == 1 else f"certified top-{found.k} accuracy"
    box = all(one.box for one in certificates.values())
    table = titled(f"{NORM_NAMES[found.norm]}: {what} at a radius of at least", found.norm, found.unit, box)
    table.add_column("", no_wrap=True)
    for header in (*found.headers, "abstained", "mean", "median"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, shares, best in zip(found.names, found.shares, found.best, strict=True):
        cells = [Text(f"{x:.1%}", style="bold" if top else "") for x, top in zip(shares, best, strict=True)]
        if name not in certificates:
            table.add_row(name, *cells, "", "", "")
            continue
        numbers = summarize(certificates[name])
        middle = [radius_text(radius, found.norm) for radius in (numbers.mean_radius, numbers.median_radius)]
        table.add_row(name, *cells, f"{numbers.abstention:.1%}", *middle)
    if "best" in found.kinds:
        table.caption = f"best σ: chosen at each radius after looking at the results\n{table.caption}"
    return table


def unlabelled_table(certificates: Mapping[str, Certificates]) -> Table:
    """What can be said without true labels: how many labels are certified, and how far."""
    norm, unit, k = same_question(certificates.values())
    table = titled(
        f"{NORM_NAMES[norm]}: certified top-{k} radii, true labels unknown",
        norm,
        unit,
        all(one.box for one in certificates.values()),
    )
    for header in ("", "images", "abstained", "largest", "median"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    for name, one in certificates.items():
        middle = np.sort(one.radius)[(len(one) - 1) // 2]
        shown = [radius_text(radius, norm) for radius in (one.radius.max(), middle)]
        table.add_row(name, str(len(one)), f"{one.abstained.mean():.1%}", *shown)
    return table


def titled(title: str, norm: str, unit: str, box: bool = False) -> Table:
    """An empty table of radii."""
    inside = "; perturbations keep images in [0, 1]" if box else ""
    caption = f"radii in {unit_text(norm, unit)}{inside}\n"
    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    return Table(title=title, caption=caption, box=SIMPLE_HEAD, **left)


def show_notices() -> None:
    """Print each notice once, as one line to standard error; other warnings are none of the user's business."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if issubclass(category, RadiiWarning) and text not in shown:
            shown.add(text)
            warn(f"radii: note: {harmless(' '.join(text.split()))}")

    warnings.simplefilter("always", RadiiWarning)
    warnings.showwarning = show


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a user can mend into one sentence and exit status 2; being asked to end into 130 or 143."""
    try:
        yield
    except InputError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(_os_words(error), 2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fail("out of memory: free some, or take a smaller part of the work", 2)
    except KeyboardInterrupt:
        fail(f"interrupted; {REPEATABLE}", INTERRUPTED)
    except Stopped as error:
        fail(f"interrupted; {error.kept}", error.status)


def _os_words(error: OSError) -> str:
    """What the system says and of which file, or which file stands where a folder has to be."""
    if error.filename and isinstance(error, FileExistsError | NotADirectoryError):
        path = Path(error.filename)
        for one in (path, *path.parents):
            if one.is_file():
                return f"a folder was expected, but {one} is a file: name another place"
    words = error.strerror or str(error) or type(error).__name__
    return f"{words}: {error.filename}" if error.filename else words


def fail(sentence: str, status: int) -> NoReturn:
    """Print `radii: sentence` to standard error and leave."""
    warn(f"radii: {harmless(' '.join(sentence.split()))}")
    raise SystemExit(status)
