"""Folders and zips of models: what they may hold, and that no save loses anything."""

import contextlib
import os
import pickle
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toys import write_toy_package
from xresdiff.errors import ModelError, StoreError
from xresdiff.models import container, package
from xresdiff.models.opening import open_model

PLACES = ["toy", "toy.resdiff"]


@pytest.fixture
def folder(tmp_path):
    return write_toy_package(tmp_path / "toy")


def zip_of(path, members):
    """Write a zip of (name or ZipInfo, contents) pairs."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def members_of(folder):
    return [(file.name, file.read_bytes()) for file in sorted(folder.path.iterdir())]


def test_equal_models_make_equal_files(tmp_path):
    first, second = (write_toy_package(tmp_path / name) for name in ("a.resdiff", "b.resdiff"))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_folder_and_a_file_can_replace_each_other(folder, tmp_path):
    shutil.copytree(folder.path, tmp_path / "there.resdiff")
    folder.save(tmp_path / "there.resdiff")
    assert (tmp_path / "there.resdiff").is_file()
    (tmp_path / "there.resdiff").rename(tmp_path / "there")
    folder.save(tmp_path / "there")
    assert open_model(tmp_path / "there").sha256 == folder.sha256


def test_saving_through_a_link_keeps_the_link(folder, tmp_path):
    there = write_toy_package(tmp_path / "there", title="Another")
    (tmp_path / "link").symlink_to(there.path)
    folder.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert open_model(there.path).sha256 == folder.sha256


def test_saving_into_an_empty_folder(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    folder.save(tmp_path / "empty")
    assert open_model(tmp_path / "empty").sha256 == folder.sha256


@pytest.mark.parametrize("place", PLACES)
def test_unwritable_places_are_named(folder, tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=rf"cannot write .*{place}"):
        folder.save(tmp_path / "file" / place)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kill_at", range(4))
def test_a_killed_save_loses_nothing(folder, tmp_path, monkeypatch, place, kill_at):
    there = write_toy_package(tmp_path / "there" / place, title="The old one")
    replace, calls = os.replace, []

    def killed(*paths):
        calls.append(paths)
        if len(calls) > kill_at // 2:
            if kill_at % 2:
                replace(*paths)
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with contextlib.suppress(KeyboardInterrupt):
        folder.save(there.path)
    monkeypatch.setattr(os, "replace", replace)
    if not there.path.exists():
        with pytest.raises(ModelError, match=r"a save was interrupted .* Type: mv "):
            open_model(str(there.path))
        container.previous(there.path).rename(there.path)
    assert open_model(there.path).sha256 in (there.sha256, folder.sha256)
    folder.save(there.path)
    assert open_model(there.path).sha256 == folder.sha256
    assert not container.previous(there.path).exists()


def test_a_failed_rename_puts_the_old_model_back(folder, tmp_path, monkeypatch):
    there = write_toy_package(tmp_path / "there", title="The old one")
    replace = os.replace

    def failing(source, target):
        if Path(target) == there.path and Path(source).parent != there.path.parent:
            raise PermissionError("no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StoreError, match=r"cannot write .*: no"):
        folder.save(there.path)
    assert open_model(there.path) == there
    shutil.rmtree(there.path)
    with pytest.raises(StoreError, match=r"cannot write .*: no"):
        folder.save(there.path)
    assert not there.path.exists()


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def raw(name):
    """Return a member whose name is written as it is, not made safe first."""
    info = zipfile.ZipInfo()
    info.filename = name
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../mean.safetensors", "is not a plain file name"),
        ("/etc/passwd", "is not a plain file name"),
        (raw("C:\\mean.safetensors"), "is not a plain file name"),
        ("toy/mean.safetensors", "is not a plain file name"),
        ("folder/", "is not a plain file name"),
        ("CARD.JSON", "is not a plain file name"),
        (raw("card.json\0.txt"), "is not a plain file name"),
        (link("grid.nc"), "'grid.nc' is a link or a device"),
        ("weights.pkl", r"weights.pkl is not on its card"),
    ],
)
def test_unsafe_members_are_refused(folder, tmp_path, member, message):
    path = zip_of(tmp_path / "evil.resdiff", [*members_of(folder), (member, b"evil")])
    with pytest.raises(ModelError, match=message):
        open_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_members_are_refused(folder, tmp_path):
    members = members_of(folder)
    path = zip_of(tmp_path / "evil.resdiff", [*members, members[0]])
    with pytest.raises(ModelError, match=r"'card\.json' is there 2 times"):
        open_model(path)


def test_encrypted_and_oddly_packed_members_are_refused(folder, tmp_path):
    path = zip_of(tmp_path / "evil.resdiff", members_of(folder))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is encrypted"):
        open_model(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("card.json", "{}")
    with pytest.raises(ModelError, match="is neither stored nor deflated"):
        open_model(path)


def test_deflated_files_open(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "small.resdiff", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members_of(folder):
            archive.writestr(name, data)
    assert open_model(tmp_path / "small.resdiff").sha256 == folder.sha256


def test_bombs_do_not_go_off(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.resdiff", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", b"0" * 5_000_000)
    most = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=None: most.append(n) or read(self, n)
    )
    with pytest.raises(ModelError, match=r"card\.json .* is larger than the 1048576 bytes"):
        open_model(tmp_path / "bomb.resdiff")
    assert most == [package.CARD_LIMIT + 1]


def test_pickles_are_no_models(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ModelError, match=r"is damaged or no \.resdiff file"):
        open_model(tmp_path / "model.pkl")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_damage_is_found(tmp_path, data):
    path = tmp_path / "toy.resdiff"
    whole = write_toy_package(path)
    damaged = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        damaged[place] ^= data.draw(st.integers(1, 255))
    else:
        del damaged[place:]
    path.write_bytes(damaged)
    try:
        opened = open_model(path)
    except ModelError:
        path.unlink()
        return
    assert opened.sha256 == whole.sha256  # the damage was to something without meaning
    path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_saved_models_can_be_read_by_others(folder):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o777 & ~umask
