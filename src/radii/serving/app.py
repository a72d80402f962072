"""The HTTP side of the service: routes, limits, errors and metrics."""

import asyncio
import hmac
import math
import socket
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from radii.errors import InputError
from radii.serving.batcher import Batcher
from radii.serving.connections import (
    Connection,
    backlog,
    limited_logs,
    most_connections,
    network_of,
)
from radii.serving.decode import NPY, Rejected, largest_body, read_image
from radii.serving.service import Answer, Service
from radii.votes.plans.fixed import check_whole

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper ends of the histogram's buckets of latencies; the last bucket, beyond, has no end."""

PROMETHEUS = "text/plain; version=0.0.4"
"""Content type of the text format of Prometheus."""


@dataclass(frozen=True)
class Limits:
    """What the service accepts, and from whom.

    `queue`: requests in progress, including those that wait, once their bodies have arrived; `seconds`: time limit of
    each, with its body; `per_client`: requests of one client address, with those whose bodies are still to arrive, None
    for all; `headers`: seconds for the headers of a request; `connections`: their number at a time, None for one that
    fits the queue and the descriptors of the process; `proxies`: addresses whose X-Forwarded-For is believed;
    `token`: what requests must carry, "" for nothing.
    """

    queue: int = 64
    seconds: float = 60.0
    per_client: int | None = None
    headers: float = 10.0
    connections: int | None = None
    proxies: tuple[str, ...] = ()
    token: str = ""


