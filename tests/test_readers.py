import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.train import readers
from xresdiff.train.pairs import PAIR, Pairs
from xresdiff.train.readers import ArrayReader, LazyReader, fingerprint, open_reader

WHOLE = slice(None)
DIMS = (PAIR, "_channel", "y", "x")


def pairs_of(n=5, factor=4, lazy=True, seed=0, shape=(3, 5)):
    """Return pairs of random numbers."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, 2, *shape)).astype(np.float32)
    fine = rng.normal(size=(n, 1, *(side * max(factor, 2) for side in shape))).astype(np.float32)
    if factor == 1:
        fine = coarse[:, :1] + 1
    arrays = [da.from_array(a, chunks=(1, -1, -1, -1)) if lazy else a for a in (coarse, fine)]
    labels = {"time": (PAIR, np.datetime64("2024-07-01", "ns") + np.arange(n))}
    both = [xr.DataArray(a, labels, dims=DIMS) for a in arrays]
    return Pairs(*both, np.arange(2.0 * n).reshape(n, 2), factor, (0, 0), request=None)


def files(folder: Path):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens pairs as if they were many."""

    def opened(pairs):
        return open_reader(pairs, tmp_path / "run" / "cache", limit_bytes=10)

    return opened


# --- which reader


def test_pairs_in_memory_stay_there():
    pairs = pairs_of(lazy=False)
    reader = open_reader(pairs, limit_bytes=0)
    assert isinstance(reader, ArrayReader)
    assert reader.coarse is pairs.coarse.values


def test_small_lazy_pairs_are_computed_once(monkeypatch):
    monkeypatch.setattr(readers, "AT_ONCE_bytes", 1)  # one piece for every pair
    with raise_if_dask_computes(max_computes=5):
        reader = open_reader(pairs_of())
        for i in range(5):
            reader.read(i, WHOLE, WHOLE)
    assert isinstance(reader, ArrayReader)


def test_large_pairs_without_a_cache_are_read_lazily():
    assert isinstance(open_reader(pairs_of(), limit_bytes=10), LazyReader)


def test_large_pairs_go_into_a_cache(opened, tmp_path):
    reader = opened(pairs_of())
    assert isinstance(reader.coarse, np.memmap)
    assert files(tmp_path / "run" / "cache") == ["coarse.npy", "contents.json", "fine.npy"]


def test_a_full_disk_is_left_alone(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "SHARE_OF_DISK", 1e-18)
    assert isinstance(opened(pairs_of()), LazyReader)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("factor", [0, 1, 4])
def test_all_readers_read_the_same(factor, opened):
    lazy, eager = pairs_of(factor=factor), pairs_of(factor=factor, lazy=False)
    window = slice(1, 3), slice(2, 4)
    want = ArrayReader(eager.coarse.values, eager.fine.values, eager.moments, factor)
    for reader in (open_reader(lazy), opened(lazy), LazyReader(lazy), open_reader(eager)):
        assert (reader.n, reader.factor) == (5, factor)
        assert reader.coarse_shape == (3, 5)
        assert reader.fine_shape == eager.fine.shape[-2:]
        np.testing.assert_array_equal(reader.moments, eager.moments)
        for have, need in zip(reader.read(3, *window), want.read(3, *window), strict=True):
            np.testing.assert_array_equal(have, need)
            assert have.dtype == np.float32


# --- windows


def test_a_window_is_told_in_coarse_cells():
    pairs = pairs_of(lazy=False)
    reader = open_reader(pairs)
    coarse, fine = reader.read(2, slice(1, 3), slice(0, 2))
    np.testing.assert_array_equal(coarse, pairs.coarse.values[2, :, 1:3, 0:2])
    np.testing.assert_array_equal(fine, pairs.fine.values[2, :, 4:12, 0:8])


def test_fields_that_go_together_whole_are_read_whole():
    coarse, fine = open_reader(pairs_of(factor=0)).read(0, slice(1, 2), slice(1, 2))
    assert coarse.shape == (2, 3, 5)
    assert fine.shape == (1, 6, 10)


