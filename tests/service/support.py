"""What the service tests share: a small real policy folder, and the real server as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Manifest, save
from meta.spec import Spec
from service.store.embedded import EmbeddedStore

ROOT = Path(__file__).parents[2]
_START = """
from service.serve import serve
from service.settings import ServerSettings, from_environment
serve(from_environment(ServerSettings))
"""


def make_policy(folder: Path, items: int = 120, scale: Mapping[str, float] | None = None, **spec: object) -> Path:
    """Writes a real policy folder with drawn, untrained weights over items "i0", "i1", ... and returns it.

    Args:
        folder: where to.
        items: size of the catalogue.
        scale: parameters to multiply.
        spec: fields of the network's spec that differ from a small one's.
    """
    rng = np.random.default_rng(7)
    features = rng.standard_normal((items, 8)).astype(np.float32)
    catalogue = Catalogue.from_features([f"i{n}" for n in range(items)], features, [f"f{n}" for n in range(8)])
    shape = Spec(items=items, features=8, **{"width": 16, "hidden": 8, "adapter": "maml", **spec})  # type: ignore[arg-type]
    params = q_network.init(shape, rng)
    params |= {name: params[name] * np.float32(factor) for name, factor in (scale or {}).items()}
    save(folder, Manifest(spec=shape, temperature=0.5), params, catalogue)
    return folder


@dataclass
class Server:
    """A running server process."""

    process: subprocess.Popen[str]
    target: str
    data_dir: Path
    metrics_port: int

    def kill(self) -> None:
        """Kills the process as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.end(10)

    def stop(self) -> int:
        """Asks the process to drain and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.end(20)

    def end(self, timeout_s: float = 20.0) -> int:
        """Waits for the process and returns its exit code."""
        code = self.process.wait(timeout_s)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used so far."""
        return self.metrics()["process_cpu_seconds_total"]

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            return samples(page.read().decode())


def samples(page: str) -> dict[str, float]:
    """The samples of a page of metrics by name with labels."""
    lines = page.splitlines()
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


def start_server(policy: Path | None, data_dir: Path, **environment: str) -> Server:
    """Starts the server on free ports and waits for its ready line.

    Raises:
        RuntimeError: it ended instead; the text is what it wrote.
    """
    given = {"DATA_DIR": str(data_dir), "PORT": "0", "METRICS_PORT": "0"}
    given |= {} if policy is None else {"POLICY": str(policy)}
    given["STORE_READ_TIMEOUT_S"] = "1"  # few tests are about a store without its share of a crowded machine
    given["LAME_DUCK_S"] = "0"  # nor about who still calls a server that they have stopped
    given |= environment
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "service.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", _START],
            cwd=ROOT,
            env=os.environ | {f"QUICKSTUDY_{name}": value for name, value in given.items()},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    ready = process.stdout.readline().strip()
    if not ready.startswith("serving on "):
        process.wait(10)
        process.stdout.close()
        raise RuntimeError(log.read_text())
    found = re.search(r"metrics on http://.*:(\d+)/metrics", log.read_text())
    assert found is not None
    return Server(process, ready.removeprefix("serving on "), data_dir, int(found[1]))


def workers(server: Server) -> dict[int, int]:
    """The processes of a server's workers by slot: of each the one that served last."""
    told = re.findall(r"worker (\d+) \(process (\d+)\) serves", (server.data_dir / "service.log").read_text())
    return {int(slot): int(pid) for slot, pid in told}


def stop_store(data_dir: Path) -> None:
    """Stops the embedded store that a killed server left behind."""
    store = EmbeddedStore(data_dir)
    store.start()
    store.stop()
