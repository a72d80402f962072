"""Endpoints, against real servers on the loopback interface: what is asked, what is waited for, what is refused."""

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import radii
from commands import call
from given_models import digits, plain
from model_server import Server, packed
from patience import HANG
from radii.cli.model_options import ExternalModel
from radii.errors import InputError
from radii.models import digest
from radii.models.adapters import http
from radii.votes import load_votes

IMAGES, LABELS = digits(12)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "TIMEOUT", HANG)
    one = Server()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    one.over.set()
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """Seconds that would have been waited."""
    seconds: list[float] = []
    monkeypatch.setattr(http.time, "sleep", seconds.append)
    return seconds


def test_votes_of_an_endpoint(server: Server) -> None:
    how = {"plan": radii.fixed(50, 10), "seed": 4}
    model = radii.load_model(server.url)
    votes, usual = (
        radii.Smoothed(one, radii.Gaussian(0.25), batch=64).vote(IMAGES, LABELS, **how)
        for one in (model, plain)
    )
    np.testing.assert_array_equal(votes.counts, usual.counts)
    assert votes.model == f"unknown:{server.url}"
    assert server.seen[0][2] == (12, 1, 8, 8), "clean images, which show whether the scale is right"
    sizes = [shape for _, _, shape, _ in server.seen[1:]]
    assert sizes.count((1, 1, 8, 8)) == 1 and set(sizes) == {(64, 1, 8, 8), (1, 1, 8, 8)}
    assert len(sizes) == 5 + -(-12 * 60 // 64) + 1, "the check, the run, the re-check"
    assert {(path, kind, of) for path, kind, _, of in server.seen} == {
        ("/predict?version=2", "application/x-npy", "float32")
    }


def test_images_come_in_the_scale_that_is_declared(server: Server) -> None:
    model = radii.load_model(server.url, input_range=(0, 255), layout="flat")
    server.plan = [packed(np.zeros((3, 10), dtype=np.float64))]
    assert model(torch.ones(3, 1, 8, 8)).dtype == torch.float32
    seen = server.seen[0]
    assert seen[2:] == ((3, 64), "float32")
    assert digest(model).startswith(f'unknown:{server.url} {{"input_range": [0.0, 255.0]')


def test_other_processes_connect_anew(server: Server) -> None:
    model = radii.load_model(server.url)
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(pickle.loads(pickle.dumps(model))(images), model(images))


@pytest.mark.parametrize(
    "trouble", [[503], [429, 500, 502], ["hang up"], ["hang up", 504, "hang up"], ["break off"]]
)
def test_what_passes_is_waited_for(server: Server, slept: list[float], trouble: list) -> None:
    server.plan = list(trouble)
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(radii.load_model(server.url)(images), plain(images))
    assert len(server.seen) == len(trouble) + 1 and len(slept) == len(trouble)
    for number, seconds in enumerate(slept):
        assert 0.25 * 2**number <= seconds <= 0.5 * 2**number


def test_a_server_that_says_when_is_kept_to(server: Server, slept: list[float]) -> None:
    server.plan, server.headers = [429, 503], {"Retry-After": "7"}
    radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert slept == [7.0, 7.0]
    server.plan, server.headers = [429, 503], {"Retry-After": "86400"}
    radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert slept[2:] == [60.0, 60.0]
    server.plan, server.headers = [429], {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}
    radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert slept[4] <= 0.5


def test_a_server_that_stays_away(server: Server, slept: list[float]) -> None:
    server.plan = [503] * 99
    with pytest.raises(InputError, match=r"gave no answer in 6 tries: it answered 503 .*; is it up\?"):
        radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert len(server.seen) == 6 and len(slept) == 5
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:1/ gave no answer in 6 tries: .*refused"):
        radii.load_model("http://127.0.0.1:1/")(torch.from_numpy(IMAGES))


@pytest.mark.parametrize("way", ["wait", "drip"])
def test_a_server_that_takes_too_long(server: Server, slept: list[float], monkeypatch, way: str) -> None:
    """It is silent, or sends a byte, another byte, and so on: each comes in time, and the answer never ends."""
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    monkeypatch.setattr(http, "TRIES", 2)
    server.plan = [way, way]
    with pytest.raises(InputError, match=r"no answer in 2 tries: no whole answer within 0\.1 seconds"):
        radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert len(server.seen) == 2 and len(slept) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 301])
