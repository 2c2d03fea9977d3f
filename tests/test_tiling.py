"""Windows cover every field and waste little; what a network sees is what was measured."""

import dataclasses
from itertools import pairwise

import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xresdiff
from tests.toys import fixed_card, toy_card, toy_net
from xresdiff.downscale import downscale
from xresdiff.engine import tiling as module
from xresdiff.engine.arguments import Arguments
from xresdiff.engine.runtime import load
from xresdiff.engine.tiling import padded_shape, reach, size_multiple, tiling, windows
from xresdiff.errors import InputError
from xresdiff.models.card import NetworkCard, Patching
from xresdiff.nets import layers
from xresdiff.nets.unet import UNetConfig

RAIN = xresdiff.open_model("rain-16x")
sizes = st.integers(1, 700)
SHAPE = {"in_channels": 1, "out_channels": 1, "model_channels": 4, "dropout": 0.0}
PLAIN = {"bottleneck_attention": False, "num_blocks": 1}


def networks(card, **config):
    """Return a card with other networks."""
    net = NetworkCard({"channel_mult": (1, 2), **config}, 7)
    stages = {
        name: dataclasses.replace(getattr(card, name), network=net) for name in ("mean", "residual")
    }
    return dataclasses.replace(card, **stages)


class TestWindows:
    @settings(max_examples=200)
    @given(height=sizes, width=sizes, multiple=st.sampled_from([1, 3, 16]), data=st.data())
    def test_cover_every_field(self, height, width, multiple, data):
        size = multiple * data.draw(st.integers(1, 12))
        overlap = multiple * data.draw(st.integers(0, size // 2 // multiple))
        least = data.draw(st.integers(1, size))
        cover = windows((height, width), size, overlap, multiple=multiple, least=least)
        for axis, n in enumerate((height, width)):
            along = sorted({(window[axis].start, window[axis].stop) for window in cover})
            lengths = {stop - start for start, stop in along}
            assert along[0][0] == 0
            assert along[-1][1] == n
            assert len(lengths) == 1
            length = lengths.pop()
            assert length == n if n <= size else min(least, size) <= length <= size
            for (start, stop), (after, _) in pairwise(along):
                assert stop - after >= overlap
                assert length % multiple == start % multiple == 0
        assert len({str(window) for window in cover}) == len(cover)

    @settings(max_examples=100)
    @given(n=st.integers(513, 5000))
    def test_waste_little(self, n):
        cover = windows((16, n), 512, 64, multiple=16)
        length = cover[0][1].stop
        shared = 64 * (len(cover) - 1)
        assert len(cover) * length < n + shared + 16 * len(cover)

    def test_are_as_few_as_will_do(self):
        assert len(windows((1600, 2400), 512, 64, multiple=16)) == 4 * 6

    @pytest.mark.parametrize("overlap", [-1, 9])
    def test_of_more_than_half_are_refused(self, overlap):
        with pytest.raises(ValueError, match="windows of 16 pixels overlap by 0 to 8"):
            windows((64, 64), 16, overlap)


class TestReach:
    def measured(self, config):
        """Return the largest distance at which the gradient of an output pixel is not zero."""
        net = toy_net(SHAPE | config).double()
        period, far = size_multiple(config), reach(config)
        middle = -(-far // period) * period
        furthest = 0
        for pixel in range(middle, middle + period):
            x = torch.zeros(1, 1, period, 2 * middle + period, dtype=torch.float64)
            x.requires_grad_()
            net(x, torch.zeros(1, dtype=torch.float64))[0, 0, 0, pixel].backward()
            felt = x.grad[0, 0].any(dim=0).nonzero()
            furthest = max(furthest, pixel - int(felt.min()), int(felt.max()) - pixel)
        return furthest

    @pytest.mark.parametrize(
        "config",
        [
            {"channel_mult": (1,)},
            {"channel_mult": (1, 1), "num_blocks": 2},
            {"channel_mult": (1, 1, 1)},
            {"channel_mult": (1, 2), "stem": 4},
            {"channel_mult": (1, 1, 1), "resample_filter": (1, 3, 3, 1)},
            {"channel_mult": (1, 1), "encoder": "residual", "decoder": "skip", "stem": 2},
            {"channel_mult": (1, 1), "encoder": "skip"},
        ],
    )
    def test_is_that_of_the_gradient(self, config, monkeypatch):
        # norms see the whole field: left out
        monkeypatch.setattr(layers.GroupNorm, "forward", lambda self, x: x)
        config = PLAIN | config
        assert self.measured(config) == reach(config)

    def test_of_attention_is_everything(self):
        assert reach({}) is None
        assert reach(PLAIN | {"attention_levels": (1,)}) is None

    def test_defaults_are_those_of_the_networks(self):
        config = UNetConfig(1, 1)
        told = {name: getattr(config, name) for name in ("stem", "channel_mult", "num_blocks")}
        assert size_multiple({}) == config.size_multiple
        assert reach({"bottleneck_attention": False}) == reach(told | PLAIN | {"num_blocks": 4})
        assert module.attends({}) is config.bottleneck_attention


class TestDefaults:
    def test_convolutions_run_in_large_windows(self):
        made = tiling(RAIN.card)
        assert (made.size, made.overlap, made.least) == (module.WINDOW, module.OVERLAP, 128)
        assert not made.independent
        assert not made.cuts((512, 16))
        assert made.cuts((16, 528))

    def test_a_training_on_larger_patches_counts(self):
        card = networks(toy_card(patch=900), **PLAIN)
        assert tiling(card).size == 900
        assert tiling(card).least == module.WINDOW

    def test_attention_runs_in_windows_of_the_training(self):
        made = tiling(networks(toy_card(patch=120)))
        assert made.size == made.least == 120
        assert made.windows((120, 200))[1] == (slice(0, 120), slice(80, 200))

    def test_windows_share_no_more_than_networks_see(self):
        card = networks(toy_card(), channel_mult=(1,), **PLAIN)
        assert tiling(card).overlap == 2 * reach({"channel_mult": (1,), **PLAIN}) == 24

    def test_patches_of_its_own_stay(self):
        card = networks(fixed_card(patching=Patching((64, 64)), patch=64))
        assert tiling(card) is None
        assert tiling(card, tile=64).size == 64
        assert tiling(card, tile="independent").independent

    @pytest.mark.parametrize("shape", [(2, 3), (8, 8), (8, 9), (33, 40)])
    def test_the_padding_is_known_without_the_networks(self, shape):
        fine = tuple(16 * n for n in shape)
        assert padded_shape(RAIN.card, fine) == load(RAIN.key, "cpu", "float32").domain.shape(shape)


CASES = {
    "half": "tile is 'half'; it is a number of fine pixels, such as 512, or 'independent'",
    0: "tile is 0; it is a number",
    -64: "tile is -64; it is a number",
    True: "tile is True; it is a number",
    256.0: "tile is 256.0; it is a number",
    64: "tile is 64; rain-16x learned from fields that are larger: type tile=128",
    200: "tile is 200; the networks of rain-16x take multiples of 16: type tile=208",
}
OVERLAPS = {
    -1: "overlap is -1; it is a whole number of fine pixels of at least 0",
    False: "overlap is False; it is",
    32.0: "overlap is 32.0; it is",
    "wide": "overlap is 'wide'; it is",
    144: "overlap is 144, more than half of windows of 256 pixels: type overlap=128 at most",
    20: "overlap is 20; the networks of rain-16x take multiples of 16: type overlap=32",
}


class TestRefusals:
    @pytest.mark.parametrize("tile", CASES)
    def test_of_tiles(self, tile):
        (told,) = Arguments(tile=tile).problems(RAIN.card)
        assert told.startswith(CASES[tile])

    @pytest.mark.parametrize("overlap", OVERLAPS)
    def test_of_overlaps(self, overlap):
        (told,) = Arguments(tile=256, overlap=overlap).problems(RAIN.card)
        assert told.startswith(OVERLAPS[overlap])

    def test_come_with_all_other_problems(self, rain):
        coarse: xr.Dataset = rain[0]
        with pytest.raises(InputError, match="3 reasons") as error:
            downscale(coarse, tile=200, overlap=1000, members=0)
        assert all(name in str(error.value) for name in ("members is", "tile is", "overlap is"))

    def test_of_another_size_than_attention_knows(self):
        (told,) = Arguments(tile=256).problems(networks(toy_card(patch=128)))
        assert told.endswith("in windows of 128 pixels: type tile=128")

    def test_of_windows_for_patches_that_are_no_squares(self):
        card = networks(fixed_card(patching=Patching((64, 96))))
        (told,) = Arguments(tile=64).problems(card)
        assert told.endswith("leave tile= and overlap= out")

    def test_of_an_overlap_of_patches(self):
        card = networks(fixed_card(patching=Patching((64, 64))))
        (told,) = Arguments(overlap=8).problems(card)
        assert told.endswith("bay has patches: type tile=64, too")

    @pytest.mark.parametrize(("tile", "overlap"), [(None, None), (256, 64), ("independent", 0)])
    def test_spare_what_is_good(self, tile, overlap):
        assert not list(Arguments(tile=tile, overlap=overlap).problems(RAIN.card))
