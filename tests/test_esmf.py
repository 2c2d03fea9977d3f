"""The weights that the stand-in for ESMPy gives xESMF, against those that ESMF itself gave it.

ESMF's lie beside the repository and not in it; where they are absent, these tests skip.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import shapely
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.esmf import import_xesmf, weights_by
from xresdiff.grids.esmf.sphere import sphere_points

FOLDER = Path(__file__).parents[2] / "shared" / "esmf-reference"
FILES = sorted(FOLDER.glob("*.nc"))

pytestmark = pytest.mark.filterwarnings("ignore:.*large:UserWarning")


def files(*, method="", holding="S"):
    """Return the test parameters of the cases of a method that hold a variable, or one skip."""
    if not FILES:
        reason = f"there are no weights of ESMF in {FOLDER}"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    chosen = [f for f in FILES if method in case_of(f).method and holding in case_of(f)]
    return [pytest.param(f, id=f.stem) for f in chosen if case_of(f).method != "patch"]


@cache
def case_of(path):
    with xr.open_dataset(path) as ds:
        return ds.load()


def grid(case, end):
    """Return the source or the target of a case as xESMF wants it."""
    names = [name for name in ("lon", "lat", "lon_b", "lat_b") if f"{end}_{name}" in case]
    ds = xr.Dataset(coords={name: case[f"{end}_{name}"].variable for name in names})
    mask = case.get(f"{end}_mask")
    return ds if mask is None else ds.assign(mask=mask.variable)


def options(case):
    """Return the options of the case as those of a Regridder."""
    chosen = {"periodic": bool(case.periodic), "locstream_out": bool(case.locstream_out)}
    if case.extrap_method != "none":
        chosen["extrap_method"] = case.extrap_method
        names = ("extrap_num_src_pnts", "extrap_dist_exponent")
        chosen |= {n: case.attrs[n] for n in names if not isinstance(case.attrs[n], str)}
    return chosen


@cache
def regridder_of(path, unmapped_to_nan=False):
    case, xesmf = case_of(path), import_xesmf()
    if "polygons_wkt" in case.attrs:
        polygons = [shapely.from_wkt(text) for text in case.polygons_wkt.split(" | ")]
        return xesmf.SpatialAverager(grid(case, "src"), polygons)
    chosen = options(case) | {"unmapped_to_nan": unmapped_to_nan}
    return xesmf.Regridder(grid(case, "src"), grid(case, "dst"), case.method, **chosen)


def ours(path):
    """Return our weights as a matrix; unmapped targets of masked cases are empty rows again."""
    weights = regridder_of(path).weights.data
    keep = ~np.isnan(weights.data)
    return sp.coo_array((weights.data[keep], tuple(weights.coords[:, keep])), weights.shape).tocsr()


def theirs(path):
    case = case_of(path)
    place = (case.row.values - 1, case.col.values - 1)
    return sp.coo_array((case.S.values, place), (case.n_dst, case.n_src)).tocsr()


def places(case, end):
    """Return longitude and latitude of every cell, flat."""
    lon, lat = (case[f"{end}_{name}"].values for name in ("lon", "lat"))
    if lon.ndim == 1 and not (end == "dst" and case.attrs.get("locstream_out")):
        lon, lat = np.meshgrid(lon, lat)
    return lon.ravel(), lat.ravel()


def at_pole(case):
    """Tell which targets lie at a pole, where all points of a row there are one place."""
    return np.abs(places(case, "dst")[1]) == 90


@pytest.mark.parametrize("path", files())
def test_the_same_targets_are_mapped(path):
    needed = np.diff(theirs(path).indptr) > 0
    np.testing.assert_array_equal(np.diff(ours(path).indptr) > 0, needed)


@pytest.mark.parametrize("path", files(method="bilinear"))
def test_bilinear_weights(path):
    case = case_of(path)
    error = abs(ours(path) - theirs(path)).max(axis=1).toarray().ravel()[~at_pole(case)]
    assert error.max() < 1e-7
    assert np.mean(error < 1e-11) > 0.99


@pytest.mark.parametrize("path", files(method="bilinear"))
def test_weights_at_a_pole_go_to_the_row_at_the_pole(path):
    latitude = places(case_of(path), "src")[1]
    for pole in (-90, 90):
        found, needed = (weights @ (latitude == pole) for weights in (ours(path), theirs(path)))
        np.testing.assert_allclose(found, needed, atol=1e-7)


@pytest.mark.parametrize("path", files(method="conservative"))
def test_conservative_weights(path):
    atol = 1e-6 if "polygons_wkt" in case_of(path).attrs else 1e-11
    np.testing.assert_allclose(ours(path).toarray(), theirs(path).toarray(), atol=atol, rtol=0)


@pytest.mark.parametrize("path", files(method="nearest"))
def test_nearest_neighbours(path):
    case, found, needed = case_of(path), ours(path).tocoo(), theirs(path).tocoo()
    source, target = (sphere_points(*places(case, end)) for end in ("src", "dst"))
    distance = [
        np.linalg.norm(source[w.coords[1]] - target[w.coords[0]], axis=1)[np.argsort(w.coords[own])]
        for own in [int("d2s" in case.method)]
        for w in (found, needed)
    ]
    np.testing.assert_array_equal(found.data, 1)
    np.testing.assert_allclose(*distance, atol=1e-12)


@pytest.mark.parametrize("path", files(holding="dst_smooth"))
@pytest.mark.parametrize(("field", "atol"), [("smooth", 1e-5), ("random", 1e-6)])
def test_regridded_fields(path, field, atol):
    case = case_of(path)
    found = np.ravel(regridder_of(path)(case[f"src_{field}"].values))
    needed = case[f"dst_{field}"].values.ravel()
    if "dst_lat" in case:
        found, needed = found[~at_pole(case)], needed[~at_pole(case)]
    if "nearest" in case.method:  # where two are as near, either may be taken
        same = abs(ours(path) - theirs(path)).max(axis=1).toarray().ravel() == 0
        found, needed = found[same], needed[same]
    np.testing.assert_allclose(found, needed, atol=atol, rtol=0)
    assert np.nanquantile(np.abs(found - needed), 0.99) < 1e-9


@pytest.mark.parametrize("path", files(holding="dst_smooth_nan"))
def test_unmapped_targets_become_nan(path):
    case = case_of(path)
    found = regridder_of(path, unmapped_to_nan=True)(case.src_smooth.values)
    np.testing.assert_allclose(found, case.dst_smooth_nan, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("path", files(holding="src_gappy"))
def test_missing_values_are_skipped(path):
    case, regridder = case_of(path), regridder_of(path)
    gappy, thresholds = case.src_gappy.values, np.atleast_1d(case.na_thres.values)
    found = [regridder(gappy, skipna=True, na_thres=share) for share in thresholds]
    needed = case.dst_gappy_skipna.values.reshape(np.shape(found))
    np.testing.assert_allclose(found, needed, atol=1e-5)
    np.testing.assert_allclose(regridder(gappy), case.dst_gappy_noskip, atol=1e-5)


@pytest.mark.parametrize("path", files(holding="src_area"))
@pytest.mark.parametrize("end", ["src", "dst"])
def test_areas(path, end):
    case = case_of(path)
    found = import_xesmf().util.cell_area(grid(case, end))
    np.testing.assert_allclose(found, case[f"{end}_area"], rtol=1e-12)


@pytest.mark.skipif(weights_by().startswith("ESMPy"), reason="ESMPy is installed")
class TestRefusals:
    """What ESMF refuses with a number is refused in words; what is ESMF's alone, is asked for."""

    wide = xr.Dataset(coords={"lon": 10.0 * np.arange(5), "lat": 10.0 * np.arange(-2, 3)})
    bounded = wide.assign_coords(
        lon_b=("xb", 10.0 * np.arange(6) - 5), lat_b=("yb", 10.0 * np.arange(-2, 4) - 5)
    )

    @staticmethod
    def refused(source, method="bilinear", target=wide, **how):
        with pytest.raises(InputError) as refusal:
            import_xesmf().Regridder(source, target, method, **how)
        return str(refusal.value)

    def test_patch(self):
        assert "conda install -c conda-forge esmpy" in self.refused(self.wide, "patch")

    @pytest.mark.parametrize("dim", ["lon", "lat"])
    def test_sources_one_point_wide(self, dim):
        narrow = self.wide.isel({dim: [2]})
        assert "needs two or more along each dimension" in self.refused(narrow)

    def test_a_meridian_given_twice(self):
        twice = xr.Dataset(coords={"lon": np.linspace(0, 360, 13), "lat": [-20.0, 0, 20]})
        message = self.refused(twice, periodic=True)
        assert "2 of the source cells" in message
        assert "(0, 12) at" in message
        assert "isel(lon=slice(None, -1))" in message

    def test_cells_without_an_area(self):
        lon = ("lon", [0.0, 10, 10, 20, 30])
        message = self.refused(self.wide.assign_coords(lon=lon))
        assert "4 of the source cells" in message
        assert "(0, 1) at 10 E -20 N, (1, 1) at 10 E -10 N" in message
        assert "ignore_degenerate=True" in message

    def test_cells_without_an_area_to_conserve(self):
        flat = self.bounded.assign_coords(lat_b=("yb", [-25.0, -15, -15, 5, 15, 25]))
        message = self.refused(flat, "conservative", self.bounded)
        assert "5 of the source cells" in message
        assert "(1, 0) at -5 E -15 N" in message

    def test_extrapolating_areas(self):
        how = {"target": self.bounded, "extrap_method": "nearest_s2d"}
        assert "leave extrap_method out" in self.refused(self.bounded, "conservative", **how)

    def test_two_columns_go_round_nothing(self):
        two = xr.Dataset(coords={"lon": [0.0, 180], "lat": [-20.0, 0, 20]})
        assert "periodic=False" in self.refused(two, periodic=True)

    def test_cells_without_an_area_can_be_left_out(self):
        lon = ("lon", [0.0, 10, 10, 20, 30])
        regridder = import_xesmf().Regridder(
            self.wide.assign_coords(lon=lon), self.wide, "bilinear", ignore_degenerate=True
        )
        mapped = regridder.weights.data.sum(axis=1).todense().reshape(5, 5)
        np.testing.assert_allclose(mapped[:, :4], 1)
        np.testing.assert_allclose(mapped[:, 4], 0)
