"""What the terminal shows: one line of progress that fits, plain lines in a pipe, tables that fit, one sentence."""

import errno
import io
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from certificate_factory import make_certificates
from radii.cli import console
from radii.cli.certificate_tables import accuracy_table, unlabelled_table
from radii.cli.tables import show
from radii.cli.terminal import PIPE_BROKE, READABLE, Screen, delivering, open_streams, readable
from radii.errors import InputError

METRICS = {"epoch": 3, "loss": 0.073821, "accuracy": 0.97682, "images_per_second": 214.7, "seconds": 18.6}


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of the width given; what it shows."""

    def open_terminal(width, is_terminal=True):
        shown = Console(
            file=io.StringIO(),
            width=width,
            force_terminal=is_terminal,
            color_system=None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        monkeypatch.setattr(console, "console", shown)
        return shown.file

    return open_terminal


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_bar_has_room_for_what_matters(terminal, width):
    shown = terminal(width)
    with console.progress("train wrn-28-10") as update:
        update(0, 90)
        update(30, 90, METRICS)
        update(90, 90, METRICS)
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue()).replace("\r", "\n")
    last = drawn.rstrip().splitlines()[-1].rstrip()
    assert last == "train wrn-28-10 ━━━━━━━━━━━━ 100% 0:00:00      loss 0.0738, 98% correct, 215/s"
    assert all(len(line.rstrip()) <= 80 for line in drawn.splitlines()) and "…" not in drawn


def test_the_time_left_follows_the_pace():
    column = console.TimeLeft()

    fields = {"left": 30.0, "updated": 10.0}
    task = SimpleNamespace(finished=False, finished_time=None, elapsed=12.0, fields=fields)
    assert str(column.render(task)) == "0:00:28 left"
    task.elapsed = 99.0
    assert str(column.render(task)) == "0:00:00 left"
    task.fields = {"left": None, "updated": 0.0}
    assert str(column.render(task)).rstrip() == "0:01:39"
    task.finished, task.finished_time = True, 3661.5
    assert str(column.render(task)).rstrip() == "1:01:01"


def test_the_start_of_a_job_says_nothing_of_its_end():
    """Processes that start take seconds before the first noise sample; one sample is no pace."""
    pace = console.Pace()
    assert pace.seconds_left(20.0, 0, 1000) is None and pace.seconds_left(30.0, 5, 1000) is None
    assert pace.seconds_left(30.5, 10, 1000) is None, "half a percent in half a second may be luck"
    assert pace.seconds_left(31.0, 15, 1000) == pytest.approx(98.5)
    assert pace.seconds_left(41.0, 115, 1000) == pytest.approx(88.5)


def test_the_pace_counts_what_the_job_does(terminal, monkeypatch):
    shown, now = terminal(100, is_terminal=False), [100.0]
    monkeypatch.setattr("radii.cli.console.time.monotonic", lambda: now[0])
    for counted, each, pace in (("samples", 1000, "2,000 samples/s"), ("images", 1, "2 images/s")):
        with console.progress("vote", counted=counted) as update:
            for done in range(101):
                update(done * each, 100 * each)
                now[0] += 0.5
        *between, last = shown.getvalue().splitlines()[-6:]
        assert between and all(line.endswith(f" left, {pace}") for line in between)
        assert last == f"vote: done in 0:00:50, {pace}"


def test_a_pipe_gets_a_few_plain_lines(terminal, monkeypatch):
    shown, now = terminal(100, is_terminal=False), [100.0]
    monkeypatch.setattr("radii.cli.console.time.monotonic", lambda: now[0])
    with console.progress("train small-cnn") as update:
        for done in range(101):
            update(done, 100, METRICS if done >= 50 else {})
            now[0] += 0.5
    assert shown.getvalue().splitlines() == [
        "train small-cnn: 10%, 0:00:45 left",
        "train small-cnn: 20%, 0:00:40 left",
        "train small-cnn: 30%, 0:00:35 left",
        "train small-cnn: 45%, 0:00:27 left",
        "train small-cnn: 68%, 0:00:16 left, loss 0.0738, 98% correct, 215/s",
        "train small-cnn: done in 0:00:50, loss 0.0738, 98% correct, 215/s",
    ]


def test_what_passes_leaves_nothing(terminal):
    shown = terminal(100, is_terminal=False)
    with console.progress("certify", passing=True) as update:
        update(0, 2)
        update(2, 2)
    assert shown.getvalue() == ""


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("norm", ["l0", "l2", "linf"])
def test_tables_fit_the_terminal(terminal, norm, width):
    shown = terminal(width)
    names = ("laplace", "gaussian", "uniform")
    certificates = {noise.capitalize(): make_certificates(noise, norm, sigma=2.0) for noise in names}
    show(accuracy_table(certificates))
    text = shown.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    assert all(f"  {name}" in text for name in certificates) and "median" in text
    share = certificates["Laplace"].accuracy([0.0])[0]
    assert f"{share:.1%}" in text


@pytest.mark.parametrize("width", [80, 100])
def test_the_best_sigma_of_each_radius_is_shown_and_explained(terminal, width):
    shown = terminal(width)
    sigmas = {f"Laplace {sigma}": make_certificates("laplace", sigma=sigma) for sigma in (0.25, 1.0)}
    show(accuracy_table(sigmas))
    text = shown.getvalue()
    rows = [line for line in text.splitlines() if line.startswith("  Laplace, best σ")]
    assert len(rows) == 1 and f"{max(one.accuracy([0])[0] for one in sigmas.values()):.1%}" in rows[0]
    assert "best σ: chosen at each radius after looking at the results" in text
    assert max(map(len, text.splitlines())) <= width
    show(accuracy_table({"Laplace": sigmas["Laplace 0.25"]}))
    assert shown.getvalue().count("after looking") == 1


def test_the_table_of_unknown_truth_says_what_it_is(terminal):
    shown = terminal(80)
    one = make_certificates("laplace", "l2", k=2)
    show(unlabelled_table({"Laplace": one}))
    assert "top-2" in shown.getvalue() and "true labels unknown" in shown.getvalue()
    middle = np.median(one.radius)
    assert shown.getvalue().split("120")[1].split()[2] == f"{np.floor(middle * 1000) / 1000:.3f}"


LENGTHS = {
    0.4: "less than 1 s",
    12.3: "12 s",
    80: "1 min 20 s",
    3600: "1 h",
    4830: "1 h 20 min",
    23.6 * 3600: "23 h 36 min",
    86_400: "1 day",
    3 * 86_400 + 4.4 * 3600: "3 days 4 h",
    400 * 86_400: "400 days",
}


@pytest.mark.parametrize("seconds", LENGTHS)
def test_long_times_are_easy_to_read(seconds):
    assert console.duration_text(seconds) == LENGTHS[seconds]


def test_sentences_are_said_as_they_are(terminal):
    shown = terminal(20)
    console.say("a path /with [brackets]/and/a/name/longer/than/the/terminal :smile:")
    assert shown.getvalue() == "a path /with [brackets]/and/a/name/longer/than/the/terminal :smile:\n"


ENDS = [
    (InputError("first line\n  second"), 2, "radii: first line second\n"),
    (FileNotFoundError(2, "No such file or directory", "x"), 2, "radii: No such file or directory: x\n"),
    (OSError("odd"), 2, "radii: odd\n"),
    (OSError(), 2, "radii: OSError\n"),
    (KeyboardInterrupt(), 130, "radii: interrupted; "),
]


@pytest.mark.parametrize("error,status,words", ENDS)
def test_errors_end_in_one_sentence(capsys, error, status, words):
    with pytest.raises(SystemExit) as end, console.one_sentence():
        raise error
    assert end.value.code == status and capsys.readouterr().err.startswith(words)


def test_memory_that_is_full_is_said_and_no_other_runtime_error(capsys):
    with pytest.raises(SystemExit), console.one_sentence():
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
    assert capsys.readouterr().err.startswith("radii: out of memory")
    with pytest.raises(RuntimeError), console.one_sentence():
        raise RuntimeError("shapes do not fit")


def test_a_terminal_is_given_no_commands(terminal, capsys):
    said = terminal(80)
    console.say("a\x1b[2J\x07 name\u202e\ud800 é, l∞")
    assert said.getvalue() == "a�[2J� name�� é, l∞\n"
    table = Table("\u202eb")
    table.add_row("\x1b[2Jc")
    screen = Screen(file=io.StringIO())
    screen.print(table)
    assert (
        re.search("�b.*�\\[2Jc", screen.file.getvalue(), re.DOTALL) and "\x1b" not in screen.file.getvalue()
    )
    with pytest.raises(SystemExit), console.one_sentence():
        raise InputError("no file \x1b]0;x\x07")
    assert capsys.readouterr().err == "radii: no file �]0;x�\n"


@pytest.mark.parametrize(
    "sign,error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, console.Interrupted)]
)
def test_an_interruption_is_not_forgotten_where_a_library_drops_it(terminal, sign, error):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        console.handle_signals()
        with console.progress("vote") as update:
            update(1, 3)
            with suppress(BaseException):
                signal.raise_signal(sign)
            with pytest.raises(error):
                update(2, 3)
        console.handle_signals()
        with console.progress("vote") as update:
            update(1, 3)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        console.handle_signals()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_what_a_library_makes_of_an_interruption_is_one(capsys):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        console.handle_signals()
        with pytest.raises(SystemExit) as end, console.one_sentence():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("numpy failed to import") from None
    finally:
        console.handle_signals()
        for one, handler in before.items():
            signal.signal(one, handler)
    assert end.value.code == 130 and capsys.readouterr().err.startswith("radii: interrupted; ")


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), console.one_sentence():
        raise ZeroDivisionError


# consoles without some letters, and outputs that take nothing ---------------------------------------


def test_every_symbol_has_a_form_in_ascii():
    shown = {
        "ℓ₀ ℓ₁ ℓ₂ ℓ∞": "l0 l1 l2 linf",
        "best σ": "best sigma",
        "α – β — …": "alpha - beta - ...",
        "3 × 4²": "3 x 4^2",
    }
    shown |= {
        "✓ ✗ → ≤ ≥ µs": "ok x -> <= >= us",
        "━━╸─│": "----|",
        "Zoë": "Zoe",
        "ﬁ": "fi",
    }
    shown |= {"日": "\\u65e5", "\ufffd": "?", "plain [x]": "plain [x]"}
    assert {text: readable(text) for text in shown} == shown and readable("\udcff") == "\\udcff"
    source = "".join(path.read_text("utf-8") for path in Path(console.__file__).parent.rglob("*.py"))
    symbols = {letter for letter in source if not letter.isascii()}
    assert not [letter for letter in symbols if readable(letter).startswith("\\") or readable(letter) == "?"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_tables_are_laid_out_for_the_letters_that_there_are(encoding):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=READABLE)
    screen = Screen(file=file, width=100, highlight=False, markup=False, emoji=False)
    sigmas = {f"Laplace {sigma}": make_certificates("laplace", sigma=sigma) for sigma in (0.25, 1.0)}
    screen.print(accuracy_table(sigmas).laid_out())
    file.seek(0)
    lines = file.read().splitlines()
    sigma = "σ" if encoding in ("utf-8", "cp437") else "sigma"
    assert "?" not in "".join(lines)
    assert len({len(line) for line in lines}) == 1 and any(f"Laplace, best {sigma}" in line for line in lines)


class Output(io.TextIOWrapper):
    """Standard output on something that takes nothing."""

    def __init__(self, error):
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.error = error

    def flush(self):
        raise self.error

    def fileno(self):
        raise io.UnsupportedOperation


@pytest.mark.parametrize("size", [3, 20_000])
@pytest.mark.parametrize("work", [None, SystemExit(1), InputError("no such thing")])
def test_what_does_not_arrive_is_said_unless_the_reader_has_gone(monkeypatch, capsys, work, size):
    for error, status, words in (
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), PIPE_BROKE, ""),
        (
            OSError(errno.ENOSPC, "No space left"),
            2,
            "radii: standard output cannot be written (No space left)",
        ),
    ):
        monkeypatch.setattr("sys.stdout", Output(error))
        with pytest.raises(SystemExit) as end, console.one_sentence(), delivering():
            sys.stdout.write("x" * size)
            if work is not None:
                raise work
        said = capsys.readouterr().err
        if isinstance(work, InputError):
            assert (end.value.code, said) == (2, "radii: no such thing\n")
        else:
            assert end.value.code == status and said.startswith(words) and said.count("\n") == bool(words)
        with pytest.raises(SystemExit) as end, console.one_sentence(), delivering():
            Screen(highlight=False).print("x\n" * size)
        assert end.value.code == status


def test_nothing_is_written_to_the_numbers_of_closed_streams(monkeypatch, tmp_path):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    open_streams()
    assert sys.stdin.read() == "" and sys.stdout.write("x") and sys.stderr.write("é")
    for name in ("stdin", "stdout", "stderr"):
        getattr(sys, name).close()
