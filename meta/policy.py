"""The Policy: what serving, simulation and evaluation call. Pure numpy; nothing of a user is kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy as shallow_copy
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from meta import eras, gate, groups, neighbours, q_network
from meta.adapters import Streaming, Support, named
from meta.adapters.port import logits
from meta.arrays import clip, take
from meta.assortment import Assortment, Change
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest, PolicyError, load
from meta.choice import losses
from meta.leading import Names, slate
from meta.ranking import gumbel_noise, plackett_luce, slate_scores
from meta.scoring import HELD, Asked, Portraits, Whole, of_all, of_rows, portraits
from meta.spec import Spec
from meta.state import prefix_ages
from meta.types import Adaptation, Array, BoolArray, Context, Events, FloatArray, IntArray, Ranking


class Policy:
    """One ranking policy for everybody, and the way to each user's copy of it.

    Every method but `offer` is pure: the shared parameters are never changed, and a user's copy is what the caller
    passes in.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Checks the parameters' names and shapes and runs the item towers once.

        Raises:
            PolicyError: a parameter is missing, of another shape, or not finite.
        """
        self.manifest: Manifest = checkpoint.manifest
        self.version = checkpoint.version
        self.catalogue = checkpoint.catalogue
        self.spec = checkpoint.manifest.spec
        self._adapter = named(self.spec.adapter)
        self.streams = self._adapter.streams
        _check(checkpoint)
        settled = self._adapter.settle(checkpoint.params, self.spec)
        # numpy's scalars, too, as arrays: in small products they cost half
        self._params = {name: np.asarray(value) for name, value in settled.items()}
        self._near = neighbours.Neighbourhoods.pack(self._params) if self.spec.neighbours else None
        self._nobody = self._start(np.zeros((1, self.spec.attributes), np.float32))
        self.width = self._nobody.shape[1]
        self._lay_out()

    @classmethod
    def load(cls, folder: Path) -> Policy:
        """Reads a policy folder; raises PolicyError with one clear sentence."""
        return cls(load(folder))

    def among(self, catalogue: Catalogue) -> Policy:
        """The same policy, ranking other items that are known by the same features.

        Raises:
            PolicyError: these items have other features, or the policy knows its own items one by one.
        """
        if catalogue.fingerprint == self.catalogue.fingerprint:
            return self
        if catalogue.columns != self.catalogue.columns:
            named, given = (", ".join(column.name for column in x.columns) for x in (self.catalogue, catalogue))
            raise PolicyError(f"the policy reads the item features {named}, these items have {given}; train it on them")
        if self.spec.item_ids or self.spec.neighbours or self.spec.eras or self.spec.groups:
            raise PolicyError("the policy has learnt its items one by one and cannot rank others; train it on them")
        other = shallow_copy(self)
        other.catalogue, other.spec = catalogue, replace(self.spec, items=len(catalogue))
        other.manifest = replace(self.manifest, spec=other.spec)
        other._lay_out()
        return other

    def assortment(self, changes: Mapping[str, Change]) -> Assortment:
        """The policy's own items after all changes since it was made, by item id; `offer` puts it in place."""
        return self.items.changed(self._params, self.spec, changes)

    def offer(self, items: Assortment) -> None:
        """Ranks these items from now on. What is under way goes on with those that it began with."""
        self.items = items

    def nothing_known(self, events: Events) -> Context:
        """The context of requests of which nothing is known."""
        return q_network.nothing_known(events, self.spec)

    def prior(self, users: int, attributes: FloatArray | None = None) -> FloatArray:
        """The copy of somebody without events, float32 [B, Z].

        Args:
            users: B.
            attributes: float [B, A], encoded attributes; None: nothing is known.
        """
        if attributes is None or not self.spec.attributes:
            return self._nobody.repeat(users, axis=0)
        return self._start(attributes)

    def adapt(self, events: Events, attributes: FloatArray | None = None) -> Adaptation:
        """Learns each user's copy from their history [B, T], in the precision in which copies are kept.

        A copy that is not finite, has exploded, or would have predicted the user's newest decisions clearly worse than
        the prior (`gate`) is refused: that user's row is the prior.

        Args:
            events: histories [B, T].
            attributes: as in `prior`.
        """
        with np.errstate(all="ignore"):
            if attributes is None:
                attributes = np.zeros((events.users, self.spec.attributes), np.float32)
            copy, prior, support = self._copies(events, events.length[:, None], attributes)
            newest = gate.newest(support)
            # losses under prior and copy, decisions and events: of the whole history, and of its newest decisions
            told = [self._losses(prior, copy, support), support.seen.share[:, None], support.inside]
            summed = np.concat(told, axis=1) @ np.concat([support.inside, newest[:, None]], axis=1).mT
            summed[:, 3] *= support.events.slate or 1
            verdict = gate.sound(copy).view(np.int8)
            worse = summed[:, 0, 1] < summed[:, 1, 1]
            if worse.any() and (doubtful := worse & (events.length >= gate.LEAST) & (verdict == gate.ACCEPTED)).any():
                some = np.flatnonzero(doubtful)
                misled = self._misled(events.map(lambda x: x[some]), newest[some], attributes[some])
                verdict[some[misled]] = gate.MISLED
        copy = np.where((verdict == gate.ACCEPTED)[:, None], copy, prior)
        before, after, decisions, used = summed[:, :, 0].T
        decisions = clip(decisions, 1.0, None)
        return Adaptation(copy, verdict, before / decisions, after / decisions, used.astype(np.int64))

    def advance(self, adapted: Adaptation, events: Events, fresh: BoolArray) -> Adaptation:
        """Carries copies on by new events: the copies that `adapt` gives, at O(1) an event. Losses are not looked at.

        Args:
            adapted: copies of the histories before these events, from a streaming adapter (`streams`).
            events: histories [B, T], the new events included.
            fresh: bool [B, T], true for the events that are not in the copy yet; nothing older than they are is.
        """
        if not self.streams:
            raise TypeError(f"the copies of {self._adapter.name} cannot be carried on; adapt anew")
        events = events.apart()
        start, first = _window(events, fresh)
        tail = events.since(start)
        fresh = fresh[:, start:] & tail.mask
        news = q_network.gather_new(self._params, self.spec, self.items.table, tail, fresh, first - start)
        with np.errstate(all="ignore"):
            copy = np.asarray(cast("Streaming", self._adapter).advance(self._params, self.spec, adapted.copy, news))
        verdict = np.where(gate.sound(copy), adapted.verdict, gate.UNSOUND)
        copy = np.where((verdict == gate.ACCEPTED)[:, None], copy, self._nobody)
        used = adapted.events_used + fresh.sum(1)
        return Adaptation(copy, verdict, adapted.loss_before, adapted.loss_after, used)

    @property
    def half_lives_ms(self) -> tuple[float, ...]:
        """Half-lives, ms, by which `popularity` wants likes to fade; none where it follows no time."""
        return eras.half_lives(self._params) if self.spec.eras else ()

    def popularity(self, counts: FloatArray, now_ms: int) -> FloatArray:
        """What popularity adds to the advantages of requests of now, float32 [N].

        Args:
            counts: float [H, N], likes counted live, faded by each of `half_lives_ms`.
            now_ms: ms since 1970.
        """
        return eras.live(self._params, counts, now_ms)

    def rank(
        self,
        copy: FloatArray,
        events: Events,
        candidates: IntArray | None,
        *,
        slate_size: IntArray,
        temperature: FloatArray,
        seed: IntArray,
        excluded: IntArray | None = None,
        context: Context | None = None,
        popularity: FloatArray | None = None,
    ) -> Ranking:
        """Ranks candidates for a batch of users with copies of their own.

        Args:
            copy: float [B, Z], from `adapt` or `prior`.
            events: histories [B, T], for the session state.
            candidates: int [B, C], catalogue rows, -1 where padded; None ranks the whole catalogue.
            slate_size: int [B], 1 or more.
            temperature: float [B], of the Plackett-Luce draw; 0 is the best slate itself.
            seed: uint64 [B], of the draw.
            excluded: int [B, X], rows never to be shown, -1 where padded.
            context: who asks, in which context, and when; None: nothing is known.
            popularity: float [N], from `popularity` lately; None: as the log knew it at the time of the request.

        Raises:
            ArithmeticError: rewards are so large that a history cannot be summed up.
        """
        context = context or self.nothing_known(events)
        return self.rank_for(
            self.portray(copy, events, context),
            context,
            candidates,
            slate_size=slate_size,
            temperature=temperature,
            seed=seed,
            excluded=excluded,
            popularity=popularity,
        )

    def portray(self, copy: FloatArray, events: Events, context: Context) -> Portraits:
        """What `rank` makes of the users before candidates come into play; arguments as there.

        Raises:
            ArithmeticError: rewards are so large that a history cannot be summed up.
        """
        if self.spec.neighbours or self.spec.groups:  # these look at events one by one
            events = events.apart()
        inside, age = prefix_ages(events, events.length[:, None], self.spec.history)
        belief = q_network.look(
            self._params, self.spec, self.items.table, events, inside, age, copy[:, None, :], context
        )
        if not np.isfinite(belief.taste_q).all():
            raise ArithmeticError("what is believed of a user is not finite; rewards are out of all range")
        return portraits(self._params, self._near, self.items, belief, events, inside[:, 0])

    def rank_for(
        self,
        users: Portraits,
        context: Context,
        candidates: IntArray | None,
        *,
        slate_size: IntArray,
        temperature: FloatArray,
        seed: IntArray,
        excluded: IntArray | None = None,
        popularity: FloatArray | None = None,
    ) -> Ranking:
        """As `rank`, for users of whom portraits are at hand."""
        asked = Asked(users, context, popularity)
        if candidates is None:
            return self._rank_all(self.items, asked, slate_size, temperature, seed, excluded)
        value, advantage, scores, rows, valid = self._look(candidates, asked, slate_size, excluded)
        size = min(int(slate_size.max()), rows.shape[-1])
        noise = gumbel_noise(seed, self.items.names(rows)) if (temperature > 0).any() else scores
        position, propensity = plackett_luce(scores, valid, temperature, noise, size)
        shown = (position >= 0) & (np.arange(size) < slate_size[:, None])
        position = np.where(shown, position, 0)

        def pick(x: Array, empty: float) -> Array:
            return np.where(shown, take(x, position), empty)

        return Ranking(
            pick(rows, -1),
            pick(scores, 0.0).astype(np.float32),
            pick(value + advantage, 0.0).astype(np.float32),
            np.where(shown, propensity, 0.0).astype(np.float32),
        )

    def _rank_all(
        self,
        items: Assortment,
        asked: Asked,
        slate_size: IntArray,
        temperature: FloatArray,
        seed: IntArray,
        excluded: IntArray | None,
    ) -> Ranking:
        """As `rank`, among all items: so many users at a time as `HELD` allows."""
        users, width = len(slate_size), len(items)
        size = min(int(slate_size.max()), width)
        ranking = Ranking(np.full((users, size), -1), *(np.zeros((users, size), np.float32) for _ in range(3)))
        names = Names(len(items.catalogue), items.late_names)
        together = max(1, HELD // width)
        for start in range(0, users, together):
            part = slice(start, min(start + together, users))
            odds, advantage = of_all(self._params, self.spec, self._whole, items, asked.some(part))
            advantage[:, items.hidden] = -np.inf
            for b in range(part.start, part.stop):
                mine = advantage[b - start]
                if excluded is not None:
                    mine[excluded[b][excluded[b] >= 0]] = -np.inf
                k, t = min(int(slate_size[b]), width), float(temperature[b])
                rows, scores, propensity = slate(
                    None if odds is None else odds[b - start], mine, k, t, int(seed[b]), names
                )
                k = len(rows)
                ranking.row[b, :k], ranking.score[b, :k], ranking.log_propensity[b, :k] = rows, scores, propensity
                ranking.q_value[b, :k] = asked.users.value[b, 0] + mine[rows]
        return ranking

    def weigh(
        self,
        copy: FloatArray,
        events: Events,
        candidates: IntArray | None,
        *,
        slate_size: IntArray,
        excluded: IntArray | None = None,
        context: Context | None = None,
        popularity: FloatArray | None = None,
    ) -> tuple[FloatArray, BoolArray]:
        """What `rank` would draw by, without a draw: scores [B, C] and what may be shown [B, C]; arguments as there."""
        context = context or self.nothing_known(events)
        asked = Asked(self.portray(copy, events, context), context, popularity)
        if candidates is None:
            everything = np.arange(len(self.items))
            everything[self.items.hidden] = -1
            candidates = np.broadcast_to(everything, (events.users, len(everything)))
        _, _, scores, _, valid = self._look(candidates, asked, slate_size, excluded)
        return scores, valid

    def _lay_out(self) -> None:
        """Runs the item towers over the catalogue."""
        table = q_network.items(self._params, self.spec, self.catalogue.features)
        self.items, self._whole = Assortment(self.catalogue, table), Whole.of(table, self.spec)

    def _look(
        self, candidates: IntArray, asked: Asked, slate_size: IntArray, excluded: IntArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, BoolArray]:
        """State values [B, 1], then advantages, scores, rows and what may be shown, all [B, C]."""
        valid = candidates >= 0
        rows = np.where(valid, candidates, 0)
        v, advantage = of_rows(self._params, self.spec, self.items, asked, rows)
        if excluded is not None:
            blocked = np.zeros((len(rows), len(self.items) + 1), bool)  # the last column takes the padding
            blocked[np.arange(len(rows))[:, None], excluded] = True
            blocked[:, -1] = False
            valid = valid & ~take(blocked, rows)
        return asked.users.value, advantage, self._scores(v, advantage, valid, slate_size), rows, valid

    def _start(self, attributes: FloatArray) -> FloatArray:
        """The copies [B, Z] of users without events."""
        u0 = q_network.prior(self._params, self.spec, attributes)
        return self._kept(np.asarray(self._adapter.start(self._params, self.spec, u0))[:, 0])

    def _kept(self, copy: FloatArray) -> FloatArray:
        """As it is stored: rounded to half floats, but for a state that is carried on."""
        return copy.astype(np.float32) if self.streams else copy.astype(np.float16).astype(np.float32)

    def _copies(
        self, events: Events, prefix: IntArray, attributes: FloatArray
    ) -> tuple[FloatArray, FloatArray, Support]:
        """Copies [B, Z] after a prefix [B, 1] of each history, priors [B, Z], and what the copies are learnt from."""
        support = q_network.gather(self._params, self.spec, self.items.table, events, prefix, attributes)
        copy = np.asarray(self._adapter.adapt(self._params, self.spec, support))[:, 0]
        return self._kept(copy), self.prior(len(copy), attributes), support

    def _losses(self, prior: FloatArray, copy: FloatArray, support: Support) -> FloatArray:
        """Choice losses by event [B, 2, T] under priors and copies, both [B, Z]."""
        both = np.concat([prior[:, None], copy[:, None]], axis=1)
        fast = self._adapter.fast(self._params, self.spec, both, support.prior)
        return np.asarray(losses(logits(fast, support), support.seen))

    def _misled(self, events: Events, held: FloatArray, attributes: FloatArray) -> BoolArray:
        """Where the events held out [B, T] are predicted clearly worse by what came before them than by the prior."""
        copy, prior, support = self._copies(events, gate.before(events), attributes)
        by_event = self._losses(prior, copy, support)
        return gate.worse(held * (by_event[:, 0] - by_event[:, 1]), support.seen)

    def _scores(
        self, v: FloatArray | None, advantage: FloatArray, valid: BoolArray, slate_size: IntArray
    ) -> FloatArray:
        """What a draw ranks by: the share of the best slate's value, or the advantage where items are judged alone."""
        if v is None:
            return advantage
        scores = np.empty_like(advantage)
        for size in np.unique(slate_size):  # nearly always one size a batch
            of = slate_size == size
            scores[of] = slate_scores(v[of], advantage[of], valid[of], min(int(size), valid.shape[-1]))
        return scores


def _window(events: Events, fresh: BoolArray) -> tuple[int, int]:
    """Where to read histories from, one event ahead of the slates of the first fresh events, and where those are."""
    ahead: BoolArray = np.asarray(fresh.any(0))
    first = start = int(ahead.argmax()) if ahead.size else 0
    while start and (events.group[:, start - 1] == events.group[:, start]).any():
        start -= 1
    return max(0, start - 1), first


def _check(checkpoint: Checkpoint) -> None:
    """Compares every parameter with a fresh network of the manifest's spec."""
    spec, features = checkpoint.manifest.spec, checkpoint.catalogue.features
    if features.shape != (spec.items, spec.features):
        raise PolicyError(f"catalogue is {features.shape}, the manifest says {(spec.items, spec.features)}")
    for name, shape in _shapes(spec).items():
        value = checkpoint.params.get(name)
        if value is None:
            raise PolicyError(
                f"weights.safetensors lacks parameter {name}; the folder is of another build, train again"
            )
        if value.shape != shape:
            raise PolicyError(f"parameter {name} must have shape {shape}, got {value.shape}")
        if not np.isfinite(value).all():
            raise PolicyError(f"parameter {name} is not finite; the folder is damaged, restore or train again")


def _shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Of every parameter, from networks of one item and of two: to draw one for all items would take seconds."""

    def of(items: int) -> dict[str, tuple[int, ...]]:
        some = replace(spec, items=items)
        fresh = q_network.init(some, np.random.default_rng(0))
        for part, memory in ((neighbours, spec.neighbours), (eras, spec.eras), (groups, spec.groups)):
            fresh |= part.init(some) if memory else {}
        return {name: value.shape for name, value in fresh.items()}

    one, two = of(1), of(2)
    return {
        name: tuple(a + (b - a) * (spec.items - 1) for a, b in zip(one[name], two[name], strict=True)) for name in one
    }
