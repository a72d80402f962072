"""The HTTP side of the service: what is asked, what is refused, and what is said about it."""

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
from radii.serving.batcher import Desk
from radii.serving.decode import NPY, Refusal, largest_body, read_image
from radii.serving.service import Answer, Service
from radii.votes.plans.fixed import check_whole

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Upper ends of the buckets of latencies; there is one more without end."""

KIND = "text/plain; version=0.0.4"


class Latencies:
    """Requests by status, and the seconds that successful ones took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "radii_requests", "Requests for labels, by status.", ["status"], registry=registry
        )
        self._seconds = Histogram(
            "radii_request_seconds", "From a request to its label.", buckets=SECONDS, registry=registry
        )

    def count(self, status: int, seconds: float) -> None:
        """Add one request."""
        self._requests.labels(status).inc()
        if status == 200:
            self._seconds.observe(seconds)


@dataclass(frozen=True)
class Limits:
    """`queue`: requests at a time, those that wait and those that are polled about; `seconds`: for each of them."""

    queue: int = 64
    seconds: float = 60.0


class Reception(Collector):
    """Where requests come to: it has so many places, and counts who came."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self.desk, self.limits = desk, limits
        self.registry, self.taken = CollectorRegistry(), 0
        self.registry.register(self)
        self.latencies = Latencies(self.registry)
        self._most = largest_body(math.prod(desk.service.shape))

    async def predict(self, request: Request) -> JSONResponse:
        """A label with its radius, or a refusal."""
        started, status = time.monotonic(), 500
        try:
            said = self._said(await self._served(request)) | {"seconds": round(time.monotonic() - started, 6)}
            status = 200
            return JSONResponse(said)
        except Refusal as refusal:
            status = refusal.status
            return JSONResponse({"error": " ".join(str(refusal).split())}, status, refusal.headers)
        finally:
            self.latencies.count(status, time.monotonic() - started)

    async def _served(self, request: Request) -> Answer:
        """The answer, if there is a place, within the time."""
        if self.taken >= self.limits.queue:
            await self._turn_away(request)
        self.taken += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._answered(request)
        except TimeoutError:
            raise Refusal(
                503,
                f"there was no answer within {self.limits.seconds:g} seconds: ask again later",
                self._later,
            ) from None
        finally:
            self.taken -= 1

    async def _answered(self, request: Request) -> Answer:
        body = b"".join([part async for part in parts(request, self._most)])
        service = self.desk.service
        try:
            number, image = service.prepared(
                read_image(body, request.headers.get("content-type", ""), service.shape)
            )
        except InputError as error:
            raise Refusal(422, str(error)) from error
        try:
            return await asyncio.wrap_future(self.desk.ask(number, image))
        except Exception as error:
            raise Refusal(500, f"the model failed on this image: {error}") from error

    async def _turn_away(self, request: Request) -> None:
        """Refuse, after what is sent has come: who is still sending would not hear the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.seconds):
                async for _ in parts(request, self._most):
                    pass
        raise Refusal(429, f"all {self.limits.queue} places are taken: ask again later", self._later)

    @property
    def _later(self) -> dict[str, str]:
        return {"Retry-After": str(self.desk.retry_after)}

    def _said(self, answer: Answer) -> dict[str, Any]:
        """An answer for people and programs; a label that is not confirmed is none."""
        service = self.desk.service
        label = None if answer.abstained else answer.label
        return {
            "label": label,
            "class": None if label is None or not service.classes else service.classes[label],
            "abstained": answer.abstained,
            "radius": answer.radius,
            "norm": service.norm,
            "unit": service.unit,
            "k": service.k,
            "alpha": 0.0 if service.sampler.noise.outcomes else service.alpha,
            "passes": answer.passes,
        }

    async def health(self) -> JSONResponse:
        """Whether images are answered, in less time than a request has."""
        well = self.desk.is_open and self.desk.busy <= self.limits.seconds
        return JSONResponse({"status": "ok" if well else "stuck"}, 200 if well else 503)

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics that are counted elsewhere: the registry calls this for each answer."""
        desk = self.desk
        yield CounterMetricFamily("radii_images", "Images that were polled about.", desk.images)
        yield CounterMetricFamily("radii_passes", "Noisy copies that were polled.", desk.passes)
        yield GaugeMetricFamily("radii_places_taken", "Requests that have no answer yet.", self.taken)
        yield GaugeMetricFamily("radii_places", "Requests that there is room for.", self.limits.queue)

    async def metrics(self) -> PlainTextResponse:
        """Return the figures for Prometheus."""
        return PlainTextResponse(generate_latest(self.registry), media_type=KIND)

    async def words(self, request: Request) -> PlainTextResponse:
        """How to ask."""
        return PlainTextResponse(how_to_ask(self.desk.service, str(request.base_url)))


async def parts(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body as it comes; one that is larger than `most` is refused, before it is sent if it says so."""
    declared, received = request.headers.get("content-length", ""), 0
    large = Refusal(
        413, f"the body must have at most {most} bytes: post one image, of the size that is asked for"
    )
    if declared.isdecimal() and int(declared) > most:
        raise large
    try:
        async for part in request.stream():
            received += len(part)
            if received > most:
                raise large
            yield part
    except ClientDisconnect:
        raise Refusal(400, "the connection ended before the body did") from None


