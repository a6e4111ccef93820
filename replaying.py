"""The command `quickstudy replay`: its options, progress and exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta.errors import InputError
from terminal import Json, Seed, clear_errors, keep, show_table

if TYPE_CHECKING:
    from replay.judging import Contender
    from replay.question import Parts, Question, Tell


def replay(
    policy: Annotated[list[Path], typer.Option(help="Policy folder; the first is the one that is asked about.")],
    log: Annotated[
        Path, typer.Option(help="Folder of an exported log or of the Open Bandit layout; or a file, --map.")
    ],
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN of a log of your own; may be given many times.")
    ] = None,
    estimator: Annotated[str, typer.Option(help="By which the verdict is given.")] = "snips",
    temperature: Annotated[
        float | None, typer.Option(help="Of the policies' draws, units of scores; none: each policy's own.", min=0)
    ] = None,
    reward_window: Annotated[
        float | None, typer.Option(help="Hours after a decision in which rewards count; none: as the log says.", min=0)
    ] = None,
    default_reward: Annotated[
        float | None, typer.Option(help="Reward of a position that no event names; none: as the log says.")
    ] = None,
    history: Annotated[int, typer.Option(help="Newest events of a user that the service keeps.", min=1, max=128)] = 64,
    frozen: Annotated[bool, typer.Option(help="Also the first policy without anybody's history.")] = True,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only users whom the first policy's `train --hold-out` left out.")
    ] = False,
    not_worse: Annotated[bool, typer.Option("--not-worse", help="Pass where it is not WORSE.")] = False,
    seed: Seed = 0,
    report: Annotated[Path | None, typer.Option(help="Write a page with tables and curves to this file.")] = None,
    json_file: Json = None,
) -> None:
    """Would this policy have done better than what the log shows? Exit code 0: yes, 1: no or not known, 2: bad."""
    with clear_errors():
        from replay import page
        from replay.question import Question

        question = Question(
            {str(folder): str(folder) for folder in policy}, estimator, temperature,
            None if reward_window is None else 3_600 * reward_window, default_reward, history, frozen, not_worse, seed,
        )  # fmt: skip
        contenders = question.contenders()
        share = left_out(contenders[0], columns, log) if held_out else 0.0
        parts = read(log, columns or [], question, contenders[0].policy.catalogue.ids, share)
        with progress() as told:
            result = question.answer(contenders, str(log), parts, told)
        tell(result)
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(page.page(result), encoding="utf-8")
        keep(json_file, result)
        if not result["passed"]:
            raise typer.Exit(1)


def left_out(first: Contender, columns: list[str] | None, log: Path) -> float:
    """The share of users that a policy's training left out of its log.

    Raises:
        InputError: it left nobody out, or the log is no service's own.
    """
    from replay import foreign

    share = float(first.policy.manifest.trained_on.get("held_out", 0.0))
    if not share or columns or log.is_file() or foreign.is_open_bandit(log):
        raise InputError(
            "--held-out judges a policy of `train --decisions --hold-out` by that service's log, got "
            + ("another log" if share else f"{first.name}, which left nobody out")
        )
    return share


def read(path: Path, columns: list[str], question: Question, known: Sequence[str], held_out: float = 0.0) -> Parts:
    """How many decisions there are, about, and the parts of the log; `known` are the items of the policy."""
    from replay import foreign, reading

    if columns or path.is_file():
        found = foreign.read(path, foreign.mapped(columns), known=known)
    elif foreign.is_open_bandit(path):
        found = foreign.read_open_bandit(path)
    else:
        return reading.in_parts(path, question.reward_window_s, question.default_reward, held_out)
    return len(found.decisions), iter([found])


@contextmanager
def progress() -> Iterator[Tell]:
    """A progress bar for what hears of phases."""
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("")

        def told(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total or None)

        yield told


def tell(result: dict[str, Any]) -> None:
    """Prints what was found."""
    about = result["log"]
    reproduced = "" if about["reproduced"] is None else f", {about['reproduced']:.1%} of histories as they were served"
    typer.echo(
        f"{about['decisions']:,} decisions of {about['users']:,} users, {about['bad_rows']:,} bad rows, "
        f"{about['not_shown']:,} never shown, {about['repeated']:,} repeated{reproduced}"
    )
    for rule, n in about["bad"].items():
        typer.echo(f"  {n:,} rows: {rule}")
    for each in result["policies"]:
        rows = [
            {"estimator": name, "value": f"{e['value']:.5g}", "from": f"{e['low']:.5g}", "to": f"{e['high']:.5g}"}
            for name, e in each["estimates"].items()
        ]
        show_table(each["name"], rows)
        for name, found in each["verdicts"].items():
            apart = found["difference"]
            reasons = "".join(f"; {reason}" for reason in found["reasons"])
            interval = f"{apart['value']:+.4g} [{apart['low']:+.4g}, {apart['high']:+.4g}]"
            typer.echo(f"beside {name}: {found['outcome']}: {interval}{reasons}")
