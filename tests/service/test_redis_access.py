"""The store contract over TLS, as the user whom docs/security.md describes and nobody more."""

from __future__ import annotations

import gc
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.access.tenants import user_key
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.store import Store, connect
from tests.contracts import CAP, StoreContract
from tests.service.certificates import authority, signed
from tests.service.support import ROOT

PASSWORD = "of-this-test"  # noqa: S105 # of a store that lives as long as the test


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis-server that speaks TLS only, with the ACL of the documentation."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH, and the shipped store speaks no TLS")
    folder = tmp_path_factory.mktemp("redis")
    root = authority(folder, "root")
    pair = signed(folder, "redis", root)
    told = re.search(r"^user quickstudy .*$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert told is not None
    (folder / "users.acl").write_text(f"user default off\n{told[0].replace('PASSWORD', PASSWORD)}\n")
    port = free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(pair.certificate),
        "tls-key-file": str(pair.key),
        "tls-ca-cert-file": str(root.certificate),
        "tls-auth-clients": "no",
        "aclfile": str(folder / "users.acl"),
        "bind": "127.0.0.1",
        "save": "",
        "dir": str(folder),
        "logfile": str(folder / "log"),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    server = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while "Ready to accept connections" not in (said := read(folder / "log")):
        if server.poll() is not None:
            pytest.skip(f"redis-server speaks no TLS: {said.strip().splitlines()[-1]}")
        assert time.monotonic() < until, said
        time.sleep(0.02)
    yield f"rediss://quickstudy:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={root.certificate}"
    server.terminate()
    server.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read(path: Path) -> str:
    """The text of a file, none where there is no file yet."""
    return path.read_text() if path.exists() else ""


class TestRedisOverTls(StoreContract):
    """The contract over TLS, under the rules of the documented ACL."""

    @pytest.fixture
    async def store(self, url: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        """A store under a prefix of its own, within what the ACL allows."""
        store = Store(
            connect(url),
            Metrics(),
            prefix=f"qs1:{request.node.name}:",
            cap=CAP,
            read_timeout_s=10.0,
            write_timeout_s=10.0,
        )
        await store.start()
        yield store
        await store.close()


async def refusal(url: str, prefix: str = "qs1:") -> str:
    """How reading of a user under a prefix fails."""
    store = Store(connect(url), Metrics(), prefix=prefix, read_timeout_s=10.0)
    with pytest.raises(StoreUnavailableError) as caught:
        await store.read([user_key("", "u")])
    await store.close()
    return str(caught.value)


async def test_other_keys_are_out_of_reach(url: str) -> None:
    """A service with another prefix is refused by the store."""
    assert (await refusal(url, "qs2:")).startswith("the store refuses")


async def test_a_wrong_password_is_refused(url: str) -> None:
    """As a store that is away is, with the kind of error in the text and no password."""
    assert await refusal(url.replace(PASSWORD, "guess")) == "the store is away (AuthenticationError)"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio leaves the transport open
async def test_a_store_that_shows_a_strangers_certificate_is_refused(url: str, tmp_path: Path) -> None:
    """Who cannot prove to be our Redis gets no password and no event."""
    other = authority(tmp_path, "other").certificate
    told = await refusal(url.partition("?")[0] + f"?ssl_ca_certs={other}")
    gc.collect()  # what asyncio left open is told now, and not in another test
    assert told == "the store is away (ConnectionError)"
