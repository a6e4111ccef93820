"""Logs and item tables from files: every layout, and every way in which a file can be wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meta.dataset import DataError, Interactions, read, read_movielens

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "ml-latest-small"

ITEMS = 'item_id,price,kind,tags,embedding\n01,1.5,a,x|y,"[0, 1]"\n2,,a,x,"[1, 0]"\nthird,3.5,b,,\n'
LOG = "user_id,item_id,reward,timestamp\nu1,01,1,100\nu2,third,0.5,90\nu1,2,0,80\n"


def _write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="latin-1")
    return folder


def _read(folder: Path, log: str = LOG, items: str = ITEMS) -> object:
    _write(folder, log_csv=log, items_csv=items)
    return read(folder / "log.csv", folder / "items.csv")


def test_csv_tables(tmp_path: Path) -> None:
    """Ids stay strings (a leading zero survives), columns are typed, seconds become milliseconds."""
    _write(tmp_path, log_csv=LOG, items_csv=ITEMS)
    log, catalogue = read(tmp_path / "log.csv", tmp_path / "items.csv")
    assert ("01", "2", "third") == catalogue.ids
    assert ["number", "category", "multihot", "vector"] == [column.kind for column in catalogue.columns]
    assert (("u1", "u2"), [0, 1, 0], [0, 2, 1]) == (log.users, log.user.tolist(), log.item.tolist())
    assert ([1.0, 0.5, 0.0], [100_000, 90_000, 80_000]) == (log.reward.tolist(), log.time_ms.tolist())


def test_parquet_equals_csv(tmp_path: Path) -> None:
    """The same tables as Parquet, with lists instead of strings, are the same data."""
    _write(tmp_path, log_csv=LOG, items_csv=ITEMS)
    from_csv, plain = read(tmp_path / "log.csv", tmp_path / "items.csv")
    pd.read_csv(tmp_path / "log.csv", dtype={"item_id": str}).to_parquet(tmp_path / "log.parquet")
    items = pd.DataFrame(
        {
            "item_id": ["01", "2", "third"],
            "price": [1.5, None, 3.5],
            "kind": ["a", "a", "b"],
            "tags": [["x", "y"], ["x"], None],
            "embedding": [[0.0, 1.0], [1.0, 0.0], None],
        }
    )
    items.to_parquet(tmp_path / "items.parquet")
    log, catalogue = read(tmp_path / "log.parquet", tmp_path / "items.parquet")
    assert from_csv.fingerprint == log.fingerprint
    assert plain.features.tolist() == catalogue.features.tolist()


@pytest.mark.parametrize("stamp", ["2020-01-01T00:00:01Z", "1577836801", "1577836801000"])
def test_timestamps(tmp_path: Path, stamp: str) -> None:
    """ISO 8601, seconds and milliseconds name the same instant."""
    _write(tmp_path, items_csv=ITEMS, log_csv=f"user_id,item_id,reward,timestamp\nu,2,1,{stamp}\n")
    assert [1_577_836_801_000] == read(tmp_path / "log.csv", tmp_path / "items.csv")[0].time_ms.tolist()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("user_id,item_id,reward\nu,2,1\n", "lacks column timestamp; it has user_id, item_id, reward"),
        ("", "log.csv is empty"),
        ("user_id,item_id,reward,timestamp\n", "has a header but no rows"),
        (LOG + "u3,2,inf,5\n", "line 5: reward must be a finite number, got inf"),
        (LOG + "u3,2,many,5\n", "line 5: reward must be a finite number, got many"),
        (LOG + "\nu3,2,,5\n", "line 6: reward must be a finite number, got nothing"),
        (LOG + "u3,2\n", "line 5: reward must be a finite number, got nothing"),
        (LOG + "u3,2,1,5,6\n", "line 5: a row must have 4 fields, got 5"),
        (LOG + ",2,1,5\n", "line 5: user_id must not be empty, got nothing"),
        (LOG + "u3,99,1,5\n", "line 5: item_id must be in the item table, got 99"),
        (LOG + "u3,2,1,noon\n", "line 5: timestamp must be a number as in other rows, got noon"),
        (LOG + f"{'u' * 257},2,1,5\n", "line 5: user_id must have at most 256 bytes"),
    ],
)
def test_broken_logs_are_refused_by_line(tmp_path: Path, log: str, words: str) -> None:
    """One sentence names the file, the line, the rule and the value."""
    with pytest.raises(DataError, match=words):
        _read(tmp_path, log=log)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("id,x\n1,2\n", "lacks column item_id; it has id, x"),
        ("item_id,x\n1,2\n,3\n", "line 3: item_id must not be empty"),
        ("item_id,x\n1,2\n1,3\n", "item_id must be unique, got '1' 2 times"),
        ("item_id,x\n1,2\n\n2,inf\n", "line 4: x must be a finite number, got inf"),
    ],
)
def test_broken_item_tables_are_refused(tmp_path: Path, items: str, words: str) -> None:
    """An item table is checked before the log."""
    with pytest.raises(DataError, match=words):
        _read(tmp_path, items=items)


USERS = "user_id,age,plan\nu1,20,free\nu9,60,paid\nu8,,paid\nu7,40,free\n"


def _users(folder: Path, users: str) -> Interactions:
    _write(folder, log_csv=LOG, items_csv=ITEMS, users_csv=users)
    return read(folder / "log.csv", folder / "items.csv", folder / "users.csv")[0]


def test_user_tables(tmp_path: Path) -> None:
    """Columns of users are encoded over the whole table, a user without a row is all zeros."""
    told = _users(tmp_path, USERS).attributes
    assert told is not None
    assert [("age", "number"), ("plan", "category")] == [(column.name, column.kind) for column in told.columns]
    low = (20 - 40) / np.std([20, 60, 40])
    np.testing.assert_allclose(told.features, [[low, 0, 1, 0], [0, 0, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ("id,x\nu1,2\n", "users.csv lacks column user_id; it has id, x"),
        ("user_id,x\n", "has a header but no rows"),
        ("user_id,x\nu1,2\n,3\n", "line 3: user_id must not be empty, got nothing"),
        ("user_id,x\nu1,2\nu2,3\n\nu1,3\n", "line 5: user_id must be unique, got u1"),
        ("user_id,x\nu1,2\nu2,-inf\n", "line 3: x must be a finite number, got -inf"),
        ("user_id,x\nu1,2\nu2,3,4\n", "line 3: a row must have 2 fields, got 3"),
        (f"user_id,x\n{'u' * 257},2\n", "line 2: user_id must have at most 256 bytes"),
    ],
)
def test_broken_user_tables_are_refused_by_line(tmp_path: Path, users: str, words: str) -> None:
    """One sentence names the file, the line, the rule and the value."""
    with pytest.raises(DataError, match=words):
        _users(tmp_path, users)


def test_columns_of_a_log_named_context_are_its_context(tmp_path: Path) -> None:
    """Without the prefix they are typed as other columns are, in CSV and in Parquet; other columns are left alone."""
    log = "user_id,item_id,reward,timestamp,note,context_hour,context_device\n"
    log += "u,2,1,1,x,8,tv\nu,2,1,2,y,,phone\nu,2,1,3,z,10,tv\nv,2,1,4,,9,phone\n"
    _write(tmp_path, items_csv=ITEMS, log_csv=log)
    pd.read_csv(tmp_path / "log.csv").to_parquet(tmp_path / "log.parquet")
    for name in ("log.csv", "log.parquet"):
        told = read(tmp_path / name, tmp_path / "items.csv")[0].context
        assert told is not None
        assert [("hour", "number"), ("device", "category")] == [(column.name, column.kind) for column in told.columns]
        assert [[0, 0, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0]] == told.features[:, 1:].tolist()
        np.testing.assert_allclose(told.features[:, 0], np.array([-1, 0, 1, 0]) * 1.5**0.5, rtol=1e-6)


def test_a_context_of_vectors_is_refused(tmp_path: Path) -> None:
    """No request could carry it."""
    log = 'user_id,item_id,reward,timestamp,context_where\nu,2,1,1,"[1, 2]"\n'
    with pytest.raises(DataError, match="column context_where must hold numbers or words, got vectors"):
        _read(tmp_path, log=log)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Nothing there is said as such."""
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        read(tmp_path / "log.csv", tmp_path / "nowhere.csv")


