"""Every adapter by name."""

from meta.adapters.finetune import Finetune
from meta.adapters.frozen import Prior
from meta.adapters.lstm_memory import LstmMemory
from meta.adapters.lstm_optimizer import LstmOptimizer
from meta.adapters.maml import Maml
from meta.adapters.port import Adapter, Streaming, Support
from meta.adapters.ridge import Ridge
from meta.errors import InputError

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        Prior("frozen", sees_session=False),
        Prior("session", sees_session=True),
        Finetune(),
        Ridge(),
        Maml(),
        LstmOptimizer(),
        LstmMemory(),
    )
}


def named(name: str) -> Adapter:
    """The adapter of this name; InputError lists the names there are."""
    if name not in ADAPTERS:
        raise InputError(f"adapter must be one of {', '.join(ADAPTERS)}, got {name!r}")
    return ADAPTERS[name]


__all__ = ["ADAPTERS", "Adapter", "Streaming", "Support", "named"]
