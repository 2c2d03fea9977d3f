"""What the networks of a model with its own grid are told, and what becomes of their fields."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch.nn import functional as F

from tests.regions import LAT, LAT_2D, LON, OROGRAPHY, write_bay
from tests.toys import fixed_card, write_fixed_model
from xresdiff.engine import batches, runtime
from xresdiff.engine.fixed import Fixed, sea_ice_covered
from xresdiff.engine.noise import normal_field
from xresdiff.models.card import Channel, FixedTarget, Padding, Patching
from xresdiff.models.grid_file import write_grid

rng = np.random.default_rng(8)


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    return write_bay(tmp_path_factory.mktemp("bay") / "bay")


class TestConditions:
    def told(self, model, coarse, hour=0.0):
        moments = torch.tensor([[hour * 3600, 0.0]] * len(coarse), dtype=torch.float64)
        domain = Fixed(model)
        return domain.condition(domain.enter(coarse), moments)

    def test_inputs_then_extras_normalised(self, bay):
        coarse = torch.full((1, 2, 24, 36), 293.0)
        known = self.told(bay, coarse, hour=18.0)
        assert known.shape == (1, 5, 24, 36)
        assert float(known[0, 0, 0, 0]) == (293 - 285) / 8
        np.testing.assert_allclose(known[0, 2], (OROGRAPHY - 0.5) / 2, rtol=1e-6)
        assert float(known[0, 4, 3, 3]) == pytest.approx((18 - 12) / 7)

    def test_the_sun_is_that_of_the_place(self, bay):
        noon = self.told(bay, torch.zeros(1, 2, 24, 36), hour=4.0)[0, 3] * 0.5 + 0.25
        night = self.told(bay, torch.zeros(1, 2, 24, 36), hour=16.0)[0, 3] * 0.5 + 0.25
        # on 1 January the sun is 23 degrees south of the equator, and 48 degrees from here
        np.testing.assert_allclose(noon, np.cos(np.radians(LAT_2D + 23)), atol=0.02)
        assert bool((night < 0).all())

    def test_stretched_inputs_go_by_row_and_column(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, stretched=True)
        grid = write_grid(LAT, LON, coarse=(np.linspace(24, 26, 8), np.linspace(119, 122, 9)))
        model = write_fixed_model(tmp_path / "m", grid, target=target)
        coarse = torch.randn(2, 2, 8, 9)
        whole = F.interpolate(coarse, (24, 36), mode="bilinear", align_corners=False)
        expected = (whole - torch.tensor([285.0, 0]).reshape(1, 2, 1, 1)) / torch.tensor(
            [8.0, 5.0]
        ).reshape(1, 2, 1, 1)
        torch.testing.assert_close(self.told(model, coarse), expected, rtol=1e-5, atol=1e-5)

    def test_padding_goes_round_the_earth(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((2, 2), (3, 1), around=True))
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), target=target)
        known = self.told(model, torch.randn(1, 2, 24, 36))
        assert known.shape == (1, 2, 28, 40)
        torch.testing.assert_close(known[..., 2:26, :3], known[..., 2:26, 36:39])
        torch.testing.assert_close(known[..., :2, :], known[..., [4, 3], :])
        assert Fixed(model).crop((24, 36)) == (slice(2, 26), slice(3, 39))

    def test_snow_covers_ice(self):
        names = [("siconc", -24.0), ("snc", -24.0), ("siconc", 0.0), ("snc", 0.0)]
        inputs = tuple(Channel(n, "", "%", offset_h=h) for n, h in names)
        card = fixed_card(inputs=inputs, sea_ice_cover=True)
        coarse = 70 * torch.rand(2, 4, 6, 8)
        before = coarse.clone()
        covered = sea_ice_covered(coarse, card)
        for ice, snow in ((0, 1), (2, 3)):
            total = (coarse[:, ice] + coarse[:, snow]).clamp(0, 100).double().numpy()
            rows = uniform_filter(total, (0, 3, 0), mode="nearest")
            expected = uniform_filter(rows, (0, 0, 3), mode="wrap")
            np.testing.assert_allclose(covered[:, ice], expected, rtol=1e-5)
        assert torch.equal(covered[:, 1::2], coarse[:, 1::2])
        assert torch.equal(coarse, before)


class Seen:
    """A network that gives back its noisy field, and remembers what it was told."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, condition, sigma=None, lead_time=None, position=None):
        self.calls.append({"condition": condition, "lead_time": lead_time, "position": position})
        return x if x is not None else condition[:, :2]


def lead_time_of(x, condition, sigma=None, lead_time=None, position=None):
    """Give back the lead time of each field as a network's result."""
    return lead_time.to(condition)[:, None, None, None] + torch.zeros_like(condition[:, :2])


def lone_runtime(model, monkeypatch):
    """Open a model whose networks are `Seen`."""
    loaded = runtime.Runtime(model, torch.device("cpu"), torch.float32)
    for name in ("_mean_net", "_residual_net"):
        monkeypatch.setattr(loaded, name, Seen())
    return loaded


