"""One adapted copy a user against the recommenders one would otherwise deploy, for users never seen in training.

`run` deals the users out into splits, in which every user is judged once. In each it trains every adapter, tunes the
peers on the same validation users and then, as with ours, refits them with these. `judge` compares one policy, on its
own held-out users.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.coldstart_tables import TIMELESS, claims, tables
from benchmarks.peers.group import Group
from benchmarks.peers.popularity import popularity
from benchmarks.peers.tuning import missing, tuned
from benchmarks.report import RESULTS, write
from meta.adapters import ADAPTERS, named
from meta.catalogue import Catalogue
from meta.checkpoint import git_revision
from meta.coldstart import KS, Curve, by_policy, by_scores, curve, queries
from meta.dataset import DataError, Interactions, read, read_movielens
from meta.exposure import exposure
from meta.policy import Policy
from meta.tasks import sequences, split_users
from meta.types import IntArray

SEED, FOLDS = 601, 6
"""Seed and number of the user splits of the published table; no setting was chosen on them."""
DEFAULT = "maml"
WORKERS = 2
"""Processes at once, each of one thread."""
PEERS = "peers"
"""The job that tunes and judges the peers, beside one for each adapter."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a log is read from: a MovieLens folder, or interactions with items and, where they are known, users."""

    movielens: Path | None = None
    interactions: Path | None = None
    items: Path | None = None
    users: Path | None = None

    def read(self) -> tuple[Interactions, Catalogue]:
        """The log and its items; DataError with one clear sentence."""
        if self.movielens is not None:
            return read_movielens(self.movielens)
        if self.interactions is None or self.items is None:
            raise DataError("a log is given by --movielens, or by --interactions and --items")
        return read(self.interactions, self.items, self.users)

    def command(self) -> str:
        """The options that name it."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return " ".join(f"--{name} {path.name}" for name, path in given if path is not None)


@dataclass(frozen=True, slots=True)
class Part:
    """What one job found.

    Args:
        users: int [B], who was judged.
        curves: by name of the ranker.
        exposure: by name, what it exposes at the first and the last k.
        chosen: by name of a peer, its settings.
        seconds: CPU time of training, 0 for peers.
        megabytes: largest resident memory of the process.
    """

    users: IntArray
    curves: dict[str, Curve]
    exposure: dict[str, dict[str, dict[str, float]]]
    chosen: dict[str, str]
    seconds: float = 0.0
    megabytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """One ranker, or all peers, on one split."""

    source: Source
    seed: int
    folds: int
    fold: int
    what: str


def run(
    source: Source,
    out: Path = RESULTS / "coldstart.json",
    *,
    seed: int = SEED,
    folds: int = FOLDS,
    adapters: Sequence[str] = (),
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train and compare on every split, write the pooled tables with their claims, and return them.

    Args:
        source: the log.
        out: the JSON file.
        seed: deals the users out.
        folds: number of splits.
        adapters: keys of `meta.adapters.ADAPTERS` to train beside the default one; empty: all of them.
        tell: takes a line of progress.
    """
    log, _ = source.read()
    names = list(dict.fromkeys([DEFAULT, *(adapters or ADAPTERS)]))
    for name in names:
        named(name)
    jobs = [Job(source, seed, folds, fold, what) for what in (PEERS, *names, TIMELESS) for fold in range(folds)]
    found: dict[tuple[str, int], Part] = {}
    start = time.monotonic()
    for name, why in missing().items():
        tell(f"without the peer {name}: {why}")
    for job, part in _work(jobs):
        found[job.what, job.fold] = part
        own = ", ".join(f"{name} {each.ndcg.mean():.3f}" for name, each in list(part.curves.items())[-1:])
        tell(f"{len(found)}/{len(jobs)} {job.what}, split {job.fold + 1}: {own}; {time.monotonic() - start:.0f} s")
    order = [*names, PEERS, TIMELESS]
    parts = {name: pooled for what in order for name, pooled in _pool([found[what, f] for f in range(folds)]).items()}
    users = np.concatenate([found[PEERS, fold].users for fold in range(folds)])
    cost = {
        name: {
            "seconds": max(found[name, fold].seconds for fold in range(folds)),
            "megabytes": max(found[name, fold].megabytes for fold in range(folds)),
        }
        for name in names
    }
    shown = {
        name: [found[what, fold].exposure[name] for fold in range(folds)]
        for what in order
        for name in found[what, 0].exposure
    }
    told = tables(names, users, parts, shown)
    return write(
        out,
        command=f"quickstudy bench coldstart {source.command()} --folds {folds} --seed {seed}",
        rows=told.pop("rows"),
        claims=claims(DEFAULT, told, users, parts, cost),
        log=log.name,
        seed=seed,
        folds=folds,
        users=len(users),
        training=cost,
        peers=[found[PEERS, fold].chosen for fold in range(folds)],
        missing=missing(),
        **told,
    )


