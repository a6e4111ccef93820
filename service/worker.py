"""A worker: one of several processes that serve on one port, as `service.supervisor` starts them.

`python -m service.worker SLOT`, with all settings in the environment. It tells its parent on stdout that it serves, or
why it cannot, and ends when its parent does: then its stdin is closed.
"""

from __future__ import annotations

import sys

from prometheus_client import values

from meta.errors import InputError
from service import server
from service.settings import ServerSettings, from_environment
from service.supervisor import FAILED


def main(slot: int) -> None:
    """Serves in a slot, whose counts it carries on where a worker before it left them."""
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call] # untyped there
    try:
        server.serve(from_environment(ServerSettings), worker=True)
    except InputError as error:
        print(f"{FAILED}{error}", flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main(int(sys.argv[1]))
