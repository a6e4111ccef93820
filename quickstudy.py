"""The command line: each command parses, makes one call into a room, and prints. Rooms are imported when needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# One BLAS thread, before numpy loads: small products are far slower where threads fight for busy cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

sys.path.append(str(Path(__file__).parent))  # benchmarks are not packaged: in a checkout they stand beside this file

import typer  # noqa: E402 - after the threads are pinned

from activating import policies as policy_commands  # noqa: E402 - likewise
from meta.errors import InputError  # noqa: E402 - likewise
from replaying import replay  # noqa: E402 - likewise
from terminal import (  # noqa: E402 - likewise
    Adapter,
    Arguments,
    Env,
    Interactions,
    Items,
    Json,
    MovieLens,
    Picture,
    Policy,
    Seed,
    Users,
    clear_errors,
    follow,
    keep,
    read_log,
    show_table,
)

if TYPE_CHECKING:
    from service.client.crowd import Crowd

app = typer.Typer(
    help="One meta-learned ranking policy, one small adapted copy of it per user.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
try:
    from benchmarks.commands import bench

    app.add_typer(bench, name="bench")
except ModuleNotFoundError:

    @app.command("bench")
    def no_bench() -> None:
        """Measure; from a checkout of the repository only."""
        typer.echo("quickstudy: benchmarks run from a checkout of the repository only", err=True)
        raise typer.Exit(2)


DEFAULT_ADAPTER = "maml"
LogFiles = tuple[Path | None, Path | None, Path | None]
"""Interactions, items, or a MovieLens folder."""

token_commands = typer.Typer(help="Tokens that callers of the service show.", no_args_is_help=True)
app.add_typer(token_commands, name="tokens")
app.add_typer(policy_commands, name="policies")


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
    arguments: Arguments = None,
    decisions: Annotated[Path | None, typer.Option(help="Folder of a service's own log (`quickstudy export`).")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="With --decisions: policy that goes on learning, not a new one.")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(help="With --decisions: share of users left for `replay --held-out`.", min=0, max=0.9)
    ] = 0.0,
    exploration: Annotated[
        float | None,
        typer.Option(help="Of slates served (--env, --decisions): temperature in deviations of a score.", min=0),
    ] = None,
    adapter: Adapter = None,
    seed: Seed = 0,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file of settings, as `quickstudy tune` writes it.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Most minutes; fewer iterations where those wanted do not fit.")] = inf,
    resume: Annotated[bool, typer.Option(help="Go on from a killed training of the same --out.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Folder for TensorBoard files (extra `tensorboard`).")] = None,
) -> None:
    """Meta-train a policy from a log of ratings or of a service's decisions, on simulated users or on control tasks."""
    with clear_errors():
        from meta.trainer.budget import Budget

        budget = Budget(minutes)
        from meta.checkpoint import git_revision
        from meta.trainer import settings as files

        given = {} if settings is None else files.read(settings)
        adapter = adapter or given.pop(files.ADAPTER, None)
        check_sources(decisions, start, hold_out, (interactions, users, movielens, env))
        if start is not None and adapter is not None:
            raise InputError("--from brings its adapter along: leave out --adapter")
        adapter = adapter or DEFAULT_ADAPTER
        if exploration is not None:
            if decisions is None and (env is None or env in task_families()):
                raise InputError("--exploration goes with --decisions, or with an --env of simulated users")
            given["exploration"] = exploration
        common: dict[str, Any] = {
            "adapter": adapter, "seed": seed, "git_revision": git_revision(), "resume": resume, "budget": budget,
        }  # fmt: skip
        progress: Iterator[Any]
        if decisions is not None:
            import retraining

            progress = retraining.training(decisions, out, start, items, hold_out, given, common)
        elif env is not None and env in task_families():
            from meta.trainer import tasks
            from simulators.arguments import made

            base = tasks.SETTINGS.get(env, tasks.Settings())
            family = made(task_families()[env], 32, arguments or ())
            progress = tasks.train(family, out, settings=files.from_json(tasks.Settings, given, base), **common)
        elif env is not None:
            from meta.trainer import worlds

            progress = worlds.train(
                world(env, 64, arguments, (interactions, items, movielens), "met"),
                out,
                settings=files.from_json(worlds.Settings, given),
                **common,
            )
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
    arguments: Arguments = None,
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
            met = world(env, 64, arguments, (interactions, items, movielens), "met")
            objective, figure = tuning.InWorld(met, seed), "reward a step"
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
    policy: Annotated[
        list[Path] | None, typer.Option(help="Policy folder; several are trainings of one recipe, judged together.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="host:port of a service that is judged instead, through gRPC and its store.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="What that service knows its callers by; scopes read and write.", envvar="QUICKSTUDY_TOKEN"),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of roots that service's TLS is trusted by.")] = None,
    env: Annotated[str, typer.Option(help="A simulated world, such as drifting_taste.")] = "interest_exploration",
    arguments: Arguments = None,
    interactions: Interactions = None,
    items: Items = None,
    movielens: MovieLens = None,
    users: Annotated[int, typer.Option(help="New users of each seed.", min=2)] = 1000,
    seed: Seed = 1,
    seeds: Annotated[int, typer.Option(help="Seeds of users, from --seed on.", min=1)] = 1,
    at_least: Annotated[float | None, typer.Option(help="Bar: reward a step over the whole episode.")] = None,
    recovery: Annotated[
        float | None, typer.Option(help="Bar: share of the level before a change of taste, 5 steps after it.")
    ] = None,
    json_file: Json = None,
    png: Picture = None,
) -> None:
    """Let simulated users meet a policy, with baselines and the oracle beside it; exit code 1 where it fails a bar.

    Always barred: reward below `quality` or `frozen`, the same for everybody, beyond the 95% interval.
    """
    with clear_errors():
        from meta.checkpoint import load
        from simulators import picture, trial
        from simulators.verdict import Bars

        if not policy and target is None:
            raise InputError("give --policy, or the --target of a running service, or both")
        met, bars = world(env, users, arguments, (interactions, items, movielens), "held_out"), Bars(at_least, recovery)
        drawn = list(range(seed, seed + seeds))
        with nullcontext() if target is None else crowd(target, token, ca) as service:
            found = trial.hold(met, policy or (), service, drawn, bars, typer.echo)
        show_table(f"{env}, {users * seeds} users, reward by step", found.printable())
        if png:
            picture.draw({env: found.earned}, png)
        about = {"env": env, "arguments": arguments or [], "users": users, "seeds": drawn}
        judged = {
            "target": target,
            "policies": [str(folder) for folder in policy or ()],
            "versions": [load(folder).version for folder in policy or ()],
        }
        keep(json_file, about | judged | found.as_json())
        typer.echo(str(found.verdict))
        if not found.verdict.passed:
            raise typer.Exit(1)


