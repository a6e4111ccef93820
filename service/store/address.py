"""Where the store is: clients for a URL, and the URL without its secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECTIONS = 16
"""Most connections to the store; one event loop fills no more, and further calls wait for a free one."""


def connect(url: str) -> Redis:
    """A client for a redis://, rediss:// or unix:// URL; nothing is opened yet.

    A broken connection is renewed once within a call, so that a restarted store costs no error. A call waits for a free
    connection as long as its own timeout allows.

    Raises:
        ValueError: the URL is of another kind.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=None,
        retry=Retry(NoBackoff(), 1),
        socket_timeout=None,  # every call is bounded by what is left of its own time
        socket_connect_timeout=2.0,
    )
    return Redis.from_pool(pool)


def shown(url: str) -> str:
    """The URL without user name, password and options, which may hold one, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
