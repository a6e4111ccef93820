"""How long a queue takes: the seconds of a batch as a + b · candidates, learnt from the batches that finish."""

from __future__ import annotations

MEMORY = 0.98
"""Weight that a finished batch keeps when the next one finishes: about the last 50 count."""


class Pace:
    """Least squares over finished batches that fade (recursive least squares, Plackett 1950), neither term below 0."""

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._line = 0.0, 0.0

    def finished(self, candidates: int, seconds: float) -> None:
        """A batch of so many candidates took so many seconds, the wait for the store included."""
        x, y = float(candidates), seconds
        new = (1.0, x, y, x * x, x * y)
        old = (self._n, self._x, self._y, self._xx, self._xy)
        self._n, self._x, self._y, self._xx, self._xy = (MEMORY * a + b for a, b in zip(old, new, strict=True))
        self._line = self._fitted()

    def seconds(self, batches: float, candidates: float) -> float:
        """What batches of so many candidates in all will take, one after the other; 0 before any has finished."""
        a, b = self._line
        return batches * a + candidates * b

    def _fitted(self) -> tuple[float, float]:
        spread = self._n * self._xx - self._x**2
        b = (self._n * self._xy - self._x * self._y) / spread if spread > 1e-9 * self._n * self._xx else 0.0
        b = max(0.0, b)
        a = (self._y - b * self._x) / self._n
        return (a, b) if a >= 0 else (0.0, self._xy / self._xx)