@pytest.mark.parametrize("kind", ["memory", "lazy"])
def test_what_was_read_may_be_changed(kind):
    reader = open_reader(pairs_of()) if kind == "memory" else LazyReader(pairs_of())
    before = reader.read(0, WHOLE, WHOLE)[0].copy()
    reader.read(0, WHOLE, WHOLE)[0][:] = 0
    np.testing.assert_array_equal(reader.read(0, WHOLE, WHOLE)[0], before)


def test_several_windows_of_a_lazy_field_cost_one_compute():
    pairs, computed = pairs_of(), []

    def block(values):
        computed.append(1)
        return values

    fine = pairs.fine.copy(data=pairs.fine.data.map_blocks(block, dtype=np.float32))
    reader = LazyReader(replace(pairs, fine=fine))
    computed.clear()  # dask tried it on nothing
    for _ in range(3):
        reader.read(1, slice(0, 1), slice(0, 1))
    assert len(computed) == 1


def test_few_lazy_fields_are_kept(monkeypatch):
    monkeypatch.setattr(readers, "KEPT_bytes", 5000)
    reader = LazyReader(pairs_of(n=9))
    for i in range(9):
        reader.read(i, WHOLE, WHOLE)
    assert 0 < sum(fields.nbytes for fields in reader._kept.values()) <= 5000


def test_a_chunk_is_computed_once_for_all_of_its_fields():
    pairs, computed = pairs_of(n=9), []

    def block(values):
        computed.append(len(values))
        return values

    own = pairs.fine.data.rechunk((4, -1, -1, -1)).map_blocks(block, dtype=np.float32)
    reader = LazyReader(replace(pairs, fine=pairs.fine.copy(data=own)))
    computed.clear()  # dask tried it on nothing
    for i in range(9):
        np.testing.assert_array_equal(reader.read(i, WHOLE, WHOLE)[1], pairs.fine[i])
    assert computed == [4, 4, 1]


def test_one_side_may_be_in_memory():
    pairs = pairs_of()
    reader = LazyReader(replace(pairs, coarse=pairs.coarse.compute()))
    coarse, fine = reader.read(3, WHOLE, WHOLE)
    np.testing.assert_array_equal(coarse, pairs.coarse[3])
    np.testing.assert_array_equal(fine, pairs.fine[3])


@pytest.mark.parametrize("lazy", [True, False])
def test_threads_read_what_one_would(lazy, opened):
    pairs = pairs_of(n=7)
    reader = LazyReader(pairs) if lazy else opened(pairs)
    places = [i % 7 for i in range(70)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: reader.read(i, WHOLE, WHOLE)[1], places))
    truth = pairs.fine.values
    assert all(np.array_equal(fine, truth[i]) for i, fine in zip(places, found, strict=True))


# --- the cache


def test_a_whole_cache_is_used_again(opened, monkeypatch):
    first = opened(pairs_of())
    monkeypatch.setattr(readers, "_write", None)
    second = opened(pairs_of())
    np.testing.assert_array_equal(first.fine, second.fine)


def test_a_cache_of_other_pairs_is_replaced(opened):
    opened(pairs_of())
    other = pairs_of(seed=1)
    np.testing.assert_array_equal(opened(other).fine, other.fine.values)


@pytest.mark.parametrize("name", ["coarse.npy", "fine.npy", "contents.json"])
@pytest.mark.parametrize("damage", ["short", "empty", "gone", "garbage"])
def test_a_damaged_cache_is_written_again(opened, tmp_path, name, damage):
    opened(pairs_of())
    path = tmp_path / "run" / "cache" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"short": data[:-40], "empty": b"", "garbage": b"\x93" * 500}[damage])
    pairs = pairs_of()
    reader = opened(pairs)
    np.testing.assert_array_equal(reader.coarse, pairs.coarse.values)
    np.testing.assert_array_equal(reader.fine, pairs.fine.values)


