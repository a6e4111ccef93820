"""Secrets stay secret: what the service writes and says, searched for what it must not tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.scopes import Scope
from service.client import Client
from service.store import connect, shown
from service.store.embedded import EmbeddedStore
from tests.service.support import start_server
from tests.service.test_access import key

PASSWORD = "pass-that-must-not-be-told"  # noqa: S105 # of a store that lives as long as the test


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """A Redis that asks for a password, reached through a socket."""
    store = EmbeddedStore(tmp_path / "redis")
    store.start()
    with store._client() as client:
        client.acl_setuser("shop", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"])
    yield str(store.socket)
    store.stop()


async def test_neither_log_nor_metrics_nor_errors_tell_a_secret(policy: Path, tmp_path: Path, socket: str) -> None:
    """Good and bad calls, a store that goes away and comes back: no password and no token is written anywhere."""
    file = tmp_path / "tokens"
    token, unknown = key(file, "shop", *Scope), "qs_" + "y" * 43
    server = start_server(
        policy,
        tmp_path / "data",
        REDIS=f"unix://shop:{PASSWORD}@{socket}",
        ACCESS_TOKENS=str(file),
        STORE_READ_TIMEOUT_S="2",
    )
    said = []
    async with Client(server.target, token=token) as client, Client(server.target, token=unknown) as stranger:
        await client.record([pb.Event(event_id="e", user_id="u", item_id="i1", reward=1.0)])
        admin = connect(f"unix://{socket}")
        await admin.execute_command("ACL", "SETUSER", "shop", "resetpass", ">another")  # type: ignore[no-untyped-call]
        await admin.execute_command("CLIENT", "KILL", "USER", "shop", "SKIPME", "yes")  # type: ignore[no-untyped-call]
        await admin.aclose()
        for call in (client.get_user("u"), stranger.get_user("u"), client.get_user("")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            said += [str(caught.value), repr(caught.value.trailing_metadata())]
        await client.recommend("u")
    said += [repr(server.metrics())]
    assert server.stop() == 0
    said += [(tmp_path / "data" / "service.log").read_text()]
    told = "\n".join(said)
    assert "the store is away (" in told
    assert [secret for secret in (PASSWORD, token, unknown) if secret in told] == []


@pytest.mark.parametrize(
    "url",
    ["redis://:{}@127.0.0.1:1", "rediss://u:{}@127.0.0.1:1/0?ssl_cert_reqs=none", "redis://127.0.0.1:1?password={}"],
)
def test_a_store_that_is_away_at_start_is_named_without_its_password(policy: Path, tmp_path: Path, url: str) -> None:
    """The line that says which Redis does not answer has host and port, no more."""
    with pytest.raises(RuntimeError) as caught:
        start_server(policy, tmp_path / "data", REDIS=url.format(PASSWORD))
    assert "127.0.0.1:1" in str(caught.value).splitlines()[-1]
    assert PASSWORD not in str(caught.value)


def test_a_url_is_shown_without_what_may_hold_a_password() -> None:
    """User, password and options are left out."""
    found = [shown(url) for url in ("rediss://u:p@h:1/0?password=p&ssl_ca_certs=/ca", "unix://u:p@/run/s.sock?db=1")]
    assert found == ["rediss://h:1/0", "unix:///run/s.sock"]
