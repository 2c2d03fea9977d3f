"""Intervals, references and pieces: what all scores get in one and the same way."""

import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify import pieces
from xresdiff.verify.scores import bias, correlation, crps, mae, member_mae, rmse
from xresdiff.verify.spreads import spread, spread_skill
from xresdiff.verify.tables import scores

ALL = [crps, mae, member_mae, rmse, bias, correlation, spread, spread_skill]
SKILLED = [crps, mae, member_mae, rmse]

every_score = pytest.mark.parametrize("score", ALL, ids=lambda score: score.__name__)
every_skill = pytest.mark.parametrize("score", SKILLED, ids=lambda score: score.__name__)


def case(members=5, times=12, y=4, x=6, seed=0):
    rng = np.random.default_rng(seed)
    dims = ("member", "time", "y", "x")
    ens = xr.DataArray(rng.standard_normal((members, times, y, x)), dims=dims, name="t")
    obs = xr.DataArray(rng.standard_normal((times, y, x)) + 0.5, dims=dims[1:], name="t")
    return ens.assign_attrs(units="K"), obs.assign_attrs(units="K")


@pytest.fixture
def ens():
    return case()[0]


@pytest.fixture
def obs():
    return case()[1]


class Disk:
    """An array that counts how often each of its chunks is read."""

    def __init__(self, values):
        self.values, self.reads = values, []
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key):
        found = self.values[key]
        if found.size:  # dask asks for an empty one to learn the type
            self.reads.append(tuple((part.start, part.stop) for part in key))
        return found

    def lazy(self, like, chunks):
        sizes = tuple(chunks.get(d, n) for d, n in like.sizes.items())
        return like.copy(data=da.from_array(self, sizes, name=False))


def on_disk(like, chunks):
    disk = Disk(like.values)
    return disk, disk.lazy(like, chunks)


def forecast_of_errors(errors):
    """A forecast without members whose errors against zero are these, ``(time, case)``."""
    one = xr.DataArray(errors, dims=("time", "case"))
    return one, xr.zeros_like(one)


