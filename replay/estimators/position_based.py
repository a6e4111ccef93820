"""The position-based click model: an item attracts alike everywhere, but positions are not looked at equally often."""

from __future__ import annotations

from functools import partial

from meta.errors import InputError
from meta.types import FloatArray
from replay.contributions import Contributions, mean
from replay.estimators.iips import places
from replay.logged import Runs


def position_based(runs: Runs, examined: FloatArray) -> Contributions:
    """1/n sum_i sum_k r_ik sum_j P_target(item_ik at j) e_j / sum_j P_logging(item_ik at j) e_j.

    Assumes clicks of probability e_j (position examined) x attraction (of the item to this user), whatever stands
    beside it. It joins what is known of an item from all places, so it varies less than `iips`. Fails by bias where the
    examinations are wrong, or a click at the top ends the visit.

    Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay & Wen 2018, "Offline evaluation of ranking policies with click
    models".

    Args:
        runs: slates with `places_logging` and `places_target`.
        examined: float [K], examination of each position, in (0, 1]; only their ratios matter.
    """
    logging, target = places(runs)
    if examined.shape != (runs.reward.shape[1],) or not (examined > 0).all():
        raise InputError(f"examinations must be {runs.reward.shape[1]} numbers above 0, got {examined.tolist()}")
    return mean(runs.user, (runs.reward * (target @ examined) / (logging @ examined)).sum(1))


def with_examinations(examined: FloatArray) -> partial[Contributions]:
    """The estimator for a site whose examinations are known, from an experiment that swaps positions."""
    return partial(position_based, examined=examined)
