"""The command line: each command parses, makes one call into a room, and prints. Rooms are imported when needed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# One BLAS thread, before numpy loads: small products are far slower where threads fight for busy cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import typer  # noqa: E402 - after the threads are pinned

from meta.errors import InputError  # noqa: E402 - likewise

if TYPE_CHECKING:
    from meta.catalogue import Catalogue
    from meta.dataset import Interactions as Log

app = typer.Typer(
    help="One meta-learned ranking policy, one small adapted copy of it per user.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(help="Measure; each benchmark writes benchmarks/results/NAME.json.", no_args_is_help=True)
app.add_typer(bench, name="bench")

DEFAULT_ADAPTER = "maml"

Policy = Annotated[Path, typer.Option(help="Policy folder, as `quickstudy train` writes it.")]
Interactions = Annotated[Path | None, typer.Option(help="Events: user_id,item_id,reward,timestamp; CSV or Parquet.")]
Items = Annotated[Path | None, typer.Option(help="Items: item_id and any columns; CSV or Parquet.")]
Users = Annotated[Path | None, typer.Option(help="Users: user_id and any columns; CSV or Parquet.")]
MovieLens = Annotated[Path | None, typer.Option(help="A MovieLens folder instead; reward 1 for a rating of 4 or more.")]
Env = Annotated[str | None, typer.Option(help="Simulated users (interest_exploration) or tasks (cartpole, grid).")]
Json = Annotated[Path | None, typer.Option("--json", help="Write what is printed to this file too.")]
Picture = Annotated[Path | None, typer.Option("--png", help="Draw the curves into this file.")]
Adapter = Annotated[str | None, typer.Option(help="How copies are learnt (default maml): an adapter of meta/adapters.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for policies, picture and figures.")] = Path("runs/demo"),
    users: Annotated[int, typer.Option(help="New users who click.", min=2)] = 200,
    retrain: Annotated[bool, typer.Option(help="Learn anew though the folder holds policies.")] = False,
    seed: Seed = 0,
) -> None:
    """Learn on simulated users, serve, let new users click through gRPC, draw the curve."""
    with clear_errors():
        from benchmarks import demo as story

        keep(out / "demo.json", story.run(out, users=users, retrain=retrain, seed=seed, command="make demo"))


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder that the policy is written to.")],
    interactions: Interactions = None,
    items: Items = None,
    users: Users = None,
    movielens: MovieLens = None,
    env: Env = None,
    adapter: Adapter = None,
    seed: Seed = 0,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file of settings, as `quickstudy tune` writes it.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Most minutes; fewer iterations where those wanted do not fit.")] = inf,
    resume: Annotated[bool, typer.Option(help="Go on from a killed training of the same --out.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Folder for TensorBoard files (extra `tensorboard`).")] = None,
) -> None:
    """Meta-train a policy from a log, on simulated users or on control tasks."""
    with clear_errors():
        from meta.trainer.budget import Budget

        budget = Budget(minutes)
        from meta.checkpoint import git_revision
        from meta.trainer import settings as files

        given = {} if settings is None else files.read(settings)
        adapter = adapter or given.pop(files.ADAPTER, DEFAULT_ADAPTER)
        common: dict[str, Any] = {
            "adapter": adapter, "seed": seed, "git_revision": git_revision(), "resume": resume, "budget": budget,
        }  # fmt: skip
        progress: Iterator[Any]
        if env is not None and env in task_families():
            from meta.trainer import tasks

            base = tasks.SETTINGS.get(env, tasks.Settings())
            family = task_families()[env](32)
            progress = tasks.train(family, out, settings=files.from_json(tasks.Settings, given, base), **common)
        elif env is not None:
            from meta.trainer import worlds

            progress = worlds.train(world(env, 64), out, settings=files.from_json(worlds.Settings, given), **common)
        else:
            from meta.trainer import logs as log_trainer

            how = files.from_json(log_trainer.Settings, given)
            log, catalogue = read_log(interactions, items, users, movielens)
            typer.echo(f"{len(log):,} events of {len(log.users):,} users, {len(catalogue):,} items")
            for noun, columns in (
                ("item", catalogue.columns),
                ("user", log.attributes.columns if log.attributes else ()),
                ("context", log.context.columns if log.context else ()),
            ):
                for column in columns:
                    typer.echo(f"{noun} column {column.name}: {column.kind}, {column.width} features")
            if log_trainer.many(log, how):
                typer.echo(f"over {how.full:,} items: ranked against samples, without the memory of co-occurrence")
            progress = log_trainer.train(log, catalogue, out, settings=how, **common)
        if logs is not None:
            from meta.trainer.scalars import recorded

            progress = recorded(progress, logs)
        follow(progress, f"training {adapter}")
        typer.echo(f"policy written to {out}")


@app.command()
def tune(
    out: Annotated[Path, typer.Option(help="JSON file of the best settings, for `quickstudy train --settings`.")],
    interactions: Interactions = None,
    items: Items = None,
    users: Users = None,
    movielens: MovieLens = None,
    env: Env = None,
    adapter: Adapter = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file of settings that are not searched.")] = None,
    trials: Annotated[int, typer.Option(help="Trainings in all, those of the study's file included.", min=1)] = 20,
    minutes: Annotated[float, typer.Option(help="Minutes after which no training begins.")] = inf,
    study: Annotated[Path | None, typer.Option(help="File that trials are kept in (default: OUT.study).")] = None,
    seed: Seed = 0,
) -> None:
    """Search hyper-parameters on validation users or simulated reward; killed, it goes on from its study's file."""
    with clear_errors():
        from meta.trainer.budget import Budget

        budget = Budget(minutes)
        from meta.trainer import settings as files
        from meta.trainer import tuning

        base = {} if settings is None else files.read(settings)
        if adapter is not None:
            base[files.ADAPTER] = adapter
        objective: tuning.Objective
        if env is not None:
            objective, figure = tuning.InWorld(world(env, 64), seed), "reward a step"
        else:
            log, catalogue = read_log(interactions, items, users, movielens)
            objective, figure = tuning.OnLog(log, catalogue, seed), "NDCG@10 of validation users"
        told: list[tuning.Trial] = []
        file = study or out.with_name(out.name + ".study")
        for told in tuning.tune(objective, file, base=base, trials=trials, budget=budget, seed=seed):
            last = told[-1]
            typer.echo(f"trial {last.number}: {last.state}" + ("" if last.value is None else f", {last.value:.4f}"))
        found = tuning.best(told)
        if not found:
            raise InputError(f"none of {len(told)} trials was completed; give more --minutes or --trials")
        rows = [{figure: trial.value, "trial": trial.number, **trial.settings} for trial in found[:5]]
        show_table(f"best of {len(told)} trials, trial 0 has the defaults", rows)
        keep(out, base | found[0].settings)
        typer.echo(f"settings written to {out}")


