"""Both stages, the sampler and all between them, against a distribution that is known exactly."""

import numpy as np
import pytest
import torch

from benchmarks.gaussian import Fresh, ensemble, fitted, recipe
from tests.gaussian import GaussianField, measures

CASES, MEMBERS = 64, 8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def field() -> GaussianField:
    return GaussianField(size=16, wavelength=16.0)


@pytest.fixture(scope="module")
def drawn(field, tmp_path_factory):
    """Return fresh pairs, and members and means of a model trained for half a minute."""
    torch.set_num_threads(1)
    recipes = recipe(field, 200), recipe(field, 500)
    model = fitted(field, Fresh(field), recipes, tmp_path_factory.mktemp("run"))
    coarse, fine = field.draw(np.random.default_rng(2**32), CASES)
    return coarse, fine, *ensemble(model, coarse.astype(np.float32), MEMBERS)


@pytest.fixture(scope="module")
def scores(field, drawn):
    coarse, fine, ens, mean = drawn
    return measures(field, coarse, fine, mean, ens.astype(np.float64))


def test_the_mean_is_nearly_the_best_possible(scores):
    assert max(scores["rmse"]) < 1.03


def test_members_score_nearly_the_best_possible(scores):
    assert max(scores["crps"]) < 1.04


def test_members_vary_as_they_should_at_every_wavenumber(scores):
    assert max(scores["decibels"]) < 1.5


def test_the_spread_is_the_error(scores):
    np.testing.assert_allclose(scores["spread_skill"], 1, atol=0.07)


def test_the_variables_vary_together_as_they_should(scores):
    np.testing.assert_allclose(scores["shared"], 1, atol=0.1)
    assert scores["coherence"][0] < 0.25
