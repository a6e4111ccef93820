"""Estimators of a policy's value from another policy's log, each a small file: formula, assumption, failure, source.

An estimator is a function of a log to `Contributions`. Here they stand by name: `DECISIONS` of single items,
`SLATES` and `SEQUENCES` of runs. `position_based` is made by `with_examinations`, as it needs a site's examinations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from replay.contributions import Contributions
from replay.estimators.cascade_dr import cascade_dr
from replay.estimators.clipped_ips import clipped_ips
from replay.estimators.dm import dm
from replay.estimators.dr import dr
from replay.estimators.dros import dros
from replay.estimators.fqe import fqe
from replay.estimators.iips import iips
from replay.estimators.ips import ips
from replay.estimators.magic import magic
from replay.estimators.mips import mips
from replay.estimators.on_policy import on_policy
from replay.estimators.per_decision_is import per_decision_is
from replay.estimators.pseudo_inverse import pseudo_inverse
from replay.estimators.replay import replay
from replay.estimators.rips import rips
from replay.estimators.sndr import sndr
from replay.estimators.snips import snips
from replay.estimators.switch_dr import switch_dr
from replay.estimators.weighted_dr import weighted_dr
from replay.logged import Logged, Runs

__all__ = ["DECISIONS", "ESTIMATORS", "SEQUENCES", "SLATES", "Estimator", "estimates", "on_policy"]


class Estimator(NamedTuple):
    """An estimator and what it asks of a log.

    Args:
        run: a log to its contributions.
        needs: fields of `Logged` or `Runs` that it cannot do without, dotted where they lie deeper.
    """

    run: Callable[[Any], Contributions]
    needs: tuple[str, ...] = ()

    def answers(self, log: Logged | Runs) -> bool:
        """Whether the log holds all that is needed."""
        return all(_field(log, each) is not None for each in self.needs)


DECISIONS = {
    "replay": Estimator(replay, ("matched",)),
    "ips": Estimator(ips),
    "clipped_ips": Estimator(clipped_ips),
    "snips": Estimator(snips),
    "dm": Estimator(dm, ("predicted",)),
    "dr": Estimator(dr, ("predicted",)),
    "sndr": Estimator(sndr, ("predicted",)),
    "switch_dr": Estimator(switch_dr, ("predicted",)),
    "dros": Estimator(dros, ("predicted",)),
    "mips": Estimator(mips, ("candidates.kind", "candidates.logging")),
}
SLATES = {
    "iips": Estimator(iips, ("places_logging", "places_target")),
    "rips": Estimator(rips),
    "cascade_dr": Estimator(cascade_dr, ("predicted",)),
    "pseudo_inverse": Estimator(pseudo_inverse, ("places_logging", "places_target")),
}
SEQUENCES = {
    "per_decision_is": Estimator(per_decision_is),
    "weighted_dr": Estimator(weighted_dr, ("predicted",)),
    "magic": Estimator(magic, ("predicted",)),
    "fqe": Estimator(fqe, ("predicted",)),
}
ESTIMATORS = DECISIONS | SLATES | SEQUENCES


def estimates(log: Logged | Runs, which: dict[str, Estimator]) -> dict[str, Contributions]:
    """All of these that the log can answer, by name."""
    return {name: each.run(log) for name, each in which.items() if each.answers(log)}


def _field(log: Any, path: str) -> Any:
    for name in path.split("."):
        log = None if log is None else getattr(log, name)
    return log
