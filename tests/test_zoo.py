"""Models by name: those inside, those published, those of yours, and the table of them."""

import dataclasses
import logging
import os
import re
import subprocess
import sys

import pytest

from tests.toys import write_toy_package
from xresdiff.errors import ModelError
from xresdiff.models import zoo
from xresdiff.models.opening import open_key, open_model
from xresdiff.models.zoo import Entry, ModelTable, embedded, models, registry
from xresdiff.models.zoo.known import KNOWN

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(autouse=True)
def nothing_registered(tmp_path, monkeypatch):
    """An empty cache, no registry, and no network."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_warned", set())
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    monkeypatch.delenv("XRESDIFF_REGISTRY", raising=False)


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A toy model in the place of those inside the package."""
    monkeypatch.setattr(embedded.resources, "files", lambda package: tmp_path)
    return write_toy_package(tmp_path / "embedded" / "toy-4x", name="toy-4x")


@pytest.fixture
def toy_file(tmp_path):
    path = tmp_path / "mine" / "toy.resdiff"
    write_toy_package(path)
    return path


def listed(tmp_path, text):
    """Write the registry file of the cache."""
    path = tmp_path / "cache" / "registry.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_embedded_models_open_by_name(inside):
    model = open_model("toy-4x")
    assert model.key == f"toy-4x@{inside.sha256}"
    assert model.path == inside.path == zoo.find("toy-4x")
    assert open_key(model.key) == model


def test_a_model_in_the_working_folder_comes_first(inside, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy-4x").mkdir()
    assert open_model("toy-4x").path == inside.path  # a folder of that name, but not a model
    mine = write_toy_package(tmp_path / "toy-4x", title="Mine")
    assert open_model("toy-4x") == mine
    assert open_key(f"toy-4x@{inside.sha256}").path == inside.path


def test_unknown_names_list_the_known(inside):
    with pytest.raises(ModelError) as caught:
        open_model("toy4x")
    assert "no model is called 'toy4x', and no file or folder either" in str(caught.value)
    assert "did you mean 'toy-4x'? Known models: toy-4x, corrdiff-taiwan" in str(caught.value)
    assert "open_model('path/to/model.resdiff')" in str(caught.value)
    assert "xresdiff.register" in str(caught.value)


def test_names_are_those_that_can_be_opened():
    assert zoo.names() == ["rain-16x", "corrdiff-taiwan", "corrdiff-cmip6-era5"]
    assert zoo.at_hand("rain-16x")
    assert not zoo.at_hand("corrdiff-taiwan")
    assert not zoo.at_hand("atlantis")


def test_models_that_cannot_be_run_are_refused_with_the_reason():
    unable = [entry for entry in KNOWN if entry.status == "not supported"]
    assert len(unable) == 5
    for entry in unable:
        for look in (zoo.locate, zoo.find):
            with pytest.raises(ModelError, match="cannot be run by xresdiff") as caught:
                look(entry.name)
            assert entry.reason in str(caught.value)


def test_models_behind_a_login_are_left_to_you(monkeypatch):
    monkeypatch.delenv("XRESDIFF_OFFLINE")
    with pytest.raises(ModelError, match="needs a login at NVIDIA") as caught:
        zoo.locate("corrdiff-gefs-hrrr")
    assert "open_model('path/to/corrdiff-gefs-hrrr')" in str(caught.value)
    assert "https://catalog.ngc.nvidia.com/" in str(caught.value)


def test_published_models_are_pinned():
    assert all(entry.address.pinned for entry in KNOWN if entry.status != "by hand")
    assert [entry.revision for entry in KNOWN if entry.name == "corrdiff-taiwan"] == ["1"]


def test_hashes_name_who_told_them():
    told = [entry for entry in models() if entry.sha256]
    assert all(entry.hash_source for entry in told)
    assert "NVIDIA tells none" in next(e.hash_source for e in told if e.name == "corrdiff-taiwan")


def test_a_registered_path_opens_by_name(toy_file):
    zoo.register("alps", toy_file)
    assert zoo.locate("alps") == zoo.find("alps") == toy_file
    assert zoo.at_hand("alps")


def test_a_registered_path_is_absolute(toy_file, tmp_path, monkeypatch):
    monkeypatch.chdir(toy_file.parent)
    zoo.register("alps", toy_file.name)
    monkeypatch.chdir(tmp_path)
    assert zoo.locate("alps") == toy_file


def test_a_registered_sha256_is_checked(toy_file):
    zoo.register("alps", toy_file, sha256=SHA256)
    with pytest.raises(ModelError, match=f"it should be {SHA256}"):
        zoo.find("alps")


def test_registering_again_replaces_ones_own(toy_file):
    zoo.register("alps", "https://me:word@example.org/alps.zip")
    with pytest.warns(UserWarning, match=r"'alps' was https://\*\*\*@example.org/alps.zip"):
        zoo.register("alps", toy_file)
    assert zoo.locate("alps") == toy_file


@pytest.mark.parametrize("name", ["rain-16x", "corrdiff-taiwan", "cbottle-sr", "listed"])
def test_known_names_are_taken(tmp_path, name):
    listed(tmp_path, '[listed]\nurl = "https://example.org/a.zip"')
    with pytest.raises(ModelError, match=f"the name '{name}' is taken"):
        zoo.register(name, "https://example.org/alps.zip")


def test_all_that_is_wrong_with_a_registration_is_told():
    with pytest.raises(ModelError) as caught:
        zoo.register("../alps", "s3://bucket/alps", sha256="abc", size_bytes=-1, title="\x1b[2J")
    for field in ("name:", "url:", "sha256:", "size_bytes:", "title:"):
        assert field in str(caught.value)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"name": 5}, "name: 5 must be text"),
        ({"url": 5}, "url: 5 must be text"),
        ({"url": ""}, "the url is empty"),
        ({"url": "~no-such-user/alps"}, "cannot be found"),
        ({"size_bytes": "5"}, "size_bytes: '5' must be a whole number"),
        ({"inputs": "tp"}, "inputs: 'tp' must be a list"),
        ({"licence": 5}, "licence: 5 must be text"),
        ({"name": "a" * 101}, "at most 100"),
    ],
)
def test_registrations_of_the_wrong_type(told, problem):
    with pytest.raises(ModelError, match=re.escape(problem)):
        zoo.register(**{"name": "alps", "url": "https://example.org/a.zip", **told})


