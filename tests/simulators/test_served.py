"""A served policy on trial: through gRPC it shows what it shows in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from meta import q_network
from meta.checkpoint import Manifest, save
from meta.errors import InputError
from meta.policy import Policy
from meta.spec import Spec
from meta.types import FloatArray, IntArray
from service.access.credentials import of_caller
from service.access.scopes import Scope
from service.client import Client
from service.client.crowd import Crowd
from simulators import trial
from simulators.agents.policy import PolicyAgent
from simulators.agents.port import Agent
from simulators.agents.served import ServedAgent
from simulators.interest_exploration import InterestExploration
from simulators.run import run
from simulators.verdict import FLOORS, Bars
from tests.service.certificates import authority, signed
from tests.service.support import Server, start_server
from tests.service.test_access import key


def world(users: int = 12) -> InterestExploration:
    """Few users, items and steps."""
    return InterestExploration(users, steps=6, num_items=200, candidates=8)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of the world's items with drawn weights, large enough that clicks move copies, and draws of its own."""
    catalogue = world().catalogue()
    spec = Spec(items=len(catalogue), features=catalogue.features.shape[1], width=8, hidden=8, adapter="maml")
    params = q_network.init(spec, np.random.default_rng(3))
    folder = tmp_path_factory.mktemp("served") / "policy"
    save(folder, Manifest(spec, temperature=0.3), params, catalogue)
    return folder


@pytest.fixture(scope="module")
def server(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It serves that policy."""
    running = start_server(policy, tmp_path_factory.mktemp("data"))
    yield running
    assert 0 == running.stop()


class Watched:
    """An agent whose slates are kept."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self.name = agent, agent.name
        self.slates: list[IntArray] = []
        self.begin, self.act = agent.begin, agent.act

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Keep the slate."""
        self.slates.append(slate)
        self._agent.see(slate, choice, reward)


def test_the_service_shows_what_the_policy_shows_in_process(policy: Path, server: Server) -> None:
    """Slate by slate and reward by reward, with copies of the users' own from the second step on."""
    inside = Watched(PolicyAgent(Policy.load(policy)))
    expected = run(world(), inside, 5)
    with Crowd(server.target, "twins", in_flight=5) as crowd:
        through = Watched(ServedAgent(crowd))
        np.testing.assert_array_equal(expected, run(world(), through, 5))
        np.testing.assert_array_equal(inside.slates, through.slates)
        assert (72, 144, 60) == (crowd.calls, crowd.events, crowd.reasons[""])


def test_a_crowd_that_leaves_is_erased(server: Server) -> None:
    """Nothing is kept of users of a trial that is over."""
    with Crowd(server.target, "erased") as crowd:
        run(world(2), ServedAgent(crowd), 0)

    async def still_there() -> bool:
        async with Client(server.target) as client:
            return await client.delete_user("erased-0-0")

    assert not asyncio.run(still_there())


def test_a_trial_puts_the_service_first_and_the_policy_beside_it(policy: Path, server: Server) -> None:
    """What the service showed is judged, and no bar but those of `FLOORS` was asked for."""
    with Crowd(server.target, "trial") as crowd:
        found = trial.hold(world(), [policy], crowd, [1], Bars(), lambda line: None)
    served, inside = found.earned[:2]
    assert ("served", "maml", "frozen") == tuple(each.agent for each in found.earned[:3])
    np.testing.assert_array_equal(inside.reward, served.reward)
    assert ("served", [f"worse than {name}" for name in FLOORS]) == (
        found.verdict.agent,
        [bar.fault for bar in found.verdict.bars],
    )


def test_a_guarded_service_is_judged_by_who_may(policy: Path, tmp_path: Path) -> None:
    """Over TLS that the crowd trusts, with a token of both scopes; with one that may only read, nothing is recorded."""
    root = authority(tmp_path, "root")
    pair = signed(tmp_path, "server", root)
    tokens, scopes = tmp_path / "tokens", (Scope.READ, Scope.WRITE)
    both, reader = key(tokens, "", *scopes), key(tokens, "", Scope.READ)
    guarded = start_server(
        policy,
        tmp_path / "data",
        ACCESS_TOKENS=str(tokens),
        TLS_CERTIFICATE=str(pair.certificate),
        TLS_KEY=str(pair.key),
    )
    trust = of_caller(root.certificate)
    with Crowd(guarded.target, "known", token=both, credentials=trust) as crowd:
        run(world(2), ServedAgent(crowd), 0)
        assert (12, 24) == (crowd.calls, crowd.events)
    with (
        pytest.raises(InputError, match="RecordEvents asks for scope write; the token has read"),
        Crowd(guarded.target, "reader", token=reader, credentials=trust) as crowd,
    ):
        run(world(2), ServedAgent(crowd), 0)
    assert 0 == guarded.stop()


def test_a_service_of_other_items_is_refused(server: Server) -> None:
    """It would show something, but not what is judged."""
    with Crowd(server.target, "others") as crowd, pytest.raises(InputError, match="must know the items on offer"):
        run(InterestExploration(3, num_items=400), ServedAgent(crowd), 0)


def test_two_adapters_are_not_one_recipe(policy: Path, tmp_path: Path) -> None:
    """Trainings that are judged together are of one adapter."""
    loaded = Policy.load(policy)
    spec = Spec(items=200, features=9, width=8, hidden=8, adapter="session")
    params = q_network.init(spec, np.random.default_rng(0))
    save(tmp_path / "session", Manifest(spec), params, loaded.catalogue)
    with pytest.raises(InputError, match="must have one adapter, got maml, session"):
        trial.hold(world(), [policy, tmp_path / "session"], None, [1], Bars(), lambda line: None)


def test_recovery_is_not_asked_where_no_taste_changes(policy: Path) -> None:
    """It is refused before anybody acts."""
    told: list[str] = []
    with pytest.raises(InputError, match="those of interest_exploration do not"):
        trial.hold(world(), [policy], None, [1], Bars(recovery=0.5), told.append)
    assert [] == told


def test_nobody_at_the_target_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the address and how to start a service."""
    monkeypatch.setattr("service.client.crowd.CONNECT_S", 0.2)
    with (
        pytest.raises(InputError, match=r"no service answers at 127.0.0.1:1 .*quickstudy serve"),
        Crowd("127.0.0.1:1", "x"),
    ):
        pass
