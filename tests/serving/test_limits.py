"""What keeps the service answering: connections, slow decoders, logs, tokens, proxies, and the budget of alpha."""

import logging
import socket
import struct
import threading
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import radii
from image_factory import png
from patience import HANG, wait_until
from radii.cli.serve import check_address, given_seed, read_secret
from radii.errors import InputError
from radii.serving import Limits, Service, app, connections
from radii.serving.decode import PPM_HEADER, read_image
from radii.serving.service import Answer
from service_client import (
    HALF,
    IMAGES,
    NPY,
    answered_once,
    ask,
    connected,
    half_asked,
    is_closed,
    npy,
    packed,
    picture,
    post,
    spellings,
)
from test_serving import SHAPE, Spy, make_service, served

# connections --------------------------------------------------------------------------------------


def test_half_open_connections_are_closed() -> None:
    """First headers as well as later ones; a byte now and then does not postpone it."""
    with served(make_service(), Limits(seconds=HANG, headers=0.2)) as running:
        assert is_closed(connected(running.port, b""))
        later = answered_once(running.port)
        with suppress(ConnectionError):
            later.sendall(HALF)
        assert is_closed(later)
        with connected(running.port) as dripping, pytest.raises(ConnectionError):
            for _ in range(2**16):  # longer headers would be rejected for their size
                dripping.sendall(b"x")
                ask(running.port, "GET", "/health")


def test_a_request_in_progress_is_not_half_open() -> None:
    """Its body may take as long as a request may."""
    with served(make_service(), Limits(seconds=HANG, headers=0.2)) as running:
        rest = picture(IMAGES[0])[5:]
        while True:  # until its headers come in time
            slow = half_asked(running.port, 5 + len(rest))
            wait_until(lambda: running.frontend.clients or not running.server.server_state.connections)
            if running.frontend.clients:
                break
            slow.close()
        assert is_closed(connected(running.port))  # as long as headers may take
        slow.send(rest)
        assert slow.getresponse().status == 200
        slow.close()


def test_a_response_that_is_not_read_is_given_up() -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        served(make_service(), Limits(seconds=0.1, headers=0.1)) as running,
        connected(running.port, b"") as deaf,
        pytest.raises(ConnectionError),
    ):
        while True:
            deaf.sendall(request * 1000)


def test_new_connections_take_the_place_of_idle_ones() -> None:
    """Forty of half a header each, where eight are allowed: the oldest go, and others are answered."""
    limits = Limits(seconds=HANG, headers=HANG, connections=8)
    with served(make_service(), limits) as running:
        busy = half_asked(running.port, 5 + len(rest := picture(IMAGES[0])[5:]))
        wait_until(lambda: running.frontend.clients)
        idle = [connected(running.port) for _ in range(40)]
        assert all(is_closed(one) for one in idle[:30])
        assert ask(running.port, "GET", "/health").status == 200
        wait_until(lambda: len(running.server.server_state.connections) <= 8)
        busy.send(rest)
        assert busy.getresponse().status == 200
        for one in [*idle, busy]:
            one.close()


def test_requests_that_wait_for_their_clients_give_way() -> None:
    """Bodies that are still to come, and responses that nobody reads, where no connection is idle."""
    with served(make_service(), Limits(seconds=HANG, headers=HANG, connections=4)) as running:
        silent = [half_asked(running.port, 1000) for _ in range(4)]
        wait_until(lambda: running.frontend.clients["127.0.0.1"] == 4)
        assert ask(running.port, "GET", "/health").status == 200
        assert is_closed(silent[0].sock) and len(running.server.server_state.connections) <= 4
        for one in silent:
            one.close()
    with served(make_service(), Limits(seconds=HANG, headers=HANG, connections=1)) as running:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", running.port))

        def send_until_closed() -> None:
            with deaf, suppress(ConnectionError):
                while True:
                    deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)

        sending = threading.Thread(target=send_until_closed)
        sending.start()
        wait_until(lambda: any(one.flow.write_paused for one in running.server.server_state.connections))
        answered_once(running.port).close()
        sending.join()


