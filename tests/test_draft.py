from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from tests.toys import PRECIP_RATE, fixed_card, write_fixed_model, write_toy_model
from xresdiff.errors import InputError
from xresdiff.grids.target import refine, target_grid
from xresdiff.models.card import Channel, Extra, ModelCard, Padding, Patching, Transform
from xresdiff.models.grid_file import read_grid, write_grid
from xresdiff.models.package import write_package
from xresdiff.train.arguments import Arguments
from xresdiff.train.draft import draft

FACTOR = 4
TIMES = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(3)
RAIN = {"units": "mm h-1", "standard_name": "lwe_precipitation_rate"}
WARM = {"units": "K", "standard_name": "air_temperature", "long_name": "temperature at 2 m"}


def fields(grid, dims, **variables):
    """Return variables on a grid, in time, with these attributes."""
    shape = (len(TIMES), *(grid.sizes[dim] for dim in dims))
    ds = grid.assign_coords(time=TIMES)
    rng = np.random.default_rng(0)
    for name, attrs in variables.items():
        ds[name] = (("time", *dims), rng.random(shape, dtype="f4"), attrs)
    return ds


def pair_of(inputs=None, outputs=None, *, size=8, factor=FACTOR):
    """Return a Dataset of 16 km and one that is finer, on latitudes and longitudes."""
    lat, lon = 50 + 0.15 * np.arange(size), 5 + 0.22 * np.arange(size)
    coarse = xr.Dataset(coords={"lat": lat, "lon": lon})
    sides = ("lat", "lon")
    inputs, outputs = inputs or {"rain": RAIN}, outputs or {"rain": RAIN}
    return fields(coarse, sides, **inputs), fields(refine(coarse, factor), sides, **outputs)


def drafted(pair, start=None, **given):
    return draft(*pair, Arguments(**({"device": "cpu"} | given)), start)


def refused(pair, start=None, **given):
    with pytest.raises(InputError) as caught:
        drafted(pair, start, **given)
    return str(caught.value)