@app.command()
def serve(
    policy: Annotated[Path | None, typer.Option(help="Folder of the one policy to serve.")] = None,
    policies: Annotated[
        str | None, typer.Option(help="Or a store of versions, folder or URL: see `quickstudy policies`.")
    ] = None,
    redis: Annotated[str | None, typer.Option(help="redis://, rediss:// or unix:// URL; none: embedded store.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded store.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="gRPC port; 0: any free one.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Prometheus port; 0: any free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on the gRPC port.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file: TLS on the gRPC port.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM file: callers need a certificate of it.")] = None,
    tokens: Annotated[Path | None, typer.Option(help="File of hashed tokens: callers need one of them.")] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen beyond this machine without the above.")
    ] = None,
) -> None:
    """Answer Recommend and RecordEvents; everything else is set in the environment (QUICKSTUDY_*)."""
    with clear_errors():
        from service.serve import serve as run_server
        from service.settings import AccessSettings, PolicySettings, ServerSettings, TlsSettings, from_environment

        given: dict[str, Any] = {
            "redis": redis,
            "data_dir": data_dir,
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
            "workers": workers,
            "insecure": insecure,
            "policies": from_environment(PolicySettings, prefix="QUICKSTUDY_POLICIES_", store=policies),
            "tls": from_environment(
                TlsSettings,
                prefix="QUICKSTUDY_TLS_",
                certificate=tls_certificate,
                key=tls_key,
                client_ca=tls_client_ca,
            ),
            "access": from_environment(AccessSettings, prefix="QUICKSTUDY_ACCESS_", tokens=tokens),
        }
        run_server(from_environment(ServerSettings, policy=policy, **given))


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder of Parquet files, for `quickstudy replay --log`.")],
    redis: Annotated[
        str | None, typer.Option(help="redis://, rediss:// or unix:// URL.", envvar="QUICKSTUDY_REDIS")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Or the folder of an embedded store that is running.")] = Path(
        "quickstudy-data"
    ),
    tenant: Annotated[str, typer.Option(help="Whose log; empty: that of a service without tenants.")] = "",
    json_file: Json = None,
) -> None:
    """Bring the decision log from Redis into Parquet files; goes on where the last export stopped."""
    with clear_errors():
        from dataclasses import asdict

        from redis import Redis

        from replay.rewards import Rewards
        from service.export import export as progress_of
        from service.settings import DecisionSettings, StoreSettings, from_environment
        from service.store import shown
        from service.store.embedded import EmbeddedStore

        settings = from_environment(DecisionSettings, prefix="QUICKSTUDY_DECISIONS_")
        prefix = from_environment(StoreSettings, prefix="QUICKSTUDY_STORE_").prefix
        url = redis or EmbeddedStore(data_dir).url
        try:
            client = Redis.from_url(url)
        except ValueError as error:
            raise InputError(f"redis must be a redis://, rediss:// or unix:// URL, got {shown(url)!r}") from error
        rewards = Rewards(settings.reward_window_s, settings.default_reward)
        with client:
            for done in progress_of(client, out, prefix=prefix, tenant=tenant, shards=settings.shards, rewards=rewards):
                typer.echo(
                    f"{done.decisions:,} decisions, {done.events:,} events, {done.left:,} entries left", err=True
                )
        told = f"{done.decisions:,} decisions, {done.events:,} events, {done.activations:,} activations"
        typer.echo(f"{told}, {done.shadows:,} slates of shadows -> {out}")
        if done.lost:
            typer.echo(
                f"{done.lost:,} entries had left the log before: export more often, or raise QUICKSTUDY_DECISIONS_CAP",
                err=True,
            )
        keep(json_file, asdict(done))


