"""Checkpoints made to harm: none of them may be executed, fill the memory, or be believed."""

import io
import json
import pickle
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from tests.checkpoints import as_tar, as_zip, changed, members_of, saved, stage_net
from xresdiff.errors import ModelError
from xresdiff.models.physicsnemo import read_checkpoint, write_mdlus


@pytest.fixture
def members(tmp_path):
    """The three members of a true checkpoint."""
    path = tmp_path / "true.mdlus"
    write_mdlus(path, stage_net())
    found = members_of(path)
    path.unlink()
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.mdlus"


def refused(path, message):
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


# --- pickles


def test_a_hostile_pickle_is_not_executed(path, members, tmp_path):
    mark = tmp_path / "executed"
    as_zip(path, members | {"model.pt": saved({"model.bias": Bomb(mark)})})
    refused(path, "not to be trusted: they call")
    assert not mark.exists()


def test_a_bare_pickle_is_not_executed(path, members, tmp_path):
    mark = tmp_path / "executed"
    as_zip(path, members | {"model.pt": pickle.dumps(Bomb(mark))})
    refused(path, "weights are damaged")
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_calls_that_torch_would_allow_are_refused_too(path, members, protocol):
    buffer = io.BytesIO()
    torch.save({"model.bias": bytearray(8)}, buffer, pickle_protocol=protocol)
    as_zip(path, members | {"model.pt": buffer.getvalue()})
    refused(path, "not to be trusted: they call")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "is a str, not a tensor"),
        ([torch.ones(2)], "is a list, not a tensor"),
        (torch.full((8,), torch.nan), "is not finite"),
        (torch.full((8,), torch.inf), "is not finite"),
        (torch.zeros(1).expand(1 << 20), "bytes in a file of"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(path, value, message):
    def replace(state):
        state["model.enc.16x16_conv.bias"] = value

    refused(changed(path, weights=replace), message)


@pytest.mark.parametrize("value", [torch.ones(8, dtype=torch.int64), torch.ones(8).to_sparse()])
def test_tensors_of_other_kinds_are_refused(path, value):
    def replace(state):
        state["model.enc.16x16_conv.bias"] = value

    refused(changed(path, weights=replace), "not to be trusted: they call torch")


def test_names_that_are_no_text_are_refused(path, members):
    as_zip(path, members | {"model.pt": saved({7: torch.ones(2)})})
    refused(path, "the name 7 is no text")


def test_weights_that_are_no_state_dict_are_refused(path, members):
    as_zip(path, members | {"model.pt": saved(torch.ones(2))})
    refused(path, "no state dict but a Tensor")


# --- the zip within


def repacked(data, compression=zipfile.ZIP_STORED, extra=()):
    """Pack what torch saved anew."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w", compression) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in extra:
            new.writestr(name, content)
    return buffer.getvalue()


def test_a_bomb_within_the_weights_is_refused(path, members):
    bomb = repacked(
        members["model.pt"], zipfile.ZIP_DEFLATED, [("archive/data/99999", bytes(1 << 24))]
    )
    as_zip(path, members | {"model.pt": bomb})
    refused(path, "packed as torch does not pack them")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("other/data/0", b""), "packed as torch does not pack them"),
        (("archive/more/data.pkl", b"N."), "not one pickle"),
    ],
)
def test_weights_with_more_in_them_are_refused(path, members, extra, message):
    as_zip(path, members | {"model.pt": repacked(members["model.pt"], extra=[extra])})
    refused(path, message)


def test_a_second_list_of_members_behind_the_weights_is_refused(path, members):
    as_zip(path, members | {"model.pt": members["model.pt"] + b"PK\5\6 and more"})
    refused(path, "packed as torch does not pack them|damaged")


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_damaged_weights_are_refused(path, members, keep):
    as_zip(path, members | {"model.pt": members["model.pt"][:keep]})
    refused(path, "weights are damaged")


# --- members


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
        archive.fileobj.write(info.tobuf() + weights)
    refused(path, "declares 1099511627776 bytes|damaged")


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


# --- JSON


@pytest.mark.parametrize("name", ["args.json", "metadata.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1, "a": 2}', "a key comes twice"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "nested more than 16 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b" " * (1 << 20) + b"{}", "1048576 are the most"),
    ],
)
def test_hostile_json_is_refused(path, members, name, text, message):
    refused(as_zip(path, members | {name: text}), message)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"__name__": "UNet"},
        {"__name__": 3, "__module__": "physicsnemo.models.diffusion", "__args__": {}},
        {"__name__": "UNet", "__module__": "physicsnemo.models.diffusion", "__args__": []},
    ],
)
def test_arguments_without_a_class_are_refused(path, members, arguments):
    as_zip(path, members | {"args.json": json.dumps(arguments).encode()})
    refused(path, "does not tell a class and its arguments")


def test_modules_that_hold_themselves_are_refused(path, members):
    name = "__physicsnemo.Module__.model"
    entry = {
        "__name__": "ConcatConditionWrapper",
        "__module__": "physicsnemo.diffusion.utils.model_wrappers",
        "__args__": {"model": name},
    }
    told = entry | {"__name__": "EDMPreconditioner", name: entry}
    as_zip(path, members | {"args.json": json.dumps(told).encode()})
    refused(path, "class ConcatConditionWrapper is not known")


@pytest.mark.parametrize("mult", [[65536] * 12, [1, 65536], [1] * 12])
def test_a_network_of_no_true_size_is_refused_before_it_is_built(path, mult):
    def grow(told):
        told["__args__"].update(model_channels=65536, channel_mult=mult)

    refused(changed(path, arguments=grow), "cannot fit the weights|make no network|share names")
