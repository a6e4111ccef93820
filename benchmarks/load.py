"""A load generator for unary gRPC calls: each call with a body of its own, so many in flight or at a given rate.

HTTP/2 is spoken by hand (RFC 9113, RFC 7541), as generators at hand send one body over and over, and a gRPC client in
Python costs as much as the server beside it. A call costs about 15 us here; the server has the other core.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import grpc
import numpy as np

_HEAD = struct.Struct(">HBBBI")  # of a frame: 24 bits of length, type, flags, stream
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WIDEST = 2**31 - 1
LARGEST, _WINDOW_AT_FIRST = 16_384, 65_535
"""Bytes that one frame, and so one call, may have; and that a connection takes before it says more."""
_STATUS = b"grpc-status"
"""How a status reads among headers that are neither indexed nor compressed, as a table of size 0 leaves them: this, the
length of the number, and the number."""
_OF_RESET = {7: 14, 8: 1, 11: 8}
"""The status (UNAVAILABLE, CANCELLED, RESOURCE_EXHAUSTED) that the error code of a reset stream stands for; all others
stand for INTERNAL, 13 (gRPC over HTTP2, "Errors")."""
_INTERNAL, _TOO_LATE = 13, 4
DRAIN_S = 10.0
"""Seconds that calls under way get when the time is over."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the method's path, the serialized request, and more of them in a stream; at most 16 kB in all."""

    method: str
    body: bytes
    more: tuple[bytes, ...] = ()

    @property
    def message(self) -> bytes:
        """The requests as they are sent, each with its length before it."""
        return b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in (self.body, *self.more))


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a load.

    Args:
        per_s: calls answered a second.
        latency_s: float, seconds of each answered call, ascending: from when it was sent or, at a given rate, from
            when it was due, so that a server that stalls pays for everybody who waits.
        ended: how many calls of which method ended with which status, by its name.
        cpu_s: seconds of a core that the generator took for a call.
    """

    per_s: float
    latency_s: np.typing.NDArray[np.float64]
    ended: Mapping[tuple[str, str], int]
    cpu_s: float

    @property
    def calls(self) -> int:
        """All calls, those of the warm-up too."""
        return sum(self.ended.values())

    @property
    def failed(self) -> int:
        """Calls that ended with another status than OK."""
        return self.ends().total() - self.ends()["OK"]

    def ends(self) -> Counter[str]:
        """How many calls ended with which status."""
        found = Counter[str]()
        for (_, status), n in self.ended.items():
            found[status] += n
        return found

    def ms(self, q: float) -> float:
        """A quantile of latency, milliseconds."""
        return 1e3 * float(np.quantile(self.latency_s, q)) if self.latency_s.size else float("inf")


def closed(
    address: str,
    calls: Iterator[Call],
    *,
    in_flight: int,
    seconds: float,
    warm_up_s: float = 0.5,
    connections: int = 8,
    deadline_s: float | None = None,
) -> Load:
    """So many callers, each of whom calls again as soon as it is answered; the load also ends with the calls.

    Args:
        address: "host:port", in the clear.
        calls: what to send, in turn.
        in_flight: callers.
        seconds: how long is counted, after the warm-up.
        connections: over which they are spread, at most.
        deadline_s: of each call, as the server is told; answers that come later count all the same.
    """
    links = _connect(address, min(connections, in_flight), deadline_s)
    started = perf_counter()
    count_from, until = started + warm_up_s, started + warm_up_s + seconds
    taken: list[float] = []
    ended, cpu = Counter[tuple[str, int]](), process_time()
    for i, call in zip(range(in_flight), calls, strict=False):
        links[i % len(links)].send(call, perf_counter())
    while (now := perf_counter()) < until and any(link.waiting for link in links):
        for link in _ready(links, until - now):
            for began, method, status in link.receive():
                now = perf_counter()
                ended[method, status] += 1
                if not status and count_from <= now:
                    taken.append(now - began)
                if (following := next(calls, None)) is not None:
                    link.send(following, now)
    span = min(perf_counter(), until) - count_from
    cpu = (process_time() - cpu) / max(1, ended.total())
    _drain(links, ended)
    return Load(len(taken) / span, np.sort(taken), _named(ended), cpu)


def at_rate(
    address: str,
    calls: Iterator[Call],
    *,
    per_s: float,
    seconds: float,
    rng: np.random.Generator,
    warm_up_s: float = 0.5,
    connections: int = 8,
    deadline_s: float | None = None,
) -> Load:
    """Calls that come when they come (a Poisson stream), however many are still under way.

    Args:
        per_s: calls a second.
        rng: draws when they come.
        address, calls, seconds, connections, deadline_s: as in `closed`.
    """
    links = _connect(address, connections, deadline_s)
    due = deque(np.cumsum(rng.exponential(1 / per_s, int(per_s * (seconds + warm_up_s)))).tolist())
    total, sent, taken, ended = len(due), 0, [], Counter[tuple[str, int]]()
    started, cpu = perf_counter(), process_time()
    count_from = started + warm_up_s
    give_up = started + warm_up_s + seconds + DRAIN_S
    while (due or any(link.waiting for link in links)) and (now := perf_counter()) < give_up:
        while due and started + due[0] <= now:
            link = links[sent % len(links)]
            link.send(next(calls), started + due.popleft())
            sent += 1
        for link in _ready(links, started + due[0] - now if due else 0.1):
            for began, method, status in link.receive():
                ended[method, status] += 1
                if not status and count_from <= began:
                    taken.append(perf_counter() - began)
    span = perf_counter() - count_from
    cpu = (process_time() - cpu) / max(1, total)
    _drain(links, ended)
    return Load(len(taken) / span, np.sort(taken), _named(ended), cpu)


class _Link:
    """One HTTP/2 connection as its client, and the deadline of its calls in seconds."""

    def __init__(self, address: str, deadline_s: float | None) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._authority = address.encode()
        self._deadline = deadline_s
        self._heads: dict[str, bytes] = {}
        self._stream = 1
        self._window = _WINDOW_AT_FIRST
        self._held: deque[tuple[Call, float]] = deque()
        self._out = bytearray(_OPENING + _frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 1, 0, 4, _WIDEST)))
        # no table of headers, and room for answers of any size
        self._out += _frame(_WINDOW, 0, 0, struct.pack(">I", _WIDEST - _WINDOW_AT_FIRST))
        self._in = bytearray()
        self.waiting: dict[int, tuple[float, str]] = {}
        """When each call under way began, and its method, by its stream."""
        self.flush()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    @property
    def blocked(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._out)

    def send(self, call: Call, began: float) -> None:
        """Puts a call on its way; it leaves with `flush`, or when the server has room for it."""
        stream, message = self._stream, call.message
        if self._held or len(message) > self._window:
            self._held.append((call, began))
            self.waiting[-len(self._held)] = began, call.method  # a place, until there is a stream
            return
        self._stream += 2
        self._window -= len(message)
        self.waiting[stream] = began, call.method
        self._out += _frame(_HEADERS, _END_HEADERS, stream, self._head(call.method))
        self._out += _frame(_DATA, _END_STREAM, stream, message)

    def flush(self) -> None:
        """Hands the socket what it takes."""
        while self._out:
            try:
                del self._out[: self._socket.send(self._out)]
            except BlockingIOError:
                return

    def receive(self) -> list[tuple[float, str, int]]:
        """Reads what is there: of each call that has ended when it began, its method and its status."""
        try:
            self._in += (got := self._socket.recv(1 << 18))
        except BlockingIOError:
            return []
        if not got:
            raise ConnectionError("the server closed the connection")
        ended, at, data = [], 0, self._in
        while at + 9 <= len(data):
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > len(data):
                break
            if kind == _HEADERS and flags & _END_STREAM:
                ended.append((*self.waiting.pop(stream), _status(bytes(data[at:end]))))
            elif kind == _RESET and stream in self.waiting:
                why = int.from_bytes(data[at + 9 : end], "big")
                ended.append((*self.waiting.pop(stream), _OF_RESET.get(why, _INTERNAL)))
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._out += _frame(kind, _ACK, 0, b"" if kind == _SETTINGS else bytes(data[at + 9 : end]))
            elif kind == _WINDOW and stream == 0:
                self._window += int.from_bytes(data[at + 9 : end], "big")
            elif kind == _GO_AWAY:
                raise ConnectionError(f"the server sends us away: {bytes(data[at + 17 : end])!r}")
            at = end
        del data[:at]
        self._release()
        return ended

    def _release(self) -> None:
        """Sends what was held back, as far as the server has room now."""
        held, self._held = self._held, deque()
        for place in range(1, len(held) + 1):
            del self.waiting[-place]
        for call, began in held:
            self.send(call, began)

    def _head(self, method: str) -> bytes:
        """The headers of a call: indexed ones of the static table, else literals that no table keeps."""
        if method not in self._heads:
            within = [] if self._deadline is None else [(b"\x00\x0cgrpc-timeout", b"%dm" % (1e3 * self._deadline))]
            self._heads[method] = b"\x83\x86" + b"".join(  # POST, http
                prefix + bytes((len(text),)) + text
                for prefix, text in (
                    (b"\x04", method.encode()),
                    (b"\x01", self._authority),
                    (b"\x00\x02te", b"trailers"),
                    (b"\x0f\x10", b"application/grpc"),
                    *within,
                )
            )
        return self._heads[method]


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    if len(body) > LARGEST:
        raise ValueError(f"a frame must have at most {LARGEST} bytes, got {len(body)}")
    return _HEAD.pack(len(body) >> 8, len(body) & 0xFF, kind, flags, stream) + body


def _named(ended: Mapping[tuple[str, int], int]) -> dict[tuple[str, str], int]:
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return {(method, names[status]): n for (method, status), n in ended.items()}


def _status(headers: bytes) -> int:
    """The status among the headers that end a call."""
    _, found, value = headers.partition(_STATUS)
    return int(value[1 : 1 + value[0]]) if found else _INTERNAL


def _connect(address: str, connections: int, deadline_s: float | None) -> list[_Link]:
    return [_Link(address, deadline_s) for _ in range(connections)]


def _ready(links: Sequence[_Link], timeout_s: float) -> list[_Link]:
    """Sends what waits, and the connections on which something has come within so many seconds."""
    for link in links:
        link.flush()
    readable, _, _ = select.select(links, [link for link in links if link.blocked], (), max(0.0, timeout_s))
    return readable


def _drain(links: Sequence[_Link], ended: Counter[tuple[str, int]]) -> None:
    """Waits for the calls under way, counts how they ended, and closes; those that never end are too late."""
    until = perf_counter() + DRAIN_S
    while any(link.waiting for link in links) and perf_counter() < until:
        for link in _ready(links, 0.1):
            ended.update((method, status) for _, method, status in link.receive())
    ended.update((method, _TOO_LATE) for link in links for _, method in link.waiting.values())
    for link in links:
        link.close()
