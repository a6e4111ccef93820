"""The Open Bandit Pipeline's answers (Saito et al. 2020), in an environment of its own (`make obp-env`): numpy 1.

A child process: no module of ours is imported here. `obp_reference.py estimate DATA CAMPAIGN OUT.npz` estimates what
Bernoulli Thompson sampling earns from the random log; `obp_reference.py time LOG.npz OUT.npz` times a log it is given.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import warnings
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from obp.dataset import OpenBanditDataset
from obp.ope import (
    DirectMethod,
    DoublyRobust,
    DoublyRobustWithShrinkage,
    InverseProbabilityWeighting,
    RegressionModel,
    SelfNormalizedDoublyRobust,
    SelfNormalizedInverseProbabilityWeighting,
    SwitchDoublyRobust,
)
from obp.policy import BernoulliTS
from sklearn.linear_model import LogisticRegression

ROUNDS = 1_000
ESTIMATORS = {
    "ips": InverseProbabilityWeighting(),
    "snips": SelfNormalizedInverseProbabilityWeighting(),
    "dm": DirectMethod(),
    "dr": DoublyRobust(),
    "sndr": SelfNormalizedDoublyRobust(),
    "switch_dr": SwitchDoublyRobust(lambda_=10.0),
    "dros": DoublyRobustWithShrinkage(lambda_=10.0),
}


def estimate(data: str, campaign: str, out: str) -> None:
    """Writes the log, the target's probabilities and the model's values at the logged position, and the answers."""
    with tempfile.TemporaryDirectory() as folder:
        logs = {policy: _read(Path(data), Path(folder), policy, campaign) for policy in ("random", "bts")}
    log = logs["random"].obtain_batch_bandit_feedback()
    actions, places = logs["random"].n_actions, logs["random"].len_list
    policy = BernoulliTS(
        n_actions=actions, len_list=places, is_zozotown_prior=True, campaign=campaign, random_state=12345
    )
    target = policy.compute_batch_action_dist(n_rounds=log["n_rounds"], n_sim=20_000)
    model = RegressionModel(
        n_actions=actions,
        len_list=places,
        action_context=log["action_context"],
        base_model=LogisticRegression(max_iter=1000, random_state=12345),
    )
    value = model.fit_predict(
        context=log["context"],
        action=log["action"],
        reward=log["reward"],
        position=log["position"],
        pscore=log["pscore"],
        n_folds=2,
        random_state=0,
    )
    given = {name: log[name] for name in ("action", "reward", "pscore", "position")}
    answers = _answers(given, target, value, "estimate_policy_value")
    rows = np.arange(log["n_rounds"])
    np.savez(
        out,
        target=target[rows, :, log["position"]],
        value=value[rows, :, log["position"]],
        on_policy=logs["bts"].obtain_batch_bandit_feedback()["reward"],
        names=list(answers),
        answers=list(answers.values()),
        **given,
    )


def _read(data: Path, folder: Path, policy: str, campaign: str) -> OpenBanditDataset:
    """The library reads plain files only, and the samples may be compressed."""
    place = folder / policy / campaign
    place.mkdir(parents=True)
    for path in (data / policy / campaign).iterdir():
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        (place / path.name.removesuffix(".gz")).write_bytes(plain)
    return OpenBanditDataset(behavior_policy=policy, campaign=campaign, data_path=folder)


def time(source: str, out: str) -> None:
    """Writes CPU seconds of all estimators with intervals on a log of one position."""
    with np.load(source) as file:
        log = dict(file)
    given = {name: log[name] for name in ("action", "reward", "pscore")}
    given["position"] = np.zeros(len(log["action"]), int)
    began = process_time()
    _answers(
        given,
        log["target"][:, :, None],
        log["value"][:, :, None],
        "estimate_interval",
        n_bootstrap_samples=ROUNDS,
        random_state=0,
    )
    np.savez(out, seconds=process_time() - began)


def _answers(given: dict[str, Any], target: Any, value: Any, what: str, **how: Any) -> dict[str, Any]:
    return {
        name: getattr(estimator, what)(**given, action_dist=target, estimated_rewards_by_reg_model=value, **how)
        for name, estimator in ESTIMATORS.items()
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # deprecations of pandas and sklearn that its maintainers know
    if sys.argv[1] == "estimate":
        estimate(*sys.argv[2:])
    else:
        time(*sys.argv[2:])
