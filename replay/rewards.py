"""How decisions get their rewards: within which time, and which where nothing is told; kept beside the log."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from replay.decisions import REWARD_WINDOW_MS

FILE = "rewards.json"


@dataclass(frozen=True, slots=True)
class Rewards:
    """The rule of a log.

    Args:
        window_s: seconds after a decision in which an event counts as its reward.
        default: reward of a shown item without such an event.
    """

    window_s: float = REWARD_WINDOW_MS / 1_000
    default: float = 0.0

    @classmethod
    def of(cls, folder: Path) -> Rewards:
        """The rule that a folder keeps, or the default where it keeps none."""
        file = folder / FILE
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def keep(self, folder: Path) -> None:
        """Puts the rule into a folder."""
        unfinished = folder / f".{FILE}.unfinished"
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(folder / FILE)
