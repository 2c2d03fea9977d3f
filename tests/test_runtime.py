"""The engine: one model per process, one thread per device, batches that fit, both precisions."""

import dataclasses
import shutil
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.regions import CURVED
from tests.toys import PRECIP_RATE, fixed_card, toy_card
from tests.training_toys import write_model
from xresdiff.downscale import downscale
from xresdiff.engine import batches, runtime
from xresdiff.engine.arguments import Settings
from xresdiff.engine.runtime import Draw
from xresdiff.errors import InputError, ModelError
from xresdiff.models.card import Channel, SamplerCard, Transform

SETTINGS = Settings(SamplerCard(steps=2))
DRAWS = [Draw(t, (f"time={t}",), m) for t in range(3) for m in range(3)]


@pytest.fixture(scope="module")
def inputs(rain):
    return rain[0].precip_rate.values[:, None]  # (t, c, Y, X)


@pytest.fixture
def loaded(toy):
    return runtime.load(toy.key, "cpu", "float32")


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class Limited:
    """A network whose batches must not be larger than a limit."""

    def __init__(self, network, limit, error):
        self.network, self.limit, self.error, self.sizes = network, limit, error, []

    def __call__(self, x, condition, *rest, **places):
        self.sizes.append(len(condition))
        if len(condition) > self.limit:
            raise self.error
        return self.network(x, condition, *rest, **places)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)."),
        MemoryError(),
    ],
)
def test_batches_are_halved_when_memory_runs_out(loaded, inputs, monkeypatch, error):
    mean = loaded.mean(inputs)
    members = loaded.members(inputs, mean, DRAWS, SETTINGS)

    few = Limited(loaded._mean_net, 1, error)
    monkeypatch.setattr(loaded, "_mean_net", few)
    close(loaded.mean(inputs), mean)
    assert few.sizes == [3, 1, 1, 1]

    few = Limited(loaded._residual_net, 2, error)
    monkeypatch.setattr(loaded, "_residual_net", few)
    close(loaded.members(inputs, mean, DRAWS, SETTINGS), members)
    assert few.sizes[:3] == [9, 4, 2]
    assert sum(few.sizes[2:]) == 9 * SETTINGS.sampler.steps


@pytest.mark.parametrize("kind", ["refined", "fixed"])
def test_residuals_are_multiplied_by_the_scale_of_their_output(inputs, tmp_path, kind):
    wind = Channel("ws", "wind_speed", "m s-1")
    rain = dataclasses.replace(PRECIP_RATE, minimum=None, transform=Transform("identity"))
    channels = {"inputs": (rain, wind), "outputs": (rain, wind), "global_residual": False}
    card = toy_card(conserve=(), **channels) if kind == "refined" else fixed_card(**channels)
    grid = None if kind == "refined" else CURVED
    size = (6, 5) if kind == "refined" else (24, 36)
    coarse = np.random.default_rng(0).normal(size=(1, 2, *size)).astype("f4")

    def residual(name, **scale):
        model = write_model(tmp_path / name, card, grid, quiet=("mean",), residual=scale)
        own = runtime.load(model.key, "cpu", "float32")
        mean = own.mean(coarse)
        return own.members(coarse, mean, DRAWS[:2], SETTINGS) - own.physical(mean, coarse)[[0, 0]]

    plain = residual("plain")
    np.testing.assert_array_equal(residual("one", scale=(1.0, 1.0)), plain)
    scaled = residual("scaled", scale=(0.5, 3.0))
    np.testing.assert_allclose(scaled, plain * [[[0.5]], [[3.0]]], rtol=1e-3, atol=1e-5)


def test_a_single_field_too_many_is_an_error(loaded, inputs, monkeypatch):
    none = Limited(loaded._mean_net, 0, torch.OutOfMemoryError("out of memory"))
    monkeypatch.setattr(loaded, "_mean_net", none)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.mean(inputs)


def test_other_errors_are_not_hidden(loaded, inputs, monkeypatch):
    broken = Limited(loaded._mean_net, 0, RuntimeError("sizes do not match"))
    monkeypatch.setattr(loaded, "_mean_net", broken)
    with pytest.raises(RuntimeError, match="do not match"):
        loaded.mean(inputs)
    assert broken.sizes == [3]


def test_batches_hold_as_many_as_fit(loaded, inputs, monkeypatch):
    seen = Limited(loaded._mean_net, 99, None)
    monkeypatch.setattr(loaded, "_mean_net", seen)
    monkeypatch.setitem(batches.PIXELS_AT_ONCE, "cpu", 2 * 32 * 32)  # padded to the patch
    loaded.mean(np.concatenate([inputs] * 2)[:5])
    assert seen.sizes == [2, 2, 1]


def test_members_of_a_block_do_not_depend_on_each_other(loaded, inputs):
    mean = loaded.mean(inputs)
    together = loaded.members(inputs, mean, DRAWS, SETTINGS)
    for i in (4, 0, 8):
        close(loaded.members(inputs, mean, [DRAWS[i]], SETTINGS)[0], together[i])


def test_one_thread_at_a_time_uses_the_device(loaded, inputs, monkeypatch):
    plain, inside, most = loaded._residual_net, [], []

    def slow(*args, **places):
        inside.append(threading.get_ident())
        most.append(len(inside))
        time.sleep(1e-3)
        try:
            return plain(*args, **places)
        finally:
            inside.pop()

    mean = loaded.mean(inputs)
    alone = loaded.members(inputs, mean, DRAWS, SETTINGS)
    monkeypatch.setattr(loaded, "_residual_net", slow)
    with ThreadPoolExecutor(8) as threads:
        runs = [threads.submit(loaded.members, inputs, mean, DRAWS, SETTINGS) for _ in range(16)]
    for run in runs:
        close(run.result(), alone)
    assert max(most) == 1


