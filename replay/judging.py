"""What a log says of policies: estimates with intervals, diagnostics, a verdict, rankings, and curves by experience."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from meta.exposure import exposed
from meta.policy import Policy
from meta.types import FloatArray, IntArray
from replay import adaptive
from replay.adaptive import Replayed
from replay.bad_rows import BadRows
from replay.contributions import Contributions
from replay.decisions import Log
from replay.diagnostics import diagnose
from replay.estimators import DECISIONS, SLATES, estimates, on_policy
from replay.estimators.snips import snips
from replay.intervals import Estimate, bootstrap
from replay.logged import Candidates, Logged, Runs
from replay.reward_model import cross_fitted
from replay.verdict import Limits, Outcome, Verdict, decide

TOP = 10
"""K of NDCG@K and recall@K."""
EDGES = (0, 1, 2, 3, 5, 10, 20, 50)
"""Numbers of events from which on the bins of the cold-start curve count."""
BINS = 30
"""Bars of the histogram of weights."""
ROUNDS = 200
"""Resamples for each point of a curve."""
CELLS = 40_000_000
"""Numbers that the features of a reward model may have; beyond it knows what the policy prefers, not the items."""
SMALLEST = 1e-300


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy in one of its roles.

    Args:
        name: as it is reported.
        policy: who.
        adapting: false where nobody's history is looked at.
        temperature: of its draw; None: its own.
    """

    name: str
    policy: Policy
    adapting: bool = True
    temperature: float | None = None


@dataclass(slots=True)
class Places:
    """Where a log's decisions were taken, with what each contender would have done there; grows part by part."""

    user: IntArray
    reward: FloatArray
    logging: FloatArray
    size: IntArray
    seen: IntArray
    segment: list[str]
    slate: IntArray
    candidates: IntArray
    items: tuple[str, ...]
    found: list[Replayed]


def replayed(
    parts: Iterable[Log],
    contenders: Sequence[Contender],
    *,
    cap: int,
    tell: Callable[[int], None] = lambda _: None,
) -> tuple[list[Places], dict[str, Any]]:
    """Replay all contenders in every part of a log; `tell` hears of decisions done.

    Returns:
        One `Places` a part, users numbered through, and what is known of the log.
    """
    places: list[Places] = []
    bad, users, about = BadRows(), 0, {"decisions": 0, "events": 0, "not_shown": 0, "repeated": 0, "unordered": 0}
    same: list[tuple[float, int]] = []
    for log in parts:
        bad.merge(log.bad)
        decisions = log.decisions
        for name, n in (
            ("decisions", len(decisions)), ("events", len(log.recorded.user)), ("not_shown", log.not_shown),
            ("repeated", log.repeated), ("unordered", log.unordered),
        ):  # fmt: skip
            about[name] += n
        if not len(decisions):
            continue
        if (share := adaptive.reproduced(log)) is not None:
            same.append((share, len(decisions)))
        single = decisions.slate.shape[1] == 1 and bool((decisions.candidates >= 0).any(1).all())
        found = [_run(log, each, cap, single, tell) for each in contenders]
        places.append(
            Places(
                decisions.user.astype(np.int64) + users,
                decisions.reward,
                decisions.propensity,
                decisions.slate_size,
                decisions.seen,
                [log.segments[k] for k in decisions.segment.tolist()],
                decisions.slate,
                decisions.candidates,
                log.items,
                found,
            )
        )
        users += log.users
    told: dict[str, Any] = {**about, "users": users, "bad": bad.count, "bad_rows": bad.total, "sample": bad.sample}
    checked = sum(n for _, n in same)
    told["reproduced"] = sum(share * n for share, n in same) / checked if checked else None
    return places, told


