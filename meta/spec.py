"""The shape of a policy: every hyper-parameter that decides what its arrays look like and what its maths does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Slate = Literal["logit", "independent", "graded"]
Scope = Literal["head", "network"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a checkpoint must state so that another process computes the same numbers.

    Args:
        items: N, size of the catalogue.
        features: F, width of an item's encoded features.
        width: E, floats of the fast vector u.
        hidden: H, width of the session state h.
        tower: hidden units of the item tower; 0 leaves the tower linear.
        item_ids: whether items have a learned embedding of their own beside their features.
        slate: "logit" where users choose among a slate (conditional logit with 'no choice'),
            "independent" where every event is judged alone, chosen or not; "graded" where it is judged alone and its
            reward in 0..1 is how much it was chosen.
        adapter: name of the adapter, a key of `meta.adapters.ADAPTERS`.
        attributes: A, width of encoded user attributes; 0 where there are none.
        context: X, width of an encoded request context, in control tasks of the observation; 0 where there is none.
        steps: inner gradient steps of the gradient adapters.
        scope: what the gradient adapters adapt: the fast vector ("head"), or the session network with it ("network").
        memory: M, width of the recurrent memory of `lstm_memory`.
        order: 1 or 2, order of the meta-gradient (training only).
        history: most events of a user that adaptation sees, newest kept, 1..128.
        neighbours: kept neighbours of an item in the co-occurrence memory; 0 switches it off.
        eras: spans of time that popularity tells apart; 0 switches it off.
        groups: groups of users that popularity tells apart by their attributes; 0 switches it off.
        discount: gamma of the return, in 0..1.
    """

    items: int
    features: int
    width: int = 16
    hidden: int = 32
    tower: int = 0
    item_ids: bool = False
    slate: Slate = "independent"
    adapter: str = "maml"
    attributes: int = 0
    context: int = 0
    steps: int = 1
    scope: Scope = "head"
    memory: int = 24
    order: int = 2
    history: int = 64
    neighbours: int = 0
    eras: int = 0
    groups: int = 0
    discount: float = 0.0

    def __post_init__(self) -> None:
        """Refuses values that no array could have."""
        for name, low, high in (
            ("items", 1, 100_000_000), ("features", 0, 100_000), ("width", 1, 1024), ("hidden", 1, 4096),
            ("tower", 0, 4096), ("attributes", 0, 100_000), ("context", 0, 100_000), ("steps", 0, 64),
            ("memory", 1, 1024), ("order", 1, 2), ("history", 1, 128), ("neighbours", 0, 10_000),
            ("eras", 0, 10_000), ("groups", 0, 10_000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in {low}..{high}, got {value}")
        for name, kinds in (("slate", get_args(Slate)), ("scope", get_args(Scope))):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} must be one of {', '.join(kinds)}, got {getattr(self, name)!r}")
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"discount must be in 0..1, got {self.discount}")
