"""Serving, in one process or in several."""

from __future__ import annotations

from service.settings import ServerSettings


def serve(settings: ServerSettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains; prints `serving on HOST:PORT` when ready.

    Raises:
        StartupError: a port is taken, the store is away, the data directory is in use, a worker cannot start.
        PolicyError: the policy folder cannot be used.
    """
    if settings.workers > 1:
        from service import supervisor  # it knows nothing of gRPC, so that workers are the first to meet it

        supervisor.serve(settings)
    else:
        from service import server

        server.serve(settings)
