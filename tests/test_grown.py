"""What a training begins with: a model's weights for the channels of another card."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.regions import EXTRAS, LAT, LAT_2D, LON, LON_2D, OROGRAPHY
from tests.toys import PRECIP_RATE, fixed_card, toy_card, toy_net, toy_networks
from tests.training_toys import CPU, SMALL, noised, rain_batch, told, write_model
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, NetworkCard, Patching, Transform
from xresdiff.models.grid_file import write_grid
from xresdiff.models.package import write_package
from xresdiff.train.encoding import Encoding
from xresdiff.train.grown import frozen, frozen_problems, initial_weights, input_slots
from xresdiff.train.stages import MeanStage, ResidualStage, network

T2M = Channel("t2m", "air_temperature", "K", mean=280.0, std=10.0)
WIND = Channel("ws", "wind_speed", "m s-1", mean=5.0, std=2.0)
GRID = write_grid(LAT_2D, LON_2D, statics={"orography": OROGRAPHY})


def begun(path, card, start=None, grid=None, seed=0, network=None):
    """Write the model that a training begins with."""
    for stage in ("mean", "residual"):
        own = getattr(start.card if start else card, stage)
        config = (own.network.config if start else SMALL) | {
            "in_channels": told(card, stage),
            "out_channels": len(card.outputs),
        }
        config |= network or {}
        own = replace(own, network=NetworkCard(config, 7), scale=())
        card = replace(card, **{stage: own})
    weights = initial_weights(card, seed=seed, start=start)
    return write_package(path, card, weights, grid=grid)


@pytest.fixture(scope="module")
def rain(tmp_path_factory):
    return write_model(
        tmp_path_factory.mktemp("grown") / "rain", toy_card(), residual={"scale": (0.3,)}
    )


def stages_of(model):
    encoding = Encoding(model, CPU)
    mean_stage = MeanStage(encoding, network(model, "mean", CPU))
    return mean_stage, ResidualStage(
        encoding,
        network(model, "residual", CPU),
        mean_stage,
        scale=(0.3,) * len(model.card.outputs),
    )


def results(model, batch):
    """Return the mean, and residuals denoised from the noise of a batch."""
    _, residual = stages_of(model)
    tensors = residual.encoding.tensors(batch)
    with torch.no_grad():
        center = residual.mean(tensors)
        denoised = residual.denoiser(tensors, center)(
            tensors.noise, torch.full((len(center),), 0.7)
        )
    return center, denoised


def with_channels(batch, coarse=(), fine=()):
    """Put further channels of random numbers behind or in front of those of a batch."""
    rng = np.random.default_rng(9)

    def more(fields, place):
        new = rng.normal(280, 10, (len(fields), 1, *fields.shape[2:])).astype("f4")
        return np.concatenate([new, fields] if place == "first" else [fields, new], axis=1)

    given, wanted = batch.coarse, batch.fine
    for place in coarse:
        given = more(given, place)
    for place in fine:
        wanted = more(wanted, place)
    return replace(noised(replace(batch, coarse=given, fine=wanted, weight=np.ones_like(wanted))))


@pytest.mark.parametrize("where", ["first", "last"])
def test_kept_outputs_are_what_they_were_whatever_new_inputs_are(rain, tmp_path, where):
    inputs = (T2M, PRECIP_RATE) if where == "first" else (PRECIP_RATE, T2M)
    model = begun(tmp_path / "m", toy_card(inputs=inputs), rain)
    batch = rain_batch(2)
    wider = with_channels(batch, coarse=[where])
    wider = replace(wider, noise=batch.noise)
    for new, old in zip(results(model, wider), results(rain, batch), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("based", [True, False])
def test_new_outputs_begin_with_the_base(rain, tmp_path, based):
    inputs = (PRECIP_RATE, T2M) if based else (PRECIP_RATE,)
    model = begun(tmp_path / "m", toy_card(inputs=inputs, outputs=(T2M, PRECIP_RATE)), rain)
    batch = rain_batch(2)
    wider = with_channels(batch, coarse=["last"] if based else [], fine=["first"])
    wider = replace(wider, noise=np.concatenate([wider.noise[:, :1], batch.noise], axis=1))
    mean, denoised = results(model, wider)
    old_mean, old_denoised = results(rain, batch)
    torch.testing.assert_close(mean[:, 1:], old_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(denoised[:, 1:], old_denoised, rtol=1e-4, atol=1e-5)
    encoding = Encoding(model, CPU)
    tensors = encoding.tensors(wider)
    torch.testing.assert_close(mean[:, :1], encoding.base(tensors)[:, :1])
    error = (encoding.target(tensors) - encoding.base(tensors))[:, :1] ** 2
    kept = stages_of(rain)[0].loss(batch)
    torch.testing.assert_close(
        stages_of(model)[0].loss(wider), error.sum() + kept, rtol=1e-4, atol=0
    )


def test_channels_are_known_by_their_aliases(rain, tmp_path):
    renamed = replace(PRECIP_RATE, name="tp", aliases=("rainfall",))
    card = toy_card(inputs=(renamed,), outputs=(renamed,), conserve=("tp",))
    model = begun(tmp_path / "m", card, rain)
    for new, old in zip(results(model, rain_batch(2)), results(rain, rain_batch(2)), strict=True):
        assert torch.equal(new, old)


def test_channels_of_other_units_transforms_or_levels_are_new(rain, tmp_path):
    for changes in (
        {"units": "m s-1"},
        {"transform": Transform("sqrt")},
        {"level_Pa": 85_000.0},
    ):
        other = replace(PRECIP_RATE, **changes)
        card = toy_card(inputs=(other,), outputs=(other,))
        weights = initial_weights(begun(tmp_path / "m", card, rain).card, start=rain)
        assert not weights["mean"]["enc.level0_conv.weight"].any()
        assert not weights["mean"]["dec.level0_aux_conv.weight"].any()


def test_shrinking_drops_channels(rain, tmp_path):
    wide = begun(
        tmp_path / "wide", toy_card(inputs=(T2M, PRECIP_RATE), outputs=(PRECIP_RATE, T2M)), rain
    )
    back = begun(tmp_path / "back", toy_card(), wide)
    for stage in ("mean", "residual"):
        again, before = back.weights(stage), rain.weights(stage)
        assert all(np.array_equal(again[name], before[name]) for name in before)


def test_statistics_that_change_are_made_up_for(tmp_path):
    # an interior pixel of a network without norms over the field would be exact everywhere; here
    # the std of inputs and outputs, and the mean of outputs, change
    old = write_model(tmp_path / "old", toy_card(
        inputs=(T2M, WIND), outputs=(WIND,), conserve=(), global_residual=False))  # fmt: skip
    inputs = (replace(T2M, std=25.0), replace(WIND, std=0.5))
    outputs = (replace(WIND, mean=8.0, std=4.0),)
    model = begun(tmp_path / "new", replace(old.card, inputs=inputs, outputs=outputs), old)
    batch = with_channels(rain_batch(2), coarse=["first"])
    means = []
    for each in (old, model):
        stage = stages_of(each)[0]
        tensors = stage.encoding.tensors(batch)
        with torch.no_grad():
            means.append(stage.encoding.decode(stage.mean(tensors), tensors))
    torch.testing.assert_close(means[1], means[0], rtol=1e-4, atol=1e-3)


def test_the_mean_of_an_input_is_made_up_for_away_from_the_edges(tmp_path):
    card = toy_card(inputs=(T2M,), outputs=(WIND,), conserve=(), global_residual=False)
    old = write_model(tmp_path / "old", card)
    model = begun(tmp_path / "new", replace(old.card, inputs=(replace(T2M, mean=270.0),)), old)
    first = "enc.level0_conv"
    condition = torch.from_numpy(with_channels(rain_batch(1), coarse=["first"]).coarse[:, :1])
    fields = []
    for each in (old, model):
        net = each.network("mean").net
        known = Encoding(each, CPU).domain.condition(condition, torch.zeros(1, 2))
        fields.append(net.get_submodule(first)(known)[..., 1:-1, 1:-1])
    torch.testing.assert_close(fields[1], fields[0], rtol=1e-4, atol=1e-4)


def test_fresh_networks_begin_with_the_base_and_come_from_the_seed(tmp_path):
    card = toy_card(outputs=(PRECIP_RATE, WIND))
    model = begun(tmp_path / "m", card)
    batch = with_channels(rain_batch(2), fine=["last"])
    mean, _ = results(model, batch)
    encoding = Encoding(model, CPU)
    assert torch.equal(mean, encoding.base(encoding.tensors(batch)))
    first, again, other = (initial_weights(model.card, seed=seed) for seed in (0, 0, 1))
    name = "enc.level0_conv.weight"
    assert np.array_equal(first["residual"][name], again["residual"][name])
    assert not np.array_equal(first["residual"][name], other["residual"][name])
    mean_stage, _ = stages_of(model)
    mean_stage.loss(batch).backward()
    assert mean_stage.net.dec["level0_aux_conv"].weight.grad.any()  # it can learn


def test_the_order_of_slots_is_that_of_the_condition():
    card = toy_card(inputs=(PRECIP_RATE, T2M), conditioning=("bilinear", "constant", "phase"))
    slots = [
        (slot.role, getattr(slot.of, "name", slot.of)) for slot in input_slots(card, "residual")
    ]
    rain = "precip_rate"
    assert slots == [
        ("noisy", rain),
        ("mean", rain),
        ("bilinear", rain),
        ("bilinear", "t2m"),
        ("constant", rain),
        ("constant", "t2m"),
        ("phase", "y"),
        ("phase", "x"),
    ]
    assert [slot.role for slot in input_slots(card, "mean")] == [role for role, _ in slots[2:]]


@pytest.mark.parametrize(
    "changes",
    [
        {"extras": EXTRAS},
        {"extras": EXTRAS, "mean_conditioning": False},
        {"extras": EXTRAS, "patching": Patching((16, 16))},
    ],
)
def test_there_are_as_many_slots_as_channels(changes):
    card = fixed_card(**changes)
    card = replace(card, mean=replace(card.mean, latent=True))
    for stage in ("mean", "residual"):
        assert len(input_slots(card, stage)) == told(card, stage)


def test_extras_are_known_by_what_they_tell(tmp_path):
    network = {"positions": "sinusoidal", "position_channels": 4, "shape": (24, 36)}
    old = write_model(tmp_path / "old", fixed_card(extras=EXTRAS), GRID, network=network)
    extras = (EXTRAS[2], replace(EXTRAS[0], std=4.0))
    card = fixed_card(extras=extras)
    weights = initial_weights(begun(tmp_path / "new", card, old, GRID).card, start=old)
    first = "enc.level0_conv.weight"
    before, after = old.weights("mean")[first], weights["mean"][first]
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    np.testing.assert_array_equal(after[:, 2], before[:, 4])  # the hour
    np.testing.assert_allclose(after[:, 3], 2 * before[:, 2])  # the orography
    np.testing.assert_array_equal(after[:, 4:], before[:, 5:])  # the maps


def test_what_is_told_twice_stays_what_it_is(tmp_path):
    twice = (EXTRAS[2], replace(EXTRAS[2], mean=0.0, std=1.0), EXTRAS[1])
    old = write_model(tmp_path / "old", fixed_card(extras=twice), GRID)
    weights = initial_weights(begun(tmp_path / "new", old.card, old, GRID).card, start=old)
    first = "enc.level0_conv.weight"
    np.testing.assert_array_equal(weights["mean"][first], old.weights("mean")[first])


def test_maps_of_another_grid_are_new(tmp_path):
    network = {"positions": "learned", "position_channels": 4, "shape": (24, 36)}
    old = write_model(tmp_path / "old", fixed_card(), write_grid(LAT, LON), network=network)
    grid = write_grid(LAT[:16], LON[:20])
    new = begun(tmp_path / "new", fixed_card(), old, grid, network={"shape": (16, 20)})
    assert new.weights("mean")["places.maps"].shape == (4, 16, 20)
    assert np.array_equal(
        new.weights("mean")["enc.level0_conv.weight"], old.weights("mean")["enc.level0_conv.weight"]
    )


def test_networks_of_another_shape_are_refused(rain, tmp_path):
    with pytest.raises(InputError, match="for 2 reasons") as caught:
        begun(tmp_path / "m", toy_card(), rain, network={"model_channels": 16})
    assert "model_channels of its mean network is 16, that of toy 8; leave network=" in str(
        caught.value
    )


class TestFreezing:
    @pytest.fixture
    def net(self):
        return toy_net(toy_networks()["residual"])

    @pytest.mark.parametrize(
        ("group", "start"),
        [
            ("encoder", "enc."),
            ("decoder", "dec."),
            ("embedding", "embed."),
            ("first", "enc.level0_conv."),
            ("last", "dec.level0_aux_conv."),
        ],
    )
    def test_groups(self, net, group, start):
        names = frozen(net, [group])
        assert names == [name for name, _ in net.named_parameters() if name.startswith(start)]
        for name, parameter in net.named_parameters():
            assert parameter.requires_grad == (name not in names)

    def test_names_with_stars(self, net):
        assert all("norm" in name for name in frozen(net, ["*norm*"]))
        assert not net.enc["level0_block0"].norm0.weight.requires_grad

    def test_a_mean_network_may_have_no_embedding(self):
        assert frozen(toy_net(toy_networks()["mean"]), ["embedding"]) == []

    def test_nothing_is_frozen_by_default(self, net):
        assert frozen(net, ()) == []


class TestWhatCannotBeFrozen:
    """The mean network of the toy has no embedding, its residual network has one."""

    BOTH = ("mean", "residual")

    def test_what_matches_nothing_is_refused_with_the_groups(self, toy):
        (told,) = frozen_problems(toy.card, self.BOTH, ["encodr", "decoder"])
        assert "'encodr', which matches no parameter of the mean or the residual network" in told
        assert "encoder, decoder, embedding, first, last" in told

    @pytest.mark.parametrize("pattern", ["embedding", "embed.*"])
    def test_what_one_of_the_networks_has_is_fine(self, toy, pattern):
        assert frozen_problems(toy.card, self.BOTH, [pattern]) == []
        (told,) = frozen_problems(toy.card, ("mean",), [pattern])
        assert "matches no parameter of the mean network" in told

    def test_the_other_stage_is_left_if_that_one_learns(self, toy):
        (told,) = frozen_problems(toy.card, self.BOTH, ["encoder", "decoder"])
        assert "nothing to learn of the mean network" in told
        assert told.endswith("train the other stage alone: stages=('residual',)")

    def test_only_what_is_trained_must_learn(self, toy):
        assert frozen_problems(toy.card, ("residual",), ["enc.*", "dec.*"]) == []

    def test_nothing_at_all_may_not_be_left(self, toy):
        told = frozen_problems(toy.card, self.BOTH, ["*"])
        assert len(told) == 2
        assert all(one.endswith("freeze less") for one in told)