def test_the_home_folder_is_found_in_paths(tmp_path, monkeypatch, toy_file):
    monkeypatch.setenv("HOME", str(tmp_path))
    zoo.register("alps", "~/mine/toy.resdiff")
    assert zoo.locate("alps") == toy_file


def test_a_folder_has_no_sha256(tmp_path):
    zoo.register("alps", tmp_path, sha256=SHA256)
    with pytest.raises(ModelError, match="is a folder, of which there is no sha256"):
        zoo.locate("alps")


def test_a_repository_has_no_sha256():
    with pytest.raises(ModelError, match="name one file of it"):
        zoo.register("alps", "hf://me/alps@main", sha256=SHA256)


def test_the_registry_file_of_the_cache(tmp_path, toy_file):
    listed(
        tmp_path,
        f"""
        [alps]
        url = "https://example.org/alps.resdiff"
        sha256 = "{SHA256}"
        licence = "CC-BY-4.0"
        outputs = ["t2m", "tp"]

        [mine]
        url = "../mine/toy.resdiff"
        """,
    )
    alps = models()[-2]
    assert (alps.name, alps.sha256, alps.hash_source) == ("alps", SHA256, "your registry")
    assert (alps.licence, alps.outputs) == ("CC-BY-4.0", ("t2m", "tp"))
    assert os.path.samefile(zoo.locate("mine"), toy_file)


