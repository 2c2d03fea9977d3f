"""One download at a time, and every way in which it fails, from a real server."""

import dataclasses
import hashlib
import logging
import os
import random

import pytest

from tests.servers import (
    Handler,
    dies,
    entry_of,
    fails,
    page,
    redirects,
    sends,
    serving_models,
    slow,
    zipped,
)
from xresdiff.errors import ModelError
from xresdiff.models.zoo import download, records
from xresdiff.models.zoo.fetch import fetch, find, state
from xresdiff.options import set_options

DATA, OTHER = (zipped(random.Random(seed).randbytes(600_000)) for seed in (0, 1))
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
def unhashed(entry):
    """The same model, of which nobody tells the sha256 and the size."""
    return dataclasses.replace(entry, sha256=None, hash_source="", size_bytes=None)


def left(entry):
    """Return the names of what is in the cache but locks."""
    files = entry.target.parent.iterdir()
    return {file.name for file in files if not file.name.endswith(".lock")}


def kept(entry):
    return records.read(entry).files[entry.target.name]


def refused(entry):
    with pytest.raises(ModelError) as caught:
        fetch(entry)
    assert not entry.target.exists()
    return str(caught.value)


def test_a_model_is_fetched_once_and_whole(server, entry):
    assert state(entry) == "to be fetched"
    assert fetch(entry).read_bytes() == DATA
    assert fetch(entry) == find(entry) == entry.target
    assert server.asked == ["/toy.zip"]
    assert left(entry) == {entry.target.name, f"{entry.target.name}.sha256.json"}
    assert state(entry) == "cached"


def test_another_file_than_the_sha256_promises(server, entry):
    server.files["/toy.zip"] = OTHER
    message = refused(entry)
    assert "is not the model, or was damaged on the way; it was thrown away" in message
    assert entry.sha256 in message
    assert hashlib.sha256(OTHER).hexdigest() in message
    assert server.asked == ["/toy.zip"]
    assert not [file for file in entry.target.parent.rglob("*") if file.stat().st_size > HALF]


def test_a_truncated_file_without_sha256_is_told_by_its_size(server, entry):
    server.files["/toy.zip"] = DATA[:-9]
    message = refused(dataclasses.replace(entry, sha256=None))
    assert f"it has {len(DATA) - 9} bytes, {len(DATA)} are needed" in message


def test_an_empty_file(server, unhashed):
    server.files["/toy.zip"] = b""
    assert "it has 0 bytes, some are needed" in refused(unhashed)


def test_a_server_that_dies_half_way_and_comes_back(server, entry):
    server.spoiled["/toy.zip"] = [dies(HALF)]
    assert fetch(entry).read_bytes() == DATA
    first, second = server.ranges
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first is None
    assert 0 < start <= HALF


def test_a_fetch_that_was_given_up_goes_on_later(server, entry):
    server.spoiled["/toy.zip"] = [dies(HALF), *[fails(503)] * download.TRIES]
    assert "503" in refused(entry)
    server.ranges.clear()
    assert fetch(entry).read_bytes() == DATA
    assert server.ranges[0].startswith("bytes=")


def test_without_etags_a_fetch_starts_again(server, entry):
    server.tagged = False
    server.spoiled["/toy.zip"] = [dies(HALF)]
    assert fetch(entry).read_bytes() == DATA
    assert server.ranges == [None, None]


def test_a_file_that_changed_meanwhile_is_not_pieced_together(server, unhashed):
    server.spoiled["/toy.zip"] = [dies(HALF)]
    server.files["/toy.zip"] = DATA

    def changed(handler, data):
        server.files["/toy.zip"] = OTHER
        handler.send(b"no", 503)

    server.spoiled["/toy.zip"].append(changed)
    with pytest.warns(UserWarning, match="nobody tells"):
        assert fetch(unhashed).read_bytes() == OTHER