def test_rejections_are_not_retried(server: Server, slept: list[float], status: int) -> None:
    server.plan = [status]
    with pytest.raises(InputError, match=f"rejects a batch of images: it answered {status} .* xxx"):
        radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert len(server.seen) == 1 and not slept


class Evil:
    def __reduce__(self):
        return pytest.fail, ("was unpickled",)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b'{"logits": []}',
        packed(np.zeros((11, 10))),
        packed(np.zeros(12)),
        packed(np.zeros((12, 10, 1))),
        packed(np.full((12, 10), "x")),
        packed(np.zeros((12, 10)))[:-9],
        packed(np.zeros((12, 10), dtype=[("a", "f4")])),
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (12, 10), }".ljust(127)
        + b"\n"
        + pickle.dumps(Evil()),
        pickle.dumps(Evil()),
        # a header that Python cannot split into words, and one of more numbers than any memory holds
        b"\x93NUMPY\x01\x00\x0c\x00{'descr': ((",
        np.lib.format.magic(1, 0)
        + b"v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (12, 10000000000000), }".ljust(119)
        + b"\n",
    ],
    ids=range(13),
)
def test_nonsense_is_no_answer(server: Server, slept: list[float], answer: bytes) -> None:
    server.plan = [answer]
    with pytest.raises(
        InputError, match=r"must answer with logits \(12, classes\), as numpy\.save writes them; got"
    ):
        radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert not slept


def test_answers_without_end_are_not_read(server: Server, slept: list[float], monkeypatch) -> None:
    monkeypatch.setattr(http, "LARGEST", 500)
    with pytest.raises(InputError, match="got 500 bytes that are none"):
        radii.load_model(server.url)(torch.from_numpy(IMAGES))


def header(words: bytes, rest: bytes = b"") -> bytes:
    """An NPY file with this header."""
    return b"\x93NUMPY\x01\x00" + len(words).to_bytes(2, "little") + words + rest


SHAPE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "answer",
    [
        b"PK\x03\x04, which begins an archive",
        header(SHAPE % (b"-" * 4000 + b"12, 10")),
        header(SHAPE % (b"(" * 3000)),
        header(SHAPE % (b"1or " * 2000 + b"0, 10")),
        header(SHAPE % b"12, 100000000000"),
        header(SHAPE % b"12, 10000000000000000000000"),
        header(SHAPE % b"True, 10", bytes(40)),
        header(SHAPE[:-1] % b"12, 10" + b"1: 2}", bytes(480)),
        header(SHAPE % (b"9," * 5000)),
    ],
    ids=range(9),
)
def test_headers_are_not_read_by_a_parser_of_programs(
    server: Server, slept: list[float], answer: bytes
) -> None:
    """numpy's own reader prints 2000 warnings, raises errors of eight types, or allocates what is claimed."""
    server.plan = [answer]
    with pytest.raises(InputError, match=rf"got {len(answer)} bytes that are none") as error:
        radii.load_model(server.url)(torch.from_numpy(IMAGES))
    assert not slept and len(str(error.value)) < 400


@pytest.mark.parametrize("nan", [np.nan, np.inf])
def test_votes_of_what_is_no_number(server: Server, nan: float) -> None:
    table = np.zeros((64, 10), dtype=np.float32)
    table[3, 4] = nan
    server.plan = [200] * 5 + [packed(table)]
    with pytest.raises(InputError, match="NaN or infinite logits on a noise sample of image"):
        radii.Smoothed(radii.load_model(server.url), radii.Gaussian(0.25), batch=64).vote(
            IMAGES, plan=radii.fixed(50)
        )


def test_endpoints_that_change_their_mind(server: Server) -> None:
    server.plan = [200, 200, 200, packed(np.random.default_rng(0).random((64, 10)))]
    with pytest.raises(InputError, match="the same logits in every batch, but they changed"):
        radii.Smoothed(radii.load_model(server.url), radii.Gaussian(0.25), batch=64).vote(
            IMAGES, plan=radii.fixed(50)
        )


