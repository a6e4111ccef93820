"""What Redis keeps: the store, its keys and scripts, and the packed layouts of histories, copies and attributes."""

from service.store.address import connect, shown
from service.store.kept import Appended, EventLog, FreshCopy, Kept
from service.store.store import NAMED, NAMED_BYTES, PIECE, Store

__all__ = ["NAMED", "NAMED_BYTES", "PIECE", "Appended", "EventLog", "FreshCopy", "Kept", "Store", "connect", "shown"]
