"""Standard output and error as they come: without some letters, closed, broken or full.

Not every console knows every letter: old Windows consoles and the locale C lack the symbols of norms. What is shown in
their place is decided here. Files are always UTF-8.
"""

import codecs
import io
import os
import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

from rich.console import Console
from rich.text import Text

INPUT, OUTPUT, ERRORS = "stdin", "stdout", "stderr"
PIPE_BROKE = 128 + getattr(signal, "SIGPIPE", 13)
"""What shells report of a program whose reader has gone, as `head` goes."""

READABLE = "radii.readable"
"""The name of the way in which letters are encoded that a console lacks."""

PAIRS = """
∞ inf  σ sigma  α alpha  β beta  δ delta  ε eps  λ lambda  µ u  ≤ <=  ≥ >=  ≠ !=  ≈ ~  ± +-  √ sqrt  × x  ² ^2  ³ ^3
– -  — -  − -  … ...  · |  • *  ‘ '  ’ '  “ "  ” "  « "  » "  → ->  ← <-  ↑ ^  ↓ v  ✓ ok  ✔ ok  ✗ x  ✘ x  \ufffd ?
─ -  ━ -  ╸ -  ╺ -  │ |  ┃ |  ░ .  █ #
"""
SYMBOLS = dict(zip(PAIRS.split()[::2], PAIRS.split()[1::2], strict=True))
"""In ASCII, where Unicode does not trace a letter back to others."""


def readable(text: str) -> str:
    """Return `text` in ASCII: symbols as `l2` or `sigma`, letters without accents, others by their numbers."""
    return "".join(map(_in_ascii, text))


def _in_ascii(letter: str) -> str:
    if letter.isascii():
        return letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return SYMBOLS.get(letter) or plain or letter.encode("ascii", "backslashreplace").decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return readable(error.object[error.start : error.end]), error.end


codecs.register_error(READABLE, _replace)


class Screen(Console):
    """A console that lays out what its output can show."""

    def render_str(self, text: str, **how: Any) -> Text:
        """The text as it will be encoded: letters that are replaced may take more room."""
        return super().render_str(text.encode(self.encoding, READABLE).decode(self.encoding), **how)

    def print(self, *what: Any, **how: Any) -> None:
        """Print; `Undelivered` if the output does not take it."""
        try:
            super().print(*what, **how)
        except OSError as error:
            raise Undelivered(error) from error

    def on_broken_pipe(self) -> NoReturn:
        """The reader has gone; `delivering` knows what to do."""
        raise Undelivered(BrokenPipeError())


class Undelivered(BaseException):
    """Standard output does not take what is printed; no error of the work, so that no part of it handles it."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


def open_streams() -> None:
    """Open closed standard streams on the null device, and let the others encode every letter.

    A number that is free would be that of the next file, and what is printed would go there.
    """
    for name in (INPUT, OUTPUT, ERRORS):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, "r" if name == INPUT else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, null)
        elif name != INPUT and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)


def warn(line: str) -> None:
    """Print a line to standard error, if anything is there to take it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


@contextmanager
def delivering() -> Iterator[None]:
    """See to it that all that is printed within arrives.

    Where it cannot: an end as by SIGPIPE if the reader has gone, else an `OSError` that names standard output.
    """
    output, failed = sys.stdout, None
    try:
        yield
    except Undelivered as error:
        failed = error.reason
        _silence(output)
    except SystemExit as end:
        # rich ends the program where a reader of help has gone; click puts another stream in place of the one
        gone = isinstance(end.__context__, BrokenPipeError) or sys.stdout is not output
        failed = BrokenPipeError() if gone else _flush(output)
        if failed is None:
            raise
    except BaseException:
        _flush(output)
        raise
    else:
        failed = _flush(output)
    if isinstance(failed, BrokenPipeError):
        raise SystemExit(PIPE_BROKE)
    if failed is not None:
        raise OSError(
            failed.errno, f"standard output cannot be written ({failed.strerror}): send it elsewhere"
        )


def _flush(output: TextIO) -> OSError | None:
    """Write what is still held back; why that fails, if it does."""
    try:
        output.flush()
    except OSError as error:
        _silence(output)
        return error
    return None


def _silence(stream: TextIO) -> None:
    """Send what is held back, and all that follows, to the null device: Python would complain about it at the end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
