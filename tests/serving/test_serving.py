"""The service on a port of the loopback interface: its responses, rejections, limits and its end."""

import io
import json
import logging
import pickle
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry, generate_latest

import radii
from given_models import digits, plain
from image_factory import empty_png, png, taken
from patience import HANG, wait_until
from radii.data import from_arrays
from radii.errors import InputError, MissingExtra
from radii.sampling.smoothed import budget_plan
from radii.serving import Batcher, Limits, Service, listen
from radii.serving.app import SECONDS, Latencies, address_of, make_server
from radii.serving.decode import largest_body
from radii.serving.service import number_of

IMAGES = digits(20)[0]
NOISE, SHAPE, SECRET, NPY = radii.Gaussian(0.25), (1, 8, 8), 7, "application/x-npy"
LIMITS = Limits(seconds=HANG)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def make_service(model: Callable = plain, noise: radii.Noise = NOISE, n: int = 100, **how: Any) -> Service:
    sampler = radii.Smoothed(model, noise, batch=64).ready(SHAPE)
    asked = {"seed": SECRET, "norm": "l2", "classes": NAMES} | how
    return Service(sampler, budget_plan(noise, n, 1e-3, None), **asked)


@contextmanager
def served(service: Service, limits: Limits = LIMITS) -> Iterator[SimpleNamespace]:
    """A service in a thread of this process, which ends when the block does."""
    place = listen("127.0.0.1", 0)
    server = make_server(service, limits)
    assert isinstance(server.config.app, FastAPI)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        frontend = server.config.app.state.frontend
        yield SimpleNamespace(server=server, thread=thread, port=place.getsockname()[1], frontend=frontend)
    finally:
        server.should_exit = True
        thread.join(HANG)
        place.close()
    assert not thread.is_alive()


