"""Generates the Python stubs beside the .proto files: `python -m protos.generate [--check]`."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
FOLDER = Path("quickstudy/v1")
SERVICES = [str(FOLDER / name) for name in ("recommender.proto", "policies.proto", "evaluation.proto")]
MESSAGES = [*SERVICES, str(FOLDER / "decision.proto")]


def generate(out: Path) -> None:
    """Writes all stubs under `out`; they import each other as `protos.quickstudy.v1`.

    Raises:
        RuntimeError: protoc refused a file (its message is on stderr).
    """
    import grpc_tools
    from grpc_tools import protoc

    include = [f"-I{ROOT}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    for arguments in (
        [f"--python_out={out}", f"--pyi_out={out}", *MESSAGES],
        [f"--grpc_python_out={out}", *SERVICES],
    ):
        if protoc.main(["protoc", *include, *arguments]) != 0:
            raise RuntimeError(f"protoc refused {arguments[-1]}")
    for stub in _stubs(out):  # protoc knows the module root `protos/` only, Python knows the one above it
        stub.write_text(re.sub(r"^from quickstudy\.v1", "from protos.quickstudy.v1", stub.read_text(), flags=re.M))


def main(arguments: list[str]) -> int:
    """Regenerates the stubs, or with --check says which ones are not what the .proto files give."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        generate(out)
        fresh = {stub.relative_to(out): stub.read_bytes() for stub in _stubs(out)}
        if arguments == ["--check"]:
            old = {stub.relative_to(ROOT): stub.read_bytes() for stub in _stubs(ROOT)}
            stale = sorted(str(name) for name in fresh.keys() | old.keys() if fresh.get(name) != old.get(name))
            if stale:
                print(f"stubs differ from their .proto files, run `make protos`: {', '.join(stale)}", file=sys.stderr)
            return len(stale) > 0
        for stub in _stubs(ROOT):
            stub.unlink()
        for name in fresh:
            shutil.copy(out / name, ROOT / name)
    return 0


def _stubs(root: Path) -> list[Path]:
    return sorted((root / FOLDER).glob("*_pb2*.py*"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