def run(service: Service, limits: Limits, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer the accepted requests."""
    make_server(service, limits).run(sockets=[bound])


def make_server(service: Service, limits: Limits) -> uvicorn.Server:
    """Return a server that answers accepted requests before it ends, within the time limit of a request."""
    most = limits.connections or most_connections(limits.queue)
    protocol = partial(Connection, most, limits.headers, limits.seconds + limits.headers)
    config = uvicorn.Config(
        make_app(service, limits),
        http=protocol,  # type: ignore[arg-type]  # it is called as the class would be
        backlog=backlog(),
        forwarded_allow_ips=list(limits.proxies),  # otherwise uvicorn trusts 127.0.0.1
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(limits.seconds) + 1,
    )
    return uvicorn.Server(config)


def make_app(service: Service, limits: Limits) -> FastAPI:
    """Return the service as an ASGI application; its batcher opens and closes with it."""
    disable_created_metrics()  # they would double the number of time series
    frontend = Frontend(Batcher(service, limits.queue), limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        frontend.batcher.open()
        with limited_logs(), frontend.decoder:
            yield
            await asyncio.to_thread(frontend.batcher.close)

    # the usual documentation pages load scripts from other hosts
    off: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    # a redirect from /predict/ would lead to where the header Host says, by plain HTTP behind a proxy with TLS
    app = FastAPI(title="radii", lifespan=lifespan, redirect_slashes=False, **off)
    app.state.frontend = frontend
    routes: dict[str, Callable[..., Any]] = {
        "/": frontend.interface,
        "/health": frontend.health,
        "/metrics": frontend.metrics,
    }
    for path, endpoint in routes.items():
        app.add_api_route(path, endpoint, methods=["GET"], response_model=None)
    app.add_api_route("/predict", frontend.predict, methods=["POST"], response_model=None)
    app.add_exception_handler(Rejected, rejection)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, server_error)
    return app


class Frontend(Collector):
    """The endpoints: they accept at most `limits.queue` requests at a time, and count them.

    `clients`: requests in progress by client; `asked`: numbers of the images that were sampled, if there is a budget.
    """

    def __init__(self, batcher: Batcher, limits: Limits) -> None:
        self.batcher, self.limits = batcher, limits
        self.registry, self.in_progress = CollectorRegistry(), 0
        self.clients: Tally[str] = Tally()
        self.asked: set[int] = set()
        # decoders of images may hold the interpreter for seconds: in a thread, the event loop has its turns
        self.decoder = ThreadPoolExecutor(1, "radii-decoder")
        self.registry.register(self)
        self.latencies = Latencies(self.registry)
        self._most = largest_body(math.prod(batcher.service.shape))

    async def predict(self, request: Request) -> JSONResponse:
        """Return a label with its radius, or an error in one sentence."""
        started, status = time.monotonic(), 500
        try:
            self._check_token(request)
            answer, rounding = await self._within_limits(request)
            fields = self._fields(answer, rounding)
            fields["seconds"] = round(time.monotonic() - started, 6)
            status = 200
            return JSONResponse(fields)
        except Rejected as error:
            status = error.status
            return await rejection(request, error)
        finally:
            self.latencies.count(status, time.monotonic() - started)

    def _check_token(self, request: Request) -> None:
        """Raise `Rejected` unless the request carries the token of the service, if it has one."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # in a time that does not tell how much of it is right
        same = hmac.compare_digest(token.strip().encode(), self.limits.token.encode())
        if self.limits.token and not (scheme.lower() == "bearer" and same):
            raise Rejected(
                401,
                "this service needs its token: send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )

    async def _within_limits(self, request: Request) -> tuple[Answer, float]:
        """Return the answer for an image and the distance by which it was rounded, if the limits allow it."""
        client, most = client_of(request), self.limits.per_client
        # no other coroutine runs between a check and its count, as there is no await
        if most is not None and self.clients[client] >= most:
            raise Rejected(
                429, f"{most} requests of this client are in progress: wait for them", self._retry_after
            )
        self.clients[client] += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                # a place is for a whole body: clients that are silent or slow hold none
                body = b"".join([part async for part in body_parts(request, self._most)])
                return await self._in_place(body, request.headers.get("content-type", ""))
        except TimeoutError:
            raise Rejected(
                503,
                f"there was no answer within {self.limits.seconds:g} seconds: try again later",
                self._retry_after,
            ) from None
        finally:
            self.clients[client] -= 1
            self.clients += Tally()  # which drops clients without requests

    async def _in_place(self, body: bytes, kind: str) -> tuple[Answer, float]:
        if self.in_progress >= self.limits.queue:
            raise Rejected(
                429, f"all {self.limits.queue} places are taken: try again later", self._retry_after
            )
        self.in_progress += 1
        try:
            return await self._answer(body, kind)
        finally:
            self.in_progress -= 1

    async def _answer(self, body: bytes, kind: str) -> tuple[Answer, float]:
        service = self.batcher.service

        def prepare() -> tuple[int, np.ndarray, float]:
            return service.prepared(read_image(body, kind, service.shape))

        try:
            loop = asyncio.get_running_loop()
            number, image, rounding = await loop.run_in_executor(self.decoder, prepare)
        except InputError as error:
            raise Rejected(422, str(error)) from error
        self._spend(number)
        try:
            answer = await asyncio.wrap_future(self.batcher.submit(number, image))
        except Exception as error:  # models may raise anything
            raise Rejected(500, f"the model failed on this image: {error}") from error
        return answer.at_distance(rounding), rounding

    def _spend(self, number: int) -> None:
        """Count an image that was not asked about before; raise `Rejected` if the budget has no more of them."""
        most = self.batcher.service.most_images
        if most is None or number in self.asked:
            return
        if len(self.asked) >= most:
            raise Rejected(
                503,
                f"the error budget of {self.batcher.service.budget:g} is spent on {most} images: from now on only "
                "these are answered",
            )
        self.asked.add(number)

    @property
    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self.batcher.retry_after)}

    def _fields(self, answer: Answer, rounding: float) -> dict[str, Any]:
        """Return the fields of a response; after an abstention, the label is null."""
        service = self.batcher.service
        label = None if answer.abstained else answer.label
        return {
            "label": label,
            "class": None if label is None or not service.classes else service.classes[label],
            "abstained": answer.abstained,
            "radius": answer.radius,
            "rounding": rounding,
            "norm": service.norm,
            "unit": service.unit,
            "k": service.k,
            # enumerated outcomes have no sampling error
            "alpha": 0.0 if service.sampler.noise.outcomes else service.alpha,
            "samples": answer.samples,
        }

    async def health(self) -> JSONResponse:
        """Return status 200 if the batcher runs, and its present images take less than the time limit."""
        ok = self.batcher.is_open and self.batcher.busy <= self.limits.seconds
        return JSONResponse({"status": "ok" if ok else "stuck"}, 200 if ok else 503)

    async def metrics(self, request: Request) -> PlainTextResponse:
        """Return the metrics for Prometheus."""
        self._check_token(request)
        return PlainTextResponse(generate_latest(self.registry), media_type=PROMETHEUS)

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics that are counted elsewhere: the registry calls this for each response."""
        batcher = self.batcher
        yield CounterMetricFamily("radii_images", "Images that were sampled.", batcher.images)
        yield CounterMetricFamily("radii_samples", "Noise samples of images.", batcher.samples)
        yield GaugeMetricFamily("radii_places_taken", "Requests in progress.", self.in_progress)
        yield GaugeMetricFamily("radii_places", "Largest number of requests in progress.", self.limits.queue)

    async def interface(self, request: Request) -> PlainTextResponse:
        """Return the description of the interface."""
        self._check_token(request)
        return PlainTextResponse(interface_text(self.batcher.service, str(request.base_url)))


class Latencies:
    """Requests by status, and the seconds of successful ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "radii_requests", "Requests for labels, by status.", ["status"], registry=registry
        )
        self._seconds = Histogram(
            "radii_request_seconds", "Seconds from request to label.", buckets=SECONDS, registry=registry
        )

    def count(self, status: int, seconds: float) -> None:
        """Add one request."""
        self._requests.labels(status).inc()
        if status == 200:
            self._seconds.observe(seconds)


