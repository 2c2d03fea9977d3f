"""Stores on other filesystems, full disks and silent servers."""

import logging
import os
import socket
import subprocess
import time

import dask
import dask.array
import fsspec
import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import to_zarr
from xresdiff.store.places import DRAFT, Place


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


def ensemble(dies_at=None, seed=0, size=6):
    made = []

    def block(block_info=None):
        if len(made) == dies_at:
            raise KeyboardInterrupt
        corner = tuple(start for start, _ in block_info[None]["array-location"])
        made.append(corner)
        return np.random.default_rng([seed, *corner]).normal(size=(2, 1, 3, 5)).astype("f4")

    chunks = ((2, 2), (1,) * size, (3,), (5,))
    rain = dask.array.map_blocks(block, chunks=chunks, dtype="f4", meta=np.empty((), "f4"))
    coords = {"member": np.arange(4), "time": np.arange(size)}
    ens = xr.Dataset({"rain": (("member", "time", "y", "x"), rain)}, coords, {"seed": seed})
    return ens, made


@pytest.fixture(scope="module")
def s3():
    """Run a server that speaks S3, with one bucket."""
    for name in ("s3fs", "flask", "flask_cors"):
        pytest.importorskip(name)
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    fs = fsspec.filesystem("s3", **options)
    fs.mkdir("bucket")
    yield options
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request, tmp_path):
    if request.param == "memory":
        return f"memory:/{tmp_path}/ens.zarr", None
    return f"s3://bucket{tmp_path}/ens.zarr", request.getfixturevalue("s3")


def files(url, options):
    fs, root = fsspec.core.url_to_fs(url, **(options or {}))
    fs.invalidate_cache()
    return {path.removeprefix(root): fs.cat_file(path) for path in fs.find(root)}


def written(url, options):
    fs, root = fsspec.core.url_to_fs(url, **(options or {}))
    fs.invalidate_cache()
    return {path: fs.modified(path) for path in fs.find(root)}


def test_a_store_on_a_url_is_that_of_a_disk(url, tmp_path):
    path, options = url
    ens, finished = ensemble(dies_at=3, size=3)
    with pytest.raises(KeyboardInterrupt):
        to_zarr(ens, path, storage_options=options)
    ens, made = ensemble(size=3)
    to_zarr(ens, path, storage_options=options)
    assert sorted(finished + made) == [(m, t, 0, 0) for m in (0, 2) for t in range(3)]
    to_zarr(ens, tmp_path / "local.zarr")
    there, local = files(path, options), files(str(tmp_path / "local.zarr"), None)
    assert {k: v for k, v in there.items() if k != "/zarr.json"} == {
        k: v for k, v in local.items() if k != "/zarr.json"
    }
    xr.testing.assert_equal(xr.open_zarr(path, storage_options=options).load(), ens.compute())
    before = written(path, options)
    with pytest.raises(StoreError, match="seed is 0 there, 1 here"):
        to_zarr(ensemble(seed=1, size=3)[0], path, storage_options=options)
    assert files(path, options) == there
    assert written(path, options) == before


def test_a_store_on_a_url_grows(url):
    path, options = url
    whole, _ = ensemble(size=3)
    to_zarr(whole.isel(time=slice(2)), path, storage_options=options)
    to_zarr(whole.isel(time=slice(2, None)), path, storage_options=options)
    xr.testing.assert_equal(xr.open_zarr(path, storage_options=options).load(), whole.compute())


def test_what_is_left_of_a_store_that_was_never_whole_is_overwritten(url):
    path, options = url
    ens, _ = ensemble(size=1)
    place = Place(path, options)
    with place._filesystem() as (fs, root):
        fs.pipe_file(f"{root}/{DRAFT}", b"")
        fs.pipe_file(f"{root}/rest/zarr.json", b"half")
    to_zarr(ens, path, storage_options=options)
    assert not [name for name in files(path, options) if "rest" in name or DRAFT in name]


def test_strangers_on_a_url_are_left_alone(url):
    path, options = url
    fs, root = fsspec.core.url_to_fs(path, **(options or {}))
    fs.pipe_file(f"{root}/diary", b"dear")
    with pytest.raises(StoreError, match="to_zarr did not write"):
        to_zarr(ensemble()[0], path, storage_options=options)
    assert files(path, options) == {"/diary": b"dear"}


def test_a_bucket_that_is_not_there_is_told(s3):
    ens, made = ensemble()
    with pytest.raises(StoreError, match=r"cannot make s3://nowhere/ens.zarr"):
        to_zarr(ens, "s3://nowhere/ens.zarr", storage_options=s3)
    assert made == []


def test_a_server_that_is_not_there_is_told(s3):
    ens, made = ensemble()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {**s3, "endpoint_url": f"http://127.0.0.1:{port}"}
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot read s3://bucket/ens.zarr.*onnect"):
        to_zarr(ens, "s3://bucket/ens.zarr", storage_options=options)
    assert made == []
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("https://example.org/ens.zarr", "cannot be written to chunk by chunk.*s3://bucket"),
        ("zip::s3://bucket/ens.zip", "cannot be written to chunk by chunk"),
        ("nonsense://ens.zarr", "of no filesystem that fsspec knows"),
    ],
)
def test_urls_that_cannot_be_written_to_are_refused(path, told):
    with pytest.raises(StoreError, match=told):
        to_zarr(ensemble()[0], path)


def test_a_filesystem_that_is_not_installed_is_told(monkeypatch):
    def missing(scheme):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(StoreError, match="type: pip install s3fs"):
        to_zarr(ensemble()[0], "s3://bucket/ens.zarr")


def test_a_url_of_a_file_is_a_folder(tmp_path):
    to_zarr(ensemble()[0], f"file://{tmp_path}/ens.zarr")
    assert (tmp_path / "ens.zarr" / "zarr.json").exists()


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 192 kB, where this user may."""
    disk = tmp_path / "disk"
    disk.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(line, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("this user mounts no disks")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("free", range(4096, 135000, 32768))
def test_a_full_disk_is_told_and_the_run_resumed(small_disk, free):
    path, filler = small_disk / "ens.zarr", small_disk / "filler"
    filler.write_bytes(os.urandom(192 * 1024 - free))
    ens, _ = ensemble(size=16)
    with pytest.raises(StoreError, match=r"No space left|stopped after \d+ of 32 chunks"):
        to_zarr(ens, path)
    if path.exists():
        xr.open_zarr(path).load()
    filler.unlink()
    to_zarr(ens, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.compute())


def test_a_disk_that_vanishes_is_told(tmp_path):
    path = tmp_path / "ens.zarr"
    ens, made = ensemble()

    def vanish(block):
        if len(made) == 4:
            path.rename(tmp_path / "gone")
            made.append(None)
        return block

    broken = ens.assign(rain=ens.rain.copy(data=ens.rain.data.map_blocks(vanish, dtype="f4")))
    with pytest.raises(StoreError, match=r"stopped after|was removed"):
        to_zarr(broken, path)
    (tmp_path / "gone").rename(path)
    to_zarr(ens, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), ens.compute())


def test_a_server_that_never_answers_is_given_up(s3):
    ens, made = ensemble()
    patience = {"read_timeout": 1, "retries": {"max_attempts": 0}}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = {**s3, "endpoint_url": url, "config_kwargs": patience}
        with pytest.raises(StoreError, match=r"cannot read s3://bucket/silent.zarr: Read timeout"):
            to_zarr(ens, "s3://bucket/silent.zarr", storage_options=options)
    assert made == []
