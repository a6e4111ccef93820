"""Fixtures of the service tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.client import Client
from tests.service.support import Server, make_policy, start_server


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small policy folder of 120 items "i0", "i1", ..."""
    return make_policy(tmp_path_factory.mktemp("policy") / "p")


@pytest.fixture(scope="session")
def server(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server for all tests that do it no harm; every test uses user ids of its own."""
    running = start_server(policy, tmp_path_factory.mktemp("data"), STORE_HISTORY_CAP="64")
    yield running
    assert running.stop() == 0


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A client of that server."""
    async with Client(server.target) as connected:
        yield connected
