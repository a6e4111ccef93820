"""Ratings that nobody chose to give: taught by self-selected ratings, judged by ratings of random items (Coat).

Schnabel et al. 2016 asked 290 people to rate 24 of 300 coats that they picked, and 16 that were drawn for them. A
policy trained on what people pick can look good on what people pick; here it must predict the 16. Users are dealt into
folds. In each, rankers learn from the picked ratings of the other users; a held-out user's first k picked ratings, in
an order by chance, are the support, and their 16 drawn coats are ranked by predicted score.

NDCG@10 has gains 2^(rating - 1) - 1, so the worst rating gains nothing. The reward of a rating is (rating - 1) / 4, and
MAE is that of the predicted reward, clipped to 0..1. Settings, ours and the peers', are chosen by squared error on the
last 8 picked ratings of validation users after their first 16; drawn ratings teach nobody anything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.coat_data import Coat, read
from benchmarks.peers.blends import Fit
from benchmarks.peers.group import Group
from benchmarks.peers.item_mean import item_and_user, item_mean
from benchmarks.peers.melu import melu
from benchmarks.peers.popularity import popularity
from benchmarks.peers.ridge import ridge
from benchmarks.report import RESULTS, Claim, write
from meta.catalogue import Catalogue
from meta.coldstart import Interval, Scorer, interval
from meta.columns import Encoded
from meta.dataset import Interactions
from meta.policy import Policy
from meta.tasks import Sequences, sequences, split_users, windows
from meta.trainer import logs
from meta.types import Context, Events, FloatArray, IntArray

SEED, FOLDS = 601, 5
KS = (0, 1, 2, 3, 5, 10, 24)
PICKED, SUPPORT = 24, 16
"""Ratings of each user that teach, and those of them that are support where settings are chosen."""
TOP = 10
DEFAULT = "maml"
OFFSET = "item + user offset"
BARE = "maml without attributes"

FAMILIES: dict[str, dict[str, Fit]] = {
    "shrunk item mean": {f"shrink {s}": partial(item_mean, shrink=s) for s in (2.0, 5.0, 10.0, 20.0)},
    OFFSET: {
        f"shrink {s} and {u}": partial(item_and_user, shrink=s, shrink_user=u)
        for s in (2.0, 5.0, 10.0, 20.0)
        for u in (1.0, 2.0, 5.0, 10.0)
    },
    "ridge on features": {
        f"penalty {p} and {u}": partial(ridge, penalty=p, penalty_user=u)
        for p in (10.0, 30.0, 100.0)
        for u in (5.0, 10.0, 20.0, 40.0)
    },
    "MeLU": {
        f"inner rate {rate}, {steps} steps": partial(melu, inner_rate=rate, inner_steps=steps, least=0)
        for rate in (0.02, 0.1, 0.3)
        for steps in (1, 3)
    },
}
"""Peers that predict rewards, and their settings."""
OURS = {
    f"TD weight {weight:g}, {keep} neighbours": logs.Settings(
        eras=0, discount=0.0, slate="graded", td_weight=weight, neighbours=keep, test=1 / FOLDS
    )
    for weight, keep in ((100.0, 100), (100.0, 0), (300.0, 0))
}
"""Settings of ours that are tried. There is no time in Coat, and Q of a discount of 0 is the expected reward."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a ranker did for B users after k = 0, 1, ... picked ratings.

    Args:
        ndcg: float64 [B, len(KS)].
        error: float64 [B, len(KS)], mean absolute error of the rewards in 0..1; None where none are predicted.
    """

    ndcg: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64] | None


def run(
    folder: Path, out: Path = RESULTS / "coat.json", *, seed: int = SEED, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train and compare on every fold, write the pooled table with its claims, and return it.

    Args:
        folder: Coat as it is published.
        out: the JSON file.
        seed: deals users and orders out.
        tell: takes a line of progress.
    """
    import torch

    torch.set_num_threads(1)
    coat = read(folder, seed)
    log = sequences(coat.log, len(coat.catalogue))
    users: list[IntArray] = []
    found: dict[str, list[Outcome]] = {}
    chosen: list[dict[str, str]] = []
    for fold in range(FOLDS):
        split = split_users(len(coat.log.users), seed, test=1 / FOLDS, fold=fold)
        both = np.sort(np.concatenate([split.train, split.validation]))
        name, how = chosen_settings(coat, both, OURS, seed)
        how = replace(how, fold=fold)
        bare = replace(coat, log=replace(coat.log, attributes=None))
        for title, data in ((DEFAULT, coat), (BARE, bare)):
            policy = _train(data.log, data.catalogue, how, seed)
            seen = sequences(data.log, len(data.catalogue))
            found.setdefault(title, []).append(judge(q_values(policy), coat, seen, split.test))
        group = Group(log, both, coat.catalogue)
        picked = judge(popularity(group), coat, log, split.test, predicts=False)
        found.setdefault("popularity", []).append(picked)
        best = tuned(Group(log, split.train, coat.catalogue), split.validation)
        for title, (_, fit) in best.items():
            found.setdefault(title, []).append(judge(fit(group), coat, log, split.test))
        users.append(split.test)
        chosen.append({DEFAULT: name} | {title: text for title, (text, _) in best.items()})
        last = ", ".join(f"{title} {outcomes[-1].ndcg[:, -1].mean():.3f}" for title, outcomes in found.items())
        tell(f"fold {fold + 1}/{FOLDS}, NDCG@10 at k={KS[-1]}: {last}")
    everybody = np.concatenate(users)
    pooled = {title: _pool(outcomes) for title, outcomes in found.items()}
    figures = {
        title: {
            "ndcg_at_10": [asdict(interval(each.ndcg[:, j], everybody)) for j in range(len(KS))],
            "mae": None
            if each.error is None
            else [asdict(interval(each.error[:, j], everybody)) for j in range(len(KS))],
        }
        for title, each in pooled.items()
    }
    return write(
        out,
        command=f"quickstudy bench coat --coat {folder.name} --seed {seed}",
        rows=[_row(title, each, everybody) for title, each in pooled.items()],
        claims=_claims(pooled, everybody),
        seed=seed,
        folds=FOLDS,
        users=len(everybody),
        ks=list(KS),
        settings=chosen,
        figures=figures,
    )


