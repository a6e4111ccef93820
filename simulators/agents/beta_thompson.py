"""Thompson sampling by user over topics: the heuristic that needs no training and knows how to explore."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class BetaThompson:
    """A Beta posterior of the click rate of each topic for each user (Thompson 1933; Chapelle & Li 2011).

    An item is ranked by a draw from its topic's posterior times its quality. A slate is one trial of each topic in it;
    counting every item without a click against its topic does worse, as only one can be clicked. Features
    must be a topic one-hot and then the quality.

    Args:
        clicks, misses: the prior, in clicks and in trials without one; 1 and 4 were the best of five pairs tried.
    """

    name = "beta thompson"

    def __init__(self, clicks: float = 1.0, misses: float = 4.0) -> None:
        self._clicks, self._misses = clicks, misses

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Give every user the prior."""
        self._features = world.catalogue().features
        self._size = world.slate_size
        self._rng = np.random.default_rng(seed)
        shape = (world.num_envs, self._features.shape[1] - 1)
        self._won, self._lost = np.full(shape, self._clicks), np.full(shape, self._misses)

    def act(self, rows: IntArray) -> IntArray:
        """Show the best of one draw."""
        rate = self._rng.beta(self._won, self._lost)
        features = self._features[rows]
        slate: IntArray = top(np.einsum("bcf,bf->bc", features[..., :-1], rate) * features[..., -1], self._size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Count clicks and trials without one by topic."""
        topics = self._features[slate][..., :-1]
        clicked = (np.arange(slate.shape[1]) == choice[:, None])[..., None]
        won = (topics * clicked).sum(1)
        self._won += won
        self._lost += topics.max(1) - won


def topical(catalogue: Catalogue) -> bool:
    """Whether features are a topic one-hot and then the quality, as this agent reads them."""
    names = [column.name for column in catalogue.columns]
    return names == [*(f"topic_{j}" for j in range(catalogue.features.shape[1] - 1)), "quality"]