@pytest.mark.parametrize("tile", [None, 32, "independent"])
@pytest.mark.parametrize("kind", ["refined", "fixed"])
def test_the_arrays_of_the_caller_are_left_alone(toy, inputs, tmp_path, kind, tile):
    coarse = np.concatenate([inputs] * 2, axis=-1)  # (3, 1, 6, 10), and 40 fine columns
    model = toy
    if kind == "fixed":
        model = write_model(tmp_path / "m", fixed_card(patch=16), CURVED)
        coarse = np.random.default_rng(0).normal(size=(3, 2, 24, 36)).astype("f4")
    own = runtime.load(model.key, "cpu", "float32")
    settings = dataclasses.replace(SETTINGS, tile=tile)
    mean = own.mean(coarse, settings=settings)
    before = coarse.copy(), mean.copy()
    own.mean(coarse, settings=settings)
    own.physical(mean, coarse)
    for draws in (DRAWS, DRAWS[::3]):  # the latter, one of each time, are views
        own.members(coarse, mean, draws, settings)
    np.testing.assert_array_equal(coarse, before[0])
    np.testing.assert_array_equal(mean, before[1])


def test_arrays_may_be_read_only(loaded, inputs):
    fixed = inputs.copy()
    fixed.flags.writeable = False
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mean = loaded.mean(fixed)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(mean, loaded.mean(inputs))


def test_a_model_is_loaded_once(toy, tmp_path, monkeypatch):
    model = runtime.open_key(f"{shutil.copytree(toy.path, tmp_path / 'copy')}@{toy.sha256}")
    opened, plain = [], runtime.open_key

    def slow(key):
        opened.append(key)
        time.sleep(0.05)
        return plain(key)

    monkeypatch.setattr(runtime, "open_key", slow)
    with ThreadPoolExecutor(8) as threads:
        runs = [threads.submit(runtime.load, model.key, "cpu", "float32") for _ in range(8)]
    assert opened == [model.key]
    assert len({id(run.result()) for run in runs}) == 1
    runtime.load(model.key, "cpu", "bfloat16")
    assert len(opened) == 2


def test_auto_is_no_second_copy(toy):
    device = str(runtime.pick_device("auto"))
    assert runtime.load(toy.key, device, "float32") is runtime.load(toy.key, "auto", "float32")


def test_a_damaged_model_is_not_loaded(toy, tmp_path):
    folder = shutil.copytree(toy.path, tmp_path / "toy")
    (folder / "mean.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="damaged"):
        runtime.load(f"{folder}@{toy.sha256}", "cpu", "float32")


def test_networks_record_no_gradients(loaded, inputs):
    parameters = [*loaded._mean_net.parameters(), *loaded._residual_net.parameters()]
    assert parameters
    assert not any(parameter.requires_grad for parameter in parameters)
    assert not loaded._mean_net.training


def test_bfloat16_is_near_float32(coarse, toy):
    draw = {"model": toy, "members": 4, "steps": 4}
    exact = downscale(coarse, precision="float32", **draw).precip_rate
    fast = downscale(coarse, precision="bfloat16", **draw).precip_rate
    assert fast.dtype == np.float32
    error = np.sqrt(((fast - exact) ** 2).mean())
    assert 0 < float(error) < 0.01 * float(np.sqrt((exact**2).mean()))  # measured: 0.0015
    blocks = fast.coarsen(y=4, x=4).mean()
    np.testing.assert_allclose(blocks, coarse.precip_rate.expand_dims(member=4), rtol=1e-4)


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bfloat16_where_it_is_fast(monkeypatch, fast, dtype):
    supported = "_is_avx512_bf16_supported"
    monkeypatch.setattr(torch.cpu, supported, lambda: fast, raising=False)
    assert runtime.pick_dtype("auto", torch.device("cpu")) is dtype
    assert runtime.pick_dtype("float32", torch.device("cpu")) is torch.float32


def test_a_device_that_is_not_there(coarse, toy):
    with pytest.raises(InputError, match=r"no device 'cuda:63' here .*; type device='auto'"):
        runtime.load(toy.key, "cuda:63", "float32")
    lazy = downscale(coarse.chunk(), model=toy, members=1, steps=1, device="cuda:63")
    with pytest.raises(InputError, match="no device 'cuda:63' here"):
        lazy.compute(scheduler="synchronous")


def test_batches_condition_only_their_times(loaded, inputs, monkeypatch):
    mean = loaded.mean(inputs)
    members = loaded.members(inputs, mean, DRAWS, SETTINGS)
    seen, plain = [], loaded.domain.condition

    def noting(given, moments):
        seen.append(len(given))
        return plain(given, moments)

    monkeypatch.setattr(loaded.domain, "condition", noting)
    monkeypatch.setitem(batches.PIXELS_AT_ONCE, "cpu", 1)
    mixed = [DRAWS[i] for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    close(loaded.members(inputs, mean, mixed, SETTINGS)[[0, 3, 6, 1, 4, 7, 2, 5, 8]], members)
    assert seen == [1, 1, 1]