@pytest.mark.parametrize("width", [3, 12])
def test_endpoints_that_change_their_classes(server: Server, width: int) -> None:
    server.plan = [200] * 5 + [packed(np.zeros((64, width), dtype=np.float32))]
    with pytest.raises(InputError, match=f"as many logits .* as at first, 10; got {width}"):
        radii.Smoothed(radii.load_model(server.url), radii.Gaussian(0.25), batch=64).vote(
            IMAGES, plan=radii.fixed(50)
        )


KEYS = "&api_key=sEcReT%2Fk3y&sig=sEcReT"


def test_keys_in_an_address_are_sent_and_shown_nowhere(
    server: Server, slept: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a command prints, whatever it writes, and what a server says that quotes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = server.url + KEYS
    vote = (
        "vote",
        url,
        "--data",
        "digits",
        "--noise",
        "gaussian",
        "--sigma",
        0.25,
        "--limit",
        4,
        "--batch-size",
        64,
    )
    printed = [call(*vote, "--n", 100, "--out", "v.parquet"), call(*vote, "--n", 50, "--out", "v.parquet")]
    printed += [
        call("attack", "v.parquet", "--run", url, "--stride", 4, "--n", 20),
        call("vote", url),
        call("serve", url),
    ]
    printed += [call("report", "v.parquet", "--norm", "l2", "--k", 1)]
    assert [ended.status for ended in printed] == [0, 2, 2, 2, 2, 0] and "plan n 100, not 50" in printed[
        1
    ].err
    assert all(path.endswith(KEYS) for path, *_ in server.seen)
    assert load_votes("v.parquet").model == f"unknown:{server.url}&api_key=***&sig=***"

    images, errors = torch.from_numpy(IMAGES), []
    for address, step in ((url, 403), (url, b"no table"), (f"{server.url}&token=sEcReT k3y", 200)):
        server.plan, server.quotes = [step], True
        with pytest.raises(InputError) as error:
            radii.load_model(address)(images)
        errors.append(f"{error.value!r} {error.value.__cause__!r}")
    assert "/predict?version=2&api_key=***&sig=***" in errors[0] and "control characters" in errors[2]
    declared = {"input_range": (0.0, 1.0), "layout": "nchw"}
    source = ExternalModel(url, "digits", radii.Gaussian(0.25), declared)
    texts = [
        *errors,
        repr(radii.load_model(url)),
        repr(source),
        *(f"{ended.out}{ended.err}" for ended in printed),
    ]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) > 12 and not any("sEcReT" in text or "k3y" in text for text in texts)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http:///predict", "an endpoint is http://HOST:PORT/PATH"),
        ("http://me:secret@127.0.0.1/", "leave user and password out"),
        ("http://127.0.0.1:port/", "an endpoint is http://HOST:PORT/PATH"),
        ("http://me:secret@[/", "an endpoint is http://HOST:PORT/PATH"),
        ("http://127.0.0.1/\u00e4", "with other letters as %XX"),
        ("http://127.0.0.1/?a=\u00e4", "with other letters as %XX"),
        (f"http://{64 * 'x'}.example/", "with other letters as %XX"),
        ("ftp://me:secret@127.0.0.1/", "an endpoint is http://HOST:PORT/PATH"),
    ],
)
def test_addresses_that_are_none(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        radii.load_model(url)
    assert "secret" not in str(error.value)


# bounds on what comes before an answer -------------------------------------------------------------


def test_an_endless_prelude_is_cut_off(server: Server, slept: list[float]) -> None:
    server.plan = ["continue"]
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(radii.load_model(server.url)(images), plain(images))
    assert len(server.seen) == 2 and len(slept) == 1
    server.plan = ["continue"] * 6
    with pytest.raises(InputError, match="in 6 tries: its headers, with informational responses, are longer"):
        radii.load_model(server.url)(images)


def test_a_few_informational_responses_are_read(server: Server, slept: list[float]) -> None:
    server.plan = ["patience"]
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(radii.load_model(server.url)(images), plain(images))
    assert not slept and len(server.seen) == 1
