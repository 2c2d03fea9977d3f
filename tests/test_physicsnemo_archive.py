"""Files that are no zip or tar of the three members: none of them may be believed."""

import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from tests.checkpoints import as_tar, as_zip, refused, true_members
from xresdiff.models.physicsnemo import read_checkpoint


@pytest.fixture
def members(tmp_path):
    return true_members(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.mdlus"


@pytest.mark.parametrize("pack", [as_zip, as_tar])
@pytest.mark.parametrize(
    "name", ["../model.pt", "/etc/passwd", "sub/model.pt", "extra.txt", "MODEL.PT", "./model.pt"]
)
def test_other_members_are_refused(path, members, pack, name):
    pack(path, members | {name: b"x"})
    refused(path, "is none of model.pt, args.json, metadata.json")


@pytest.mark.parametrize("pack", [as_zip, as_tar])
@pytest.mark.parametrize("name", ["model.pt", "args.json", "metadata.json"])
def test_a_missing_member_is_named(path, members, pack, name):
    del members[name]
    pack(path, members)
    refused(path, f"it has no member {name}")


def test_a_repeated_member_of_a_zip_is_refused(path, members):
    as_zip(path, members)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("args.json", b"{}")
    refused(path, "'args.json' is there 2 times")


def test_a_repeated_member_of_a_tar_is_refused(path, members):
    as_tar(path, members)
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("args.json"))
    refused(path, "'args.json' is there 2 times")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(path, members, kind):
    del members["model.pt"]
    as_tar(path, members)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("model.pt")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(path, "'model.pt' is no plain file")


def test_a_link_in_a_zip_is_refused(path, members):
    del members["model.pt"]
    as_zip(path, members)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("model.pt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(path, "'model.pt' is a link")


def test_a_zip_bomb_is_refused_by_what_it_declares(path, members):
    del members["model.pt"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("model.pt", bytes(1 << 24))
    refused(path, "declare .* bytes in a file of")


def test_a_member_larger_than_it_declares_is_refused(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"model.pt") - 46  # in the central directory
    struct.pack_into("<I", data, entry + 24, 100)
    path.write_bytes(data)
    refused(path, "damaged|size that it declares")


def test_a_huge_size_in_a_tar_is_refused(path, members):
    weights = members.pop("model.pt")
    as_tar(path, members)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("model.pt")
        info.size = 1 << 40
        archive.fileobj.seek(archive.offset)
        archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT) + weights)
    refused(path, "declares 1099511627776 bytes, more than the file has")


def test_a_member_of_a_zip_is_not_unpacked_beyond_its_size(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {"args.json": bytes(1 << 26)}).items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"args.json") - 46  # in the central directory
    struct.pack_into("<I", data, entry + 24, 100)
    path.write_bytes(data)
    tracemalloc.start()
    refused(path, "damaged|not valid JSON")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 24


def test_an_encrypted_member_is_refused(path, members):
    data = bytearray(as_zip(path, members).read_bytes())
    entry = data.rindex(b"args.json") - 46
    data[entry + 8] |= 1
    path.write_bytes(data)
    refused(path, "'args.json' is encrypted")


@pytest.mark.parametrize("pack", [as_zip, as_tar])
def test_something_behind_the_file_is_refused(path, members, pack):
    pack(path, members)
    with path.open("ab") as file:
        file.write(b"PK\5\6 and more")
    refused(path, "something stands behind|not a zip file|before or behind")


@pytest.mark.parametrize("front", [b"#!/bin/sh\n", b"PK\3\4", bytes(512)])
def test_something_before_a_zip_is_refused(path, members, front):
    as_zip(path, members)
    path.write_bytes(front + path.read_bytes())
    refused(path, "damaged or no .mdlus file")


def with_extended(path, members, told):
    """Write a tar whose first member has an extended header."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), told
            archive.addfile(info, io.BytesIO(data))
            told = {}
    return path


def test_times_and_owners_in_a_tar_are_passed_over(path, members):
    with_extended(path, members, {"mtime": "1763740000.123", "uname": "Zo\u00eb"})
    assert read_checkpoint(path).stage == "residual"


@pytest.mark.parametrize(
    "told",
    [
        {"path": "args.json"},
        {"size": "5"},
        {"GNU.sparse.map": "0,1", "GNU.sparse.size": "10"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ],
)
def test_a_tar_that_tells_more_of_a_member_is_refused(path, members, told):
    refused(with_extended(path, members, told), "an extended header tells")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XGLTYPE,
        tarfile.CONTTYPE,
    ],
)
def test_other_kinds_of_headers_are_refused(path, kind):
    info = tarfile.TarInfo("args.json")
    info.type, info.size = kind, 1 << 31
    path.write_bytes(info.tobuf())
    refused(path, "'args.json' is no plain file")


def test_a_huge_extended_header_is_not_read(path):
    info = tarfile.TarInfo("args.json")
    info.type, info.size = tarfile.XHDTYPE, 1 << 31
    with path.open("wb") as file:
        file.write(info.tobuf())
        file.truncate(1 << 32)  # takes no place on the disk
    tracemalloc.start()
    refused(path, "an extended header has 2147483648 bytes")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_refused(path, members, mode):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    refused(path, "damaged or no .mdlus file")


@pytest.mark.parametrize("pack", [as_zip, as_tar])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(path, members, pack, share):
    data = pack(path, members).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "damaged|no member|declares")


def test_a_tar_is_known_although_its_weights_are_a_zip(path, members):
    as_tar(path, dict(sorted(members.items())))
    assert zipfile.is_zipfile(io.BytesIO(members["model.pt"]))
    assert read_checkpoint(path).stage == "residual"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_what_is_no_file_is_refused(path, make):
    make(path)
    refused(path, "there is no file")
