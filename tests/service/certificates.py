"""Certificates for tests, made by the openssl of this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


def authority(folder: Path, name: str) -> Pair:
    """A root that signs certificates; skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH to make certificates with")
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_new_key(pair), "-out", pair.certificate, "-subj", f"/CN={name}", "-days", "2")
    return pair


def signed(folder: Path, name: str, by: Pair) -> Pair:
    """A certificate for localhost and 127.0.0.1, signed by a root."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    request = folder / f"{name}.csr"
    extensions = folder / f"{name}.ext"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl("req", *_new_key(pair), "-out", request, "-subj", f"/CN={name}")
    _openssl(
        *("x509", "-req", "-in", request, "-out", pair.certificate, "-days", "2", "-extfile", extensions),
        *("-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial"),
    )
    return pair


def _new_key(pair: Pair) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", pair.key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
