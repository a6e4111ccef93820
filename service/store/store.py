"""User state in Redis or Valkey: one round trip to read a batch of users, one atomic script a user to write."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from service.access.tenants import UserKey
from service.errors import STORE_SLOW, StoreRefusedError, StoreUnavailableError
from service.metrics import Metrics
from service.store import history
from service.store.breaker import Breaker
from service.store.durability import Durability
from service.store.kept import Appended, EventLog, FreshCopy, Kept
from service.store.line import Line
from service.store.named import Name
from service.store.recent import Recent

_NAMES = ("append", "save_copy", "log_decisions", "keep_decision", "greet", "count", "change_items", "change_lineup")
_SCRIPTS = {name: (Path(__file__).parent / f"{name}.lua").read_text() for name in _NAMES}
_SHAS = {name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in _SCRIPTS.items()}
"""By these Redis knows our scripts."""

NAMED, NAMED_BYTES = 16, 65_536
"""Most decisions that are kept of a user under their names, and most bytes of them; the oldest leave."""
PIECE = 1_000
"""Counts read at a time."""
GRACE_S = 0.005
"""Seconds that a late answer still gets once its time is over: it may have come while the loop computed a batch."""


class Store:
    """The state of all users. Every method raises StoreUnavailableError when Redis is away, refuses or is too slow.

    Args:
        redis: a client of one server that returns bytes.
        prefix: put before every key.
        cap: events kept of each user.
        history_ttl_s, copy_ttl_s, named_ttl_s, newcomer_ttl_s: seconds to live.
        read_timeout_s, write_timeout_s: longest wait, seconds.
        recent_bytes: what is remembered in this process of users read lately, for when the store is away.
        recent_s: seconds for which that may be used.
        wait_fsync: whether what users did or said is acknowledged only once it is on the store's disk.
        wait_replicas: replicas that must have it before that.
    """

    def __init__(
        self,
        redis: Redis,
        metrics: Metrics,
        *,
        prefix: str = "",
        cap: int = 64,
        history_ttl_s: int = 90 * 86_400,
        copy_ttl_s: int = 3_600,
        named_ttl_s: int = 600,
        newcomer_ttl_s: int = 86_400,
        read_timeout_s: float = 0.025,
        write_timeout_s: float = 2.0,
        recent_bytes: int = 32 * 2**20,
        recent_s: float = 3_600.0,
        wait_fsync: bool = False,
        wait_replicas: int = 0,
    ) -> None:
        self._redis = redis
        self._reads, self._writes = Line(redis.connection_pool), Line(redis.connection_pool)
        self._durable = Durability(wait_fsync, wait_replicas, write_timeout_s)
        self._metrics = metrics
        self._prefix = prefix
        self.cap = cap
        self._ttl = history_ttl_s
        self._copy_ttl = copy_ttl_s
        self._named_ttl = named_ttl_s
        self._newcomer_ttl = newcomer_ttl_s
        self._read_timeout = read_timeout_s
        self._write_timeout = write_timeout_s
        self._recent = Recent(recent_bytes, recent_s)
        self._reading = read_timeout_s, self._breaker("reads", read_timeout_s, metrics)
        self._writing = write_timeout_s, self._breaker("writes", write_timeout_s, metrics)
        metrics.follow(metrics.recent_users, lambda: len(self._recent))

    def keys(self, user: UserKey) -> tuple[str, str, str]:
        """The keys of a user's history, copy and attributes."""
        start = f"{self._prefix}{user}"
        return f"{start}:h", f"{start}:c", f"{start}:a"

    def named_key(self, user: UserKey) -> str:
        """The key of a user's decisions that have names."""
        return f"{self._prefix}{user}:d"

    async def start(self) -> None:
        """Checks that the store answers and gives it our scripts."""
        async with self._watched("start", self._write_timeout):
            for text in _SCRIPTS.values():
                await self._redis.script_load(text)
            if self._durable.command:
                await self._command(*self._durable.command[:-1], 1)  # is it one that the store understands?

    async def read(self, users: Sequence[UserKey], *, attributes: bool = True, within_s: float = math.inf) -> Kept:
        """What is kept of users, in one round trip of at most so many seconds; it is remembered for `recall`.

        Without `attributes` those are not asked for.
        """
        return (await self.read_named(users, (), attributes=attributes, within_s=within_s))[0]

    async def read_named(
        self,
        users: Sequence[UserKey],
        named: Sequence[UserKey],
        *,
        attributes: bool = True,
        within_s: float = math.inf,
    ) -> tuple[Kept, list[bytes | None]]:
        """As `read`, and in the same round trip the decisions that are kept under their names, of the users `named`."""
        width = 3 if attributes else 2
        keys = [key for user in users for key in self.keys(user)[:width]]
        asked = self._recent.now()
        async with self._watched("read", min(self._read_timeout, within_s)):
            values = (await self._reads.ask((("MGET", *keys, *map(self.named_key, named)),)))[0]
        values, decided = values[: len(keys)], values[len(keys) :]
        told = values[2::width] if attributes else [None] * len(users)
        kept = Kept(values[0::width], values[1::width], told)
        self._recent.read(asked, zip(users, *kept, strict=True))
        return kept, decided

    def recall(self, users: Sequence[UserKey]) -> tuple[Kept, list[float | None]]:
        """What the store told of users last, for when it cannot be read; and the age of that, seconds.

        The age is None where nothing is remembered.
        """
        kept, ages = Kept.nothing(len(users)), list[float | None]([None] * len(users))
        now = self._recent.now()
        for i, user in enumerate(users):
            if (found := self._recent.recall(user)) is not None:
                kept.histories[i], kept.copies[i], kept.attributes[i] = found.history, found.copy, found.attributes
                ages[i] = now - found.told
        return kept, ages

    def made(self, copies: Sequence[FreshCopy]) -> None:
        """Remembers new copies at once; `save` keeps them."""
        for user, header, value in copies:
            self._recent.made(user, header, value)

    async def append(
        self,
        events: Mapping[UserKey, bytes],
        log: EventLog | None = None,
        newcomers: Mapping[UserKey, int] | None = None,
    ) -> dict[UserKey, Appended]:
        """Adds packed events, each user's in one atomic step; users are independent of each other.

        That step logs the added events too, so none is in the history and not in the log. After a failure some users
        may have been written; appending again is harmless. Who has no history gets the pseudonym that `newcomers` tell,
        else a new one.
        """
        calls: list[tuple[str, tuple[str, ...], tuple[Any, ...]]] = []
        for user, packed in events.items():
            keys: tuple[str, ...] = self.keys(user)[::2]
            arguments: tuple[Any, ...] = (
                self.cap,
                self._ttl,
                packed,
                int(user in self._recent),
                _pseudonym(newcomers, user),
            )
            if log is not None:
                keys = *keys, f"{self._prefix}{log.stream}"
                arguments = *arguments, log.cap, log.start, *log.outcomes[user]
            calls.append(("append", keys, arguments))
        async with self._watched("append", self._write_timeout):
            replies = await self._run(calls, durable=True)
        appended = {}
        for user, (results, length, value) in zip(events, replies, strict=True):
            appended[user] = Appended(results.decode(), length, history.watermark(value))
            if len(value) > history.HEADER:
                self._recent.wrote(user, history=value)
        return appended

    async def describe(self, users: Mapping[UserKey, bytes]) -> None:
        """Keeps packed attributes of users in the place of what was kept; empty ones are removed."""
        async with (
            self._watched("describe", self._write_timeout),
            self._redis.pipeline(transaction=False) as pipeline,
        ):
            for user, packed in users.items():
                key = self.keys(user)[2]
                if packed:
                    pipeline.set(key, packed, ex=self._ttl)
                else:
                    pipeline.unlink(key)
            self._durable.ask(pipeline)
            self._durable.check(await pipeline.execute())
        for user, packed in users.items():
            self._recent.wrote(user, attributes=packed)

    async def erase(self, user: UserKey) -> bool:
        """Removes all that is kept of a user at once; false where there was nothing."""
        self._recent.forget(user)
        async with (
            self._watched("erase", self._write_timeout),
            self._redis.pipeline(transaction=False) as pipeline,
        ):
            pipeline.unlink(*self.keys(user), self.named_key(user))
            self._durable.ask(pipeline)
            existed = bool(self._durable.check(await pipeline.execute())[0])
        self._recent.forget(user)  # a read may have come between
        return existed

    async def count(self, added: Mapping[str, tuple[int, Mapping[bytes, float]]]) -> None:
        """Adds to counts of items, once or, after a failure, perhaps: under a key, seconds to live and what to add."""
        calls = [
            ("count", (f"{self._prefix}{key}",), (ttl, *chain.from_iterable(items.items())))
            for key, (ttl, items) in added.items()
        ]
        async with self._watched("count", self._write_timeout):
            await self._run(calls)

    def counts(self, key: str) -> AsyncIterator[dict[bytes, bytes]]:
        """The counts of items under a key, in pieces; one that changes meanwhile may come twice."""
        return self.pieces("counts", self.key(key))

    def key(self, name: str) -> str:
        """A key of what is no single user's."""
        return f"{self._prefix}{name}"

    async def scan(self, operation: str, key: str) -> dict[bytes, bytes]:
        """A whole hash."""
        found: dict[bytes, bytes] = {}
        async for piece in self.pieces(operation, key):
            found |= piece
        return found

    async def pieces(self, operation: str, key: str) -> AsyncIterator[dict[bytes, bytes]]:
        """A whole hash, in pieces so that nobody waits for all of it."""
        cursor = 0
        while True:
            (answer,) = await self.ask(operation, ("HSCAN", key, cursor, "COUNT", PIECE))
            cursor, piece = answer
            yield piece
            if not cursor:
                return

    async def ask(self, operation: str, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies to commands, one by one."""
        async with self._watched(operation, self._write_timeout):
            return [await self._command(*command) for command in commands]

    async def run(self, operation: str, script: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        """The reply of one of our scripts."""
        async with self._watched(operation, self._write_timeout):
            return (await self._run([(script, keys, arguments)]))[0]

    async def save(
        self,
        copies: Sequence[FreshCopy],
        decisions: Mapping[str, Sequence[bytes]],
        cap: int,
        named: Sequence[tuple[Name, bytes]] = (),
        newcomers: Sequence[tuple[UserKey, int]] = (),
    ) -> None:
        """Keeps copies whose history has not moved on, and appends decisions to streams of about `cap` entries each.

        Of decisions with a name the reply is kept too, unless the name is taken, and of newcomers their pseudonym,
        unless they have a history.
        """
        calls: list[tuple[str, tuple[str, ...], tuple[Any, ...]]] = [
            ("save_copy", self.keys(copy.user)[:2], (copy.header, self._copy_ttl, copy.value)) for copy in copies
        ]
        for stream, entries in decisions.items():
            calls.append(("log_decisions", (f"{self._prefix}{stream}",), (cap, *entries)))
        for name, reply in named:
            limits = NAMED, NAMED_BYTES, self._named_ttl
            calls.append(("keep_decision", (self.named_key(name.user),), (*limits, name.hash, reply)))
        for user, pseudonym in newcomers:
            calls.append(("greet", self.keys(user)[:1], (history.empty(pseudonym), self._newcomer_ttl)))
        async with self._watched("save", self._write_timeout):
            await self._run(calls)

    async def close(self) -> None:
        """Closes the connections."""
        for _, breaker in (self._reading, self._writing):
            await breaker.close()
        await self._reads.close()
        await self._writes.close()
        await self._redis.aclose()

    def _breaker(self, kind: str, patience_s: float, metrics: Metrics) -> Breaker:
        """A breaker that is closed by a store that answers within so many seconds."""

        async def probe() -> None:
            async with self._bounded("ping", patience_s):
                await self._command("PING")

        breaker = Breaker(kind, probe, metrics.store_openings.labels(kind).inc)
        metrics.follow(metrics.store_down.labels(kind), breaker.open_for)
        return breaker

    async def _run(
        self, calls: Sequence[tuple[str, tuple[str, ...], tuple[Any, ...]]], *, durable: bool = False
    ) -> list[Any]:
        """Runs scripts in one round trip; a store that lost them (a restart) is given them again, once."""
        try:
            return await self._evaluate(calls, durable)
        except NoScriptError:
            for text in _SCRIPTS.values():
                await self._redis.script_load(text)
            return await self._evaluate(calls, durable)

    async def _evaluate(
        self, calls: Sequence[tuple[str, tuple[str, ...], tuple[Any, ...]]], durable: bool
    ) -> list[Any]:
        commands = [("EVALSHA", _SHAS[name], len(keys), *keys, *arguments) for name, keys, arguments in calls]
        if not (durable and self._durable.command):
            return await self._writes.ask(commands)
        async with self._redis.pipeline(transaction=False) as pipeline:  # its wait holds up only its own connection
            for command in commands:
                pipeline.execute_command(*command)
            self._durable.ask(pipeline)
            replies: list[Any] = await pipeline.execute()
        return self._durable.check(replies)

    async def _command(self, *parts: Any) -> Any:
        return await self._redis.execute_command(*parts)  # type: ignore[no-untyped-call] # redis types it nowhere

    @asynccontextmanager
    async def _watched(self, operation: str, timeout_s: float) -> AsyncIterator[None]:
        """Bounds and measures a round trip, unless its breaker is open; tells the breaker how it went."""
        patience, breaker = self._reading if operation == "read" else self._writing
        if breaker.open:
            self._metrics.store_errors.labels(operation).inc()
            raise StoreUnavailableError(f"the store is away: it has not answered for {breaker.open_for():.1f} s")
        started = perf_counter()
        try:
            async with self._bounded(operation, timeout_s):
                yield
        except StoreRefusedError:
            breaker.succeeded()
            raise
        except StoreUnavailableError:
            if timeout_s >= patience:  # a caller in a hurry proves nothing
                breaker.failed(started)
            raise
        breaker.succeeded()

    @asynccontextmanager
    async def _bounded(self, operation: str, timeout_s: float) -> AsyncIterator[None]:
        """Bounds and measures a round trip, and says what went wrong in our own words."""
        loop = asyncio.get_running_loop()
        started = perf_counter()
        try:
            async with asyncio.timeout(None) as limit:
                alarm = loop.call_later(timeout_s, lambda: limit.reschedule(loop.time() + GRACE_S))
                try:
                    yield
                finally:
                    alarm.cancel()
        except (TimeoutError, RedisError, OSError) as error:
            self._metrics.store_errors.labels(operation).inc()
            raise _unavailable(error, timeout_s) from error
        self._metrics.store_seconds.labels(operation).observe(perf_counter() - started)


def _unavailable(error: Exception, timeout_s: float) -> StoreUnavailableError:
    """What an error of the client means; its own timeouts are OSErrors too."""
    if isinstance(error, ResponseError):
        return StoreRefusedError(f"the store refuses: {error}")
    if isinstance(error, TimeoutError):
        return StoreUnavailableError(f"the store did not answer within {timeout_s:g} s", STORE_SLOW)
    return StoreUnavailableError(f"the store is away ({type(error).__name__})")


def _pseudonym(newcomers: Mapping[UserKey, int] | None, user: UserKey) -> bytes:
    known = (newcomers or {}).get(user)
    return os.urandom(8) if known is None else known.to_bytes(8, "little")
