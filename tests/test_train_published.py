"""Fine-tuning models of others: their grids, patches, maps of place, hours and lead times."""

import numpy as np
import pytest
import xarray as xr

import xresdiff
from tests import imitation_cmip6 as cmip6
from tests import imitation_gefs as gefs
from tests import imitations as im
from tests.regions import era5 as bay_era5
from tests.regions import write_bay
from tests.training_toys import CPU
from tests.trainings import (
    FIRST_LOSS,
    QUICK,
    few_scores,  # noqa: F401
    first_loss,
    known_target,
)
from xresdiff.errors import InputError
from xresdiff.models.opening import open_model
from xresdiff.train import finetune
from xresdiff.train.batches import Batch
from xresdiff.train.encoding import Encoding
from xresdiff.train.stages import MeanStage, network

pytestmark = pytest.mark.usefixtures("few_scores")


def weather(names=im.GENERIC_INPUTS, lat=None, lon=None) -> xr.Dataset:
    """Return two times of ERA5 around the target."""
    one = im.era5(names, *(im.coarse_axes() if lat is None else (lat, lon)))
    later = (one + 0.1 * one.std()).assign_coords(time=one.time + np.timedelta64(6, "h"))
    both = xr.concat([one, later], "time")
    for name in one.data_vars:
        both[name].attrs = one[name].attrs
    return both


def forecast(hours=gefs.LEAD_HOURS) -> xr.Dataset:
    """Return the same at some hours of a forecast."""
    ds = weather()
    steps = (np.array(hours) * 3600).astype("m8[s]").astype("m8[ns]")
    fields = [ds.isel(time=i % 2, drop=True) for i in range(len(hours))]
    several = xr.concat(fields, "step").assign_coords(step=("step", steps), time=im.TIME)
    for name in ds.data_vars:
        several[name].attrs = ds[name].attrs
    return several


def tuned(coarse, target, model, out, **given):
    given = {"inputs": list(model.card.inputs)} | given
    return finetune(coarse, target, model=model, out=out, **(QUICK | given))


def downscaled(coarse, model):
    return xresdiff.downscale(coarse, members=1, model=model, steps=2, device="cpu").compute()


# --- a grid of its own, whole fields


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    return open_model(im.write_generic(tmp_path_factory.mktemp("published") / "square", "square"))


def test_a_generic_package_begins_as_it_is_and_learns(square, tmp_path):
    coarse = weather()
    model = tuned(coarse, known_target(coarse, square), square, tmp_path)
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-5)
    assert model.card.name == "square-tuned"
    assert model.card.extras == square.card.extras
    fine = downscaled(coarse.isel(time=[0]), model)
    assert all(np.isfinite(fine[channel.name]).all() for channel in square.card.outputs)


def test_a_generic_package_learns_from_patches_of_its_grid(square, tmp_path):
    coarse = weather()
    target = known_target(coarse, square)
    model = tuned(coarse, target, square, tmp_path, patch=16, stages=("mean",))
    assert model.card.patch == 16
    assert np.isfinite(first_loss(tmp_path))


def test_levels_without_values_can_be_left_out(square, tmp_path):
    coarse = weather()  # has gaps for levels that the package does not take
    target = known_target(coarse, square)
    with pytest.raises(InputError, match=r"'z at 850 hPa' has no known") as caught:
        tuned(coarse, target, square, tmp_path / "all", inputs=None)
    assert "inputs=list(model.card.inputs)" in str(caught.value)


@pytest.mark.slow
def test_the_package_of_taiwan_learns_from_patches(tmp_path):
    taiwan = open_model(im.write_taiwan(tmp_path / "corrdiff_inference_package.zip"))
    coarse = weather(im.TAIWAN_INPUTS, im.TAIWAN_LAT, im.TAIWAN_LON)
    target = known_target(coarse, taiwan)
    rng = np.random.default_rng(0)
    for channel in taiwan.card.outputs:  # random networks give fields that are nearly constant
        noise = channel.std * rng.normal(size=target[channel.name].shape)
        target[channel.name] += noise.astype("f4")
        target[channel.name].attrs["units"] = channel.units
    model = tuned(coarse, target, taiwan, tmp_path / "run", patch=64)
    assert model.card.mean.network.config == taiwan.card.mean.network.config
    fine = xresdiff.downscale(coarse.isel(time=[0]), model=model, stage="mean", device="cpu")
    assert fine.sizes["y"] == target.sizes["y"]


