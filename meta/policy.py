"""The Policy: what serving, simulation and evaluation call. Pure numpy; nothing of a user is kept in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meta import eras, neighbours, q_network
from meta.adapters import named
from meta.arrays import take
from meta.checkpoint import Checkpoint, Manifest, PolicyError, load
from meta.ranking import gumbel_noise, plackett_luce, slate_scores
from meta.state import prefix_ages
from meta.types import Adaptation, Array, BoolArray, Events, FloatArray, IntArray, Ranking

LARGEST = 1e3
"""A fast vector with a larger coordinate has exploded; it would not fit a half float either."""


class Policy:
    """One ranking policy for everybody, and the way to each user's copy of it.

    Every method is pure: the shared parameters are never changed, and a user's copy is what the caller passes in.
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
        self.width = self.spec.width
        _check(checkpoint)
        self._params = checkpoint.params
        self._table = q_network.items(self._params, self.spec, self.catalogue.features)

    @classmethod
    def load(cls, folder: Path) -> Policy:
        """Reads a policy folder; raises PolicyError with one clear sentence."""
        return cls(load(folder))

    def prior(self, users: int) -> FloatArray:
        """The fast vector of somebody unknown, float32 [B, E]."""
        return np.broadcast_to(_half(self._params["prior"]), (users, self.width))

    def adapt(self, events: Events) -> Adaptation:
        """Learns each user's copy from their history [B, T], rounded to the half floats in which copies are kept.

        A copy that is not finite or has exploded is refused: that user's row is the prior.
        """
        support = q_network.gather(self.spec, self._table, events, events.length[:, None])
        with np.errstate(all="ignore"):
            u = _half(np.asarray(named(self.spec.adapter).adapt(self._params, self.spec, support))[:, 0])
            prior = self.prior(events.users)
            before, after = np.asarray(q_network.support_loss(np.stack([prior, u], axis=1), support)).T
            accepted = (np.abs(u) < LARGEST).all(axis=-1) & np.isfinite(after)
        used = support.inside[:, 0].sum(axis=-1).astype(np.int64)
        return Adaptation(np.where(accepted[:, None], u, prior), accepted, before, after, used)

    def rank(
        self,
        u: FloatArray,
        events: Events,
        candidates: IntArray | None,
        *,
        slate_size: IntArray,
        temperature: FloatArray,
        seed: IntArray,
        excluded: IntArray | None = None,
    ) -> Ranking:
        """Ranks candidates for a batch of users with copies of their own.

        Args:
            u: float [B, E], fast vectors.
            events: histories [B, T], for the session state.
            candidates: int [B, C], catalogue rows, -1 where padded; None ranks the whole catalogue.
            slate_size: int [B], 1 or more.
            temperature: float [B], of the Plackett-Luce draw; 0 is the best slate itself.
            seed: uint64 [B], of the draw.
            excluded: int [B, X], rows never to be shown, -1 where padded.
        """
        inside, age = prefix_ages(events, events.length[:, None], self.spec.history)
        belief = q_network.look(self._params, self.spec, self._table, events, inside, age, u[:, None, :])
        v, advantage, rows, valid = self._values(belief, events, inside, candidates)
        if excluded is not None:
            blocked = np.zeros((events.users, self.spec.items + 1), bool)  # the last column takes the padding
            blocked[np.arange(events.users)[:, None], excluded] = True
            blocked[:, -1] = False
            valid = valid & ~(blocked[:, :-1] if candidates is None else take(blocked, rows))
        size = min(int(slate_size.max()), rows.shape[-1])
        scores = self._scores(v, advantage, valid, slate_size)
        noise = gumbel_noise(seed, rows) if (temperature > 0).any() else scores
        position, propensity = plackett_luce(scores, valid, temperature, noise, size)
        shown = (position >= 0) & (np.arange(size) < slate_size[:, None])
        position = np.where(shown, position, 0)

        def pick(x: Array, empty: float) -> Array:
            return np.where(shown, take(x, position), empty)

        return Ranking(
            pick(rows, -1),
            pick(scores, 0.0).astype(np.float32),
            pick(belief.value + advantage, 0.0).astype(np.float32),
            np.where(shown, propensity, 0.0).astype(np.float32),
        )

    def _values(
        self, belief: q_network.Belief, events: Events, inside: FloatArray, candidates: IntArray | None
    ) -> tuple[FloatArray | None, FloatArray, IntArray, BoolArray]:
        """Choice logits (None where no slate model asks for them) and advantages [B, C], rows [B, C], valid [B, C]."""
        table = self._table
        slates = self.spec.slate == "logit"
        scale = np.exp(self._params["advantage.log_scale"])
        if candidates is None:
            rows = np.broadcast_to(np.arange(self.spec.items), (events.users, self.spec.items))
            valid = np.ones(rows.shape, bool)
            advantage = belief.taste_q[:, 0] @ table.e_q.T + table.b_q
            v = belief.taste_v[:, 0] @ table.e_v.T + table.b_v if slates else None
        else:
            valid = candidates >= 0
            rows = np.where(valid, candidates, 0)
            advantage = (table.e_q[rows] @ belief.taste_q[:, 0, :, None])[..., 0] + table.b_q[rows]
            v = (table.e_v[rows] @ belief.taste_v[:, 0, :, None])[..., 0] + table.b_v[rows] if slates else None
        only = None if candidates is None else rows
        if self.spec.neighbours:
            advantage = advantage + neighbours.scores(self._params, self.spec, events, inside[:, 0], only)
        if self.spec.eras:
            advantage = advantage + eras.scores(self._params, events.time_ms.max(axis=-1, initial=0), only)
        return v, scale * advantage, rows, valid

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


def _half(u: FloatArray) -> FloatArray:
    """Rounded to half floats, as float32."""
    return u.astype(np.float16).astype(np.float32)


def _check(checkpoint: Checkpoint) -> None:
    """Compares every parameter with a fresh network of the manifest's spec."""
    spec, features = checkpoint.manifest.spec, checkpoint.catalogue.features
    if features.shape != (spec.items, spec.features):
        raise PolicyError(f"catalogue is {features.shape}, the manifest says {(spec.items, spec.features)}")
    fresh = q_network.init(spec, np.random.default_rng(0)) | (neighbours.init(spec) if spec.neighbours else {})
    fresh |= eras.init(spec) if spec.eras else {}
    expected = {name: value.shape for name, value in fresh.items()}
    for name, shape in expected.items():
        value = checkpoint.params.get(name)
        if value is None:
            raise PolicyError(
                f"weights.safetensors lacks parameter {name}; the folder is of another build, train again"
            )
        if value.shape != shape:
            raise PolicyError(f"parameter {name} must have shape {shape}, got {value.shape}")
        if not np.isfinite(value).all():
            raise PolicyError(f"parameter {name} is not finite; the folder is damaged, restore or train again")
