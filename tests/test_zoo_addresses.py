"""Models by address: repositories of Hugging Face, versions at NGC, DOIs, paths."""

import hashlib
import json
import logging
import re

import pytest

from tests.servers import fails, serving_models, zipped
from xresdiff.errors import ModelError
from xresdiff.models import zoo
from xresdiff.models.zoo import records
from xresdiff.models.zoo.addresses import parse
from xresdiff.models.zoo.entries import Entry, at_address
from xresdiff.models.zoo.fetch import fetch
from xresdiff.models.zoo.known import KNOWN

COMMIT = "f756fad5b85efec64df4868aead14dda698b8aea"
REPOSITORY = f"hf://me/alps@{COMMIT}"
TREE = f"/api/models/me/alps/tree/{COMMIT}"
FILES = {
    "mean.mdlus": zipped(b"mean"),
    "grids/grid.nc": b"CDF grid",
    "metadata.json": b"{}",
    ".gitattributes": b"*",
}
LARGE = ("mean.mdlus", "grids/grid.nc")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that stands in for Hugging Face and for NGC."""
    with serving_models(tmp_path / "cache", monkeypatch) as server:
        monkeypatch.setenv("XRESDIFF_HF_ENDPOINT", server.url)
        monkeypatch.setenv("NGC_CLI_SEARCH_SERVICE_URL", f"{server.url}/")
        publish(server, COMMIT)
        yield server


def publish(server, revision, files=FILES):
    """Serve a repository as Hugging Face does: a listing, and every file."""
    server.files[f"/api/models/me/alps/tree/{revision}"] = json.dumps(
        [{"type": "directory", "path": "grids"}, *map(item, files.items())]
    ).encode()
    for name, data in files.items():
        server.files[f"/me/alps/resolve/{revision}/{name}"] = data


def item(file):
    name, data = file
    lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return {"type": "file", "path": name, "size": len(data)} | (
        {"lfs": lfs} if name in LARGE else {}
    )


def contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def known(entry):
    return {name: kept.known for name, kept in records.read(entry).files.items()}


def test_a_repository_is_fetched_whole_and_once(server):
    folder = zoo.locate_address(REPOSITORY)
    wanted = {name: data for name, data in FILES.items() if not name.startswith(".")}
    assert contents(folder) == wanted
    assert server.asked[0] == f"{TREE}?recursive=true"
    asked = len(server.asked)
    assert zoo.locate_address(REPOSITORY) == zoo.find_address(REPOSITORY) == folder
    assert len(server.asked) == asked


def test_hashes_are_those_of_the_listing_where_it_has_them(server, caplog):
    with caplog.at_level(logging.WARNING, "xresdiff"):
        zoo.locate_address(REPOSITORY)
    told = f"the listing of {server.url}"
    assert known(at_address(REPOSITORY)) == {
        "mean.mdlus": told,
        "grids/grid.nc": told,
        "metadata.json": "its first download",
    }
    assert "nobody tells the sha256 of metadata.json of the model 'alps'" in caplog.text
    assert "pinned to a revision" in caplog.text


def test_a_file_that_the_listing_does_not_promise(server):
    server.files[f"/me/alps/resolve/{COMMIT}/mean.mdlus"] = zipped(b"evil")
    with pytest.raises(ModelError, match=hashlib.sha256(FILES["mean.mdlus"]).hexdigest()):
        zoo.locate_address(REPOSITORY)
    assert not at_address(REPOSITORY).target.exists()


def test_what_was_whole_is_not_fetched_again(server):
    mean = f"/me/alps/resolve/{COMMIT}/mean.mdlus"
    server.spoiled[f"/me/alps/resolve/{COMMIT}/metadata.json"] = [fails(404)]
    with pytest.raises(ModelError, match=r"metadata\.json is not there"):
        zoo.locate_address(REPOSITORY)
    folder = zoo.locate_address(REPOSITORY)
    assert server.asked.count(mean) == 1
    (folder / "metadata.json").write_bytes(b"[]")
    assert zoo.locate_address(REPOSITORY) == folder
    assert contents(folder)["metadata.json"] == b"{}"
    assert server.asked.count(mean) == 1


def test_a_missing_file_of_a_folder_is_noticed(server):
    (zoo.locate_address(REPOSITORY) / "metadata.json").unlink()
    with pytest.raises(ModelError, match=r"metadata\.json is missing"):
        zoo.find_address(REPOSITORY)


def test_a_folder_copied_by_hand_is_completed(server):
    target = at_address(REPOSITORY).target
    target.mkdir(parents=True)
    (target / "mean.mdlus").write_bytes(FILES["mean.mdlus"])
    entry = Entry("alps", REPOSITORY, files=("mean.mdlus", "metadata.json"))
    server.spoiled[TREE] = [fails(404)]
    server.spoiled[f"/me/alps/resolve/{COMMIT}/metadata.json"] = [fails(404)]
    with pytest.raises(ModelError, match=r"metadata\.json is not there"):
        fetch(entry)
    assert set(contents(target)) == {"mean.mdlus"}  # as it was
    assert set(contents(fetch(entry))) == {"mean.mdlus", "metadata.json"}
    assert f"/me/alps/resolve/{COMMIT}/mean.mdlus" not in server.asked


def test_listings_come_in_pages(server):
    page, rest = json.loads(server.files[TREE]), f"{TREE}/2"
    server.files[rest] = json.dumps(page[2:]).encode()
    first = json.dumps(page[:2]).encode()
    link = {"Link": f'<{server.url}{rest}>; rel="next"'}
    server.spoiled[TREE] = [lambda handler, data: handler.send(first, headers=link)]
    assert len(contents(zoo.locate_address(REPOSITORY))) == 3


def test_one_file_of_a_repository(server):
    path = zoo.locate_address(f"{REPOSITORY}/grids/grid.nc")
    assert path.read_bytes() == FILES["grids/grid.nc"]
    assert path.suffix == ".nc"


def test_a_folder_of_a_repository(server):
    assert contents(zoo.locate_address(f"{REPOSITORY}/grids")) == {"grid.nc": b"CDF grid"}


def test_the_files_of_a_known_model_do_without_a_listing(server):
    server.files.pop(TREE)
    entry = Entry("alps", REPOSITORY, files=("mean.mdlus", "metadata.json"))
    assert set(contents(fetch(entry))) == set(entry.files)
    assert set(known(entry).values()) == {"its first download"}


def test_without_a_listing_a_repository_is_unknown(server):
    server.files.pop(TREE)
    with pytest.raises(ModelError, match="cannot learn which files") as caught:
        zoo.locate_address(REPOSITORY)
    assert f"copy all files of {server.url}/me/alps/tree/{COMMIT} into" in str(caught.value)


def test_files_that_a_repository_lacks(server):
    entry = Entry("alps", REPOSITORY, files=("mean.mdlus", "residual.mdlus"))
    with pytest.raises(ModelError, match=r"has no residual\.mdlus; it has mean\.mdlus, grids"):
        fetch(entry)


@pytest.mark.parametrize("name", ["../evil.nc", "/evil.nc", "a/../../evil.nc", "C:\\evil.nc"])
def test_files_that_reach_out_of_a_repository(server, name):
    publish(server, COMMIT, {name: b"evil"})
    with pytest.raises(ModelError, match="reaches out of it"):
        zoo.locate_address(REPOSITORY)


def test_a_branch_may_change(server):
    publish(server, "main")
    with pytest.warns(UserWarning, match=r"'main' may change.*name the commit"):
        zoo.locate_address("hf://me/alps@main")


def test_a_repository_behind_an_agreement(server):
    server.spoiled[TREE] = [fails(401)]
    with pytest.raises(ModelError, match="wants a login or an agreement"):
        zoo.locate_address(REPOSITORY)


def test_a_version_at_ngc_is_one_zip(server):
    server.files["/v2/models/nvidia/modulus/toy/versions/1/zip"] = zipped(b"toy")
    path = zoo.locate_address("ngc://models/nvidia/modulus/toy@1")
    assert (path.read_bytes(), path.suffix) == (zipped(b"toy"), ".zip")


def test_corrdiff_taiwan_is_held_to_its_hash(server):
    server.files["/v2/models/nvidia/modulus/corrdiff_inference_package/versions/1/zip"] = b"PK no"
    with pytest.raises(ModelError, match="it has 5 bytes, 717116287 are needed"):
        zoo.locate("corrdiff-taiwan")


def test_a_doi_is_asked_for_its_file(server, monkeypatch):
    from pooch import downloaders

    record = {"id": 123, "files": [{"key": "alps.zip", "links": {"self": f"{server.url}/a.zip"}}]}
    server.files |= {"/records/123": json.dumps(record).encode(), "/a.zip": zipped(b"alps")}
    monkeypatch.setattr(downloaders.ZenodoRepository, "base_api_url", f"{server.url}/records")
    monkeypatch.setattr(
        downloaders, "doi_to_url", lambda doi, **_: f"https://zenodo.org/records/{doi[-3:]}"
    )
    path = zoo.locate_address("doi:10.5281/zenodo.123/alps.zip")
    assert path.read_bytes() == zipped(b"alps")
    with pytest.raises(ModelError, match=r"cannot find doi:.*/b"):
        zoo.locate_address("doi:10.5281/zenodo.123/b.zip")


def test_paths_are_used_where_they_are(server, tmp_path):
    path = tmp_path / "my alps.resdiff"
    path.write_bytes(b"PK alps")
    assert zoo.locate_address(path.as_uri()) == zoo.find_address(path.as_uri()) == path
    path.unlink()
    with pytest.raises(ModelError, match="is not at"):
        zoo.locate_address(path.as_uri())


def test_the_address_of_a_known_model_means_that_model(server):
    cosmo = next(entry for entry in KNOWN if entry.name == "corrdiff-cosmo-era5")
    with pytest.raises(ModelError, match="'corrdiff-cosmo-era5' cannot be run by xresdiff"):
        zoo.locate_address(cosmo.url)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3://bucket/alps.zip", "It lacks a part, or is of no known kind"),
        ("hf://me/alps", "It lacks @ and the revision"),
        ("hf://alps@main", "It lacks a part"),
        (f"hf://me/alps@{COMMIT}/../evil.nc", "It lacks a part"),
        ("ngc://me/alps@1", "It lacks a part"),
        ("doi:10.5281/zenodo.123", "It lacks / and the name of the file"),
        ("https:///alps.zip", "It lacks a part"),
        ("https://[bad/alps.zip", "Invalid IPv6 URL"),
        ("https://example.org:99999/alps.zip", "Port out of range"),
        ("https://example.org/a%00b", "It holds control characters"),
        ("file://server/alps.zip", "three slashes, file:///server/alps.zip"),
    ],
)
def test_addresses_that_cannot_be(text, problem):
    assert zoo.is_address(text)
    with pytest.raises(ModelError, match=re.escape(problem)) as caught:
        zoo.locate_address(text)
    assert "is no address of a model. " in str(caught.value)
    assert "Addresses are hf://owner" in str(caught.value)


@pytest.mark.parametrize("text", ["alps", "alps.resdiff", "./a/b", "C:\\alps", "/a:b"])
def test_names_and_paths_are_no_addresses(text):
    assert not zoo.is_address(text)


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        (REPOSITORY, True),
        ("hf://me/alps@main", False),
        ("ngc://models/me/team/alps@1", True),
        ("doi:10.5281/zenodo.123/alps.zip", True),
        ("https://example.org/alps.zip", False),
    ],
)
def test_what_is_pinned(text, pinned):
    assert parse(text).pinned == pinned
