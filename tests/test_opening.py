"""Models by name, address and path, ours and those of others, in this process and in others."""

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import xarray as xr

from tests import imitations as im
from tests.helpers import raise_if_dask_computes
from tests.servers import serving_models
from xresdiff.errors import InputError, ModelError
from xresdiff.models import published
from xresdiff.models.opening import glance, open_key, open_model
from xresdiff.models.zoo import register, registry

NAME = "corrdiff-taiwan"
PATH = "/v2/models/nvidia/modulus/corrdiff_inference_package/versions/1/zip"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An imitation of the published zip."""
    return im.write_taiwan(tmp_path_factory.mktemp("ngc") / "taiwan.zip")


@pytest.fixture
def server(archive, tmp_path, monkeypatch):
    """NVIDIA's server, which has the imitation, and a zoo that knows its sha256."""
    data = archive.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    known = [
        dataclasses.replace(entry, sha256=sha256, size_bytes=len(data))
        if entry.name == NAME
        else entry
        for entry in registry._published()
    ]
    monkeypatch.setattr(registry, "_published", lambda: known)
    with serving_models(tmp_path / "cache", monkeypatch) as server:
        monkeypatch.setenv("NGC_CLI_SEARCH_SERVICE_URL", server.url)
        server.files[PATH] = data
        yield server


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of Earth2Studio's kind, and an empty cache."""
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))
    return im.write_generic(tmp_path / "my bay", "square", invariant_variables=["orography", "lsm"])


def era5():
    lat, lon = np.linspace(19.25, 28, 36), np.linspace(116, 126, 40, endpoint=False)
    names = [f"{v}{level}" for level in (500, 850) for v in "ztuv"]
    return im.era5(["tcwv", *names, "t2m", "u10m", "v10m"], lat, lon)


def test_a_published_model_by_its_name(server):
    with raise_if_dask_computes():
        ens = era5().chunk(time=1).resdiff.downscale(members=16, model=NAME)
    assert server.asked == [PATH]
    assert dict(ens.sizes) == {"member": 16, "time": 1, "y": 448, "x": 448}
    assert list(ens.data_vars) == ["mrr", "t2m", "u10m", "v10m"]
    assert ens.mrr.attrs["units"] == "dBZ"
    assert ens.mrr.attrs["standard_name"] == "equivalent_reflectivity_factor"
    assert ens.attrs["xresdiff_model"] == NAME
    assert (ens.attrs["xresdiff_sampler"], ens.attrs["xresdiff_steps"]) == ("euler", 8)


def test_another_process_opens_it_by_its_key_and_fetches_nothing(server, monkeypatch):
    key = open_model(NAME).key
    assert key.startswith(f"{NAME}@")
    server.asked.clear()
    code = f"from xresdiff.models.opening import open_key; print(open_key({key!r}).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == NAME
    assert server.asked == []


def test_a_package_is_translated_once(package, monkeypatch):
    first = open_model(package)
    assert first.name == "my-bay"
    assert first.source == str(package)
    monkeypatch.setattr("xresdiff.models.published.earth2studio.translate", None)
    assert open_model(str(package)).sha256 == first.sha256
    assert published.kept(first.sha256) == first.path


def test_a_damaged_translation_is_made_again(package):
    model = open_model(package)
    weights = model.path / "mean.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert open_model(package).sha256 == model.sha256
    assert open_model(package).weights("mean")


def test_a_damaged_package_is_refused_with_its_own_reason(package):
    (package / "stats.json").write_text("{")
    with pytest.raises(ModelError, match=r"stats\.json: not valid JSON"):
        open_model(package)


@pytest.mark.parametrize("here", [".", "./"])
def test_the_folder_one_is_in(package, monkeypatch, here):
    monkeypatch.chdir(package)
    assert open_model(here).name == "my-bay"


def test_what_was_fetched_and_is_no_model_can_be_fetched_anew(server):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("readme.txt", "hello")
    server.files["/other.zip"] = data.getvalue()
    address = f"{server.url}/other.zip"
    with (
        pytest.warns(UserWarning, match="sha256"),
        pytest.raises(ModelError, match=r"fetch it anew, type rm -r "),
    ):
        open_model(address)


def test_arguments_are_checked_before_anything_is_fetched(server):
    with pytest.raises(InputError, match="members is 0"):
        era5().resdiff.downscale(members=0, model=NAME)
    assert server.asked == []


def test_a_key_opens_a_package_whose_translation_is_lost(package):
    model = open_model(package)
    shutil.rmtree(model.path)
    assert open_key(model.key).sha256 == model.sha256


def test_a_package_that_changed_is_another_model(package):
    model = open_model(package)
    shutil.rmtree(model.path)
    stats = json.loads((package / "stats.json").read_text())
    stats["output"]["t2m"]["mean"] += 1.0
    (package / "stats.json").write_text(json.dumps(stats))
    with pytest.raises(ModelError, match="not the one that this graph was built with"):
        open_key(model.key)


def test_a_translation_can_be_saved_and_moved(package, tmp_path):
    saved = open_model(package).save(tmp_path / "bay.resdiff")
    shutil.rmtree(package)
    assert open_model(saved).card.target.outline


def test_a_name_of_this_session_is_found_by_others_by_its_path(package, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    register("mine", str(package))
    model = open_model("mine")
    assert model.name == "mine"
    registry._registered.clear()  # as in another process
    assert open_key(model.key).name == "mine"
    shutil.rmtree(model.path)
    with pytest.raises(ModelError, match="no file or folder"):
        open_key(model.key)


def test_a_glance_neither_fetches_nor_translates(server):
    assert glance(NAME) is None
    opened = open_model(NAME)
    assert glance(NAME).sha256 == opened.sha256
    assert glance("rain-16x").name == "rain-16x"


def test_a_network_alone_is_no_model(package):
    with pytest.raises(ModelError, match=r"is one network(.|\n)*read_mdlus"):
        open_model(package / "diffusion.mdlus")


def test_any_other_zip_is_told_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "readme.txt").write_text("hello")
    shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path / "a")
    with pytest.raises(ModelError, match=r"there is no card\.json"):
        open_model(tmp_path / "other.zip")


@pytest.mark.parametrize("name", ["latest", "kept"])
def test_an_empty_cache_has_no_translations(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "none"))
    assert getattr(published, name)("anything") is None


@pytest.mark.slow
def test_the_ensemble_of_a_package_survives_netcdf(server, tmp_path):
    ens = era5().resdiff.downscale(members=1, model=NAME, steps=1)
    ens.to_netcdf(tmp_path / "ens.nc")
    with xr.open_dataset(tmp_path / "ens.nc") as again:
        xr.testing.assert_identical(again.load().drop_attrs(), ens.drop_attrs())
        assert again.mrr.attrs == ens.mrr.attrs
