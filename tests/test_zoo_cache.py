"""The cache: shared by processes and threads, killed, read only, full."""

import dataclasses
import hashlib
import random
import subprocess
import sys
import textwrap
import threading

import pytest

from tests.servers import dies, mounted, serving_models, slow
from xresdiff.errors import StoreError
from xresdiff.models.zoo import download, records
from xresdiff.models.zoo.entries import Entry
from xresdiff.models.zoo.fetch import fetch, find

DATA = b"PK" + random.Random(0).randbytes(600_000)
HALF = 300_000


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of one model, and an empty cache."""
    with serving_models(tmp_path / "cache", monkeypatch) as server:
        server.files["/toy.zip"] = DATA
        yield server


@pytest.fixture
def entry(server):
    return Entry(
        "toy",
        f"{server.url}/toy.zip",
        sha256=hashlib.sha256(DATA).hexdigest(),
        hash_source="this test",
        size_bytes=len(DATA),
        licence="CC-BY-4.0",
    )


@pytest.fixture
def tmpfs(tmp_path):
    """A small file system in memory, where one can be mounted."""
    with mounted(tmp_path / "small", size="1m") as path:
        yield path


def refused(entry):
    with pytest.raises(StoreError) as caught:
        fetch(entry)
    assert not entry.target.exists()
    return str(caught.value)


def started(entry):
    """Start another process that wants the model."""
    code = f"""
        from xresdiff.models import zoo
        zoo.register("toy", {entry.url!r}, sha256={entry.sha256!r})
        print(zoo.locate("toy").stat().st_size)
    """
    line = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_two_processes_download_once(server, entry):
    server.spoiled["/toy.zip"] = [slow(0.3)] * 2
    both = [started(entry) for _ in range(2)]
    assert [run.communicate()[0].strip() for run in both] == [b"%d" % len(DATA)] * 2
    assert server.asked == ["/toy.zip"]


def test_threads_download_once(server, entry):
    server.spoiled["/toy.zip"] = [slow(0.05)]
    threads = [threading.Thread(target=fetch, args=(entry,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert find(entry).read_bytes() == DATA
    assert server.asked == ["/toy.zip"]


def test_a_process_that_was_killed_leaves_a_part_that_is_no_model(server, entry):
    killed = threading.Event()
    server.spoiled["/toy.zip"] = [dies(HALF), lambda handler, data: killed.wait(60)]
    run = started(entry)
    while len(server.asked) < 2:
        assert run.poll() is None
    run.kill()
    run.communicate()
    killed.set()
    assert not entry.target.exists()
    assert fetch(entry).read_bytes() == DATA
    assert server.ranges[-1] is not None


def test_a_read_only_cache(server, entry, tmpfs, monkeypatch):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmpfs))
    fetch(entry)
    records.place(entry.target).unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True)
    assert find(entry).read_bytes() == DATA  # checked, though that cannot be recorded
    message = refused(dataclasses.replace(entry, name="another"))
    assert f"the cache {tmpfs} cannot be written" in message
    assert "export XRESDIFF_CACHE=" in message


def test_a_cache_that_cannot_be(server, entry, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "file"))
    assert "cannot be written" in refused(entry)


def test_no_room_is_said_before_the_first_byte(server, entry, tmpfs, monkeypatch):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmpfs))
    large = dataclasses.replace(entry, size_bytes=10**9)  # of which the server has a part
    message = refused(large)
    assert "no room on the disk: 1000.0 MB are needed" in message
    assert "export XRESDIFF_CACHE=" in message


def test_a_disk_that_fills_up(server, entry, tmpfs, monkeypatch):
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmpfs))
    (tmpfs / "other").write_bytes(bytes(HALF * 2))
    monkeypatch.setattr(download, "_check_room", lambda *_: None)  # another writer was faster
    assert "no room on the disk" in refused(entry)
    assert not [file for file in entry.target.parent.rglob("*") if file.stat().st_size > 999]
    (tmpfs / "other").unlink()
    assert fetch(entry).read_bytes() == DATA
