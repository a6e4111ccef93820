"""Every adapter by name."""

from meta.adapters.frozen import Prior
from meta.adapters.maml import Maml
from meta.adapters.port import Adapter, Support
from meta.adapters.ridge import Ridge
from meta.errors import InputError

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (Prior("frozen", sees_session=False), Prior("session", sees_session=True), Ridge(), Maml())
}


def named(name: str) -> Adapter:
    """The adapter of this name; InputError lists the names there are."""
    if name not in ADAPTERS:
        raise InputError(f"adapter must be one of {', '.join(ADAPTERS)}, got {name!r}")
    return ADAPTERS[name]


__all__ = ["ADAPTERS", "Adapter", "Support", "named"]