def _pool(outcomes: list[Outcome]) -> Outcome:
    errors = [each.error for each in outcomes if each.error is not None]
    return Outcome(np.concatenate([each.ndcg for each in outcomes]), np.concatenate(errors) if errors else None)


def _row(title: str, each: Outcome, users: IntArray) -> dict[str, str]:
    row = {"NDCG@10": title} | {f"k={k}": _cell(interval(each.ndcg[:, j], users)) for j, k in enumerate(KS)}
    for at in (0, -1):
        row[f"MAE k={KS[at]}"] = "-" if each.error is None else _cell(interval(each.error[:, at], users))
    return row


def _cell(figure: Interval) -> str:
    return f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _claims(pooled: Mapping[str, Outcome], users: IntArray) -> list[Claim]:
    """What was promised of the pooled table, after all picked ratings, and of attributes before the first."""
    own, offset = pooled[DEFAULT], pooled[OFFSET]
    assert own.error is not None
    assert offset.error is not None
    better = interval(own.ndcg[:, -1] - offset.ndcg[:, -1], users)
    spared = interval(offset.error[:, -1] - own.error[:, -1], users)
    worth = interval(own.ndcg[:, 0] - pooled[BARE].ndcg[:, 0], users)
    name = f"after {KS[-1]} ratings, {DEFAULT} against {OFFSET}"
    return [
        Claim(f"NDCG@10 {name}: lower end of the 95% interval of the gain", better.low, ">", 0.0),
        Claim(f"MAE of the reward {name}: upper end of the 95% interval of what is spared", spared.high, ">=", 0.0),
        Claim(f"NDCG@10 at k=0 that attributes add, 95% interval {_cell(worth)}", worth.mean, ">=", 0.02),
    ]


def judge(scorer: Scorer, coat: Coat, log: Sequences, users: IntArray, *, predicts: bool = True) -> Outcome:
    """Rank the drawn coats of users at every k."""
    rating = coat.rating[users]
    gains, errors = [], []
    for k in KS:
        scores = scorer(*_request(log, users, k))
        own = np.take_along_axis(np.asarray(scores, np.float64), coat.drawn[users], 1)
        gains.append(graded_ndcg(own, 2.0 ** (rating - 1) - 1))
        errors.append(np.abs(np.clip(own, 0.0, 1.0) - (rating - 1) / 4).mean(1))
    return Outcome(np.stack(gains, 1), np.stack(errors, 1) if predicts else None)


