"""Models by name: those inside, those fetched, and every way in which a download fails."""

import dataclasses
import functools
import hashlib
import http.server
import threading

import pytest

from tests.toys import write_toy_package
from xresdiff.errors import ModelError
from xresdiff.models import zoo
from xresdiff.models.package import open_key, open_model
from xresdiff.models.zoo import Entry, ModelTable, fetch, models
from xresdiff.options import set_options


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    def __init__(self, *args, asked, **options):
        self.asked = asked
        super().__init__(*args, **options)

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


class Server:
    """A server of the files in a folder, on this machine."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []
        handler = functools.partial(Handler, directory=str(folder), asked=self.asked)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server, an empty cache, no proxies, no second tries, no bars."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("XRESDIFF_OFFLINE", raising=False)
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(zoo, "RETRIES", 0)
    (tmp_path / "www").mkdir()
    server = Server(tmp_path / "www")
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with set_options(progress=False):
        yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def entry(server, monkeypatch):
    """A remote model "far-away", served and known to the zoo."""
    path = server.folder / "toy.resdiff"
    write_toy_package(path)
    data = path.read_bytes()
    entry = Entry(
        name="far-away",
        url=f"{server.url}/toy.resdiff",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        licence="Apache-2.0",
        domain="far away",
        variables=("precip_rate",),
    )
    monkeypatch.setattr(zoo, "REMOTE", (entry,))
    return entry


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """A toy model in the place of those inside the package."""
    monkeypatch.setattr(zoo.resources, "files", lambda package: tmp_path)
    return write_toy_package(tmp_path / "embedded" / "toy-4x", name="toy-4x")


def test_a_model_is_fetched_once(server, entry):
    path = fetch(entry)
    assert path == zoo.cached(entry)
    assert path.read_bytes() == (server.folder / "toy.resdiff").read_bytes()
    assert fetch(entry) == path
    assert server.asked == ["/toy.resdiff"]


def test_fetched_models_open_by_name(server, entry, monkeypatch):
    model = open_model("far-away")
    assert model.key == f"far-away@{model.sha256}"
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    assert open_key(model.key) == model


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"<html>Log in</html>"])
def test_wrong_files_are_thrown_away(server, entry, damage):
    path = server.folder / "toy.resdiff"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="is not the model 'far-away' that xresdiff knows") as e:
        fetch(entry)
    assert entry.sha256 in str(e.value)
    assert list(zoo.cached(entry).parent.iterdir()) == []


def test_a_server_that_dies_half_way(server, entry, monkeypatch):
    monkeypatch.setattr(Handler, "copyfile", lambda self, source, out: out.write(source.read(100)))
    with pytest.raises(ModelError, match="'far-away'"):
        fetch(entry)
    assert list(zoo.cached(entry).parent.iterdir()) == []


def test_a_damaged_copy_is_fetched_again(server, entry):
    fetch(entry).write_bytes(b"rotten")
    assert open_model("far-away").name == "toy"
    assert len(server.asked) == 2


def test_a_failed_update_leaves_the_last_good_file(server, entry):
    good = fetch(entry)
    update = dataclasses.replace(entry, sha256="0" * 64)
    with pytest.raises(ModelError, match="thrown away"):
        fetch(update)
    assert fetch(entry) == good
    assert list(good.parent.iterdir()) == [good]


def test_absent_files_are_named(server, entry):
    lost = dataclasses.replace(entry, url=f"{server.url}/lost.resdiff")
    with pytest.raises(ModelError, match=r"cannot fetch the model 'far-away' .*404.*by hand"):
        fetch(lost)


def test_an_absent_server_is_named(server, entry):
    gone = dataclasses.replace(entry, url="http://127.0.0.1:9/toy.resdiff")
    with pytest.raises(ModelError, match="cannot fetch the model 'far-away'") as caught:
        fetch(gone)
    assert f"copy {gone.url} to {zoo.cached(gone)}" in str(caught.value)


def test_an_unwritable_cache_is_named(server, entry, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot fetch the model 'far-away'"):
        fetch(entry)


def test_offline_asks_for_nothing(server, entry, monkeypatch):
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    with pytest.raises(ModelError, match="XRESDIFF_OFFLINE forbids") as caught:
        open_model("far-away")
    assert f"copy {entry.url} to {zoo.cached(entry)}" in str(caught.value)
    assert server.asked == []


def test_a_file_copied_by_hand_is_taken(server, entry, monkeypatch):
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    zoo.cached(entry).parent.mkdir(parents=True)
    (server.folder / "toy.resdiff").rename(zoo.cached(entry))
    assert open_model("far-away").name == "toy"


def test_progress_is_shown_when_wanted(server, entry, capsys):
    with set_options(progress=True):
        fetch(entry)
    assert "100%" in capsys.readouterr().err


def test_embedded_models_open_by_name(embedded):
    model = open_model("toy-4x")
    assert model.key == f"toy-4x@{embedded.sha256}"
    assert model.path == embedded.path
    assert open_key(model.key) == model


def test_a_model_in_the_working_folder_comes_first(embedded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy-4x").mkdir()
    assert open_model("toy-4x").path == embedded.path  # a folder of that name, but not a model
    mine = write_toy_package(tmp_path / "toy-4x", title="Mine")
    assert open_model("toy-4x") == mine
    assert open_key(f"toy-4x@{embedded.sha256}").path == embedded.path


def test_unknown_names_list_the_known(embedded, entry):
    with pytest.raises(ModelError) as caught:
        open_model("toy4x")
    assert "no model is called 'toy4x', and no file or folder either" in str(caught.value)
    assert "did you mean 'toy-4x'? Known models: toy-4x, far-away." in str(caught.value)
    assert "open_model('path/to/model.resdiff')" in str(caught.value)


def test_no_known_models(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo.resources, "files", lambda package: tmp_path)
    assert models() == ()
    with pytest.raises(ModelError, match="Known models: none"):
        open_model("toy-4x")


def test_the_table_tells_what_there_is(embedded, entry):
    size = sum(file.stat().st_size for file in embedded.path.iterdir())
    table = models()
    inside, remote = table
    assert (inside.name, inside.sha256, inside.size_bytes) == ("toy-4x", embedded.sha256, size)
    assert remote == entry
    head, first, second = repr(table).splitlines()
    assert head.split() == ["name", "size", "licence", "domain", "variables", "where"]
    assert first.startswith(
        "toy-4x    0.0 MB  Apache-2.0  anywhere, from a grid of 12 to 20 km  prec"
    )
    assert first.endswith("precip_rate  with xresdiff")
    assert second.endswith("precip_rate  to be fetched")
    assert head.index("where") == first.index("with") == second.index("to be")
    fetch(entry)
    assert "cached" in repr(table)


def test_the_table_escapes_html(entry):
    table = ModelTable([dataclasses.replace(entry, domain="<script>")])
    assert "<td>&lt;script&gt;</td>" in table._repr_html_()
    assert "<th>licence</th>" in table._repr_html_()
