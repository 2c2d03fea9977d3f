"""Servers and listings that lie: nothing of theirs is kept, and every refusal says why."""

import contextlib
import gzip
import json
import random

import pytest

from tests.servers import dies, etag, redirects, sends, serving, serving_models, zipped
from xresdiff.errors import ModelError
from xresdiff.models import zoo
from xresdiff.models.zoo import download, records, sources
from xresdiff.models.zoo.entries import Entry, at_address, is_safe
from xresdiff.models.zoo.fetch import fetch

DATA = zipped(random.Random(0).randbytes(600_000))
HALF = 300_000
COMMIT = "f756fad5b85efec64df4868aead14dda698b8aea"
REPOSITORY = f"hf://me/alps@{COMMIT}"
TREE = f"/api/models/me/alps/tree/{COMMIT}"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of a model and of a repository, and an empty cache."""
    with serving_models(tmp_path / "cache", monkeypatch) as server:
        monkeypatch.setenv("XRESDIFF_HF_ENDPOINT", server.url)
        server.files["/toy.zip"] = DATA
        yield server


@pytest.fixture
def entry(server):
    """A model of which nobody tells the sha256 and the size."""
    return Entry("toy", f"{server.url}/toy.zip")


def refused(entry):
    with pytest.raises(ModelError) as caught:
        fetch(entry)
    assert not entry.target.exists()
    assert not records.place(entry.target).exists()
    return str(caught.value)


def lists(server, *items, files=None):
    """Serve a listing, and files by their names."""
    server.files[TREE] = json.dumps(items).encode()
    for name, data in (files or {}).items():
        server.files[f"/me/alps/resolve/{COMMIT}/{name}"] = data


def item(path, size=1, **more):
    return {"type": "file", "path": path, "size": size, **more}


def rest(start=0, total=0, tag=DATA, cut=None, **headers):
    """Answer a request for the rest with some part of the file."""

    def answer(handler, data):
        have = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        size = len(data) + total
        told = f"bytes {have + start}-{size - 1}/{size}"
        sent = data if tag is DATA else bytes(len(data))
        body = sent[have + start :][:cut]
        handler.send(body, 206, {"Content-Range": told, **headers}, whole=tag)

    return answer


def shorter(handler, data):
    """Send a part of a file that is shorter than it was, though its tag is the same."""
    have = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    told = f"bytes {have}-{have + 3999}/{have + 4000}"
    handler.send(data[have:][:4000], 206, {"Content-Range": told}, whole=data)


@pytest.mark.parametrize(
    "wrong",
    [
        rest(start=500),
        rest(cut=4000),
        rest(total=9),
        rest(total=-9),
        shorter,
        rest(tag=b"another file"),
        rest(**{"Content-Type": "Text/HTML"}),
        rest(**{"Content-Encoding": "gzip"}),
    ],
    ids=["start", "cut", "more", "less", "short", "tag", "page", "gzip"],
)
def test_wrong_parts_are_never_appended(server, tmp_path, wrong):
    path = tmp_path / "toy.zip.part"
    server.spoiled["/toy.zip"] = [dies(HALF), wrong]
    with contextlib.suppress(ModelError):  # of what no other try would mend
        download.download(f"{server.url}/toy.zip", path)
        assert path.read_bytes() == DATA
    assert DATA.startswith(path.read_bytes())
    download.download(f"{server.url}/toy.zip", path)
    assert path.read_bytes() == DATA


@pytest.mark.filterwarnings("ignore:nobody tells")
def test_a_part_that_nobody_asked_for(server, entry):
    part = sends(DATA[:HALF], 206, Content_Range=f"bytes 0-{HALF - 1}/{HALF}")
    server.spoiled["/toy.zip"] = [part]
    assert fetch(entry).read_bytes() == DATA
    server.spoiled["/toy.zip"] = [part] * download.TRIES
    assert "another part than was asked for" in refused(Entry("again", entry.url))


@pytest.mark.filterwarnings("ignore:nobody tells")
def test_a_weak_tag_does_not_tell_bytes_apart(server, entry):
    server.tagged = False

    def answer(handler, data):
        handler.send(data[:HALF], headers={"ETag": f"W/{etag(data)}"}, length=len(data))

    server.spoiled["/toy.zip"] = [answer]
    assert fetch(entry).read_bytes() == DATA
    assert server.ranges == [None, None]


@pytest.mark.filterwarnings("ignore:nobody tells")
def test_files_are_asked_for_as_they_are(server, entry):
    asked = []

    def answer(handler, data):
        asked.append(handler.headers["Accept-Encoding"])
        handler.send(data)

    server.spoiled["/toy.zip"] = [answer]
    fetch(entry)
    assert asked == ["identity"]


@pytest.mark.parametrize("kind", ["TEXT/HTML", " application/xhtml+xml"])
def test_pages_are_told_by_their_type(server, entry, kind):
    server.spoiled["/toy.zip"] = [sends(b"Log in", Content_Type=kind)]
    assert "sends a web page" in refused(entry)


def test_files_that_are_packed_on_the_way(server, entry):
    server.spoiled["/toy.zip"] = [sends(gzip.compress(DATA), Content_Encoding="gzip")]
    assert "Content-Encoding: gzip" in refused(entry)


@pytest.mark.parametrize("name", ["toy.zip", "toy.resdiff", "toy"])
@pytest.mark.parametrize("body", [b'{"error": "login"}', DATA[:-30]], ids=["json", "cut"])
@pytest.mark.filterwarnings("ignore:nobody tells")
def test_what_is_no_whole_archive_is_not_recorded(server, name, body):
    entry = Entry("toy", f"{server.url}/{name}")
    server.files[f"/{name}"] = body
    assert "file, or not the whole of one: it begins with" in refused(entry)
    server.files[f"/{name}"] = DATA
    assert fetch(entry).read_bytes() == DATA


@pytest.mark.parametrize("start", ["<html>".encode("utf-16"), b"\n" * 999 + b"<html>"])
def test_web_pages_that_hide(server, start):
    lists(server, item("grid.nc", len(start)), files={"grid.nc": start})
    with pytest.raises(ModelError, match="it is a web page: '<html>"):
        zoo.locate_address(REPOSITORY)


def test_no_more_is_written_than_was_told(server, entry, tmp_path):
    server.files["/toy.zip"] = DATA + bytes(10**6)
    path = tmp_path / "part"
    with pytest.raises(ModelError, match=f"sends more than the {len(DATA)} bytes"):
        download.download(entry.url, path, size_bytes=len(DATA))
    assert path.stat().st_size == 0


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1:9/toy.zip", "/toy.zip"])
def test_redirects_that_lead_nowhere_are_followed_once(server, entry, to):
    server.spoiled["/toy.zip"] = [redirects(to)] * 99
    assert "leads nowhere" in refused(entry)
    assert len(server.asked) <= 31


def test_secrets_of_an_address_are_not_told(server, recwarn, caplog):
    url = f"{server.url.replace('//', '//me:hunter2@')}/toy.zip?token=hunter2"
    server.spoiled["/toy.zip"] = [sends(b"", 404), redirects("/toy.zip?signature=hunter2")]
    server.spoiled["/toy.zip"] += [sends(b"", 403)]
    entry = Entry("toy", url)
    messages = [refused(entry), refused(entry)]
    fetch(entry)
    messages += [str(each.message) for each in recwarn] + [caplog.text]
    assert "token=***" in messages[0]
    assert "hunter2" not in "".join([*messages, records.place(entry.target).read_text()])


def test_a_fetch_that_failed_leaves_nothing_behind(server, entry):
    server.spoiled["/toy.zip"] = [sends(b"no", 404)]
    refused(entry)
    assert list(entry.target.parent.iterdir()) == []


@pytest.mark.filterwarnings("ignore:nobody tells")
def test_empty_files_of_a_repository(server):
    sizes = {"__init__.py": 0, "a.txt": 3}
    files = {name: b"x" * size for name, size in sizes.items()}
    lists(server, *(item(name, size) for name, size in sizes.items()), files=files)
    folder = zoo.locate_address(REPOSITORY)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == sizes


@pytest.mark.parametrize(
    ("name", "kind"), [("v1.0/a.txt", "folder"), ("v1.0", "file"), ("LICENSE", "file")]
)
@pytest.mark.filterwarnings("ignore:nobody tells")
def test_the_listing_tells_files_from_folders(server, name, kind):
    lists(server, item(name, len(DATA)), files={name: DATA})
    address = f"{REPOSITORY}/{name.partition('/')[0]}"
    path = zoo.locate_address(address)
    assert path.is_dir() == (kind == "folder")
    assert zoo.find_address(address) == path
    assert (path / "a.txt" if path.is_dir() else path).read_bytes() == DATA


@pytest.mark.parametrize(
    ("listing", "problem"),
    [
        (b"[" * 100_000, "is no listing"),
        (b'{"error": "x"}', "is no listing"),
        (b"[1]", "must be an object"),
        (b'[{"path": "x"}]', "must be texts"),
        (json.dumps([item(5)]).encode(), "must be texts"),
        (json.dumps([item("a", "12")]).encode(), "whole number of bytes"),
        (json.dumps([item("a", -5)]).encode(), "whole number of bytes"),
        (json.dumps([item("a", lfs=[1])]).encode(), "its lfs must be an object"),
        (json.dumps([item("a", lfs={"oid": "zz"})]).encode(), "64 digits"),
        (b" " * 2000 + b"[]", "sends more than the 1000 bytes"),
        (json.dumps([item("a\0b")]).encode(), "reaches out of it"),
        (json.dumps([item("a.part")]).encode(), "ends like a file of ours"),
        (json.dumps([item("A.nc"), item("a.nc")]).encode(), "more than once"),
        (json.dumps([item("\u00fc"), item("u\u0308")]).encode(), "more than once"),
        (json.dumps([item("a"), item("a", 2)]).encode(), "more than once"),
        (json.dumps([item("a"), item("A/b")]).encode(), "a file and a folder"),
    ],
    ids=range(16),
)
def test_listings_that_cannot_be(server, monkeypatch, listing, problem):
    monkeypatch.setattr(sources, "PAGE_BYTES", 1000 if b"  " in listing else sources.PAGE_BYTES)
    server.files[TREE] = listing
    with pytest.raises(ModelError, match=problem):
        zoo.locate_address(REPOSITORY)
    assert not at_address(REPOSITORY).target.exists()


def test_listings_go_on_at_the_same_server_only(server):
    with serving() as other:
        other.files["/more"] = json.dumps([item("evil.txt")]).encode()
        link = {"Link": f'<{other.url}/more>; rel="next"'}
        server.spoiled[TREE] = [sends(json.dumps([item("a.txt")]).encode(), **link)]
        with pytest.raises(ModelError, match="goes on elsewhere"):
            zoo.locate_address(REPOSITORY)
        assert other.asked == []


def test_listings_end(server):
    link = {"Link": f'<{server.url}{TREE}>; rel="next"'}
    server.spoiled[TREE] = [sends(b"[]", **link)] * (sources.PAGES + 9)
    with pytest.raises(ModelError, match=f"more than {sources.PAGES} pages"):
        zoo.locate_address(REPOSITORY)


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\x1b[2J", "CON", "nul.txt", "a/COM1.nc", "a.", "a ", "a//b", "a" * 201, "\u202eb"],
)
def test_names_that_some_system_cannot_keep(name):
    assert not is_safe(name)


@pytest.mark.parametrize("name", ["console.nc", "a b.nc", "ü/.x.nc", "com10"])
def test_names_that_all_systems_keep(name):
    assert is_safe(name)