def test_a_model_of_a_bay_begins_as_it_is(tmp_path):
    bay = write_bay(tmp_path / "bay")
    coarse = bay_era5()
    target = known_target(coarse, bay)
    model = tuned(coarse, target, bay, tmp_path / "run")
    assert first_loss(tmp_path / "run") == pytest.approx(FIRST_LOSS, rel=1e-5)
    assert downscaled(coarse.isel(time=[1]), model).t2m.shape == (1, 1, 24, 36)


# --- patches that are told of the whole field, lead times, probabilities


@pytest.fixture(scope="module")
def us(tmp_path_factory):
    return open_model(gefs.write_gefs(tmp_path_factory.mktemp("published") / "gefs"))


@pytest.mark.slow
def test_patches_told_of_the_whole_field_learn_from_whole_fields(us, tmp_path):
    coarse = forecast()
    target = known_target(coarse, us)
    model = tuned(coarse, target, us, tmp_path, outputs=list(us.card.outputs[:2]))
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-5)
    assert model.card.patching == us.card.patching
    assert model.card.lead_hours == us.card.lead_hours
    assert np.isfinite(downscaled(coarse.isel(step=[2]), model).t2m).all()


def test_probabilities_are_kept(us, tmp_path):
    coarse = forecast((0.0, 3.0))
    target = known_target(coarse, us)
    for place in gefs.PROBABILITIES:
        name = gefs.OUTPUTS[place]
        target[name] = (target[name] > target[name].mean()).astype("f4").assign_attrs(units="1")
    model = tuned(coarse, target, us, tmp_path, stages=("mean",))
    assert model.card.mean.network.config["softmax_channels"] == gefs.PROBABILITIES
    fine = xresdiff.downscale(coarse, model=model, stage="mean", device="cpu")
    assert ((fine.csnow >= 0) & (fine.csnow <= 1)).all()


def test_probabilities_are_learned_as_they_are_given(us):
    encoding = Encoding(us, CPU)
    stage = MeanStage(encoding, network(us, "mean", CPU))
    rng = np.random.default_rng(0)
    shape = encoding.domain.size
    batch = Batch(
        np.array([[np.full(shape, c.mean)] for c in us.card.inputs], "f4").swapaxes(0, 1),
        rng.random((1, 4, *shape), dtype="f4"),
        np.ones((1, 4, *shape), "f4"),
        np.zeros((1, 2)),
        np.zeros((1, 2), np.int64),
    )
    losses = []
    for training in (True, False):
        stage.net.train(training)
        losses.append(stage.loss(batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_probability_without_its_counterpart_is_refused(us, tmp_path):
    coarse = forecast((0.0, 3.0))
    target = known_target(coarse, us)
    with pytest.raises(InputError, match=r"'csnow', 'crain' are probabilities.*add up to one"):
        tuned(coarse, target, us, tmp_path, outputs=["t2m", "csnow"])


def test_smaller_patches_are_refused_with_what_to_type(us, tmp_path):
    coarse = forecast((0.0, 3.0))
    target = known_target(coarse, us)
    with pytest.raises(
        InputError, match=r"tells every patch of the whole domain.*leave patch= out"
    ):
        tuned(coarse, target, us, tmp_path, patch=16)
    assert not list(tmp_path.iterdir())


def test_lead_times_that_the_model_does_not_know_are_refused(us, tmp_path):
    target = known_target(forecast((0.0, 3.0)), us)
    later = target.assign_coords(step=target.step + np.timedelta64(4, "h"))
    with pytest.raises(InputError, match="lead times of 4, 7 hours; it knows 0, 3, 6 hours"):
        tuned(forecast((4.0, 7.0)), later, us, tmp_path)


# --- stretched inputs, hours of days, padding around the Earth


@pytest.mark.slow
def test_days_of_the_whole_earth_learn_hours(tmp_path):
    model = open_model(cmip6.write_cmip6(tmp_path / "cmip6"))
    coarse = cmip6.cmip6()
    means = xresdiff.downscale(coarse.chunk(time=1), model=model, stage="mean", device="cpu")
    target = means[["u10m", "t2m"]].isel(time=[0, 13, 30]).compute()
    for channel in model.card.outputs[:2]:
        target[channel.name] += np.float32(0.5 * channel.std)
        target[channel.name].attrs["units"] = channel.units
    made = finetune(coarse, target, model=model, out=tmp_path / "run", **(QUICK | {"steps": 1}))
    assert first_loss(tmp_path / "run") == pytest.approx(FIRST_LOSS, rel=1e-4)
    assert (made.card.hours, made.card.target) == (model.card.hours, model.card.target)
    fine = xresdiff.downscale(coarse.chunk(time=1), members=1, model=made, steps=1, device="cpu")
    assert np.isfinite(fine.t2m.isel(time=[5]).compute()).all()
