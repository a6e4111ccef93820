"""The life of a policy: versions come to serve, step back and fail while calls go on, by port and store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from redis import Redis

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import WEIGHTS, Manifest, load, save
from meta.policy import Policy
from meta.spec import Spec
from meta.types import Context
from protos.quickstudy.v1 import decision_pb2, recommender_pb2
from protos.quickstudy.v1 import policies_pb2 as pb
from protos.quickstudy.v1.policies_pb2_grpc import PoliciesStub
from service.access.tenants import user_key
from service.client import Client
from service.client.habits import PLAIN
from service.client.results import Slate
from service.policies.library import opened
from service.policies.lineup import in_canary
from service.store import history
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server
from tests.service.test_popularity import like, scores, time_policy

ITEMS = 60
OUTCOMES = ("activated", "rolled back", "refused")
IDS = [f"i{n}" for n in range(ITEMS)]


def made(folder: Path, seed: int, column: str = "f", history_cap: int = 64) -> Path:
    """A policy of drawn weights, whose items stand in an order of their own, so that rows of two versions differ."""
    rng = np.random.default_rng(seed)
    ids = [IDS[n] for n in rng.permutation(ITEMS)]
    catalogue = Catalogue.from_features(ids, rng.standard_normal((ITEMS, 4)), [f"{column}{n}" for n in range(4)])
    spec = Spec(items=ITEMS, features=4, width=8, hidden=8, adapter="maml", history=history_cap)
    save(folder, Manifest(spec, temperature=0.5), q_network.init(spec, rng), catalogue)
    return folder


@dataclass(frozen=True)
class Shop:
    """A store of versions, and the policies in it by version."""

    folder: Path
    versions: tuple[str, ...]
    policies: dict[str, Policy]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three sound versions of one shop."""
    root = tmp_path_factory.mktemp("shop")
    library = opened(str(root / "versions"), root / "cache")
    versions = tuple(library.add(made(root / f"p{seed}", seed)) for seed in range(3))
    return Shop(root / "versions", versions, {version: library.load(version) for version in versions})


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store that services share, each test under a prefix of its own."""
    store = EmbeddedStore(tmp_path_factory.mktemp("store"))
    store.start()
    yield store
    store.stop()


Start = Callable[..., Server]


@pytest.fixture
def start(shop: Shop, redis: EmbeddedStore, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts services of the shop; the first version serves first."""
    running: list[Server] = []

    def started(**environment: str) -> Server:
        given = {"POLICIES_STORE": str(shop.folder), "POLICIES_FIRST": shop.versions[0], "REDIS": redis.url}
        given |= {"STORE_PREFIX": f"{request.node.name}:", "POLICIES_REFRESH_S": "0.1", **environment}
        running.append(start_server(None, tmp_path / str(len(running)), **given))
        return running[-1]

    yield started
    for server in running:
        if server.process.poll() is None:
            assert server.stop() == 0


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Server], Any]]:
    """Stubs of service Policies."""
    channels: list[grpc.aio.Channel] = []

    def stub(server: Server) -> Any:
        channels.append(grpc.aio.insecure_channel(server.target))
        return PoliciesStub(channels[-1])

    yield stub
    for channel in channels:
        await channel.close()


