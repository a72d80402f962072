"""Clients of the service: requests, connections that send a part of one, and bodies that are no image."""

import io
import json
import pickle
import socket
import struct
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from given_models import digits
from image_factory import empty_png, png
from patience import HANG
from radii.serving.decode import largest_body

IMAGES = digits(20)[0]
NPY = "application/x-npy"

# requests -----------------------------------------------------------------------------------------


def ask(
    port: int, method: str, path: str, body: Any = None, kind: str | None = None, **headers: str
) -> SimpleNamespace:
    """One request: status, content, and headers of its answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    with suppress(ConnectionError):  # what is refused may be answered while it is still sent
        connection.request(method, path, body, headers if kind is None else headers | {"Content-Type": kind})
    return answered(connection)


def answered(connection: HTTPConnection) -> SimpleNamespace:
    response: HTTPResponse = connection.getresponse()
    content = response.read().decode()
    connection.close()
    if response.headers["Content-Type"] == "application/json":
        content = json.loads(content)
    return SimpleNamespace(status=response.status, said=content, headers=response.headers)


def post(port: int, body: Any, kind: str | None = "image/png", **headers: str) -> SimpleNamespace:
    return ask(port, "POST", "/predict", body, kind, **headers)


def picture(image: np.ndarray) -> bytes:
    return png(np.rint(255 * image[0]).astype(np.uint8))


def packed(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def half_asked(port: int, length: int, **headers: str) -> HTTPConnection:
    """A request that says how long its body is, and has sent five bytes of it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(length))
    for name, value in ({"Content-Type": "image/png"} | headers).items():
        connection.putheader(name, value)
    connection.endheaders(b"\x89PNG\r")
    return connection


HALF = b"GET /health HTTP/1.1\r\nHost: "


def connected(port: int, sent: bytes = HALF) -> socket.socket:
    """A connection that has sent half of its headers."""
    one = socket.create_connection(("127.0.0.1", port), timeout=HANG)
    with suppress(ConnectionError):  # a slow machine may reach the deadline first
        one.sendall(sent)
    return one


def is_closed(one: socket.socket) -> bool:
    """Wait for the end of a connection."""
    with one, suppress(ConnectionError):
        while one.recv(1000):
            pass
    return True


def answered_once(port: int) -> socket.socket:
    """A connection with one request and its answer."""
    while True:
        one = connected(port, HALF + b"x\r\n\r\n")
        with suppress(ConnectionError):
            if one.recv(1000).startswith(b"HTTP/1.1 200 OK"):
                return one
        one.close()


# one image, and none ------------------------------------------------------------------------------


def spellings(image: np.ndarray = IMAGES[3]) -> list[np.ndarray]:
    """One image for the eye: itself, neighbours of one ulp, with minus zero and denormals, off the grid and on it."""
    ulp = np.nextafter(image, np.float32(0.5))
    off = image + np.float32(0.001) * (image < 0.5)
    tiny = np.where(image == 0, np.float32(1e-40), image)
    minus = [np.where(one == 0, np.float32(-0.0), one) for one in (image, ulp)]
    return [image, ulp, off, tiny, *minus, np.where(ulp == 0, np.float32(-0.0), ulp)]


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
