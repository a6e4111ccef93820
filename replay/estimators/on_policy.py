"""The logging policy's own value: what a judged policy is held against."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.logged import Logged


def on_policy(logged: Logged) -> Contributions:
    """The mean reward, 1/n sum_i r_i.

    Assumes nothing: it is what happened. It fails to say anything of tomorrow where the world changes.
    """
    return mean(logged.user, logged.reward)
