"""Results are labelled: coordinates, CF attributes and provenance, which files keep."""

import cf_xarray  # noqa: F401  (registers .cf)
import cftime
import numpy as np
import pytest
import xarray as xr

from xresdiff.downscale import downscale
from xresdiff.engine.labels import noise_labels
from xresdiff.errors import StoreError
from xresdiff.grids.coarsen import coarsen
from xresdiff.store import to_zarr


@pytest.fixture
def ens(coarse, toy):
    return downscale(coarse, model=toy, members=3, steps=2)


def texts(ds, *loop):
    return sorted(str(text) for label in noise_labels(ds, loop) for text in label.values.ravel())


def test_dims_and_coords(ens, coarse):
    assert ens.precip_rate.dims == ("member", "time", "y", "x")
    assert ens.member.values.tolist() == [0, 1, 2]
    assert ens.member.attrs["standard_name"] == "realization"
    xr.testing.assert_identical(ens.time, coarse.time)
    for name in ("y", "x", "lat", "lon"):
        blocks = coarsen(ens, 4)[name]
        np.testing.assert_allclose(blocks, coarse[name], rtol=1e-3, atol=1e-6)
    assert ens.y.attrs == coarse.y.attrs


def test_the_sample_of_a_realization(coarse, toy):
    ens = downscale(coarse.expand_dims(number=[0, 4]), model=toy, members=3, steps=1)
    assert "standard_name" not in ens.sample.attrs
    assert ens.number.values.tolist() == [0, 4]


def test_a_member_alone_keeps_its_number(coarse, toy):
    ens = downscale(coarse.assign_coords(member=5), model=toy, members=2, steps=1)
    assert ens.precip_rate.dims == ("sample", "time", "y", "x")
    assert ens.member.item() == 5


def test_cf_attributes(ens, toy):
    channel = toy.card.outputs[0]
    rain = ens.cf["lwe_precipitation_rate"]
    assert rain.attrs == {
        "standard_name": channel.standard_name,
        "long_name": channel.long_name,
        "units": "mm h-1",
        "cell_methods": "area: mean",
        "grid_mapping": "crs",
    }
    assert ens.attrs["Conventions"].startswith("CF-1.")
    assert ens.cf["latitude"].dims == ("y", "x")
    assert ens.cf.axes["T"] == ["time"]
    assert "grid_mapping_name" in ens.crs.attrs


def test_provenance(coarse, toy):
    coarse.attrs["history"] = "made yesterday"
    ens = downscale(coarse, model=toy, members=2, steps=2, seed=9, sampler="heun")
    told = {name: ens.attrs[f"xresdiff_{name}"] for name in ("seed", "sampler", "steps", "model")}
    assert told == {"seed": 9, "sampler": "heun", "steps": 2, "model": "toy"}
    assert ens.attrs["xresdiff_sha256"] == toy.sha256
    assert toy.sha256 in ens.attrs["source"]
    first, second = ens.attrs["history"].splitlines()
    assert "downscale(model='toy'" in first
    assert second == "made yesterday"


def test_the_mean_has_no_seed(coarse, toy):
    mean = downscale(coarse, model=toy, stage="mean")
    assert mean.attrs["xresdiff_stage"] == "mean"
    assert "xresdiff_seed" not in mean.attrs


def test_other_coords_and_bounds_stay(coarse, toy):
    ds = coarse.assign_coords(
        valid_time=("time", coarse.time.values + np.timedelta64(1, "h")),
        height=2.0,
        region=("y", list("abcdef")),
        level=("level", [500.0, 850.0]),
    )
    ds["time_bounds"] = (("time", "edge"), np.stack([ds.time.values] * 2, axis=1))
    ds["time"].attrs["bounds"] = "time_bounds"
    ens = downscale(ds, model=toy, members=2, steps=1)
    names = {"member", "time", "y", "x", "lat", "lon", "crs", "valid_time", "height", "time_bounds"}
    assert set(ens.coords) == names
    assert list(ens.data_vars) == ["precip_rate"]


