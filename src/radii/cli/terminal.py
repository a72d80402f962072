"""Standard output and error in any state: with an encoding that lacks letters, closed, broken or full.

Old Windows consoles and the locale C lack letters such as the symbols of norms; this module replaces them by ASCII.
Files are always UTF-8.
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
"""Exit status of a program whose reader has closed the pipe, as shells report it for SIGPIPE."""

READABLE = "radii.readable"
"""Name of the error handler that replaces letters which an encoding lacks."""

PAIRS = """
∞ inf  σ sigma  α alpha  β beta  δ delta  ε eps  λ lambda  µ u  ≤ <=  ≥ >=  ≠ !=  ≈ ~  ± +-  √ sqrt  × x  ² ^2  ³ ^3
– -  — -  − -  … ...  · |  • *  ‘ '  ’ '  “ "  ” "  « "  » "  → ->  ← <-  ↑ ^  ↓ v  ✓ ok  ✔ ok  ✗ x  ✘ x  \ufffd ?
─ -  ━ -  ╸ -  ╺ -  │ |  ┃ |  ░ .  █ #
"""
SYMBOLS = dict(zip(PAIRS.split()[::2], PAIRS.split()[1::2], strict=True))
"""Replacements in ASCII for symbols that Unicode does not decompose into other letters."""


INVISIBLE = ("Cc", "Cf", "Cs")
"""Unicode categories of control characters, format marks such as right-to-left overrides, and surrogates."""


def visible(text: str) -> str:
    """Return the text with a replacement character for each one that controls a terminal, except line breaks.

    Names in files and paths may hold escape sequences, which would clear the screen or hide text.
    """
    return "".join(
        letter
        if letter == "\n" or unicodedata.category(letter) not in INVISIBLE
        else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def readable(text: str) -> str:
    """Return `text` in ASCII: symbols as `l2` or `sigma`, letters without accents, others by their code points."""
    return "".join(map(_in_ascii, text))


def _in_ascii(letter: str) -> str:
    if letter.isascii():
        return letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    # symbols first, since the decomposition makes 2 of ²
    return SYMBOLS.get(letter) or plain or letter.encode("ascii", "backslashreplace").decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return readable(error.object[error.start : error.end]), error.end


codecs.register_error(READABLE, _replace)


class Screen(Console):
    """A console that lays out text as its output will show it, and reports an output that fails."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Return the text, of a sentence or a cell of a table, as it will be shown.

        Encoded first, since replacements may be wider than the letters.
        """
        return super().render_str(visible(text).encode(self.encoding, READABLE).decode(self.encoding), **how)

    def print(self, *what: Any, **how: Any) -> None:
        """Print; raise `OutputFailed` if the output cannot be written."""
        try:
            super().print(*what, **how)
        except OSError as error:
            raise OutputFailed(error) from error

    def on_broken_pipe(self) -> NoReturn:
        """Raise `OutputFailed` in place of rich's own exit, so that `delivering` decides the exit status."""
        raise OutputFailed(BrokenPipeError())


class OutputFailed(BaseException):
    """Standard output cannot be written. Not an `Exception`, so that no part of the work handles it."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


def open_streams() -> None:
    """Open closed standard streams on the null device, and let the others encode every letter.

    Otherwise the next file would get the number of the closed stream, and what is printed would go into it.
    """
    for name in (INPUT, OUTPUT, ERRORS):
        stream = getattr(sys, name)
        # Python leaves None in the place of a stream that was closed before it started
        if stream is None:
            null = open(os.devnull, "r" if name == INPUT else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, null)
        elif name != INPUT and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)


def warn(line: str) -> None:
    """Print a line to standard error; do nothing if it cannot be written."""
    # flushed, so that a failure shows here and not when Python exits
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


@contextmanager
def delivering() -> Iterator[None]:
    """Flush standard output at the end of the context, and report an output that cannot be written.

    Exits as by SIGPIPE if the reader has closed the pipe; raises `OSError` otherwise, for example on a full disk.
    """
    output, failed = sys.stdout, None
    try:
        yield
    except OutputFailed as error:
        failed = error.reason
        _silence(output)
    except SystemExit as end:
        # without its reader, rich exits from the help, and typer replaces the stream
        gone = isinstance(end.__context__, BrokenPipeError) or sys.stdout is not output
        failed = BrokenPipeError() if gone else _flush(output)
        if failed is None:
            raise
    except BaseException:
        # what was printed comes before the sentence about the error
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
    """Flush the output; return the error if that fails."""
    try:
        output.flush()
    except OSError as error:
        _silence(output)
        return error
    return None


def _silence(stream: TextIO) -> None:
    """Redirect the stream to the null device, as Python would report the failure again when it flushes at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