def test_busy_connections_make_room_after_their_response() -> None:
    """A client that sends request after request on all of them would keep them for ever."""
    service = make_service(spy := Spy())
    with served(service, Limits(seconds=HANG, headers=HANG, connections=2)) as running:
        spy.hold()
        body = picture(IMAGES[0])
        line = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        busy = [connected(running.port, (line % len(body) + body) * 9) for _ in range(2)]
        wait_until(lambda: running.frontend.in_progress == 2)
        assert is_closed(connected(running.port))
        spy.go.set()
        for one in busy:
            with one:
                assert b"".join(iter(lambda one=one: one.recv(1000), b"")).count(b"HTTP/1.1 200 OK") == 1
        assert ask(running.port, "GET", "/health").status == 200


def test_no_client_drives_others_out() -> None:
    with served(make_service(), Limits(seconds=HANG, headers=HANG, connections=8)) as running:
        other = connected(running.port)
        try:
            many = [
                socket.create_connection(("127.0.0.1", running.port), HANG, ("127.0.0.2", 0))
                for _ in range(30)
            ]
        except OSError as error:
            pytest.skip(f"this machine has one address of its own: {error}")
        assert all(is_closed(one) for one in many[:22])
        other.sendall(b"x\r\n\r\n")
        assert other.recv(1000).startswith(b"HTTP/1.1 200 OK")
        for one in (other, *many):
            one.close()