async def refused(call: Awaitable[Any]) -> tuple[str, str, str]:
    """Status, stable reason and text of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailer = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(trailer).details:
        detail.Unpack(info)
    return caught.value.code().name, info.reason, str(caught.value.details())


async def served(client: Client, user: str = "u") -> str:
    """Which version answers a user."""
    return (await client.recommend(user, IDS[:5])).adaptation.policy_version


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 2.0) -> None:
    """Waits for what has to be true within so many seconds; longer on a crowded machine would be a fault too."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_versions_are_listed_activated_and_rolled_back(start: Start, shop: Shop, connect: Any) -> None:
    """The lineup tells who serves; going back twice goes back two changes, then there is nothing before."""
    first, second, third = shop.versions
    server = start()
    policies = connect(server)
    told = await policies.ListPolicies(pb.ListPoliciesRequest())
    assert (first, 1, False) == (told.lineup.active, told.generation, told.HasField("before"))
    assert sorted(shop.versions) == [policy.version for policy in told.policies]
    roles = {policy.version: policy.role for policy in told.policies}
    assert roles == {first: pb.POLICY_ROLE_ACTIVE, second: pb.POLICY_ROLE_IDLE, third: pb.POLICY_ROLE_IDLE}
    async with Client(server.target, habits=PLAIN) as client:
        for generation, version in ((2, second), (3, third)):
            done = await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=version))
            assert (version, generation) == (done.lineup.active, done.generation)
            assert version == await served(client)
        again = await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=third))
        assert again.generation == 3
        told = await policies.ListPolicies(pb.ListPoliciesRequest())
        assert (third, second) == (told.lineup.active, told.before.active)
        for generation, version in ((4, second), (5, first)):
            done = await policies.RollBackPolicy(pb.RollBackPolicyRequest(generation=generation - 1))
            assert (version, generation) == (done.lineup.active, done.generation)
            assert version == await served(client)
    about = (await policies.GetPolicy(pb.GetPolicyRequest(version=first))).policy
    assert ("maml", ITEMS, ["f0", "f1", "f2", "f3"]) == (about.adapter, about.items, list(about.item_features))
    assert (await refused(policies.RollBackPolicy(pb.RollBackPolicyRequest())))[:2] == (
        "FAILED_PRECONDITION",
        "NOTHING_BEFORE",
    )
    found = server.metrics()
    assert found[f'quickstudy_policy_info{{adapter="maml",role="active",version="{first}"}}'] == 1
    assert found[f'quickstudy_policy_info{{adapter="maml",role="active",version="{third}"}}'] == 0
    outcomes = [
        found[f'quickstudy_activations_total{{outcome="{x}"}}'] for x in ("activated", "rolled back", "refused")
    ]
    assert outcomes == [3, 2, 1]


async def test_what_cannot_serve_is_refused_and_the_old_version_stays(
    start: Start, shop: Shop, connect: Any, tmp_path: Path
) -> None:
    """Truncated weights, an unfinished copy, other features, unknown versions: each with its reason."""
    library = opened(str(tmp_path / "versions"), tmp_path)
    old = library.add(made(tmp_path / "old", 10))
    drawn = ("cut", 11, "f"), ("half", 12, "f"), ("foreign", 13, "g")
    cut, half, foreign = (library.add(made(tmp_path / name, seed, column)) for name, seed, column in drawn)
    weights = tmp_path / "versions" / cut / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-200])
    (tmp_path / "versions" / half / WEIGHTS).unlink()
    server = start(POLICIES_STORE=str(tmp_path / "versions"), POLICIES_FIRST=old)
    policies = connect(server)

    def activate(version: str, **more: Any) -> Awaitable[Any]:
        answer: Awaitable[Any] = policies.ActivatePolicy(pb.ActivatePolicyRequest(version=version, **more))
        return answer

    for version, reason, text in (
        (cut, "UNUSABLE_POLICY", "truncated or damaged"),
        (half, "UNUSABLE_POLICY", "cannot read"),
        (foreign, "OTHER_FEATURES", "without f0 (number), f1"),
    ):
        status, why, told = await refused(activate(version))
        assert (status, why) == ("FAILED_PRECONDITION", reason)
        assert text in told
    assert (await refused(activate("0" * 16)))[:2] == ("NOT_FOUND", "UNKNOWN_VERSION")
    assert (await refused(policies.GetPolicy(pb.GetPolicyRequest(version="0" * 16))))[0] == "NOT_FOUND"
    for bad in ({"version": "x"}, {"version": old, "canary_share": 1.0}, {"version": cut, "canary_share": -0.1},
                {"version": cut, "canary_share": 0.1, "shadow": True}, {"version": old, "shadow": True}):  # fmt: skip
        assert (await refused(activate(**bad)))[:2] == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert (await refused(activate(foreign, other_features=True, generation=7)))[:2] == ("ABORTED", "CHANGED_MEANWHILE")
    async with Client(server.target, habits=PLAIN) as client:
        assert old == await served(client)
        assert (await policies.ListPolicies(pb.ListPoliciesRequest())).generation == 1
        await activate(foreign, other_features=True)
        assert foreign == await served(client)


