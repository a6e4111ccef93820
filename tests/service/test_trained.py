"""A policy that was trained with user attributes and contexts, asked through the service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from meta.columns import Encoded  # after the skip
from meta.trainer import logs
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from tests.meta.tastes import SMALL, tastes
from tests.service.support import start_server


async def test_what_training_knew_of_users_the_service_is_told(tmp_path: Path) -> None:
    """Strangers of the two plans get items of the two tastes, known or not by a device that tells nothing."""
    log, catalogue = tastes()
    plans = Encoded.fit({"plan": ["even", "odd"] * 40}, 80)
    devices = Encoded.fit({"device": np.random.default_rng(0).choice(["tv", "phone"], len(log)).tolist()}, len(log))
    for _ in logs.train(replace(log, attributes=plans, context=devices), catalogue, tmp_path / "p", settings=SMALL):
        pass
    server = start_server(tmp_path / "p", tmp_path / "data")
    async with Client(server.target) as client:
        users = {plan: pb.Attributes(categories={"plan": pb.Words(values=[plan])}) for plan in ("even", "odd")}
        assert [] == await client.upsert_users([pb.User(user_id=name, attributes=told) for name, told in users.items()])
        for context in (None, pb.Context(categories={"device": "tv"})):
            slates = {}
            for name in users:
                reply = await client.recommend(name, slate_size=10, mode=pb.MODE_GREEDY, context=context)
                slates[name] = [int(item.item_id[1:]) < 30 for item in reply.items]
            assert {"even": [True] * 10, "odd": [False] * 10} == slates
    assert server.stop() == 0