CHUNKED = b"POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("path", [b"predict", b"nowhere"])
def test_many_small_chunks_are_no_body(path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """43,000 of them fit into what was read at once, and kept all others waiting for seconds."""
    with served(make_service()) as running, caplog.at_level(logging.ERROR):
        with connected(running.port, CHUNKED % path) as one:
            if path == b"nowhere":
                assert one.recv(1000).startswith(b"HTTP/1.1 404")
            with suppress(ConnectionError):
                one.sendall(b"1\r\nx\r\n" * 1000)
                answer = one.recv(1000)
                # the body of the first response may come after its head; a second response must not
                assert answer.startswith(b"HTTP/1.1 400") if path == b"predict" else b"HTTP" not in answer
        assert not caplog.records
        large = b"%x\r\n%s\r\n" % (connections.CHUNK, bytes(connections.CHUNK))
        with connected(running.port, CHUNKED % path + large * 1000 + b"0\r\n\r\n") as one:
            assert one.recv(1000)[9:12] == (b"404" if path == b"nowhere" else b"415")


def test_headers_are_bounded() -> None:
    """64,000 of them, complete in what was read at once, were parsed in one turn of the event loop."""
    with served(make_service()) as running:
        for count, status in ((3000, b"200"), (20_000, b"400")):
            with connected(running.port, HALF + b"x\r\n" + b"a:\r\n" * count + b"\r\n") as one:
                assert one.recv(1000)[9:12] == status


def test_a_request_of_two_lengths_is_the_last_of_its_connection() -> None:
    """A proxy that goes by Content-Length would take the rest for the body, and the next response for another's."""
    with served(make_service()) as running:
        two = CHUNKED.replace(b"Host: x", b"Host: x\r\nContent-Length: 60") % b"predict"
        with connected(running.port, two + b"0\r\n\r\n" + HALF + b"x\r\n\r\n") as one:
            assert b"".join(iter(lambda: one.recv(1000), b"")).count(b"HTTP/1.1") == 1


def test_connections_leave_descriptors_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for descriptors, most, at_once in ((100, 50, 6), (1024, 192, 64), (10**6, 192, 128)):
        monkeypatch.setattr(connections, "DESCRIPTORS", descriptors)
        assert (connections.most_connections(64), connections.backlog()) == (most, at_once)
        # four steps of the event loop accept connections before the first of them is closed
        assert most + 4 * at_once < descriptors


# logs ---------------------------------------------------------------------------------------------


def test_logs_cannot_be_flooded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(connections.time, "monotonic", lambda: now[0])
    loggers = [logging.getLogger(name) for name in connections.LOGGERS]
    with connections.limited_logs():
        for _ in range(500):
            for one in loggers:
                one.error("socket.accept() out of %s", "system resource")
        assert len(caplog.records) == len(loggers) * connections.LINES
        now[0] += connections.WINDOW
        loggers[0].error("once %s", "more")
        assert caplog.messages[-1] == "once more (480 messages were left out before)"
    for _ in range(100):
        loggers[0].error("as usual")
    assert caplog.messages.count("as usual") == 100


def test_the_server_limits_its_logs(capsys) -> None:
    with served(make_service()) as running:
        for _ in range(connections.LINES + 5):
            bad = connected(running.port, b"what\r\n\r\n")
            assert bad.recv(1000).startswith(b"HTTP/1.1 400")
            bad.close()
        assert ask(running.port, "GET", "/health").status == 200
    assert capsys.readouterr().err.count("Invalid HTTP request received.") == connections.LINES


# decoding -----------------------------------------------------------------------------------------


def test_images_are_decoded_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(*given):
        entered.set()
        assert go.wait(HANG)
        return read_image(*given)

    monkeypatch.setattr(app, "read_image", slow)
    with served(make_service()) as running:
        waiting = threading.Thread(target=post, args=(running.port, picture(IMAGES[0])))
        waiting.start()
        assert entered.wait(HANG)
        assert ask(running.port, "GET", "/health").said == {"status": "ok"}
        go.set()
        waiting.join()


def test_comments_of_an_image_are_bounded() -> None:
    pixels = np.rint(255 * IMAGES[0][0]).astype(np.uint8)
    comment = b"#" + b"x" * 100 + b"\n"
    for plain, rest in ((b"P5", pixels.tobytes()), (b"P2", " ".join(map(str, pixels.flat)).encode())):
        few, many = (plain + b"\n" + comment * count + b"8 8\n255\n" + rest for count in (30, 10_000))
        np.testing.assert_array_equal(read_image(few, "image/x-portable-anymap", SHAPE)[0], pixels)
        with pytest.raises(InputError, match=rf"at most {PPM_HEADER + 12 * 64} bytes .* leave out comments"):
            read_image(many, "image/x-portable-anymap", SHAPE)


@pytest.mark.filterwarnings("error")
def test_damaged_metadata_is_not_logged() -> None:
    """Pillow warned of it for every request."""
    image = picture(IMAGES[0])
    kind = b"acTL" + bytes(8)
    animated = image[:33] + struct.pack(">I", 8) + kind + struct.pack(">I", zlib.crc32(kind)) + image[33:]
    np.testing.assert_array_equal(
        read_image(animated, "image/png", SHAPE), read_image(image, "image/png", SHAPE)
    )


@pytest.mark.filterwarnings("error")
def test_headers_of_arrays_are_no_programs() -> None:
    """Python's parser, by which numpy reads them, printed 2500 warnings about 10 KB."""
    for words in (b"1or " * 2400, b"-" * 4000, b"a." * 3000):
        with pytest.raises(InputError, match="is not an array of numbers") as error:
            read_image(npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s1), }" % words), NPY, SHAPE)
        assert len(str(error.value)) < 300


# tokens and proxies -------------------------------------------------------------------------------