async def test_a_store_that_has_lost_the_lineup_is_told_it_again(
    start: Start, shop: Shop, connect: Any, redis: EmbeddedStore, request: pytest.FixtureRequest
) -> None:
    """What serves goes on serving, and can be changed, and what was before it is not forgotten."""
    server = start()
    policies = connect(server)
    first, second, third = shop.versions
    await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=second))
    with Redis.from_url(redis.url) as raw:
        assert raw.delete(f"{request.node.name}:{{qs:policies}}") == 1
    async with Client(server.target, habits=PLAIN) as client:
        assert second == await served(client)
        done = await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=third))
        assert (third, 2) == (done.lineup.active, done.generation)
        for before in (second, first):
            await policies.RollBackPolicy(pb.RollBackPolicyRequest())
            assert before == await served(client)


async def test_replicas_follow(start: Start, shop: Shop, connect: Any) -> None:
    """All processes on one store serve what one was told within 2 s."""
    one, two = start(), start(WORKERS="2")
    policies = connect(one)
    async with Client(two.target, habits=PLAIN) as client:
        await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=shop.versions[1]))

        async def everywhere() -> bool:
            found = two.metrics()
            return found.get('quickstudy_activations_total{outcome="followed"}') == 2

        await until(everywhere)
        assert shop.versions[1] == await served(client)


async def test_a_replica_that_lacks_a_version_serves_on(start: Start, shop: Shop, connect: Any, tmp_path: Path) -> None:
    """It stays where it is and says for how long, until its own store of versions has what the others serve."""
    library = opened(str(tmp_path / "versions"), tmp_path)
    first = library.add(shop.folder / shop.versions[0])
    one, two = start(), start(POLICIES_STORE=str(tmp_path / "versions"))
    await connect(one).ActivatePolicy(pb.ActivatePolicyRequest(version=shop.versions[1]))
    async with Client(two.target, habits=PLAIN) as client:

        async def tried() -> bool:
            found = two.metrics()
            return found.get('quickstudy_activations_total{outcome="not followed"}') == 1

        await until(tried)
        assert first == await served(client)
        assert two.metrics()["quickstudy_lineup_behind_seconds"] > 0
        library.add(shop.folder / shop.versions[1])

        async def followed() -> bool:
            return shop.versions[1] == await served(client)

        await until(followed, 10)
    assert two.metrics()["quickstudy_lineup_behind_seconds"] == 0


async def test_a_version_that_is_gone_at_the_start_gives_way_to_the_one_before(
    start: Start, shop: Shop, connect: Any, tmp_path: Path
) -> None:
    """The service serves, and the metrics say for how long not the latest; once that is back, it is followed."""
    library = opened(str(tmp_path / "versions"), tmp_path)
    folders = [made(tmp_path / f"q{seed}", seed) for seed in (20, 21)]
    old, new = map(library.add, folders)
    where = {"POLICIES_STORE": str(tmp_path / "versions"), "POLICIES_FIRST": old}
    server = start(**where)
    await connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=new))
    server.kill()
    weights = tmp_path / "versions" / new / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100])
    again = start(**where)
    async with Client(again.target, habits=PLAIN) as client:
        assert old == await served(client)
        assert again.metrics()["quickstudy_lineup_behind_seconds"] > 0
        library.add(folders[1])

        async def followed() -> bool:
            return new == await served(client)

        await until(followed, 10)
    assert again.metrics()["quickstudy_lineup_behind_seconds"] == 0