def test_a_server_that_sends_another_part(server, unhashed):
    wrong = sends(DATA[:99], 206, Content_Range=f"bytes 0-98/{len(DATA)}")
    server.spoiled["/toy.zip"] = [dies(HALF), wrong]
    with pytest.warns(UserWarning, match="nobody tells"):
        assert fetch(unhashed).read_bytes() == DATA


def test_rotten_pieces_are_thrown_away_and_fetched_anew(server, entry):
    def rotten(handler, data):
        bad = bytes(HALF)
        handler.send(bad, whole=data, length=len(data))

    server.spoiled["/toy.zip"] = [rotten]
    assert fetch(entry).read_bytes() == DATA
    assert [bool(wanted) for wanted in server.ranges] == [False, True, False]


def test_pieces_that_stay_rotten_are_given_up(server, entry):
    server.files["/toy.zip"] = OTHER
    server.spoiled["/toy.zip"] = [dies(HALF), Handler.send_part] * 9
    assert "it was thrown away" in refused(entry)
    assert len(server.asked) == 4


def test_a_server_that_always_dies_is_given_up(server, entry):
    server.spoiled["/toy.zip"] = [dies(100) for _ in range(20)]
    message = refused(entry)
    assert "cannot be fetched" in message
    assert f"copy {entry.url} to {entry.target}" in message
    assert len(server.asked) <= download.TRIES + 1