def peak_of(call):
    """Bytes that a call holds at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def white(times=40, cases=400):
    return np.random.default_rng(3).standard_normal((times, cases))


def persistent(times=40, cases=400, memory=0.8):
    """Errors of which each resembles the one before it, of variance one."""
    errors, fresh = white(times, cases), white(times, cases)
    for t in range(1, times):
        errors[t] = memory * errors[t - 1] + np.sqrt(1 - memory**2) * fresh[t]
    return errors


def width(intervals):
    return intervals.sel(bound="upper") - intervals.sel(bound="lower")


class TestIntervals:
    @pytest.mark.parametrize(("level", "least", "most"), [(0.95, 0.88, 0.98), (0.5, 0.42, 0.58)])
    def test_of_independent_errors_hold_the_truth_as_often_as_they_say(self, level, least, most):
        found = bias(*forecast_of_errors(white()), dim="time", ci=level)
        holds = (found.sel(bound="lower") <= 0) & (found.sel(bound="upper") >= 0)
        assert least <= holds.mean() <= most

    def test_of_a_root_hold_the_truth_too(self):
        found = rmse(*forecast_of_errors(white()), dim="time", ci=0.95)
        holds = (found.sel(bound="lower") <= 1) & (found.sel(bound="upper") >= 1)
        assert 0.85 <= holds.mean() <= 0.98

    def test_have_the_width_of_the_standard_error(self):
        found = bias(*forecast_of_errors(white(times=400)), dim="time", ci=0.95)
        assert width(found).mean() == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.05)

    def test_are_wider_where_times_resemble_one_another(self):
        errors = persistent()
        shuffled = np.random.default_rng(0).permuted(errors, axis=0)
        follow, mixed = (
            width(bias(*forecast_of_errors(e), dim="time", ci=0.95)) for e in (errors, shuffled)
        )
        assert follow.mean() > 1.4 * mixed.mean()

    @every_score
    def test_hold_the_score(self, score, ens, obs):
        found = score(ens, obs, ci=0.9)
        assert list(found.bound.values) == ["estimate", "lower", "upper"]
        estimate, lower, upper = found.values
        assert estimate == pytest.approx(score(ens, obs).item(), rel=1e-12)
        assert lower < estimate < upper
        assert found.attrs == score(ens, obs).attrs

    @every_score
    def test_are_always_the_same(self, score, ens, obs):
        lazy = score(ens.chunk(member=2, time=5, x=4), obs, ci=0.9)
        np.testing.assert_allclose(lazy, score(ens, obs, ci=0.9), rtol=1e-12)
        assert score(ens, obs, ci=0.9).identical(score(ens, obs, ci=0.9))

    def test_are_wider_for_more_confidence(self, ens, obs):
        assert width(crps(ens, obs, ci=0.99)) > width(crps(ens, obs, ci=0.9))

    def test_weigh_the_times_drawn(self, ens, obs):
        counts = xr.DataArray(np.arange(12) % 2, dims="time")
        alike = ens.where(counts > 0), obs.where(counts > 0)
        weighted = mae(ens, obs, weights=counts, ci=0.9)
        np.testing.assert_allclose(weighted, mae(*alike, ci=0.9), rtol=1e-12)

    def test_are_of_the_times_that_are_known(self, ens, obs):
        found = crps(ens, obs.where(obs.time > 3), ci=0.9)
        assert found.notnull().all()
        assert found[0] == pytest.approx(crps(ens[:, 4:], obs[4:]).item())

    def test_are_of_every_place_that_is_kept(self, ens, obs):
        found = crps(ens, obs, dim="time", ci=0.9)
        assert set(found.dims) == {"y", "x", "bound"}
        one = crps(ens[..., 1, 2], obs[..., 1, 2], ci=0.9)
        np.testing.assert_allclose(found[1, 2], one, rtol=1e-12)

    def test_of_maps_take_little_memory(self):
        ens, obs = case(times=20, y=20, x=20)
        with dask.config.set(num_workers=1):
            peak = peak_of(lambda: scores(ens, obs, dim="time", ci=0.9))
        assert peak < 60e6

    def test_are_missing_where_all_is(self, ens, obs):
        found = crps(ens, obs.where(obs.x > 0), dim="time", ci=0.9)
        assert found[:, 0].isnull().all()
        assert found[:, 1:].notnull().all()

    def test_need_times(self, ens, obs):
        with pytest.raises(InputError, match="needs 5 times or more, found 4: no ci"):
            crps(ens[:, :4], obs[:4], ci=0.9)
        with pytest.raises(InputError, match=r"times to draw from.*\('y', 'x'\)"):
            crps(ens, obs, dim=("y", "x"), ci=0.9)
        with pytest.raises(InputError, match="times to draw from"):
            crps(ens.rename(time="case"), obs.rename(time="case"), ci=0.9)

    @pytest.mark.parametrize("level", [0, 1, 95, -0.5])
    def test_need_a_share(self, ens, obs, level):
        with pytest.raises(InputError, match=r"such as ci=0\.95, not"):
            crps(ens, obs, ci=level)

    def test_find_times_of_another_name(self, ens, obs):
        named = {"valid": ("valid", np.arange(12), {"standard_name": "time"})}
        found = crps(
            ens.rename(time="valid").assign_coords(named),
            obs.rename(time="valid").assign_coords(named),
            ci=0.9,
        )
        np.testing.assert_array_equal(found, crps(ens, obs, ci=0.9))


class TestReference:
    @every_skill
    def test_beside_the_score(self, score, ens, obs):
        other = ens.isel(member=0) + 0.2
        found = score(ens, obs, reference=other)
        assert list(found["value"].values) == ["score", "reference", "skill"]
        own, theirs = score(ens, obs), score(other, obs)
        np.testing.assert_allclose(found, [own, theirs, 1 - own / theirs], rtol=1e-12)

    @every_skill
    def test_that_is_the_same_forecast_is_surely_no_worse(self, score, ens, obs):
        found = score(ens, obs, reference=ens, ci=0.95)
        np.testing.assert_array_equal(found.sel(value="skill"), 0.0)

    def test_is_drawn_at_the_same_times(self, ens, obs):
        """Where all days are twice as bad the skill is surely a half."""
        zero = xr.zeros_like(obs)
        one = obs.isel(y=0, x=0)
        found = rmse(one, zero.isel(y=0, x=0), reference=2 * one, ci=0.95)
        np.testing.assert_allclose(found.sel(value="skill"), 0.5, rtol=1e-12)
        assert width(found.sel(value="score")) > 0

    def test_may_have_other_members_and_other_units(self, ens, obs):
        other = (ens.rename(member="number")[:3] - 273.15).assign_attrs(units="degC")
        found = crps(ens, obs, reference=other)
        assert found.sel(value="reference") == pytest.approx(crps(ens[:3], obs).item())

    def test_is_compared_where_both_are_known(self, ens, obs):
        """An interpolation often ends within the grid: its easier points would not be ours."""
        inner = ens.where((ens.x > 0) & (ens.y > 0))
        found = mae(ens, obs, reference=inner[0])
        np.testing.assert_allclose(found, mae(inner, obs, reference=inner[0]), rtol=1e-12)

    def test_may_be_a_climatology(self, ens, obs):
        climate = obs.mean("time", keep_attrs=True)
        found = mae(ens, obs, reference=climate)
        expected = abs(obs - climate).mean().item()
        assert found.sel(value="reference") == pytest.approx(expected)

    def test_takes_datasets(self, ens, obs):
        ens, obs = ens.to_dataset().assign(q=2 * ens), obs.to_dataset().assign(q=2 * obs)
        found = crps(ens, obs, reference=ens.isel(member=0))
        xr.testing.assert_allclose(found.q, found.t * [2, 2, 1])
        with pytest.raises(InputError, match=r"the reference has no 'q'.*ens\[\['t'\]\]"):
            crps(ens, obs, reference=ens.isel(member=0).drop_vars("q"))


class TestLaziness:
    @every_score
    def test_nothing_is_computed(self, score, ens, obs):
        options = {"reference": ens[0].chunk(time=4)} if score in SKILLED else {}
        with raise_if_dask_computes():
            lazy = [
                score(ens.chunk(time=5), obs.chunk(time=4), ci=0.9, **options),
                score(ens.chunk(member=2), obs, dim="time", ci=0.9, **options),
            ]
        for one in lazy:
            assert dask.is_dask_collection(one)
        expected = score(ens, obs, ci=0.9, **options)
        np.testing.assert_allclose(lazy[0], expected, rtol=1e-12)

    def test_the_table_reads_every_chunk_once(self, ens, obs):
        first, one = on_disk(ens, {"time": 4, "member": 2})
        second, truth = on_disk(obs, {"time": 3})
        third, other = on_disk(ens[0] + 1, {"time": 6})
        with raise_if_dask_computes():
            table = scores(one, truth, reference={"other": other, "mean": one.mean("member")})
        table.compute()
        assert len(first.reads) == len(set(first.reads)) == 9
        assert len(second.reads) == len(set(second.reads)) == 4
        assert len(third.reads) == len(set(third.reads)) == 2

    def test_the_table_reads_every_chunk_once_with_intervals(self, ens, obs):
        disk, one = on_disk(ens, {"time": 4})
        other, reference = on_disk(ens, {"time": 4})
        scores(one, obs, reference={"other": reference}, ci=0.9).compute()
        assert len(disk.reads) == len(other.reads) == 3

    @every_score
    def test_a_score_reads_every_chunk_once(self, score, ens, obs):
        disk, one = on_disk(ens, {"time": 4, "x": 3})
        score(one, obs).compute()
        assert len(disk.reads) == len(set(disk.reads)) == 6

    def test_data_are_left_alone(self, ens, obs):
        before = ens.copy(deep=True), obs.copy(deep=True)
        scores(ens, obs, reference={"one": ens[0]}, ci=0.9)
        crps(ens, obs, above=0.0, reference=ens, ci=0.9)
        xr.testing.assert_identical(ens, before[0])
        xr.testing.assert_identical(obs, before[1])


class TestTable:
    def test_has_intervals_of_every_forecast(self, ens, obs):
        found = scores(ens, obs, reference={"one": ens[0], "few": ens[:2]}, ci=0.9).t
        own = found.sel(forecast="ensemble", score="crps")
        np.testing.assert_allclose(own, crps(ens, obs, ci=0.9), rtol=1e-12)
        both = crps(ens, obs, reference=ens[:2], ci=0.9)
        few = found.sel(forecast="few")
        np.testing.assert_allclose(few.sel(score="crps"), both.sel(value="reference"), rtol=1e-12)
        np.testing.assert_allclose(few.sel(score="crps_skill"), both.sel(value="skill"), rtol=1e-12)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_VALUES", 60)


class TestPieces:
    @every_score
    def test_change_nothing(self, score, ens, obs, monkeypatch):
        weights = xr.DataArray(np.arange(1.0, 5), dims="y")
        reference = {"reference": ens[0]} if score in SKILLED else {}
        options = [{}, {"dim": "x"}, {"dim": ()}, {"weights": weights}, {"ci": 0.9} | reference]
        holes = obs.where(obs > -0.5)
        whole = [score(ens, holes, **each) for each in options]
        monkeypatch.setattr(pieces, "PIECE_VALUES", 60)
        for expected, each in zip(whole, options, strict=True):
            found = score(ens, holes, **each)
            assert not dask.is_dask_collection(found)
            xr.testing.assert_allclose(found, expected, rtol=1e-12)
            assert found.attrs == expected.attrs

    @pytest.mark.usefixtures("small_pieces")
    def test_take_members_anywhere_and_threshold_and_no_truth(self, ens, obs):
        turned = ens.transpose("y", "member", "x", "time")
        np.testing.assert_allclose(scores(turned, obs).t, scores(ens, obs).t, rtol=1e-12)
        expected = np.sqrt(ens.var("member", ddof=1).mean())
        np.testing.assert_allclose(spread(ens), expected, rtol=1e-12)
        clipped = crps(ens.clip(0, 1), obs.clip(0, 1))
        np.testing.assert_allclose(crps(ens, obs, above=0, below=1), clipped, rtol=1e-12)

    @pytest.mark.usefixtures("small_pieces")
    def test_are_many(self, ens, obs, monkeypatch):
        sizes = []
        cut = pieces.cut
        monkeypatch.setattr(
            "xresdiff.verify.pairs.cut", lambda field, s: sizes.append(cut(field, s)) or sizes[-1]
        )
        crps(ens, obs)
        assert sizes[0].data.npartitions > 10
        assert sizes[0].chunksizes["member"] == (5,)

    @pytest.mark.parametrize("names", [("member", "x", "y"), ("x", "member", "y")])
    def test_need_no_copy_of_the_ensemble(self, names, monkeypatch):
        monkeypatch.setattr(pieces, "PIECE_VALUES", 2**16)
        sizes = {"member": 16, "x": 400, "y": 500}
        shape = tuple(sizes[name] for name in names)
        ens = xr.DataArray(np.zeros(shape, np.float32), dims=names)
        obs = ens.isel(member=0) + 1
        with dask.config.set(num_workers=2):
            scores(ens, obs)  # imports
            peak = peak_of(lambda: scores(ens, obs))
        assert peak < ens.nbytes / 2
