"""Packages of others are recognised, translated once, and found again."""

import json
import multiprocessing
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import imitation_cmip6, imitation_gefs
from tests import imitations as im
from xresdiff.errors import ModelError
from xresdiff.models import published
from xresdiff.models.opening import open_model
from xresdiff.models.published import earth2studio, translating
from xresdiff.models.zoo import register, registry


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path):
    return im.write_generic(tmp_path / "bay", "square")


@pytest.fixture
def registered(monkeypatch):
    """A registry that forgets."""
    monkeypatch.setattr(registry, "_registered", {})


def zipped(folder, to, prefix=""):
    """Write a zip of a folder, its files under a prefix."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
    return to


# --- once, whoever asks


def _sha256_behind(barrier, package, answers):
    import xresdiff.models.physicsnemo  # noqa: F401 (the barrier is to open on the translation)

    barrier.wait()
    try:
        answers.put(open_model(package).sha256)
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")


@pytest.mark.slow
def test_processes_that_ask_at_once_get_one_translation(package):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=_sha256_behind, args=(barrier, package, answers)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert set(found) == {open_model(package).sha256}


def test_threads_that_ask_at_once_translate_once(package, monkeypatch):
    asked = []

    def translate(*args):
        asked.append(args)
        return made(*args)

    made = earth2studio.translate
    monkeypatch.setattr(earth2studio, "translate", translate)
    with ThreadPoolExecutor(6) as pool:
        models = list(pool.map(open_model, [package] * 6))
    assert len({model.sha256 for model in models}) == len(asked) == 1


def test_a_good_translation_is_not_forgotten(package):
    folder = open_model(package).path
    published.forget(package, "bay")
    assert (folder / "card.json").is_file()


def test_a_translation_without_its_card_is_made_again(package):
    model = open_model(package)
    (model.path / "card.json").unlink()
    assert open_model(package).sha256 == model.sha256


def test_files_beside_a_package_are_not_part_of_it(package):
    path = open_model(package).path
    (package / ".DS_Store").write_text("x")
    (package / ".git").mkdir()
    (package / ".git" / "config").write_text("x")
    assert open_model(package).path == path


def test_files_beside_the_package_of_taiwan_are_not_part_of_it(tmp_path):
    with zipfile.ZipFile(im.write_taiwan(tmp_path / "taiwan.zip")) as archive:
        archive.extractall(tmp_path / "taiwan")
    before = translating._fingerprint(tmp_path / "taiwan")
    (tmp_path / "taiwan" / ".DS_Store").write_text("x")
    assert translating._fingerprint(tmp_path / "taiwan") == before
    scale = tmp_path / "taiwan" / im.TAIWAN_ZARR / "cwb_scale" / "0"
    scale.write_bytes(scale.read_bytes()[::-1])
    assert translating._fingerprint(tmp_path / "taiwan") != before


# --- which is the one of a name


def test_the_latest_of_a_name_is_that_of_its_source(package, tmp_path, registered):
    other = im.write_generic(tmp_path / "other", "oblong", im.curved(48, 64))
    register("own", package)
    first = open_model("own")
    with pytest.warns(UserWarning, match="from now on"):
        register("own", other)
    assert published.latest("own") is None
    second = open_model("own")
    assert published.latest("own") == second.path
    assert published.latest("own", package) == first.path


def test_the_latest_of_a_package_that_changed_is_not_told(package):
    open_model(package)
    assert published.latest("bay", package) is not None
    stats = json.loads((package / "stats.json").read_text())
    stats["output"]["t2m"]["mean"] += 100.0
    (package / "stats.json").write_text(json.dumps(stats))
    assert published.latest("bay", package) is None


def test_terms_come_from_the_list_where_the_package_tells_none(package, registered):
    register("own", package, licence="CC0-1.0", citation="Nobody (2020)")
    card = open_model("own").card
    assert card.licence == "CC0-1.0"
    assert card.references[-1] == "Nobody (2020)"
    (package / "LICENSE").write_text("mine")
    assert open_model("own").card.licence == "that of LICENSE in the package"


# --- what is one


@pytest.mark.parametrize("prefix", ["", "bay/"])
@pytest.mark.parametrize("write", [im.write_generic, imitation_cmip6.write_cmip6])
def test_a_zip_is_what_its_folder_is(tmp_path, write, prefix):
    own = ("square",) if write is im.write_generic else ()
    folder = write(tmp_path / "bay", *own)
    from_zip = open_model(zipped(folder, tmp_path / "bay.zip", prefix))
    assert from_zip.sha256 == open_model(folder).sha256


def test_a_zip_with_patches_is_what_its_folder_is(tmp_path):
    folder = imitation_gefs.write_gefs(tmp_path / "bay")
    assert open_model(zipped(folder, tmp_path / "bay.zip")).card.lead_hours == (0.0, 3.0, 6.0)


def test_problems_of_a_zip_name_the_zip(package, tmp_path):
    (package / "stats.json").write_text("{")
    archive = zipped(package, tmp_path / "bay.zip")
    with pytest.raises(ModelError, match=r"stats\.json: not valid JSON") as info:
        open_model(archive)
    assert str(archive) in str(info.value)
    assert "xresdiff-" not in str(info.value)


def test_a_zip_that_leads_out_of_itself_is_refused(package, tmp_path):
    archive = zipped(package, tmp_path / "bay.zip")
    with zipfile.ZipFile(archive, "a") as changed:
        changed.writestr("../outside.txt", b"x")
    with pytest.raises(ModelError, match="does not lie within it"):
        open_model(archive)


@pytest.mark.parametrize("as_zip", [False, True])
def test_networks_without_metadata_are_told_so(package, tmp_path, as_zip):
    (package / "metadata.json").unlink()
    path = zipped(package, tmp_path / "bay.zip") if as_zip else package
    with pytest.raises(ModelError, match=r"metadata\.json is missing"):
        open_model(path)


def test_a_folder_that_is_called_like_a_network_is_a_package(package, tmp_path):
    again = Path(shutil.copytree(package, tmp_path / "bay.mdlus"))
    assert open_model(again).card == open_model(package).card


def test_a_zip_of_the_checkpoints_of_taiwan_alone_is_not_taken_for_another(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for stage in ("regression", "diffusion"):
        (folder / f"{stage}.mdlus").write_bytes(im.checkpoint(f"taiwan_{stage}"))
    archive = zipped(folder, tmp_path / "some.zip", "checkpoints/")
    with pytest.raises(ModelError, match="CorrDiff package of Taiwan"):
        open_model(archive)


def test_a_grid_of_equal_rows_is_read_from_a_zip(tmp_path):
    target = np.meshgrid(np.linspace(46, 44, 480), np.linspace(7, 10, 640), indexing="ij")
    folder = im.write_generic(tmp_path / "bay", "oblong", im.curved(48, 64))
    (folder / "output_latlon_grid.nc").unlink()
    im.write_axes(folder / "output_latlon_grid.nc", *target)
    with pytest.raises(ModelError, match="knows its place on a grid of 48 x 64"):
        open_model(zipped(folder, tmp_path / "bay.zip"))
