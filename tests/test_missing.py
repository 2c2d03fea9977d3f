"""Missing values: refused with their place named, or left missing where they are."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.downscale import downscale
from xresdiff.engine.missing import check_block
from xresdiff.errors import InputError
from xresdiff.grids.coarsen import coarsen
from xresdiff.models.card import Channel


@pytest.fixture
def draw(toy):
    def drawn(ds, **changes):
        return downscale(ds, model=toy, members=2, steps=1, precision="float32", **changes)

    return drawn


@pytest.fixture
def holed(coarse):
    """Rain with two cells missing at the second time."""
    coarse.precip_rate[1, 2, 3] = np.nan
    coarse.precip_rate[1, 4, 0] = np.inf
    return coarse


PLACE = "the first at time=2024-07-01T12:10:00, y=-8000.0, x=16000.0"


def test_missing_values_are_refused_at_once(holed, draw):
    with pytest.raises(InputError) as error:
        draw(holed)
    assert PLACE in str(error.value)
    assert "2 of 90 values of 'precip_rate' are missing" in str(error.value)
    assert "skipna=True" in str(error.value)


@pytest.mark.parametrize("stage", ["both", "mean"])
def test_missing_values_are_refused_when_computed(holed, draw, stage):
    lazy = draw(holed.chunk(time=1), stage=stage)
    lazy.isel(time=0).compute(scheduler="synchronous")
    with pytest.raises(InputError, match="2 of 30 values") as error:
        lazy.compute(scheduler="synchronous")
    assert PLACE in str(error.value)


def test_places_of_a_single_time_are_named(holed, draw):
    with pytest.raises(InputError) as error:
        draw(holed.isel(time=1))
    assert PLACE in str(error.value)


def test_places_without_labels_are_counted(holed, draw):
    with pytest.raises(InputError, match=r"the first at time=1, y=-8000\.0, x=16000\.0"):
        draw(holed.drop_vars("time"))


@pytest.mark.parametrize("lazy", [False, True])
def test_skipna_leaves_the_pixels_of_missing_cells_missing(holed, draw, lazy):
    result = draw(holed.chunk(time=1) if lazy else holed, skipna=True)
    if lazy:
        assert result.precip_rate.chunks == ((2,), (1, 1, 1), (24,), (20,))
    rain = result.compute().precip_rate
    expected = ~np.isfinite(holed.precip_rate.values)
    expected = expected.repeat(4, axis=-2).repeat(4, axis=-1)
    np.testing.assert_array_equal(rain.isnull(), np.stack([expected] * 2))
    assert rain.dtype == np.float32


def test_skipna_changes_nothing_where_nothing_is_missing(coarse, draw):
    xr.testing.assert_equal(draw(coarse, skipna=True), draw(coarse))


def test_skipna_conserves_the_rest(holed, draw):
    rain = draw(holed, skipna=True).precip_rate
    blocks = coarsen(rain, 4)
    needed = holed.precip_rate.where(np.isfinite(holed.precip_rate)).expand_dims(member=2)
    np.testing.assert_allclose(blocks, needed, rtol=1e-4, atol=1e-6)


def test_a_field_of_nothing_gives_nothing(coarse, draw):
    coarse.precip_rate[0] = np.nan
    rain = draw(coarse, skipna=True).precip_rate
    assert bool(rain.isel(time=0).isnull().all())
    assert not bool(rain.isel(time=slice(1, None)).isnull().any())


def test_neighbours_fill_the_gap_for_the_networks(coarse, draw):
    whole, holed = coarse.copy(deep=True), coarse
    whole.precip_rate[:] = 2.0
    holed.precip_rate[:] = 2.0
    holed.precip_rate[0, 3, 3] = np.nan
    there = draw(holed, skipna=True)
    xr.testing.assert_allclose(there, draw(whole).where(there.precip_rate.notnull()), rtol=1e-5)


@pytest.mark.parametrize("skipna", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_fill_values_are_refused(coarse, draw, lazy, skipna):
    coarse.precip_rate[1, 2, 3] = -9999.0
    with pytest.raises(InputError) as error:
        draw(coarse.chunk(time=1) if lazy else coarse, skipna=skipna).compute()
    assert "a fill value that was not decoded, -9999, the first at" in str(error.value)
    assert PLACE.partition(", ")[2] in str(error.value)
    assert "ds['precip_rate'].where(ds['precip_rate'] != -9999.0), and type skipna=True" in str(
        error.value
    )


@pytest.mark.parametrize("fill", [1e20, 9.96921e36, -32768.0, -999.0])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_usual_fill_values_are_known(coarse, draw, fill, dtype):
    coarse["precip_rate"] = coarse.precip_rate.astype(dtype)
    coarse.precip_rate[1, 2, 3] = fill
    with pytest.raises(InputError, match="look like a fill value"):
        draw(coarse)


def test_values_among_others_are_no_fill_values(coarse, draw):
    rng = np.random.default_rng(0)
    around = (1e5 + 5e3 * rng.normal(size=coarse.precip_rate.shape)).astype("f4")
    coarse["precip_rate"] = coarse.precip_rate.copy(data=around)
    coarse.precip_rate[1, 2, 3] = 99999.0
    assert bool(draw(coarse).precip_rate.notnull().all())


@pytest.mark.parametrize("fill", [-99.9, -1.0, 1e20])
def test_fill_values_that_attributes_tell_are_known(coarse, draw, fill):
    coarse.precip_rate[1, 2, 3] = fill
    coarse.precip_rate.attrs["missing_value"] = fill
    with pytest.raises(InputError, match="look like a fill value"):
        draw(coarse)


def test_fill_values_show_in_fields_of_a_wide_range(coarse, draw):
    coarse["precip_rate"] = coarse.precip_rate * 1e4
    coarse.precip_rate.attrs["units"] = "mm h-1"
    coarse.precip_rate[:, 2, 3] = -999.0
    with pytest.raises(InputError, match="look like a fill value"):
        draw(coarse)


def test_values_far_below_the_minimum_are_refused(coarse, draw):
    coarse.precip_rate[1, 2, 3] = -7.0
    with pytest.raises(InputError, match="below its minimum of 0 mm h-1, the first, -7") as error:
        draw(coarse)
    assert PLACE.removeprefix("the first at ") in str(error.value)


def test_infinite_values_are_missing_never_dry(coarse, draw):
    coarse.precip_rate[1, 2, 3] = -np.inf
    with pytest.raises(InputError, match="1 of 90 values of 'precip_rate' are missing"):
        draw(coarse)
    rain = draw(coarse, skipna=True).precip_rate
    assert int(rain.isnull().sum()) == 2 * 4 * 4


def test_rounded_values_at_the_end_of_others_are_no_fill_values(coarse, draw):
    rng = np.random.default_rng(0)
    around = np.round(99000 + 600 * rng.normal(size=coarse.precip_rate.shape)).clip(max=99998)
    coarse["precip_rate"] = coarse.precip_rate.copy(data=around.astype("f4"))
    coarse.precip_rate[1, 2, 3] = 99999.0
    assert bool(draw(coarse).precip_rate.notnull().all())


def block(values, **channel):
    """Return values after the check of a channel that is never negative."""
    known = Channel("x", minimum=0.0, **channel)
    shaped = np.asarray(values, np.float32).reshape(1, 1, 1, -1)
    places = [f"x={i}" for i in range(shaped.size)]
    return check_block(
        shaped, what="no", channels=(known,), names=("x",), rows=["y=0"], columns=places
    )


@pytest.mark.parametrize("values", [[-0.05, 500.0], [-0.05, -0.2]], ids=["dawn", "night"])
def test_radiation_just_below_zero_is_none(values):
    done = block(values, standard_name="", units="W m-2")
    assert done.min() == 0


def test_radiation_far_below_zero_is_refused():
    with pytest.raises(InputError, match="below its minimum of 0 W m-2, the first, -99"):
        block([-99.0, 500.0], standard_name="", units="W m-2")


def test_what_is_just_below_the_minimum_goes_by_the_size_of_values():
    large = np.linspace(0, 1000, 50)
    assert block([-0.5, *large], standard_name="", units="1").min() == 0
    with pytest.raises(InputError, match="below its minimum"):
        block([-0.5, *large / 1000], standard_name="", units="1")