MOVIES = '1,Toy Story (1995),Adventure|Comedy\n2,Heat,(no genres listed)\n3,"Up, Down (2006-2007)",Comedy|Adventure\n'


@pytest.mark.parametrize("header", ["userId,movieId,rating,timestamp", "userid,movieid,rating,timestamp"])
def test_movielens_csv(tmp_path: Path, header: str) -> None:
    """Both spellings of the header are read; a rating of 4 is a reward, one of 3.5 is not; the title tells the year."""
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + MOVIES)
    (tmp_path / "ratings.csv").write_text(f"{header}\n7,1,4.0,100\n7,3,3.5,200\n")
    log, catalogue = read_movielens(tmp_path)
    assert ([1.0, 0.0], [0, 2], ("7",)) == (log.reward.tolist(), log.item.tolist(), log.users)
    assert [("year", 2000.5), ("genres", None)] == [(c.name, c.mean[0] if c.mean else None) for c in catalogue.columns]
    assert [[-1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1]] == catalogue.features.tolist()


def test_movielens_100k_and_1m_layouts(tmp_path: Path) -> None:
    """`u.data` with genre flags and `::` files hold the same films and ratings."""
    old, new = tmp_path / "100k", tmp_path / "1m"
    old.mkdir()
    new.mkdir()
    comedy = ["0"] * 19
    comedy[5] = "1"
    flags = "|".join(comedy)
    _write(old, u_data="7\t2\t5\t100\n8\t1\t1\t90\n", u_item=f"1|Caf\xe9 (1990)|||u|{flags}\n2|B (1992)|||u|{flags}\n")
    _write(
        new, ratings_dat="7::2::5::100\n8::1::1::90\n", movies_dat="1::Caf\xe9 (1990)::Comedy\n2::B (1992)::Comedy\n"
    )
    _write(old, u_user="7|24|M|writer|1\n8|34|F|writer|2\n")
    _write(new, users_dat="7::M::18::20::1\n8::F::18::20::2\n9::F::25::20::2\n")
    (log_old, films_old), (log_new, films_new) = read_movielens(old), read_movielens(new)
    assert log_old.fingerprint == log_new.fingerprint
    assert log_old.attributes is not None
    assert log_new.attributes is not None
    assert ["age", "gender", "occupation"] == [column.name for column in log_old.attributes.columns]
    assert [[-1.0, 1.0], [1.0, 1.0]] == log_old.attributes.features.tolist()
    assert [("F",), ("18",), ("20",)] == [column.vocabulary for column in log_new.attributes.columns]
    assert [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]] == log_new.attributes.features.tolist()
    assert [[-1.0, 1.0], [1.0, 1.0]] == films_old.features.tolist() == films_new.features.tolist()


def test_a_broken_rating_is_named_by_line(tmp_path: Path) -> None:
    """Headless files count lines from 1 too."""
    _write(tmp_path, ratings_dat="7::2::5::100\n8::1::x::90\n", movies_dat="1::A (1990)::Comedy\n2::B::Comedy\n")
    with pytest.raises(DataError, match=r"ratings\.dat line 2: rating must be a finite number, got x"):
        read_movielens(tmp_path)


def test_other_folders_are_no_movielens(tmp_path: Path) -> None:
    """A folder of something else is refused with what was looked for."""
    with pytest.raises(DataError, match=r"neither ratings\.csv nor u\.data nor ratings\.dat"):
        read_movielens(tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="MovieLens latest-small is not beside the project")
def test_movielens_latest_small() -> None:
    """The published counts: 100,836 ratings by 610 users, 48,580 of them likes."""
    log, catalogue = read_movielens(SHARED)
    assert (100_836, 610, 48_580.0) == (len(log), len(log.users), float(log.reward.sum()))
    assert len(catalogue) == len(np.unique(catalogue.hashes))
