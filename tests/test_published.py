"""Earth2Studio's generic packages: what is read of them, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests import imitation_gefs
from tests import imitations as im
from xresdiff.errors import ModelError
from xresdiff.grids.units.spellings import plain
from xresdiff.models.grid_file import read_grid
from xresdiff.models.published import earth2studio, variables
from xresdiff.models.published.package_files import Metadata, read_metadata
from xresdiff.models.published.package_grids import static_name
from xresdiff.models.published.package_networks import checkpoint_of, network_problems
from xresdiff.models.published.package_parts import sampler_of
from xresdiff.models.published.translation import Translation


def generic(folder: Path, networks: str = "square", **changes: Any) -> Translation:
    package = im.write_generic(folder / "package", networks, **changes)
    return earth2studio.translate(package, "own")


def grid_of(made: Translation) -> xr.Dataset:
    return read_grid(made.grid, made.card)


def refusal(folder: Path, networks: str = "square", **changes: Any) -> str:
    with pytest.raises(ModelError) as info:
        generic(folder, networks, **changes)
    return str(info.value)


def edited(package: Path, name: str, change: Any) -> Path:
    """Change a JSON file of a package in place."""
    data = json.loads((package / name).read_text())
    change(data)
    (package / name).write_text(json.dumps(data))
    return package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return im.write_generic(tmp_path / "package", "square")


# --- variables


def test_units_are_those_of_earth2studios_vocabulary() -> None:
    told = json.loads((im.DATA / "units.json").read_text())
    theirs = {name: units for name, units in told.items() if variables.known(name)}
    same = {"0 - 1": "1", "dB": "dBZ"}  # as it writes fractions, and the logarithm of mm6 m-3
    ours = {name: plain(variables.known(name)[1].units) for name in theirs}
    assert ours == {name: same.get(units, plain(units)) for name, units in theirs.items()}
    assert len(theirs) > 60


def test_no_two_variables_are_found_under_one_name() -> None:
    for table in (variables.SURFACE, variables.LEVELS):
        names = [n for key, one in table.items() for n in dict.fromkeys((key, *one.aliases))]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "quantity", "level_Pa"),
    [("z500", "z", 50000.0), ("u100", "u", 10000.0), ("u100m", "u100m", None), ("z", "z", None)],
)
def test_a_name_with_a_level_is_a_quantity_at_a_pressure(
    name: str, quantity: str, level_Pa: float | None
) -> None:
    channel = variables.channel(name, mean=0.0, std=1.0)
    assert (channel.name, channel.level_Pa) == (quantity, level_Pa)


def test_a_field_is_named_as_a_grid_file_can_keep_it() -> None:
    assert [static_name(n) for n in ("lat", "2m/x y", "lsm")] == [
        "lat_field",
        "field_2m_x_y",
        "lsm",
    ]


# --- the generic package


def test_channels_keep_their_order_and_scales(tmp_path: Path) -> None:
    card = generic(tmp_path).card
    assert [c.label for c in card.inputs] == [
        *("t2m", "u10m", "v10m", "tcwv", "z at 500 hPa", "t at 850 hPa"),
    ]
    assert [c.name for c in card.outputs] == list(im.GENERIC_OUTPUTS)
    assert [(c.mean, c.std) for c in card.inputs[:2]] == [(296.25, 6.25), (-1.75, 5.0)]
    assert [extra.name for extra in card.extras] == list(im.INVARIANTS)
    assert card.mean_conditioning
    assert {c.regridding for c in card.inputs} == {"latlon_bilinear"}
    assert card.target.spacing_km == pytest.approx(5.67, abs=0.02)


@pytest.mark.parametrize(
    ("told", "sampler"),
    [
        ({"sampler_type": "stochastic", "solver": "euler"}, ("heun", 4, 0.002, 800.0)),
        ({"sampler_type": "deterministic", "solver": "euler"}, ("euler", 4, 0.002, 80.0)),
        ({"sampler_type": "deterministic", "solver": "heun"}, ("heun", 4, 0.002, 80.0)),
        ({"sampler_type": None, "number_of_steps": None}, ("heun", 18, 0.002, 800.0)),
        ({"sigma_min": 0.1, "sigma_max": 50, "number_of_steps": 1}, ("heun", 1, 0.1, 50.0)),
    ],
)
def test_the_sampler_is_the_one_that_runs_there(
    told: dict[str, Any], sampler: tuple[Any, ...], tmp_path: Path
) -> None:
    own = generic(tmp_path, **told).card.sampler
    assert (own.name, own.steps, own.sigma_min, own.sigma_max) == sampler
    assert own.churn == 0


def test_the_networks_own_noise_levels_bound_the_sampler(package: Path) -> None:
    problems: list[str] = []
    metadata, _ = read_metadata(package, Metadata)
    found = checkpoint_of(package / "diffusion.mdlus", problems)
    bounded = replace(found, sigma_min=0.05, sigma_max=90.0)
    sampler = sampler_of(metadata, bounded)
    assert (sampler.sigma_min, sampler.sigma_max) == (0.05, 90.0)


def test_a_package_of_the_mean_alone_says_how_to_take_it(tmp_path: Path) -> None:
    assert "stage='mean'" in generic(tmp_path, inference_mode="regression").card.description


def test_a_residual_without_its_mean_is_refused(tmp_path: Path) -> None:
    assert "no weather" in refusal(tmp_path, inference_mode="diffusion")


def test_seed_and_samples_are_told(tmp_path: Path) -> None:
    text = generic(tmp_path).card.description
    assert "seed 7" in text
    assert "2 members" in text


def test_unknown_keys_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="'colour'"):
        generic(tmp_path, colour="blue")


def test_a_wrong_type_is_refused_with_its_place(tmp_path: Path) -> None:
    assert "number_of_steps: 'many' must be a whole number" in refusal(
        tmp_path, number_of_steps="many"
    )


def test_repeated_variables_are_refused(tmp_path: Path) -> None:
    names = [*im.GENERIC_INPUTS[:-1], "t2m"]
    assert "'t2m' is there 2 times" in refusal(tmp_path, input_variables=names)


def test_a_network_that_takes_other_channels_is_refused_with_the_sum(tmp_path: Path) -> None:
    text = refusal(tmp_path, hr_mean_conditioning=False)
    assert "diffusion.mdlus takes 11 channels" in text
    assert "tells it 8: 6 inputs + 2 invariants" in text


def test_networks_of_the_wrong_stage_are_refused(package: Path) -> None:
    (package / "diffusion.mdlus").write_bytes((package / "regression.mdlus").read_bytes())
    with pytest.raises(ModelError, match=r"diffusion\.mdlus is a network of the mean"):
        earth2studio.translate(package, "own")


def test_a_network_that_knows_another_grid_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, target=im.curved(40, 48))
    assert "knows its place on a grid of 48 x 48; the target has 40 x 48" in text


def test_every_problem_is_in_one_message(package: Path) -> None:
    edited(package, "stats.json", lambda data: data["input"]["t2m"].update(std=0))
    edited(package, "stats.json", lambda data: data["output"].pop("mrr"))
    (package / "regression.mdlus").unlink()
    (package / "input_latlon_grid.nc").unlink()
    with pytest.raises(ModelError) as info:
        earth2studio.translate(package, "own")
    text = str(info.value)
    assert "input.t2m" in text
    assert "no 'output' scale of 'mrr'" in text
    assert "regression.mdlus" in text
    assert "no 'latlon_res'" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.json", '{"input_variables": ["t2m"], "input_variables": ["tp"]}'),
        ("metadata.json", ""),
        ("stats.json", '{"input": {"t2m": {"mean": NaN, "std": 1}}}'),
        ("stats.json", "[]"),
    ],
)
def test_json_is_read_strictly(name: str, text: str, package: Path) -> None:
    (package / name).write_text(text)
    with pytest.raises(ModelError, match=name):
        earth2studio.translate(package, "own")


def test_a_file_of_json_without_end_is_not_read(package: Path) -> None:
    (package / "stats.json").write_text(" " * 2**23)
    with pytest.raises(ModelError, match="larger than"):
        earth2studio.translate(package, "own")


def test_units_of_a_variable_that_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    names = [*im.GENERIC_INPUTS[:-1], "lsm_inverse"]
    package = im.write_generic(tmp_path / "package", "square")
    edited(package, "metadata.json", lambda data: data.update(input_variables=names))
    scale = {"mean": 0.0, "std": 1.0}
    edited(package, "stats.json", lambda data: data["input"].update(lsm_inverse=scale))
    with pytest.raises(ModelError, match=r'"units": {"lsm_inverse": "K"}'):
        earth2studio.translate(package, "own")
    edited(package, "metadata.json", lambda data: data.update(units={"lsm_inverse": "1"}))
    assert earth2studio.translate(package, "own").card.inputs[-1].units == "1"


# --- grids that Earth2Studio does not take


FALLING = np.linspace(46, 44, 48)
EAST = np.linspace(7, 10, 64)


def test_a_rectilinear_target_is_read_in_its_order(tmp_path: Path) -> None:
    made = generic(tmp_path, "oblong", target=(FALLING, EAST))
    np.testing.assert_array_equal(grid_of(made)["lat"], FALLING)
    np.testing.assert_array_equal(grid_of(made)["lon"], EAST)


def test_a_rectilinear_target_in_two_dimensions_is_known_for_one(tmp_path: Path) -> None:
    made = generic(tmp_path, "oblong", target=tuple(np.meshgrid(FALLING, EAST, indexing="ij")))
    assert grid_of(made)["lat"].dims == ("lat",)


def test_a_curvilinear_target_need_not_be_square(tmp_path: Path) -> None:
    made = generic(tmp_path, "oblong", target=im.curved(48, 64))
    assert grid_of(made)["lat"].shape == (48, 64)
    assert made.card.patch == 64


@pytest.mark.parametrize(
    "lat",
    [
        np.arange(43, 48, 0.1).astype(np.float32),
        np.linspace(47, 43, 17),
        np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(96)[0])),
    ],
    ids=["float32", "falling", "gaussian"],
)
def test_any_latitudes_of_the_coarse_grid_will_do(lat: np.ndarray, tmp_path: Path) -> None:
    made = generic(tmp_path, coarse=(lat, im.coarse_axes()[1]))
    assert made.card.inputs[0].regridding == "latlon_bilinear"


def test_longitudes_of_the_coarse_grid_may_be_a_turn_away(tmp_path: Path) -> None:
    lat, lon = im.coarse_axes()
    assert generic(tmp_path, coarse=(lat, lon + 360)).card.target.coarse_spacing_km > 20


def test_a_coarse_grid_around_the_earth_has_no_edge(tmp_path: Path) -> None:
    lat, lon = im.curved(48, 48)
    around = (im.coarse_axes()[0], np.arange(0, 360, 0.25))
    made = generic(tmp_path, target=(lat, lon - 8), coarse=around)
    assert made.card.target.region.endswith("-1.84 to 1.76 °E")


def test_a_curvilinear_coarse_grid_is_interpolated_on_the_sphere(tmp_path: Path) -> None:
    lat, lon = np.meshgrid(*im.coarse_axes(), indexing="ij")
    made = generic(tmp_path, coarse=(lat + 0.01 * (lon - 8), lon))
    assert {c.regridding for c in made.card.inputs} == {"bilinear"}


def test_a_target_beyond_its_coarse_grid_is_refused_unless_the_package_lets_it(
    tmp_path: Path,
) -> None:
    lat, lon = im.coarse_axes()
    small = (lat[lat < 46.2], lon)
    assert "latitudes from 43.8" in refusal(tmp_path / "a", coarse=small)
    made = generic(tmp_path / "b", coarse=small, grid_bounds_margin=0.2)
    assert "must cover the target" in made.card.description


def test_the_step_of_the_coarse_grid_is_enough(tmp_path: Path) -> None:
    grid = grid_of(generic(tmp_path, latlon_res=0.25))
    lat, lon = (grid[f"coarse_{name}"].values for name in ("lat", "lon"))
    np.testing.assert_allclose(np.diff(lat), 0.25)
    assert (lat[0], lat[-1]) == (43.5, 46.75)  # a cell more than around 43.85 to 46.38
    assert lon[0] <= grid["lon"].values.min() - 0.25


# --- invariants


def test_invariants_that_are_not_named_are_all_of_the_file(package: Path) -> None:
    edited(package, "metadata.json", lambda data: data.pop("invariant_variables"))
    made = earth2studio.translate(package, "own")
    assert [extra.name for extra in made.card.extras] == list(im.INVARIANTS)


def test_invariants_of_another_shape_are_refused(package: Path) -> None:
    im.write_invariants(package / "invariants.nc", im.INVARIANTS, *im.curved(48, 40))
    with pytest.raises(ModelError, match=r"'lsm' has the shape \(48, 40\)"):
        earth2studio.translate(package, "own")


def test_missing_values_of_invariants_are_refused(package: Path) -> None:
    with xr.open_dataset(package / "invariants.nc") as ds:
        spoilt = ds.load()
    spoilt["orography"][3, 4] = np.nan
    spoilt.to_netcdf(package / "invariants.nc")
    with pytest.raises(ModelError, match="'orography' are no numbers"):
        earth2studio.translate(package, "own")


def test_invariants_that_are_not_there_are_refused(package: Path) -> None:
    (package / "invariants.nc").unlink()
    with pytest.raises(ModelError, match=r"there is no invariants\.nc"):
        earth2studio.translate(package, "own")


def test_a_grid_file_that_is_none_is_refused(package: Path) -> None:
    (package / "output_latlon_grid.nc").write_bytes(b"<html>404</html>")
    with pytest.raises(ModelError, match=r"cannot read output_latlon_grid\.nc"):
        earth2studio.translate(package, "own")


def test_a_target_that_cannot_be_read_is_one_reason(package: Path) -> None:
    (package / "output_latlon_grid.nc").write_bytes(b"<html>404</html>")
    with pytest.raises(ModelError) as info:
        earth2studio.translate(package, "own")
    told = f"cannot read the Earth2Studio package {package}: cannot read output_latlon_grid.nc: "
    assert str(info.value) == f"{told}it is no netCDF file, or damaged"


def test_a_target_that_is_missing_is_one_reason(package: Path) -> None:
    (package / "output_latlon_grid.nc").unlink()
    with pytest.raises(ModelError, match=r"package: there is no output_latlon_grid\.nc$"):
        earth2studio.translate(package, "own")


# --- networks that do not fit


def test_a_network_told_lead_times_says_which_line_is_missing(tmp_path: Path) -> None:
    own = {"lead_hours": None, "patch_shape": None, "patch_overlap": None, "patch_boundary": None}
    package = imitation_gefs.write_gefs(tmp_path / "package", **own)
    with pytest.raises(ModelError) as info:
        earth2studio.translate(package, "own")
    assert '"lead_hours": [0, 3, 6]' in str(info.value)
    assert '"patch_shape": [448, 448]' in str(info.value)


def test_channels_that_fit_nothing_are_not_taken_for_patches(tmp_path: Path) -> None:
    assert "patch_shape" not in refusal(tmp_path, hr_mean_conditioning=False)


def test_a_sigma_data_for_every_channel_is_refused(package: Path) -> None:
    problems: list[str] = []
    found = checkpoint_of(package / "diffusion.mdlus", problems)
    assert found is not None
    wrong = network_problems(
        replace(found, sigma_data=(0.5, 0.4, 0.3)),
        file="diffusion.mdlus",
        stage="residual",
        condition={"inputs": found.condition_channels},
        outputs=3,
        shape=(48, 48),
    )
    assert wrong == [
        "the network in diffusion.mdlus has a sigma_data for every channel; one is needed"
    ]