def names(channels):
    return [channel.label for channel in channels]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model that refines rain four times."""
    return write_toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    """A model of the target of `pair_of`, told its orography."""
    target = pair_of()[1]
    orog = np.random.default_rng(1).random((32, 32), dtype="f4")
    grid = write_grid(target.lat.values, target.lon.values, statics={"orog": orog})
    told = {"told": 2, "extras": (Extra("static", "orog", std=0.3), Extra("cos_zenith"))}
    return write_fixed_model(tmp_path_factory.mktemp("models") / "bay", grid, **told)


def bay_pair():
    wind = {"units": "m s-1", "standard_name": "eastward_wind"}
    return pair_of({"t2m": WARM, "u10": wind}, {"t2m": WARM, "u10": wind})


# --- a model from nothing


def test_a_model_of_rain_follows_from_the_data():
    made = drafted(pair_of())
    card = made.card
    assert (card.name, card.title) == (
        "rain-4x",
        "Lwe precipitation rate at 4.03 km from fields of 16.1 km",
    )
    assert card.inputs == card.outputs
    (rain,) = card.outputs
    assert (rain.name, rain.units, rain.standard_name) == ("rain", "mm h-1", RAIN["standard_name"])
    assert (rain.transform, rain.minimum, rain.dry_below) == (
        Transform("power", exponent=1 / 3),
        0.0,
        0.1,
    )
    assert card.target.factor == 4
    assert card.target.spacing_km == pytest.approx(16.0, abs=0.5)
    assert card.conditioning == ("bilinear", "constant", "phase")
    assert (made.start, made.grid, made.notes) == (None, None, ())
    assert made.fresh == made.described == {("input", rain.key), ("output", rain.key)}


def test_a_card_that_is_drafted_survives_json():
    for given in ({}, {"extras": ("hour", "latitude")}):
        card = drafted(pair_of(), **given).card
        assert ModelCard.from_json(card.to_json()) == card


def test_networks_run_on_what_the_card_says():
    card = drafted(pair_of({"rain": RAIN, "t2m": WARM})).card
    from xresdiff.engine.runtime import build

    mean, residual = (build(stage.network) for stage in (card.mean, card.residual))
    told = torch.zeros(1, 6, card.patch, card.patch)  # bilinear, constant, phase
    assert mean(told, torch.zeros(1)).shape == (1, 1, card.patch, card.patch)
    both = torch.cat([torch.zeros(1, 2, card.patch, card.patch), told], dim=1)
    assert residual(both, torch.zeros(1)).shape == (1, 1, card.patch, card.patch)
    assert card.mean.network.parameters == sum(p.numel() for p in mean.parameters())


@pytest.mark.parametrize(
    ("network", "least", "most"), [("small", 1e6, 3e6), ("medium", 1e7, 2e7), ("large", 7e7, 9e7)]
)
def test_networks_have_the_size_asked_for(network, least, most):
    card = drafted(pair_of(size=32), network=network).card
    assert least < card.mean.network.parameters < most
    assert least < card.residual.network.parameters < most
    assert card.residual.network.config["bottleneck_attention"] is False


def test_auto_is_small_on_a_cpu_and_medium_on_a_gpu():
    small, medium = (drafted(pair_of(), device=device).card for device in ("cpu", "cuda"))
    assert small.mean.network.parameters < 3e6 < medium.mean.network.parameters


def test_fields_of_a_network_may_be_given():
    card = drafted(pair_of(), network={"model_channels": 8, "channel_mult": (1, 2)}).card
    assert card.mean.network.config["model_channels"] == 8
    assert card.residual.network.config["channel_mult"] == (1, 2)


def test_a_network_that_cannot_be_is_refused():
    assert "makes no network" in refused(pair_of(), network={"model_channels": "wide"})
    assert "makes no network" in refused(pair_of(), network={"channel_mult": 3})


@pytest.mark.parametrize("factor", [2, 3, 7, 12])
def test_patches_are_whole_cells_that_the_networks_take(factor):
    card = drafted(pair_of(size=12, factor=factor)).card
    config = card.mean.network.config
    multiple = config["stem"] * 2 ** (len(config["channel_mult"]) - 1)
    assert card.target.factor == factor
    assert card.patch % factor == card.patch % multiple == 0
    assert card.patch <= 12 * factor


def test_a_patch_that_is_asked_for_is_taken():
    assert drafted(pair_of(size=32), patch=64).card.patch == 64


def test_a_grid_with_flat_cells_is_within_the_range_of_its_own_model():
    lat, lon = 70 + 0.25 * np.arange(8), 5 + 0.25 * np.arange(8)
    coarse = xr.Dataset(coords={"lat": lat, "lon": lon})
    sides = ("lat", "lon")
    target = fields(refine(coarse, 4), sides, rain=RAIN)
    low, high = drafted((fields(coarse, sides, rain=RAIN), target)).card.target.spacing_range_km
    assert low < 111.2 * 0.25 * np.cos(np.deg2rad(71.8)) < 111.2 * 0.25 < high


def test_the_name_that_is_given_is_taken():
    assert drafted(pair_of(), name="mine").card.name == "mine"


def test_where_data_are_from_is_noted():
    coarse, target = pair_of()
    coarse.attrs = {"title": "ERA5", "institution": "ECMWF", "license": "CC-BY-4.0"}
    first, second = drafted((coarse, target)).card.data
    assert (first.name, first.attribution, first.licence) == ("ERA5", "ECMWF", "CC-BY-4.0")
    assert (second.name, second.licence) == ("targets", "not stated")


# --- channels


def test_variables_of_both_datasets_become_channels():
    card = drafted(pair_of({"rain": RAIN, "t2m": WARM}, {"t2m": WARM, "rain": RAIN})).card
    assert names(card.inputs) == ["rain", "t2m"]
    assert names(card.outputs) == ["t2m", "rain"]
    assert card.inputs[1].transform == Transform("identity")
    assert card.inputs[1].long_name == "temperature at 2 m"


def test_named_variables_are_taken_in_their_order():
    pair = pair_of({"rain": RAIN, "t2m": WARM})
    assert names(drafted(pair, inputs=["t2m", "rain"]).card.inputs) == ["t2m", "rain"]
    assert names(drafted(pair, inputs=["t2m"]).card.inputs) == ["t2m"]


def test_levels_of_pressure_become_one_channel_each():
    coarse, target = pair_of({"t2m": WARM}, {"t2m": WARM})
    aloft = coarse.t2m.expand_dims(level=[1000, 850]).assign_attrs(WARM)
    coarse = coarse.assign(t=aloft)
    coarse.level.attrs["units"] = "hPa"
    card = drafted((coarse, target)).card
    assert names(card.inputs) == ["t2m", "t at 1000 hPa", "t at 850 hPa"]
    assert [channel.level_Pa for channel in card.inputs] == [None, 1e5, 8.5e4]


def test_levels_that_are_no_pressures_are_left_out_or_refused():
    coarse, target = pair_of()
    deep = coarse.assign(q=coarse.rain.expand_dims(hybrid=[1, 2, 3]))
    made = drafted((deep, target))
    assert names(made.card.inputs) == ["rain"]
    assert "left out of coarse: 'q' runs along levels that are no pressures" in made.notes[0]
    assert "'q' runs along levels that are no pressures" in refused((deep, target), inputs=["q"])


def test_fields_without_time_are_left_out_with_the_line_to_type():
    coarse, target = pair_of()
    target["orog"] = target.rain.isel(time=0, drop=True).assign_attrs(units="m")
    (told,) = drafted((coarse, target)).notes
    assert told == "left out of target: 'orog' has no time; give it as static=target[['orog']]"
    assert "'orog' has no time" in refused((coarse, target), outputs=["orog"])


def test_bounds_and_grid_mappings_are_no_channels():
    coarse, target = pair_of()
    coarse["lat_bnds"] = (("lat", "bnds"), np.zeros((8, 2)))
    coarse.lat.attrs["bounds"] = "lat_bnds"
    coarse["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    assert names(drafted((coarse, target)).card.inputs) == ["rain"]


def test_an_input_that_is_an_output_by_its_standard_name_takes_its_name():
    made = drafted(pair_of({"tp": RAIN}, {"rain": RAIN}))
    (rain,) = made.card.inputs
    assert (rain.name, rain.aliases) == ("rain", ("tp",))
    assert made.card.global_residual
    assert "'tp' of coarse is the input 'rain'" in made.notes


def test_two_inputs_of_one_standard_name_stay_what_they_are():
    card = drafted(pair_of({"a": RAIN, "b": RAIN}, {"rain": RAIN})).card
    assert names(card.inputs) == ["a", "b"]
    assert not card.global_residual


def test_an_input_that_is_an_output_is_in_its_units():
    celsius = WARM | {"units": "degC"}
    card = drafted(pair_of({"t2m": celsius}, {"t2m": WARM})).card
    assert card.inputs[0].units == card.outputs[0].units == "K"


def test_an_input_and_an_output_of_one_name_but_unlike_units_are_refused():
    pair = pair_of({"x": {"units": "K"}}, {"x": {"units": "Pa"}})
    assert "coarse: variable 'x' is in 'K', which does not convert to the 'Pa'" in refused(pair)


def test_bounds_follow_from_standard_names():
    wanted = {
        "rh": ("relative_humidity", "%", 0.0, None),
        "clt": ("cloud_area_fraction", "%", 0.0, 100.0),
        "ws": ("wind_speed", "m s-1", 0.0, None),
        "ta": ("air_temperature", "K", None, None),
        "wa": ("upward_air_velocity", "m s-1", None, None),
        "sfl": ("surface_upward_heat_flux_in_air", "W m-2", None, None),
        "rsds": ("surface_downwelling_shortwave_flux_in_air", "W m-2", 0.0, None),
    }
    attrs = {n: {"standard_name": s, "units": u} for n, (s, u, *_) in wanted.items()}
    for channel in drafted(pair_of(attrs, attrs)).card.outputs:
        assert (channel.minimum, channel.maximum) == wanted[channel.name][2:], channel.name
        assert channel.transform == Transform("identity")


@pytest.mark.parametrize(
    ("units", "trace"), [("mm", 0.1), ("m", 1e-4), ("kg m-2 s-1", 2.778e-5), ("mm day-1", 2.4)]
)
def test_a_trace_of_rain_is_a_tenth_of_a_millimetre_an_hour(units, trace):
    pair = pair_of({"tp": {"units": units}}, {"tp": {"units": units}})
    assert drafted(pair).card.outputs[0].dry_below == pytest.approx(trace)


def test_a_trace_of_daily_rain_is_a_tenth_of_a_millimetre_a_day():
    coarse, target = pair_of({"pr": {"units": "mm day-1"}}, {"pr": {"units": "mm day-1"}})
    daily = TIMES[0] + np.timedelta64(1, "D") * np.arange(3)
    pair = coarse.assign_coords(time=daily), target.assign_coords(time=daily)
    assert drafted(pair).card.outputs[0].dry_below == pytest.approx(0.1)


def test_an_anomaly_of_rain_may_be_negative():
    anomaly = {"units": "mm", "standard_name": "precipitation_amount_anomaly"}
    assert drafted(pair_of({"pr": anomaly}, {"pr": anomaly})).card.outputs[0].minimum is None


def test_a_channel_of_ones_own_is_taken_as_it_is():
    own = Channel("rain", "", "mm h-1", minimum=0.0, mean=1.0, std=2.0)
    made = drafted(pair_of(), outputs=[own])
    assert made.card.outputs == (own,)
    assert ("output", own.key) not in made.fresh | made.described
    open_ = drafted(pair_of(), outputs=[replace(own, mean=0.0, std=1.0)])
    assert ("output", own.key) in open_.fresh - open_.described


def test_missing_units_are_refused_together_with_the_line_to_type():
    told = refused(pair_of({"a": {}, "b": {"units": "K"}, "c": {"units": ""}}))
    assert "'a', 'c' of coarse have no units; say which, such as 'K': " in told
    assert "coarse['a'].attrs['units'] = '...'; coarse['c'].attrs['units'] = '...'" in told


def test_variables_that_are_not_there_are_refused_with_what_is():
    told = refused(pair_of({"temperature": WARM}), inputs=["temprature"], outputs=["snow"])
    assert "for 2 reasons" in told
    assert "no 'temprature' in coarse; it has 'temperature'; is 'temperature' meant?" in told
    assert "there is no 'snow' in target; it has 'rain'" in told


def test_packed_variables_are_refused():
    coarse, target = pair_of()
    coarse["rain"] = coarse.rain.astype("i2").assign_attrs(scale_factor=0.1)
    assert "coarse: variable 'rain' is packed" in refused((coarse, target))


def test_a_dataset_without_fields_in_time_is_refused():
    coarse, target = pair_of()
    told = refused((coarse, target.isel(time=0, drop=True)))
    assert "target has no variable that runs along ('lat', 'lon') and in time" in told
    assert "target.expand_dims('time')" in told


def test_a_channel_with_a_transform_and_no_statistics_is_measured():
    own = Channel("rain", "", "mm h-1", transform=Transform("log1p"))
    assert ("output", own.key) in drafted(pair_of(), outputs=[own]).fresh


def test_a_channel_of_ones_own_that_is_not_there_is_refused():
    own = Channel("snow", "snowfall_flux", "mm h-1")
    assert "there is no 'snow' in target" in refused(pair_of(), outputs=[own])


def test_nothing_is_computed(no_compute):
    coarse, target = (ds.chunk(time=1) for ds in pair_of())
    drafted((coarse, target))
    drafted((coarse, target), extras=("solar_zenith",))


# --- grids that are refined


def test_projected_grids_are_refined():
    grid = target_grid(crs="EPSG:27700", center=(54.0, -2.0), spacing_km=12, shape=(8, 8))
    coarse = fields(grid, ("y", "x"), rain=RAIN)
    target = fields(refine(grid, 6), ("y", "x"), rain=RAIN)
    assert drafted((coarse, target)).card.target.factor == 6


def curvilinear(ds):
    lat, lon = np.meshgrid(ds.lat, ds.lon, indexing="ij")
    bent = ds.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    return bent.assign_coords(lat=(("y", "x"), lat + 0.02 * lon), lon=(("y", "x"), lon))


def test_curvilinear_grids_are_refined():
    coarse, target = pair_of()
    assert drafted((coarse, curvilinear(target))).card.target.factor == 4


def test_a_target_hardly_finer_than_the_input_is_refused():
    coarse, _ = pair_of()
    told = refused((coarse, coarse))
    assert "the spacing of coarse is 16.7 x 15.6 km, that of the target 16.7 x 15.6 km" in told
    assert "static=..., or extras=('latitude',)" in told


def test_a_grid_that_is_not_found_is_refused_once():
    coarse, target = pair_of()
    told = refused((coarse.rename(lat="a", lon="b").drop_vars(["a", "b"]), target))
    assert told.count("no horizontal coordinates") == 1


def test_an_uneven_target_makes_a_model_of_its_own_grid(start):
    coarse, target = pair_of(size=16)
    uneven = target.isel(lat=[i for i in range(64) if i != 30])
    made = drafted((coarse, uneven))
    assert made.card.target.kind == "fixed"
    assert "the model is made for the grid of the target" in made.notes[0]
    named = {name: ds.rename(rain="precip_rate") for name, ds in (("c", coarse), ("t", uneven))}
    assert "target: the spacing of 'lat' changes" in refused((named["c"], named["t"]), start)


# --- a grid of one's own


def test_extras_make_a_model_of_one_region():
    made = drafted(pair_of(), extras=("day_of_year", "hour", "solar_zenith", "latitude"))
    card = made.card
    assert (card.target.kind, card.conditioning, card.conserve) == ("fixed", ("bilinear",), ())
    assert card.target.region == "49.9 to 51.1 N, 4.9 to 6.6 E"
    assert [extra.kind for extra in card.extras] == [
        *("sin_year", "cos_year", "sin_day", "cos_day", "cos_zenith", "latitude")
    ]
    assert card.extras[-1].mean == pytest.approx(50.525, abs=0.01)
    assert card.mean.network.config["in_channels"] == 1 + 6
    grid = read_grid(made.grid, card)
    np.testing.assert_allclose(grid.lat, pair_of()[1].lat)


def test_a_static_field_is_told_the_networks():
    coarse, target = pair_of()
    orog = target.rain.isel(time=0, drop=True).rename("orog")
    made = drafted((coarse, target), static=orog)
    (extra,) = made.card.extras
    assert (extra.kind, extra.name) == ("static", "orog")
    assert extra.mean == pytest.approx(float(orog.mean()))
    assert extra.std == pytest.approx(float(orog.std()))
    np.testing.assert_allclose(read_grid(made.grid, made.card).orog, orog)


def test_a_static_field_may_lie_in_another_order():
    coarse, target = pair_of()
    orog = target.rain.isel(time=[0]).rename("orog").transpose("lon", "time", "lat")
    made = drafted((coarse, target), static=orog.to_dataset())
    np.testing.assert_allclose(
        read_grid(made.grid, made.card).orog, target.rain.isel(time=0).values
    )


@pytest.mark.parametrize(("spacing_deg", "how"), [(0.2, "bilinear"), (0.01, "cell means")])
def test_a_static_field_of_another_grid_is_regridded(spacing_deg, how):
    coarse, target = pair_of()
    grid = target_grid(lat=(49.5, 51.5), lon=(4.5, 7.1), spacing_deg=spacing_deg)
    height = (10 * grid.lat + grid.lon).rename("orog")
    made = drafted((coarse, target), static=height)
    assert made.notes == (f"static fields are regridded to the target ({how}): 'orog'",)
    wanted = 10 * target.lat + target.lon
    np.testing.assert_allclose(read_grid(made.grid, made.card).orog, wanted, atol=0.1)


def test_a_few_missing_values_of_a_static_field_are_filled():
    coarse, target = pair_of()
    orog = target.rain.isel(time=0, drop=True).rename("orog").copy()
    orog[3, 4] = np.nan
    made = drafted((coarse, target), static=orog)
    assert made.notes == ("static 'orog': 1 missing pixels take the nearest values",)
    assert np.isfinite(read_grid(made.grid, made.card).orog).all()


def test_static_fields_that_are_of_no_use_are_refused():
    coarse, target = pair_of()
    orog = target.rain.isel(time=0, drop=True).rename("orog")
    half = orog.where(target.lon > 6)
    assert "is missing at " in refused((coarse, target), static=half)
    assert "static=static.fillna({'orog': 0})" in refused((coarse, target), static=half)
    assert "static 'rain' runs along 'time' too; take one field of it: static.isel(time=0)" in (
        refused((coarse, target), static=target)
    )
    assert "rename it: static.rename({'y': 'y_field'})" in refused(
        (coarse, target), static=orog.rename("y")
    )
    bare = xr.Dataset({"a": ("k", [1.0])}, coords={"lat": target.lat, "lon": target.lon})
    assert "static has no fields along ('lat', 'lon'); it has 'a'" in refused(
        (coarse, target), static=bare
    )


def test_a_target_of_one_region_is_padded_to_what_the_networks_take():
    coarse, target = pair_of()
    cut = target.isel(lat=slice(29), lon=slice(31))
    card = drafted((coarse, cut), extras=("hour",)).card
    assert card.target.padding == Padding((1, 2), (0, 1))
    assert card.target.padding.padded(29, 31) == (32, 32)
    assert card.patch == 32


def test_a_target_around_the_earth_is_padded_around():
    lat, lon = np.arange(-60, 61, 10.0), np.arange(0, 360, 10.0)
    coarse = xr.Dataset(coords={"lat": lat, "lon": lon})
    sides = ("lat", "lon")
    target = fields(refine(coarse, 2), sides, rain=RAIN).isel(lat=slice(25))
    card = drafted((fields(coarse, sides, rain=RAIN), target), extras=("hour",)).card
    assert card.target.padding.around


@pytest.mark.parametrize("bent", [False, True])
def test_projected_and_curvilinear_targets_have_their_latitudes_in_the_file(bent):
    coarse, target = pair_of()
    if bent:
        target = curvilinear(target)
        lat = target.lat
    else:
        grid = target_grid(crs="EPSG:3035", center=(50.5, 5.7), spacing_km=4, shape=(30, 24))
        lat = grid.lat
        target = fields(grid.drop_vars(["lat", "lon"]), ("y", "x"), rain=RAIN)
    made = drafted((coarse, target), extras=("latitude",))
    np.testing.assert_allclose(read_grid(made.grid, made.card).lat, lat, atol=1e-6)


def test_large_networks_attend_only_where_all_fields_are_of_one_size():
    for size, attends in ((8, True), (40, False)):
        card = drafted(pair_of(size=size), network="large", extras=("hour",)).card
        assert card.mean.network.config["bottleneck_attention"] is attends


def test_maps_of_place_need_a_grid_of_ones_own():
    maps = {"positions": "sinusoidal", "position_channels": 4}
    assert "networks with maps of place are for models of one region" in refused(
        pair_of(), network=maps
    )
    card = drafted(pair_of(), network=maps, extras=("hour",)).card
    assert card.mean.network.config["shape"] == (32, 32)


# --- from a model that refines


def rainy(**more):
    rain = {"units": "mm h-1"}
    return pair_of({"precip_rate": rain} | more, {"precip_rate": rain})


def test_a_model_keeps_what_it_knows(start):
    made = drafted(rainy(), start)
    card = made.card
    assert card.inputs == card.outputs == start.card.inputs
    assert (card.name, card.licence) == ("toy-tuned", start.card.licence)
    assert card.description.endswith(f"Fine-tuned from toy@{start.sha256}.")
    assert card.data[0] == start.card.data[0]
    assert card.mean.network == start.card.mean.network
    assert (card.conserve, card.global_residual) == (("precip_rate",), True)
    assert not card.scores
    assert not card.files
    assert made.start is start
    assert not made.fresh
    assert made.notes == ("inputs kept: precip_rate", "outputs kept: precip_rate")


def test_a_model_finds_its_channels_by_other_names_and_units(start):
    attrs = {"units": "kg m-2 s-1"}
    card = drafted(pair_of({"pr": attrs}, {"tp": attrs}), start).card
    assert card.inputs == card.outputs == (PRECIP_RATE,)


def test_a_model_takes_new_inputs_behind_its_own(start):
    made = drafted(rainy(t2m=WARM), start)
    assert names(made.card.inputs) == ["precip_rate", "t2m"]
    assert made.fresh == {("input", ("t2m", None, 0.0))}
    assert "inputs new: t2m" in made.notes
    assert made.card.mean.network.config["in_channels"] == 4  # bilinear, constant: two of each
    assert made.card.mean.network.parameters > start.card.mean.network.parameters


def test_a_model_loses_what_the_data_lack(start):
    made = drafted(pair_of({"t2m": WARM}, {"precip_rate": RAIN}), start)
    assert names(made.card.inputs) == ["t2m"]
    assert (made.card.global_residual, made.card.conserve) == (False, ())
    assert "inputs dropped: precip_rate" in made.notes
    assert "none of the model's inputs is in coarse: all of them are new" in made.notes
    assert "no longer conserved: precip_rate" in made.notes
    assert "no global residual: none of the outputs is an input" in made.notes


def test_a_model_measures_all_again_if_asked(start):
    key = ("precip_rate", None, 0.0)
    made = drafted(rainy(), start, normalisation="data")
    assert made.fresh == {("input", key), ("output", key)}
    for channel in (*made.card.inputs, *made.card.outputs):
        assert (channel.mean, channel.std) == (0.0, 1.0)  # nothing is known of these data
    assert not made.described


def test_another_base_of_the_mean_needs_a_mean_that_learns(start):
    told = refused(rainy(), start, global_residual=False, stages=("residual",))
    assert "global_residual is False, that of toy True" in told
    assert drafted(rainy(), start, global_residual=False).card.global_residual is False
    drafted(rainy(), start, global_residual=True, stages=("residual",))


def test_a_new_name_takes_the_alias_of_a_known_one(start):
    card = drafted(rainy(tp={"units": "mm h-1"}), start).card
    assert names(card.inputs) == ["precip_rate", "tp"]
    assert card.inputs[0].aliases == ("pr", "rain_rate")


def test_a_new_output_is_in_the_units_of_the_models_input(tmp_path):
    kelvin = Channel("t2m", "air_temperature", "K", mean=280.0, std=10.0)
    model = write_toy_model(tmp_path / "warm", inputs=(PRECIP_RATE, kelvin))
    celsius = WARM | {"units": "degC"}
    pair = pair_of({"t2m": WARM, "precip_rate": RAIN}, {"t2m": celsius, "precip_rate": RAIN})
    assert [channel.units for channel in drafted(pair, model).card.outputs] == ["mm h-1", "K"]


def test_a_model_takes_another_factor(start):
    attrs = {"precip_rate": {"units": "mm h-1"}}
    made = drafted(pair_of(attrs, attrs, factor=8), start)
    assert made.card.target.factor == 8
    assert "factor: 8, as the grids have it; the model was trained for 4" in made.notes


def test_a_model_keeps_its_factor_if_the_grids_nearly_have_it(start):
    coarse, target = rainy()
    wider = target.assign_coords(lat=50 + 1.15 * (target.lat - 50), lon=target.lon)
    assert drafted((coarse, wider), start).card.target.factor == 4


def test_the_range_of_spacings_is_widened(start):
    low, high = drafted(rainy(), start).card.target.spacing_range_km
    assert (low, high) == pytest.approx((12.0, 21.7), abs=0.3)


def test_a_refining_model_becomes_one_of_a_region(start):
    made = drafted(rainy(), start, extras=("latitude",))
    assert made.card.target.kind == "fixed"
    assert made.card.conditioning == ("bilinear",)
    assert made.card.conserve == ()
    assert made.card.mean.network.config["in_channels"] == 2
    assert any("belong to one region" in note for note in made.notes)


def test_scales_and_settings_of_outputs_follow_their_outputs(tmp_path):
    warm = Channel("t2m", "air_temperature", "K")
    both = (PRECIP_RATE, warm)
    plain = write_toy_model(tmp_path / "plain", inputs=both, outputs=both)
    card = plain.card
    scaled = replace(card, residual=replace(card.residual, scale=(0.5, 2.0)))
    weights = {stage: plain.weights(stage) for stage in ("mean", "residual")}
    model = write_package(tmp_path / "scaled", scaled, weights)
    wind = {"units": "m s-1"}
    pair = pair_of({"t2m": WARM}, {"t2m": WARM, "u10": wind})
    assert drafted(pair, model).card.residual.scale == (2.0, 1.0)


def test_what_does_not_go_with_a_model_is_refused(start):
    told = refused(rainy(), start, network="large", weights={"snow": 1.0}, conserve=["t2m"])
    assert "cannot train toy on these pairs, for 3 reasons" in told
    assert "network is 'large', but the networks are those of toy; leave it out" in told
    assert "weights has 'snow', which is no output; the outputs are 'precip_rate'" in told
    assert "conserve has 't2m', which is not both an input and an output" in told


def test_what_does_not_go_without_a_model_is_refused():
    assert "normalisation is 'model', but there is no model" in refused(
        pair_of(), normalisation="model"
    )


def test_a_global_residual_needs_an_output_that_is_an_input():
    pair = pair_of({"t2m": WARM}, {"rain": RAIN})
    assert not drafted(pair).card.global_residual
    assert "global_residual is True, which needs" in refused(pair, global_residual=True)


def test_what_may_be_negative_is_not_conserved():
    pair = pair_of({"t2m": WARM}, {"t2m": WARM})
    assert "conserve has 't2m', which may be negative" in refused(pair, conserve=["t2m"])


def test_nothing_is_conserved_on_a_grid_of_its_own():
    told = refused(pair_of(), conserve=["rain"], extras=("hour",))
    assert "which is for models that refine the grid of their input" in told


# --- from a model of one region


def test_a_model_of_a_region_keeps_its_grid(bay):
    made = drafted(bay_pair(), bay)
    assert made.grid == bay.read("grid.nc")
    assert made.card.extras == bay.card.extras
    assert made.card.inputs == bay.card.inputs
    assert made.card.target.region == "a bay"
    assert made.card.target.coarse_spacing_km == pytest.approx(16.0, abs=0.2)
    assert made.card.mean.network == bay.card.mean.network


def test_a_model_of_a_region_is_told_more(bay):
    coarse, target = bay_pair()
    land = (target.t2m.isel(time=0, drop=True) > 0.5).rename("land")
    made = drafted((coarse, target), bay, static=land, extras=("hour", "solar_zenith"))
    kinds = [extra.name or extra.kind for extra in made.card.extras]
    assert kinds == ["orog", "cos_zenith", "land", "sin_day", "cos_day"]
    before, grid = read_grid(bay.read("grid.nc"), bay.card), read_grid(made.grid, made.card)
    np.testing.assert_array_equal(grid.orog, before.orog)
    np.testing.assert_array_equal(grid.land, land)
    assert made.card.mean.network.config["in_channels"] == 2 + 5


def test_a_model_of_a_region_goes_to_another_one(bay):
    coarse, target = bay_pair()
    there = target.isel(lat=slice(26), lon=slice(30))
    made = drafted((coarse, there), bay)
    assert "dropped: the static field 'orog', which this grid does not have" in made.notes
    assert [extra.kind for extra in made.card.extras] == ["cos_zenith"]
    assert read_grid(made.grid, made.card).sizes == {"lat": 26, "lon": 30}
    told = drafted((coarse, there), bay, static=there.t2m.isel(time=0).rename("orog"))
    assert told.card.extras == bay.card.extras
    assert told.card.mean.network == bay.card.mean.network


def test_a_region_upside_down_is_refused(bay):
    coarse, target = bay_pair()
    told = refused((coarse, target.isel(lat=slice(None, None, -1))), bay)
    assert "the rows are those of bay in the opposite order; turn them" in told


def with_maps(bay, tmp_path, **maps):
    """Return the model of the bay with maps of place in its mean network."""
    from xresdiff.engine.runtime import build

    card = bay.card
    config = card.mean.network.config | {"position_channels": 4, "shape": (32, 32)} | maps
    net = build(replace(card.mean.network, config=config))
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    mean = replace(card.mean, network=replace(card.mean.network, config=config))
    both = {"mean": weights, "residual": bay.weights("residual")}
    return write_package(
        tmp_path / "maps", replace(card, mean=mean), both, grid=bay.read("grid.nc")
    )


def test_maps_of_place_go_to_another_grid_but_stored_ones(bay, tmp_path):
    coarse, target = bay_pair()
    pair = coarse, target.isel(lat=slice(24), lon=slice(16))
    made = drafted(pair, with_maps(bay, tmp_path, positions="learned"))
    assert made.card.mean.network.config["shape"] == (24, 16)
    assert any("its maps of place are new" in note for note in made.notes)
    stored = with_maps(bay, tmp_path / "b", positions="stored")
    told = refused(pair, stored)
    assert "networks (mean) hold maps of theirs that none can be made like" in told
    assert "xresdiff.train(coarse, target)" in told
    assert drafted(bay_pair(), stored).card.mean.network == stored.card.mean.network


def test_patches_larger_than_another_region_are_given_up(bay, tmp_path):
    card = fixed_card(patching=Patching((24, 24), whole=False), extras=bay.card.extras)
    model = write_fixed_model(
        tmp_path / "patched",
        bay.read("grid.nc"),
        told=2,
        patching=card.patching,
        extras=card.extras,
    )
    coarse, target = bay_pair()
    assert drafted((coarse, target), model).card.patching == card.patching
    made = drafted((coarse, target.isel(lat=slice(16))), model)
    assert made.card.patching is None
    assert "no patches: the target is smaller than one" in made.notes
