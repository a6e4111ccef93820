"""The row of a table that sums up what one agent earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulators.earnings import LATE, STEPS, Earnings
from simulators.intervals import Mean


@dataclass(frozen=True, slots=True)
class Row:
    """What one agent earned.

    Args:
        agent: its name.
        users: how many users it met.
        trainings: how many trainings of it they met; 1 for who is not trained.
        overall: reward a step over the whole episode.
        late: reward a step from step `LATE` on (over the last third where episodes are shorter).
        steps: the steps of `by_step`, counted from 0.
        by_step: reward at each of these steps.
        regret: reward a step that the oracle earned more, by user; None where there is none.
        before: reward a step in the five steps before the change of taste; None where there is none.
        recovery: share of it that is back five steps later, see `Earnings.recovery`.
    """

    agent: str
    users: int
    trainings: int
    overall: Mean
    late: Mean
    steps: tuple[int, ...]
    by_step: tuple[Mean, ...]
    regret: Mean | None
    before: Mean | None
    recovery: Mean | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


def summarise(earned: Earnings, oracle: Earnings | None = None, steps: Sequence[int] = STEPS) -> Row:
    """Sum up earnings, leaving out steps past the end.

    Args:
        earned: of the agent.
        oracle: of who knows what users hide, with the same users; None: no regret is told.
        steps: of the table.
    """
    trainings, users, length = earned.reward.shape
    kept = tuple(step for step in steps if step < length)
    return Row(
        earned.agent, users, trainings, earned.overall, earned.late, kept, tuple(earned.at(step) for step in kept),
        None if oracle is None else earned.less_than(oracle), earned.before, earned.recovery,
    )  # fmt: skip


def printable(row: Row) -> dict[str, str]:
    """Return the cells of a row by column (named by step): means, and below them half of their 95% intervals."""
    late = "late" if row.steps[-1] < LATE else f"{LATE} on"
    cells = {str(step): _cell(mean, 2) for step, mean in zip(row.steps, row.by_step, strict=True)}
    cells |= {"all": _cell(row.overall, 3), late: _cell(row.late, 3)}
    cells |= {} if row.regret is None else {"regret": _cell(row.regret, 3)}
    return {"agent": row.agent} | cells | ({} if row.recovery is None else {"recovery": _cell(row.recovery, 2)})


def _cell(mean: Mean, digits: int) -> str:
    """Mean above half its interval, without the zero in front of the point: narrow enough for eleven columns."""
    return f"{_short(mean.value, digits)}\n±{_short(mean.half, digits)}"


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1.0 and text.lstrip("-").startswith("0.") else text
