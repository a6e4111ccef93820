"""Meta-training on a game that a child understands: of two buttons one pays, another one in every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta.adapters import ADAPTERS
from meta.checkpoint import load
from meta.errors import InputError
from meta.policy import Policy
from meta.trainer.play import begins, play
from meta.trainer.tasks import Settings, train
from meta.types import FloatArray, IntArray


class Buttons:
    """Three presses an episode; the paying button gives 1 a press and never changes within a task."""

    name, steps, actions, worth = "buttons", 3, 2, 1.0
    scale = np.ones(1, np.float32)

    def __init__(self, tasks: int) -> None:
        self.num_envs = tasks
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """Choose which button pays."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.pays = self._rng.integers(2, size=self.num_envs)
        return self.reset_episode()

    def reset_episode(self) -> tuple[FloatArray, dict[str, Any]]:
        """Three presses more."""
        self.left = self.steps
        return np.ones((self.num_envs, 1)), {}

    def step(self, actions: IntArray, /) -> tuple[FloatArray, FloatArray, Any, Any, dict[str, Any]]:
        """Press."""
        self.left -= 1
        over = np.full(self.num_envs, self.left == 0)
        active = np.ones(self.num_envs, bool)
        return np.ones((self.num_envs, 1)), (actions == self.pays) * 1.0, over, ~active, {"active": active}


QUICK = Settings(iterations=12, updates=12, episodes=3, batch=16, block=3, window=9, history=9, hidden=8, width=4,
                 discount=0.5, epsilon=(0.2, 0.6), rate=1e-2, warm_up=5, likelihood=0.1)  # fmt: skip


def returns(folder: Path, episodes: int) -> FloatArray:
    """Mean return of each episode, greedy, over 200 new tasks."""
    policy = load(folder)
    family = Buttons(200)
    family.reset(seed=99)
    _, earned = play(
        family, policy.params, policy.manifest.spec, QUICK.credit, np.random.default_rng(0),
        episodes=episodes, epsilon=np.zeros((1, 1)), window=QUICK.window,
    )  # fmt: skip
    return earned.mean(0)


def test_one_episode_tells_which_button_pays(tmp_path: Path) -> None:
    """A stranger's three presses earn half of what there is, after one episode nearly all; frozen never learns it."""
    for adapter in ("maml", "frozen"):
        assert 12 == len(list(train(Buttons(32), tmp_path / adapter, adapter=adapter, settings=QUICK)))
    first, second = returns(tmp_path / "maml", 2)
    assert 1.0 < first < 2.0
    assert second > 2.8
    assert 1.0 < returns(tmp_path / "frozen", 2)[1] < 2.0


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_every_adapter_trains_and_its_folder_is_a_policy(adapter: str, tmp_path: Path) -> None:
    """The folder loads with the adapter's name, one catalogue row an action, and the observation as context."""
    quick = Settings(iterations=2, updates=2, batch=4, block=3, window=6, history=6, hidden=8, width=4)
    list(train(Buttons(4), tmp_path / "policy", adapter=adapter, settings=quick))
    policy = Policy.load(tmp_path / "policy")
    assert (adapter, ("action-0", "action-1"), 1) == (policy.spec.adapter, policy.catalogue.ids, policy.spec.context)


def test_the_same_seed_gives_the_same_policy(tmp_path: Path) -> None:
    """Two runs write equal weights, another seed does not."""
    quick = Settings(iterations=2, updates=2, batch=4, block=3, window=6, history=6, hidden=8, width=4)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(train(Buttons(4), tmp_path / name, seed=seed, settings=quick))
    a, b, c = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_an_unknown_adapter_is_refused(tmp_path: Path) -> None:
    """The error lists the names there are."""
    with pytest.raises(InputError, match="adapter must be one of frozen"):
        list(train(Buttons(2), tmp_path, adapter="magic"))


def test_lives_are_cut_where_episodes_begin() -> None:
    """Three episodes of three presses begin at 0, 3 and 6 and end at 9, in a row that has room for more."""
    family = Buttons(2)
    rng = np.random.default_rng(0)
    from meta import q_network
    from meta.spec import Spec
    from meta.trainer.recall import TAU

    spec = Spec(items=2, features=2, slate="graded", context=1)
    params = q_network.init(spec, rng) | {TAU: np.asarray(1.0, np.float32)}
    lived, earned = play(family, params, spec, QUICK.credit, rng, episodes=3, epsilon=np.ones((1, 1)), window=4)
    assert [[0, 3, 6, 9]] * 2 == begins(lived, 3).tolist()
    np.testing.assert_allclose(earned.sum(1), lived.reward.sum(1))
