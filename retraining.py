"""What `quickstudy train --decisions` needs of all rooms: a service's log as experience in the rows of a catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from meta.errors import InputError

if TYPE_CHECKING:
    from meta.catalogue import Catalogue
    from meta.columns import Column
    from meta.logbook import Logbook
    from replay.decisions import Log


def training(
    folder: Path, out: Path, start: Path | None, items: Path | None, hold_out: float, given: dict[str, Any],
    common: dict[str, Any],
) -> Iterator[Any]:  # fmt: skip
    """Reads a log, tells what it holds, and returns the training on it.

    Args:
        folder: of the log.
        out: the policy folder to write.
        start: folder of the policy that goes on learning; None: a new one, which needs `items`.
        items: table of items; None: those of `start`.
        hold_out: share of the users that are not learnt from.
        given: settings by name.
        common: arguments of every training.

    Raises:
        InputError: there is nothing to learn from, or the parts do not fit together.
    """
    from meta import checkpoint
    from meta.dataset import read_items
    from meta.trainer import decisions
    from meta.trainer.settings import from_json
    from replay import contexts, reading
    from replay.held_out import held_out

    how = from_json(decisions.Settings, given)
    policy = None if start is None else checkpoint.load(start)
    if policy is not None:
        if brought := [name for name in decisions.SHAPE if name in given]:
            raise InputError(f"setting {brought[0]} is that of the policy to go on from; leave it out")
        common = common | {"adapter": policy.manifest.spec.adapter}
    if items is not None:
        catalogue = read_items(items, None if policy is None else policy.catalogue)
    elif policy is not None:
        catalogue = policy.catalogue
    else:
        raise InputError("give --from, the policy to go on from, or --items, what a new one is to know of items")
    if policy is not None:
        decisions.fitting(policy, catalogue)
    reading.parts(folder)
    log = reading.read(folder, among=(lambda user: not held_out(user, hold_out)) if hold_out else None)
    told = log.decisions.context
    columns = policy.manifest.context if policy is not None else () if told is None else contexts.learnt(told.tolist())
    book, strange = logbook(log, catalogue, columns)
    typer.echo(
        f"{len(log.decisions):,} decisions of {log.users:,} users, {log.bad.total:,} bad rows, {log.not_shown:,} never "
        f"shown, {log.repeated:,} repeated; {len(log.recorded.user):,} events"
    )
    if strange:
        typer.echo(
            f"{len(log.decisions) - len(book):,} decisions are left out: they show items that are not known, such as "
            f"{strange!r}; --items may name them"
        )
    if not len(book):
        raise InputError(f"{folder} holds no decision that can be learnt from; rows are bad: {log.bad.count or 'none'}")
    for column in columns:
        typer.echo(f"context column {column.name}: {column.kind}, {column.width} features")
    about = {"log": str(folder), "held_out": hold_out}
    return decisions.train(book, catalogue, out, start=policy, context=columns, about=about, settings=how, **common)


def logbook(log: Log, catalogue: Catalogue, columns: tuple[Column, ...] = ()) -> tuple[Logbook, str]:
    """A log in the rows of a catalogue, and the first item that it shows but the catalogue lacks, "" where none is.

    Decisions that show such items are left out; their events stay in the histories, as in those that are served.
    """
    from meta.logbook import Logbook
    from replay import contexts

    row = np.append(catalogue.rows(log.items), -1)  # the last one is what is padded
    decisions, recorded = log.decisions, log.recorded
    strange = (row[decisions.slate] < 0) & (decisions.slate >= 0)
    known = decisions.taken(np.flatnonzero(~strange.any(1)))
    offer = row[known.candidates]
    if known.excluded.size:
        offer = np.where((offer[:, :, None] == row[known.excluded][:, None, :]).any(2), -1, offer)
    told = [""] * len(known) if known.context is None else known.context.tolist()
    book = Logbook(
        user=known.user,
        time_ms=known.time_ms,
        offer=offer.astype(np.int32),
        slate=row[known.slate].astype(np.int32),
        log_propensity=np.log(known.propensity).sum(1, dtype=np.float32),
        reward=known.reward,
        begin=known.begin,
        seen=known.seen,
        end=np.searchsorted(recorded.user, known.user, "right"),
        context=contexts.encoded(columns, told),
        item=row[recorded.item].astype(np.int32),
        event_reward=recorded.reward,
        event_time_ms=recorded.time_ms,
        tag=recorded.tag,
    )
    return book, log.items[decisions.slate[strange][0]] if strange.any() else ""
