"""ESMPy's classes, as xESMF handles them; its own tests, in xesmf_suite, do the most of this."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.esmf.standin import (
    CoordSys,
    Field,
    Grid,
    GridItem,
    LocStream,
    Mesh,
    MeshLoc,
    Regrid,
    RegridMethod,
    StaggerLoc,
)

LON, LAT = np.meshgrid([0.0, 1, 2], [0.0, 1], indexing="ij")


@pytest.fixture
def grid():
    grid = Grid(np.array([3, 2]), staggerloc=StaggerLoc.CENTER, coord_sys=CoordSys.SPH_DEG)
    grid.get_coords(0)[...], grid.get_coords(1)[...] = LON, LAT
    return grid


@pytest.fixture
def mesh():
    mesh = Mesh(2, 2)
    mesh.add_nodes(4, np.arange(4) + 1, np.array([0.0, 0, 1, 0, 1, 1, 0, 1]), np.zeros(4))
    mesh.add_elements(2, np.arange(2) + 1, [3, 3], [0, 1, 2, 0, 2, 3], np.zeros(4))
    return mesh


def locations(lon, lat):
    stream = LocStream(len(lon))
    stream["ESMF:Lon"], stream["ESMF:Lat"] = np.array(lon), np.array(lat)
    return stream


def dense(regrid, shape):
    weights, matrix = regrid.get_weights_dict(deep_copy=True), np.zeros(shape)
    np.add.at(matrix, (weights["row_dst"] - 1, weights["col_src"] - 1), weights["weights"])
    return matrix


def test_weight_files_are_those_of_esmf(grid, tmp_path):
    Regrid(Field(grid), Field(grid), filename=str(tmp_path / "weights.nc"))
    with xr.open_dataset(tmp_path / "weights.nc") as file:
        row, col, value = (file[name].values for name in ("row", "col", "S"))
    matrix = np.zeros((6, 6))
    np.add.at(matrix, (row - 1, col - 1), value)
    np.testing.assert_allclose(matrix, np.eye(6), atol=1e-7)


def test_indices_count_from_one_along_x_first(grid):
    weights = Regrid(
        Field(grid), Field(locations([1.0], [1.0])), regrid_method=RegridMethod.NEAREST_STOD
    ).get_weights_dict()
    assert weights["row_dst"].tolist() == [1]
    assert weights["col_src"].tolist() == [5]
    assert weights["col_src"].dtype == np.int32


def test_fields_of_several_dimensions_are_regridded(grid):
    source, target = Field(grid, ndbounds=[4]), Field(locations([0.5], [0.5]), ndbounds=[4])
    source.data[...] = np.random.default_rng(0).normal(size=(3, 2, 4))
    found = Regrid(source, target)(source, target)
    np.testing.assert_allclose(found.data[0], source.data[:2].mean(axis=(0, 1)), rtol=1e-4)


def test_masks_count_only_where_their_values_are_named(grid):
    grid.add_item(GridItem.MASK)
    grid.mask[StaggerLoc.CENTER][0, 0] = 0
    fields = Field(grid), Field(locations([0.5, 1.5], [0.5, 0.5]))
    assert dense(Regrid(*fields), (2, 6))[:, 0].any()
    named = dense(Regrid(*fields, src_mask_values=[0]), (2, 6))
    np.testing.assert_array_equal(named.any(axis=1), [False, True])


def test_polygons_share_nodes(mesh):
    assert mesh.element_count == mesh.size[MeshLoc.ELEMENT] == 2
    np.testing.assert_array_equal(mesh.polygons[1], [[0, 0], [1, 1], [0, 1]])


def test_areas_of_polygons(mesh):
    field = Field(mesh, meshloc=MeshLoc.ELEMENT)
    field.get_area()
    np.testing.assert_allclose(field.data.sum(), np.sin(np.radians(1)) * np.radians(1), rtol=1e-4)


def test_polygons_may_be_the_source(grid, mesh):
    grid.add_coords(StaggerLoc.CORNER)
    lon, lat = np.meshgrid([-0.5, 0.5, 1.5, 2.5], [-0.5, 0.5, 1.5], indexing="ij")
    grid.get_coords(0, StaggerLoc.CORNER)[...] = lon
    grid.get_coords(1, StaggerLoc.CORNER)[...] = lat
    regrid = Regrid(Field(mesh), Field(grid), regrid_method=RegridMethod.CONSERVE)
    needed = [[0.125, 0.125], [0.25, 0], [0, 0], [0, 0.25], [0.125, 0.125], [0, 0]]
    np.testing.assert_allclose(dense(regrid, (6, 2)), needed, atol=1e-4)


def test_locations_have_no_area():
    with pytest.raises(InputError, match="locations have no area"):
        Field(locations([0.0], [0.0])).get_area()


def test_areas_need_corners(grid):
    with pytest.raises(InputError, match="lon_b and lat_b"):
        Field(grid).get_area()


def test_polygons_of_two_corners_are_refused():
    mesh = Mesh(2, 2)
    mesh.add_nodes(3, np.arange(3) + 1, np.arange(6.0), np.zeros(3))
    with pytest.raises(InputError, match=r"the polygons \[1\] of 2 have fewer than three corners"):
        mesh.add_elements(2, np.arange(2) + 1, [3, 2], [0, 1, 2, 0, 1])


def test_vectors_need_esmpy(grid):
    with pytest.raises(InputError, match="conda install -c conda-forge esmpy"):
        Regrid(Field(grid, ndbounds=[2]), Field(grid, ndbounds=[2]), vector_regrid=True)
