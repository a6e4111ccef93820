"""The fair peers: every family tuned on validation users, raw and blended with popularity and popularity by time.

Settings of the family, prior, form and weight of the blend are chosen by mean NDCG@10 over all k on validation users.
The family's settings are judged raw and blended with popularity; the best few of them also with popularity by time, and
where something is known of users with popularity by their attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from benchmarks.peers import sasrec as sequential
from benchmarks.peers.blends import FORMS, PRIORS, Fit, blend, raw, standard
from benchmarks.peers.ease import ease
from benchmarks.peers.group import Group
from benchmarks.peers.ials import ials
from benchmarks.peers.item_knn import item_knn
from benchmarks.peers.item_mean import item_and_user, item_mean
from benchmarks.peers.melu import melu
from benchmarks.peers.popularity import chance, popularity
from meta.coldstart import Queries, Scorer, by_scores, curve
from meta.types import Context, Events, FloatArray

Join = Callable[[Scorer, Scorer], Scorer]
"""A peer's scorer and a prior's -> the scorer that is ranked by."""
FAMILIES: dict[str, dict[str, Fit]] = {
    "shrunk item mean": {f"shrink {s}": partial(item_mean, shrink=s) for s in (5.0, 20.0, 100.0, 400.0)},
    "item + user offset": {
        f"shrink {s} and {u}": partial(item_and_user, shrink=s, shrink_user=u)
        for s, u in product((5.0, 20.0, 100.0, 400.0), (5.0,))
    },
    "item-kNN": {
        f"keep {k}, shrink {s}": partial(item_knn, keep=k, shrink=s) for k, s in product((50, 100, 200), (0.0, 50.0))
    },
    "EASE": {f"penalty {p}": partial(ease, penalty=p) for p in (200.0, 400.0, 800.0, 1600.0)},
    "iALS": {
        f"{f} factors, penalty {p}, alpha {a}": partial(ials, factors=f, penalty=p, alpha=a)
        for f, p, a in product((8, 32), (10.0, 30.0), (1.0, 5.0))
    },
    "SASRec": {
        f"{'likes' if likes else 'all events'}, {epochs} epochs": partial(
            sequential.sasrec, likes_only=likes, epochs=epochs, n_factors=64, lr=1e-3, dropout_rate=0.3
        )
        for likes, epochs in ((True, 6), (True, 12), (False, 6))
    },
    "MeLU": {
        f"inner rate {rate}, {steps} steps": partial(melu, inner_rate=rate, inner_steps=steps)
        for rate, steps in ((0.1, 1), (0.5, 1), (0.1, 3))
    },
}
NEED_LIKES = ("item-kNN", "EASE", "iALS", "SASRec")
"""Those that know nothing of a user without a like; raw, they show what is popular then."""
FINALISTS = 2
"""Settings of a family that are also blended with popularity by time."""
MOST = 300
"""Validation users that peers are tuned on at most; the first by index, which is no order of theirs."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tuned peer.

    Args:
        name: in tables.
        chosen: the settings, "" where there are none.
        validation: NDCG@10 on validation users, mean over k.
        build: fits it with those settings.
    """

    name: str
    chosen: str
    validation: float
    build: Fit


def families() -> dict[str, dict[str, Fit]]:
    """Those that can run here."""
    return {name: fits for name, fits in FAMILIES.items() if name not in missing()}


def missing() -> dict[str, str]:
    """Why a family cannot run here, by its name."""
    return {} if sequential.available() else {"SASRec": "no environment with rectools: make peers-env"}


def tuned(group: Group, validation: Queries) -> Iterator[Peer]:
    """Tune every peer, the priors themselves among them.

    Args:
        group: training users.
        validation: users on whom settings are chosen.
    """
    asked = validation.first(MOST)
    yield Peer("random", "", 0.0, chance)
    yield Peer("popularity", "", _mean(popularity(group), asked), popularity)
    kinds = {name: fits for name, fits in PRIORS.items() if "attributes" not in name or group.attributes.shape[1]}
    priors = {name: {how: _remember(standard(fit(group))) for how, fit in fits.items()} for name, fits in kinds.items()}
    for name, scorers in priors.items():
        if name != "popularity":
            tried = [Peer(name, how, _mean(scorer, asked), PRIORS[name][how]) for how, scorer in scorers.items()]
            yield max(tried, key=_quality)
    for name, settings in families().items():
        yield from _family(name, settings, group, priors, asked)


def _family(
    name: str, settings: dict[str, Fit], group: Group, priors: dict[str, dict[str, Scorer]], asked: Queries
) -> Iterator[Peer]:
    """The family raw, and blended with each kind of prior."""
    fallen_back = raw if name in NEED_LIKES else _alone
    plain = _remember(popularity(group))
    scorers = {chosen: _remember(fit(group)) for chosen, fit in settings.items()}
    yield max(
        (
            Peer(
                name,
                chosen,
                _mean(fallen_back(scorer, plain), asked),
                partial(_raw, fit=settings[chosen], fallen_back=fallen_back),
            )
            for chosen, scorer in scorers.items()
        ),
        key=_quality,
    )
    formed = {
        (chosen, form): _remember(FORMS[form][0](scorer)) for (chosen, scorer), form in product(scorers.items(), FORMS)
    }
    finalists = list(settings)
    for prior, ways in priors.items():
        tried = [
            Peer(
                f"{name} + {prior}",
                f"{chosen}; {how}; {weight:g} {form}",
                _mean(blend(formed[chosen, form], before, weight=weight), asked),
                partial(_blended, fit=settings[chosen], prior=PRIORS[prior][how], form=form, weight=weight),
            )
            for chosen, (how, before) in product(finalists, ways.items())
            for form, (_, weights) in FORMS.items()
            for weight in weights
        ]
        tried.sort(key=_quality, reverse=True)
        finalists = list(dict.fromkeys(peer.chosen.split("; ")[0] for peer in tried))[:FINALISTS]
        yield tried[0]


def _quality(peer: Peer) -> float:
    return peer.validation


def _raw(group: Group, fit: Fit, fallen_back: Join) -> Scorer:
    return fallen_back(fit(group), popularity(group))


def _alone(scorer: Scorer, prior: Scorer) -> Scorer:
    return scorer


def _blended(group: Group, fit: Fit, prior: Fit, form: str, weight: float) -> Scorer:
    return blend(FORMS[form][0](fit(group)), standard(prior(group)), weight=weight)


def _remember(scorer: Scorer) -> Scorer:
    """The same scores for the same users, each support length scored once."""
    known: dict[int, FloatArray] = {}

    def score(events: Events, context: Context) -> FloatArray:
        k = int(events.length.max())
        if k not in known:
            known[k] = scorer(events, context).astype(np.float32)
        return known[k]

    return score


def _mean(scorer: Scorer, asked: Queries) -> float:
    return float(curve(by_scores(scorer), asked).ndcg.mean())