def test_the_registry_file_that_is_named(tmp_path, monkeypatch, toy_file):
    path = tmp_path / "ours.toml"
    monkeypatch.setenv("XRESDIFF_REGISTRY", str(path))
    with pytest.raises(ModelError, match=r"cannot read the registry file .*ours\.toml"):
        zoo.names()
    path.write_text(f'[ours]\nurl = "{toy_file}"')
    assert "ours" in zoo.names()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[alps]\nurl = 'https://example.org/a'\nsha265 = 'a'", "sha265: unknown key"),
        ("[alps]\nurl = 'https://example.org/a'\nsize_bytes = '9'", "must be a whole number"),
        ("[alps]\nlicence = 'MIT'", "alps is no table with a url"),
        ("alps = 'https://example.org/a'", "alps is no table with a url"),
        ("[rain-16x]\nurl = 'https://example.org/a'", "'rain-16x' is taken"),
        ("[alps\n", "cannot read the registry file"),
    ],
)
def test_what_is_wrong_in_a_registry_file_is_named(tmp_path, monkeypatch, text, problem):
    path = listed(tmp_path, text)
    monkeypatch.setenv("XRESDIFF_REGISTRY", str(path))
    with pytest.raises(ModelError, match=re.escape(problem)) as caught:
        models()
    assert str(path) in str(caught.value)


def test_a_broken_registry_of_the_cache_stops_no_other_model(tmp_path, toy_file):
    path = listed(tmp_path, f"[mine]\nurl = '{toy_file}'\n[alps]\nlicence = 'MIT'")
    with pytest.warns(UserWarning, match="alps is no table with a url") as warned:
        known = set(models()["name"])
    assert {"mine", "rain-16x", "corrdiff-taiwan"} <= known
    assert zoo.find("mine") == toy_file  # without another warning
    assert [str(path) in str(each.message) for each in warned] == [True]
    with pytest.raises(ModelError, match=r"perhaps your registry has it: .*alps is no table"):
        zoo.find("alps")


def test_what_other_processes_know(tmp_path):
    listed(tmp_path, '[listed]\nurl = "https://example.org/a.zip"')
    zoo.register("alps", "https://example.org/b.zip")
    known = ["rain-16x", "corrdiff-taiwan", "https://example.org/c.zip"]
    mine = ["listed", "alps", "https://example.org/a.zip", "https://example.org/b.zip"]
    assert all(map(zoo.portable, known))
    assert not any(map(zoo.portable, mine))


def test_entries_tell_their_columns(inside):
    size = sum(file.stat().st_size for file in inside.path.iterdir())
    toy = models()[0]
    assert (toy.name, toy.sha256, toy.size_bytes) == ("toy-4x", inside.sha256, size)
    assert (toy.domain, toy.resolution) == ("anywhere", "12-20 km, 4 times finer")
    assert toy.inputs == toy.outputs == ("precip_rate",)


def test_the_table_has_columns_and_rows():
    table = models()
    assert table["name"] == tuple(entry.name for entry in table)
    assert table["size"][1] == "717.1 MB"
    assert table["outputs"][1] == "maximum radar reflectivity, t2m, u10m, v10m"
    assert set(table["state"]) == {"with xresdiff", "to be fetched", "by hand", "not supported"}
    assert table[-1].name == "orbit2-precip"
    assert isinstance(table[1:3], ModelTable)
    with pytest.raises(KeyError, match="there is no column 'colour'; there are name"):
        table["colour"]


def test_the_table_fits_a_terminal():
    text = repr(models())
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for entry in KNOWN:
        assert entry.name in text  # whole, to be copied
        assert " ".join(entry.licence.split()) in words
        assert " ".join(entry.reason.split()) in words


def test_the_table_fits_with_long_words():
    url = "https://example.org/" + "a" * 99
    entry = Entry("a" * 100, url, domain="d" * 90, licence="l" * 200)
    assert max(map(len, repr(ModelTable([entry])).splitlines())) <= 80


def test_taiwan_tells_what_to_order():
    for shown in (repr(models()), models()._repr_html_()):
        words = " ".join(shown.split())
        assert "19.25-28° N, 116-125.75° E, every 0.25°" in words
        assert "at 500 and 850 hPa" in words


def test_the_table_escapes_html():
    table = ModelTable([dataclasses.replace(KNOWN[0], domain="<script>")])
    html = table._repr_html_()
    assert "<td>&lt;script&gt;</td>" in html
    for column in ("inputs", "outputs", "licence", "state", "reason"):
        assert f"<th>{column}</th>" in html


def test_no_network_is_used_to_list(caplog):
    code = (
        "import sys, xresdiff; repr(xresdiff.models()); "
        "print({'pooch', 'requests', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
    with caplog.at_level(logging.DEBUG):
        models()
    assert caplog.text == ""
