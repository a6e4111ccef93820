"""One batch of Recommend: read state, adapt who has none cached, rank everybody at once, reply, log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from meta.policy import Policy
from meta.types import Context, Ranking
from protos.quickstudy.v1 import recommender_pb2 as pb
from service import candidates, decisions
from service.access.tenants import UserKey, user_key
from service.acquaintances import Acquaintances, Known, portraits
from service.batching import Job
from service.context import Contexts
from service.errors import InvalidFieldError, StoreUnavailableError
from service.lanes import Lanes
from service.logs import about
from service.metrics import Metrics
from service.replies import AdaptationEncoder, ItemEncoder, under
from service.store import Kept, Store
from service.store.copies import Packing
from service.store.named import Name, find, name_of
from service.trend import Trend
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
        known_bytes, known_s: bounds of what is kept of users for their next requests, as in `Acquaintances`.
    """

    def __init__(
        self,
        policy: Policy,
        store: Store,
        writer: Writer,
        trend: Trend,
        metrics: Metrics,
        traces: Traces | None = None,
        *,
        known_bytes: int = 32 * 2**20,
        known_s: float = 3_600.0,
    ) -> None:
        self.policy = policy
        self.trend = trend
        self._store = store
        self._writer = writer
        self._contexts = Contexts(policy, metrics)
        self._users = Acquaintances(policy, metrics, known_bytes, known_s)
        self._metrics = metrics
        self._traces = traces
        self._adapter = policy.manifest.spec.adapter
        self._items, self._adaptation = ItemEncoder(policy), AdaptationEncoder(policy.version, self._adapter)
        self._temperature = np.full(len(pb.Mode.values()), policy.manifest.temperature, np.float32)
        self._temperature[pb.MODE_GREEDY] = 0.0
        self._temperature[pb.MODE_EXPLORE] = policy.manifest.temperature or 1.0

    @property
    def lanes(self) -> Lanes:
        """Whom a batch answers first."""
        return self._users.personaliser.lanes

    @property
    def packing(self) -> Packing:
        """How the copies of this version are stored."""
        return self._users.personaliser.packing

    def forget(self, user: UserKey) -> None:
        """Gives up what is kept of a user."""
        self._users.forget(user)

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
        named = dict(zip(names, decided, strict=False)) if names else None
        parts = self.lanes.parts(kept)
        for part in parts:
            if part is not parts[0]:
                await asyncio.sleep(0)  # who has come meanwhile comes first
            if len(parts) == 1:
                self._compute_once(jobs, kept, ages, away, named)
            else:
                some = [jobs[i] for i in part]
                self._compute_once(some, kept.of(part), [ages[i] for i in part], away, named)
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
        context = self._contexts.of([query.request], kept.attributes, now_ms)
        known, _ = self._users.meet([query.user], kept, context)
        given, tenant = bool(query.request.candidate_ids), self.trend.counted_for(query.tenant)
        ranking, unknown = self._rank([query], known, context, given, tenant)
        rest = pb.RecommendResponse(
            log_propensity=float(ranking.log_propensity[0].sum(dtype=np.float64)),
            seed=query.seed,
            unknown_ids=unknown.get(0),
        )
        (user,) = known
        adaptation = self._adaptation.encode(user.source, user.reason, user.told)
        shown = rest.SerializeToString() + adaptation + self._items.encode(ranking)[0]
        return under(decisions.logged_id(query.user, query.decision_id), shown)

    def _compute_once(
        self,
        jobs: list[RecommendJob],
        kept: Kept,
        ages: list[float | None],
        why: str,
        decided: Mapping[Name, bytes | None] | None,
    ) -> None:
        """As `_compute`, and a job that has a name is decided once, for equal names together too.

        Args:
            decided: what the store keeps of their users' decisions, if it was read; None: no job has a name.
        """
        if decided is None:
            self._compute(jobs, kept, ages, why)
            return
        waiting = list(range(len(jobs)))
        while waiting:
            now: dict[Name | int, int] = {}
            for i in waiting:
                name = jobs[i].request.name
                if name is None or not self._repeat(jobs[i], name, decided.get(name)):
                    now.setdefault(i if name is None else name, i)
            some = list(now.values())
            if some:
                self._compute([jobs[i] for i in some], kept.of(some), [ages[i] for i in some], why)
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
            known, fresh = self._users.meet([job.request.user for job in jobs], kept, context)
            if why:
                known = [user.without_store(age, why) for user, age in zip(known, ages, strict=True)]
                for user, age in zip(known, ages, strict=True):
                    if user.source == pb.SOURCE_STALE:
                        self._metrics.staleness.observe(age or 0.0)
            logged = self._answer(jobs, known, context, away=bool(why))
        except Exception as error:
            if len(jobs) > 1:
                for i, job in enumerate(jobs):
                    self._compute([job], kept.of([i]), ages[i : i + 1], why)
            elif not jobs[0].reply.done():
                query = jobs[0].request
                told = about(decision_id=query.decision_id, user=query.user, tenant=query.tenant)
                _LOG.exception("a recommendation failed", extra=told)
                if why != BROKEN:
                    self._compute(jobs, Kept.nothing(1), [None], BROKEN)
                else:
                    self._give_order_back(jobs[0], error)
            return
        self._store.made(fresh)
        self._writer.put(fresh, logged)

    def _answer(
        self, jobs: list[RecommendJob], known: Sequence[Known], context: Context, *, away: bool
    ) -> list[decisions.Logged]:
        """Ranks both kinds of requests of each tenant, sets every reply, and returns the decisions to log."""
        parts: dict[tuple[str, bool], list[int]] = {}
        for i, job in enumerate(jobs):
            tenant = self.trend.counted_for(job.request.tenant)
            parts.setdefault((tenant, bool(job.request.request.candidate_ids)), []).append(i)
        logged: list[decisions.Logged] = []
        served: Counter[tuple[pb.Source, str]] = Counter()
        for (tenant, some_given), part in parts.items():
            everybody = len(part) == len(jobs)
            some, users = [jobs[i] for i in part], [known[i] for i in part]
            of = context if everybody else context.map(lambda x, part=part: x[part])  # type: ignore[misc] # bound early
            ranking, unknown = self._rank([job.request for job in some], users, of, some_given, tenant)
            logged += self._reply(some, users, ranking, unknown, served, away=away)
        for (source, reason), n in served.items():
            self._metrics.served.labels(_NAMES[source], reason).inc(n)
        return logged

    def _rank(
        self, queries: Sequence[Query], known: Sequence[Known], context: Context, candidates_given: bool, tenant: str
    ) -> tuple[Ranking, Mapping[int, list[str]]]:
        """The slates of queries which all give candidates or all give none, and the candidates that nobody knows."""
        requests = [query.request for query in queries]
        items = self.policy.items
        rows, unknown = candidates.resolve(requests, items) if candidates_given else (None, {})
        ranking = self.policy.rank_for(
            portraits(known),
            context,
            rows,
            slate_size=np.array([query.slate_size for query in queries]),
            temperature=self._temperature[[request.mode for request in requests]],
            seed=np.array([query.seed for query in queries], np.uint64),
            excluded=None if rows is not None else candidates.hidden(requests, [user.seen for user in known], items),
            popularity=self.trend.term(tenant),
        )
        return ranking, unknown

    def _reply(
        self,
        jobs: list[RecommendJob],
        known: Sequence[Known],
        ranking: Ranking,
        unknown: Mapping[int, list[str]],
        served: Counter[tuple[pb.Source, str]],
        *,
        away: bool,
    ) -> list[decisions.Logged]:
        """Builds and sets the reply of each job, and counts its source; returns the decisions to log."""
        items = self._items.encode(ranking)
        joint = ranking.log_propensity.sum(axis=1, dtype=np.float64).tolist()
        logged = []
        for b, (job, user) in enumerate(zip(jobs, known, strict=True)):
            if job.reply.done():  # the caller has gone: nothing was shown, nothing is logged
                continue
            query, source, reason, told = job.request, user.source, user.reason, user.told
            rest = pb.RecommendResponse(log_propensity=joint[b], seed=query.seed)
            if b in unknown:
                try:
                    check_unknown(unknown[b])
                except InvalidFieldError as error:
                    job.reply.set_exception(error)
                    continue
                self._metrics.unknown_items.labels("Recommend").inc(len(unknown[b]))
                rest.unknown_ids.extend(unknown[b])
                if not items[b]:
                    source, reason = pb.SOURCE_BASELINE, UNKNOWN_CANDIDATES
                    told = pb.Adaptation(watermark=user.watermark).SerializeToString()
                    rest.items.extend(_in_order(query, unknown[b]))
            ours = b"".join((rest.SerializeToString(), self._adaptation.encode(source, reason, told), items[b]))
            # Somebody of whom nothing is known as the store is away may well have one already.
            pseudonym = user.pseudonym or (0 if away else self._writer.pseudonym(query.user))
            if query.request.mode == pb.MODE_BASELINE:
                source, reason = pb.SOURCE_BASELINE, ASKED
                shown = self._callers_order(query, ASKED, rest.unknown_ids)
                logged.append(self._send(job, shown, user=pseudonym, apprentice=ours))
            else:
                logged.append(self._send(job, ours, user=pseudonym))
            served[source, reason] += 1
        return logged

    def _send(self, job: RecommendJob, rest: bytes, *, user: int = 0, apprentice: bytes = b"") -> decisions.Logged:
        """Sets a reply, which stands from now on if it has a name, and returns the decision to log.

        Args:
            rest: serialized reply, all but the decision's id.
            user: by which number the log knows them.
            apprentice: in the same way, what would have been shown.
        """
        query = job.request
        sent = under(query.decision_id, rest)
        job.reply.set_result(sent)
        if query.name is not None:
            self._writer.name(query.name, sent)
        name = decisions.logged_id(query.user, query.decision_id)
        entry = decisions.encode(
            time.time_ns() // 1_000_000,
            query.request.SerializeToString(),
            under(name, rest),
            under(name, apprentice) if apprentice else b"",
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

    def _callers_order(self, query: Query, why: str, unknown: Iterable[str] = ()) -> bytes:
        """The reply, but for the decision's id, with the first candidates, in the order in which they came."""
        rest = pb.RecommendResponse(
            seed=query.seed, items=_in_order(query, query.request.candidate_ids), unknown_ids=unknown
        )
        return rest.SerializeToString() + self._adaptation.encode(pb.SOURCE_BASELINE, why, b"")


def _time_left(jobs: list[RecommendJob]) -> float:
    """Seconds until the first caller of a batch gives up."""
    return min(job.deadline for job in jobs) - perf_counter()


def _in_order(query: Query, ids: Iterable[str]) -> list[pb.RankedItem]:
    """A slate of the first candidates, each once, in the caller's own order."""
    barred = set(query.request.excluded_ids)
    shown = [item_id for item_id in dict.fromkeys(ids) if item_id not in barred][: query.slate_size]
    return [pb.RankedItem(item_id=item_id, propensity=1.0) for item_id in shown]
