"""A client of the service, asyncio or blocking: retries, hedging, batches of events, typed results."""

from service.client.blocking import BlockingClient, BlockingOutbox
from service.client.call_error import CallError
from service.client.client import Client
from service.client.habits import PLAIN, Habits
from service.client.messages import answers, attributes, context, event
from service.client.outbox import Outbox, UndeliveredError
from service.client.results import EventResult, EventStatus, Slate, Source

__all__ = [
    "PLAIN",
    "BlockingClient",
    "BlockingOutbox",
    "CallError",
    "Client",
    "EventResult",
    "EventStatus",
    "Habits",
    "Outbox",
    "Slate",
    "Source",
    "UndeliveredError",
    "answers",
    "attributes",
    "context",
    "event",
]