def test_a_cache_that_was_not_finished_is_written_again(opened, tmp_path, monkeypatch):
    def killed(pairs, coarse, fine):
        coarse[0] = 7
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(readers, "_fill", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(pairs_of())
    assert "contents.json" not in files(tmp_path / "run" / "cache")
    pairs = pairs_of()
    np.testing.assert_array_equal(opened(pairs).coarse, pairs.coarse.values)
    assert files(tmp_path / "run" / "cache") == ["coarse.npy", "contents.json", "fine.npy"]


def test_a_cache_that_was_half_replaced_is_neither(opened, monkeypatch):
    opened(pairs_of())
    replaced = os.replace

    def killed(source, goal):
        if Path(goal).name == "fine.npy":
            raise KeyboardInterrupt
        replaced(source, goal)

    with monkeypatch.context() as patch:
        patch.setattr(readers.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(pairs_of(seed=1))
    pairs = pairs_of()
    np.testing.assert_array_equal(opened(pairs).coarse, pairs.coarse.values)


def test_the_contents_say_what_a_cache_is_of(opened, tmp_path):
    opened(pairs_of())
    told = json.loads((tmp_path / "run" / "cache" / "contents.json").read_text())
    assert told["fingerprint"] == fingerprint(pairs_of())
    assert told["fine"] == [5, 1, 12, 20]


# --- fingerprints


def test_lazy_or_not_pairs_have_one_fingerprint():
    assert fingerprint(pairs_of()) == fingerprint(pairs_of(lazy=False))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, fine=p.fine + 1),
        lambda p: replace(p, coarse=p.coarse * (1 + (np.arange(5) == 2))[:, None, None, None]),
        lambda p: replace(p, coarse=p.coarse.assign_coords(time=p.coarse.time + 1)),
        lambda p: replace(p, moments=p.moments + 1),
        lambda p: replace(p, coarse=p.coarse.isel({PAIR: [0, 1, 2, 4]})),
    ],
    ids=["fine", "the middle one", "labels", "moments", "number"],
)
def test_other_pairs_have_another_fingerprint(change):
    pairs = pairs_of(lazy=False)
    assert fingerprint(change(pairs)) != fingerprint(pairs)


def test_the_unit_of_times_does_not_matter():
    pairs = pairs_of()
    time = pairs.coarse.time.astype("M8[us]").astype("M8[ns]")
    pairs = replace(pairs, coarse=pairs.coarse.assign_coords(time=time))
    seconds = replace(pairs, coarse=pairs.coarse.assign_coords(time=time.astype("M8[us]")))
    assert fingerprint(seconds) == fingerprint(pairs)


def test_every_pair_in_memory_counts_for_a_fingerprint():
    pairs = pairs_of(n=200, lazy=False)
    fine = pairs.fine.copy(deep=True)
    fine[101, 0, 2, 3] += 1
    assert fingerprint(replace(pairs, fine=fine)) != fingerprint(pairs)


def test_64_lazy_pairs_are_looked_at_for_a_fingerprint():
    pairs = pairs_of(n=200)
    seen = []

    def block(values, block_info=None):
        seen.append(block_info[None]["chunk-location"][0])
        return values

    fine = pairs.fine.data.map_blocks(block, dtype=np.float32)
    with dask.config.set(scheduler="synchronous"):
        fingerprint(replace(pairs, fine=pairs.fine.copy(data=fine)))
    assert len(seen) == len(set(seen)) == readers.PAIRS_LOOKED_AT
    assert {0, 199} < set(seen)
    assert np.diff(sorted(seen)).max() <= 4


def test_a_chunk_is_computed_once_for_a_fingerprint():
    pairs, computed = pairs_of(n=20), []

    def block(values):
        computed.append(1)
        return values

    fine = pairs.fine.data.rechunk((10, -1, -1, -1)).map_blocks(block, dtype=np.float32)
    computed.clear()  # dask tried it on nothing
    fingerprint(replace(pairs, fine=pairs.fine.copy(data=fine)))
    assert len(computed) == 2
