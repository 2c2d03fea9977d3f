import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xresdiff.nets.transforms import (
    block_mean,
    conserve_blocks,
    decode,
    encode,
    phase,
    refine,
)

NAMES = ["identity", "log1p", "sqrt", "power"]
BENT = NAMES[1:]
FACTOR = 4

rates = st.floats(0, 500, width=32)
seeds = st.integers(0, 2**32 - 1)


def coarse_fields(values):
    return arrays(np.float32, (1, 1, 3, 4), elements=values).map(torch.from_numpy)


# --- pointwise


@given(x=coarse_fields(rates), scale=st.floats(0.05, 5), exponent=st.floats(0.2, 1.5))
@settings(deadline=None)
@pytest.mark.parametrize("name", NAMES)
def test_decode_undoes_encode(name, x, scale, exponent):
    encoded = encode(x, name, scale=scale, exponent=exponent)
    decoded = decode(encoded, name, scale=scale, exponent=exponent)
    torch.testing.assert_close(decoded, x, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_zero_stays_zero(name):
    zero = torch.zeros(1, 1, 2, 2)
    assert not encode(zero, name, scale=0.1, exponent=0.3).any()
    assert not decode(zero, name, scale=0.1, exponent=0.3).any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("identity", 0.8), ("log1p", np.log(9)), ("sqrt", 8**0.5), ("power", 2.0)],
)
def test_values_are_divided_by_the_scale(name, expected):
    got = encode(torch.tensor(0.8), name, scale=0.1, exponent=1 / 3)
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", BENT)
def test_what_is_negative_counts_as_zero(name):
    negative = torch.tensor([-1.0, -1e-9])
    assert not encode(negative, name, exponent=0.5).any()
    assert not decode(negative, name, exponent=0.5).any()


@pytest.mark.parametrize("name", BENT)
def test_transforms_rise(name):
    x = torch.linspace(0, 100, 500)
    assert (encode(x, name, scale=0.1, exponent=0.3).diff() > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_decode_is_differentiable(name):
    y = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: decode(y, name, scale=0.1, exponent=1 / 3), y)
    zero = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(decode(zero, name, exponent=1 / 3), zero)
    assert slope.isfinite()


# --- onto the fine grid


@pytest.mark.parametrize("factor", [2, 3, 16])
def test_bilinear_is_interpolation_between_cell_centres(factor):
    coarse = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    centres = {"y": np.arange(4) + 0.5, "x": np.arange(5) + 0.5}
    # beyond the outermost centres their value goes on
    places = {
        dim: xr.DataArray(
            np.clip((np.arange(len(own) * factor) + 0.5) / factor, own[0], own[-1]), dims=dim
        )
        for dim, own in centres.items()
    }
    expected = xr.DataArray(coarse, centres, ("y", "x")).interp(places).values
    got = refine(torch.from_numpy(coarse)[None, None], factor, "bilinear")[0, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_constant_repeats_cells():
    coarse = torch.arange(6.0).reshape(1, 1, 2, 3)
    fine = refine(coarse, 2, "constant")
    np.testing.assert_array_equal(
        fine[0, 0], np.kron(np.arange(6.0).reshape(2, 3), np.ones((2, 2)))
    )
    assert torch.equal(block_mean(fine, 2), coarse)


def test_phase_is_the_place_within_a_cell():
    places = phase(torch.zeros(2, 3, 2, 3), 4)
    assert places.shape == (2, 2, 8, 12)
    own = [-0.75, -0.25, 0.25, 0.75]
    assert places[1, 0, :, 5].tolist() == own * 2  # along y
    assert places[1, 1, 6, :].tolist() == own * 3  # along x
    assert not block_mean(places, 4).any()


def test_phase_has_the_precision_of_the_field():
    assert phase(torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16), 2).dtype == torch.bfloat16


# --- conservation


def intermittent(seed, wet):
    """Return a skewed fine field, mostly dry if `wet` is small."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, 3 * FACTOR, 4 * FACTOR)
    rain = torch.exp(2 * torch.randn(shape, generator=generator))
    return rain * (torch.rand(shape, generator=generator) < wet)


@given(
    coarse=coarse_fields(st.just(0.0) | st.floats(2**-20, 500, width=32)),
    seed=seeds,
    wet=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_block_means_are_conserved(coarse, seed, wet):
    fine = conserve_blocks(intermittent(seed, wet), coarse, FACTOR)
    assert (fine >= 0).all()
    torch.testing.assert_close(block_mean(fine, FACTOR), coarse, rtol=1e-5, atol=0)
    dry = refine(coarse == 0, FACTOR, "constant")
    assert not fine[dry].any()


def test_a_field_that_conserves_already_is_kept():
    fine = intermittent(0, 1.0)
    kept = conserve_blocks(fine, block_mean(fine, FACTOR), FACTOR)
    torch.testing.assert_close(kept, fine, rtol=1e-5, atol=0)


def test_a_dry_block_in_a_wet_cell_takes_the_interpolated_field():
    coarse = torch.tensor([[1.0, 2.0, 3.0]]).reshape(1, 1, 1, 3)
    fine = conserve_blocks(torch.zeros(1, 1, FACTOR, 3 * FACTOR), coarse, FACTOR)
    middle = fine[0, 0, 0, FACTOR : 2 * FACTOR]
    assert (middle.diff() > 0).all()  # a slope, not a box
    torch.testing.assert_close(middle.mean(), torch.tensor(2.0))


def test_conservation_is_smooth_where_it_can_be():
    # a field that is short of a smooth factor: the blocks' edges must not show
    x = torch.arange(8 * FACTOR) + 0.5
    fine = torch.ones(1, 1, FACTOR, 8 * FACTOR)
    coarse = block_mean((1 + 0.05 * x / FACTOR).expand(1, 1, FACTOR, -1), FACTOR)
    steps = conserve_blocks(fine, coarse, FACTOR)[0, 0, 0].diff()
    inner = steps[FACTOR:-FACTOR]  # the outermost half cells are flat
    assert inner.max() < 2 * inner.mean()


def test_conservation_is_differentiable():
    fine = intermittent(0, 1.0)[..., : 2 * FACTOR, : 2 * FACTOR].double().requires_grad_()
    coarse = torch.tensor([[1.0, 2.0], [0.5, 3.0]], dtype=torch.float64).reshape(1, 1, 2, 2)
    scaled = fine * 0.2
    assert torch.autograd.gradcheck(
        lambda fine: conserve_blocks(fine, coarse, FACTOR), scaled.detach().requires_grad_()
    )


def test_gradients_are_finite_where_it_is_dry():
    fine = intermittent(1, 0.1).requires_grad_()
    coarse = torch.tensor([0.0, 1e-6, 0.3, 40.0]).expand(1, 1, 3, 4)
    (slope,) = torch.autograd.grad(conserve_blocks(fine, coarse, FACTOR).square().sum(), fine)
    assert slope.isfinite().all()


def test_unknown_refinements_are_refused():
    with pytest.raises(ValueError, match="how='bicubic' is neither"):
        refine(torch.zeros(1, 1, 2, 2), FACTOR, "bicubic")