def test_stacked_dims_stay(coarse, toy):
    stacked = coarse.expand_dims(step=[0, 6]).stack(run=("time", "step"))
    ens = downscale(stacked, model=toy, members=2, steps=1)
    assert ens.precip_rate.dims == ("member", "run", "y", "x")
    assert ens.unstack("run").sizes["step"] == 2


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("stage", ["both", "mean"])
def test_netcdf_keeps_everything(ens, coarse, toy, tmp_path, lazy, stage):
    given = coarse.chunk(time=1) if lazy else coarse
    ens = downscale(given, model=toy, members=3, steps=2, stage=stage)
    ens.to_netcdf(tmp_path / "ens.nc")
    with xr.open_dataset(tmp_path / "ens.nc") as there:
        xr.testing.assert_identical(there.load(), ens.compute())


@pytest.mark.parametrize("lazy", [False, True])
def test_zarr_keeps_everything(coarse, toy, tmp_path, lazy):
    given = coarse.chunk(time=1) if lazy else coarse
    ens = downscale(given, model=toy, members=3, steps=2, chunks={"member": 2})
    ens.to_zarr(tmp_path / "ens.zarr")
    there = xr.open_zarr(tmp_path / "ens.zarr")
    if lazy:
        assert there.precip_rate.chunks == ens.precip_rate.chunks
    xr.testing.assert_identical(there.load(), ens.compute())


def test_labels_do_not_depend_on_how_times_are_stored():
    days = np.array(["2024-07-01", "2024-07-02"], dtype="datetime64[s]")
    coarser, finer = (xr.Dataset(coords={"time": days.astype(f"M8[{u}]")}) for u in ("s", "ns"))
    assert texts(coarser, "time") == texts(finer, "time")
    assert texts(finer, "time") == ["time=2024-07-01T00:00:00", "time=2024-07-02T00:00:00"]


def test_labels_of_any_calendar():
    times = [cftime.DatetimeNoLeap(2024, 2, 28), cftime.DatetimeNoLeap(2024, 3, 1)]
    ds = xr.Dataset(coords={"time": times})
    assert len(set(texts(ds, "time"))) == 2
    assert texts(ds.isel(time=0)) == texts(ds.isel(time=[0]), "time")


def test_one_of_a_dimension_has_the_label_it_had():
    times = np.array(["2024-07-01", "2024-07-02"], dtype="datetime64[ns]")
    steps = np.array([0, 6], dtype="timedelta64[h]").astype("timedelta64[ns]")
    ds = xr.Dataset(
        coords={
            "time": times,
            "step": steps,
            "valid_time": (("time", "step"), times[:, None] + steps),
            "number": 3,
            "surface": 0.0,
        }
    )
    part = ds.isel(time=[1], step=[0])
    assert texts(part, "time", "step") == texts(part.isel(time=0, step=0))
    assert texts(part, "time", "step") == texts(part.isel(time=0), "step")


def test_times_taken_one_by_one_have_labels_of_their_own():
    times = np.array(["2024-07-01", "2024-07-02"], dtype="datetime64[ns]")
    for name in ("time", "valid_time"):
        ds = xr.Dataset(coords={name: times})
        assert texts(ds.isel({name: 0})) != texts(ds.isel({name: 1}))