async def test_the_canary_serves_its_users_alone(start: Start, shop: Shop, connect: Any, redis: EmbeddedStore) -> None:
    """Each user by the hash that the lineup's salt gives, in calls and in their own cached copy."""
    server = start()
    policies = connect(server)
    first, second, _ = shop.versions
    await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=second, canary_share=0.3))
    users = [f"user-{n}" for n in range(150)]
    prefix = "test_the_canary_serves_its_users_alone:"
    with Redis.from_url(redis.url) as raw:
        salt = json.loads(raw.hget(f"{prefix}{{qs:policies}}", "lineups") or "")[0]["salt"]
    expected = [second if in_canary(user_key("", user), salt, 0.3) else first for user in users]
    assert 20 <= expected.count(second) <= 70
    async with Client(server.target, habits=PLAIN) as client:
        assert expected == list(await asyncio.gather(*(served(client, user) for user in users)))
        chosen = users[expected.index(second)]
        await client.record([recommender_pb2.Event(event_id="e", user_id=chosen, item_id="i3", reward=1.0)])
        await served(client, chosen)

        async def kept() -> bool:
            copy = (await client.get_user(chosen)).copy
            return copy.current and copy.policy_version == second

        await until(kept)
    assert server.metrics()["quickstudy_canary_share_ratio"] == 0.3
    await policies.RollBackPolicy(pb.RollBackPolicyRequest())
    async with Client(server.target, habits=PLAIN) as client:
        assert first == await served(client, chosen)


def logged(redis: EmbeddedStore, prefix: str) -> list[decision_pb2.Decision]:
    """All entries of the decision log."""
    with Redis.from_url(redis.url) as raw:
        streams = [raw.xrange(f"{prefix}qs:decisions:{n}") for n in range(4)]
    return [decision_pb2.Decision.FromString(fields[b"d"]) for stream in streams for _, fields in stream]


async def test_a_shadow_is_logged_beside_the_decision(
    start: Start, shop: Shop, connect: Any, redis: EmbeddedStore
) -> None:
    """Nobody sees its slates; they are those that it would have shown the same user with the same seed."""
    server = start()
    first, second, _ = shop.versions
    await connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=second, shadow=True))
    async with Client(server.target, habits=PLAIN) as client:
        await client.record([recommender_pb2.Event(event_id="e", user_id="u", item_id="i3", reward=1.0)])
        replies = [await client.recommend("u", IDS[:20], slate_size=5, seed=n) for n in range(3)]
        assert {first} == {reply.adaptation.policy_version for reply in replies}

        async def ranked() -> bool:
            return server.metrics().get('quickstudy_shadow_total{result="ranked"}') == 3

        await until(ranked, 5)
    entries: list[decision_pb2.Decision] = []

    async def written() -> bool:
        entries[:] = logged(redis, "test_a_shadow_is_logged_beside_the_decision:")
        return len(entries) == 6

    await until(written, 5)
    shown = {entry.response.decision_id: entry for entry in entries if entry.HasField("response")}
    beside = {entry.shadow.decision_id: entry.shadow for entry in entries if entry.HasField("shadow")}
    assert shown.keys() == beside.keys()
    await connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=second))
    async with Client(server.target, habits=PLAIN) as client:
        for name, found in beside.items():
            assert found.adaptation.policy_version == second
            assert found.seed == shown[name].response.seed
            now = await client.recommend("u", IDS[:20], slate_size=5, seed=found.seed)
            assert now.item_ids == [item.item_id for item in found.items]
            assert [item.propensity for item in now.items] == [item.propensity for item in found.items]
            assert found.log_propensity == pytest.approx(
                sum(np.log([item.propensity for item in found.items])), abs=1e-5
            )
            assert found.adaptation.events_used == 1


