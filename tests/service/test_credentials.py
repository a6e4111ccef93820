"""TLS and mutual TLS on the gRPC port, with certificates made for the test."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from service.access import credentials
from service.client import Client
from service.errors import StartupError
from tests.service.certificates import Pair, authority, signed
from tests.service.support import Server, start_server

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where certificates are."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def root(folder: Path) -> Pair:
    """Whom server and callers trust."""
    return authority(folder, "root")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Pair:
    """Whom nobody trusts."""
    return authority(folder, "stranger")


@pytest.fixture(scope="module")
def pair(folder: Path, root: Pair) -> Pair:
    """The server's certificate."""
    return signed(folder, "server", root)


def trusting(root: Pair, own: Pair | None = None) -> grpc.ChannelCredentials:
    """A caller who trusts a root, with a certificate of its own or without."""
    mine = (None, None) if own is None else (own.key.read_bytes(), own.certificate.read_bytes())
    return grpc.ssl_channel_credentials(root.certificate.read_bytes(), *mine)


async def answer(server: Server, how: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    """How a call ends; a refused handshake is UNAVAILABLE."""
    async with Client(server.target, credentials=how) as client:
        try:
            await client.recommend("u")
        except grpc.aio.AioRpcError as error:
            return error.code()
    return OK


async def test_tls_shows_a_certificate(policy: Path, tmp_path: Path, root: Pair, stranger: Pair, pair: Pair) -> None:
    """Who trusts the root is answered; who trusts another one, or speaks in the clear, is not."""
    server = start_server(policy, tmp_path / "data", TLS_CERTIFICATE=str(pair.certificate), TLS_KEY=str(pair.key))
    found = [await answer(server, how) for how in (trusting(root), trusting(stranger), None)]
    assert found == [OK, UNAVAILABLE, UNAVAILABLE]
    assert server.stop() == 0


async def test_mutual_tls_asks_for_one(
    policy: Path, tmp_path: Path, folder: Path, root: Pair, stranger: Pair, pair: Pair
) -> None:
    """Only a certificate of the client CA gets an answer: none at all or a stranger's does not."""
    server = start_server(
        policy,
        tmp_path / "data",
        TLS_CERTIFICATE=str(pair.certificate),
        TLS_KEY=str(pair.key),
        TLS_CLIENT_CA=str(root.certificate),
        ACCESS_RATE_PER_S="0.001",
        ACCESS_BURST="1",
    )
    callers = [signed(folder, "alice", root), None, signed(folder, "mallory", stranger), signed(folder, "bob", root)]
    found = [await answer(server, trusting(root, caller)) for caller in callers]
    assert found == [OK, UNAVAILABLE, UNAVAILABLE, OK]
    async with Client(server.target, credentials=trusting(root, callers[0])) as again:
        with pytest.raises(grpc.aio.AioRpcError, match="the caller's rate"):  # by the name in the certificate
            await again.recommend("u")
    assert server.stop() == 0


def test_files_that_are_no_certificates_are_named(folder: Path, root: Pair, pair: Pair) -> None:
    """Before the port opens: a file that is away, a key of another certificate, a CA that is none."""
    nonsense = folder / "nonsense"
    nonsense.write_text("nonsense")
    for files, words in (
        ((pair.certificate, folder / "none", None), "cannot read .*none: No such file"),
        ((pair.certificate, root.key, None), "are no certificate with its key: key values mismatch"),
        (
            (nonsense, pair.key, None),
            "are no certificate with its key: no start line|are no certificate with its key: ",
        ),
        ((pair.certificate, pair.key, nonsense), "nonsense holds no certificate: "),
    ):
        with pytest.raises(StartupError, match=words):
            credentials.load(*files)


def test_a_port_in_the_clear_has_no_credentials() -> None:
    """Without files there is nothing to show."""
    assert credentials.load(None, None, None) is None
