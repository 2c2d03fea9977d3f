"""Weights are kept under keys: in the process, on disk, whole or not at all."""

import os

import dask
import numpy as np
import pytest
import scipy.sparse as sp
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.regrid import weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path))
    forget(monkeypatch)
    return tmp_path


def forget(monkeypatch):
    """Start as a process that has loaded nothing."""
    monkeypatch.setattr(weights, "_LOADED", type(weights._LOADED)())
    monkeypatch.setattr(weights, "_ONLY_HERE", {})


GRID = {"lat": np.arange(3.0), "lon": np.arange(4.0)}
MATRIX = sp.csr_array(np.array([[0.5, 0.5, 0, 0], [0, 0, 0, 0], [0.2, 0.3, 0.1, 0.4]]))


@pytest.fixture
def key():
    key = weights.fingerprint(GRID, GRID, "bilinear")
    weights.save(key, MATRIX)
    return key


@pytest.mark.parametrize(
    "other",
    [
        (GRID, GRID, "conservative"),
        (GRID, GRID | {"lat": np.arange(3.0) + 1e-12}, "bilinear"),
        (GRID | {"lon": np.arange(4.0)[::-1]}, GRID, "bilinear"),
        (GRID | {"lon_b": np.arange(5.0)}, GRID, "bilinear"),
    ],
)
def test_keys_differ(key, other):
    assert weights.fingerprint(*other) != key


def test_another_process_reads_them_from_disk(key, monkeypatch):
    forget(monkeypatch)
    np.testing.assert_array_equal(weights.load(key).toarray(), MATRIX.toarray())


def test_the_file_is_one_of_xesmf(key):
    with xr.open_dataset(key) as file:
        assert set(file.variables) == {"row", "col", "S"}
        dense = np.zeros((3, 4))
        dense[file.row - 1, file.col - 1] = file.S
    np.testing.assert_array_equal(dense, MATRIX.toarray())


def test_a_cut_file_is_no_weights(key, monkeypatch):
    forget(monkeypatch)
    with open(key, "r+b") as file:
        file.truncate(500)
    assert weights.load(key) is None


def test_a_changed_file_is_no_weights(key, monkeypatch):
    forget(monkeypatch)
    with xr.open_dataset(key) as file:
        changed = file.load()
    changed["S"][0] = 0.6
    changed.to_netcdf(key)
    assert weights.load(key) is None


def test_a_damaged_file_is_replaced(key, monkeypatch):
    with open(key, "r+b") as file:
        file.truncate(500)
    weights.save(key, MATRIX)
    forget(monkeypatch)
    assert weights.load(key) is not None


def test_a_failed_write_leaves_the_last_good_file(key, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.warns(UserWarning, match="disk full"):
        weights.save(key, 2 * MATRIX)
    monkeypatch.undo()
    forget(monkeypatch)
    np.testing.assert_array_equal(weights.load(key).toarray(), MATRIX.toarray())


def test_a_folder_that_cannot_be_written_is_warned_of(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "file"))
    key = weights.fingerprint(GRID, GRID)
    with pytest.warns(UserWarning, match="Set XRESDIFF_CACHE to a folder that can be written"):
        weights.save(key, MATRIX)
    assert weights.load(key) is MATRIX


def test_what_cannot_be_written_is_never_let_go(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "file"))
    keys = [weights.fingerprint(GRID, GRID, i) for i in range(2 * weights.KEPT)]
    for key in keys:
        with pytest.warns(UserWarning, match="cannot be kept"):
            weights.save(key, MATRIX)
    assert all(weights.load(key) is MATRIX for key in keys)


def test_files_can_be_read_by_whom_the_user_allows(key, tmp_path):
    (tmp_path / "other").write_text("")
    assert os.stat(key).st_mode == os.stat(tmp_path / "other").st_mode


def test_few_are_held(monkeypatch):
    for i in range(20):
        weights.save(weights.fingerprint(GRID, GRID, i), MATRIX)
    assert len(weights._LOADED) == weights.KEPT


def test_lost_weights_are_named(key, cache, monkeypatch):
    forget(monkeypatch)
    (cache / "regrid" / key.rpartition("/")[2]).unlink()
    with pytest.raises(InputError, match="set XRESDIFF_CACHE to a folder that all workers share"):
        weights.apply(np.zeros((2, 2)), key=key, shape=(1, 3))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fields_keep_their_precision(key, dtype):
    fields = np.arange(24, dtype=dtype).reshape(3, 2, 2, 2)
    found = weights.apply(fields, key=key, shape=(1, 3))
    assert found.dtype == dtype
    assert found.shape == (3, 2, 1, 3)
    np.testing.assert_allclose(found[..., 0, 2], fields.reshape(3, 2, 4) @ MATRIX.toarray()[2])
    assert np.isnan(found[..., 0, 1]).all()


@pytest.mark.parametrize("na_thres", [0.0, 0.4, 0.5, 1.0])
def test_skipna_is_that_of_xesmf(key, na_thres):
    xesmf = pytest.importorskip("xresdiff.grids.esmf").import_xesmf()
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(50, 2, 2))
    fields[rng.random(fields.shape) < 0.4] = np.nan
    import sparse

    matrix = sparse.COO.from_scipy_sparse(MATRIX).reshape((1, 3, 2, 2))
    needed = xesmf.Regridder._regrid(
        fields, matrix, shape_in=(2, 2), shape_out=(1, 3), skipna=True, na_thres=na_thres
    )
    found = weights.apply(fields, key=key, shape=(1, 3), skipna=True, na_thres=na_thres)
    np.testing.assert_allclose(found, needed, rtol=1e-12)
    assert np.isnan(found).any()
    assert np.isfinite(found).any()


def test_threads_read_a_file_once(key, monkeypatch):
    forget(monkeypatch)
    read, reads = weights._read, []
    monkeypatch.setattr(weights, "_read", lambda path: reads.append(path) or read(path))
    tasks = [dask.delayed(weights.load)(key) for _ in range(8)]
    dask.compute(*tasks, scheduler="threads")
    assert len(reads) == 1
