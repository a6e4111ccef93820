"""One batch of Recommend: read state, adapt who has none cached, rank everybody at once, reply, log."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from meta.policy import Policy
from meta.types import Ranking
from protos.quickstudy.v1 import recommender_pb2 as pb
from service import candidates, decisions
from service.access.tenants import UserKey, user_key
from service.batching import Job
from service.context import Contexts
from service.errors import InvalidFieldError, StoreUnavailableError
from service.logs import about
from service.metrics import Metrics
from service.replies import ItemEncoder
from service.store import Kept, Store
from service.store.copies import Packing
from service.store.named import Name, find, name_of
from service.trend import Trend
from service.users import Personaliser, Users
from service.validation import DEFAULT_SLATE, check_unknown
from service.writer import Writer

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from service.traces import Traces

UNKNOWN_CANDIDATES = "no candidate is in the catalogue"
BROKEN = "ranking failed"
ASKED = "asked for"
READ_SHARE = 0.5
"""Share of a caller's remaining time that a read may take; the rest is for ranking and the way back."""
_NOW: list[float | None] = [0.0]
_NAMES = {
    pb.SOURCE_ADAPTED: "adapted",
    pb.SOURCE_STALE: "stale",
    pb.SOURCE_PRIOR: "prior",
    pb.SOURCE_BASELINE: "baseline",
}
_LOG = logging.getLogger("quickstudy")


@dataclass(slots=True, eq=False)
class Query:
    """A checked RecommendRequest as logged, without user_id and decision_id; these, what was filled in, and a span."""

    request: pb.RecommendRequest
    user: UserKey
    decision_id: str
    seed: int
    slate_size: int
    tenant: str
    name: Name | None
    span: Span | None = None

    @classmethod
    def of(cls, request: pb.RecommendRequest, new_id: str, tenant: str) -> Query:
        """Fills in decision id, seed and slate size where the request leaves them open; takes the request over."""
        user, decision_id = user_key(tenant, request.user_id), request.decision_id or new_id
        seed = request.seed if request.HasField("seed") else decisions.seed_of(decision_id)
        name = name_of(user, decision_id) if request.decision_id else None
        request.user_id = request.decision_id = ""
        return cls(request, user, decision_id, seed, request.slate_size or DEFAULT_SLATE, tenant, name)


RecommendJob = Job[Query, bytes]
Behind = Callable[[list[RecommendJob], Kept], None]
"""Takes the jobs of a batch that was answered, and what was known of their users."""