def how_to_ask(service: Service, address: str) -> str:
    """The service in words."""
    channels, height, width = service.shape
    kind = {1: "grey", 3: "in colour"}.get(channels, f"of {channels} channels")
    copies = service.plan.n_max
    noise = service.sampler.noise
    return f"""radii: labels with certified radii

POST an image, {height} x {width} pixels, {kind}, to {address}predict:

  curl --data-binary @image.png -H "Content-Type: image/png" {address}predict

or an array that numpy.save wrote, bytes or numbers in [0, 1], as {NPY}.

The answer is JSON: the label that is most probable under {noise.name} noise of {noise.level_words}, and the
{service.norm} radius within which no change of the image pushes it out of the top {service.k}; at most {copies}
noisy copies bound it.

GET {address}health, {address}metrics
"""


def make_app(service: Service, limits: Limits) -> FastAPI:
    """The service as an ASGI application; its desk opens and closes with it."""
    disable_created_metrics()  # a time for each counter, which would double the series
    reception = Reception(Desk(service, limits.queue), limits)

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        reception.desk.open()
        yield
        await asyncio.to_thread(reception.desk.close)

    # pages that describe an application load scripts from elsewhere
    app = FastAPI(title="radii", lifespan=opened, docs_url=None, redoc_url=None, openapi_url=None)
    routes: dict[str, Callable[..., Any]] = {
        "/": reception.words,
        "/health": reception.health,
        "/metrics": reception.metrics,
    }
    for path, answer in routes.items():
        app.add_api_route(path, answer, methods=["GET"], response_model=None)
    app.add_api_route("/predict", reception.predict, methods=["POST"], response_model=None)
    app.add_exception_handler(HTTPException, no_such_thing)
    app.add_exception_handler(Exception, broken)
    return app


async def no_such_thing(request: Request, error: Exception) -> JSONResponse:
    """What is asked at another address, or in another way."""
    assert isinstance(error, HTTPException)
    words = HTTPStatus(error.status_code).phrase.lower()
    sentence = f"{words}: {request.method} {request.scope['path']}; GET / says how to ask"
    return JSONResponse({"error": sentence}, error.status_code, dict(error.headers or {}))


async def broken(request: Request, error: Exception) -> JSONResponse:
    """What should not happen; the error itself goes to the log."""
    return JSONResponse({"error": f"the service failed ({type(error).__name__}): its log says more"}, 500)


def listen(host: str, port: int) -> socket.socket:
    """A socket on which the service will be heard; port 0 is any that is free."""
    check_whole("port", port, 0, 2**16 - 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port} ({error}): choose another --host or --port"
        ) from error


def address_of(place: socket.socket) -> str:
    """The address of the service, `http://127.0.0.1:8000/`."""
    host, port = place.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def make_server(service: Service, limits: Limits) -> uvicorn.Server:
    """A server that answers what it has taken before it ends, and takes no longer for that than one request may."""
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


def run(service: Service, limits: Limits, place: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what waits."""
    make_server(service, limits).run(sockets=[place])