async def test_items_that_changed_are_in_a_version_that_comes_later(start: Start, shop: Shop, connect: Any) -> None:
    """What was put in or taken out while another version served is ranked, or not, from its first reply on."""
    server = start()
    async with Client(server.target, habits=PLAIN) as client:
        await client.delete_items(["i3"])
        features = recommender_pb2.Attributes(numbers={f"f{n}": 0.1 for n in range(4)})
        await client.upsert_items([recommender_pb2.Item(item_id="new", features=features)])
        await connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=shop.versions[1]))
        reply = await client.recommend("u", ["i3", "new", "i4"])
        assert shop.versions[1] == reply.adaptation.policy_version
        assert ["i3"] == list(reply.unknown_ids)
        assert {"new", "i4"} == set(reply.item_ids)


async def test_a_version_that_comes_later_knows_what_is_popular(start: Start, connect: Any, tmp_path: Path) -> None:
    """Likes that were counted while another version served move its first reply: versions share the counts."""
    library = opened(str(tmp_path / "versions"), tmp_path)
    folder = time_policy(tmp_path / "p")
    first, checkpoint = library.add(folder), load(folder)
    again = replace(checkpoint.manifest, git_revision="another training")
    save(tmp_path / "q", again, checkpoint.params, checkpoint.catalogue)
    second = library.add(tmp_path / "q")
    server = start(POLICIES_STORE=str(tmp_path / "versions"), POLICIES_FIRST=first, POPULARITY_REFRESH_S="0.05")
    async with Client(server.target, habits=PLAIN) as client:
        await client.record([like("a", "i3")])

        async def counted() -> bool:
            return (await scores(client))["i3"] > 0

        await until(counted, 10)
        before = await scores(client)
        await connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=second))
        assert before == pytest.approx(await scores(client), rel=1e-4)
        assert second == (await client.recommend("stranger", ["i3"])).adaptation.policy_version


async def test_an_activation_may_ask_for_a_report(start: Start, shop: Shop, connect: Any) -> None:
    """Passed, of this version, and of the kind that is asked for; a shadow and a roll-back need none."""
    server = start(POLICIES_REQUIRE="replay")
    policies = connect(server)
    _, second, third = shop.versions

    def replayed(version: str, passed: bool) -> str:
        return json.dumps({"policies": [{"version": version}, {"version": second}], "passed": passed})

    simulated = json.dumps({"target": None, "versions": [second], "verdict": {"passed": True}})
    for report, text in (
        ("", "none was given"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        (simulated, "got one of `quickstudy simulate`"),
        (replayed(third, True), f"is of {third}, not of {second}"),
        (replayed(second, False), "did not pass"),
    ):
        status, reason, told = await refused(
            policies.ActivatePolicy(pb.ActivatePolicyRequest(version=second, canary_share=0.1, report=report))
        )
        assert (status, reason) == ("FAILED_PRECONDITION", "REPORT_NOT_PASSED")
        assert text in told
    await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=third, shadow=True))
    await policies.RollBackPolicy(pb.RollBackPolicyRequest())
    done = await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=second, report=replayed(second, True)))
    assert second == done.lineup.active


async def test_a_fixed_folder_stays_what_it_is(server: Server, connect: Any) -> None:
    """It is listed, and any change is refused with what to do."""
    policies = connect(server)
    told = await policies.ListPolicies(pb.ListPoliciesRequest())
    assert (1, 0, told.lineup.active) == (len(told.policies), told.generation, told.policies[0].version)
    for call in (
        policies.ActivatePolicy(pb.ActivatePolicyRequest(version=told.lineup.active)),
        policies.RollBackPolicy(pb.RollBackPolicyRequest()),
    ):
        assert (await refused(call))[:2] == ("FAILED_PRECONDITION", "FIXED_POLICY")


