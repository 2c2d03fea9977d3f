"""Trainings for other variables: added, dropped, moved, bent, weighted, constant, on levels."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import xresdiff
from tests.regions import CURVED, era5
from tests.toys import write_fixed_model, write_toy_model
from tests.trainings import (
    FIRST_LOSS,
    QUICK,
    few_scores,  # noqa: F401
    first_loss,
    known_target,
)
from xresdiff.errors import InputError
from xresdiff.grids.target import refine
from xresdiff.models.card import Channel, Transform
from xresdiff.train import finetune, fit, train

pytestmark = pytest.mark.usefixtures("few_scores")

SMALL = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "stem": 4}
MEAN = QUICK | {"stages": ("mean",), "steps": 1}
ATTRS = {
    "precip_rate": {"units": "mm h-1", "standard_name": "rainfall_rate"},
    "t2m": {"units": "K", "standard_name": "air_temperature"},
    "u10": {"units": "m s-1", "standard_name": "eastward_wind"},
}


def pair_of(*names, times=4, size=8, factor=4):
    """Return coarse fields and finer ones of which they are the block means."""
    lat, lon = 50 + 0.15 * np.arange(size), 5 + 0.22 * np.arange(size)
    time = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(times)
    coarse = xr.Dataset(coords={"time": time, "lat": lat, "lon": lon})
    target = refine(coarse, factor).assign_coords(time=time)
    rng, n, dims = np.random.default_rng(0), size * factor, ("time", "lat", "lon")
    for name in names:
        noise = rng.normal(size=(times, n, n))
        values = {
            "precip_rate": np.where(noise > 1.28, np.exp(2 * noise - 3), 0),  # nine tenths are dry
            "t2m": 285 + 3 * noise,
            "u10": 5 * noise,
        }[name]
        target[name] = (dims, values.astype("f4"), ATTRS[name])
        cells = values.reshape(times, size, factor, size, factor).mean((2, 4))
        coarse[name] = (dims, cells.astype("f4"), ATTRS[name])
    return coarse, target


def downscaled(coarse, model, members=1):
    return xresdiff.downscale(coarse, members=members, model=model, steps=2, device="cpu")


# --- channels that come, go and move


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    """A model of temperature and wind on the curved grid of a bay."""
    return write_fixed_model(tmp_path_factory.mktemp("models") / "bay", CURVED)


def more(ds, *dims):
    """Return a Dataset with a variable that the model does not know."""
    values = np.random.default_rng(1).normal(10, 2, ds.t2m.shape).astype("f4")
    return ds.assign(v10=(ds.t2m.dims, values, {"units": "m s-1"}))


def test_a_new_input_changes_nothing_at_first(bay, tmp_path):
    coarse = era5()
    made = finetune(more(coarse), known_target(coarse, bay), model=bay, out=tmp_path, **MEAN)
    assert [channel.name for channel in made.card.inputs] == ["t2m", "u10", "v10"]
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)


def test_a_new_output_leaves_the_others_at_first(bay, tmp_path):
    coarse = era5()
    target = more(known_target(coarse, bay))
    counts = {"t2m": 1, "u10": 1, "v10": 1e-9}
    made = finetune(coarse, target, model=bay, weights=counts, out=tmp_path, **MEAN)
    assert [channel.name for channel in made.card.outputs] == ["t2m", "u10", "v10"]
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS * 2 / 3, rel=1e-4)


def test_a_new_output_begins_at_its_mean(bay, tmp_path):
    coarse = era5()
    target = more(known_target(coarse, bay))
    counts = {"t2m": 1e-9, "u10": 1e-9, "v10": 3}
    finetune(coarse, target, model=bay, weights=counts, out=tmp_path, **MEAN)
    assert first_loss(tmp_path) == pytest.approx(1, rel=0.1)  # that of a normalised variable


def test_a_dropped_output_leaves_the_others(bay, tmp_path):
    coarse = era5()
    target = known_target(coarse, bay)
    made = finetune(coarse, target, model=bay, outputs=["u10"], out=tmp_path, **QUICK)
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)
    assert list(downscaled(coarse.isel(time=[0]), made)) == ["u10"]


def test_a_dropped_input_that_is_at_its_mean_leaves_the_outputs(bay, tmp_path):
    coarse = era5()
    coarse["t2m"] = 0 * coarse.t2m + bay.card.inputs[0].mean
    coarse.t2m.attrs["units"] = "K"
    target = known_target(coarse, bay)
    made = finetune(coarse, target, model=bay, inputs=["u10"], out=tmp_path, **MEAN)
    assert [channel.name for channel in made.card.inputs] == ["u10"]
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)


def test_the_order_of_channels_does_not_matter(bay, tmp_path):
    coarse = era5()
    target = known_target(coarse, bay)
    turned = list(reversed(bay.card.outputs))
    made = finetune(
        coarse[["u10", "t2m"]],
        target,
        model=bay,
        inputs=turned,
        outputs=turned,
        out=tmp_path,
        **MEAN,
    )
    assert [channel.name for channel in made.card.outputs] == ["u10", "t2m"]
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)


def test_other_statistics_leave_what_the_networks_mean(bay, tmp_path):
    coarse = era5()
    target = known_target(coarse, bay)
    made = finetune(
        coarse, target, model=bay, normalisation="data", outputs=["t2m"], out=tmp_path, **MEAN
    )
    was, now = bay.card.outputs[0], made.card.outputs[0]
    assert now.std == pytest.approx(float(target.t2m.astype("f8").std()), rel=1e-4)
    # the same error in K, but for the edges, beyond which networks see zeros
    assert first_loss(tmp_path) * now.std**2 == pytest.approx(FIRST_LOSS * was.std**2, rel=0.5)


# --- transforms and statistics


def test_data_far_from_what_a_model_knew_are_measured_if_asked(tmp_path, monkeypatch):
    cold = Channel("t2m", "air_temperature", "K", mean=100.0, std=2.0)
    start = write_toy_model(tmp_path / "cold", inputs=(cold,), outputs=(cold,), conserve=())
    coarse, target = pair_of("t2m")
    monkeypatch.setattr(fit, "fit_model", lambda start, *_, **__: start)
    with pytest.raises(InputError, match="the model knows 100 give or take 2"):
        finetune(coarse, target, model=start, out=tmp_path / "run", **QUICK)
    asked = {"normalisation": "data", "out": tmp_path / "run-2"}
    made = finetune(coarse, target, model=start, **asked, **QUICK)
    assert made.card.inputs[0].mean == pytest.approx(285, abs=1)


@pytest.mark.parametrize(
    "transform",
    [
        Transform("log1p", scale=0.1),
        Transform("sqrt", scale=2.0),
        Transform("power", scale=0.5, exponent=0.25),
    ],
    ids=lambda transform: transform.name,
)
def test_a_transform_of_ones_own_is_measured(transform, tmp_path):
    coarse, target = pair_of("precip_rate")
    own = Channel("precip_rate", "", "mm h-1", transform=transform, minimum=0.0)
    asked = {"inputs": [own], "outputs": [own], "network": SMALL}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        made = train(coarse, target, out=tmp_path, **asked, **(QUICK | {"steps": 1}))
    (channel,) = made.card.outputs
    bend = {"log1p": np.log1p, "sqrt": np.sqrt, "power": lambda x: x**0.25}[transform.name]
    seen = bend(target.precip_rate.values.astype("f8") / transform.scale)
    assert (channel.mean, channel.std) == pytest.approx((seen.mean(), seen.std()), rel=1e-5)
    assert channel.transform == transform
    assert downscaled(coarse, made).precip_rate.min() >= 0


def test_the_statistics_of_bent_channels_are_those_of_the_data_if_asked(toy, tmp_path):
    coarse, target = pair_of("precip_rate")
    made = finetune(coarse, target, model=toy, normalisation="data", out=tmp_path, **MEAN)
    (channel,) = made.card.outputs
    seen = np.log1p(target.precip_rate.values.astype("f8") / 0.1)
    assert (channel.mean, channel.std) == pytest.approx((seen.mean(), seen.std()), rel=1e-5)


def test_a_constant_input_is_told_and_does_no_harm(toy, tmp_path):
    coarse, target = pair_of("precip_rate")
    coarse["t2m"] = (0 * coarse.precip_rate + 280).assign_attrs(ATTRS["t2m"])
    with pytest.warns(UserWarning, match="the input 't2m' is 280 K everywhere"):
        made = finetune(coarse, target, model=toy, out=tmp_path, **QUICK)
    assert np.isfinite(downscaled(coarse, made).precip_rate).all()


@pytest.mark.slow
def test_a_constant_target_is_learned(tmp_path):
    coarse, target = pair_of("t2m", "u10")
    target["u10"] = (0 * target.u10 + 3).assign_attrs(ATTRS["u10"])
    with pytest.warns(UserWarning, match="the output 'u10' is 3 m s-1 everywhere"):
        made = train(coarse, target, network=SMALL, out=tmp_path, **QUICK)
    assert np.isfinite(downscaled(coarse, made).t2m).all()


def test_rain_that_is_mostly_dry_is_bent_and_conserved(tmp_path):
    coarse, target = pair_of("precip_rate", size=12)
    assert float((target.precip_rate == 0).mean()) > 0.88
    made = train(coarse, target, network=SMALL, out=tmp_path, **QUICK)
    assert made.card.outputs[0].transform.name == "power"
    rain = downscaled(coarse, made, members=2).precip_rate
    assert rain.min() >= 0
    means = rain.coarsen(lat=4, lon=4).mean().transpose("member", ...)
    np.testing.assert_allclose(means[1], coarse.precip_rate, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_weights_of_variables_count(bay, tmp_path):
    coarse = era5()
    target = known_target(coarse, bay)
    finetune(coarse, target, model=bay, weights={"u10": 3.0}, out=tmp_path, **MEAN)
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS * 2, rel=1e-4)


# --- levels


def test_levels_come_back_as_a_dimension(tmp_path):
    coarse, target = pair_of("t2m", "u10")
    levels = ("level", [850, 500], {"units": "hPa", "standard_name": "air_pressure"})

    def stacked(ds):
        both = {
            name: xr.concat([ds[old], ds[old] - drop], "level").transpose("time", "level", ...)
            for name, old, drop in (("t", "t2m", 30), ("z", "u10", 4))
        }
        both["z"] = both["z"] * 100 + xr.DataArray([14700.0, 57000.0], dims="level")
        both["t"].attrs = ATTRS["t2m"]
        both["z"].attrs = {"units": "m2 s-2", "standard_name": "geopotential"}
        return xr.Dataset(both).astype("f4").assign_coords(level=levels)

    coarse, target = stacked(coarse), stacked(target)
    made = train(coarse, target, network=SMALL, out=tmp_path, **QUICK)
    assert len(made.card.outputs) == 4
    fine = downscaled(coarse, made)
    for name, units in (("t", "K"), ("z", "m2 s-2")):
        assert fine[name].sizes["pressure"] == 2, fine[name].dims
        assert fine[name].attrs["units"] == units
    middle = fine.z.mean(["member", "time", "lat", "lon"]).sortby("pressure")
    assert middle[0] > 50_000 > 20_000 > middle[1]


# --- parts of a training


@pytest.mark.parametrize("stage", ["mean", "residual"])
def test_one_stage_alone_leaves_the_other(toy, tmp_path, stage):
    coarse, target = pair_of("precip_rate")
    made = finetune(coarse, target, model=toy, stages=(stage,), out=tmp_path, **QUICK)
    for name in ("mean", "residual"):
        same = all(np.array_equal(a, toy.weights(name)[k]) for k, a in made.weights(name).items())
        assert same is (name != stage)
    assert json.loads((tmp_path / "train.json").read_text())["steps"] == {stage: 2}


@pytest.mark.parametrize(
    ("part", "names"),
    [("encoder", "enc."), ("first", "enc.level0_conv."), ("decoder", "dec.")],
)
def test_frozen_parts_stay(toy, tmp_path, part, names):
    coarse, target = pair_of("precip_rate")
    made = finetune(coarse, target, model=toy, freeze=[part], out=tmp_path, **QUICK)
    for stage in ("mean", "residual"):
        before, now = toy.weights(stage), made.weights(stage)
        changed = {name for name in now if not np.array_equal(now[name], before[name])}
        assert changed
        assert not any(name.startswith(names) for name in changed)


def test_all_but_the_embedding_of_the_residual_may_be_frozen(toy, tmp_path):
    coarse, target = pair_of("precip_rate")
    made = finetune(
        coarse,
        target,
        model=toy,
        stages=("residual",),
        freeze=("enc.*", "dec.*"),
        out=tmp_path,
        **QUICK,
    )
    now, before = made.weights("residual"), toy.weights("residual")
    changed = {name for name in now if not np.array_equal(now[name], before[name])}
    assert changed
    assert all(name.startswith("embed.") for name in changed)


def test_what_cannot_be_frozen_is_told_before_anything_is_written(toy, tmp_path):
    coarse, target = pair_of("precip_rate")
    with pytest.raises(InputError, match=r"(?s)batch_size is 0.*freeze has 'encodr'"):
        finetune(
            coarse,
            target,
            model=toy,
            freeze=["encodr"],
            out=tmp_path / "run",
            **(QUICK | {"batch_size": 0}),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_pair_with_a_new_variable(toy, tmp_path):
    coarse, target = pair_of("precip_rate", "t2m", times=1)
    made = finetune(coarse, target, model=toy, out=tmp_path, **QUICK)
    assert np.isfinite(downscaled(coarse, made).t2m).all()


def test_a_model_of_several_variables_can_lose_its_rain(tmp_path):
    coarse, target = pair_of("precip_rate", "t2m")
    names = ("t2m", "air_temperature", "K")
    warm = Channel(*names, mean=285.0, std=3.0)
    rain = Channel("precip_rate", "rainfall_rate", "mm h-1", std=2.0, minimum=0.0)
    both = {"inputs": (rain, warm), "outputs": (rain, warm)}
    start = write_toy_model(tmp_path / "both", **both)
    made = finetune(coarse[["t2m"]], target[["t2m"]], model=start, out=tmp_path / "run", **MEAN)
    assert made.card.conserve == ()
    assert [channel.name for channel in made.card.outputs] == ["t2m"]
