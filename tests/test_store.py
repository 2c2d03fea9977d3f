"""Stores survive a kill, refuse strangers, and hold what was to be written."""

import warnings
from pathlib import PosixPath

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr

from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store.writing import MANIFEST, to_zarr

TIMES = np.arange("2024-01-01", "2024-01-07", dtype="datetime64[D]").astype("datetime64[ns]")
SHAPE = (4, len(TIMES), 3, 5)


class Blocks:
    """Makes the blocks of an ensemble, counts them, and dies at one of them if told to."""

    def __init__(self):
        self.made = []
        self.dies_at = None

    def __call__(self, block_info=None):
        corner = tuple(start for start, _ in block_info[None]["array-location"])
        if len(self.made) == self.dies_at:
            raise KeyboardInterrupt
        self.made.append(corner)
        shape = block_info[None]["chunk-shape"]
        return np.random.default_rng(corner).normal(size=shape).astype("f4")


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def blocks():
    return Blocks()


def ensemble(blocks, chunks=((2, 2), (2, 2, 2), (3,), (5,)), **attrs):
    data = dask.array.map_blocks(blocks, chunks=chunks, dtype="f4", meta=np.empty((), "f4"))
    return xr.Dataset(
        {"rain": (("member", "time", "y", "x"), data, {"units": "mm h-1"})},
        {
            "member": ("member", np.arange(4), {"standard_name": "realization"}),
            "time": TIMES,
            "lat": (("y", "x"), dask.array.ones((3, 5), chunks=2)),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {"xresdiff_model": "toy", "xresdiff_seed": 0, **attrs},
    )


def tree(path):
    files = [file for file in path.rglob("*") if file.is_file()]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_finished_store_equals_the_ensemble(tmp_path, blocks):
    ens = ensemble(blocks)
    to_zarr(ens, tmp_path / "ens.zarr")
    assert len(blocks.made) == 6
    there = xr.open_zarr(tmp_path / "ens.zarr")
    assert there.rain.chunks == ens.rain.chunks
    assert there.attrs.pop(MANIFEST)
    xr.testing.assert_identical(there.load(), ens.load())


def test_nothing_is_left_beside_the_store(tmp_path, blocks):
    to_zarr(ensemble(blocks), tmp_path / "new" / "folder" / "ens.zarr")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["ens.zarr"]


def test_the_ensemble_of_the_caller_stays_lazy(tmp_path, blocks):
    ens = ensemble(blocks)
    ens.rain.encoding["chunks"] = (1, 1, 1, 1)
    to_zarr(ens, tmp_path / "ens.zarr")
    assert ens.rain.chunks is not None
    assert ens.lat.chunks is not None
    assert ens.rain.encoding["chunks"] == (1, 1, 1, 1)
    assert MANIFEST not in ens.attrs


@pytest.mark.parametrize("dies_at", range(6))
def test_an_interrupted_write_goes_on_where_it_stopped(tmp_path, blocks, dies_at):
    path, ens = tmp_path / "ens.zarr", ensemble(blocks)
    blocks.dies_at = dies_at
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, path)
    finished, blocks.made, blocks.dies_at = blocks.made, [], None
    to_zarr(ens, path)
    every = [(m, t, 0, 0) for m in (0, 2) for t in range(0, 6, 2)]
    assert sorted(finished + blocks.made) == every
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.load())


def test_a_finished_store_is_not_computed_again(tmp_path, blocks):
    to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    blocks.made = []
    to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    assert blocks.made == []


def test_a_run_with_another_history_or_other_chunks_goes_on(tmp_path, blocks):
    path = tmp_path / "ens.zarr"
    blocks.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ensemble(blocks, history="yesterday"), path)
    blocks.dies_at = None
    ens = ensemble(blocks, history="today").chunk(time=3)
    to_zarr(ens, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.load())
    assert xr.open_zarr(path).chunksizes["time"] == (2, 2, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda ens: ens.assign_attrs(xresdiff_seed=1),
        lambda ens: ens.assign_coords(time=ens.time + np.timedelta64(1, "D")),
        lambda ens: ens.assign_coords(crs=1),
        lambda ens: ens.isel(member=slice(3)),
        lambda ens: ens.rename(rain="snow"),
        lambda ens: ens.astype("f8"),
    ],
)
def test_another_ensemble_is_refused_with_nothing_touched(tmp_path, blocks, change):
    path = tmp_path / "ens.zarr"
    blocks.dies_at = 3
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ensemble(blocks), path)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="holds another ensemble"):
        to_zarr(change(ensemble(blocks)), path)
    assert tree(tmp_path) == before