class Ranker:
    """Computes batches of recommendations by one version of the policy: all that is made from a version belongs to it.

    Args:
        policy: ranks; shared by all users.
        store: where histories and copies are read.
        trend: what is popular now, as the policy reads it.
        writer: takes fresh copies and decisions after the replies have left.
        traces: take the stages of a batch; None: nobody wants them.
    """

    def __init__(
        self,
        policy: Policy,
        store: Store,
        writer: Writer,
        trend: Trend,
        metrics: Metrics,
        traces: Traces | None = None,
    ) -> None:
        self.policy = policy
        self.trend = trend
        self._store = store
        self._writer = writer
        self._contexts = Contexts(policy, metrics)
        self._personaliser = Personaliser(policy, metrics)
        self._metrics = metrics
        self._traces = traces
        self._adapter = policy.manifest.spec.adapter
        self._encoder = ItemEncoder(policy)
        self._temperature = np.full(len(pb.Mode.values()), policy.manifest.temperature, np.float32)
        self._temperature[pb.MODE_GREEDY] = 0.0
        self._temperature[pb.MODE_EXPLORE] = policy.manifest.temperature or 1.0

    @property
    def packing(self) -> Packing:
        """How the copies of this version are stored."""
        return self._personaliser.packing

    async def run(self, jobs: list[RecommendJob], behind: Behind | None = None) -> None:
        """Answers every job of a batch; `behind` hears of it afterwards, unless the store was away."""
        began = perf_counter()
        self._metrics.queue_seconds.observe(began - min(job.arrived for job in jobs))
        self._metrics.batch_users.observe(len(jobs))
        away, ages = "", _NOW * len(jobs)
        keys = [job.request.user for job in jobs]
        names = [job.request.name for job in jobs if job.request.name is not None]
        decided: list[bytes | None] = []
        try:
            kept, decided = await self._store.read_named(
                keys,
                [name.user for name in names],
                attributes=self.policy.spec.attributes > 0,
                within_s=READ_SHARE * _time_left(jobs),
            )
        except StoreUnavailableError as error:
            away = error.reason
            kept, ages = self._store.recall(keys)
        started = perf_counter()
        if names:
            self._compute_once(jobs, kept, ages, away, dict(zip(names, decided, strict=False)))
        else:
            self._compute(jobs, kept, ages, away)
        ended = perf_counter()
        self._metrics.rank_seconds.observe(ended - started)
        if self._traces is not None:
            self._traces.batch(jobs, began, started, ended)
        if behind is not None and not away:
            behind(jobs, kept)

    def beside(self, query: Query, kept: Kept, now_ms: int) -> bytes:
        """What this version would have shown in answer to a query, a serialized reply; nothing is sent or kept.

        Args:
            query: answered by another version.
            kept: what that one knew of the user.
            now_ms: when, ms since 1970.
        """
        users = self._personaliser.users(kept, self._contexts.of([query.request], kept.attributes, now_ms))
        given, tenant = bool(query.request.candidate_ids), self.trend.counted_for(query.tenant)
        ranking, unknown = self._rank([query], [0], users, given, tenant)
        reply = pb.RecommendResponse(
            decision_id=decisions.logged_id(query.user, query.decision_id),
            log_propensity=float(ranking.log_propensity[0].sum(dtype=np.float64)),
            seed=query.seed,
            unknown_ids=unknown.get(0),
        )
        self._describe(reply.adaptation, users, 0)
        return reply.SerializeToString() + self._encoder.encode(ranking)[0]

    def _compute_once(
        self,
        jobs: list[RecommendJob],
        kept: Kept,
        ages: list[float | None],
        why: str,
        decided: Mapping[Name, bytes | None],
    ) -> None:
        """As `_compute`, where some jobs have names: each of these is decided once, for equal names together too.

        Args:
            decided: what the store keeps of their users' decisions; empty where it was not read.
        """
        waiting = list(range(len(jobs)))
        while waiting:
            now: dict[Name | int, int] = {}
            for i in waiting:
                name = jobs[i].request.name
                if name is None or not self._repeat(jobs[i], name, decided.get(name)):
                    now.setdefault(i if name is None else name, i)
            some = list(now.values())
            if some:
                part = Kept(*([each[i] for i in some] for each in kept))
                self._compute([jobs[i] for i in some], part, [ages[i] for i in some], why)
            waiting = [i for i in waiting if i not in some and not jobs[i].reply.done()]

    def _repeat(self, job: RecommendJob, name: Name, kept: bytes | None) -> bool:
        """Answers a job by the decision of its name; false where there is none."""
        reply = self._writer.named(name) or find(kept, name)
        if reply is None:
            return False
        if not job.reply.done():
            job.reply.set_result(reply)
            self._metrics.repeated.inc()
        return True

    def _compute(self, jobs: list[RecommendJob], kept: Kept, ages: list[float | None], why: str) -> None:
        """Answers jobs by what is kept, as it was known `ages` ago and `why`; should one break it, each alone.

        Who breaks it alone is answered as if nothing were known, and if even that breaks, in the caller's order.
        """
        try:
            requests = [job.request.request for job in jobs]
            context = self._contexts.of(requests, kept.attributes, time.time_ns() // 1_000_000)
            users = self._personaliser.users(kept, context)
            if why:
                users.without_store(ages, why)
            logged = self._answer(jobs, users)
        except Exception as error:
            if len(jobs) > 1:
                for i, job in enumerate(jobs):
                    self._compute([job], Kept(*(each[i : i + 1] for each in kept)), ages[i : i + 1], why)
            elif not jobs[0].reply.done():
                query = jobs[0].request
                told = about(decision_id=query.decision_id, user=query.user, tenant=query.tenant)
                _LOG.exception("a recommendation failed", extra=told)
                if why != BROKEN:
                    self._compute(jobs, Kept.nothing(1), [None], BROKEN)
                else:
                    self._give_order_back(jobs[0], error)
            return
        keys = [job.request.user for job in jobs]
        fresh = self._personaliser.to_keep(keys, kept, users)
        self._store.made(fresh)
        self._writer.put(fresh, logged)

    def _answer(self, jobs: list[RecommendJob], users: Users) -> list[decisions.Logged]:
        """Ranks both kinds of requests of each tenant, sets every reply, and returns the decisions to log."""
        parts: dict[tuple[str, bool], list[int]] = {}
        for i, job in enumerate(jobs):
            tenant = self.trend.counted_for(job.request.tenant)
            parts.setdefault((tenant, bool(job.request.request.candidate_ids)), []).append(i)
        logged: list[decisions.Logged] = []
        for (tenant, some_given), part in parts.items():
            logged += self._answer_part([jobs[i] for i in part], part, users, some_given, tenant)
        for (source, reason), n in Counter(zip(users.source, users.reason, strict=True)).items():
            self._metrics.served.labels(_NAMES[source], reason).inc(n)
        return logged

    def _answer_part(
        self, jobs: list[RecommendJob], part: list[int], users: Users, candidates_given: bool, tenant: str
    ) -> list[decisions.Logged]:
        """Answers the jobs at `part` of the batch, which all give candidates or all give none, by one popularity."""
        ranking, unknown = self._rank([job.request for job in jobs], part, users, candidates_given, tenant)
        return self._reply(jobs, part, users, ranking, unknown)

    def _rank(
        self, queries: Sequence[Query], part: list[int], users: Users, candidates_given: bool, tenant: str
    ) -> tuple[Ranking, Mapping[int, list[str]]]:
        """The slates of the queries at `part` of the batch, and the candidates that nobody knows."""
        requests = [query.request for query in queries]
        everybody = len(part) == users.state.events.users
        events = users.state.events if everybody else users.state.events.map(lambda x: x[part])
        items = self.policy.items
        rows, unknown = candidates.resolve(requests, items) if candidates_given else (None, {})
        ranking = self.policy.rank(
            users.adapted.copy if everybody else users.adapted.copy[part],
            events,
            rows,
            slate_size=np.array([query.slate_size for query in queries]),
            temperature=self._temperature[[request.mode for request in requests]],
            seed=np.array([query.seed for query in queries], np.uint64),
            excluded=None if rows is not None else candidates.hidden(requests, events.item, items),
            context=users.context if everybody else users.context.map(lambda x: x[part]),
            popularity=self.trend.term(tenant),
        )
        return ranking, unknown

    def _reply(
        self,
        jobs: list[RecommendJob],
        part: list[int],
        users: Users,
        ranking: Ranking,
        unknown: Mapping[int, list[str]],
    ) -> list[decisions.Logged]:
        """Builds and sets the reply of each job; returns the decisions to log."""
        items = self._encoder.encode(ranking)
        joint = ranking.log_propensity.sum(axis=1, dtype=np.float64).tolist()
        logged = []
        for b, (job, i) in enumerate(zip(jobs, part, strict=True)):
            if job.reply.done():  # the caller has gone: nothing was shown, nothing is logged
                continue
            query = job.request
            rest = pb.RecommendResponse(decision_id=query.decision_id, log_propensity=joint[b], seed=query.seed)
            if b in unknown:
                try:
                    check_unknown(unknown[b])
                except InvalidFieldError as error:
                    job.reply.set_exception(error)
                    continue
                self._metrics.unknown_items.labels("Recommend").inc(len(unknown[b]))
                rest.unknown_ids.extend(unknown[b])
                if not items[b]:
                    users.source[i], users.reason[i] = pb.SOURCE_BASELINE, UNKNOWN_CANDIDATES
                    rest.items.extend(_in_order(query, unknown[b]))
            self._describe(rest.adaptation, users, i)
            # Somebody of whom nothing is known as the store is away may well have one already.
            pseudonym = int(users.state.pseudonym[i]) or (0 if users.age else self._writer.pseudonym(query.user))
            if query.request.mode == pb.MODE_BASELINE:
                users.source[i], users.reason[i] = pb.SOURCE_BASELINE, ASKED
                shown = self._callers_order(query, ASKED, rest.unknown_ids)
                logged.append(self._send(job, shown, user=pseudonym, apprentice=(rest, items[b])))
            else:
                logged.append(self._send(job, rest, items[b], user=pseudonym))
        return logged

    def _send(
        self,
        job: RecommendJob,
        reply: pb.RecommendResponse,
        items: bytes = b"",
        *,
        user: int = 0,
        apprentice: tuple[pb.RecommendResponse, bytes] | None = None,
    ) -> decisions.Logged:
        """Sets a reply, which stands from now on if it has a name, and returns the decision to log.

        Args:
            reply: all of it, or all but the items.
            items: serialized, to append to the reply.
            user: by which number the log knows them.
            apprentice: as reply and items, what would have been shown.
        """
        query = job.request
        sent = reply.SerializeToString() + items
        job.reply.set_result(sent)
        if query.name is not None:
            self._writer.name(query.name, sent)
        reply.decision_id = decisions.logged_id(query.user, query.decision_id)
        beside = b""
        if apprentice is not None:
            apprentice[0].decision_id = reply.decision_id
            beside = apprentice[0].SerializeToString() + apprentice[1]
        entry = decisions.encode(
            time.time_ns() // 1_000_000,
            query.request.SerializeToString(),
            reply.SerializeToString() + items,
            beside,
            user=user,
            temperature=float(self._temperature[query.request.mode]),
        )
        return decisions.Logged(query.tenant, entry)

    def _give_order_back(self, job: RecommendJob, error: Exception) -> None:
        """The last resort: the caller's order where there is one."""
        query = job.request
        if not query.request.candidate_ids:
            job.reply.set_exception(error)
            return
        self._writer.put([], [self._send(job, self._callers_order(query, BROKEN))])
        self._metrics.served.labels(_NAMES[pb.SOURCE_BASELINE], BROKEN).inc()

    def _callers_order(self, query: Query, why: str, unknown: Iterable[str] = ()) -> pb.RecommendResponse:
        """The reply with the first candidates, in the order in which they came."""
        adaptation = pb.Adaptation(
            policy_version=self.policy.version, adapter=self._adapter, source=pb.SOURCE_BASELINE, reason=why
        )
        return pb.RecommendResponse(
            decision_id=query.decision_id,
            seed=query.seed,
            items=_in_order(query, query.request.candidate_ids),
            adaptation=adaptation,
            unknown_ids=unknown,
        )

    def _describe(self, out: pb.Adaptation, users: Users, i: int) -> None:
        """Says what the user's copy was made from."""
        out.policy_version = self.policy.version
        out.adapter = self._adapter
        out.watermark = int(users.state.watermark[i])
        out.source, out.reason = users.source[i], users.reason[i]
        if out.source not in (pb.SOURCE_ADAPTED, pb.SOURCE_STALE):
            return
        copy = users.adapted
        if out.source == pb.SOURCE_STALE:
            out.staleness = users.age[i] or 0.0
            self._metrics.staleness.observe(out.staleness)
        out.events_used = int(copy.events_used[i])
        out.loss_before, out.loss_after = float(copy.loss_before[i]), float(copy.loss_after[i])


def _time_left(jobs: list[RecommendJob]) -> float:
    """Seconds until the first caller of a batch gives up."""
    return min(job.deadline for job in jobs) - perf_counter()


def _in_order(query: Query, ids: Iterable[str]) -> list[pb.RankedItem]:
    """A slate of the first candidates, each once, in the caller's own order."""
    barred = set(query.request.excluded_ids)
    shown = [item_id for item_id in dict.fromkeys(ids) if item_id not in barred][: query.slate_size]
    return [pb.RankedItem(item_id=item_id, propensity=1.0) for item_id in shown]
