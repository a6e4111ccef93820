"""`interest_exploration` against the package whose law it restates."""

import numpy as np
import pytest

from meta.types import FloatArray, IntArray
from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent
from simulators.agents.quality import Quality
from simulators.agents.random import Random
from simulators.interest_exploration import InterestExploration
from simulators.recsim_exploration import RecSimInterestExploration
from simulators.run import run
from tests.simulators.packages import needs

pytestmark = needs("recsim_interest_exploration")


def with_users_of(package: RecSimInterestExploration, slate_size: int) -> InterestExploration:
    """Our world with the users and the documents that the package has drawn."""
    ours = InterestExploration(package.num_envs, slate_size=slate_size, num_items=len(package.topic))
    ours.documents = package.catalogue().features
    ours._topic = package.topic
    ours.affinity = np.stack([user.topic_affinity for user in package.users])
    return ours


def chances_by_the_package(package: RecSimInterestExploration, slate: IntArray) -> FloatArray:
    """What RecSim's own choice model says of slates [B, K]: [B, K]."""
    chances = []
    for environment, rows in zip(package._environments, slate.tolist(), strict=True):
        model = environment.user_model
        shown = [environment._document_sampler._documents[row].create_observation() for row in rows]
        model.choice_model.score_documents(model._user_state, shown)
        chances.append(
            model.choice_model.scores / (model.choice_model.scores.sum() + model.choice_model.score_no_click)
        )
    return np.array(chances)


@pytest.mark.parametrize("slate_size", [1, 2, 5])
def test_step_probabilities_are_those_of_the_package(slate_size: int) -> None:
    """For 300 users and ten slates each, every chance of a click is the package's to 1e-6."""
    package = RecSimInterestExploration(300, slate_size=slate_size, num_items=1_000)
    package.reset(seed=0)
    ours = with_users_of(package, slate_size)
    rng = np.random.default_rng(1)
    for _ in range(10):
        slate = np.argsort(rng.random((300, 1_000)), 1)[:, :slate_size]
        np.testing.assert_allclose(chances_by_the_package(package, slate), ours.chances(slate), atol=1e-6, rtol=0)


def test_the_adapter_tells_oracles_what_the_package_scores() -> None:
    """The appeal of an offer is `score_document` of the package's users."""
    package = RecSimInterestExploration(20)
    rows = package.reset(seed=2)[0]["candidates"]
    expected = [
        [environment.user_model._user_state.score_document(document) for document in offered.values()]
        for environment in package._environments
        for offered in [environment._current_documents]
    ]
    np.testing.assert_allclose(expected, package.appeal(rows))


@pytest.mark.parametrize("agent", [Random(), Quality(), Oracle()], ids=lambda agent: agent.name)
def test_click_rates_of_the_same_policy_agree(agent: Agent) -> None:
    """Over 500 users each, the click rates of one policy differ by less than the 95% interval of their difference."""
    ours = run(InterestExploration(500), agent, 3).mean(1)
    package = run(RecSimInterestExploration(500), agent, 4).mean(1)
    error = np.sqrt((ours.var(ddof=1) + package.var(ddof=1)) / 500)
    np.testing.assert_allclose(package.mean(), ours.mean(), atol=1.96 * error, rtol=0)


def test_affinities_and_documents_have_the_same_law() -> None:
    """Mean and spread of log affinity, own and other, and of log quality, and shares of topics agree in 4 errors."""
    package = RecSimInterestExploration(2_000)
    package.reset(seed=5)
    log = np.log(np.stack([user.topic_affinity for user in package.users]))
    own = log > 0.75
    assert [1] * 2_000 == own.sum(1).tolist()
    quality, share = np.log(package.quality), np.bincount(package.topic) / 10_000
    found = [log[own].mean(), log[~own].mean(), log[own].std(), log[~own].std(), quality.mean(), quality.std()]
    np.testing.assert_allclose([1.4, 0.1, 0.1, 0.1, 0.5, 0.1], found, atol=4 * 0.1 / 2_000**0.5)
    np.testing.assert_allclose(np.full(8, 0.125), own.mean(0), atol=4 * (0.11 / 2_000) ** 0.5)
    np.testing.assert_allclose(np.full(8, 0.125), share, atol=4 * (0.11 / 10_000) ** 0.5)
