"""Settings, one frozen object per concern, each field readable from the environment."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import os
import socket
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from meta.errors import InputError

MAX_HISTORY = 128
"""Most events that a history may keep; Redis memory and the script's time are sized for it."""

MAX_WORKERS = 256
"""Most processes on one port."""

S = TypeVar("S")


class SettingsError(InputError):
    """A setting out of range; the text names it, the rule and the value."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How requests of several users become one computation. Environment: QUICKSTUDY_BATCH_*."""

    window_s: float = 0.004
    """Longest wait for company, seconds, used in full only while the process is saturated; an idle one never waits."""
    max_users: int = 64
    """Most requests in one batch."""
    max_candidates: int = 65_536
    """Most candidates in one batch, padding included; one larger request is a batch of its own."""
    max_waiting: int = 2_048
    """Requests waiting or running; one more is refused with RESOURCE_EXHAUSTED."""
    max_wait_s: float = 1.0
    """Seconds; a request that would wait longer, or past its deadline, is refused at once with RESOURCE_EXHAUSTED."""
    known_bytes: int = 32 * 2**20
    """Bytes of each process and policy version that keep what was made of users who ask again before they click, some
    5 kB each; 0: nothing is kept."""


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
    named_ttl_s: int = 600
    """Seconds for which a user's decision_id, given by the caller, gets the same decision again."""
    read_timeout_s: float = 0.025
    """Seconds that a Recommend waits for Redis before it is answered without; less where its caller has less time."""
    recent_bytes: int = 32 * 2**20
    """Bytes that remember what Redis told of users lately, for when it is away; a full history takes 2.3 kB."""
    recent_s: float = 3_600.0
    """Seconds for which that may be used."""
    write_timeout_s: float = 2.0
    """Seconds that a RecordEvents waits for Redis before it fails with UNAVAILABLE."""
    fsync: str = "everysec"
    """When the embedded store's append-only file reaches the disk: always, everysec or no."""
    wait_fsync: bool = False
    """Acknowledge what is written only once it is on the store's disk (WAITAOF: Valkey, or Redis 7.2), whatever the
    store's own appendfsync; with everysec a call waits for up to a second."""
    wait_replicas: int = 0
    """Replicas that must have it before that too; with wait_fsync on their disks."""
    binary: Path | None = None
    """A redis-server or valkey-server to run as embedded store; None: the one that is shipped."""

    def __post_init__(self) -> None:
        """Refuses what would lose data or break keys."""
        _check(self.history_cap is None or 1 <= self.history_cap <= MAX_HISTORY, "store.history_cap", "1..128", self)
        _check(not {"{", "}"} & set(self.prefix), "store.prefix", "free of braces", self)
        _check(self.fsync in ("always", "everysec", "no"), "store.fsync", "always, everysec or no", self)
        _check(0 <= self.wait_replicas <= 16, "store.wait_replicas", "0..16", self)


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """The decision log. Environment: QUICKSTUDY_DECISIONS_*."""

    shards: int = 4
    """Number of streams `qs:decisions:{n}`, and of streams `qs:events:{n}`, of each tenant."""
    cap: int = 100_000
    """About how many decisions, and calls with events, of each tenant are kept until they are exported, oldest leave;
    a decision with 100 candidates takes about 2 kB."""
    backlog: int = 16_384
    """Decisions and copies waiting in memory while the store is away; more are counted as lost."""
    linger_s: float = 0.005
    """Seconds that a write waits for company."""
    reward_window_s: float = 7 * 86_400.0
    """Seconds after a decision in which an event counts as its reward, unless replay is told otherwise."""
    default_reward: float = 0.0
    """Reward of a shown item without an event in that time, unless replay is told otherwise."""

    def __post_init__(self) -> None:
        """Refuses a log that keeps nothing, and rewards that nothing can be learnt from."""
        for name in ("shards", "cap", "backlog"):
            _check(getattr(self, name) >= 1, f"decisions.{name}", "at least 1", self)
        _check(0 < self.reward_window_s < math.inf, "decisions.reward_window_s", "finite and above 0", self)
        _check(math.isfinite(self.default_reward), "decisions.default_reward", "finite", self)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is said on stderr. Environment: QUICKSTUDY_LOG_*."""

    format: str = "text"
    """text: lines for people; json: an object a line."""
    sample: float = 0.0
    """Share of decisions, 0 to 1, that get a line of their own; 0: none."""
    key: str = field(default="", repr=False)
    """Secret that goes into the hashes of users; empty: whoever can guess an id can find it in the log."""

    def __post_init__(self) -> None:
        """Refuses what no line can look like."""
        _check(self.format in ("text", "json"), "log.format", "text or json", self)
        _check(0 <= self.sample <= 1, "log.sample", "in 0..1", self)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates of the gRPC port, PEM files. Environment: QUICKSTUDY_TLS_*."""

    certificate: Path | None = None
    """The server's certificate, with those between it and the root; None: a port without TLS."""
    key: Path | None = None
    """Its private key, without a passphrase."""
    client_ca: Path | None = None
    """Roots that must have signed a caller's certificate (mutual TLS); None: callers need none."""

    def __post_init__(self) -> None:
        """Refuses half a pair."""
        _check((self.certificate is None) == (self.key is None), "tls.key", "given exactly with tls.certificate", self)
        _check(self.client_ca is None or self.key is not None, "tls.client_ca", "given with a tls.certificate", self)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may call, and how often. Environment: QUICKSTUDY_ACCESS_*."""

    tokens: Path | None = None
    """File of hashed tokens, as `quickstudy tokens create` writes it; None: nobody is asked for one."""
    tenants: str = ""
    """Tenants that are served, separated by commas; empty: all that have tokens."""
    rate_per_s: float = 0.0
    """Calls a second that each caller may go on making, for each worker; 0: any number."""
    burst: int = 100
    """Calls that a caller may make at once after a rest."""
    reflection: str = "token"
    """Whom reflection tells the contract: token (who holds any; everybody where none is asked for), open or off."""

    def __post_init__(self) -> None:
        """Refuses limits that let nobody in."""
        _check(0 <= self.rate_per_s < math.inf, "access.rate_per_s", "a finite number of at least 0", self)
        _check(self.burst >= 1, "access.burst", "at least 1", self)
        _check(self.reflection in ("token", "open", "off"), "access.reflection", "token, open or off", self)
        _check(not self.tenants or self.tokens is not None, "access.tenants", "given with access.tokens", self)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A store of versions, of which any may be activated later on. Environment: QUICKSTUDY_POLICIES_*."""

    store: str | None = None
    """Folder with a sub-folder for each version, or a URL that fsspec understands; None: one fixed policy serves."""
    first: str = ""
    """Version that serves where none was activated yet; empty: the only one that there is."""
    require: str = ""
    """Report that an activation must bring: replay, simulate, any of these, or empty for none."""
    refresh_s: float = 0.5
    """Seconds between two looks at what serves."""
    cache: Path | None = None
    """Folder that versions of a URL are copied to; None: `policies` in the data folder."""

    def __post_init__(self) -> None:
        """Refuses reports that nobody writes."""
        _check(self.require in ("", "replay", "simulate", "any"), "policies.require", "replay, simulate or any", self)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Replays that callers ask for. Environment: QUICKSTUDY_EVALUATION_*."""

    processes: int = 1
    """Replays under way at once, for each worker; one more is refused with RESOURCE_EXHAUSTED. Each takes up to a core
    and 2 GB. 0: none, whoever asks."""
    nice: int = 10
    """How much lower than that of the service their priority is: where cores are busy, calls come first."""
    logs: Path | None = None
    """Folder of exported logs that may be asked about; where tokens are asked for, each tenant's are in a folder of the
    tenant's name. None: only the log that the service keeps."""

    def __post_init__(self) -> None:
        """Refuses numbers that mean nothing."""
        _check(0 <= self.processes <= 64, "evaluation.processes", "0..64", self)
        _check(0 <= self.nice <= 19, "evaluation.nice", "0..19", self)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server process. Environment: QUICKSTUDY_*."""

    policy: Path | None = None
    """Folder of the one policy to serve; None: `policies.store` is given."""
    redis: str | None = field(default=None, repr=False)  # it may hold a password
    """redis://, rediss:// or unix:// URL; None: an embedded store in `data_dir`."""
    data_dir: Path = Path("quickstudy-data")
    """Folder of the embedded store."""
    host: str = "127.0.0.1"
    """Address to listen on, for gRPC."""
    insecure: bool = False
    """Listen beyond this machine also without TLS, or without asking callers for a token or a certificate."""
    port: int = 50_051
    """gRPC port, 0: any free one."""
    workers: int = 1
    """Processes on the gRPC port that share nothing but the store; the kernel spreads connections over them."""
    metrics_port: int = 9_464
    """Prometheus port, 0: any free one."""
    metrics_host: str | None = None
    """Address of the Prometheus port, which is open to all who reach it; None: that of gRPC."""
    max_streams: int = 512
    """Calls under way on one connection; the transport refuses more with UNAVAILABLE before they cost anything.
    Under overload all that are let in share the process: a queue of `max_streams` times connections has to be
    answered within the callers' deadlines, or none of it is."""
    max_connection_age_s: float = 1_800.0
    """Seconds after which a connection is asked to end, so that callers spread anew over replicas; 0: never."""
    lame_duck_s: float = 0.5
    """Seconds after SIGTERM in which calls are still taken while health says NOT_SERVING: what is on its way arrives,
    and callers who watch health have left before gRPC turns away what it has not looked at."""
    drain_s: float = 10.0
    """Seconds that running calls get after that."""
    popularity_refresh_s: float = 2.0
    """Seconds between two looks at what all processes have counted of likes."""
    items_refresh_s: float = 0.25
    """Seconds between two looks at what all processes have changed of the catalogue."""
    policies: PolicySettings = field(default_factory=PolicySettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    decisions: DecisionSettings = field(default_factory=DecisionSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    traces: bool = False
    """Send traces (extra `otel`) to where OpenTelemetry's own variables say, OTEL_EXPORTER_OTLP_ENDPOINT first."""
    log: LogSettings = field(default_factory=LogSettings)

    def __post_init__(self) -> None:
        """Refuses ports that do not exist, and doors left open by mistake."""
        if (self.policy is None) == (self.policies.store is None):
            raise SettingsError("give either --policy, one folder, or --policies, a store of versions")
        for name in ("port", "metrics_port"):
            _check(0 <= getattr(self, name) <= 65_535, name, "0..65535", self)
        _check(1 <= self.workers <= MAX_WORKERS, "workers", f"1..{MAX_WORKERS}", self)
        _check(self.workers == 1 or hasattr(socket, "SO_REUSEPORT"), "workers", "1 on this platform", self)
        if not self.insecure and not _is_loopback(self.host) and (missing := self._missing()):
            raise SettingsError(
                f"host {self.host} can be reached from other machines: give {' and '.join(missing)}, "
                "or --insecure where the network is trusted"
            )

    def _missing(self) -> list[str]:
        """What a port needs that strangers can reach."""
        missing = [] if self.tls.certificate else ["a TLS certificate and key"]
        known = self.access.tokens or self.tls.client_ca
        return missing if known else [*missing, "tokens or a client CA"]


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


def to_environment(settings: object, prefix: str = "QUICKSTUDY_") -> dict[str, str]:
    """The variables from which `from_environment` makes the same settings: how they reach another process."""
    variables: dict[str, str] = {}
    for item in dataclasses.fields(settings):  # type: ignore[arg-type] # as above
        variable, value = f"{prefix}{item.name.upper()}", getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            variables |= to_environment(value, f"{variable}_")
        elif value is not None:
            variables[variable] = str(value)
    return variables


def _parse(hint: Any, text: str, variable: str) -> Any:
    if hint is bool:
        return _parse_bool(text, variable)
    kinds = [k for k in typing.get_args(hint) if k is not types.NoneType] or [hint]
    try:
        return kinds[0](text)
    except ValueError as error:
        raise SettingsError(f"{variable} must be of type {kinds[0].__name__}, got {text!r}") from error


def _parse_bool(text: str, variable: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    if text.lower() not in words:
        raise SettingsError(f"{variable} must be 1, true, yes, 0, false or no, got {text!r}")
    return words[text.lower()]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check(holds: bool, name: str, rule: str, settings: object) -> None:
    if not holds:
        raise SettingsError(f"{name} must be {rule}, got {getattr(settings, name.split('.')[-1])!r}")
