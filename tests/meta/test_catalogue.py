"""The catalogue: encoding, look-up, and what it refuses."""

import math

import numpy as np
import pytest

import meta.catalogue
from meta.catalogue import Catalogue, CatalogueError, encode_items, id_hash
from meta.columns import Column, ColumnError


def test_numbers_are_standardised_and_missing_ones_flagged() -> None:
    """A missing number becomes the mean, and its indicator 1."""
    catalogue = encode_items(["a", "b", "c"], {"year": [1990.0, math.nan, 2010.0]})
    assert catalogue.features.tolist() == [[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]


def test_a_full_number_column_has_one_feature() -> None:
    """Without missing values there is no indicator, and a constant column is all zeros."""
    assert encode_items(["a", "b"], {"same": [7, 7]}).features.tolist() == [[0.0], [0.0]]


def test_rare_categories_are_zeros() -> None:
    """A category seen once has no feature; the others are one-hot in alphabetical order."""
    catalogue = encode_items(["1", "2", "3", "4", "5"], {"colour": ["red", "blue", "red", "blue", "green"]})
    assert catalogue.columns[0].vocabulary == ("blue", "red")
    assert catalogue.features.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("values", [["x|y", "x", "y|y"], [["x", "y"], ["x"], ["y", "y"]]])
def test_multihot_from_bars_or_lists(values: list[object]) -> None:
    """Strings with bars and lists of strings are the same column."""
    catalogue = encode_items(["1", "2", "3"], {"genres": values})
    assert catalogue.features.tolist() == [[1, 1], [1, 0], [0, 1]]


def test_vectors_are_standardised_by_coordinate() -> None:
    """Each coordinate of a vector column has its own mean and spread."""
    catalogue = encode_items(["1", "2"], {"vec": [[0.0, 10.0], [2.0, 30.0]]})
    assert (
        catalogue.columns[0].kind,
        catalogue.columns[0].mean,
        catalogue.columns[0].std,
    ) == ("vector", (1.0, 20.0), (1.0, 10.0))
    assert catalogue.features.tolist() == [[-1, -1], [1, 1]]


def test_new_items_are_encoded_like_the_old() -> None:
    """An unseen category is zeros, an absent number column is missing, a seen one uses the stored mean."""
    catalogue = encode_items(["1", "2", "3"], {"year": [1990.0, None, 2010.0], "kind": ["a", "a", "b"]})
    assert catalogue.encode({"year": [2020], "kind": ["a"]}, 1).tolist() == [[2.0, 0.0, 1.0]]
    assert catalogue.encode({"kind": ["zebra"]}, 1).tolist() == [[0.0, 1.0, 0.0]]


def test_rows_of_ids_and_hashes_agree() -> None:
    """Ids and their hashes find the same rows, in any shape, and unknown ones are -1."""
    catalogue = Catalogue.from_features(["a", "b", "ç"], np.eye(3), ["x", "y", "z"])
    assert catalogue.rows(["ç", "nobody", "a"]).tolist() == [2, -1, 0]
    hashes = np.array([[id_hash("ç"), id_hash("nobody")], [0, id_hash("a")]], np.uint64)
    assert catalogue.rows_of_hashes(hashes).tolist() == [[2, -1], [-1, 0]]
    assert [id_hash("a"), id_hash("b"), id_hash("ç")] == catalogue.hashes.tolist()


def test_id_hash_is_pinned() -> None:
    """The hash is part of the stored history: it may never change."""
    assert id_hash("a") == 0x2F42665B399EF840


def test_tensors_round_trip() -> None:
    """A catalogue rebuilt from its tensors encodes and finds as the original."""
    table = {"year": [1.0, None, 3.0], "genres": ["x|y", "x", "y"], "vec": [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]}
    catalogue = encode_items(["a", "bé", "c"], table)
    tensors, columns = catalogue.to_tensors()
    again = Catalogue.from_tensors(tensors, columns)
    assert (catalogue.ids, catalogue.columns) == (again.ids, again.columns)
    assert catalogue.features.tolist() == again.features.tolist()


@pytest.mark.parametrize(
    ("ids", "words"),
    [([], "at least one item"), (["a", ""], "got 0 in item 2"), (["a", "b", "a"], "'a' 2 times"), (["x" * 257], "257")],
)
def test_bad_ids_are_refused(ids: list[str], words: str) -> None:
    """Empty, long and repeated ids are named in the error."""
    with pytest.raises(CatalogueError, match=words):
        encode_items(ids, {})


def test_colliding_hashes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ids that histories could not tell apart are refused by name."""
    monkeypatch.setattr(meta.catalogue, "id_hash", lambda text: 1)
    with pytest.raises(CatalogueError, match="'a' and 'b' have the same 64-bit hash"):
        encode_items(["a", "b"], {})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, math.inf], "finite numbers, got inf"),
        ([[1.0], [1.0, 2.0]], "vectors of one length"),
        ([1.0, "x"], "mixture of float, str"),
        ([1.0], "must have 2 values, got 1"),
    ],
)
def test_bad_columns_are_refused(values: list[object], words: str) -> None:
    """The error names the column and the value that broke the rule."""
    with pytest.raises(ColumnError, match=f"column x .*{words}"):
        encode_items(["a", "b"], {"x": values})


def test_damaged_tensors_are_refused() -> None:
    """A checkpoint without ids is a catalogue error, not a KeyError."""
    with pytest.raises(CatalogueError, match="damaged"):
        Catalogue.from_tensors({"features": np.zeros((1, 0))}, [])


def test_a_column_of_only_missing_values_is_an_indicator() -> None:
    """Nothing known of any item encodes as zero and missing."""
    column = Column.fit("empty", [None, None])
    assert column.encode([None, math.nan]).tolist() == [[0.0, 1.0], [0.0, 1.0]]
