"""The cache: shared by processes and threads, killed, read only, full."""

import dataclasses
import hashlib
import json
import logging
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.servers import dies, entry_of, mounted, serving_models, slow
from xresdiff.errors import ModelError, StoreError
from xresdiff.models.zoo import download, records
from xresdiff.models.zoo.fetch import fetch, find, state
from xresdiff.models.zoo.locks import locked
from xresdiff.options import cache_dir, offline

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
    return entry_of(server, "/toy.zip")


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


def test_a_file_swapped_for_another_of_its_size_and_time_is_noticed(server, entry, monkeypatch):
    path = fetch(entry)
    times = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    with pytest.raises(ModelError, match="it should be"):
        find(entry)


def test_a_record_without_all_times_is_made_anew(server, entry):
    fetch(entry)
    record = json.loads(records.place(entry.target).read_text())
    kept = record["files"][entry.target.name]
    kept.pop("ctime_ns")
    kept.pop("inode")
    records.place(entry.target).write_text(json.dumps(record))
    assert find(entry) == entry.target
    now = records.read(entry).files[entry.target.name]
    assert (now.inode, now.date) == (entry.target.stat().st_ino, kept["date"])


def test_a_record_that_was_removed_is_said_to_be_made_anew(server, entry, caplog):
    fetch(entry)
    records.place(entry.target).unlink()
    with caplog.at_level(logging.INFO, "xresdiff"):
        find(entry)
    assert f"nothing was recorded of {entry.target}; it is recorded anew" in caplog.text


def test_a_wrong_copy_made_by_hand_is_left_to_its_maker(server, entry):
    entry.target.parent.mkdir(parents=True)
    entry.target.write_bytes(DATA[::-1])
    found = hashlib.sha256(DATA[::-1]).hexdigest()
    assert state(entry) == "damaged"
    for look in (fetch, find):
        with pytest.raises(ModelError, match=f"{found}; it should be {entry.sha256}") as caught:
            look(entry)
        assert "You put it there" in str(caught.value)
        assert f"type rm -r {entry.target}" in str(caught.value)
    assert server.asked == []


def test_a_damaged_file_shows_in_the_table(server, entry):
    fetch(entry).write_bytes(DATA[::-1])
    assert state(entry) == "damaged"


def test_a_folder_in_the_place_of_a_file(server, entry):
    entry.target.mkdir(parents=True)
    with pytest.raises(ModelError, match="is a folder, and a file belongs there"):
        fetch(entry)


def test_a_copy_that_grows_is_waited_for(server, entry, monkeypatch):
    unknown = dataclasses.replace(entry, sha256=None)
    entry = dataclasses.replace(unknown, size_bytes=None)
    entry.target.parent.mkdir(parents=True)
    entry.target.write_bytes(DATA[:HALF])
    naps = []

    def nap(seconds):
        naps.append(seconds)
        entry.target.write_bytes(DATA)
        os.utime(entry.target, (0, 0))  # as a copy that keeps the times ends

    monkeypatch.setattr(records, "SETTLED_S", 3600.0)
    monkeypatch.setattr(records.time, "sleep", nap)
    with pytest.warns(UserWarning, match="nobody tells"):
        fetch(entry)
    assert len(naps) == 1
    assert records.read(entry).files[entry.target.name].sha256 == hashlib.sha256(DATA).hexdigest()


def test_locks_are_removed_but_never_shared(tmp_path):
    target, held, most = tmp_path / "toy.zip", [], []

    def hold():
        for _ in range(4):
            with locked(target):
                held.append(1)
                time.sleep(0.002)
                most.append(len(held))
                held.pop()

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_is_absolute_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for none in ("", " "):
        monkeypatch.setenv("XRESDIFF_CACHE", none)
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert cache_dir() == tmp_path / ".cache" / "xresdiff"
    monkeypatch.setenv("XRESDIFF_CACHE", f"models-{tmp_path.name}")
    first = cache_dir()
    monkeypatch.chdir("/")
    assert cache_dir() == first == tmp_path / f"models-{tmp_path.name}"


@pytest.mark.parametrize("text", ["", "0", " 0 ", "false", "F", "no", "N", "off", "OFF"])
def test_what_does_not_mean_offline(monkeypatch, text):
    monkeypatch.setenv("XRESDIFF_OFFLINE", text)
    assert not offline()


@pytest.mark.parametrize("text", ["1", "true", "yes", "on"])
def test_what_means_offline(monkeypatch, text):
    monkeypatch.setenv("XRESDIFF_OFFLINE", text)
    assert offline()


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
