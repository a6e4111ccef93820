"""Learns the population behind a log: which item pleases whom, from what everybody liked. The room's only use of torch.

A user u likes item i of a catalogue with chance

    p(i | u) = e^(x_u·y_i + b_i) / sum_j e^(x_u·y_j + b_j),

a conditional logit (McFadden 1974) of low-rank tastes, x and y normal a priori (as in probabilistic matrix
factorisation, Salakhutdinov & Mnih 2008; our likelihood is that of a choice from the whole catalogue). In a conditional
logit it does not matter what else is on offer, so the same logits tell what a user picks from a slate. b has no prior:
at the optimum every item's expected likes are those of the log. Likes that are held out decide how narrow the prior is.
"""

from __future__ import annotations

import numpy as np
import torch

from meta.catalogue import Catalogue
from meta.dataset import Interactions
from meta.errors import InputError
from meta.types import FloatArray, IntArray
from simulators.population import Population
from simulators.ranges import counts, not_negative

PRECISIONS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Of the prior, that are tried."""
HELD = 0.1
"""Share of what each user liked that decides between them."""
STEPS = 100
"""Most steps of a search; on MovieLens about 60 are enough."""
SMALLEST = 20
"""Users and items below which there is no population to speak of."""


def fit(
    log: Interactions,
    catalogue: Catalogue,
    *,
    width: int = 8,
    least: int = 5,
    most_users: int = 2_000,
    most_items: int = 5_000,
    fit_seed: int = 0,
) -> Population:
    """Learn the population behind a log; an event is a like where its reward is above 0.

    Args:
        log, catalogue: as `meta.dataset` reads them.
        width: E, floats of a taste (count).
        least: likes that a user needs to take part, and an item among these users (count).
        most_users: users that take part, drawn at random where there are more (count).
        most_items: items that take part, the most liked ones (count).
        fit_seed: draws users, the likes that are held out, and where searches start.

    Raises:
        InputError: an argument is out of its range, or the log has too few likes.
    """
    counts(width=width, least=least, most_users=most_users, most_items=most_items)
    not_negative(fit_seed=fit_seed)
    rng = np.random.default_rng(fit_seed)
    users, items = _part(log, len(catalogue), least, most_users, most_items, rng)
    inside = np.flatnonzero(np.isin(log.user, users) & np.isin(log.item, items))
    user, item = np.searchsorted(users, log.user[inside]), np.searchsorted(items, log.item[inside])
    reward = log.reward[inside].astype(np.float64)
    likes = reward > 0
    liked = np.zeros((len(users), len(items)))
    np.add.at(liked, (user[likes], item[likes]), 1.0)
    start = 0.1 * rng.standard_normal((len(users) + len(items), width))
    precision, gain = _precision(liked, start, rng)
    taste, place, bias = optimum(liked, start, precision)
    shown = (taste[user] * place[item]).sum(1) + bias[item]
    worth = _worth(item[likes], reward[likes], len(items))
    nothing = no_choice(shown, float(likes.mean()))
    return Population(log.name, catalogue, items, taste, place, bias, worth, nothing, gain)


def optimum(liked: FloatArray, start: FloatArray, precision: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Most likely x [U, E], y [N, E] and b [N] of likes [U, N], searched from `start` [U + N, E] by L-BFGS."""
    counted = torch.from_numpy(liked.astype(np.float32))
    parts = start[: len(liked)], start[len(liked) :], _popularity(liked)
    x, y, b = (torch.tensor(part, dtype=torch.float32, requires_grad=True) for part in parts)
    search = torch.optim.LBFGS([x, y, b], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-5)

    def loss() -> torch.Tensor:
        search.zero_grad()
        logits = x @ y.T + b
        surprise = (counted.sum(1) * torch.logsumexp(logits, 1)).sum() - (counted * logits).sum()
        nats: torch.Tensor = (surprise + 0.5 * precision * ((x**2).sum() + (y**2).sum())) / counted.sum()
        nats.backward()  # type: ignore[no-untyped-call]  # torch's stubs leave it untyped
        return nats

    search.step(loss)  # type: ignore[no-untyped-call]  # as above
    taste, place, bias = (part.detach().numpy().astype(np.float64) for part in (x, y, b))
    return taste, place, bias - bias.mean()


def no_choice(shown: FloatArray, share: float) -> float | None:
    """Logit c of choosing nothing: the mean of e^a / (e^a + e^c) over what was shown, by its logits a, is `share`."""
    if share == 1.0:
        return None
    low, high = float(shown.min()) - 50.0, float(shown.max()) + 50.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (1.0 / (1.0 + np.exp(middle - shown))).mean() > share else (low, middle)
    return middle


def _part(
    log: Interactions, items: int, least: int, most_users: int, most_items: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Rows of the users and of the items that take part, in ascending order."""
    likes = log.reward > 0
    users = np.flatnonzero(np.bincount(log.user[likes], minlength=len(log.users)) >= least)
    users = np.sort(rng.permutation(users)[:most_users])
    theirs = likes & np.isin(log.user, users)
    count = np.bincount(log.item[theirs], minlength=items)
    best = np.argsort(-count, kind="stable")[:most_items]
    rows: IntArray = np.sort(best[count[best] >= least])
    kept: IntArray = np.unique(log.user[theirs & np.isin(log.item, rows)])
    if len(kept) < SMALLEST or len(rows) < SMALLEST:
        raise InputError(
            f"a population needs at least {SMALLEST} users and items with {least} likes, got {len(kept)} users and "
            f"{len(rows)} items; give a longer log or a smaller `least`"
        )
    return kept, rows


def _precision(liked: FloatArray, start: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """The precision that foretells best what is held out, and the nats a like that it gains over popularity."""
    held = rng.binomial(liked.astype(np.int64), HELD)
    rest = liked - held

    def surprise(logits: FloatArray) -> float:
        peak = logits.max(1, keepdims=True)
        chances = logits - peak - np.log(np.exp(logits - peak).sum(1, keepdims=True))
        return -float((held * chances).sum() / held.sum())

    plain = surprise(np.broadcast_to(_popularity(rest), liked.shape))
    found = {}
    for precision in PRECISIONS:
        x, y, b = optimum(rest, start, precision)
        found[precision] = surprise(x @ y.T + b)
    best = min(PRECISIONS, key=found.__getitem__)
    return best, plain - found[best]


def _popularity(liked: FloatArray) -> FloatArray:
    """Logits [N] of an item's share of all likes."""
    logits = np.log(liked.sum(0) + 0.5)
    centred: FloatArray = logits - logits.mean()
    return centred


def _worth(item: IntArray, reward: FloatArray, items: int, prior: float = 5.0) -> FloatArray:
    """Mean reward [N] of each item's likes, with `prior` likes of the mean of all beside them."""
    total = np.bincount(item, reward, items) + prior * reward.mean()
    worth: FloatArray = total / (np.bincount(item, minlength=items) + prior)
    return worth
