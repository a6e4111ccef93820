"""Every adapter by name."""

from meta.adapters.frozen import Prior
from meta.adapters.maml import Maml
from meta.adapters.port import Adapter, Support
from meta.adapters.ridge import Ridge

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (Prior("frozen", sees_session=False), Prior("session", sees_session=True), Ridge(), Maml())
}

__all__ = ["ADAPTERS", "Adapter", "Support"]
