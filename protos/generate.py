"""Generates the Python stubs beside the .proto files: `python -m protos.generate [--check]`.

With `--image` prints the contract as one FileDescriptorSet, imports and comments included: what `buf lint` reads.
"""

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
RULES = "buf/validate/validate.proto"
"""What the options of fields are made of. Package protovalidate brings it, as a descriptor instead of a file."""


def generate(out: Path) -> None:
    """Writes all stubs under `out`; they import each other as `protos.quickstudy.v1` and `protos.buf.validate`.

    Raises:
        RuntimeError: protoc refused a file (its message is on stderr).
    """
    _protoc(f"--python_out={out}", f"--pyi_out={out}", *MESSAGES)
    _protoc(f"--grpc_python_out={out}", *SERVICES)
    _protoc(f"--python_out={out}", RULES)
    ours = re.compile(r"^from (quickstudy\.v1|buf\.validate)", flags=re.M)
    for stub in _stubs(out):  # protoc knows the module root `protos/` only, Python knows the one above it
        stub.write_text(ours.sub(r"from protos.\1", stub.read_text()))


def main(arguments: list[str]) -> int:
    """Regenerates the stubs, or with --check says which ones are not what the .proto files give."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if arguments == ["--image"]:
            _protoc(f"--descriptor_set_out={out / 'image'}", "--include_imports", "--include_source_info", *MESSAGES)
            sys.stdout.buffer.write((out / "image").read_bytes())
            return 0
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


def _protoc(*arguments: str) -> None:
    """Runs protoc on files of ours, and of protovalidate. Raises RuntimeError where it refuses."""
    import grpc_tools
    from grpc_tools import protoc
    from protobuf.wkt.google.protobuf.descriptor_pb import FileDescriptorSet
    from protovalidate import ViolationPb

    include = [f"-I{ROOT}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    with tempfile.NamedTemporaryFile() as rules:
        rules.write(FileDescriptorSet(file=[ViolationPb.desc().file.proto]).to_binary())
        rules.flush()
        if protoc.main(["protoc", *include, f"--descriptor_set_in={rules.name}", *arguments]) != 0:
            raise RuntimeError(f"protoc refused {arguments[-1]}")


def _stubs(root: Path) -> list[Path]:
    return sorted(root.glob("*/*/*_pb2*.py*"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
