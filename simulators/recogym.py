"""The world `recogym`: visitors of a shop view pages and sometimes click on an advertisement (RecoGym's package)."""

from __future__ import annotations

import sys
from copy import copy
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from simulators import foreign
from simulators.ranges import counts, not_negative, shares, within
from simulators.slates import OneUser
from simulators.variants import Variant

DISTRIBUTION = "recogym==0.1.3.0"
MODULE = "recogym.envs.reco_env_v1"
CERTAIN = 30.0
"""Logit of a page view: the user looks at the page whatever is recommended."""
GONE = 2
"""The package's state of a user who has left (`stop`)."""
SHOPPERS = 1_000
"""Visitors whose first views tell which products are popular."""


class RecoGym(foreign.ForeignWorld):
    """Visitors of a shop, by RecoGym's own `RecoEnv1`.

    ## Description
    RecoGym of Rohde et al. 2018 ("RecoGym: A Reinforcement Learning Environment for the problem of Product
    Recommendation in Online Advertising"), version 1, in the package's own code. A user, of hidden interests omega,
    is either in the shop, where they view pages of products (organic events: softmax(Gamma omega + mu)), or elsewhere,
    where they are shown the advertisement of one product and click on it or not (bandit events: a rate of about 2% that
    grows with beta omega + mu). A click leads back into the shop; omega moves a little with every page. Without flips
    beta is Gamma: what a user views is what they click on. `number_of_flips` swaps advertisements of similar products,
    so that views mislead whoever takes them at their word.

    Both kinds of events are steps, so that a policy's history holds them in order, as `RecordEvents` would bring them.
    A product's page and its advertisement are two items of the catalogue, because viewing and clicking are two
    behaviours. Where an advertisement is due, all of them are on offer and one is shown, a slate of size 1. Where the
    user looks at a page, that page is all there is on offer, so it is shown and chosen whatever the policy does. It
    earns next to nothing: a history tells choices by their positive rewards. By default users never leave: whether they
    do does not depend on what is shown.
    Users step in a Python loop: for judging rather than for training.

    ## Action Space
    `MultiDiscrete([num_products])` a user: a position among the candidates.

    ## Observation Space
    `Dict` a user; `RecoGymEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | min | max | unit |
    |---|---|---|---|---|---|
    | candidates | 0..num_products-1 | row in `catalogue()`; where a page is viewed, only that | 0 | 2P - 1 | row |
    | features | [candidate, 0..P-1] | the advertisement of this product | 0 | 1 | one-hot |
    | features | [candidate, P..2P-1] | the page of this product | 0 | 1 | one-hot |
    | features | [candidate, 2P] | log(1 + views of the product by other visitors), 1 for the most viewed | 0 | 1 | - |

    P is `num_products`. Interests are hidden.

    ## Rewards
    1 for a click on an advertisement, `view_reward` for a page view, else 0. The click rate (CTR) is the sum of clicks
    over the steps in which advertisements were due (`browsing` is false), about three in four of all.
    `info["choice"]` is 0 for a click and for a page view, else -1.

    ## Starting State
    A new visitor in the shop: the first steps are page views.

    ## Episode End
    Terminated where a user leaves, and for all users after `steps` steps. Never truncated.

    ## Arguments
    * `users`: users in the batch (count).
    * `steps`: length of an episode, page views included (steps).
    * `num_products`: P, products (count).
    * `number_of_flips`: pairs of similar products whose advertisements are swapped (count, at most P / 2); a product
      that finds no similar one stays, and counts as a pair.
    * `factors`: width of omega (count); the package's K.
    * `sigma_omega_initial`, `sigma_omega`: spread of interests at first, and of their step with each page (logits).
    * `sigma_mu_organic`: spread of the products' popularity (logits).
    * `prob_organic_to_bandit`, `prob_bandit_to_organic`: chance to leave the shop after a page, and to come back after
      an advertisement (0..1).
    * `prob_leave`: chance to leave for good after a page or an advertisement (0..1); .01 in the package.
    * `view_reward`: what a page view earns, above 0 to be remembered as a choice (reward).
    * `random_seed`: of the products, as the package draws them.

    ## Version History
    * v0: recogym 0.1.3.0.
    """

    name = "recogym"

    def __init__(
        self,
        users: int = 1,
        *,
        steps: int = 100,
        num_products: int = 50,
        number_of_flips: int = 0,
        factors: int = 5,
        sigma_omega_initial: float = 1.0,
        sigma_omega: float = 0.1,
        sigma_mu_organic: float = 3.0,
        prob_organic_to_bandit: float = 0.25,
        prob_bandit_to_organic: float = 0.05,
        prob_leave: float = 0.0,
        view_reward: float = 1e-6,
        random_seed: int = 42,
    ) -> None:
        counts(num_products=num_products, factors=factors)
        within(0, num_products // 2, number_of_flips=number_of_flips)
        not_negative(
            sigma_omega_initial=sigma_omega_initial, sigma_omega=sigma_omega, sigma_mu_organic=sigma_mu_organic
        )
        shares(prob_leave=prob_leave, view_reward=view_reward)
        within(0.01, 1.0 - prob_leave, prob_organic_to_bandit=prob_organic_to_bandit)
        within(0.0, 1.0 - prob_leave, prob_bandit_to_organic=prob_bandit_to_organic)
        foreign.seeds(random_seed=random_seed)
        package = self.load()
        self.shop = package.RecoEnv1()
        self.shop.init_gym(
            package.env_1_args
            | {
                "num_products": num_products,
                "number_of_flips": number_of_flips,
                "K": factors,
                "sigma_omega_initial": sigma_omega_initial,
                "sigma_omega": sigma_omega,
                "sigma_mu_organic": sigma_mu_organic,
                "prob_organic_to_bandit": prob_organic_to_bandit,
                "prob_bandit_to_organic": prob_bandit_to_organic,
                "prob_leave_organic": prob_leave,  # after advertisements too: the package reads no other
                "random_seed": random_seed,
            }
        )
        kinds = [f"{kind}-{i:03d}" for kind in ("ad", "page") for i in range(num_products)]
        popular = np.tile(_popularity(self.shop, num_products), 2)
        features = np.concatenate([np.eye(2 * num_products), popular[:, None]], 1)
        catalogue = Catalogue.from_features(kinds, features, [*kinds, "popularity"])
        super().__init__(users, steps, num_products, 1, catalogue, np.random.default_rng(random_seed))
        self.view_reward = view_reward
        self._visitors: list[Any] = []
        self._unseen: list[list[int]] = []

    @classmethod
    def load(cls) -> Any:
        """Import RecoGym's environments without its agents, which want a scipy of their time."""
        return foreign.load(MODULE, DISTRIBUTION, _without_agents())

    @property
    def browsing(self) -> BoolArray:
        """Who [B] is looking at a page in this step, instead of an advertisement."""
        return np.array([bool(pages) for pages in self._unseen])

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the logit [B, n] of a click now on the items in `rows` [B, n], `CERTAIN` for pages."""
        omega = np.stack([visitor.omega[:, 0] for visitor in self._visitors])
        state = omega @ self.shop.beta.T + self.shop.mu_bandit[:, 0]
        rate = self.load().ff(state.ravel()).reshape(state.shape)
        logit = np.concatenate([np.log(rate / (1.0 - rate)), np.full_like(rate, CERTAIN)], 1)
        return np.take_along_axis(logit, rows, 1)

    def worth(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: 1 for advertisements, `view_reward` for pages, [B, n]."""
        return np.where(rows < self.candidates, 1.0, self.view_reward)

    def _meet(self, rng: np.random.Generator) -> None:
        seeds = rng.integers(2**32, size=self.num_envs).tolist()
        self._visitors = [_visitor(self.shop, seed) for seed in seeds]
        self._unseen = [_views(visitor.step(None)) for visitor in self._visitors]

    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        viewing, users = self.browsing, zip(self._visitors, self._unseen, slate[:, 0].tolist(), strict=True)
        chosen = np.array([_act(*user) for user in users])
        return np.where(chosen, 0, -1), chosen * np.where(viewing, self.view_reward, 1.0)

    def _leaves(self, choice: IntArray) -> BoolArray:
        gone = np.array([visitor.state == GONE for visitor in self._visitors])
        return gone & ~self.browsing

    def _observe(self) -> dict[str, Any]:
        page = np.array([self.candidates + pages[0] if pages else -1 for pages in self._unseen], np.int32)[:, None]
        self._offer = np.where(page >= 0, page, np.arange(self.candidates, dtype=np.int32))
        return {"candidates": self._offer}


class RecoGymEnv(OneUser):
    """One user of `RecoGym`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(RecoGym, **arguments)


FLIPS = Variant("recogym_flips", RecoGym, {"number_of_flips": 25})
"""Nearly every product's advertisement is swapped with that of a similar one: views mislead."""


def _visitor(shop: Any, seed: int) -> Any:
    """A new user of the same shop, with a generator and a clock of their own."""
    visitor = copy(shop)
    visitor.time_generator = copy(shop.time_generator)
    visitor.rng = np.random.RandomState(seed)
    visitor.reset()
    return visitor


def _views(told: tuple[Any, ...]) -> list[int]:
    """The pages viewed by then, from what the package's `step` returns."""
    return [int(view["v"]) for view in told[0].sessions()]


def _act(visitor: Any, unseen: list[int], shown: int) -> bool:
    """What one user does: looks at the next page, or clicks on the advertisement; false where they did not."""
    if unseen:
        unseen.pop(0)
        return True
    if visitor.state == GONE:
        return False
    told = visitor.step(shown)
    unseen += _views(told)
    return bool(told[1])


def _popularity(shop: Any, products: int) -> FloatArray:
    """log(1 + views) [P] of the first views of other visitors, over that of the most viewed product."""
    seeds = np.random.default_rng(shop.config.random_seed).integers(2**32, size=SHOPPERS).tolist()
    views = np.concatenate([_views(_visitor(shop, seed).step(None)) for seed in seeds])
    counts = np.log1p(np.bincount(views, minlength=products))
    popularity: FloatArray = counts / counts.max()
    return popularity


def _without_agents() -> dict[str, ModuleType]:
    """Modules that stand for the package itself, which imports its agents, and for these."""
    if MODULE in sys.modules:
        return {}
    found = find_spec("recogym")
    if found is None:
        raise InputError(foreign.missing(MODULE, "recogym", DISTRIBUTION))
    package, agents = ModuleType("recogym"), ModuleType("recogym.agents")
    package.__spec__, package.__path__ = found, list(found.submodule_search_locations or [])
    vars(agents)["Agent"] = object
    return {"recogym": package, "recogym.agents": agents}