def test_absent_files_are_asked_for_once(server, entry):
    lost = dataclasses.replace(entry, url=f"{server.url}/lost.zip")
    assert "lost.zip is not there: 404" in refused(lost)
    assert server.asked == ["/lost.zip"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_pass(server, entry, status):
    server.spoiled["/toy.zip"] = [fails(status)]
    assert fetch(entry).read_bytes() == DATA
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_files_behind_a_login(server, entry, status):
    server.spoiled["/toy.zip"] = [fails(status)]
    assert "wants a login or an agreement" in refused(entry)
    assert len(server.asked) == 1


def test_a_web_page_in_place_of_a_model(server, entry):
    server.spoiled["/toy.zip"] = [page]
    assert "sends a web page (text/html; charset=utf-8), not a model" in refused(entry)


def test_a_web_page_that_does_not_say_so(server, unhashed):
    server.files["/toy.zip"] = b"\n<!doctype html><title>Log in</title>"
    assert "it is a web page: '<!doctype html>" in refused(unhashed)


def test_redirects_are_followed(server, entry):
    server.files["/elsewhere"] = DATA
    server.spoiled["/toy.zip"] = [redirects("/elsewhere")]
    assert fetch(entry).read_bytes() == DATA
    assert server.asked == ["/toy.zip", "/elsewhere"]


def test_a_slow_server_is_waited_for(server, entry, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", (5.0, 5.0))
    server.spoiled["/toy.zip"] = [slow(0.05)]
    assert fetch(entry).read_bytes() == DATA
    assert len(server.asked) == 1


def test_a_server_that_says_nothing_any_more(server, entry, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", (5.0, 0.1))
    server.spoiled["/toy.zip"] = [slow(0.5, pieces=1)]
    assert fetch(entry).read_bytes() == DATA
    assert len(server.asked) == 2


def test_no_server(server, entry):
    gone = dataclasses.replace(entry, url="http://127.0.0.1:9/toy.zip")
    message = refused(gone)
    assert "cannot fetch the model 'toy'" in message
    assert f"copy {gone.url} to {gone.target}" in message


def test_offline_asks_for_nothing(server, entry, monkeypatch):
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    message = refused(entry)
    assert "it is not in the cache, and XRESDIFF_OFFLINE forbids" in message
    assert f"copy {entry.url} to {entry.target}" in message
    assert server.asked == []


def test_a_file_copied_by_hand_is_checked_and_taken(server, entry, monkeypatch):
    monkeypatch.setenv("XRESDIFF_OFFLINE", "1")
    entry.target.parent.mkdir(parents=True)
    entry.target.write_bytes(DATA[:-1])
    with pytest.raises(ModelError, match=entry.sha256):
        fetch(entry)
    entry.target.write_bytes(DATA)
    assert fetch(entry) == entry.target


def test_a_file_copied_by_hand_that_nobody_knows_is_recorded(server, unhashed):
    unhashed.target.parent.mkdir(parents=True)
    unhashed.target.write_bytes(DATA)
    with pytest.warns(UserWarning, match="nobody tells .* as a copy made by hand"):
        assert fetch(unhashed) == unhashed.target
    assert kept(unhashed).known == "a copy made by hand"
    unhashed.target.write_bytes(OTHER)
    with pytest.raises(ModelError, match=hashlib.sha256(DATA).hexdigest()):
        find(unhashed)


def test_workers_never_fetch(server, entry):
    with pytest.raises(ModelError, match="never where it is computed") as caught:
        find(entry)
    assert str(entry.target.parent.parent) in str(caught.value)
    assert server.asked == []


def test_a_damaged_file_is_noticed_and_fetched_again(server, entry):
    fetch(entry).write_bytes(OTHER)
    with pytest.raises(ModelError, match="it should be"):
        find(entry)
    assert fetch(entry).read_bytes() == DATA
    assert len(server.asked) == 2


def test_a_file_is_hashed_again_only_when_it_changed(server, entry, monkeypatch):
    hashed = []
    real = records.sha256_of
    monkeypatch.setattr(records, "sha256_of", lambda path: hashed.append(path) or real(path))
    fetch(entry)
    find(entry)
    assert hashed == []  # but once, as it was fetched
    os.utime(entry.target, ns=(0, 0))
    find(entry)
    find(entry)
    assert hashed == [entry.target]


def test_the_first_download_is_recorded_and_required(server, unhashed):
    with pytest.warns(UserWarning, match="nobody tells the sha256") as warned:
        fetch(unhashed)
    sha256 = hashlib.sha256(DATA).hexdigest()
    line = f"xresdiff.register('toy', '{unhashed.url}', sha256='{sha256}')"
    assert line in str(warned[0].message)
    assert (kept(unhashed).sha256, kept(unhashed).known) == (sha256, "its first download")
    unhashed.target.unlink()
    server.files["/toy.zip"] = OTHER
    message = refused(unhashed)
    assert f"on {records.today()} it was {sha256}" in message


def test_a_damaged_record_is_not_passed_over(server, unhashed):
    with pytest.warns(UserWarning, match="nobody tells"):
        fetch(unhashed)
    records.place(unhashed.target).write_text("{}")
    with pytest.raises(ModelError, match="cannot be read, which holds the sha256"):
        find(unhashed)


def test_a_failed_update_leaves_the_last_good_file(server, entry):
    good = fetch(entry)
    refused(dataclasses.replace(entry, sha256="0" * 64))
    assert fetch(entry) == good


def test_the_licence_is_shown_once(server, entry, caplog):
    with caplog.at_level(logging.WARNING, "xresdiff"):
        fetch(entry)
        assert "its licence: CC-BY-4.0" in caplog.text
        assert records.read(entry).licence_shown == records.today()
        caplog.clear()
        entry.target.unlink()
        fetch(entry)
    assert caplog.text == ""


def test_the_licence_of_a_copy_made_by_hand_is_shown_once(server, entry, caplog):
    entry.target.parent.mkdir(parents=True)
    entry.target.write_bytes(DATA)
    with caplog.at_level(logging.WARNING, "xresdiff"):
        fetch(entry)
        assert "its licence: CC-BY-4.0" in caplog.text
        caplog.clear()
        fetch(entry)
    assert caplog.text == ""
    assert kept(entry).sha256 == entry.sha256


def test_progress_is_shown_when_wanted(server, entry, capsys):
    with set_options(progress=True):
        fetch(entry)
    assert "100%" in capsys.readouterr().err
