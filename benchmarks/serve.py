"""The service under load, on the loopback interface: as many requests as it answers, and twice as many.

Run: python benchmarks/serve.py, on a quiet machine. A small network with random weights is served by a process of its
own; clients are threads of this one. First as many of them as always wait for an answer find the capacity. Then
requests come at fixed times, whether earlier ones are answered or not: at half, at all and at twice the capacity.
Anything but a label or 429 is an error.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import table

from radii.models import make_model
from radii.training.recipe import Recipe
from radii.training.run_folder import Config, save_config, save_model

SHAPE, N, PLACES = (1, 28, 28), 200, 32
MOST = 400
"""Requests of one load."""
ALLOWED = {200, 429}
LIMIT = 900
"""Seconds for one request: more than it takes on any machine, since a 503 would end the benchmark."""


@dataclass(frozen=True)
class Load:
    """Status and latency of each request, and the seconds from the first to the last answer."""

    answers: list[tuple[int, float]]
    seconds: float

    @property
    def rate(self) -> float:
        """Labels a second."""
        return self.statuses[200] / self.seconds

    @property
    def statuses(self) -> Counter[int]:
        found = Counter(status for status, _ in self.answers)
        if set(found) - ALLOWED:
            raise RuntimeError(f"something else than labels and 429 came back: {dict(found)}")
        return found

    def row(self, name: str) -> list[str]:
        """As a row of a table; percentiles are those of labels."""
        taken = [seconds for status, seconds in self.answers if status == 200]
        middle, most = (1000 * np.percentile(taken, share) for share in (50, 99))
        counts = [str(len(self.answers)), str(self.statuses[200]), str(self.statuses[429])]
        return [name, *counts, f"{self.rate:.1f}", f"{middle:,.0f}", f"{most:,.0f}"]


def body(number: int) -> bytes:
    """A made-up image; no two are the same, or they would be polled once."""
    content = BytesIO()
    np.save(content, np.random.default_rng(number).integers(256, size=SHAPE, dtype=np.uint8))
    return content.getvalue()


def post(port: int, number: int) -> int:
    """The status of one request, on a connection of its own."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        connection.request("POST", "/predict", body(number), {"Content-Type": "application/x-npy"})
        response = connection.getresponse()
        response.read()
        return response.status


def load(ask: Callable[[int], int], count: int, clients: int, rate: float | None) -> Load:
    """`count` requests by so many clients: one after another, or at fixed times, of which latencies count from."""
    start = time.perf_counter()

    def one(number: int) -> tuple[int, float]:
        due = time.perf_counter() if rate is None else start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        return ask(number), time.perf_counter() - due

    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(one, range(count)))
    return Load(answers, time.perf_counter() - start)


@contextmanager
def service() -> Iterator[int]:
    """The command in a process of its own, and its port; it must end as it should."""
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = Config(Recipe("mnist5k", "small-cnn"), SHAPE, tuple("0123456789"))
        save_config(Path(folder), config)
        save_model(Path(folder), make_model("small-cnn", SHAPE, 10), config)
        asked = ("--n", str(N), "--queue", str(PLACES), "--per-client", str(MOST))
        asked += ("--port", "0", "--timeout", str(LIMIT))
        command = [sys.executable, "-m", "radii", "serve", folder, *asked]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = (re.search(r"Listening on .*:([0-9]+)/", line) for line in process.stdout)
            try:
                yield int(next(found[1] for found in lines if found))
            finally:
                process.terminate()
                process.communicate()
        if process.returncode:
            raise RuntimeError(f"the service ended with status {process.returncode}")


def section(most: int = MOST) -> str:
    """All measurements as a section in Markdown."""
    with service() as port:

        def ask(number: int) -> int:
            return post(port, number)

        load(ask, PLACES, PLACES, None)  # warms up
        capacity = load(ask, most, PLACES, None)
        # more clients than the service has places, or they would wait for one another
        loads = {share: load(ask, most, 8 * PLACES, share * capacity.rate) for share in (0.5, 1.0, 2.0)}
    rows = [
        capacity.row(f"{PLACES} clients in a closed loop"),
        *(one.row(f"{share:g}") for share, one in loads.items()),
    ]
    words = (
        f"`radii serve`, a small network with random weights, {SHAPE[1]} x {SHAPE[2]} images, {N + 100} noise "
        f"samples each, {PLACES} places, requests from this machine. Latency in milliseconds, from when a request was "
        "due."
    )
    headers = ["load / capacity", "requests", "labels", "429", "labels per second", "p50", "p99"]
    return "\n\n".join(["## Serving", words, table(headers, rows)])


if __name__ == "__main__":
    print(section(*map(int, sys.argv[1:2])))
