"""What the worlds of RecSim share: its environments, dealt documents of a catalogue, stepped user by user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.types import BoolArray, FloatArray, IntArray
from simulators import foreign

DISTRIBUTION = "recsim-no-tf==0.2.3"
"""RecSim (Ie et al. 2019) without its agents for TensorFlow."""


class Deck:
    """Stands where RecSim's environment samples documents: deals those that our catalogue offers next.

    RecSim makes new documents at every step. Here they come from a catalogue that RecSim's own sampler drew once, so
    that a policy and a service can know them; a document has the same law either way.

    Args:
        documents: RecSim's, by row of the catalogue.
        count: documents dealt at a time.
    """

    def __init__(self, documents: Sequence[Any], count: int) -> None:
        self._documents = documents
        self.stack(range(count))

    def stack(self, rows: Iterable[int]) -> None:
        """Put the documents of these rows on the deck, the first on top."""
        self._dealt = [self._documents[row] for row in rows][::-1]

    def sample_document(self) -> Any:
        """Deal the next document."""
        return self._dealt.pop()

    def update_state(self, documents: Sequence[Any], responses: Sequence[Any]) -> None:
        """RecSim lets documents change when they were shown; those of its own environments do not."""


class RecSim(foreign.ForeignWorld):
    """Users of a RecSim environment, each in a `SingleUserEnvironment` of their own.

    User model, choice model and step are the package's. It draws choices from numpy's global generator, which is lent
    for the time of a step (`foreign.Luck`), and users from a sampler that is made anew at every reset. Its users step
    one at a time, about .2 ms each: a world to be judged in more than to be trained in.

    Args:
        users, steps, candidates, slate_size: as in `Slates`.
        catalogue: what can be seen of the documents.
        documents: RecSim's, by row; `doc_id` is the row.
        model: makes a user model.
        sampler: makes a sampler of users; takes `seed`.
        reward: RecSim's, from the responses to a slate.
        rng: of what belongs to the world and not to its users.
    """

    def __init__(
        self,
        users: int,
        steps: int,
        candidates: int,
        slate_size: int,
        catalogue: Catalogue,
        documents: Sequence[Any],
        model: Callable[[], Any],
        sampler: Callable[..., Any],
        reward: Callable[[Sequence[Any]], float],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(users, steps, candidates, slate_size, catalogue, rng)
        environment = foreign.load("recsim.simulator.environment", DISTRIBUTION).SingleUserEnvironment
        self._sampler, self._reward = sampler, reward
        self._decks = [Deck(documents, candidates) for _ in range(users)]
        self._environments = [environment(model(), deck, candidates, slate_size) for deck in self._decks]
        self._luck = foreign.Luck(0)

    @property
    def users(self) -> list[Any]:
        """Hidden from policies: RecSim's state of each user."""
        return [environment.user_model._user_state for environment in self._environments]

    def _meet(self, rng: np.random.Generator) -> None:
        sampler, luck = rng.integers(2**32, size=2).tolist()
        drawn = self._sampler(seed=sampler)
        self._luck = foreign.Luck(luck)
        self._offer = self._offers.draw(self.num_envs, rng)
        with self._luck:
            for environment, deck, rows in zip(self._environments, self._decks, self._offer.tolist(), strict=True):
                environment.user_model._user_sampler = drawn  # the constructors of user models take no sampler
                deck.stack(rows)
                environment.reset()

    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        shown = (self._offer[:, None] == slate[:, :, None]).argmax(-1).tolist()
        self._offer = self._offers.draw(self.num_envs, rng)
        users = zip(self._environments, self._decks, shown, self._offer.tolist(), strict=True)
        with self._luck:
            choice, reward = zip(*(self._ask(*user) for user in users), strict=True)
        return np.array(choice), np.array(reward)

    def _ask(self, environment: Any, deck: Deck, positions: list[int], upcoming: list[int]) -> tuple[int, float]:
        """One user's chosen slate position and reward."""
        if environment.user_model.is_terminal():  # has left before
            return -1, 0.0
        deck.stack(upcoming)
        distinct = list(dict.fromkeys(positions))
        responses = environment.step(distinct)[2]
        clicked = [at for at, response in zip(distinct, responses, strict=True) if response.clicked]
        return positions.index(clicked[0]) if clicked else -1, self._reward(responses)

    def _leaves(self, choice: IntArray) -> BoolArray:
        return np.array([environment.user_model.is_terminal() for environment in self._environments])

    def _observe(self) -> dict[str, Any]:
        return {"candidates": self._offer}
