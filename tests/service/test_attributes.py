"""What is known of users and requests beside histories, from the call to the slate, with answers worked out by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Manifest, save
from meta.columns import Column
from meta.spec import Spec
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.store import attributes, connect
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server

PLAN = Column("plan", "category", vocabulary=("free", "paid"))
AGE = Column("age", "number", mean=(40.0,), std=(10.0,))
TAGS = Column("tags", "multihot", vocabulary=("x", "y"))
FACE = Column("face", "vector", mean=(0.0, 0.0), std=(1.0, 1.0))
DEVICE = Column("device", "category", vocabulary=("phone", "tv"))
ITEMS = ["i0", "i1", "i2"]


def told(plan: str = "", **numbers: float) -> pb.Attributes:
    """Attributes of a plan and of numbers."""
    return pb.Attributes(numbers=numbers, categories={"plan": pb.Words(values=[plan])} if plan else {})


def eye_policy(folder: Path) -> Path:
    """Item j is liked along axis j, by all a little, by age as it exceeds 40; free users like i0, paid ones i2.

    On a phone everybody likes i0 best, on a tv i2. Unknown users in unknown contexts get i1.
    """
    spec = Spec(items=3, features=3, width=3, hidden=3, adapter="frozen", attributes=3, context=2)
    blank = {name: np.zeros_like(value) for name, value in q_network.init(spec, np.random.default_rng(0)).items()}
    axes = np.eye(3, dtype=np.float32)
    blank |= {
        "item.q.linear": axes,
        "item.q.bias": np.float32([0.0, 0.1, 0.0]),
        "taste.m": axes,
        "prior.attributes": np.float32([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),  # free, paid, age
        "state.w2": axes,
        "taste.q": 9.0 * axes,
    }
    blank["state.w1"][-2:] = [[1, 0, 0], [0, 0, 1]]  # phone, tv
    manifest = Manifest(spec, attributes=(PLAN, AGE), context=(DEVICE,))
    save(folder, manifest, blank, Catalogue.from_features(ITEMS, axes, ["x", "y", "z"]))
    return folder


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that policy."""
    running = start_server(eye_policy(tmp_path_factory.mktemp("eye") / "p"), tmp_path_factory.mktemp("data"))
    yield running
    assert running.stop() == 0


@pytest.fixture
async def client(eyes: Server) -> AsyncIterator[Client]:
    """A client of it."""
    async with Client(eyes.target) as connected:
        yield connected


async def first(client: Client, user: str, context: pb.Context | None = None) -> str:
    """The best item for a user."""
    reply = await client.recommend(user, ITEMS, mode=pb.MODE_GREEDY, context=context)
    return reply.items[0].item_id


async def test_attributes_move_the_cold_start(client: Client) -> None:
    """Before any event the slate follows what is known of the user, and of several users in one batch."""
    users = {"free": told("free"), "paid": told("paid"), "old": told("free", age=75), "odd": told("gold")}
    await client.upsert_users([pb.User(user_id=name, attributes=known) for name, known in users.items()])
    asked = await asyncio.gather(*(first(client, name) for name in [*users, "nobody"]))
    assert ["i0", "i2", "i1", "i1", "i1"] == asked


async def test_a_cached_copy_does_not_outlive_its_attributes(client: Client) -> None:
    """A copy that is cached under one plan is not used after the plan has changed, nor after it is erased."""
    await client.record([pb.Event(event_id="e", user_id="mover", item_id="i1", reward=1.0)])
    seen = []
    for known in (told("free"), told("paid"), pb.Attributes()):
        await client.upsert_users([pb.User(user_id="mover", attributes=known)])
        assert not (await client.get_user("mover")).copy.current
        seen.append(await first(client, "mover"))
        while not (await client.get_user("mover")).copy.current:
            await asyncio.sleep(0.01)
        seen.append(await first(client, "mover"))
    assert ["i0", "i0", "i2", "i2", "i1", "i1"] == seen


async def test_attributes_are_shown_replaced_and_erased(client: Client) -> None:
    """GetUser shows what was said last, whole; DeleteUser erases it."""
    await client.upsert_users([pb.User(user_id="shown", attributes=told("paid", shoe=43.5))])
    await client.upsert_users([pb.User(user_id="shown", attributes=told("free"))])
    kept = await client.get_user("shown")
    assert (told("free"), False) == (kept.attributes, kept.copy.present)
    assert [True, False] == [await client.delete_user("shown"), await client.delete_user("shown")]
    assert pb.GetUserResponse() == await client.get_user("shown")
    assert "i1" == await first(client, "shown")


async def test_names_that_the_policy_does_not_know_are_counted(client: Client, eyes: Server) -> None:
    """They are ignored, named once in the reply, and counted for each user; so are names of another kind."""
    name = 'quickstudy_unknown_names_total{call="UpsertUsers"}'
    before = eyes.metrics().get(name, 0.0)
    wrong = pb.Attributes(numbers={"plan": 1.0, "shoe": 43.0})
    unknown = await client.upsert_users(
        [pb.User(user_id="a", attributes=wrong), pb.User(user_id="b", attributes=told("free", shoe=1))]
    )
    assert (["plan", "shoe"], 3.0) == (unknown, eyes.metrics()[name] - before)
    assert ("i1", "i0") == (await first(client, "a"), await first(client, "b"))


