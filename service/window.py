"""How long calls wait for each other: longer while the process is short of time, which larger batches save."""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter, process_time

TARGET = 0.75
"""Share of a core that is aimed at: while more is in use the window grows, else it shrinks."""
GAIN = 0.25
"""By how much it grows with each sample where a whole core is in use, in times of the longest one."""
SAMPLE_S = 0.05
"""How often that share is measured, seconds."""


class Window:
    """The wait for company, by integral control of the share of a core that the loop's thread uses or waits for.

    Waiting for a core counts where the kernel tells it (Linux, schedstat): on a crowded machine a saturated thread
    gets half of a core and would otherwise look idle. Elsewhere only what it got is known.

    Args:
        longest_s: the longest wait, seconds.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest = longest_s
        self._wait = 0.0
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._told = self._schedstat.exists()
        self._at, self._wanted = perf_counter(), self._seconds()
        self._busy = 0.0

    def busy(self, now: float) -> float:
        """The share over the last stretch of at least `SAMPLE_S` seconds."""
        if now - self._at >= SAMPLE_S:
            wanted = self._seconds()
            self._busy = (wanted - self._wanted) / (now - self._at)
            self._at, self._wanted = now, wanted
            grown = self._wait + GAIN * self._longest * (self._busy - TARGET) / (1.0 - TARGET)
            self._wait = min(max(grown, 0.0), self._longest)
        return self._busy

    def wait(self, now: float) -> float:
        """Seconds that calls wait for company now."""
        self.busy(now)
        return self._wait

    def _seconds(self) -> float:
        """Seconds of a core that the thread has used or waited for so far."""
        if not self._told:
            return process_time()
        ran, waited, _ = self._schedstat.read_text().split()
        return (int(ran) + int(waited)) / 1e9
