"""What docs/serving.md shows is run, by the command itself; every mistake of its options ends in one sentence."""

import contextlib
import io
import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest

import radii
import radii.serving
from commands import call, fine
from driven import Command, kill
from patience import HANG, wait_until
from radii.data import from_arrays, load_data
from radii.serving import Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
STARTS, CURLS = ([line for line in LINES if line.startswith(name)] for name in ("radii serve", "curl"))
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
ZOO = re.findall(r"```python file=zoo.py\n(.*?)```", (ROOT / "docs" / "models.md").read_text(), re.DOTALL)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run and a model of one's own, in which the commands are given."""
    path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("no_proxy", "127.0.0.1")
        (path / "zoo.py").write_text(ZOO)
        fine("train", "--data", "digits", "--epochs", 1, "--out", "runs/first")
        yield path


def test_every_line_is_a_start_or_a_question() -> None:
    assert len(STARTS) + len(CURLS) == len(LINES) > 3


@contextlib.contextmanager
def started(folder: Path, line: str) -> Iterator[SimpleNamespace]:
    """A service by a command of the page, on a port that is free."""
    words = shlex.split(patiently(line))
    log = folder / f"log-{STARTS.index(line)}"
    with Command("-m", *words, log=log, PYTHONPATH=str(Path(radii.__file__).parents[1])) as command:
        wait_until(lambda: "until Ctrl-C" in command.printed() or not command.alive)
        assert command.alive, command.said()
        port = int(re.findall(r"Listening on http://127\.0\.0\.1:([0-9]+)/", command.printed())[0])
        yield SimpleNamespace(command=command, port=port, said=command.printed)


def patiently(line: str) -> str:
    """A line of the page on a port that is free, without limits that a busy machine would reach."""
    words, count = re.subn("--port [0-9]+", f"--port 0 --timeout {HANG:g}", line)
    assert count == 1
    return re.sub("--seconds [0-9]+", f"--seconds {HANG:g}", words)


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[SimpleNamespace]:
    with started(folder, STARTS[0]) as service:
        yield service


def curl(service: SimpleNamespace, line: str) -> str:
    """What a line with curl prints, the port being another."""
    assert ":8000/" in line
    words = line.replace(":8000/", f":{service.port}/").replace(
        "curl ", "curl --silent --show-error --noproxy '*' "
    )
    return subprocess.run(["sh", "-ec", words], capture_output=True, text=True, check=True).stdout


def run(service: SimpleNamespace, code: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code.replace(":8000/", f":{service.port}/"), {})
    return said.getvalue()


def test_the_page_shows_what_it_should() -> None:
    assert (len(STARTS), len(CURLS), len(SNIPPETS)) == (2, 3, 2)


def test_the_page(first: SimpleNamespace) -> None:
    """In order; the end comes last, while requests wait."""
    run(first, SNIPPETS[0])
    answer = json.loads(curl(first, CURLS[0]))
    assert {name: type(value) for name, value in answer.items()} == {
        name: type(value) for name, value in SHOWN.items()
    }
    assert (
        all(answer[name] == SHOWN[name] for name in ("norm", "unit", "k", "alpha"))
        and answer["samples"] <= 1100
    )
    assert run(first, SNIPPETS[1]) == f"{answer['label']}\n"
    assert json.loads(curl(first, CURLS[1])) == {"status": "ok"}
    assert 'radii_requests_total{status="200"} 2' in curl(first, CURLS[2])
    assert first.said().startswith("The largest radii that 1000 samples can certify at alpha 0.001: ")

    body, many = Path("digit.png").read_bytes(), 30

    def post(_: int) -> int:
        connection = HTTPConnection("127.0.0.1", first.port, timeout=HANG)
        connection.request("POST", "/predict", body, {"Content-Type": "image/png"})
        with contextlib.closing(connection):
            return connection.getresponse().status

    def came() -> int:
        metrics = curl(first, CURLS[2])
        counts = re.findall(
            r'^radii_(?:requests_total\{status="200"\}|places_taken) ([0-9]+)', metrics, re.MULTILINE
        )
        return sum(map(int, counts))

    with ThreadPoolExecutor(many) as pool:
        waiting = [pool.submit(post, number) for number in range(many)]
        wait_until(lambda: came() == many + 2)
        kill(first.command.process.pid, signal.SIGTERM)
        assert [one.result() for one in waiting] == [200] * many
    assert first.command.wait() == (0, "")
    assert first.said().endswith("All accepted requests are answered.\n")


def test_models_of_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where the port opens; a process of its own would take seconds."""
    services: list[Service] = []
    monkeypatch.setattr(radii.serving, "run", lambda service, *_: services.append(service))
    said = fine(*shlex.split(patiently(STARTS[1]))[1:])
    assert said.startswith("The largest radii that 1000 samples") and "Listening on http://127.0.0.1:" in said
    (service,) = services
    image = load_data("digits").images([0])[0]
    (answer,) = service.answers({1: image}).values()
    model = radii.load_model("zoo:model", input_range=(-1, 1), layout="flat")
    usual = radii.Smoothed(model, radii.Gaussian(0.25)).certify_predictions(
        from_arrays(image[None], index=[1]), n=1000, norm="l2", seed=service.seed
    )
    assert (answer.label, answer.radius, answer.samples) == (usual.label[0], usual.radius[0], 1100)
    assert service.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("runs/first --norm l9", "unknown norm 'l9'"),
        ("runs/first --queue 0", "queue must be a whole number of at least 1; got 0"),
        ("runs/first --timeout 0", "--timeout must be above 0 seconds; got 0"),
        ("runs/first --seconds 0", "seconds must be above 0; got 0.0"),
        ("runs/first --seed -1", "seed must be a whole number from 0 to 2**64 - 1; got -1"),
        ("runs/first --port 70000", "port must be at most 65535; got 70000"),
        ("runs/first --n 5", "n = 5 samples cannot certify anything"),
        ("runs/first --k 10", "k must be smaller than the number of classes, 10; got 10"),
        ("runs/first --data digits", "runs/first is a run folder, which stores it"),
        ("runs/first --sigma 0.5", "--sigma is for models not trained by radii train"),
        ("runs/first --per-client 0", "per-client must be a whole number of at least 1; got 0"),
        ("runs/first --trusted-proxy proxy", "--trusted-proxy must be an IP address or a network"),
        ("runs/first --token-file nothing", "nothing must be a text file with a token (No such file"),
        ("runs/first --seed-file nothing", "nothing must be a text file with a seed (No such file"),
        ("runs/first --alpha-budget 0.0001", "must be at least alpha, 0.001, and below 1; got 0.0001"),
        ("nowhere", "nowhere is not a run folder"),
        ("zoo:model", "zoo:model is a model, not a run folder: add --data and --noise"),
        ("zoo:model --data digits --noise splitting --layout flat --seconds 3", "leave out seconds"),
    ],
)
def test_mistakes(folder: Path, never: None, line: str, words: str) -> None:
    refused(line, words)


def test_a_model_in_the_wrong_scale(folder: Path, never: None) -> None:
    (folder / "bytes_zoo.py").write_text(
        "from given_models import NearestMean\nfrom radii.models.adapters import Inputs\n"
        "model = NearestMean(Inputs((0, 255))).eval()\n"
    )
    refused("bytes_zoo:model --data digits --noise gaussian", "--input-range 0,255")


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused ends at once, too."""
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: pytest.fail("this is served"))


def refused(line: str, words: str) -> None:
    """A command that must end in one sentence."""
    ended = call("serve", "--port", 0, *line.split())
    assert ended.status == 2 and words in ended.err and ended.err.count("\n") == 1
