"""What every command shares: how options are named, how results are shown, and how errors are told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta.errors import InputError

if TYPE_CHECKING:
    from meta.catalogue import Catalogue
    from meta.dataset import Interactions as Log

Policy = Annotated[Path, typer.Option(help="Policy folder, as `quickstudy train` writes it.")]
Interactions = Annotated[Path | None, typer.Option(help="Events: user_id,item_id,reward,timestamp; CSV or Parquet.")]
Items = Annotated[Path | None, typer.Option(help="Items: item_id and any columns; CSV or Parquet.")]
Users = Annotated[Path | None, typer.Option(help="Users: user_id and any columns; CSV or Parquet.")]
MovieLens = Annotated[Path | None, typer.Option(help="A MovieLens folder instead; reward 1 for a rating of 4 or more.")]
Env = Annotated[
    str | None, typer.Option(help="Simulated users (drifting_taste, ..., fitted) or tasks (cartpole, grid).")
]
Arguments = Annotated[
    list[str] | None, typer.Option("--argument", help="A constant of --env, name=value; may be given many times.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write what is printed to this file too.")]
Picture = Annotated[Path | None, typer.Option("--png", help="Draw the curves into this file.")]
Adapter = Annotated[str | None, typer.Option(help="How copies are learnt (default maml): an adapter of meta/adapters.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]


def read_log(
    interactions: Path | None, items: Path | None, users: Path | None, movielens: Path | None
) -> tuple[Log, Catalogue]:
    """The log that the options name."""
    from meta import dataset

    if movielens is not None:
        if users is not None:
            raise typer.BadParameter("--users goes with --interactions; a MovieLens folder brings its own")
        return dataset.read_movielens(movielens)
    if interactions is None or items is None:
        raise typer.BadParameter("give --interactions and --items, or --movielens, or (to train) --env")
    return dataset.read(interactions, items, users)


def follow(progress: Iterable[Any], label: str) -> None:
    """Runs a training generator under a progress bar; its metrics are dataclasses with `iteration` and `iterations`."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(label, total=None, figures="")
        for metrics in progress:
            values = dataclasses.asdict(metrics)
            done, total = values.pop("iteration"), values.pop("iterations")
            floats = [f"{name} {value:.3f}" for name, value in values.items() if isinstance(value, float)]
            bar.update(task, completed=done, total=total, figures="  ".join(floats[:2]))


def show_table(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Prints rows under the names of the first one's columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in rows[0]:
        table.add_column(str(name), overflow="fold")
    for row in rows:
        table.add_row(*[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()])
    Console().print(table)


def show_claims(result: Mapping[str, Any]) -> None:
    """Prints what a benchmark found; exits with 1 where a claim does not hold."""
    show_table("claims", result["claims"])
    if not all(claim["holds"] for claim in result["claims"]):
        raise typer.Exit(1)


def show_result(result: Mapping[str, Any]) -> None:
    """Prints the rows of a benchmark, then its claims."""
    show_table(result["command"], result["rows"])
    show_claims(result)


def keep(path: Path | None, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON where a file is wanted."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns an error about what the user gave into one line and exit code 2; any other keeps its traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = {"torch": "train", "pandas": "train", "gymnasium": "simulate", "matplotlib": "simulate"}
        extra |= {
            "implicit": "bench",
            "scipy": "bench",
            "tensorboard": "tensorboard",
            "optuna": "tune",
            "pyarrow": "export",
        }
        if error.name == "benchmarks":
            typer.echo("quickstudy: this command runs from a checkout of the repository only", err=True)
        elif error.name in extra:
            typer.echo(
                f"quickstudy: this command needs {error.name}; install quickstudy[{extra[error.name]}]", err=True
            )
        else:
            raise
        raise typer.Exit(2) from error
    except (InputError, FloatingPointError) as error:
        typer.echo(f"quickstudy: {error}", err=True)
        raise typer.Exit(2) from error