def slate(policy: Policy, ids: list[str], seed: int) -> tuple[list[str], list[float]]:
    """What a stranger is shown by a policy: five of the candidates, and each one's propensity."""
    events = history.decode([None], policy.items).events
    ranking = policy.rank(
        policy.prior(1),
        events,
        policy.items.rows(ids)[None],
        slate_size=np.array([5]),
        temperature=np.array([policy.manifest.temperature], np.float32),
        seed=np.array([seed], np.uint64),
        context=Context(np.zeros((1, 0), np.float32), np.zeros((1, 1, 0), np.float32), np.zeros((1, 1), np.int64)),
    )
    return [policy.items.id_of(row) for row in ranking.row[0]], np.exp(ranking.log_propensity[0]).tolist()


async def test_twenty_changes_under_load_fail_no_call_and_mix_no_reply(start: Start, shop: Shop, connect: Any) -> None:
    """Every reply is, item for item and propensity for propensity, what the version that it names shows."""
    server = start()
    policies = connect(server)
    _, second, third = shop.versions
    expected = {(v, seed): slate(policy, IDS[:20], seed) for v, policy in shop.policies.items() for seed in range(20)}
    replies: list[Slate] = []
    done = asyncio.Event()

    async def caller(n: int) -> None:
        async with Client(server.target, habits=PLAIN) as client:
            for seed in range(10_000):
                if done.is_set():
                    return
                replies.append(await client.recommend(f"{n}-{seed}", IDS[:20], slate_size=5, seed=seed % 20))

    callers = [asyncio.create_task(caller(n)) for n in range(8)]
    for n in range(10):
        share = 0.5 if n % 3 == 2 else 0.0
        await policies.ActivatePolicy(pb.ActivatePolicyRequest(version=(second, third)[n % 2], canary_share=share))
        await policies.RollBackPolicy(pb.RollBackPolicyRequest())
    done.set()
    await asyncio.gather(*callers)  # a call that failed raises here
    for reply in replies:
        items, propensities = expected[reply.adaptation.policy_version, reply.seed]
        assert items == reply.item_ids
        assert propensities == pytest.approx([item.propensity for item in reply.items], rel=1e-5)
    assert set(shop.versions) == {reply.adaptation.policy_version for reply in replies}


async def test_a_service_that_is_killed_in_an_activation_serves_again(start: Start, shop: Shop, connect: Any) -> None:
    """Whatever moment it dies at, what starts then serves the version before or the one that was to come."""
    first, second, _ = shop.versions
    server = start()
    for after_s in (0.0, 0.01):
        call = asyncio.ensure_future(connect(server).ActivatePolicy(pb.ActivatePolicyRequest(version=second)))
        await asyncio.sleep(after_s)
        server.kill()
        await asyncio.wait({call})
        acknowledged = call.exception() is None
        server = start()
        told = await connect(server).ListPolicies(pb.ListPoliciesRequest())
        async with Client(server.target, habits=PLAIN) as client:
            assert told.lineup.active == await served(client)
        assert told.lineup.active in ((second,) if acknowledged else (first, second))
        if told.lineup.active == second:
            await connect(server).RollBackPolicy(pb.RollBackPolicyRequest())


def test_who_serves_first_has_to_be_said(shop: Shop, redis: EmbeddedStore, tmp_path: Path) -> None:
    """Of several versions none is guessed; the only one needs no word."""
    where = {"REDIS": redis.url, "STORE_PREFIX": "first:", "POLICIES_STORE": str(shop.folder)}
    with pytest.raises(RuntimeError, match="holds 3 versions: say by QUICKSTUDY_POLICIES_FIRST which serves first"):
        start_server(None, tmp_path / "a", **where)
    library = opened(str(tmp_path / "one"), tmp_path)
    version = library.add(made(tmp_path / "p", 30, history_cap=100))
    server = start_server(None, tmp_path / "b", **where | {"POLICIES_STORE": str(tmp_path / "one")})
    assert server.metrics()[f'quickstudy_policy_info{{adapter="maml",role="active",version="{version}"}}'] == 1
    assert server.stop() == 0
