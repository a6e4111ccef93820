"""The two controls: copies that never leave the prior, with and without a view of the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.adapters.port import HeadScope, Support, prior
from meta.spec import Spec
from meta.types import Array, FloatArray, Params


@dataclass(frozen=True, slots=True)
class Prior(HeadScope):
    """u = u0, whatever the user did.

    Args:
        name: "frozen" sees nothing of the user's history; "session" sees it in h(s), the history-feature DQN
            without adaptation.
        sees_session: whether h(s) sees the history.
    """

    name: str
    sees_session: bool

    @property
    def learns_as(self) -> str:
        """As itself."""
        return self.name

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Nothing to learn."""
        return {}

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The prior, whatever the support."""
        return prior(support)