def judge(
    places: Sequence[Places], contenders: Sequence[Contender], *, estimator: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """What the log says of each contender, as plain values; the first one is the one that is asked about.

    Args:
        places: from `replayed`.
        contenders: who was replayed.
        estimator: by which the verdicts are given, a name of `DECISIONS` or `SLATES`.
        rng: of the bootstrap.
    """
    logs = [_logged(places, k, contender.policy) for k, contender in enumerate(contenders)]
    seen = np.concatenate([each.seen for each in places])
    segment = np.array([name for each in places for name in each.segment])
    told = []
    for k, (contender, (logged, runs)) in enumerate(zip(contenders, logs, strict=True)):
        found = _contributions(logged, runs)
        against = {"the log": on_policy(logged)}
        for other, (its, its_runs) in list(zip(contenders, logs, strict=True))[:k]:
            if (theirs := _contributions(its, its_runs).get(estimator)) is not None:
                against[other.name] = theirs
        told.append(
            {
                "name": contender.name,
                "version": contender.policy.version,
                "adapter": contender.policy.manifest.spec.adapter if contender.adapting else "none",
                "unknown": sum(each.found[k].unknown for each in places),
                "estimates": {
                    name: asdict(value)
                    for name, value in bootstrap(found | {"logging": on_policy(logged)}, rng).items()
                },
                "diagnostics": asdict(diagnose(logged)),
                "verdicts": {
                    name: _verdict(found.get(estimator), other, logged, rng) for name, other in against.items()
                },
                "ranking": _ranking(places, k, contender.policy),
                "by_events": _split(logged, _labels(seen), rng),
                "by_segment": _split(logged, segment, rng),
                "weights": _histogram(logged.weight),
            }
        )
    return told


def _run(log: Log, who: Contender, cap: int, first: bool, tell: Callable[[int], None]) -> Replayed:
    for news in adaptive.replay(
        who.policy, log, temperature=who.temperature, adapting=who.adapting, cap=cap, first=first
    ):
        if isinstance(news, Replayed):
            return news
        tell(news)
    raise AssertionError("a replay ends with what it found")


def _logged(places: Sequence[Places], k: int, policy: Policy) -> tuple[Logged, Runs | None]:
    """The decisions for estimators: whole slates, and where there is more than one position also its steps."""
    user = np.concatenate([each.user for each in places])
    width = max(each.reward.shape[1] for each in places)
    reward = np.concatenate([_wide(each.reward.astype(float), width, 0.0) for each in places])
    logging = np.concatenate([_wide(each.logging.astype(float), width, 1.0) for each in places])
    chances = [np.exp(each.found[k].log_propensity.astype(float)) for each in places]
    target = np.concatenate([_wide(each, width, 1.0) for each in chances])
    whole = Logged(user, reward.sum(1), np.maximum(logging.prod(1), SMALLEST), target.prod(1))
    if width > 1:
        return whole, Runs(user, reward, logging, target)
    if all(each.found[k].first is not None for each in places):
        whole = _with_candidates(places, k, policy, whole)
    return whole, None


def _with_candidates(places: Sequence[Places], k: int, policy: Policy, whole: Logged) -> Logged:
    """Single items with all candidates: also judged by a reward model, and by rejection where logging was uniform."""
    width = max(each.candidates.shape[1] for each in places)
    target = np.concatenate([_wide(each.found[k].first, width, 0.0) for each in places])
    action = np.concatenate([(each.candidates == each.slate).argmax(1) for each in places])
    rows = np.concatenate([_wide(_rows(each, policy), width, -1) for each in places])
    total = target.sum(1, keepdims=True)
    if not (total > 0).all():
        return whole  # there are decisions in which the policy knows no candidate
    candidates = Candidates(action, target / total)
    count = np.concatenate([(each.candidates >= 0).sum(1) for each in places])
    uniform = bool(np.allclose(whole.logging * count, 1.0, atol=1e-3))
    features = target[..., None].astype(np.float32)
    width_of_item = policy.catalogue.features.shape[1]
    if rows.size * (width_of_item + 1) <= CELLS:
        features = np.concatenate([features, policy.catalogue.features[np.maximum(rows, 0)]], 2)
    logged = Logged(
        whole.user, whole.reward, whole.logging, whole.target, candidates,
        matched=candidates.matched() if uniform else None,
    )  # fmt: skip
    if len(np.unique(whole.user)) < 2:
        return logged
    return logged.with_model(cross_fitted(features, action, whole.reward, whole.user))


def _contributions(logged: Logged, runs: Runs | None) -> dict[str, Contributions]:
    """Every estimator that the log can answer; those that divide by the sum of weights need one above 0."""
    if not logged.weight.any():
        return {}
    if logged.matched is not None and not logged.matched.any():
        logged = Logged(logged.user, logged.reward, logged.logging, logged.target, logged.candidates, logged.predicted)
    return estimates(logged, DECISIONS) | ({} if runs is None else estimates(runs, SLATES))


def _verdict(
    judged: Contributions | None, other: Contributions, logged: Logged, rng: np.random.Generator
) -> dict[str, Any]:
    if judged is None:
        nothing = Estimate(float("nan"), float("-inf"), float("inf"), float("inf"))
        reason = "the policy would have shown nothing of what the log shows"
        found = Verdict(Outcome.CANNOT_TELL, nothing, (reason,))
    else:
        difference = bootstrap({"": judged.minus(other)}, rng)[""]
        found = decide(difference, diagnose(logged), Limits())
    return {"outcome": str(found.outcome), "difference": asdict(found.difference), "reasons": list(found.reasons)}


def _ranking(places: Sequence[Places], k: int, policy: Policy) -> dict[str, float]:
    """How high the policy puts what users liked, among the candidates of the time, and what it exposes them to.

    Only what was shown can have been liked: this tells how policies order what the logging policy let through.
    """
    ndcg = recall = reciprocal = 0.0
    asked = 0
    likes, exposure = np.zeros(len(policy.catalogue)), np.zeros(len(policy.catalogue))
    for each in places:
        rank, liked = each.found[k].rank, each.reward > 0
        some = liked.any(1)
        rank, liked = rank[some], liked[some]
        hit = liked & (rank > 0) & (rank <= TOP)
        gain = np.where(hit, 1 / np.log2(np.maximum(rank, 1) + 1), 0.0).sum(1)
        count = liked.sum(1)
        ideal = np.cumsum(1 / np.log2(np.arange(2, TOP + 2)))[np.minimum(count, TOP) - 1]
        first = np.where(liked & (rank > 0), rank, np.iinfo(np.int32).max).min(1, initial=np.iinfo(np.int32).max)
        ndcg, recall = ndcg + (gain / ideal).sum(), recall + (hit.sum(1) / count).sum()
        reciprocal, asked = reciprocal + (1 / first).sum(), asked + len(count)
        row = _row_of(each.items, policy)[each.slate[some]][liked]
        likes += np.bincount(row[row >= 0], minlength=len(likes))
        exposure += each.found[k].exposure
    found = {"decisions": float(asked)}
    if asked:
        found |= {f"ndcg@{TOP}": ndcg / asked, f"recall@{TOP}": recall / asked, "mrr": reciprocal / asked}
    if exposure.any():
        found |= exposed(exposure, likes)
    return {name: float(value) for name, value in found.items()}


def _split(logged: Logged, label: IntArray, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Value of the policy (SNIPS) and of what was logged, for each label in the order in which they sort."""
    rows = []
    for name in np.unique(label):
        some = label == name
        user = np.unique(logged.user[some], return_inverse=True)[1]
        part = Logged(user, logged.reward[some], logged.logging[some], logged.target[some])
        text = _between(int(name)) if label.dtype.kind == "i" else str(name)
        row: dict[str, Any] = {"label": text, "decisions": int(some.sum()), "users": int(user.max()) + 1}
        if row["users"] >= 2 and part.weight.any():
            found = bootstrap({"policy": snips(part), "logging": on_policy(part)}, rng, rounds=ROUNDS)
            row |= {each: asdict(value) for each, value in found.items()}
        rows.append(row)
    return rows


def _labels(seen: IntArray) -> IntArray:
    """Which bin each number of events falls into."""
    labels: IntArray = np.searchsorted(np.array(EDGES), seen, "right") - 1
    return labels


def _between(k: int) -> str:
    low = EDGES[k]
    if k + 1 == len(EDGES):
        return f"{low}+"
    return str(low) if EDGES[k + 1] == low + 1 else f"{low}-{EDGES[k + 1] - 1}"


def _histogram(weight: FloatArray) -> dict[str, Any]:
    """Counts of weights in bars of equal width of their logarithm; those of 0 apart."""
    real = weight[weight > 0]
    if not real.size:
        return {"zero": int(weight.size), "edges": [], "count": []}
    low, high = np.log10(real.min()), np.log10(real.max())
    count, edges = np.histogram(np.log10(real), BINS, (max(low, high - 12), max(high, low + 1e-6)))
    return {"zero": int((weight <= 0).sum()), "edges": edges.tolist(), "count": count.tolist()}


def _rows(each: Places, policy: Policy) -> IntArray:
    rows: IntArray = _row_of(each.items, policy)[each.candidates]
    return rows


def _row_of(items: tuple[str, ...], policy: Policy) -> IntArray:
    """Rows of the policy's catalogue by code, -1 for what it does not know; the last one is what is padded."""
    return np.append(policy.catalogue.rows(items), -1)


def _wide(table: Any, width: int, empty: float) -> Any:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=empty)