app.command("replay")(replay)


@token_commands.command("create")
def create_token(
    file: Annotated[Path, typer.Argument(help="File that its hash is added to: --tokens of `quickstudy serve`.")],
    name: Annotated[str, typer.Option(help="Whose it is; tokens of one name share a rate limit.")],
    scope: Annotated[list[str], typer.Option(help="What it may do: read, write or admin; may be repeated.")],
    tenant: Annotated[str, typer.Option(help="Whose users it sees; empty: those of a service without tenants.")] = "",
    days: Annotated[float, typer.Option(help="Days until it expires.")] = 90.0,
) -> None:
    """Make a token, keep its hash and print it, this once."""
    with clear_errors():
        from service.access import tokens as kept

        secret, token = kept.create(name, tenant, scope, days)
        kept.append(file, token)
        typer.echo(
            f"added to {file}, expires {token.expires:%Y-%m-%d %H:%M} UTC; the token is shown only now:", err=True
        )
        typer.echo(secret)


@app.command()
def version() -> None:
    """The installed version."""
    from importlib.metadata import version as installed

    typer.echo(installed("quickstudy"))


def check_sources(decisions: Path | None, start: Path | None, hold_out: float, others: tuple[Any, ...]) -> None:
    """Refuses a training from two sources, and options of a log of decisions without one."""
    if decisions is None and (start is not None or hold_out):
        raise InputError("--from and --hold-out go with --decisions, the folder of a service's log")
    if decisions is not None and any(others):
        raise InputError(
            "--decisions is all that is learnt from: leave out --interactions, --users, --movielens, --env"
        )


def world(
    name: str, users: int, arguments: list[str] | None = None, log: LogFiles = (None, None, None), part: str = "all"
) -> Any:
    """A simulated world by name, with some constants of other values; `fitted` of a log, by default of its users."""
    from simulators import WORLDS
    from simulators.arguments import made
    from simulators.fitted import Fitted

    if name == Fitted.name:
        return fitted(users, arguments or [], log, part)
    if name not in WORLDS:
        tasks = f" (to train also {', '.join(task_families())})"
        raise InputError(f"env must be one of {', '.join(WORLDS)}, {Fitted.name}{tasks}, got {name!r}")
    if any(log):
        raise InputError(f"--interactions, --items and --movielens go with --env {Fitted.name}, got --env {name}")
    return made(WORLDS[name], users, arguments or ())


def crowd(target: str, token: str | None, ca: Path | None) -> Crowd:
    """New users of a running service, under a name that nobody had before."""
    from uuid import uuid4

    from service.access.credentials import of_caller
    from service.client.crowd import Crowd

    return Crowd(target, f"simulated-{uuid4().hex}", token=token, credentials=of_caller(ca))


def fitted(users: int, arguments: list[str], log: LogFiles, part: str) -> Any:
    """The world of a log, whose users are of this part where the arguments do not name another."""
    from simulators.arguments import named, parsed
    from simulators.factors import fit
    from simulators.fitted import Fitted

    if not any(log):
        raise InputError(f"--env {Fitted.name} needs a log: give --interactions and --items, or --movielens")
    how, constants = parsed(arguments, fit, Fitted)
    interactions, items, movielens = log
    population = fit(*read_log(interactions, items, None, movielens), **how)
    typer.echo(
        f"{len(population):,} users who like, {len(population.rows):,} items; likes held out are foretold "
        f"{population.gain:.2f} nats better than from popularity alone"
    )
    constants = {"part": part} | constants
    built = Fitted(users, population=population, **constants)
    built.name = named(built.name, how | constants)
    return built


def task_families() -> Mapping[str, Any]:
    """Families of control tasks by name."""
    from simulators import TASKS

    return TASKS


def main() -> None:
    """The console command."""
    app()


if __name__ == "__main__":
    main()