def test_the_refusal_says_what_differs(tmp_path, blocks):
    to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    with pytest.raises(StoreError, match=r"xresdiff_seed is 0 there, 1 here.*ens\.new\.zarr"):
        to_zarr(ensemble(blocks, xresdiff_seed=1), tmp_path / "ens.zarr")


def test_a_store_that_is_there_is_refused_without_resume(tmp_path, blocks):
    to_zarr(ensemble(blocks), tmp_path / "ens.zarr", resume=False)
    with pytest.raises(StoreError, match="to go on with it, type resume=True"):
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr", resume=False)


def test_an_eager_ensemble_is_written_too(tmp_path, blocks):
    ens = ensemble(blocks).load()
    to_zarr(ens, tmp_path / "ens.zarr")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "ens.zarr").load(), ens)
    other = ens.copy(data={"rain": ens.rain.data + 1})
    with pytest.raises(StoreError, match="another ensemble: the values of rain differ"):
        to_zarr(other, tmp_path / "ens.zarr")


def test_members_alone_are_written_chunk_by_chunk(tmp_path, blocks):
    ens = ensemble(blocks, chunks=((1,) * 4, (6,), (3,), (5,))).isel(time=0)
    blocks.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, tmp_path / "ens.zarr")
    finished, blocks.made, blocks.dies_at = blocks.made, [], None
    to_zarr(ens, tmp_path / "ens.zarr")
    assert len(finished) == 2
    assert sorted(finished + blocks.made) == [(m, 0, 0, 0) for m in range(4)]


def test_fields_without_members_or_time_are_written_at_once(tmp_path):
    ens = xr.Dataset({"height": (("y", "x"), dask.array.ones((3, 5)))})
    to_zarr(ens, tmp_path / "ens.zarr")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "ens.zarr").load(), ens.load())


def test_irregular_chunks_become_regular(tmp_path, blocks):
    ens = ensemble(blocks, chunks=((4,), (1, 3, 2), (3,), (5,)))
    to_zarr(ens, tmp_path / "ens.zarr")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "ens.zarr").load(), ens.load())
    assert xr.open_zarr(tmp_path / "ens.zarr").chunksizes["time"] == (3, 3)


def test_a_file_in_the_way_is_refused(tmp_path, blocks):
    path = tmp_path / "ens.zarr"
    path.write_text("dear diary")
    with pytest.raises(StoreError, match="is a file that to_zarr did not write"):
        to_zarr(ensemble(blocks), path)
    assert path.read_text() == "dear diary"


def test_a_store_of_another_maker_is_refused(tmp_path, blocks):
    path = tmp_path / "ens.zarr"
    xr.Dataset({"mine": ("x", [1, 2])}).to_zarr(path, zarr_format=3, consolidated=False)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="is a folder that to_zarr did not write"):
        to_zarr(ensemble(blocks), path)
    assert tree(tmp_path) == before


def test_an_unwritable_place_is_refused(tmp_path, blocks):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot make .*a place that can be written to, with room, is needed"
    ):
        to_zarr(ensemble(blocks), tmp_path / "file" / "ens.zarr")
    assert blocks.made == []


def test_a_read_only_folder_is_refused(tmp_path, blocks):
    tmp_path.chmod(0o500)
    try:
        (tmp_path / "probe").mkdir()
    except PermissionError:
        with pytest.raises(StoreError, match="cannot make"):
            to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    else:
        pytest.skip("this user writes to read-only folders")
    finally:
        tmp_path.chmod(0o700)


def test_a_failing_disk_says_how_far_it_came(tmp_path, blocks, monkeypatch):
    ens, write = ensemble(blocks), xr.Dataset.to_zarr

    def full(self, *args, **options):
        if "region" in options and options["region"]["time"].start == 2:
            raise OSError(28, "No space left on device")
        return write(self, *args, **options)

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(StoreError, match=r"stopped after 2 of 6 chunks: .*No space left"):
        to_zarr(ens, tmp_path / "ens.zarr")
    monkeypatch.undo()
    to_zarr(ens, tmp_path / "ens.zarr")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "ens.zarr").load(), ens.load())


def test_a_bar_tells_the_progress_on_standard_error(tmp_path, blocks, capsys):
    with set_options(progress=True):
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    out, err = capsys.readouterr()
    assert out == ""
    assert "writing ens.zarr" in err
    assert "6/6" in err