def graded_ndcg(scores: FloatArray, gain: FloatArray) -> npt.NDArray[np.float64]:
    """NDCG@10 of users with graded gains (Jarvelin & Kekalainen 2002): [B, n], [B, n] -> [B]; 1 without any gain.

    Ties are broken by an order that has nothing to do with the gains.
    """
    shuffled = np.random.default_rng(0).permutation(scores.shape[1])
    discount = 1.0 / np.log2(np.arange(2, TOP + 2))
    order = np.lexsort((np.broadcast_to(shuffled, scores.shape), -scores))[:, :TOP]
    reached = np.take_along_axis(gain, order, 1) @ discount[: order.shape[1]]
    ideal = -np.sort(-gain, axis=1)[:, :TOP] @ discount[: order.shape[1]]
    return np.where(ideal > 0, reached / np.where(ideal > 0, ideal, 1.0), 1.0)


def q_values(policy: Policy) -> Scorer:
    """What a policy predicts: Q, which is the expected reward where it was trained with a discount of 0."""

    def score(events: Events, context: Context) -> FloatArray:
        users, items = events.users, policy.spec.items
        ranking = policy.rank(
            policy.adapt(events, context.attributes).copy, events, None, slate_size=np.full(users, items),
            temperature=np.zeros(users), seed=np.zeros(users, np.uint64), context=context,
        )  # fmt: skip
        out = np.empty((users, items))
        np.put_along_axis(out, ranking.row, ranking.q_value, 1)
        return out

    return score


def tuned(group: Group, users: IntArray) -> dict[str, tuple[str, Fit]]:
    """Of every family the settings with the least squared error on the last 8 picked ratings of validation users."""
    best = {}
    for name, settings in FAMILIES.items():
        errors = {chosen: squared_error(fit(group), group.log, users) for chosen, fit in settings.items()}
        chosen = min(errors, key=lambda chosen: errors[chosen])
        best[name] = (chosen, settings[chosen])
    return best


def _request(log: Sequences, users: IntArray, k: int) -> tuple[Events, Context]:
    """The first k picked ratings of users, and who they are."""
    start = log.offsets[users]
    return windows(log, start, start + k, max(k, 1)), log.known(users, start[:, None])


def chosen_settings(
    coat: Coat, users: IntArray, settings: Mapping[str, logs.Settings], seed: int
) -> tuple[str, logs.Settings]:
    """Of our settings the ones with the least squared error on users that were held out of `users` for that."""
    log = _only(coat.log, users)
    events = sequences(log, len(coat.catalogue))
    errors = {}
    for name, how in settings.items():
        policy = _train(log, coat.catalogue, how, seed)
        errors[name] = squared_error(q_values(policy), events, split_users(len(users), **_split(policy)).test)
    best = min(errors, key=lambda name: errors[name])
    return best, settings[best]


def _only(log: Interactions, users: IntArray) -> Interactions:
    """The log of some users, who are numbered anew."""
    place = np.full(len(log.users), -1)
    place[users] = np.arange(len(users))
    use = place[log.user] >= 0
    known = None if log.attributes is None else Encoded(log.attributes.columns, log.attributes.features[users])
    return Interactions(
        place[log.user[use]].astype(np.int32), log.item[use], log.reward[use], log.time_ms[use],
        tuple(log.users[user] for user in users), log.name, known,
    )  # fmt: skip


def squared_error(scorer: Scorer, log: Sequences, users: IntArray) -> float:
    """Of the rewards that users gave the last 8 coats that they picked, after the first 16."""
    start = log.offsets[users]
    later = windows(log, start + SUPPORT, start + PICKED, PICKED - SUPPORT)
    scores = np.take_along_axis(scorer(*_request(log, users, SUPPORT)), later.item, 1)
    return float(((np.clip(scores, 0.0, 1.0) - later.reward) ** 2).mean())


def _train(log: Interactions, catalogue: Catalogue, how: logs.Settings, seed: int) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        for _ in logs.train(log, catalogue, Path(folder), adapter=DEFAULT, seed=seed, settings=how):
            pass
        return Policy.load(Path(folder))


def _split(policy: Policy) -> dict[str, Any]:
    split: dict[str, Any] = policy.manifest.trained_on["split"]
    return split