def judge(policy: Path, log: Interactions, catalogue: Catalogue, *, peers: bool) -> dict[str, Any]:
    """Compare one policy with popularity, or with every tuned peer, on the users that its manifest holds out.

    Raises:
        DataError: the policy was trained on another log, so its held-out users are not known here.
    """
    loaded = Policy.load(policy)
    own = _of_policy(loaded, loaded.spec.adapter, log, catalogue)
    others = _of_peers(log, catalogue, loaded.manifest.trained_on["split"], peers=peers)
    return {
        "users": len(own.users),
        "peers": others.chosen,
        **tables(
            [loaded.spec.adapter],
            own.users,
            own.curves | others.curves,
            {name: [one] for name, one in (own.exposure | others.exposure).items()},
        ),
    }


def _work(jobs: Sequence[Job]) -> Iterator[tuple[Job, Part]]:
    """Every job in a process of its own, so that its memory is its own; as they end."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, fresh, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(_do, job): job for job in jobs}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _do(job: Job) -> Part:
    """Train and judge one ranker, or all peers."""
    import torch

    from meta.trainer import logs

    torch.set_num_threads(1)
    log, catalogue = job.source.read()
    how = logs.Settings(test=1 / job.folds, fold=job.fold)
    if job.what == PEERS:
        split = {"seed": job.seed, "validation": how.validation, "test": how.test, "fold": how.fold}
        return _of_peers(log, catalogue, split, peers=True)
    adapter, how = (DEFAULT, replace(how, eras=0)) if job.what == TIMELESS else (job.what, how)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        for _ in logs.train(
            log, catalogue, Path(folder), adapter=adapter, seed=job.seed, settings=how, git_revision=git_revision()
        ):
            pass
        seconds = time.process_time() - start
        part = _of_policy(Policy.load(Path(folder)), job.what, log, catalogue)
    return replace(part, seconds=seconds, megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _of_policy(policy: Policy, name: str, log: Interactions, catalogue: Catalogue) -> Part:
    """Judge a policy on the held-out users of its manifest."""
    about = policy.manifest.trained_on
    if about.get("fingerprint") != log.fingerprint or policy.catalogue.ids != catalogue.ids:
        raise DataError(
            f"the policy was trained on {about.get('name', 'another kind of data')} (fingerprint "
            f"{about.get('fingerprint', 'none')}), not on {log.name} ({log.fingerprint}): who it never saw is unknown"
        )
    for noun, told, known in (
        ("user", log.attributes, policy.manifest.attributes),
        ("context", log.context, policy.manifest.context),
    ):
        if known and (told is None or told.columns != known):
            names = ", ".join(column.name for column in known)
            raise DataError(f"the policy knows the {noun} columns {names}; judge it on the tables it was trained on")
    events = sequences(log, len(catalogue))
    split = split_users(len(log.users), **about["split"])
    asked = queries(events, split.test)
    if not len(asked.users):
        raise DataError(f"none of the {len(split.test)} held-out users likes an item after 20 events")
    result = curve(by_policy(policy), asked)
    likes = Group(events, np.concatenate([split.train, split.validation]), catalogue).likes.sum(0)
    return Part(asked.users, {name: result}, {name: _exposure(result, likes)}, {})


def _of_peers(log: Interactions, catalogue: Catalogue, split: dict[str, Any], *, peers: bool) -> Part:
    """Tune the peers on the validation users of a split, refit them with these and judge them; or popularity alone."""
    events = sequences(log, len(catalogue))
    dealt = split_users(len(log.users), **split)
    asked = queries(events, dealt.test)
    both = Group(events, np.concatenate([dealt.train, dealt.validation]), catalogue)
    likes = both.likes.sum(0)
    curves, chosen = {}, {}
    if peers:
        for peer in tuned(Group(events, dealt.train, catalogue), queries(events, dealt.validation)):
            curves[peer.name] = curve(by_scores(peer.build(both)), asked)
            chosen[peer.name] = peer.chosen
    else:
        curves["popularity"] = curve(by_scores(popularity(both)), asked)
    exposed = {name: _exposure(each, likes) for name, each in curves.items()}
    return Part(asked.users, curves, exposed, {name: how for name, how in chosen.items() if how})


def _exposure(result: Curve, likes: npt.NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """What a ranker exposes at the first and the last k."""
    return {f"k={KS[at]}": exposure(result.shown[:, at], likes) for at in (0, -1)}


def _pool(parts: Sequence[Part]) -> dict[str, Curve]:
    """The curves of several splits as one."""
    sides = [side.name for side in fields(Curve)]
    return {
        name: Curve(*(np.concatenate([getattr(part.curves[name], side) for part in parts]) for side in sides))
        for name in parts[0].curves
    }
