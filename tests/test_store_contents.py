"""Whatever an ensemble holds is written as it is, or refused with the line to type."""

import json
import os

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import Delta

from xresdiff.downscale import downscale
from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import to_zarr
from xresdiff.store.manifest import MANIFEST


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


def ensemble():
    values = np.random.default_rng(0).normal(size=(4, 6, 3, 5)).astype("f4")
    rain = dask.array.from_array(values, chunks=(2, 2, 3, 5))
    times = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    coords = {"member": np.arange(4), "time": times, "lat": (("y", "x"), np.ones((3, 5)))}
    return xr.Dataset({"rain": (("member", "time", "y", "x"), rain)}, coords, {"seed": 0})


def tree(path):
    files = [file for file in path.rglob("*") if file.is_file()]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


@pytest.mark.parametrize(
    "told",
    [
        {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -9999},
        {"dtype": "uint16", "scale_factor": 0.001, "add_offset": -20.0, "_FillValue": 65535},
        {"dtype": "float64"},
        {"compressors": [zarr.codecs.BloscCodec(cname="zstd", shuffle="shuffle")]},
        {"serializer": zarr.codecs.BytesCodec(endian="big"), "compressors": None},
    ],
)
def test_what_is_encoded_reads_as_if_xarray_had_written_it(tmp_path, told):
    ens = ensemble().load()
    ens.rain[0, 0, 0, 0] = np.nan
    to_zarr(ens, tmp_path / "ens.zarr", encoding={"rain": told})
    ens.to_zarr(tmp_path / "xarray.zarr", encoding={"rain": told}, zarr_format=3)
    ours = xr.open_zarr(tmp_path / "ens.zarr")
    xr.testing.assert_equal(ours.load(), xr.open_zarr(tmp_path / "xarray.zarr").load())
    on_disk = zarr.open_array(tmp_path / "ens.zarr" / "rain", mode="r")
    assert on_disk.dtype == told.get("dtype", "f4")


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ({"rain": {"chunks": (1, 1, 3, 5)}}, r"type ens = ens\.chunk\("),
        ({"rain": {"shards": (4, 2, 3, 5)}}, r"type shards="),
        ({"rain": {"compressor": None}}, "'compressors': "),
        ({"rain": {"zlib": True}}, "unexpected encoding parameters.*zlib"),
        ({"rain": "int16"}, "a mapping"),
        ({"snow": {}}, "encoding names 'snow', but the variables are rain"),
        (
            {"rain": {"filters": [Delta(dtype="f4")]}},
            r"zarr\.codecs\.numcodecs\.Delta\(dtype='<f4'",
        ),
    ],
)
def test_encodings_that_are_none_are_refused(tmp_path, encoding, told):
    with pytest.raises(StoreError, match=told):
        to_zarr(ensemble(), tmp_path / "ens.zarr", encoding=encoding)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda ens: ens.rename(rain=7),
        lambda ens: ens.rename(rain="a/b"),
        lambda ens: ens.drop_vars("time").rename_dims(time=7),
        lambda ens: ens.stack(case=("member", "time")).transpose("case", "y", "x"),
    ],
    ids=["number", "slash", "dimension", "MultiIndex"],
)
def test_names_that_files_do_not_have_are_refused_with_the_line_to_type(tmp_path, change):
    scope = {"ens": change(ensemble())}
    with pytest.raises(StoreError) as told:
        to_zarr(scope["ens"], tmp_path / "ens.zarr")
    assert not any(tmp_path.iterdir())
    exec(str(told.value).rpartition("ens = ")[1] + str(told.value).rpartition("ens = ")[2], scope)
    to_zarr(scope["ens"], tmp_path / "ens.zarr")


@pytest.mark.parametrize("dims", [("y", "x"), ("x",), ()])
def test_what_has_no_pieces_may_be_written_again(tmp_path, dims):
    ens = xr.Dataset({"height": (dims, np.ones((3,) * len(dims)))})
    to_zarr(ens, tmp_path / "ens.zarr")
    before = tree(tmp_path)
    to_zarr(ens, tmp_path / "ens.zarr")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"fingerprint": "abc", "chunks": {"time": 1}, "done": [0, 1]}),
        "no json",
        "[]",
    ],
)
def test_a_store_of_another_maker_is_refused_with_nothing_touched(tmp_path, text):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble(), path)
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"][MANIFEST] = text
    (path / "zarr.json").write_text(json.dumps(root))
    before = tree(path)
    with pytest.raises(StoreError, match="did not write"):
        to_zarr(ensemble(), path)
    assert tree(path) == before


VARIED = {
    "bool and int": lambda ens: ens.assign(wet=ens.rain > 0, n=ens.rain.astype("i2")),
    "times as data": lambda ens: ens.assign(when=ens.time.drop_vars("time").rename("when")),
    "level": lambda ens: ens.assign(z=ens.rain.expand_dims(level=[850.0], axis=2)),
    "mean and map": lambda ens: ens.assign(mean=ens.rain.mean("member"), land=ens.rain[0, 0] > 0),
    "other order": lambda ens: ens.assign(z=ens.rain.transpose("time", "member", "y", "x")),
    "texts": lambda ens: ens.assign_coords(member=["a", "b", "cc", "d"], note="of one"),
    "number": lambda ens: ens.rename(member="number"),
    "no times": lambda ens: ens.isel(time=slice(0)),
    "long attributes": lambda ens: ens.assign_attrs(long="x" * 10**6),
}


@pytest.mark.parametrize("name", VARIED)
def test_whatever_an_ensemble_holds_is_written_and_known_again(tmp_path, name):
    ens = VARIED[name](ensemble())
    to_zarr(ens, tmp_path / "ens.zarr")
    before = tree(tmp_path)
    to_zarr(ens, tmp_path / "ens.zarr")
    assert tree(tmp_path) == before
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "ens.zarr").load(), ens.compute())


@pytest.mark.parametrize("change", ["touched", "cut otherwise"])
def test_a_file_that_is_read_otherwise_is_told_with_the_way_out(tmp_path, toy, rain, change):
    rain[0].to_netcdf(tmp_path / "rain.nc")

    def drawn(**chunks):
        lazy = xr.open_dataset(tmp_path / "rain.nc", chunks=chunks)
        return downscale(lazy, model=toy, members=2, steps=1)

    to_zarr(drawn(time=1), tmp_path / "ens.zarr")
    if change == "touched":
        os.utime(tmp_path / "rain.nc", (0, 0))
    scope = {"ens": drawn(time=1 if change == "touched" else 3)}
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"xresdiff_input is .*The input alone differs") as told:
        to_zarr(scope["ens"], tmp_path / "ens.zarr")
    assert tree(tmp_path) == before
    exec(str(told.value).rpartition("type: ")[2], scope)
    to_zarr(scope["ens"], tmp_path / "ens.zarr")


def test_a_store_of_another_version_is_told(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble(), path)
    text = (path / "zarr.json").read_text()
    assert text.count('{\\"layout\\": 2,') == 1
    (path / "zarr.json").write_text(text.replace('{\\"layout\\": 2,', '{\\"layout\\": 1,'))
    with pytest.raises(StoreError, match="no store of layout 2, but of another version"):
        to_zarr(ensemble(), path)
