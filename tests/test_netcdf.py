"""Small results become one netCDF file, whole or not at all."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from xresdiff.cli import main
from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import netcdf, to_netcdf
from xresdiff.tutorial import rain_pair


@pytest.fixture(autouse=True)
def no_bar():
    with set_options(progress=False):
        yield


def ensemble(data=None):
    values = np.random.default_rng(0).normal(size=(4, 6, 3, 5)).astype("f4")
    rain = dask.array.from_array(values, chunks=(2, 1, 3, 5)) if data is None else data
    return xr.Dataset(
        {"rain": (("member", "time", "y", "x"), rain, {"units": "mm h-1"})},
        {
            "member": ("member", np.arange(4), {"standard_name": "realization"}),
            "time": np.arange(6).astype("datetime64[D]").astype("datetime64[ns]"),
            "lat": (("y", "x"), dask.array.ones((3, 5))),
        },
        {"xresdiff_seed": 0, "xresdiff_skipna": True, "how": {"steps": 5}},
    )


def test_a_file_equals_the_ensemble(tmp_path):
    to_netcdf(ensemble(), tmp_path / "new" / "ens.nc")
    with xr.open_dataset(tmp_path / "new" / "ens.nc") as there:
        xr.testing.assert_equal(there.load(), ensemble().compute())
        assert there.attrs == {"xresdiff_seed": 0, "xresdiff_skipna": 1, "how": '{"steps": 5}'}
        assert there.rain.encoding["zlib"]
        assert there.rain.encoding["chunksizes"] == (1, 1, 3, 5)
        assert "_FillValue" not in there.lat.encoding
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["ens.nc"]


def test_a_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "ens.nc").write_text("dear diary")
    with pytest.raises(StoreError, match=r"is there already.*first remove it: os.remove"):
        to_netcdf(ensemble(), tmp_path / "ens.nc")
    assert (tmp_path / "ens.nc").read_text() == "dear diary"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left")])
def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path, error):
    def fail(block):
        raise error

    ens = ensemble()
    ens["rain"] = ens.rain.copy(data=ens.rain.data.map_blocks(fail, meta=np.empty(0, "f4")))
    kind = StoreError if isinstance(error, OSError) else error
    with dask.config.set(scheduler="synchronous"), pytest.raises(kind):
        to_netcdf(ens, tmp_path / "ens.nc")
    assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_refused_before_computing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        to_netcdf(ensemble(), tmp_path / "file" / "ens.nc")


def test_large_results_are_for_zarr(tmp_path):
    zeros = dask.array.zeros((4, 6, 10_000, 10_000), dtype="f4", chunks=(1, 1, -1, -1))
    large = xr.Dataset({"rain": (("member", "time", "y", "x"), zeros)})
    with pytest.raises(StoreError, match=r"has 9.6 GB.*to_zarr\(.*ens\.zarr"):
        to_netcdf(large, tmp_path / "ens.nc")


def test_a_url_is_for_zarr():
    with pytest.raises(StoreError, match=r"to_zarr\(url\)"):
        to_netcdf(ensemble(), "s3://bucket/ens.nc")


def test_a_bar_tells_the_progress(tmp_path, capsys):
    with set_options(progress=True):
        to_netcdf(ensemble(), tmp_path / "ens.nc")
    assert "6/6" in capsys.readouterr().err


def test_each_chunk_is_computed_once(tmp_path):
    made = []

    def note(block):
        made.append(block.shape)
        return block

    ens = ensemble()
    ens["rain"] = ens.rain.copy(data=ens.rain.data.map_blocks(note, dtype="f4", meta=np.empty(0)))
    netcdf.to_netcdf(ens, tmp_path / "ens.nc")
    assert made == [(2, 1, 3, 5)] * 12


def test_the_command_line_writes_netcdf(tmp_path):
    coarse, _ = rain_pair(shape=(64, 64))
    coarse.to_netcdf(tmp_path / "coarse.nc")
    line = ["downscale", str(tmp_path / "coarse.nc"), str(tmp_path / "fine.nc")]
    assert main([*line, "--members", "2", "--steps", "2"]) == 0
    with xr.open_dataset(tmp_path / "fine.nc") as there:
        assert dict(there.sizes) == {"member": 2, "time": 1, "y": 64, "x": 64}
        assert float(there.precip_rate.max()) > 0
    assert main([*line, "--members", "2"]) == 2


def test_the_command_line_writes_to_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coarse, _ = rain_pair(shape=(64, 64))
    coarse.to_netcdf("coarse.nc")
    url = f"memory:/{tmp_path}/fine.zarr"
    assert main(["downscale", "coarse.nc", url, "--members", "1", "--steps", "1"]) == 0
    assert xr.open_zarr(url).sizes["member"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["coarse.nc"]