def ask(port: int, method: str, path: str, body: Any = None, kind: str | None = None) -> SimpleNamespace:
    """One request: status, content, and headers of its answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    with suppress(ConnectionError):  # what is refused may be answered while it is still sent
        connection.request(method, path, body, {} if kind is None else {"Content-Type": kind})
    return answered(connection)


def answered(connection: HTTPConnection) -> SimpleNamespace:
    response: HTTPResponse = connection.getresponse()
    content = response.read().decode()
    connection.close()
    if response.headers["Content-Type"] == "application/json":
        content = json.loads(content)
    return SimpleNamespace(status=response.status, said=content, headers=response.headers)


def post(port: int, body: Any, kind: str = "image/png") -> SimpleNamespace:
    return ask(port, "POST", "/predict", body, kind)


def picture(image: np.ndarray) -> bytes:
    return png(np.rint(255 * image[0]).astype(np.uint8))


def packed(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(make_service()) as running:
        yield running.port


# answers ------------------------------------------------------------------------------------------


def test_an_answer_is_the_certificate_of_its_image(port: int) -> None:
    smoothed = radii.Smoothed(plain, NOISE, batch=64)
    abstained = []
    for image in IMAGES[:6]:
        index = [number_of(image, SECRET)]
        found = smoothed.certify_predictions(
            from_arrays(image[None], index=index), n=100, norm="l2", seed=SECRET
        )
        started = time.monotonic()
        answer = post(port, picture(image))
        seconds = answer.said.pop("seconds")
        assert answer.status == 200 and 0 < seconds <= time.monotonic() - started
        abstained.append(bool(found.abstained[0]))
        label = None if abstained[-1] else int(found.label[0])
        assert answer.said == {
            "label": label,
            "class": None if label is None else NAMES[label],
            "abstained": abstained[-1],
            "radius": found.radius[0],
            "rounding": 0.0,
            "norm": "l2",
            "unit": "feature",
            "k": 1,
            "alpha": 0.001,
            "samples": 200,
        }
        assert (found.radius[0] > 0) != abstained[-1]
    assert set(abstained) == {True, False}


def test_the_same_image_has_the_same_answer_however_it_comes(port: int) -> None:
    image = IMAGES[3]
    pixels = np.rint(255 * image).astype(np.uint8)
    colour = png(np.repeat(pixels[0][..., None], 3, axis=2))
    bodies = [
        (picture(image), "image/png"),
        (png(pixels[0], "BMP"), "IMAGE/BMP; charset=binary"),
        *((taken(pixels[0], orientation), "image/png") for orientation in range(2, 9)),
        (packed(image), NPY),
        (packed(image.astype(">f8")), NPY),
        (packed(pixels[0]), NPY),
        (packed(np.asfortranarray(pixels.transpose(1, 2, 0))), NPY),
    ]
    answers = [post(port, *one).said | {"seconds": 0} for one in bodies]
    assert all(one == answers[0] for one in answers) and answers[0]["label"] is not None
    assert post(port, colour).status == 422


def test_answers_do_not_depend_on_simultaneous_requests(port: int) -> None:
    bodies = [picture(image) for image in IMAGES]
    alone = [post(port, body).said | {"seconds": 0} for body in bodies]
    with ThreadPoolExecutor(len(bodies)) as pool:
        together = list(pool.map(lambda body: post(port, body).said | {"seconds": 0}, bodies))
    assert together == alone and len({one["radius"] for one in alone}) > 5


def test_noise_follows_the_seed_and_the_pixels_alone() -> None:
    image, other = IMAGES[0], IMAGES[0].copy()
    other[0, 0, 0] += np.float32(2.0**-20)
    numbers = {number_of(one, seed) for one in (image, other) for seed in (0, 1, 2**64 - 1)}
    assert len(numbers) == 6 and all(0 <= number < 2**63 for number in numbers)
    assert number_of(image, 1) == number_of(image.astype(np.float64).astype(np.float32), 1)
    one, two = (make_service(seed=seed).answers({5: IMAGES[3]})[5].radius for seed in (1, 2))
    assert one != two


def test_an_abstention_has_no_label() -> None:
    def torn(noisy: torch.Tensor) -> torch.Tensor:
        x = noisy.flatten(1).sum(1)
        return torch.stack([x - x.floor(), torch.full_like(x, 0.5)], 1)

    with served(make_service(torn, classes=("left", "right"))) as running:
        answer = post(running.port, picture(IMAGES[0]))
    assert answer.status == 200 and answer.said["abstained"]
    assert (answer.said["label"], answer.said["class"], answer.said["radius"]) == (None, None, 0.0)


def test_all_outcomes_have_no_error_probability() -> None:
    service = make_service(noise=radii.Splitting(0.05), norm="l1")
    with served(service) as running:
        answer = post(running.port, picture(IMAGES[1]))
        assert (answer.said["alpha"], answer.said["samples"]) == (0.0, 44)
        off = post(running.port, packed(IMAGES[1] * np.float32(0.999)), NPY)
    assert off.status == 422 and "needs 8-bit images" in off.said["error"]
    found = radii.Smoothed(plain, radii.Splitting(0.05)).certify_predictions(IMAGES[1:2], norm="l1")
    assert answer.said["radius"] == found.radius[0] > 0


# the batcher --------------------------------------------------------------------------------------


class Spy:
    """The nearest mean, that counts its calls, waits while it is told to, and trips over some images."""

    def __init__(self) -> None:
        self.calls, self.go, self.entered = 0, threading.Event(), threading.Event()
        self.go.set()
        self.bright = np.inf

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.entered.set()
        assert self.go.wait(HANG)
        logits = plain(noisy)
        return torch.where((noisy.flatten(1).mean(1) > self.bright)[:, None], torch.nan, logits)

    def hold(self) -> None:
        self.go.clear()
        self.entered.clear()


def test_images_that_wait_are_sampled_together() -> None:
    spy = Spy()
    service = make_service(spy)
    numbers = [number_of(image, SECRET) for image in IMAGES[:8]]
    spy.calls = 0
    alone = [service.answers({number: image})[number] for number, image in zip(numbers, IMAGES, strict=False)]
    by_themselves, spy.calls = spy.calls, 0
    batcher = Batcher(service, 64)
    assert batcher.together == 8 and Batcher(service, 6).together == 3 and Batcher(service, 1).together == 1
    waiting = [batcher.submit(*one) for one in zip(numbers, IMAGES, strict=False)]
    batcher.open()
    batcher.close()
    assert [one.result() for one in waiting] == alone
    assert spy.calls == -(-8 * 200 // 64) < by_themselves
    assert (batcher.images, batcher.samples) == (8, 1600) and not batcher.is_open


def test_the_same_image_is_sampled_once() -> None:
    batcher = Batcher(make_service(), 64)
    waiting = [batcher.submit(9, IMAGES[0]) for _ in range(5)]
    batcher.open()
    batcher.close()
    assert len({one.result() for one in waiting}) == 1 and (batcher.images, batcher.samples) == (1, 200)


def test_a_cancelled_request_takes_no_samples() -> None:
    batcher = Batcher(make_service(), 64)
    waiting = [batcher.submit(number, image) for number, image in enumerate(IMAGES[:3])]
    assert waiting[0].cancel() and waiting[2].cancel()
    batcher.open()
    batcher.close()
    assert batcher.images == 1 and waiting[1].result().samples == 200


def test_no_image_fails_for_another() -> None:
    spy = Spy()
    spy.bright = 0.6
    service = make_service(spy)
    dark, bright = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    with served(service) as running, ThreadPoolExecutor(3) as pool:
        spy.hold()
        first = pool.submit(post, running.port, picture(dark + np.float32(0.2)))
        assert spy.entered.wait(HANG)
        rest = [pool.submit(post, running.port, picture(one)) for one in (dark, bright)]
        wait_until(lambda: "radii_places_taken 3" in ask(running.port, "GET", "/metrics").said)
        spy.go.set()
        assert first.result().status == rest[0].result().status == 200
        assert rest[1].result().status == 500
        assert (
            rest[1].result().said["error"].startswith("the model failed on this image: the model gives NaN")
        )


def test_a_model_that_fails_is_logged_and_queried_again(caplog: pytest.LogCaptureFixture) -> None:
    service, fine = make_service(spy := Spy()), plain.forward

    def broken(_: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("out of order")

    with served(service) as running, pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(plain, "forward", broken)
        answer = post(running.port, picture(IMAGES[0]))
        assert (answer.status, answer.said["error"]) == (500, "the model failed on this image: out of order")
        patch.setattr(plain, "forward", fine)
        assert post(running.port, picture(IMAGES[0])).status == 200
    assert spy.calls and [one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


# limits -------------------------------------------------------------------------------------------


def saved(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


class Evil:
    def __reduce__(self):
        return pytest.fail, ("was unpickled",)


def npy(words: bytes, rest: bytes = b"") -> bytes:
    """An NPY file with the given header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words) + 1) + words + b"\n" + rest


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1000000, 1000000), }"
OBJECTS = b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 8, 8), }"
REFUSED = {
    "nothing": (b"", "image/png", 400, "the body is empty"),
    "no image": (b"<html>", "image/png", 422, "PPM: replace or remove it"),
    "half an image": (picture(IMAGES[0])[:60], "image/png", 422, "the body is not a whole image"),
    "another size": (
        png(np.zeros((9, 8), np.uint8)),
        "image/png",
        422,
        "must have 8 x 8 pixels, .* got 9 x 8: resize",
    ),
    "a bomb": (empty_png(9000, 9000), "image/png", 422, "must have 8 x 8 pixels, .* got 9000 x 9000"),
    "a larger bomb": (empty_png(60_000, 60_000), "image/png", 422, "an image larger than Pillow opens"),
    "colour": (
        png(np.zeros((8, 8, 3), np.uint8)),
        "image/png",
        422,
        r"the shape \(1, 8, 8\), .* got \(3, 8, 8\)",
    ),
    "16 bits": (saved(Image.new("I;16", (8, 8))), "image/png", 422, "must be an 8-bit image"),
    "transparent": (saved(Image.new("RGBA", (8, 8))), "image/png", 422, "has transparent pixels"),
    "another type": (
        picture(IMAGES[0]),
        "text/html",
        415,
        "must be image/png, .* or application/x-npy; got text/html",
    ),
    "no type": (picture(IMAGES[0]), None, 415, "got none"),
    "JSON": (b"[[0]]", "application/json", 415, "got application/json"),
    "too large": (
        b"x" * (largest_body(64) + 1),
        "image/png",
        413,
        f"must have at most {largest_body(64)} bytes",
    ),
    "no array": (b"<html>", NPY, 422, "the body is not an array of numbers"),
    "half an array": (packed(IMAGES[0])[:-1], NPY, 422, "the body is not an array of numbers"),
    "a header alone": (npy(HUGE), NPY, 422, "the body is not an array of numbers"),
    "a huge array": (npy(HUGE, bytes(256)), NPY, 422, "the body is not an array of numbers"),
    "a pickle": (npy(OBJECTS, pickle.dumps(Evil())), NPY, 422, "the body is not an array of numbers"),
    "words": (packed(np.full((8, 8), "x")), NPY, 422, "must be bytes .* or floats in"),
    "NaN": (packed(np.full((8, 8), np.nan)), NPY, 422, r"must lie in \[0, 1\]; found nan"),
    "another range": (packed(np.full((8, 8), 2.0)), NPY, 422, "if 255 is white, divide them by 255"),
    "a row": (packed(np.zeros(64)), NPY, 422, "must have the shape"),
    "another array": (packed(np.zeros((8, 7))), NPY, 422, r"the shape \(1, 8, 8\), .* got \(1, 8, 7\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_without_an_image_is_rejected_in_one_sentence(port: int, name: str) -> None:
    body, kind, status, words = REFUSED[name]
    answer = post(port, body, kind)
    assert answer.status == status and list(answer.said) == ["error"]
    with pytest.raises(InputError, match=words):
        raise InputError(answer.said["error"])
    assert "\n" not in answer.said["error"] and post(port, picture(IMAGES[0])).status == 200


def test_a_body_that_does_not_say_how_large_it_is(port: int) -> None:
    image = picture(IMAGES[0])
    assert post(port, iter([image[:20], image[20:]])).status == 200  # in chunks
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    connection.putrequest("POST", "/predict")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "image/png")
    connection.endheaders()
    piece = b"10000\r\n" + bytes(2**16) + b"\r\n"
    with suppress(ConnectionError):
        for _ in range(largest_body(64) // 2**16 + 1):
            connection.send(piece)
    assert answered(connection).status == 413


def half_asked(port: int, length: int) -> HTTPConnection:
    """A request that says how long its body is, and has sent five bytes of it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(length))
    connection.putheader("Content-Type", "image/png")
    connection.endheaders(b"\x89PNG\r")
    return connection


def test_a_body_that_says_it_is_too_large_is_not_waited_for(port: int) -> None:
    assert answered(half_asked(port, largest_body(64) + 1)).status == 413


def test_a_service_without_free_places_says_when_to_try_again() -> None:
    service = make_service(spy := Spy())
    with served(service, Limits(queue=2, seconds=HANG)) as running, ThreadPoolExecutor(2) as pool:
        spy.hold()
        first = pool.submit(post, running.port, picture(IMAGES[0]))
        assert spy.entered.wait(HANG)
        second = pool.submit(post, running.port, picture(IMAGES[1]))
        wait_until(lambda: "radii_places_taken 2" in ask(running.port, "GET", "/metrics").said)
        for body in (picture(IMAGES[2]), bytes(2**20)):
            answer = post(running.port, body)
            assert (answer.status, answer.said["error"]) == (429, "all 2 places are taken: try again later")
            assert int(answer.headers["Retry-After"]) >= 1
        # a client that is still sending would not read a response
        late = half_asked(running.port, 1000)
        for _ in range(3):
            assert 'radii_requests_total{status="429"} 2' in ask(running.port, "GET", "/metrics").said
        late.send(bytes(995))
        assert answered(late).status == 429
        assert ask(running.port, "GET", "/health").status == 200
        spy.go.set()
        assert first.result().status == second.result().status == 200
        assert post(running.port, picture(IMAGES[2])).status == 200
        assert 'radii_requests_total{status="429"} 3' in ask(running.port, "GET", "/metrics").said


def test_no_request_waits_for_ever() -> None:
    service = make_service(spy := Spy())
    with served(service, Limits(queue=1, seconds=0.2)) as running:
        spy.hold()

        def reaches_the_model() -> bool:
            answer = post(running.port, picture(IMAGES[0]))
            assert answer.status == 503 and "no answer within 0.2 seconds" in answer.said["error"]
            assert int(answer.headers["Retry-After"]) >= 1
            return spy.entered.is_set()

        wait_until(reaches_the_model)  # a busy machine may need more than the time of one request
        # nor does a client that sends half a body and then nothing
        assert answered(half_asked(running.port, 1000)).status == 503
        wait_until(lambda: ask(running.port, "GET", "/health").said == {"status": "stuck"})
        spy.go.set()
        wait_until(lambda: ask(running.port, "GET", "/health").said == {"status": "ok"})


def test_bodies_that_are_still_to_come_take_no_place() -> None:
    """Silent clients fill no queue; each counts for its own address, and one that hangs up for none."""
    with served(make_service(), Limits(queue=1, seconds=HANG, per_client=4)) as running:
        silent = [half_asked(running.port, 1000) for _ in range(3)]
        wait_until(lambda: running.frontend.clients["127.0.0.1"] == 3)
        assert "radii_places_taken 0" in ask(running.port, "GET", "/metrics").said
        assert post(running.port, picture(IMAGES[0])).status == 200
        silent.append(half_asked(running.port, 1000))
        wait_until(lambda: running.frontend.clients["127.0.0.1"] == 4)
        answer = post(running.port, picture(IMAGES[0]))
        assert (answer.status, answer.said["error"]) == (
            429,
            "4 requests of this client are in progress: wait for them",
        )
        assert int(answer.headers["Retry-After"]) >= 1
        assert ask(running.port, "GET", "/health").status == 200
        for connection in silent:
            connection.close()
        wait_until(lambda: not running.frontend.clients)
        assert 'radii_requests_total{status="400"} 4' in ask(running.port, "GET", "/metrics").said
        assert post(running.port, picture(IMAGES[0])).status == 200


# the end ------------------------------------------------------------------------------------------


def test_what_waits_is_answered_before_the_end() -> None:
    service = make_service(spy := Spy())
    with served(service) as running, ThreadPoolExecutor(12) as pool:
        spy.hold()
        waiting = [pool.submit(post, running.port, picture(image)) for image in IMAGES[:12]]
        wait_until(lambda: "radii_places_taken 12" in ask(running.port, "GET", "/metrics").said)
        running.server.should_exit = True
        wait_until(lambda: refuses(running.port))
        assert running.thread.is_alive()
        spy.go.set()
        assert [one.result().status for one in waiting] == [200] * 12


def refuses(port: int) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=HANG).close()
    except ConnectionRefusedError:
        return True
    return False


# what is said -------------------------------------------------------------------------------------


def test_the_interface_is_described(port: int) -> None:
    answer = ask(port, "GET", "/")
    assert answer.status == 200 and "8 x 8 pixels, grey" in answer.said
    assert (
        f'curl --data-binary @image.png -H "Content-Type: image/png" http://127.0.0.1:{port}/predict'
        in answer.said
    )
    assert "gaussian noise of sigma 0.25" in answer.said and "the top 1" in answer.said


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/predict", 405), ("POST", "/x", 404), ("GET", "/docs", 404)]
)
def test_other_addresses(port: int, method: str, path: str, status: int) -> None:
    answer = ask(port, method, path)
    assert answer.status == status and answer.said["error"].endswith(
        f": {method} {path}; GET / describes the interface"
    )


@pytest.mark.parametrize("host", ["[", "a b", "x" * 300, "\u00e9"])
def test_hosts_that_are_none(port: int, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/x"), ("GET", "/health")):
        connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        assert answered(connection).status in (200, 400, 404)


def test_a_bug_is_one_sentence_too(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("radii.serving.app.interface_text", lambda *_: [][0])
    with served(make_service()) as running:
        answer = ask(running.port, "GET", "/")
    assert (answer.status, answer.said) == (
        500,
        {"error": "the service failed (IndexError): its log says more"},
    )
    assert "IndexError" in capsys.readouterr().err


def test_metrics_count_what_happened() -> None:
    with served(make_service()) as running:
        assert ask(running.port, "GET", "/health").said == {"status": "ok"}
        for body in (picture(IMAGES[0]), picture(IMAGES[1]), b""):
            post(running.port, body)
        answer = ask(running.port, "GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.said.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    values = {name: float(value) for name, value in pairs}
    assert (
        values['radii_requests_total{status="200"}'] == 2
        and values['radii_requests_total{status="400"}'] == 1
    )
    assert values["radii_images_total"] == 2 and values["radii_samples_total"] == 400
    assert (values["radii_places"], values["radii_places_taken"]) == (64, 0)
    ends = [value for name, value in values.items() if name.startswith("radii_request_seconds_bucket")]
    assert ends == sorted(ends) and ends[-1] == values["radii_request_seconds_count"] == 2
    assert values["radii_request_seconds_sum"] > 0
    assert not any(name.partition("{")[0].endswith("_created") for name in values)
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert named == {line.split()[2] for line in lines if line.startswith("# HELP")}
    assert all(any(name.startswith(one) for one in named) for name in values)


def test_latencies_lie_in_their_buckets() -> None:
    registry = CollectorRegistry()
    found = Latencies(registry)
    for status, seconds in ((200, 0.01), (200, 0.011), (200, 2.0), (429, 5.0), (200, 31.0)):
        found.count(status, seconds)
    lines = generate_latest(registry).decode().splitlines()
    ends = [line.rsplit(" ", 1) for line in lines if "_bucket" in line]
    expected = dict(zip((*SECONDS, "+Inf"), (1, 2, 2, 2, 2, 3, 3, 3, 4), strict=True))
    assert [(name, float(count)) for name, count in ends] == [
        (f'radii_request_seconds_bucket{{le="{end}"}}', count) for end, count in expected.items()
    ]


# refusals before anything is served ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"norm": "l9"}, "unknown norm 'l9'"),
        ({"k": 10}, "k must be smaller than the number of classes, 10; got 10"),
        ({"classes": NAMES[:9]}, "the model gives 10 logits, but .* 9 classes"),
    ],
)
def test_what_cannot_be_served(how: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_service(**how)


def test_ports_that_are_taken() -> None:
    with listen("127.0.0.1", 0) as place:
        port = place.getsockname()[1]
        assert address_of(place) == f"http://127.0.0.1:{port}/"
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1, port {port} .*: choose another"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="port must be at most 65535; got 99999"):
        listen("127.0.0.1", 99999)


@pytest.mark.parametrize("absent", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_the_extra(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("radii.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match=rf"radii serve needs {absent}: run pip install 'radii\[serve\]'"):
        import radii.serving  # noqa: F401
