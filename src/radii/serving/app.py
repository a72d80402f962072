"""The HTTP side of the service: routes, limits, errors and metrics."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

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
from radii.serving.decode import NPY, Rejected, largest_body, read_image
from radii.serving.service import Answer, Service
from radii.votes.plans.fixed import check_whole

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper ends of the histogram's buckets of latencies; the last bucket, beyond, has no end."""

PROMETHEUS = "text/plain; version=0.0.4"
"""Content type of the text format of Prometheus."""


@dataclass(frozen=True)
class Limits:
    """`queue`: requests in progress, including those that wait; `seconds`: time limit of each."""

    queue: int = 64
    seconds: float = 60.0


def run(service: Service, limits: Limits, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer the accepted requests."""
    make_server(service, limits).run(sockets=[bound])


def make_server(service: Service, limits: Limits) -> uvicorn.Server:
    """Return a server that answers accepted requests before it ends, within the time limit of a request."""
    config = uvicorn.Config(
        make_app(service, limits),
        http="h11",
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
        yield
        await asyncio.to_thread(frontend.batcher.close)

    # the usual documentation pages load scripts from other hosts
    app = FastAPI(title="radii", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    routes: dict[str, Callable[..., Any]] = {
        "/": frontend.interface,
        "/health": frontend.health,
        "/metrics": frontend.metrics,
    }
    for path, endpoint in routes.items():
        app.add_api_route(path, endpoint, methods=["GET"], response_model=None)
    app.add_api_route("/predict", frontend.predict, methods=["POST"], response_model=None)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, server_error)
    return app


class Frontend(Collector):
    """The endpoints: they accept at most `limits.queue` requests at a time, and count them."""

    def __init__(self, batcher: Batcher, limits: Limits) -> None:
        self.batcher, self.limits = batcher, limits
        self.registry, self.in_progress = CollectorRegistry(), 0
        self.registry.register(self)
        self.latencies = Latencies(self.registry)
        self._most = largest_body(math.prod(batcher.service.shape))

    async def predict(self, request: Request) -> JSONResponse:
        """Return a label with its radius, or an error in one sentence."""
        started, status = time.monotonic(), 500
        try:
            fields = self._fields(await self._within_limits(request))
            fields["seconds"] = round(time.monotonic() - started, 6)
            status = 200
            return JSONResponse(fields)
        except Rejected as error:
            status = error.status
            return JSONResponse({"error": " ".join(str(error).split())}, status, error.headers)
        finally:
            self.latencies.count(status, time.monotonic() - started)

    async def _within_limits(self, request: Request) -> Answer:
        """Return the answer, if a place is free and the time limit suffices."""
        # no other coroutine runs between the check and the count, as there is no await
        if self.in_progress >= self.limits.queue:
            await self._reject(request)
        self.in_progress += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._answer(request)
        except TimeoutError:
            raise Rejected(
                503,
                f"there was no answer within {self.limits.seconds:g} seconds: try again later",
                self._retry_after,
            ) from None
        finally:
            self.in_progress -= 1

    async def _answer(self, request: Request) -> Answer:
        body = b"".join([part async for part in body_parts(request, self._most)])
        service = self.batcher.service
        try:
            number, image = service.prepared(
                read_image(body, request.headers.get("content-type", ""), service.shape)
            )
        except InputError as error:
            raise Rejected(422, str(error)) from error
        try:
            return await asyncio.wrap_future(self.batcher.submit(number, image))
        except Exception as error:  # models may raise anything
            raise Rejected(500, f"the model failed on this image: {error}") from error

    async def _reject(self, request: Request) -> None:
        """Read the whole body, then reject: a client that still sends would not read the response."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.seconds):
                async for _ in body_parts(request, self._most):
                    pass
        raise Rejected(429, f"all {self.limits.queue} places are taken: try again later", self._retry_after)

    @property
    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self.batcher.retry_after)}

    def _fields(self, answer: Answer) -> dict[str, Any]:
        """Return the fields of a response; after an abstention, the label is null."""
        service = self.batcher.service
        label = None if answer.abstained else answer.label
        return {
            "label": label,
            "class": None if label is None or not service.classes else service.classes[label],
            "abstained": answer.abstained,
            "radius": answer.radius,
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

    async def metrics(self) -> PlainTextResponse:
        """Return the metrics for Prometheus."""
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
noise samples.

GET {address}health, {address}metrics
"""


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
