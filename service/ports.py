"""Ports: refused in one line where they are taken, held for workers that share one, and the page of metrics."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from service.errors import StartupError

_LOG = logging.getLogger("quickstudy")


def check_free(host: str, port: int) -> None:
    """Refuses a taken port in one line; gRPC's own attempt would add pages to the log.

    Raises:
        StartupError: somebody is bound to it.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error


@contextmanager
def held(host: str, port: int) -> Iterator[int]:
    """A port, 0: any free one, that stays ours while workers that share it come and go.

    The socket is bound and never listens, so the kernel gives it no connection.

    Raises:
        StartupError: somebody else has it.
    """
    check_free(host, port)
    with socket.socket(_family(host)) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((host, port))
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
        yield int(holder.getsockname()[1])


def expose(host: str, port: int, registry: CollectorRegistry, stack: ExitStack) -> None:
    """Serves a page of metrics from a thread, until the stack is left.

    Raises:
        StartupError: the port is taken.
    """
    check_free(host, port)
    httpd, thread = start_http_server(port, host, registry)
    _LOG.info("metrics on http://%s:%d/metrics", host, httpd.server_port)
    stack.callback(thread.join)
    stack.callback(httpd.server_close)
    stack.callback(httpd.shutdown)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
