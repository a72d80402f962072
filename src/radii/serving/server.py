"""The service on a port of this machine, until it is asked to end."""

import math
import socket

import uvicorn

from radii.designs.fixed import check_whole
from radii.errors import InputError
from radii.serving.app import Limits, make_app
from radii.serving.service import Service


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
