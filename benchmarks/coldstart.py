"""One adapted copy a user against the recommenders one would otherwise deploy, for users never seen in training.

`run` trains the default adapter on three user splits, in which every user is judged once, and compares it with peers
that were tuned on the same validation users and then, like it, refitted with them. `judge` does so for one policy, on
its own held-out users.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.likes import of_users
from benchmarks.peers.tuning import tuned
from benchmarks.report import RESULTS, Claim, write
from meta.catalogue import Catalogue
from meta.checkpoint import git_revision
from meta.coldstart import KS, Curve, Interval, best_at, by_policy, by_scores, curve, exposure, interval, queries
from meta.dataset import DataError, Interactions, read_movielens
from meta.policy import Policy
from meta.tasks import sequences, split_users
from meta.types import IntArray

SEED, FOLDS = 401, 3
"""Seed and number of the user splits of the published table; no setting was chosen on them."""
CONTROLS = ("random",)


def run(
    movielens: Path, out: Path = RESULTS / "coldstart.json", seed: int = SEED, adapter: str = "maml"
) -> dict[str, Any]:
    """Train and compare on every split, write the pooled table with its claims, and return it.

    Args:
        movielens: a MovieLens folder.
        out: the JSON file.
        seed: deals the users out.
        adapter: a key of `meta.adapters.ADAPTERS`.
    """
    from meta.trainer import logs

    log, catalogue = read_movielens(movielens)
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        for fold in range(FOLDS):
            folder = Path(scratch) / str(fold)
            how = logs.Settings(test=1 / FOLDS, fold=fold)
            for _ in logs.train(
                log, catalogue, folder, adapter=adapter, seed=seed, settings=how, git_revision=git_revision()
            ):
                pass
            parts.append(_compare(Policy.load(folder), log, catalogue, peers=True))
    users = np.concatenate([part.users for part in parts])
    curves = {
        name: Curve(
            *(
                np.concatenate([getattr(p.curves[name], side) for p in parts])
                for side in ("ndcg", "recall", "mrr", "shown")
            )
        )
        for name in parts[0].curves
    }
    told = _tell(adapter, users, curves)
    return write(
        out, command=f"quickstudy bench coldstart --movielens {movielens.name}", rows=told.pop("rows"),
        claims=_claims(adapter, told, curves), seed=seed, folds=FOLDS, users=len(users), **told,
        peers=[part.chosen for part in parts], exposure=[part.exposure for part in parts],
    )  # fmt: skip


def judge(policy: Path, log: Interactions, catalogue: Catalogue, *, peers: bool) -> dict[str, Any]:
    """Compare one policy with popularity, or with every tuned peer, on the users that its manifest holds out.

    Raises:
        DataError: the policy was trained on another log, so its held-out users are not known here.
    """
    loaded = Policy.load(policy)
    part = _compare(loaded, log, catalogue, peers=peers)
    told = _tell(loaded.spec.adapter, part.users, part.curves)
    return {"users": len(part.users), "peers": part.chosen, "exposure": part.exposure, **told}


@dataclass(frozen=True, slots=True)
class _Part:
    """One split: users [B], the curve of every ranker, what each exposes at the last k, the settings of each peer."""

    users: IntArray
    curves: dict[str, Curve]
    exposure: dict[str, dict[str, float]]
    chosen: dict[str, str]


def _compare(policy: Policy, log: Interactions, catalogue: Catalogue, *, peers: bool) -> _Part:
    """Judge a policy and its peers on the held-out users of its manifest."""
    about = policy.manifest.trained_on
    if about.get("fingerprint") != log.fingerprint or policy.catalogue.ids != catalogue.ids:
        raise DataError(
            f"the policy was trained on {about.get('name', 'another kind of data')} (fingerprint "
            f"{about.get('fingerprint', 'none')}), not on {log.name} ({log.fingerprint}): who it never saw is unknown"
        )
    events = sequences(log, len(catalogue))
    split = split_users(len(log.users), **about["split"])
    asked = queries(events, split.test)
    if not len(asked.users):
        raise DataError(f"none of the {len(split.test)} held-out users likes an item after 20 events")
    likes = of_users(events, split.train)
    both = np.concatenate([likes, of_users(events, split.validation)])
    field = [] if not peers else tuned(likes, queries(events, split.validation))
    curves = {policy.spec.adapter: curve(by_policy(policy), asked)}
    if not peers:
        from benchmarks.peers.popularity import popularity

        curves["popularity"] = curve(by_scores(popularity(both)), asked)
    curves |= {peer.name: curve(by_scores(peer.build(both)), asked) for peer in field}
    shown = {name: exposure(each.shown[:, -1], both.sum(0)) for name, each in curves.items()}
    return _Part(asked.users, curves, shown, {peer.name: peer.chosen for peer in field if peer.chosen})


def _tell(own: str, users: IntArray, curves: dict[str, Curve]) -> dict[str, Any]:
    """The table as text, and its figures as numbers: means with intervals, paired differences, exposure."""
    rivals = [name for name in curves if name != own and name not in CONTROLS]
    figures = {
        name: [asdict(interval(each.ndcg[:, j], users)) for j in range(len(KS))] for name, each in curves.items()
    }
    against = [best_at(curves, rivals, j) for j in range(len(KS))]
    differences = [interval(curves[own].ndcg[:, j] - curves[name].ndcg[:, j], users) for j, name in enumerate(against)]
    rows = [
        {"NDCG@10": name} | {f"k={k}": _cell(Interval(**figure)) for k, figure in zip(KS, figures[name], strict=True)}
        for name in curves
    ]
    rows.append(
        {"NDCG@10": f"{own} - best"} | {f"k={k}": _cell(gap, "+") for k, gap in zip(KS, differences, strict=True)}
    )
    rows.append({"NDCG@10": "best peer"} | {f"k={k}": name for k, name in zip(KS, against, strict=True)})
    return {
        "rows": rows,
        "ks": list(KS),
        "ndcg_at_10": figures,
        "difference_to_best_peer": [
            {"k": k, "peer": name, **asdict(gap)} for k, name, gap in zip(KS, against, differences, strict=True)
        ],
    }


def _claims(own: str, told: dict[str, Any], curves: dict[str, Curve]) -> list[Claim]:
    """What was promised of the pooled table."""
    claims = []
    for gap in told["difference_to_best_peer"]:
        name = f"NDCG@10 at k={gap['k']}, {own} minus {gap['peer']}, the best peer there"
        if gap["k"] >= 5:
            claims.append(Claim(f"{name}: lower end of the 95% interval", gap["low"], ">", 0.0))
        if gap["k"] <= 3:
            claims.append(Claim(f"{name}: upper end of the 95% interval", gap["high"], ">=", 0.0))
    mean = curves[own].ndcg.mean(0)
    ratio = float(mean[KS.index(20)] / mean[KS.index(0)])
    return [*claims, Claim(f"NDCG@10 of {own} at k=20 over its own at k=0", ratio, ">=", 1.3)]


def _cell(figure: Interval, sign: str = "") -> str:
    return f"{figure.mean:{sign}.3f} [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"