async def body_parts(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; raise `Rejected` if it is larger than `most` bytes.

    A body that declares its size is rejected before it arrives.
    """
    declared, received = request.headers.get("content-length", ""), 0
    too_large = Rejected(
        413, f"the body must have at most {most} bytes: post one image, of the size that is expected"
    )
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    try:
        async for part in request.stream():
            received += len(part)
            if received > most:
                raise too_large
            yield part
    except ClientDisconnect:
        raise Rejected(400, "the connection ended before the body did") from None


def interface_text(service: Service, address: str) -> str:
    """Return the description of the interface, with a command to try it."""
    channels, height, width = service.shape
    kind = {1: "grey", 3: "in colour"}.get(channels, f"of {channels} channels")
    noise, most = service.sampler.noise, service.plan.n_max
    return f"""radii: labels with certified radii

POST an image, {height} x {width} pixels, {kind}, to {address}predict:

  curl --data-binary @image.png -H "Content-Type: image/png" {address}predict

or an array that numpy.save wrote, bytes or numbers in [0, 1], as {NPY}.

The response is JSON: the most probable label under {noise.name} noise of {noise.level_words}, and the
{service.norm} radius within which no perturbation removes it from the top {service.k}, from at most {most}
noise samples. Images are rounded to 8 bits, and the radius is smaller by the distance of that rounding.

GET {address}health, {address}metrics
"""


def client_of(request: Request) -> str:
    """Return the address of a client, or its network."""
    return network_of(request.client.host if request.client else "")


async def rejection(_: Request, error: Exception) -> JSONResponse:
    """Return the error of a request that gets no answer."""
    assert isinstance(error, Rejected)
    return JSONResponse({"error": " ".join(str(error).split())}, error.status, error.headers)


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """Return the error of a request to another address, or by another method."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase.lower()
    sentence = f"{phrase}: {request.method} {request.scope['path']}; GET / describes the interface"
    return JSONResponse({"error": sentence}, error.status_code, dict(error.headers or {}))


async def server_error(request: Request, error: Exception) -> JSONResponse:
    """Return the error of a bug, whose traceback goes to the log."""
    return JSONResponse({"error": f"the service failed ({type(error).__name__}): its log says more"}, 500)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free."""
    check_whole("port", port, 0, 2**16 - 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port} ({error}): choose another --host or --port"
        ) from error


def address_of(bound: socket.socket) -> str:
    """Return the address of the service, `http://127.0.0.1:8000/`."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
