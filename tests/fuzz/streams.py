"""Bytes that a stranger may send to an HTTP/2 port: noise, broken prefaces and frames, damaged calls, floods."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz.messages import damaged

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
OTHERS = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /quickstudy.v1.Recommender/Recommend HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of a TLS handshake
    b"*1\r\n$8\r\nFLUSHALL\r\n",
    b"",
]


def frame(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1), whose length may be a lie."""
    told = len(body) if length is None else length
    return (told % 2**24).to_bytes(3, "big") + bytes((kind, flags)) + (stream % 2**32).to_bytes(4, "big") + body


def call(path: str, body: bytes, stream: int = 1) -> list[bytes]:
    """The frames of a gRPC call: literal header fields never indexed (RFC 7541, section 6.2.3), no Huffman code."""
    fields = {
        ":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
        "content-type": "application/grpc", "grpc-timeout": "1S",
    }  # fmt: skip
    block = b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields.items())
    message = b"\0" + len(body).to_bytes(4, "big") + body
    return [frame(HEADERS, END_HEADERS, stream, block), frame(DATA, END_STREAM, stream, message)]


def hostile(path: str, body: bytes, rng: random.Random) -> bytes:
    """What one connection sends.

    Args:
        path: of a method, for calls that are damaged.
        body: a request of it.
        rng: draws everything.
    """
    return rng.choice(_KINDS)(path, body, rng)


def _noise(path: str, body: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 9, 24, 100, 2_000)))


def _other(path: str, body: bytes, rng: random.Random) -> bytes:
    return rng.choice(OTHERS)


def _cut(path: str, body: bytes, rng: random.Random) -> bytes:
    """A good call that ends anywhere, often amid the preface."""
    whole = _opening() + b"".join(call(path, body))
    return whole[: rng.randrange(rng.choice((len(PREFACE), len(whole))) + 1)]


def _frames(path: str, body: bytes, rng: random.Random) -> bytes:
    """Frames of any kind, known or not, with lengths that may lie."""
    made = [
        frame(
            rng.choice((*range(10), 200)),
            rng.choice((0, 1, 4, 5, 8, 32, 255)),
            rng.choice((0, 1, 2, 3, 2**31 - 1, 2**31)),
            rng.randbytes(rng.choice((0, 4, 5, 6, 8, 60))),
            rng.choice((None, None, None, 0, 16_385, 2**24 - 1)),
        )
        for _ in range(rng.randrange(1, 20))
    ]
    return _opening() + b"".join(made)


def _damaged(path: str, body: bytes, rng: random.Random) -> bytes:
    """Calls with some bytes wrong."""
    return PREFACE + damaged(frame(SETTINGS, 0, 0, b"") + b"".join(call(path, body)), rng)


def _shuffled(path: str, body: bytes, rng: random.Random) -> bytes:
    """The frames of some calls, lost, doubled and out of order."""
    frames = [part for stream in (1, 3, 5) for part in call(path, body, stream)]
    return _opening() + b"".join(rng.choices(frames, k=rng.randrange(1, 10)))


def _lying(path: str, body: bytes, rng: random.Random) -> bytes:
    """A message that says it is longer, shorter or compressed."""
    head, _ = call(path, body)
    told = rng.choice((0, 1, len(body) + 1, 2**31, 2**32 - 1)).to_bytes(4, "big")
    return _opening() + head + frame(DATA, END_STREAM, 1, rng.choice((b"\0", b"\1", b"\xff")) + told + body)


def _flood(path: str, body: bytes, rng: random.Random) -> bytes:
    """Many small frames that ask for work: settings, pings, streams that are reset at once, endless headers."""
    head, data = call(path, body)
    many = rng.choice((10, 100, 300))
    match rng.randrange(5):
        case 0:
            return _opening() + frame(SETTINGS, 0, 0, b"") * many
        case 1:
            return _opening() + frame(PING, 0, 0, bytes(8)) * many
        case 2:
            resets = (call(path, body, 2 * n + 1)[0] + frame(RESET, 0, 2 * n + 1, bytes(4)) for n in range(many))
            return _opening() + b"".join(resets)
        case 3:
            return _opening() + frame(HEADERS, 0, 1, head[9:]) + frame(CONTINUATION, 0, 1, b"\x10\x01a\x01b") * many
        case _:
            return _opening() + head + frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff") * many + data


_KINDS: list[Callable[[str, bytes, random.Random], bytes]] = [
    _noise, _other, _cut, _frames, _damaged, _shuffled, _lying, _flood,
]  # fmt: skip


def _opening() -> bytes:
    return PREFACE + frame(SETTINGS, 0, 0, b"")


def _text(text: str) -> bytes:
    raw = text.encode()
    return _length(len(raw)) + raw


def _length(n: int) -> bytes:
    """An integer with a prefix of 7 bits (RFC 7541, section 5.1)."""
    if n < 127:
        return bytes((n,))
    out, n = bytearray((127,)), n - 127
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    out.append(n)
    return bytes(out)
