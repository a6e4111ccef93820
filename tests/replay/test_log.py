"""The log on disk."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay import log
from tests.replay.logs import decisions, events


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Lists, times and numbers come back as they were, from all files of a table."""
    log.write(tmp_path / "decisions-1.parquet", "decisions", decisions(2))
    log.write(tmp_path / "decisions-2.parquet", "decisions", decisions(1, start=2))
    log.write(tmp_path / "events-1.parquet", "events", events(3))
    found = [row for batch in log.batches(tmp_path, "decisions") for row in batch.to_pylist()]
    assert ["d0", "d1", "d2"] == [row["decision_id"] for row in found]
    assert ["b", "a"] == found[1]["slate"]
    assert 1_700_000_002_000 == int(found[2]["time"].timestamp() * 1000)
    assert (3, 3) == (log.rows(tmp_path, "decisions"), log.rows(tmp_path, "events"))


def test_an_unfinished_file_is_not_part_of_the_log(tmp_path: Path) -> None:
    """What a killed writer leaves behind has another name."""
    log.write(tmp_path / "events-1.parquet", "events", events(3))
    (tmp_path / ".events-2.parquet.unfinished").write_bytes(b"PAR1")
    assert 3 == log.rows(tmp_path, "events")


def test_another_version_is_refused(tmp_path: Path) -> None:
    """The error names the file and both versions."""
    path = tmp_path / "events-1.parquet"
    log.write(path, "events", events(1))
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"quickstudy.table": "events", "quickstudy.version": "9"}), path)
    with pytest.raises(log.LogError, match=r"events-1.parquet has version 9 of the log, this build reads 1"):
        list(log.batches(tmp_path, "events"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda table: table.drop_columns(["reward"]), "lacks column reward of version 1"),
        (
            lambda table: table.set_column(3, "reward", pa.array(["1"])),
            "column reward must be float in version 1 of the log, got string",
        ),
        (lambda table: table.replace_schema_metadata({}), "is no table of events of a quickstudy log"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, change: object, error: str) -> None:
    """One clear error: which column, which file, which version."""
    path = tmp_path / "events-1.parquet"
    log.write(path, "events", events(1))
    pq.write_table(change(pq.read_table(path)), path)  # type: ignore[operator]
    with pytest.raises(log.LogError, match=error):
        list(log.batches(tmp_path, "events"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A truncated file is named."""
    (tmp_path / "events-1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(log.LogError, match=r"events-1.parquet is no whole Parquet file"):
        list(log.batches(tmp_path, "events"))
