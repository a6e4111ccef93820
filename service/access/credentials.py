"""The certificates of the gRPC port and of its callers: TLS, and with a client CA mutual TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from service.errors import StartupError


def load(certificate: Path | None, key: Path | None, client_ca: Path | None) -> grpc.ServerCredentials | None:
    """What the port shows to its callers, and asks of them; None for a port without TLS.

    Args:
        certificate: PEM file, the server's own certificate first, then those between it and the root.
        key: PEM file of its private key, without a passphrase.
        client_ca: PEM file of the roots one of which must have signed a caller's certificate; None: none is asked for.

    Raises:
        StartupError: a file cannot be read, or does not hold what it should.
    """
    if certificate is None or key is None:
        return None
    pair = (_read(key), _read(certificate))
    roots = None if client_ca is None else _read(client_ca)
    _check(certificate, key, client_ca)
    return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=roots is not None)


def of_caller(ca: Path | None) -> grpc.ChannelCredentials | None:
    """What a caller trusts: the roots in a PEM file; None for a channel in the clear.

    Raises:
        StartupError: the file cannot be read, or holds no certificate.
    """
    if ca is None:
        return None
    roots = _read(ca)
    _check_roots(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)
    return grpc.ssl_channel_credentials(roots)


def _check(certificate: Path, key: Path, client_ca: Path | None) -> None:
    """Says at start what is wrong; gRPC would let the port open and every handshake fail."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise StartupError(f"{certificate} and {key} are no certificate with its key: {_words(error)}") from error
    if client_ca is not None:
        _check_roots(context, client_ca)


def _check_roots(context: ssl.SSLContext, roots: Path) -> None:
    try:
        context.load_verify_locations(roots)
    except ssl.SSLError as error:
        raise StartupError(f"{roots} holds no certificate: {_words(error)}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).replace("_", " ").lower()
