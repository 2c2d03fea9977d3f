"""NVIDIA's zip of Taiwan: what is read of it, and which zips are not trusted."""

import json
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import imitations as im
from xresdiff.errors import ModelError
from xresdiff.models.grid_file import read_grid
from xresdiff.models.published import taiwan, tree

NAME = "corrdiff_inference_package.zip"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return im.write_taiwan(tmp_path / NAME)


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Change the members of a zip in place."""
    members = members_of(path)
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as info:
        taiwan.translate(path, "taiwan")
    return str(info.value)


def test_channels_are_those_of_the_wrapper_in_its_order(package: Path) -> None:
    card = taiwan.translate(package, "taiwan").card
    assert [c.label.replace(" at ", "").replace(" hPa", "") for c in card.inputs] == list(
        im.TAIWAN_INPUTS
    )
    assert [c.name for c in card.outputs] == ["mrr", "t2m", "u10m", "v10m"]
    assert card.inputs[1].mean == 57000.25
    assert card.inputs[1].units == "m2 s-2"
    assert card.outputs[0].std == 15.0
    assert (card.sampler.name, card.sampler.steps, card.sampler.sigma_max) == ("euler", 8, 80.0)


def test_the_grid_has_lost_its_outermost_cells(package: Path) -> None:
    made = taiwan.translate(package, "taiwan")
    lat, lon = im.lambert()
    grid = read_grid(made.grid, made.card)
    np.testing.assert_array_equal(grid["lat"], lat[1:-1, 1:-1])
    np.testing.assert_array_equal(grid["lon"], lon[1:-1, 1:-1])


def test_the_weights_and_the_data_have_licences_of_their_own(package: Path) -> None:
    card = taiwan.translate(package, "taiwan").card
    assert card.licence == "Apache-2.0"
    assert card.data[0].licence == "CC-BY-NC-ND-4.0"


def test_the_means_network_makes_its_sinusoids(package: Path) -> None:
    card = taiwan.translate(package, "taiwan").card
    assert card.mean.network.config["in_channels"] == 12 + 4
    assert card.mean.network.config["positions"] == "sinusoidal"
    assert card.residual.network.config["in_channels"] == 12 + 4 + 4
    assert card.residual.network.config["positions"] == "none"


@pytest.mark.parametrize("levels", [0, 1])
def test_the_unpacked_folder_is_the_same(package: Path, levels: int, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    place = folder if levels else folder / im.TAIWAN_ROOT
    assert taiwan.translate(place, "x").card == taiwan.translate(package, "x").card


def test_the_tree_may_lie_a_folder_deeper(package: Path) -> None:
    before = taiwan.translate(package, "x").card

    def deeper(members: dict[str, bytes]) -> None:
        own = dict(members)
        members.clear()
        members.update({f"v1/{name}": data for name, data in own.items()})

    assert taiwan.translate(rewritten(package, deeper), "x").card == before


def test_the_zip_may_lie_in_the_zip_of_its_release(package: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.write(package, NAME)
    assert (
        taiwan.translate(tmp_path / "release.zip", "x").card == taiwan.translate(package, "x").card
    )


def test_heights_are_told_by_their_size(tmp_path: Path) -> None:
    card = taiwan.translate(im.write_taiwan(tmp_path / NAME, heights=True), "x").card
    assert [(c.name, c.units) for c in card.inputs if c.name in ("z", "gh")] == [("gh", "m")] * 2
    assert card.inputs[1].standard_name == "geopotential_height"


def test_neither_geopotential_nor_height_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(im.CLIMATE, "z500", (57.0, 0.7))
    assert "neither geopotential" in refusal(im.write_taiwan(tmp_path / NAME))


def test_the_samples_are_not_read(package: Path) -> None:
    def spoil(members: dict[str, bytes]) -> None:
        for group in ("era5", "cwb"):
            members[f"{im.TAIWAN_ZARR}/{group}/0.0.0.0"] = b"damaged"
            members[f"{im.TAIWAN_ZARR}/{group}/.zarray"] = b"damaged"

    assert taiwan.translate(rewritten(package, spoil), "x").card.inputs


def test_every_problem_is_in_one_message(package: Path) -> None:
    def spoil(members: dict[str, bytes]) -> None:
        del members[f"{im.TAIWAN_ROOT}/checkpoints/regression.mdlus"]
        del members[f"{im.TAIWAN_ZARR}/cwb_scale/.zarray"]

    text = refusal(rewritten(package, spoil))
    assert "regression.mdlus" in text
    assert "cwb_scale" in text


def test_networks_of_other_channels_are_refused(package: Path) -> None:
    def swap(members: dict[str, bytes]) -> None:
        name = f"{im.TAIWAN_ROOT}/checkpoints/regression.mdlus"
        members[name] = im.checkpoint("square_regression")

    assert "12 inputs + 4 sinusoids" in refusal(rewritten(package, swap))


# --- zips that are not trusted


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil", "C:evil"])
def test_members_outside_are_refused(name: str, package: Path) -> None:
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    assert "does not lie within it" in refusal(package)


def test_links_are_refused(package: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in refusal(package)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_members_are_refused(package: Path) -> None:
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr(f"{im.TAIWAN_ROOT}/checkpoints/diffusion.mdlus", b"another")
    assert "is there 2 times" in refusal(package)


def test_a_bomb_is_not_unpacked(package: Path) -> None:
    def swap(members: dict[str, bytes]) -> None:
        members[f"{im.TAIWAN_ROOT}/checkpoints/diffusion.mdlus"] = bytes(2**24)

    assert "would unpack from" in refusal(rewritten(package, swap))


def test_more_than_a_model_can_be_is_refused(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MOST_BYTES", 2**10)
    assert "would unpack to" in refusal(package)


@pytest.mark.parametrize("data", [b"<html>Not found</html>", b"", b"PK\x03\x04 and no more"])
def test_what_is_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(data)
    assert "damaged or no zip" in refusal(tmp_path / NAME)


def test_half_a_zip_is_refused(package: Path) -> None:
    data = package.read_bytes()
    package.write_bytes(data[: len(data) // 2])
    assert "damaged or no zip" in refusal(package)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("holiday.jpg", b"")
    assert "0 files checkpoints/diffusion.mdlus" in refusal(tmp_path / NAME)


# --- arrays that are not trusted


def with_array(package: Path, chunk: bytes, **changes: object) -> Path:
    """Replace an array of twenty numbers."""
    place = f"{im.TAIWAN_ZARR}/era5_center"

    def swap(members: dict[str, bytes]) -> None:
        told = json.loads(members[f"{place}/.zarray"]) | changes
        members[f"{place}/.zarray"] = json.dumps(told).encode()
        members[f"{place}/0"] = chunk

    return rewritten(package, swap)


def test_plain_and_zlib_chunks_are_read(package: Path) -> None:
    before = taiwan.translate(package, "x").card
    data = im.taiwan_scales()["era5_center"].tobytes()
    assert taiwan.translate(with_array(package, data, compressor=None), "x").card == before
    packed = zlib.compress(data)
    zlib_package = with_array(package, packed, compressor={"id": "zlib", "level": 1})
    assert taiwan.translate(zlib_package, "x").card == before


@pytest.mark.parametrize(
    ("chunk", "changes", "match"),
    [
        (b"\x80\x04N.", {"dtype": "|O", "filters": [{"id": "pickle"}]}, "no plain array"),
        (bytes(80), {"filters": [{"id": "pickle"}], "compressor": None}, "no plain array"),
        (bytes(80), {"compressor": {"id": "mystery"}}, "'mystery'"),
        (zlib.compress(bytes(2**20)), {"compressor": {"id": "zlib"}}, "has not 80 bytes"),
        (b"\x02\x01!\x04" + b"\xff" * 12, {"compressor": {"id": "blosc"}}, "does not unpack to 80"),
        (bytes(80), {"shape": [2**40], "chunks": [2**40]}, "more than is read"),
        (bytes(80), {"chunks": [0]}, "its chunks"),
        (bytes(79), {"compressor": None}, "has not 80 bytes"),
    ],
)
def test_arrays_of_a_stranger_are_refused(
    chunk: bytes, changes: dict[str, object], match: str, package: Path
) -> None:
    assert match in refusal(with_array(package, chunk, **changes))
