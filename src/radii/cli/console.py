"""What the terminal shows: progress with the time left, sentences, and errors in one sentence."""

import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn
from unicodedata import category

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.text import Text

from radii.cli.terminal import Screen, warn
from radii.errors import InputError, RadiiWarning, without_keys
from radii.storage.memory import is_out_of_memory

# files and pipes have no width: 100 columns hold every table; no markup, since paths and names may hold brackets
console = Screen(
    highlight=False, markup=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 100
)
# shells report a process that a signal ends as 128 plus the signal, 2 for Ctrl-C and 15 for SIGTERM
INTERRUPTED, TERMINATED = 130, 143
REPEATABLE = "files already written are complete, and the same command writes the others"
FIRST_LINE, LONGEST_PAUSE = 5.0, 600.0
"""Without a terminal: seconds until the first line of progress, and at most between two lines."""
ENOUGH = 0.01
"""Share of a job after which its pace is stable enough to predict the end."""
UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
INVISIBLE = ("Cc", "Cf", "Cs")
"""Unicode categories of control characters, format marks such as right-to-left overrides, and surrogates."""

Update = Callable[..., None]
"""Callback of a job: `update(done, total)`, or with a mapping of metrics as the third argument."""


# progress -----------------------------------------------------------------------------------------


@contextmanager
def progress(words: str, *, passing: bool = False) -> Iterator[Update]:
    """Show the progress of a job and the time left: a bar in a terminal, otherwise a few lines.

    Yields the callback to call as `update(done, total)`. A `passing` bar is removed at the end.
    """
    if not console.is_terminal:
        yield raising_if_interrupted(line_progress(words, passing))
        return
    # rich's own time left is that of the last updates, and does not count down between them
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TimeLeft(),
        TextColumn("{task.fields[metrics]}"),
    )
    # the total is unknown until the first update; until then rich shows that the job is alive
    with Progress(*columns, console=console, transient=passing) as bar:
        task, pace = bar.add_task(words, total=None, metrics="", left=None, updated=0.0), Pace()

        def update(done: int, total: int, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
            now = bar.tasks[0].elapsed or 0.0
            left = pace.seconds_left(now, done, total)
            bar.update(
                task, completed=done, total=total, metrics=metrics_text(metrics), left=left, updated=now
            )

        yield raising_if_interrupted(update)


def line_progress(words: str, passing: bool) -> Update:
    """Return a callback that prints lines: one after some seconds, then at growing intervals, and one at the end."""
    start = last = time.monotonic()
    pace = Pace()

    def update(done: int, total: int, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
        nonlocal last
        now = time.monotonic()
        seconds_left = pace.seconds_left(now, done, total)
        # each pause is half of the time so far, so that logs of long jobs stay short
        pause = min(max(FIRST_LINE, (last - start) / 2), LONGEST_PAUSE)
        # the last line is printed whatever the pause, unless the bar would be removed in a terminal
        if passing if done >= total else now - last < pause:
            return
        last = now
        left = "" if seconds_left is None else f", {clock_text(seconds_left)} left"
        state = f"{done / total:.0%}{left}" if done < total else f"done in {clock_text(now - start)}"
        console.print(", ".join(filter(None, [f"{words}: {state}", metrics_text(metrics)])))

    return update


class Pace:
    """The pace of a job since its first result: the start before it happens only once, and would distort the rest."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def seconds_left(self, now: float, done: int, total: int) -> float | None:
        """Return the seconds left at the average pace, or None while too little is done to predict them."""
        # not at the first call but at the first result: loading and compiling come before it
        if done and self._first is None:
            self._first = now, done
        start, before = self._first or (now, done)
        if done - before < ENOUGH * total:
            return None
        return (now - start) * (total - done) / (done - before)


class TimeLeft(ProgressColumn):
    """Column of the time left; at the end, and while it is unknown, of the time that has passed."""

    def render(self, task: Task) -> Text:
        elapsed = (task.finished_time if task.finished else task.elapsed) or 0.0
        left, updated = task.fields["left"], task.fields["updated"]
        if task.finished or left is None:
            # as wide as with " left", so that the columns beside it stay in place
            return Text(f"{clock_text(elapsed)}     ")
        # counts down between two updates, which may be far apart
        return Text(f"{clock_text(max(left - (elapsed - updated), 0.0))} left")


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return the metrics of a training step in a few letters: loss, accuracy, images per second."""
    if not metrics:
        return ""
    loss, accuracy, pace = (metrics[name] for name in ("loss", "accuracy", "images_per_second"))
    return f"loss {loss:.3g}, {accuracy:.0%} correct, {pace:,.0f}/s"


def clock_text(seconds: float) -> str:
    """Return hours, minutes and seconds."""
    return str(timedelta(seconds=int(seconds)))


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: `3 days 4 h`, `1 h 20 min`, `12 s`."""
    for (name, size), (small_name, small) in pairwise(UNITS):
        if seconds >= size:
            count, rest = divmod(round(seconds / small), size // small)
            plural = "s" if name == "day" and count > 1 else ""
            return f"{count} {name}{plural}" + (f" {rest} {small_name}" if rest else "")
    return f"{round(seconds)} s" if seconds >= 1 else "less than 1 s"


# interruptions ------------------------------------------------------------------------------------


# like KeyboardInterrupt no Exception, which libraries and workers catch
class Interrupted(BaseException):
    """Ctrl-C or SIGTERM has ended the work; `kept` says what is left and how to continue."""

    def __init__(self, status: int, kept: str = REPEATABLE) -> None:
        super().__init__(kept)
        self.status, self.kept = status, kept


_received: list[BaseException] = []


def handle_signals() -> None:
    """Let SIGTERM, which clusters send when the time is over, end a command as Ctrl-C does."""
    # tests run several commands in one process
    _received.clear()

    def end(number: int, _: Any) -> None:
        # kept, since a library may drop the exception (`raising_if_interrupted`)
        _received.append(KeyboardInterrupt() if number == signal.SIGINT else Interrupted(TERMINATED))
        raise _received[-1]

    signal.signal(signal.SIGTERM, end)
    # a shell starts commands in the background with Ctrl-C ignored: leave it so
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


def raising_if_interrupted(update: Update) -> Update:
    """Return a callback that raises again what a signal raised, if a library has dropped it.

    pyarrow drops all exceptions while it imports pandas: a command interrupted then would run for hours.
    """

    def checked(*state: Any) -> None:
        if _received:
            raise _received[-1]
        update(*state)

    return checked


@contextmanager
def interrupted_with(kept: Callable[[], str]) -> Iterator[None]:
    """Attach to an interruption within what is kept, as `kept` tells it then."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(INTERRUPTED, kept()) from None
    except Interrupted as error:
        raise Interrupted(error.status, kept()) from None


# sentences ----------------------------------------------------------------------------------------


said: list[str] = []
"""The sentences that the command has printed."""


def say(sentence: str) -> None:
    """Print a sentence without line breaks of its own, so that paths can be copied."""
    said.append(printable(sentence))
    console.print(said[-1], soft_wrap=True)


def printable(text: str) -> str:
    """Return the text without keys of addresses, and without characters that control a terminal.

    Names in files and paths may hold escape sequences, which would clear the screen or hide text.
    """
    return "".join(
        letter if letter == "\n" or category(letter) not in INVISIBLE else "\N{REPLACEMENT CHARACTER}"
        for letter in without_keys(text)
    )


def print_warnings() -> None:
    """Print each warning of this package once, as one line to standard error; ignore those of libraries."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if issubclass(category, RadiiWarning) and text not in shown:
            shown.add(text)
            warn(f"radii: note: {printable(' '.join(text.split()))}")

    # also under PYTHONWARNINGS=ignore: notes tell what was damaged, lost or assumed
    warnings.simplefilter("always", RadiiWarning)
    warnings.showwarning = show


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors that a user can fix into one sentence and exit status 2, interruptions into 130 or 143.

    Other exceptions are bugs, and keep their traceback.
    """
    try:
        with _interruptions_first():
            yield
    except InputError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(_system_text(error), 2)
    except (MemoryError, RuntimeError) as error:
        # any other RuntimeError is a bug
        if not is_out_of_memory(error):
            raise
        fail("out of memory: free some, or do a smaller part of the work", 2)
    except KeyboardInterrupt:
        fail(f"interrupted; {REPEATABLE}", INTERRUPTED)
    except Interrupted as error:
        fail(f"interrupted; {error.kept}", error.status)


@contextmanager
def _interruptions_first() -> Iterator[None]:
    """Raise what a signal raised in place of the error that a library made of it, for example while it is imported."""
    try:
        yield
    except Exception as error:
        if _received:
            raise _received[-1] from error
        raise


def _system_text(error: OSError) -> str:
    """Return the error of the system with its file; name a file that stands in the place of a folder."""
    if error.filename and isinstance(error, FileExistsError | NotADirectoryError):
        path = Path(error.filename)
        # the system names the path that it could not make, not the file that is in its way
        for parent in (path, *path.parents):
            if parent.is_file():
                return f"a folder was expected, but {parent} is a file: choose another path"
    text = error.strerror or str(error) or type(error).__name__
    return f"{text}: {error.filename}" if error.filename else text


def fail(sentence: str, status: int) -> NoReturn:
    """Print `radii: sentence` to standard error and exit."""
    # on one line: messages of libraries and names of files may hold line breaks
    warn(f"radii: {printable(' '.join(sentence.split()))}")
    raise SystemExit(status)