@app.command()
def coldstart(
    policy: Policy,
    interactions: Interactions = None,
    items: Items = None,
    users: Users = None,
    movielens: MovieLens = None,
    peers: Annotated[bool, typer.Option(help="Every tuned peer beside it (extra `bench`).")] = False,
    json_file: Json = None,
    png: Picture = None,
) -> None:
    """Ranking quality for users whom the policy never saw, by number of events."""
    with clear_errors():
        from benchmarks import coldstart as measure
        from benchmarks import curve

        log, catalogue = read_log(interactions, items, users, movielens)
        result = measure.judge(policy, log, catalogue, peers=peers)
        show_table(f"NDCG@10 of {result['users']} users never seen, by events", result["rows"])
        if png:
            curve.draw(result, png)
        keep(json_file, result)


@app.command()
def simulate(
    policy: Policy,
    env: Annotated[str, typer.Option(help="A simulated world: interest_exploration.")] = "interest_exploration",
    users: Annotated[int, typer.Option(help="New users.", min=2)] = 1000,
    seed: Seed = 1,
    json_file: Json = None,
    png: Picture = None,
) -> None:
    """Let simulated users meet the policy in process, with baselines and the oracle beside it."""
    with clear_errors():
        from simulators import picture, run

        rewards = run.compare(world(env, users), policy, seed)
        rows = [run.summarise(name, earned) for name, earned in rewards.items()]
        show_table(f"{env}, {users} users, reward by step", [run.printable(row) for row in rows])
        if png:
            picture.draw(rewards, png, title=env)
        keep(json_file, {"env": env, "users": users, "seed": seed, "rows": [row.as_json() for row in rows]})


@app.command()
def serve(
    policy: Policy,
    redis: Annotated[str | None, typer.Option(help="redis://, rediss:// or unix:// URL; none: embedded store.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded store.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port; 0: any free one.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Prometheus port; 0: any free one.")] = None,
) -> None:
    """Answer Recommend and RecordEvents; everything else is set in the environment (QUICKSTUDY_*)."""
    with clear_errors():
        from service.server import serve as run_server
        from service.settings import ServerSettings, from_environment

        given: dict[str, Any] = {
            "redis": redis,
            "data_dir": data_dir,
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
        }
        run_server(from_environment(ServerSettings, policy=policy, **given))


@bench.command("demo")
def bench_demo(seed: Seed = 0) -> None:
    """The demo from scratch, kept as a result."""
    with clear_errors(), tempfile.TemporaryDirectory() as out:
        from benchmarks import demo as story
        from benchmarks.report import RESULTS

        result = story.run(Path(out), users=200, retrain=True, seed=seed, command="quickstudy bench demo")
        keep(RESULTS / "demo.json", result)
        shutil.copyfile(Path(out) / "curve.png", RESULTS / "demo.png")
        show_claims(result)


