"""The command `quickstudy replay`: its options, progress and exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta.errors import InputError
from terminal import Json, Seed, clear_errors, keep, show_table

if TYPE_CHECKING:
    from replay.decisions import Log
    from replay.judging import Contender


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
    not_worse: Annotated[bool, typer.Option("--not-worse", help="Pass where it is not WORSE.")] = False,
    seed: Seed = 0,
    report: Annotated[Path | None, typer.Option(help="Write a page with tables and curves to this file.")] = None,
    json_file: Json = None,
) -> None:
    """Would this policy have done better than what the log shows? Exit code 0: yes, 1: no or not known, 2: bad."""
    with clear_errors():
        import numpy as np

        from meta.policy import Policy
        from replay import judging, page
        from replay.estimators import DECISIONS, SLATES

        if estimator not in DECISIONS | SLATES:
            raise InputError(f"estimator must be one of {', '.join(DECISIONS | SLATES)}, got {estimator!r}")
        contenders = [judging.Contender(str(folder), Policy.load(folder), temperature=temperature) for folder in policy]
        if frozen:
            first = contenders[0]
            contenders.append(judging.Contender(f"{first.name}, nobody's history", first.policy, False, temperature))
        parts = read(log, columns or [], reward_window, default_reward, contenders)
        places, about = shown(parts, contenders, history)
        if not places:
            raise InputError(
                f"{log} holds no decision that can be used; {about['bad_rows']} rows are bad: {about['bad']}"
            )
        told = judging.judge(places, contenders, estimator=estimator, rng=np.random.default_rng(seed))
        verdict = told[0]["verdicts"]["the log"]
        passed = verdict["outcome"] == "BETTER" or (not_worse and verdict["outcome"] != "WORSE")
        result: dict[str, Any] = {
            "log": about | {"path": str(log)}, "estimator": estimator, "seed": seed, "policies": told, "passed": passed,
        }  # fmt: skip
        tell(result)
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(page.page(result), encoding="utf-8")
        keep(json_file, result)
        if not passed:
            raise typer.Exit(1)


def read(
    path: Path, columns: list[str], window_h: float | None, default: float | None, contenders: list[Contender]
) -> tuple[int, Iterator[Log]]:
    """How many decisions there are, about, and the parts of the log."""
    from replay import foreign, log, reading
    from replay.rewards import Rewards

    if columns or path.is_file():
        found = foreign.read(path, foreign.mapped(columns), known=contenders[0].policy.catalogue.ids)
    elif foreign.is_open_bandit(path):
        found = foreign.read_open_bandit(path)
    else:
        of, rule = reading.parts(path), Rewards.of(path)
        window_ms = round(1_000 * (rule.window_s if window_h is None else 3_600 * window_h))
        default = rule.default if default is None else default
        each = (reading.read(path, part, of, window_ms=window_ms, default=default) for part in range(of))
        return log.rows(path, "decisions"), each
    return len(found.decisions), iter([found])


def shown(parts: tuple[int, Iterator[Log]], contenders: list[Contender], cap: int) -> tuple[list[Any], dict[str, Any]]:
    """Replays under a progress bar."""
    from rich.progress import Progress

    from replay import judging

    total, logs = parts
    with Progress() as bar:
        task = bar.add_task("replaying", total=total * len(contenders))
        return judging.replayed(logs, contenders, cap=cap, tell=lambda n: bar.advance(task, n))


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