def test_labels_of_dims_without_coords_are_places():
    ds = xr.Dataset({"rain": (("run", "y"), np.zeros((2, 3)))})
    assert texts(ds, "run") == ["run=0", "run=1"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_time_with_other_times_is_that_of_the_whole(coarse, toy, lazy):
    steps = np.array([0, 6, 12], dtype="timedelta64[h]").astype("timedelta64[ns]")
    ds = coarse.assign_coords(
        step=("time", steps), reftime=("time", coarse.time.values - steps), number=3
    )
    draw = {"model": toy, "members": 2, "steps": 1, "precision": "float32"}
    whole = downscale(ds.chunk(time=1) if lazy else ds, **draw).compute()
    xr.testing.assert_allclose(downscale(ds.isel(time=0), **draw), whole.isel(time=0), rtol=1e-4)


def test_the_same_input_is_known_again(coarse, toy, tmp_path):
    def token(ds):
        return downscale(ds, model=toy, members=1, steps=1).attrs["xresdiff_input"]

    coarse.to_zarr(tmp_path / "in.zarr")
    first, again = (token(xr.open_zarr(tmp_path / "in.zarr")) for _ in range(2))
    assert first == again
    assert token(xr.open_zarr(tmp_path / "in.zarr").isel(time=[0])) != first
    assert token(coarse) == token(coarse.copy(deep=True)) != token(coarse.isel(time=[0]))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_store_of_another_input_is_refused(coarse, toy, tmp_path, lazy):
    def write(ds):
        given = ds.chunk(time=1) if lazy else ds
        to_zarr(downscale(given, model=toy, members=1, steps=1), tmp_path / "ens.zarr")

    write(coarse)
    write(coarse.copy(deep=True))
    coarse.precip_rate[0, 0, 0] += 1
    with pytest.raises(StoreError, match="xresdiff_input"):
        write(coarse)


@pytest.mark.parametrize(
    ("name", "values"),
    [("init", [1960, 1961]), ("scenario", ["ssp126", "ssp585"]), ("lag", [0.5, 1.5])],
)
def test_starts_and_scenarios_tell_fields_apart_alone_and_together(coarse, toy, name, values):
    still = coarse.isel(time=0)
    both = xr.concat([still, still], name).assign_coords({name: values})
    how = {"model": toy, "members": 1, "steps": 1, "precision": "float32"}
    whole = downscale(both, **how).precip_rate
    alone = [downscale(both.isel({name: i}), **how).precip_rate for i in (0, 1)]
    for i in (0, 1):
        np.testing.assert_allclose(alone[i], whole.isel({name: i}), rtol=1e-4, atol=1e-5)
    assert float(abs(alone[0] - alone[1]).max()) > 1e-2


def test_heights_and_maps_are_no_labels():
    height = ((), 2.0, {"standard_name": "height", "positive": "up"})
    surface = ((), 0.0, {"long_name": "original GRIB coordinate for key: level(surface)"})
    crs = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    scalars = {"height": height, "surface": surface, "spatial": crs, "expver": "0001"}
    ds = xr.Dataset(coords={"time": [0, 1], **scalars})
    assert [label.dims for label in noise_labels(ds, ("time",))] == [("time",)]


def test_dates_of_the_usual_calendars_are_those_of_numpy():
    date = [np.datetime64("2024-07-01T06", "ns")]
    plain = noise_labels(xr.Dataset(coords={"time": date}), ("time",))
    for calendar in ("standard", "proleptic_gregorian"):
        date = [cftime.datetime(2024, 7, 1, 6, calendar=calendar)]
        dates = noise_labels(xr.Dataset(coords={"time": ("time", date)}), ("time",))
        assert dates[0].values.tolist() == plain[0].values.tolist()


@pytest.mark.parametrize(
    ("values", "units", "dtype"),
    [
        ([6, 12], "hours", "i8"),
        ([6, 12], "h", "u1"),
        ([6, 12], "hour", "f4"),
        ([0.25, 0.5], "days", "f4"),
        ([21600, 43200], "s", "i4"),
        ([360, 720], "minutes", "i2"),
    ],
)
def test_steps_are_those_that_they_are_once_decoded(values, units, dtype):
    hours = np.array([6, 12], "timedelta64[h]").astype("timedelta64[ns]")
    decoded = xr.Dataset(coords={"step": hours})
    numbers = xr.Dataset(coords={"step": ("step", np.array(values, dtype), {"units": units})})
    assert texts(numbers, "step") == texts(decoded, "step")


@pytest.mark.parametrize("kind", ["month", "text", "bytes"])
def test_coordinates_beside_a_dimension_tell_as_much_alone(kind):
    time = np.array(["2024-07-01", "2024-08-01"], "M8[ns]")
    beside = {"month": [7, 8], "text": ["a", "b"], "bytes": np.array([b"a", b"b"])}[kind]
    ds = xr.Dataset(coords={"time": time, "beside": ("time", beside)})
    whole = noise_labels(ds, ("time",))
    for i in (0, 1):
        one = ds.isel(time=i)
        assert texts(one) == sorted(str(label.values[i]) for label in whole)
