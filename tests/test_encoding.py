"""Batches on their way to the networks: patches are told what the same part of the whole is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.regions import EXTRAS, LAT_2D, LON_2D, OROGRAPHY
from tests.toys import PRECIP_RATE, fixed_card, toy_card
from tests.training_toys import CPU, noised, rain_batch, write_model
from xresdiff.engine.fields import Fields
from xresdiff.engine.fixed import Fixed
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Extra, FixedTarget, Padding, Patching
from xresdiff.models.grid_file import write_grid
from xresdiff.train.batches import Batch
from xresdiff.train.encoding import Encoding

GRID = write_grid(LAT_2D, LON_2D, statics={"orography": OROGRAPHY})
TOLD = (
    *EXTRAS,
    Extra("latitude", mean=25.0, std=2.0),
    *(Extra(kind) for kind in ("sin_day", "cos_day", "sin_year", "cos_year")),
)
TIMES = np.array(["2021-09-12T06", "2021-12-31T18"], "M8[s]").astype(float)


def whole_batch():
    fine = np.random.default_rng(0).normal(280, 5, (2, 2, 24, 36)).astype("f4")
    moments = np.stack([TIMES, np.zeros(2)], axis=1)
    return noised(Batch(fine + 1, fine, np.ones_like(fine), moments, np.zeros((2, 2), int)))


def cut_of(batch, corners, shape):
    """Cut another patch out of each field."""

    def some(fields):
        pairs = zip(fields, corners, strict=True)
        return np.stack([f[:, y : y + shape[0], x : x + shape[1]] for f, (y, x) in pairs])

    names = ("coarse", "fine", "weight", "noise")
    parts = {name: some(getattr(batch, name)) for name in names}
    return replace(batch, **parts, corners=np.array(corners))


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    card = fixed_card(extras=TOLD, global_residual=True)
    return Encoding(write_model(tmp_path_factory.mktemp("bay") / "bay", card, GRID), CPU)


@pytest.mark.parametrize("what", ["condition", "base", "target"])
@pytest.mark.parametrize("corners", [[(0, 0), (8, 20)], [(5, 3), (5, 3)]])
def test_patches_are_told_what_their_part_of_the_whole_is(bay, what, corners):
    batch = whole_batch()
    whole = getattr(bay, what)(bay.tensors(batch))
    part = getattr(bay, what)(bay.tensors(cut_of(batch, corners, (16, 16))))
    for own, field, (y, x) in zip(part, whole, corners, strict=True):
        torch.testing.assert_close(own, field[:, y : y + 16, x : x + 16])


def test_what_lies_beyond_a_small_field_is_mirrored(bay):
    batch = cut_of(whole_batch(), [(16, 0)] * 2, (8, 36))
    beyond = {
        name: np.pad(getattr(batch, name), ((0, 0), (0, 0), (0, 8), (0, 0)), "symmetric")
        for name in ("coarse", "fine", "weight", "noise")
    }
    told = bay.condition(bay.tensors(replace(batch, **beyond)))
    torch.testing.assert_close(told[..., 8:, :], told[..., :8, :].flip(-2))


def test_extras_of_time_and_place_have_their_values(bay):
    told = bay.condition(bay.tensors(whole_batch()))[:, 2:]
    torch.testing.assert_close(told[0, 3], torch.from_numpy((LAT_2D - 25) / 2).float())
    sin_day, cos_day, sin_year, cos_year = told[:, 4:, 0, 0].T
    np.testing.assert_allclose(sin_day, [1, -1], atol=1e-6)  # 6 and 18 hours
    np.testing.assert_allclose(cos_day, [0, 0], atol=1e-6)
    turn = 2 * np.pi * np.array([254.25, 364.75]) / 365
    np.testing.assert_allclose(sin_year, np.sin(turn), atol=1e-5)
    np.testing.assert_allclose(cos_year, np.cos(turn), atol=1e-5)


def test_results_come_back_in_physical_units(bay):
    tensors = bay.tensors(whole_batch())
    torch.testing.assert_close(bay.decode(bay.target(tensors), tensors), tensors.fine)


def test_rain_is_conserved_on_the_way_back(tmp_path):
    encoding = Encoding(write_model(tmp_path / "rain", toy_card()), CPU)
    tensors = encoding.tensors(rain_batch(2))
    rain = encoding.decode(torch.zeros_like(tensors.fine), tensors)
    blocks = torch.nn.functional.avg_pool2d(rain, 4)
    torch.testing.assert_close(blocks, tensors.coarse)


def test_the_way_of_refined_fields_is_that_of_inference(tmp_path):
    encoding = Encoding(write_model(tmp_path / "rain", toy_card()), CPU)
    tensors, fields = encoding.tensors(rain_batch(2)), Fields(toy_card())
    assert torch.equal(encoding.condition(tensors), fields.condition(tensors.coarse))
    assert torch.equal(encoding.base(tensors), fields.base(tensors.coarse))
    assert encoding.where(tensors) == {}


class TestPadding:
    @pytest.fixture
    def padded(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((3, 5), (4, 4)))
        card = fixed_card(target=target, global_residual=True)
        return Encoding(write_model(tmp_path / "m", card, GRID), CPU)

    def test_whole_fields_have_it(self, padded):
        tensors = padded.tensors(whole_batch())
        assert padded.condition(tensors).shape[-2:] == (32, 44)
        assert padded.base(tensors).shape[-2:] == (32, 44)
        fields = padded.pad(tensors.fine, tensors)
        assert torch.equal(padded.inner(fields, tensors), tensors.fine)
        assert torch.equal(fields[..., 2, :], fields[..., 4, :])  # mirrored

    def test_patches_have_none(self, padded):
        tensors = padded.tensors(cut_of(whole_batch(), [(0, 0)] * 2, (16, 16)))
        assert padded.condition(tensors).shape[-2:] == (16, 16)
        assert padded.inner(tensors.fine, tensors) is tensors.fine
        assert padded.pad_noise(tensors.noise, tensors) is tensors.noise

    def test_counts_nothing_and_is_no_mirror_of_the_noise(self, padded):
        tensors = padded.tensors(whole_batch())
        weight = padded.pad_weight(tensors.weight, tensors)
        assert weight.sum() == tensors.weight.sum()
        assert torch.equal(padded.inner(weight, tensors), tensors.weight)
        noise = padded.pad_noise(tensors.noise, tensors)
        assert torch.equal(padded.inner(noise, tensors), tensors.noise)
        assert not torch.equal(noise[..., 2, :], noise[..., 4, :])
        assert noise.std().item() == pytest.approx(1, abs=0.05)


ICE = Channel("siconc", "sea_ice_area_fraction", "%", std=30.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": FixedTarget("a bay", 4.0, 28.0, stretched=True)}, "stretches its inputs"),
        ({"sea_ice_cover": True}, "smooths the sea ice"),
        ({"patching": Patching((16, 16))}, "tells every patch of the whole domain"),
    ],
)
def test_models_that_need_whole_fields_refuse_patches(tmp_path, changes, reason):
    coarse = (LAT_2D[:, 0], LON_2D[0])
    grid = write_grid(LAT_2D, LON_2D, coarse=coarse)
    encoding = Encoding(write_model(tmp_path / "m", fixed_card(**changes), grid), CPU)
    encoding.tensors(whole_batch())
    with pytest.raises(InputError, match=f"{reason}.* whole fields of 24 x 36 pixels alone"):
        encoding.tensors(cut_of(whole_batch(), [(0, 0)] * 2, (16, 16)))


def test_sea_ice_is_smoothed_as_at_inference(tmp_path):
    card = fixed_card(inputs=(ICE, replace(ICE, name="snc")), sea_ice_cover=True)
    model = write_model(tmp_path / "m", card, GRID)
    encoding, domain, batch = Encoding(model, CPU), Fixed(model), whole_batch()
    coarse, moments = torch.from_numpy(batch.coarse), torch.from_numpy(batch.moments)
    expected = domain.condition(domain.enter(coarse), moments)
    assert torch.equal(encoding.condition(encoding.tensors(batch)), expected)
    assert not torch.equal(expected, domain.condition(coarse, moments))


def test_outputs_that_are_no_inputs_have_no_base(tmp_path):
    wind = Channel("ws", "wind_speed", "m s-1", mean=5.0)
    model = write_model(tmp_path / "m", toy_card(outputs=(wind, PRECIP_RATE)))
    encoding = Encoding(model, CPU)
    base = encoding.base(encoding.tensors(rain_batch(2)))
    assert not base[:, 0].any()
    assert base[:, 1].any()
