"""The world `recsim_interest_evolution`: what users watch changes what they like (RecSim's own package)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray
from simulators import foreign
from simulators.ranges import counts, finite, within
from simulators.recsim import DISTRIBUTION, RecSim
from simulators.slates import OneUser


class RecSimInterestEvolution(RecSim):
    """RecSim's interest evolution with the user hidden, by the package itself.

    ## Description
    Interest evolution of Ie et al. 2019 (SlateQ, section 6), in the package's own code: `IEvUserModel` with a
    multinomial proportional choice, in a `SingleUserEnvironment` a user. A video is of one of 20 topics, a user has an
    interest in -1..1 in each, and picks video i from a slate in proportion to interest + 1, nothing in proportion to
    `no_click_mass` + 1. A watched topic draws the interest in it nearer or drives it away, by chance, the sooner nearer
    the higher it was. Watching takes the user's time; videos of good quality give most of it back, poor ones take more.
    The package shows the user's interests to the agent; here they are hidden, as in life.
    The package makes new videos at each step; here its `UtilityModelVideoSampler` draws a catalogue once, and offers
    come from that, uniformly without replacement. Users step in a Python loop: for judging rather than for training.

    ## Action Space
    `MultiDiscrete([candidates] * slate_size)` a user: positions among the candidates, first shown first. A position
    given twice shows its video once.

    ## Observation Space
    `Dict` a user; `RecSimInterestEvolutionEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | min | max | unit |
    |---|---|---|---|---|---|
    | candidates | 0..candidates-1 | row of the video in `catalogue()` | 0 | num_items - 1 | row |
    | features | [candidate, 0..19] | the video is of this topic | 0 | 1 | one-hot |

    Interests, time budget and the quality of videos are hidden (topics are in order of their mean quality).

    ## Rewards
    The time watched (`clicked_watchtime_reward`) over the length of a video, 0..1. Reward a step is the figure to
    compare: the sum over a whole session is nearly the same whatever is shown, as watching uses up the time.
    `info["choice"]` is the position of the video watched, -1 without one.

    ## Starting State
    A user of the package's `UtilityModelUserSampler`: interests uniform in -1..1, 200 minutes; the first candidates.

    ## Episode End
    Terminated where a user's time is used up, and for all users after `steps` steps. Never truncated. Nobody who is
    shown random or favourite topics uses up the time in 40 steps, half of them do in 80.

    ## Arguments
    * `users`: users in the batch (count).
    * `steps`: length of an episode (steps).
    * `candidates`, `slate_size`, `num_items`: videos on offer each step, shown each step, in the catalogue (count).
    * `video_length`: length of each video (minutes).
    * `min_utility`, `max_utility`: mean quality of the first and of the last topic (minutes a minute, before scaling).
    * `no_click_mass`: interest in watching nothing (as an interest in -1..1).
    * `catalogue_seed`: seed of the video sampler and of what else belongs to the world.

    ## Version History
    * v0: recsim-no-tf 0.2.3.
    """

    name = "recsim_interest_evolution"

    def __init__(
        self,
        users: int = 1,
        *,
        steps: int = 40,
        candidates: int = 10,
        slate_size: int = 2,
        num_items: int = 10_000,
        video_length: float = 4.0,
        min_utility: float = -3.0,
        max_utility: float = 3.0,
        no_click_mass: float = 1.0,
        catalogue_seed: int = 0,
    ) -> None:
        counts(num_items=num_items)
        within(0.01, 1_000.0, video_length=video_length)
        finite(min_utility=min_utility, max_utility=max_utility)
        within(-1.0, 1_000.0, no_click_mass=no_click_mass)
        foreign.seeds(catalogue_seed=catalogue_seed)
        iev = self.load()
        choice_model = foreign.load("recsim.choice_model", DISTRIBUTION)
        maker = iev.UtilityModelVideoSampler(
            min_utility=min_utility, max_utility=max_utility, video_length=video_length, seed=catalogue_seed
        )
        documents = [maker.sample_document() for _ in range(num_items)]
        features = np.stack([document.features for document in documents])
        names = [f"topic_{j}" for j in range(features.shape[1])]
        super().__init__(
            users,
            steps,
            candidates,
            slate_size,
            Catalogue.from_features([f"video-{i:06d}" for i in range(num_items)], features, names),
            documents=documents,
            model=lambda: iev.IEvUserModel(
                slate_size,
                choice_model_ctor=choice_model.MultinomialProportionalChoiceModel,
                no_click_mass=no_click_mass,
            ),
            sampler=partial(iev.UtilityModelUserSampler, no_click_mass=no_click_mass),
            reward=partial(_share_watched, iev.clicked_watchtime_reward, video_length),
            rng=np.random.default_rng(catalogue_seed),
        )
        self.topic = features.argmax(1)
        self.no_choice = float(np.log(no_click_mass + 1.0))

    @classmethod
    def load(cls) -> Any:
        """Import RecSim's interest evolution."""
        return foreign.load("recsim.environments.interest_evolution", DISTRIBUTION)

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: log(interest + 1) of each user now in the videos in `rows` [B, n]."""
        interests = np.stack([user.user_interests for user in self.users])
        weight = np.take_along_axis(interests, self.topic[rows], 1) + 1.0
        logit: FloatArray = np.log(np.maximum(weight, np.finfo(float).tiny))
        return logit


class RecSimInterestEvolutionEnv(OneUser):
    """One user of `RecSimInterestEvolution`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(RecSimInterestEvolution, **arguments)


def _share_watched(minutes: Any, length: float, responses: Sequence[Any]) -> float:
    """What was watched, in videos."""
    return float(minutes(responses)) / length