async def test_the_context_of_a_request_moves_its_slate(client: Client, eyes: Server) -> None:
    """A device that the policy knows decides; one that it does not, or none, leaves the slate as it was."""
    name = 'quickstudy_unknown_names_total{call="Recommend"}'
    before = eyes.metrics().get(name, 0.0)
    contexts = [
        pb.Context(categories={"device": "phone"}),
        pb.Context(categories={"device": "tv"}),
        pb.Context(categories={"device": "fridge"}),
        pb.Context(categories={"weather": "rain"}, numbers={"device": 1.0}),
        None,
    ]
    seen = await asyncio.gather(*(first(client, "anybody", context) for context in contexts))
    assert (["i0", "i2", "i1", "i1", "i1"], 2.0) == (seen, eyes.metrics()[name] - before)


async def test_damaged_attributes_harm_nobody(client: Client, eyes: Server) -> None:
    """Bytes that are no attributes count as none."""
    redis = connect(EmbeddedStore(eyes.data_dir).url)
    await redis.set("{hurt}:a", b"\xff" * 30)
    await redis.aclose()
    assert "i1" == await first(client, "hurt")
    assert pb.GetUserResponse() == await client.get_user("hurt")


BAD_USERS: list[tuple[pb.Attributes, str]] = [
    (told(a=math.nan), '.numbers["a"] must be finite, got nan'),
    (told(**{"n" * 129: 1.0}), ".numbers must have names of 1..128 bytes, got 129"),
    (pb.Attributes(categories={"c": pb.Words()}), '.categories["c"] must hold 1..64 words, got 0'),
    (
        pb.Attributes(categories={"c": pb.Words(values=[""])}),
        '.categories["c"] must have words of 1..256 bytes, got 0',
    ),
    (pb.Attributes(vectors={"v": pb.Vector(values=[1, math.inf])}), '.vectors["v"] must be finite, got inf'),
    (
        pb.Attributes(vectors={"v": pb.Vector(values=[0] * 1_025)}),
        '.vectors["v"] must hold 1..1,024 numbers, got 1,025',
    ),
    (pb.Attributes(vectors={"v": pb.Vector(values=[0] * 2_048)}), " must have at most 16,384 bytes, got 16,399"),
]


async def refused(client: Client, users: list[pb.User]) -> str:
    """Why a call of UpsertUsers was INVALID_ARGUMENT."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.upsert_users(users)
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
    return caught.value.details() or ""


@pytest.mark.parametrize(("bad", "words"), BAD_USERS, ids=[words for _, words in BAD_USERS])
async def test_bad_attributes_are_refused_by_name(client: Client, bad: pb.Attributes, words: str) -> None:
    """The error names field, rule and value, and nothing of the call is kept."""
    users = [pb.User(user_id="beside", attributes=told("paid")), pb.User(user_id="bad", attributes=bad)]
    assert f"users[1].attributes{words}" == await refused(client, users)
    assert not (await client.get_user("beside")).HasField("attributes")


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ([], "users must hold 1..1,000 users, got 0"),
        ([pb.User(user_id="u")] * 1_001, "users must hold 1..1,000 users, got 1,001"),
        ([pb.User(user_id="u"), pb.User()], "users[1].user_id must have 1..256 bytes, got 0"),
    ],
)
async def test_bad_users_are_refused_by_name(client: Client, users: list[pb.User], words: str) -> None:
    """A call of no, too many or nameless users is refused as a whole."""
    assert words == await refused(client, users)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (pb.Context(numbers={"hour": math.inf}), 'context.numbers["hour"] must be finite, got inf'),
        (pb.Context(numbers={"": 1.0}), "context.numbers must have names of 1..128 bytes, got 0"),
        (pb.Context(categories={"c": "w" * 257}), 'context.categories["c"] must have 0..256 bytes, got 257'),
        (
            pb.Context(numbers={f"{n}": 0.0 for n in range(65)}),
            "context.numbers must hold 0..64 names, got 65",
        ),
    ],
)
async def test_bad_contexts_are_refused_by_name(client: Client, context: pb.Context, words: str) -> None:
    """INVALID_ARGUMENT names field, rule and value."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.recommend("u", ITEMS, context=context)
    assert (grpc.StatusCode.INVALID_ARGUMENT, words) == (caught.value.code(), caught.value.details())


def test_every_kind_of_column_is_encoded() -> None:
    """Kept attributes become features: 50 is one deviation above 40; what is missing or misfit is zero."""
    full = pb.Attributes(
        numbers={"age": 50.0},
        categories={"plan": pb.Words(values=["paid"]), "tags": pb.Words(values=["y", "x", "z"])},
        vectors={"face": pb.Vector(values=[0.5, -0.5])},
    )
    misfit = pb.Attributes(
        numbers={"age": 1e300},
        categories={"plan": pb.Words(values=["free", "paid"]), "tags": pb.Words(values=["z"])},
        vectors={"face": pb.Vector(values=[1.0])},
    )
    kept = [attributes.pack(full), None, attributes.pack(misfit), attributes.pack(pb.Attributes()), b"\xff" * 30]
    features = attributes.features(kept, (AGE, PLAN, TAGS, FACE))
    assert [[1, 0, 1, 1, 1, 0.5, -0.5], [0] * 7, [10, 0, 0, 0, 0, 0, 0], [0] * 7, [0] * 7] == features.tolist()
    assert ({"plan", "face"}, set()) == tuple(
        attributes.unknown(known, (AGE, PLAN, TAGS, FACE)) for known in (misfit, full)
    )


def test_marks_tell_contents_apart() -> None:
    """Equal attributes have equal marks in whatever order they are given, other ones another, none 0."""
    one, same, other = told("paid", a=1, b=2), told("paid", b=2, a=1), told("paid", a=1, b=3)
    first, second, third, none = attributes.marks([*map(attributes.pack, (one, same, other)), None]).tolist()
    assert (True, True, 0) == (first == second, first != third, none)
