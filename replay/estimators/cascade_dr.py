"""Cascade doubly robust: `rips` with a model of what a slate still earns from each position down."""

from __future__ import annotations

from meta.errors import InputError
from replay.contributions import Contributions, mean
from replay.logged import Predicted, Runs


def cascade_dr(runs: Runs) -> Contributions:
    """1/n sum_i sum_k [ w_{1:k} (r_k - q_k) + w_{1:k-1} v_k ], q_k and v_k what is earned from position k down.

    q_k is expected after what was logged at k, v_k after what the judged policy would show there, given the positions
    above. Assumes as `rips`, with less variance the better the model is; unbiased under any model. Fails as `rips`.
    With a discount it is the doubly robust estimator of sequences.

    Kiyohara et al. 2022, "Doubly robust off-policy evaluation for ranking policies under the cascade behavior model";
    sequences: Jiang & Li 2016, "Doubly robust off-policy value evaluation for reinforcement learning".
    """
    model = model_of(runs)
    by_step = runs.weight * (runs.reward - model.chosen) + runs.before * model.expected
    return mean(runs.user, (runs.discounts * by_step).sum(1))


def model_of(runs: Runs) -> Predicted:
    """What the model of these runs expects, or an InputError that says what is missing."""
    if runs.predicted is None:
        raise InputError("this estimator needs a model of what is earned from each step on: `Runs.predicted`, see fqe")
    return runs.predicted
