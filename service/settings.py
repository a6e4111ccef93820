"""Settings, one frozen object per concern, each field readable from the environment."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from meta.errors import InputError

MAX_HISTORY = 128
"""Most events that a history may keep; Redis memory and the script's time are sized for it."""

S = TypeVar("S")


class SettingsError(InputError):
    """A setting out of range; the text names it, the rule and the value."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How requests of several users become one computation. Environment: QUICKSTUDY_BATCH_*."""

    window_s: float = 0.008
    """Longest wait for company, seconds, used in full only while the process is saturated; an idle one never waits."""
    max_users: int = 64
    """Most requests in one batch."""
    max_candidates: int = 65_536
    """Most candidates in one batch, padding included; one larger request is a batch of its own."""
    max_waiting: int = 2_048
    """Requests waiting or running; one more is refused with RESOURCE_EXHAUSTED."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where and how user state is kept. Environment: QUICKSTUDY_STORE_*."""

    prefix: str = ""
    """Put before every key, for several services on one Redis; must not hold a brace."""
    history_cap: int | None = None
    """Events kept of each user, 1 to 128; None: what the policy sees, at least 64."""
    history_ttl_s: int = 90 * 86_400
    """Seconds after which a silent user is forgotten."""
    copy_ttl_s: int = 3_600
    """Seconds that a copy is kept; it is made again from the history when needed."""
    read_timeout_s: float = 0.25
    """Seconds that a Recommend waits for Redis before it is answered without."""
    write_timeout_s: float = 2.0
    """Seconds that a RecordEvents waits for Redis before it fails with UNAVAILABLE."""
    fsync: str = "everysec"
    """When the embedded store's append-only file reaches the disk: always, everysec or no."""
    binary: Path | None = None
    """A redis-server or valkey-server to run as embedded store; None: the one that is shipped."""

    def __post_init__(self) -> None:
        """Refuses what would lose data or break keys."""
        _check(self.history_cap is None or 1 <= self.history_cap <= MAX_HISTORY, "store.history_cap", "1..128", self)
        _check(not {"{", "}"} & set(self.prefix), "store.prefix", "free of braces", self)
        _check(self.fsync in ("always", "everysec", "no"), "store.fsync", "always, everysec or no", self)


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """The decision log. Environment: QUICKSTUDY_DECISIONS_*."""

    shards: int = 4
    """Number of streams `qs:decisions:{n}`."""
    cap: int = 100_000
    """Decisions kept over all shards (approximately), oldest leave; one with 100 candidates takes about 2 kB."""
    backlog: int = 16_384
    """Decisions and copies waiting in memory while the store is away; more are counted as lost."""
    linger_s: float = 0.005
    """Seconds that a write waits for company."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server process. Environment: QUICKSTUDY_*."""

    policy: Path
    """Folder of the policy to serve."""
    redis: str | None = None
    """redis://, rediss:// or unix:// URL; None: an embedded store in `data_dir`."""
    data_dir: Path = Path("quickstudy-data")
    """Folder of the embedded store."""
    host: str = "127.0.0.1"
    """Address to listen on, for gRPC and metrics."""
    port: int = 50_051
    """gRPC port, 0: any free one."""
    metrics_port: int = 9_464
    """Prometheus port, 0: any free one."""
    drain_s: float = 10.0
    """Seconds that running calls get after SIGTERM."""
    popularity_refresh_s: float = 2.0
    """Seconds between two looks at what all processes have counted of likes."""
    batch: BatchSettings = field(default_factory=BatchSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    decisions: DecisionSettings = field(default_factory=DecisionSettings)

    def __post_init__(self) -> None:
        """Refuses ports that do not exist."""
        for name in ("port", "metrics_port"):
            _check(0 <= getattr(self, name) <= 65_535, name, "0..65535", self)


def from_environment(
    kind: type[S], environ: Mapping[str, str] = os.environ, prefix: str = "QUICKSTUDY_", **given: Any
) -> S:
    """Returns settings of `kind`: what is `given` and not None, else the environment, else the default.

    Raises:
        SettingsError: a value of the wrong type or out of range.
    """
    hints = typing.get_type_hints(kind)
    values = {name: value for name, value in given.items() if value is not None}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type] # every S here is a dataclass
        variable = f"{prefix}{item.name.upper()}"
        if item.name in values:
            continue
        if dataclasses.is_dataclass(hints[item.name]):
            values[item.name] = from_environment(hints[item.name], environ, f"{variable}_")
        elif variable in environ:
            values[item.name] = _parse(hints[item.name], environ[variable], variable)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{item.name} must be given, or {variable} set")
    return kind(**values)


def _parse(hint: Any, text: str, variable: str) -> Any:
    kinds = [k for k in typing.get_args(hint) if k is not types.NoneType] or [hint]
    try:
        return kinds[0](text)
    except ValueError as error:
        raise SettingsError(f"{variable} must be of type {kinds[0].__name__}, got {text!r}") from error


def _check(holds: bool, name: str, rule: str, settings: object) -> None:
    if not holds:
        raise SettingsError(f"{name} must be {rule}, got {getattr(settings, name.split('.')[-1])!r}")
