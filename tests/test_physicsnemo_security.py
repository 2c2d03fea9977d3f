"""Checkpoints made to harm: none of them may be executed, fill the memory, or be believed."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from tests.checkpoints import as_zip, changed, refused, saved, true_members


@pytest.fixture
def members(tmp_path):
    return true_members(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.mdlus"


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
    "name",
    [
        "other/data/0",
        "archive/more/data.pkl",
        "archive/extra",
        "archive/data/../../0",
        "archive/.data/0",
        "archive/constants.pkl",
    ],
)
def test_weights_with_more_in_them_are_refused(path, members, name):
    as_zip(path, members | {"model.pt": repacked(members["model.pt"], extra=[(name, b"N.")])})
    refused(path, "packed as torch does not pack them")


@pytest.mark.parametrize("folder", ["..", ".", "", "a/b", "a\\b"])
def test_weights_in_a_strange_folder_are_refused(path, members, folder):
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(members["model.pt"])) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        for name in old.namelist():
            new.writestr(f"{folder}/{name.partition('/')[2]}", old.read(name))
    as_zip(path, members | {"model.pt": buffer.getvalue()})
    refused(path, "packed as torch does not pack them")


def test_weights_that_are_deflated_are_refused(path, members):
    deflated = repacked(members["model.pt"], zipfile.ZIP_DEFLATED)
    as_zip(path, members | {"model.pt": deflated})
    refused(path, "packed as torch does not pack them")


def test_something_in_front_of_the_weights_is_refused(path, members):
    as_zip(path, members | {"model.pt": b"#!/bin/sh\n" + members["model.pt"]})
    refused(path, "packed as torch does not pack them")


def test_weights_beyond_float32_are_refused(path):
    def grow(state):
        name = "model.enc.16x16_conv.bias"
        state[name] = torch.full_like(state[name], 1e300, dtype=torch.float64)

    refused(changed(path, weights=grow), r"'enc\.level0_conv\.bias' is not finite")


def test_a_second_list_of_members_behind_the_weights_is_refused(path, members):
    as_zip(path, members | {"model.pt": members["model.pt"] + b"PK\5\6 and more"})
    refused(path, "packed as torch does not pack them|damaged")


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_damaged_weights_are_refused(path, members, keep):
    as_zip(path, members | {"model.pt": members["model.pt"][:keep]})
    refused(path, "weights are damaged")


# --- JSON


@pytest.mark.parametrize("name", ["args.json", "metadata.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1, "a": 2}', "a key comes twice"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "nested more than 16 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b'{"a": ' + b"1" * 400 + b"}", "a number has 400 digits"),
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
