"""Popularity as one version of the policy reads it."""

from __future__ import annotations

from collections.abc import Iterable

from meta.policy import Policy
from meta.types import FloatArray
from service.access.tenants import NOBODY
from service.decay import Decay


class Trend:
    """What is popular with the users of each tenant, in the units of one policy.

    Args:
        policy: says which half-lives it reads; without any, it follows nothing.
        tenants: whose counts are read from the start.
    """

    def __init__(self, policy: Policy, tenants: Iterable[str]) -> None:
        self.policy = policy
        self.decays = [Decay.near(half_life) for half_life in policy.half_lives_ms]
        self.terms: dict[str, FloatArray | None] = dict.fromkeys(tenants)

    def counted_for(self, tenant: str) -> str:
        """The tenant by whose likes these requests are ranked; one for all where likes are not counted."""
        return tenant if self.decays else NOBODY

    def term(self, tenant: str) -> FloatArray | None:
        """float32 [N], what the policy adds to the advantages of a tenant's requests now; None until counts were read.

        A tenant who asks is one whose counts are read from then on.
        """
        return self.terms.setdefault(tenant, None)
