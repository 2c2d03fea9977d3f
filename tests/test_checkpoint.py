import logging
import os

import pytest
import torch

from xresdiff.errors import InputError
from xresdiff.train import checkpoint

STATES = [{"step": n, "net": {"weight": torch.full((3,), float(n))}} for n in range(3)]


def saved(path, states=STATES):
    for state in states:
        checkpoint.save(path, state)
    return path


def test_what_was_saved_is_loaded(tmp_path):
    state = checkpoint.load(saved(tmp_path / "toy.pt"))
    assert state["step"] == 2
    assert torch.equal(state["net"]["weight"], torch.full((3,), 2.0))


def test_there_is_nothing_to_load_before_the_first_save(tmp_path):
    assert checkpoint.load(tmp_path / "toy.pt") is None


def test_the_one_before_stays_beside_it(tmp_path):
    saved(tmp_path / "toy.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"toy.pt", "toy.before"}
    assert torch.load(tmp_path / "toy.before", weights_only=True)["step"] == 1


@pytest.mark.parametrize("left", ["nothing", "a start", "half", "all but a byte", "other bytes"])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, caplog, left):
    path = saved(tmp_path / "toy.pt")
    data = path.read_bytes()
    kept = {
        "nothing": b"",
        "a start": data[:100],
        "half": data[: len(data) // 2],
        "all but a byte": data[:-1],
        "other bytes": bytes(range(256)) * 16,
    }
    path.write_bytes(kept[left])
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load(path)["step"] == 1
    assert "toy.pt is damaged" in caplog.text


def test_two_damaged_ones_are_none(tmp_path, caplog):
    path = saved(tmp_path / "toy.pt")
    for name in ("toy.pt", "toy.before"):
        (tmp_path / name).write_bytes(b"rubbish")
    assert checkpoint.load(path) is None
    assert caplog.text.count("is damaged") == 2


@pytest.mark.parametrize("call", range(1, 5))
def test_a_save_that_dies_at_any_call_leaves_a_good_one(tmp_path, monkeypatch, call):
    """Die before each of: fsync, rename to the one before, rename to its place, fsync."""

    class Died(BaseException):
        pass

    path, calls = saved(tmp_path / "toy.pt", STATES[:2]), []

    def dying(real):
        def act(*args):
            calls.append(args)
            if len(calls) == call:
                raise Died
            return real(*args)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying(os.fsync))
        patch.setattr(os, "replace", dying(os.replace))
        with pytest.raises(Died):
            checkpoint.save(path, STATES[2])
    assert checkpoint.load(path)["step"] == (2 if call == 4 else 1)
    saved(path)
    assert checkpoint.load(path)["step"] == 2


def test_code_in_a_checkpoint_is_not_run(tmp_path, caplog):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    torch.save({"format": 1, "step": Evil()}, tmp_path / "toy.pt")
    assert checkpoint.load(tmp_path / "toy.pt") is None
    assert not ran.exists()


@pytest.mark.parametrize("state", [{"format": 99}, {"net": {}}, [1.0]])
def test_one_of_another_version_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "toy.pt")
    with pytest.raises(InputError, match=r"not a checkpoint of this version .* out='.*-2'"):
        checkpoint.load(tmp_path / "toy.pt")


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        ({"weight": torch.zeros(4)}, r"its weight is of shape \(3,\), that .* of shape \(4,\)"),
        ({"weight": torch.zeros(3), "bias": torch.zeros(1)}, r"its bias is of shape None"),
        ({}, r"its weight is of shape \(3,\), that of this network of shape None"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, net, reason):
    with pytest.raises(
        InputError, match=rf"another network: {reason}.*; train this one .* out='.*-2'"
    ):
        checkpoint.check_network(tmp_path / "toy.pt", {"weight": torch.zeros(3)}, net)


def test_weights_of_the_same_network_are_fine(tmp_path):
    net = {"b": torch.ones(1), "a": torch.zeros(3)}
    checkpoint.check_network(tmp_path / "toy.pt", {"a": torch.ones(3), "b": torch.ones(1)}, net)


def test_one_that_was_being_renamed_is_found(tmp_path):
    """As after a fallback: the damaged one has taken the place of the one before."""
    path = tmp_path / "mean.pt"
    checkpoint.save(path, {"step": 1})
    os.replace(path, path.with_suffix(".new"))
    path.with_suffix(".before").write_bytes(b"torn")
    state = checkpoint.load(path)
    assert state is not None
    assert state["step"] == 1
