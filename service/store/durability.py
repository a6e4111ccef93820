"""What has to hold before a write is acknowledged, beyond that the store has it in memory."""

from __future__ import annotations

from typing import Any

from service.errors import StoreRefusedError

SHARE = 0.75
"""Share of a write's time that the store may wait; the rest is for saying that it was in vain."""


class Durability:
    """A last command of a pipeline of writes, which waits for the disk or for replicas, and its verdict.

    A write that is not confirmed has happened all the same and may yet be lost. Its caller is told to repeat it, which
    is harmless: every write of ours may be repeated.

    Args:
        fsync: whether the writes must be on disk (WAITAOF), else in the memory of replicas (WAIT).
        replicas: how many replicas must have them.
        timeout_s: longest that a write takes, seconds.
    """

    def __init__(self, fsync: bool, replicas: int, timeout_s: float) -> None:
        self._wanted = (int(fsync), replicas)
        wait = int(1_000 * SHARE * timeout_s)
        self.command: tuple[str | int, ...] = ()
        """What is sent; empty where nothing more is asked for than an answer."""
        if fsync:
            self.command = ("WAITAOF", 1, replicas, wait)
        elif replicas:
            self.command = ("WAIT", replicas, wait)

    def ask(self, pipeline: Any) -> None:
        """Puts the command behind the writes of a pipeline, on whose connection it has to be sent."""
        if self.command:
            pipeline.execute_command(*self.command)

    def check(self, replies: list[Any]) -> list[Any]:
        """The replies to the writes.

        Raises:
            StoreRefusedError: they are not on as many disks or replicas as they should be.
        """
        if not self.command:
            return replies
        *written, told = replies
        local, replicas = told if isinstance(told, list) else (0, told)
        if local < self._wanted[0] or replicas < self._wanted[1]:
            raise StoreRefusedError(
                f"the store refuses: a write must reach (disk, replicas) {self._wanted}, got {(local, replicas)}"
            )
        return written