@bench.command("serve")
def bench_serve(policy: Policy) -> None:
    """Throughput and latency of Recommend beside a bare gRPC echo of the same messages."""
    with clear_errors():
        from benchmarks import serve as measure
        from benchmarks.report import RESULTS

        show_claims(measure.run(policy, RESULTS / "serve.json"))


@bench.command("coldstart")
def bench_coldstart(
    interactions: Interactions = None,
    items: Items = None,
    users: Users = None,
    movielens: MovieLens = None,
    folds: Annotated[int, typer.Option(help="User splits; every user is judged once.", min=2)] = 6,
    seed: Annotated[int, typer.Option(help="Deals the users out.", min=0)] = 601,
    adapters: Annotated[str, typer.Option(help="Names joined by commas beside the default one, or all.")] = "all",
    out: Annotated[Path | None, typer.Option(help="JSON file; the picture goes beside it.")] = None,
) -> None:
    """Every adapter beside tuned peers on user splits that no setting was chosen on."""
    with clear_errors():
        from benchmarks import coldstart as measure
        from benchmarks import curve
        from benchmarks.report import RESULTS

        path = out or RESULTS / "coldstart.json"
        chosen = () if adapters == "all" else adapters.split(",")
        source = measure.Source(movielens, interactions, items, users)
        result = measure.run(source, path, seed=seed, folds=folds, adapters=chosen, tell=typer.echo)
        show_table(f"NDCG@10 of {result['users']} users never seen, by events", result["rows"])
        show_table("beside it", result["beside"])
        curve.draw(result, path.with_suffix(".png"))
        show_claims(result)


@bench.command("control")
def bench_control() -> None:
    """The same adapters on cart-poles and mazes beside a DQN trained on the single task, after 0, 1, 2, 5 episodes."""
    with clear_errors():
        from benchmarks import control as measure
        from benchmarks.report import RESULTS

        result = measure.run(RESULTS / "control.json", RESULTS / "control.png")
        show_table("return of the next episode after so many episodes of a task", measure.printable(result))
        show_claims(result)


@bench.command("metastep")
def bench_metastep() -> None:
    """One meta-step over 32 tasks beside higher, torchopt, torch.func.vmap and a loop, with the same gradients."""
    with clear_errors():
        from benchmarks import metastep as measure

        show_result(measure.run())


@bench.command("adapt")
def bench_adapt() -> None:
    """What one user's adaptation costs, by adapter and number of events, and how large the stored copy is."""
    with clear_errors():
        from benchmarks import adapt as measure

        show_result(measure.run())


@bench.command("train")
def bench_train(movielens: Annotated[Path, typer.Option(help="A MovieLens folder.")]) -> None:
    """What training costs by items, users and events, and from end to end."""
    with clear_errors():
        from benchmarks import train as measure
        from benchmarks.report import RESULTS

        result = measure.run(movielens)
        measure.draw(result, RESULTS / "train.png")
        show_table("CPU milliseconds a step", result["rows"])
        show_claims(result)


@bench.command("coat")
def bench_coat(
    coat: Annotated[Path, typer.Option(help="A folder of Coat: train.ascii, test.ascii and features.")],
    seed: Annotated[int, typer.Option(help="Deals the users out.", min=0)] = 601,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Rewards of randomly drawn items, predicted from ratings of items that users picked."""
    with clear_errors():
        from benchmarks import coat as measure
        from benchmarks.report import RESULTS

        result = measure.run(coat, out or RESULTS / "coat.json", seed=seed, tell=typer.echo)
        show_table(f"NDCG@10 of {result['users']} users never seen, by ratings", result["rows"])
        show_claims(result)


@bench.command("report")
def bench_report() -> None:
    """Writes docs/results.md from the committed results."""
    with clear_errors():
        from benchmarks import results_table

        results_table.PAGE.parent.mkdir(exist_ok=True)
        results_table.PAGE.write_text(results_table.page())
        typer.echo("docs/results.md written")


@app.command()
def version() -> None:
    """The installed version."""
    from importlib.metadata import version as installed

    typer.echo(installed("quickstudy"))


def world(name: str, users: int) -> Any:
    """A simulated world by name."""
    from simulators import WORLDS

    if name not in WORLDS:
        tasks = f" (to train also {', '.join(task_families())})"
        raise InputError(f"env must be one of {', '.join(WORLDS)}{tasks}, got {name!r}")
    return WORLDS[name](users)


def task_families() -> Mapping[str, Any]:
    """Families of control tasks by name."""
    from simulators import TASKS

    return TASKS


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
        extra |= {"implicit": "bench", "scipy": "bench", "tensorboard": "tensorboard", "optuna": "tune"}
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


def main() -> None:
    """The console command."""
    sys.path.append(
        str(Path(__file__).parent)
    )  # benchmarks are not packaged: they stand beside this file in a checkout
    app()


if __name__ == "__main__":
    main()
