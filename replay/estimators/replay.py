"""Replay by rejection: the mean reward where the judged policy chose what was logged."""

from __future__ import annotations

from meta.errors import InputError
from replay.contributions import Contributions, ratio
from replay.logged import Logged


def replay(logged: Logged) -> Contributions:
    """sum_i m_i r_i / sum_i m_i, m_i = 1 where the judged policy, asked, chose what was logged.

    Assumes that the logging policy chose uniformly at random, whatever the user; then it also holds for a policy that
    learns, as long as it learns from the matched decisions only. Fails where logging had preferences (the matched
    decisions are not typical) and wastes all but 1 / C of the log.

    Li, Chu, Langford & Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article recommendation
    algorithms".
    """
    if logged.matched is None:
        raise InputError("replay by rejection needs to know where the judged policy chose what was logged: `matched`")
    matched = logged.matched.astype(float)
    return ratio(logged.user, matched * logged.reward, matched)