class TestNetworks:
    def members(self, loaded, coarse, moments=None):
        draws = [runtime.Draw(time, ("here",), member) for time in (0, 1) for member in (0, 1)]
        settings = runtime.Settings(loaded.card.sampler)
        mean = loaded.mean(coarse, moments)
        return loaded.members(coarse, mean, draws, settings, moments)

    def test_the_residual_is_told_the_mean_first(self, bay, monkeypatch):
        loaded = lone_runtime(bay, monkeypatch)
        self.members(loaded, rng.normal(size=(2, 2, 24, 36)).astype("f4"))
        told = loaded._residual_net.calls[0]["condition"]
        assert told.shape[1] == 2 + 2 + 3
        assert torch.equal(told[:, :2], told[:, 2:4])  # the mean of `Seen` are the inputs

    def test_or_not(self, tmp_path, monkeypatch):
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), mean_conditioning=False)
        loaded = lone_runtime(model, monkeypatch)
        self.members(loaded, rng.normal(size=(2, 2, 24, 36)).astype("f4"))
        assert loaded._residual_net.calls[0]["condition"].shape[1] == 2

    def test_lead_times_reach_both_networks(self, tmp_path, monkeypatch):
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), lead_hours=(0.0, 6.0))
        loaded = lone_runtime(model, monkeypatch)
        moments = np.array([[0.0, 1.0], [0.0, 0.0]])
        self.members(loaded, np.zeros((2, 2, 24, 36), "f4"), moments)
        assert loaded._mean_net.calls[0]["lead_time"].tolist() == [1, 0]
        assert loaded._residual_net.calls[0]["lead_time"].tolist() == [1, 1, 0, 0]

    @pytest.mark.parametrize("pixels", [1, 3 * 16 * 16, 2**18])
    def test_windows_are_told_the_lead_times_of_their_fields(self, tmp_path, monkeypatch, pixels):
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), lead_hours=(0.0, 6.0))
        loaded = runtime.Runtime(model, torch.device("cpu"), torch.float32)
        for name in ("_mean_net", "_residual_net"):
            monkeypatch.setattr(loaded, name, lead_time_of)
        monkeypatch.setitem(batches.PIXELS_AT_ONCE, "cpu", pixels)
        moments, coarse = np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros((2, 2, 24, 36), "f4")
        settings = runtime.Settings(loaded.card.sampler, tile=16, overlap=4)
        mean = loaded.mean(coarse, moments, settings)
        assert mean.mean(axis=(1, 2, 3)).tolist() == [1, 0]
        monkeypatch.setattr(loaded.domain, "decode", lambda fine, coarse: fine)
        draws = [runtime.Draw(time, ("here",), member) for member in (0, 1) for time in (0, 1)]
        drawn = loaded.members(coarse, np.zeros_like(mean), draws, settings, moments)
        np.testing.assert_allclose(drawn[:, 0, ::8, ::8].min(axis=(1, 2)), [1, 0, 1, 0], atol=1e-3)
        np.testing.assert_allclose(drawn[:, 0, ::8, ::8].max(axis=(1, 2)), [1, 0, 1, 0], atol=1e-3)

    def test_patches_know_their_place_and_the_whole(self, tmp_path, monkeypatch):
        patching = Patching((12, 16), overlap=2, boundary=2)
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), patching=patching)
        loaded = lone_runtime(model, monkeypatch)
        coarse = rng.normal(size=(2, 2, 24, 36)).astype("f4")
        self.members(loaded, coarse)
        whole = loaded._mean_net.calls[0]["condition"]
        assert whole.shape[-2:] == (24, 36)  # the mean is of the whole field
        call = loaded._residual_net.calls[0]
        assert len(call["position"]) > 1
        for (rows, columns), told in zip(call["position"], call["condition"].split(4), strict=True):
            assert told.shape == (4, 2 + 2 + 2, 12, 16)
            torch.testing.assert_close(told[::2, 2:4], whole[:, :, rows, columns])
            shrunk = F.interpolate(whole, (12, 16), mode="bilinear", align_corners=False)
            torch.testing.assert_close(told[::2, 4:], shrunk)

    def test_patches_that_agree_give_the_whole(self, tmp_path, monkeypatch):
        patching = Patching((12, 16), overlap=2, boundary=2)
        patched = write_fixed_model(tmp_path / "p", write_grid(LAT, LON), patching=patching)
        plain = write_fixed_model(tmp_path / "m", write_grid(LAT, LON))
        coarse = rng.normal(size=(2, 2, 24, 36)).astype("f4")
        drawn = [self.members(lone_runtime(m, monkeypatch), coarse) for m in (patched, plain)]
        np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-5, atol=1e-4)

    def test_padding_is_noise_too_and_left_out(self, tmp_path, monkeypatch):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((2, 2), (3, 1)))
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), target=target)
        loaded = lone_runtime(model, monkeypatch)
        drawn = self.members(loaded, np.zeros((2, 2, 24, 36), "f4"))
        assert drawn.shape == (4, 2, 24, 36)
        noise = 80 * normal_field(0, ("here",), 0, 0, (2, 28, 40))[:, 2:26, 3:39]
        channels = model.card.outputs
        expected = np.stack([noise[i] * c.std for i, c in enumerate(channels)])
        np.testing.assert_allclose(drawn[0], expected, rtol=1e-4, atol=1e-2)


def test_networks_that_are_to_be_exact_are(tmp_path):
    lat, lon = np.linspace(20.0, 27.0, 448), np.linspace(118.0, 126.0, 448)
    model = write_fixed_model(tmp_path / "m", write_grid(lat, lon))
    coarse = (295 + 8 * rng.normal(size=(1, 2, 448, 448))).astype("f4")
    loaded = runtime.Runtime(model, torch.device("cpu"), torch.float32)
    condition = loaded.domain.condition(torch.from_numpy(coarse), torch.zeros(1, 2))
    exact = model.network("mean").double()
    exact.dtype = torch.float64
    expected = exact(None, condition.double()).numpy()
    error = np.abs(loaded.mean(coarse) - expected).max() / np.ptp(expected)
    assert error < 1e-6
