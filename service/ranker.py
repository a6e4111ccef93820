"""One batch of Recommend: read state, adapt who has none cached, rank everybody at once, reply, log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from meta.policy import Policy
from meta.types import Adaptation, Events, IntArray, Ranking
from protos.quickstudy.v1 import recommender_pb2 as pb
from service import copies, decisions, history
from service.batching import Job
from service.errors import InvalidFieldError, StoreUnavailableError
from service.metrics import Metrics
from service.store import FreshCopy, Store
from service.validation import DEFAULT_SLATE, check_unknown
from service.writer import Writer

_LOG = logging.getLogger("quickstudy")

NO_EVENTS = "no events"
UNKNOWN_EVENTS = "no event of a known item"
REFUSED = "the adapted copy was refused"
FAILED = "adaptation failed"
UNREADABLE = "the history is unreadable"
STORE_AWAY = "the store is away"
UNKNOWN_CANDIDATES = "no candidate is in the catalogue"


@dataclass(slots=True, eq=False)
class Query:
    """A checked RecommendRequest with what was filled in, and its bytes for the log."""

    request: pb.RecommendRequest
    raw: bytes
    decision_id: str
    seed: int
    slate_size: int

    @classmethod
    def of(cls, request: pb.RecommendRequest, raw: bytes, new_id: str) -> Query:
        """Fills in decision id, seed and slate size where the request leaves them open."""
        decision_id = request.decision_id or new_id
        seed = request.seed if request.HasField("seed") else decisions.seed_of(decision_id)
        return cls(request, raw, decision_id, seed, request.slate_size or DEFAULT_SLATE)


RecommendJob = Job[Query, bytes]


@dataclass(slots=True)
class _Users:
    """The users of a batch: fast vectors, why each is the prior ("" where it is not), and what goes to the cache."""

    state: history.Histories
    copy: Adaptation
    reason: list[str]
    fresh: list[FreshCopy]


class Ranker:
    """Computes batches of recommendations.

    Args:
        policy: ranks; shared by all users.
        store: where histories and copies are read.
        writer: takes fresh copies and decisions after the replies have left.
    """

    def __init__(self, policy: Policy, store: Store, writer: Writer, metrics: Metrics) -> None:
        self._policy = policy
        self._store = store
        self._writer = writer
        self._metrics = metrics
        self._ids = policy.catalogue.ids
        self._temperature = np.zeros(3, np.float32)
        self._temperature[pb.MODE_UNSPECIFIED] = policy.manifest.temperature
        self._temperature[pb.MODE_EXPLORE] = policy.manifest.temperature or 1.0
        metrics.policy.labels(policy.version, policy.manifest.spec.adapter).set(1)

    async def run(self, jobs: list[RecommendJob]) -> None:
        """Answers every job of a batch; an odd user or request fails alone."""
        self._metrics.queue_seconds.observe(perf_counter() - min(job.arrived for job in jobs))
        self._metrics.batch_users.observe(len(jobs))
        users = [job.request.request.user_id for job in jobs]
        away = False
        try:
            values, cached = await self._store.read(users)
        except StoreUnavailableError:
            away = True
            values, cached = [None] * len(jobs), [None] * len(jobs)
        started = perf_counter()
        try:
            batch = self._users(users, values, cached)
            if away:
                batch.reason = [STORE_AWAY] * len(jobs)
            logged = self._answer(jobs, batch)
        except Exception as error:
            _LOG.exception("a batch of %d requests failed", len(jobs))
            for job in jobs:
                if not job.reply.done():
                    job.reply.set_exception(error)
            return
        self._metrics.rank_seconds.observe(perf_counter() - started)
        self._writer.put(batch.fresh, logged)

    def _users(self, user_ids: Sequence[str], values: Sequence[bytes | None], cached: Sequence[bytes | None]) -> _Users:
        """Decodes histories and copies, and adapts the users whose copy is missing or older than the history."""
        policy = self._policy
        state = history.decode(values, policy.catalogue)
        found = copies.decode(cached, state.watermark, policy.version, policy.prior(len(values)))
        known = state.events.mask.any(axis=1)
        stale = np.flatnonzero(known & ~found.current)
        copy, fresh, reason = found.adaptation, [], [""] * len(values)
        if stale.size:
            started = perf_counter()
            try:
                adapted = policy.adapt(_take(state.events, stale))
                copy = _put(copy, stale, adapted)
                packed = copies.encode(adapted, state.watermark[stale], policy.version)
                fresh = [
                    FreshCopy(user_ids[i], (values[i] or b"")[: history.HEADER], value)
                    for i, value in zip(stale.tolist(), packed, strict=True)
                ]
            except Exception:  # whatever is odd about these users, they are answered from the prior
                _LOG.exception("adaptation of %d users failed", stale.size)
                reason = [FAILED if i in set(stale.tolist()) else "" for i in range(len(values))]
            self._metrics.adaptation_seconds.observe(perf_counter() - started)
        for state_of_copy, n in (("adapted", stale.size), ("cached", int((known & found.current).sum()))):
            if n:
                self._metrics.copies.labels(state_of_copy).inc(n)
        for i in np.flatnonzero(~known | ~copy.accepted).tolist():
            reason[i] = reason[i] or self._why_prior(state, known, i)
        return _Users(state, copy, reason, fresh)

    @staticmethod
    def _why_prior(state: history.Histories, known: npt.NDArray[np.bool_], i: int) -> str:
        if state.unreadable[i]:
            return UNREADABLE
        if known[i]:
            return REFUSED
        return UNKNOWN_EVENTS if state.watermark[i] else NO_EVENTS

    def _answer(self, jobs: list[RecommendJob], users: _Users) -> list[bytes]:
        """Ranks both kinds of requests, sets every reply, and returns the decisions to log."""
        logged: list[bytes] = []
        given = [i for i, job in enumerate(jobs) if job.request.request.candidate_ids]
        whole = [i for i, job in enumerate(jobs) if not job.request.request.candidate_ids]
        for part, candidates_given in ((given, True), (whole, False)):
            if not part:
                continue
            chosen = [jobs[i] for i in part]
            rows, unknown = self._candidates(chosen) if candidates_given else (None, [[] for _ in part])
            ranking = self._rank(chosen, np.array(part), users, rows)
            logged += self._reply(chosen, part, users, ranking, unknown)
        return logged

    def _candidates(self, jobs: list[RecommendJob]) -> tuple[IntArray, list[list[str]]]:
        """Catalogue rows [B, C] with -1 for padding, unknown, repeated and excluded candidates; unknown ids by job."""
        lists = [list(job.request.request.candidate_ids) for job in jobs]
        count = np.array([len(ids) for ids in lists])
        inside = np.arange(count.max()) < count[:, None]
        rows = np.full(inside.shape, -1, np.int32)
        rows[inside] = self._policy.catalogue.rows([item_id for ids in lists for item_id in ids])
        unknown: list[list[str]] = [[] for _ in jobs]
        for i in np.flatnonzero((inside & (rows < 0)).any(axis=1)).tolist():
            unknown[i] = list(dict.fromkeys(lists[i][j] for j in np.flatnonzero(rows[i, : count[i]] < 0).tolist()))
        ordered = np.sort(rows, axis=1)
        for i in np.flatnonzero(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)).tolist():
            order = np.argsort(rows[i], kind="stable")
            rows[i, order[1:][rows[i, order[1:]] == rows[i, order[:-1]]]] = -1
        for i, job in enumerate(jobs):
            if job.request.request.excluded_ids:
                rows[i, np.isin(rows[i], self._policy.catalogue.rows(list(job.request.request.excluded_ids)))] = -1
        return rows, unknown

    def _rank(self, jobs: list[RecommendJob], part: IntArray, users: _Users, rows: IntArray | None) -> Ranking:
        everybody = len(part) == users.state.events.users
        events = users.state.events if everybody else _take(users.state.events, part)
        queries = [job.request for job in jobs]
        return self._policy.rank(
            users.copy.u if everybody else users.copy.u[part],
            events,
            rows,
            slate_size=np.array([query.slate_size for query in queries]),
            temperature=self._temperature[[query.request.mode for query in queries]],
            seed=np.array([query.seed for query in queries], np.uint64),
            excluded=None if rows is not None else self._excluded(queries, events),
        )

    def _excluded(self, queries: list[Query], events: Events) -> IntArray:
        """Rows never to show of the whole catalogue, [B, X]: excluded by the caller, or seen in the history."""
        seen = np.where(np.array([query.request.include_seen for query in queries])[:, None], -1, events.item)
        asked = [self._policy.catalogue.rows(list(query.request.excluded_ids)) for query in queries]
        width = max(map(len, asked))
        if not width:
            return seen
        padded = np.stack([np.pad(rows, (0, width - len(rows)), constant_values=-1) for rows in asked])
        return np.concatenate([seen, padded], axis=1)

    def _reply(
        self, jobs: list[RecommendJob], part: list[int], users: _Users, ranking: Ranking, unknown: list[list[str]]
    ) -> list[bytes]:
        """Builds and sets the reply of each job; returns the decisions to log."""
        rows, scores, values = ranking.row.tolist(), ranking.score.tolist(), ranking.q_value.tolist()
        propensities = np.exp(ranking.log_propensity).tolist()
        joint = ranking.log_propensity.sum(axis=1, dtype=np.float64).tolist()
        now_ms = time.time_ns() // 1_000_000
        logged = []
        for b, (job, i) in enumerate(zip(jobs, part, strict=True)):
            if job.reply.done():  # the caller has gone: nothing was shown, nothing is logged
                continue
            if unknown[b]:
                try:
                    check_unknown(unknown[b])
                except InvalidFieldError as error:
                    job.reply.set_exception(error)
                    continue
                self._metrics.unknown_items.labels("Recommend").inc(len(unknown[b]))
            query, reason = job.request, users.reason[i]
            items = [
                pb.RankedItem(item_id=self._ids[row], score=score, q_value=value, propensity=propensity)
                for row, score, value, propensity in zip(rows[b], scores[b], values[b], propensities[b], strict=True)
                if row >= 0
            ]
            if not items and unknown[b]:
                reason = UNKNOWN_CANDIDATES
                items = self._in_order(query, unknown[b])
            reply = pb.RecommendResponse(
                decision_id=query.decision_id,
                items=items,
                log_propensity=joint[b],
                adaptation=self._adaptation(users, i, reason),
                unknown_ids=unknown[b],
                seed=query.seed,
            ).SerializeToString()
            job.reply.set_result(reply)
            logged.append(decisions.encode(now_ms, query.raw, reply))
        return logged

    @staticmethod
    def _in_order(query: Query, unknown: list[str]) -> list[pb.RankedItem]:
        """The caller's own order, where nothing is known of any candidate."""
        hidden = set(query.request.excluded_ids)
        shown = [item_id for item_id in unknown if item_id not in hidden][: query.slate_size]
        return [pb.RankedItem(item_id=item_id, propensity=1.0) for item_id in shown]

    def _adaptation(self, users: _Users, i: int, reason: str) -> pb.Adaptation:
        source = pb.SOURCE_PRIOR if reason else pb.SOURCE_ADAPTED
        self._metrics.served.labels("prior" if reason else "adapted", reason).inc()
        copy, learnt = users.copy, not reason
        return pb.Adaptation(
            policy_version=self._policy.version,
            adapter=self._policy.manifest.spec.adapter,
            source=source,
            reason=reason,
            events_used=int(copy.events_used[i]) if learnt else 0,
            watermark=int(users.state.watermark[i]),
            loss_before=float(copy.loss_before[i]) if learnt else 0.0,
            loss_after=float(copy.loss_after[i]) if learnt else 0.0,
        )


def _take(events: Events, rows: IntArray) -> Events:
    """The histories of some users of a batch."""
    return Events(
        events.item[rows],
        events.reward[rows],
        events.group[rows],
        events.mask[rows],
        events.length[rows],
        events.time_ms[rows],
    )


def _put(into: Adaptation, rows: IntArray, values: Adaptation) -> Adaptation:
    """A batch of copies with some rows replaced."""
    out = Adaptation(
        into.u.copy(), into.accepted.copy(), into.loss_before.copy(), into.loss_after.copy(), into.events_used.copy()
    )
    for name in ("u", "accepted", "loss_before", "loss_after", "events_used"):
        getattr(out, name)[rows] = getattr(values, name)
    return out