def carrying(port: int, path: str, **headers: str) -> int:
    """The status of a request with these headers."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    one = connected(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode())
    with one:
        return int(one.recv(1000).split()[1])


def test_a_token_is_needed() -> None:
    with served(make_service(), Limits(seconds=HANG, token="secret-7")) as running:
        for path in ("/", "/metrics"):
            assert carrying(running.port, path, Authorization="Bearer secret-7") == 200
            assert carrying(running.port, path, Authorization="bearer secret-7") == 200
            for wrong in (
                "Bearer secret-8",
                "Bearer ",
                "Bearer secret-77",
                "Basic secret-7",
                "secret-7",
                "é",
            ):
                assert carrying(running.port, path, Authorization=wrong) == 401
        answer = post(running.port, picture(IMAGES[0]))
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.said == {
            "error": "this service needs its token: send the header Authorization: Bearer TOKEN"
        }
        assert ask(running.port, "GET", "/health").status == 200


@pytest.mark.parametrize("proxies", [(), ("192.0.2.1",), ("127.0.0.1",), ("127.0.0.0/8",)])
def test_only_trusted_proxies_name_clients(proxies: tuple[str, ...]) -> None:
    trusted = any(one.startswith("127.") for one in proxies)
    with served(make_service(), Limits(seconds=HANG, per_client=1, proxies=proxies)) as running:
        line = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nX-Forwarded-For: %s\r\n\r\n"
        one = connected(running.port, line % b"198.51.100.7")
        wait_until(lambda: running.frontend.clients)
        assert list(running.frontend.clients) == ["198.51.100.7" if trusted else "127.0.0.1"]
        other = connected(running.port, line % b"198.51.100.8")
        if trusted:
            wait_until(lambda: len(running.frontend.clients) == 2)
        else:
            assert other.recv(1000).startswith(b"HTTP/1.1 429")
        one.close()
        other.close()


def test_a_client_has_all_addresses_of_its_network() -> None:
    def client(host: str) -> str:
        return app.client_of(app.Request({"type": "http", "client": (host, 1), "headers": []}))

    assert client("2001:db8::1") == client("2001:db8::ffff:2") == "2001:db8::/64" != client("2001:db8:0:1::1")
    # as proxies with one socket for both kinds write IPv4: one client of 4 billion would take the places of all
    assert client("::ffff:192.0.2.1") == "192.0.2.1" and client("fe80::1%eth0") == "fe80::/64"
    assert client("192.0.2.1") == "192.0.2.1" and client("unknown") == "unknown"


def test_secrets_in_files(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" token-1\n")
    assert read_secret(path, "a token") == "token-1"
    for content, words in ((b"", "it holds 0 words"), (b"two words", "it holds 2"), (b"\xff", "not ASCII")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"secret must .* a token.*{words}"):
            read_secret(path, "a token")
    with pytest.raises(InputError, match="nothing must be a text file with a token"):
        read_secret(tmp_path / "nothing", "a token")
    for seed in ("18446744073709551615", "0"):
        path.write_text(seed)
        assert given_seed(None, path) == int(seed)
    for seed, words in (
        ("18446744073709551616", r"to 2\*\*64 - 1"),
        ("1e3", "a whole number"),
        ("9" * 5000, "number"),
    ):
        path.write_text(seed)
        with pytest.raises(InputError, match=words):
            given_seed(None, path)
    with pytest.raises(InputError, match="given twice"):
        given_seed(1, path)
    assert given_seed(None, None) != given_seed(None, None)


@pytest.mark.parametrize("address", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.1, 10.0.0.2", ""])
def test_addresses_of_proxies(address: str) -> None:
    with pytest.raises(InputError, match=r"--trusted-proxy must be an IP address or a network"):
        check_address(address)
    for good in ("10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"):
        check_address(good)


# one image, one noise -----------------------------------------------------------------------------


def test_spellings_of_one_image_share_their_noise() -> None:
    service = make_service()
    numbers, images, distances = zip(*map(service.prepared, spellings()), strict=True)
    assert (IMAGES[3] == 0).any() and len(set(numbers)) == 1 and len({one.tobytes() for one in images}) == 1
    assert distances[0] == 0 and 0 < distances[1] < 1e-6 < distances[2]
    with served(service) as running:
        answers = [post(running.port, packed(one), NPY).said for one in spellings()]
        assert "radii_images_total 7" in ask(running.port, "GET", "/metrics").said
    first = answers[0]
    assert first["radius"] > 0 == first["rounding"]
    for answer, distance in zip(answers, distances, strict=True):
        assert answer["rounding"] == distance
        assert 0 <= first["radius"] - distance - answer["radius"] < 1e-15


@pytest.mark.parametrize(("norm", "unit"), [("l1", "feature"), ("l2", "feature"), ("linf", "feature")])
def test_the_distance_of_rounding_is_subtracted(norm: str, unit: str) -> None:
    image = IMAGES[3]
    moved = image.copy()
    moved[0, :2] = np.clip(moved[0, :2] + np.float32(0.0015), 0.001, 0.999)
    _, rounded, distance = make_service(norm=norm, unit=unit).prepared(moved)
    orders = {"l1": 1, "l2": 2, "linf": np.inf}
    truth = np.linalg.norm((moved.astype(np.float64) - rounded).ravel(), orders[norm])
    assert truth < distance < truth * (1 + 1e-8)
    np.testing.assert_array_equal(rounded * 255, np.rint(moved * 255))


def test_l0_counts_what_was_rounded() -> None:
    image = IMAGES[3].copy()
    image[0, 0, :3] = 0.3001
    assert make_service(norm="l0").prepared(image)[2] == 3.0
    assert Answer(1, 5.0, False, 9).at_distance(3.0) == Answer(1, 2.0, False, 9)


def test_an_image_beyond_the_radius_has_no_label() -> None:
    answer = Answer(1, 0.25, False, 9)
    assert answer.at_distance(0.0) is answer
    assert answer.at_distance(0.25).radius == 0.0 and answer.at_distance(0.26).abstained
    near = answer.at_distance(0.1)
    assert 0.15 - 1e-15 < near.radius < 0.25 - 0.1 and not near.abstained
    assert Answer(1, 0.0, True, 9).at_distance(0.1) == Answer(1, 0.0, True, 9)


def test_asking_again_gains_nothing() -> None:
    """Of a hundred spellings with fresh noise, some would be certified beyond the truth; here all share one answer."""
    service = make_service(alpha=0.05)
    image, answers = IMAGES[3], set()
    for step in range(100):
        spelled = image.copy()
        spelled[0, 4, 4] = np.clip(spelled[0, 4, 4] + (step - 50) * np.float32(2e-6), 0, 1)
        number, rounded, _ = service.prepared(spelled)
        answers.add(service.answers({number: rounded})[number])
    assert len(answers) == 1


# the budget of alpha ------------------------------------------------------------------------------


def budgeted(alpha: float, budget: float, **how) -> Service:
    return make_service(alpha=alpha, budget=budget, **how)


@pytest.mark.parametrize(
    ("alpha", "budget", "most"), [(0.001, 0.5, 500), (0.1, 0.3, 3), (0.05, 0.05, 1), (0.3, 0.7, 2)]
)
def test_a_budget_is_a_number_of_images(alpha: float, budget: float, most: int) -> None:
    assert budgeted(alpha, budget).most_images == most and make_service(alpha=alpha).most_images is None


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"alpha": 0.01, "budget": 0.001}, "at least alpha, 0.01, and below 1; got 0.001"),
        ({"alpha": 0.01, "budget": 1.0}, "below 1; got 1"),
        ({"alpha": 0.01, "budget": float("nan")}, "got nan"),
        (
            {"alpha": 0.01, "budget": 0.5, "noise": radii.Splitting(0.05), "norm": "l1"},
            "has no sampling error",
        ),
    ],
)
def test_budgets_that_are_none(how: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_service(**how)


def test_new_images_end_with_the_budget() -> None:
    with served(budgeted(0.001, 0.002)) as running:
        first = [post(running.port, picture(image)) for image in (IMAGES[0], IMAGES[0], IMAGES[1])]
        assert [one.status for one in first] == [200] * 3
        third = post(running.port, picture(IMAGES[2]))
        assert third.status == 503 and third.said["error"].startswith(
            "the error budget of 0.002 is spent on 2 images: from now on only these are answered"
        )
        again = post(running.port, packed(np.nextafter(IMAGES[1], np.float32(0.5))), NPY)
        assert again.status == 200 and again.said["label"] == first[2].said["label"]
        # what is no image spends nothing, nor do rejections
        assert post(running.port, png(np.zeros((9, 9), np.uint8))).status == 422
        assert len(running.frontend.asked) == 2