def test_a_store_without_a_finished_block_may_be_removed(tmp_path):
    def field(value):
        rain = xr.DataArray(np.full((2, 3, 4, 4), value), dims=("member", "time", "y", "x"))
        return rain.chunk(time=1).to_dataset(name="rain")

    def fail(block):
        raise ValueError("values are missing")

    broken = field(1.0).map(lambda da: da.copy(data=da.data.map_blocks(fail, dtype=da.dtype)))
    with pytest.raises(ValueError, match="values are missing"):
        to_zarr(broken, tmp_path / "a.zarr")
    mended = field(2.0).assign_attrs(mended="yes")
    with pytest.raises(StoreError, match="none of it is finished, remove it") as told:
        to_zarr(mended, tmp_path / "a.zarr")
    exec("import shutil; " + str(told.value).rpartition(": ")[2])
    to_zarr(mended, tmp_path / "a.zarr")
    assert float(xr.open_zarr(tmp_path / "a.zarr").rain.min()) == 2
    with pytest.raises(StoreError, match="holds another ensemble") as told:
        to_zarr(field(3.0), tmp_path / "a.zarr")
    assert "remove it" not in str(told.value)


def test_it_reads_without_a_warning_whoever_reads(tmp_path, blocks):
    path, ens = tmp_path / "ens.zarr", ensemble(blocks)
    blocks.dies_at = 3
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for consolidated in (True, False):
            there = xr.open_zarr(path, consolidated=consolidated).load()
            assert int(there.rain.isnull().sum()) == 3 * 2 * 2 * 15
        names = dict(zarr.open_group(path, mode="r", use_consolidated=False).members())
    assert sorted(names) == ["crs", "lat", "member", "rain", "time"]


def test_a_draft_of_a_root_is_out_of_the_way_of_readers(tmp_path, blocks, monkeypatch):
    path, ens = tmp_path / "ens.zarr", ensemble(blocks)

    monkeypatch.setattr(PosixPath, "replace", _dies_at(path / "zarr.json"))
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_zarr(path, consolidated=False).load()


def _dies_at(file):
    replace = PosixPath.replace

    def instead(self, target):
        if target == file:
            raise KeyboardInterrupt
        return replace(self, target)

    return instead


def test_what_a_killed_writer_left_of_a_chunk_is_removed(tmp_path, blocks):
    path, ens = tmp_path / "ens.zarr", ensemble(blocks)
    blocks.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, path)
    blocks.dies_at = None
    leftover = path / "rain" / "c" / "1" / "2" / "0" / f"0.{'ab' * 16}.partial"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half")
    to_zarr(ens, path)
    assert not leftover.exists()
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.load())


def test_of_two_writers_the_first_to_notice_stops_and_nothing_is_wrong(tmp_path, blocks):
    path, ens, wrote = tmp_path / "ens.zarr", ensemble(blocks), []
    meta = np.empty((0,) * 4, "f4")

    def write_too(block):
        if not wrote:
            wrote.append(True)
            to_zarr(ens, path)
        return block

    slow = ens.assign(rain=ens.rain.copy(data=ens.rain.data.map_blocks(write_too, meta=meta)))
    with pytest.raises(StoreError, match=r"another process writes to .*ens\.zarr"):
        to_zarr(slow, path)
    before = tree(path)
    to_zarr(ens, path)
    assert tree(path) == before
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.load())


def test_what_is_packed_reads_as_missing_until_it_is_written(tmp_path, blocks):
    blocks.dies_at = 5
    packed = {"rain": {"dtype": "int16", "scale_factor": 0.001}}
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr", encoding=packed)
    there = xr.open_zarr(tmp_path / "ens.zarr").rain
    assert int(there.isnull().sum()) == 2 * 2 * 15


def test_shards_that_are_no_mapping_are_refused(tmp_path, blocks):
    with pytest.raises(StoreError, match="shards is 4; it is a mapping: type shards="):
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr", shards=4)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_says_how_far_it_came(tmp_path, blocks):
    blocks.dies_at = 3
    with pytest.raises(KeyboardInterrupt) as stopped:
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
    (note,) = stopped.value.__notes__
    assert "of 6 chunks; run the same line again to go on" in note


def test_errors_of_others_are_told_once(tmp_path, blocks, monkeypatch):
    def refuse(*_):
        raise StoreError("the cluster is gone")

    monkeypatch.setattr("xresdiff.store.writing.run", refuse)
    with pytest.raises(StoreError, match="stopped after 0 of 6 chunks, which stay: the cluster is"):
        to_zarr(ensemble(blocks), tmp_path / "ens.zarr")
