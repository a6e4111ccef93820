"""The direct method: what a reward model expects of the judged policy."""

from __future__ import annotations

from meta.errors import InputError
from replay.contributions import Contributions, mean
from replay.logged import Logged, Predicted


def dm(logged: Logged) -> Contributions:
    """1/n sum_i sum_a target(a | x_i) q(x_i, a).

    Assumes that the model q is right wherever the judged policy goes; cross-fit it (`reward_model.cross_fitted`).
    Fails by the model's bias, which no interval shows: its interval is about the model's mean only.

    Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning".
    """
    return mean(logged.user, model_of(logged).expected)


def model_of(logged: Logged) -> Predicted:
    """What the model of a log expects, or an InputError that says what is missing."""
    if logged.predicted is None:
        raise InputError("this estimator needs a reward model; give the log one by `Logged.with_model`")
    return logged.predicted
