"""The commands: what they call, print and refuse."""

import shutil
import subprocess
import sys
from functools import wraps
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from xresdiff import cli, demo
from xresdiff.cli import main, open_file
from xresdiff.errors import InputError
from xresdiff.train import config as config_file
from xresdiff.tutorial import rain_pair


@pytest.fixture
def pair(tmp_path):
    """Paths of a coarse netCDF file and of a fine zarr folder."""
    coarse, fine = rain_pair(times=2, shape=(64, 64))
    coarse.to_netcdf(tmp_path / "coarse.nc")
    fine.to_zarr(tmp_path / "fine.zarr", zarr_format=3)
    return tmp_path / "coarse.nc", tmp_path / "fine.zarr"


@pytest.fixture
def asked(monkeypatch):
    """What downscale and finetune, both stood in for, were asked for."""
    options = {}

    def downscale(ds, **given):
        options.update(given)
        return ds.expand_dims(member=given["members"])

    def finetune(coarse, target, **given):
        options.update(given, coarse=coarse, target=target)
        return SimpleNamespace(path="run/model")

    monkeypatch.setattr(cli, "downscale", downscale)
    monkeypatch.setattr(cli, "finetune", finetune)
    return options


def test_netcdf_and_zarr_are_opened_lazily(pair):
    for path in pair:
        ds = open_file(path)
        assert ds.precip_rate.chunks is not None


def test_a_zip_of_zarr_is_opened(pair, tmp_path):
    shutil.make_archive(str(tmp_path / "fine.zarr"), "zip", pair[1])
    assert open_file(tmp_path / "fine.zarr.zip").precip_rate.sizes["y"] == 64


def test_what_is_not_data_is_refused(tmp_path):
    (tmp_path / "notes.nc").write_text("dear diary")
    with pytest.raises(InputError, match=r"cannot read .*notes.nc"):
        open_file(tmp_path / "notes.nc")


def test_an_error_is_one_line_without_traceback(capsys):
    assert main(["score", "nowhere.nc", "truth.nc"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("xresdiff: there is no nowhere.nc; a netCDF file or a zarr folder is needed\n")


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "made_here", interrupted)
    assert main(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_models_prints_the_table(capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["name", "resolution", "domain"]


def test_downscale_writes_a_store(pair, tmp_path, asked):
    out = tmp_path / "ens.zarr"
    command = ["downscale", str(pair[0]), str(out), "--members", "3", "--model", "alps", "--seed=7"]
    assert main(command) == 0
    given = {name: value for name, value in asked.items() if value not in (None, False)}
    assert given == {"members": 3, "model": "alps", "seed": 7}
    assert xr.open_zarr(out).sizes["member"] == 3


def test_score_prints_the_scores(pair, tmp_path, capsys):
    truth = open_file(pair[1]).load()
    ens = xr.concat([truth, truth + 1.0, truth + 2.0], "member")
    ens.to_netcdf(tmp_path / "ens.nc")
    assert main(["score", str(tmp_path / "ens.nc"), str(pair[1])]) == 0
    table = capsys.readouterr().out.split()
    assert float(table[table.index("precip_rate") + 1 + table.index("bias")]) == 1.0


def test_demo_prints_and_writes(monkeypatch, tmp_path, capsys):
    coarse, truth = rain_pair(shape=(64, 64))
    case = demo.Case(coarse.precip_rate, truth.precip_rate)
    ens = truth.expand_dims(member=2) * xr.DataArray([0.9, 1.1], dims="member")
    ens.precip_rate.attrs = truth.precip_rate.attrs
    monkeypatch.setattr(demo, "made_here", lambda: case)
    monkeypatch.setattr(demo, "downscale", lambda ds, **options: ens)
    assert main(["demo", "--members", "2", "--out", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "downscaling 1 x 4 x 4 coarse cells to 2 members" in out
    assert "CRPS, fair (mm h-1)" in out
    assert (tmp_path / "demo" / "members.png").exists()


def test_demo_on_a_file_without_rain_is_refused(tmp_path, capsys):
    xr.Dataset({"t": ("x", np.arange(3.0))}).to_netcdf(tmp_path / "t.nc")
    assert main(["demo", "--data", str(tmp_path / "t.nc")]) == 2
    assert "xresdiff:" in capsys.readouterr().err


def test_train_is_given_the_pair(pair, asked, capsys):
    assert main(["train", *map(str, pair), "--steps", "5", "--out", "run"]) == 0
    assert (asked["coarse"].sizes["y"], asked["target"].sizes["y"]) == (4, 64)
    assert (asked["model"], asked["steps"], asked["out"]) == (None, 5, "run")
    assert capsys.readouterr().out == "trained run/model\n"


@pytest.mark.parametrize(("rank", "told"), [("0", "trained run/model\n"), ("1", "")])
@pytest.mark.usefixtures("asked")
def test_of_several_processes_one_tells_what_was_trained(pair, capsys, monkeypatch, rank, told):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert main(["train", *map(str, pair)]) == 0
    assert capsys.readouterr().out == told


def test_train_needs_a_target(pair, capsys):
    assert main(["train", str(pair[0])]) == 2
    assert "a target is needed beside" in capsys.readouterr().err


@pytest.fixture
def config(pair, tmp_path):
    """Path of a file that tells a training."""
    path = tmp_path / "config.yaml"
    path.write_text("coarse: coarse.nc\ntarget: fine.zarr\nsteps: {mean: 2, residual: 3}\n")
    return path


@pytest.fixture
def told(monkeypatch):
    """What the functions behind a file, stood in for, were asked for."""
    options = {}

    def called(name):
        def function(**given):
            options.update(given, function=name)
            return SimpleNamespace(path="run/model")

        return function

    for name in ("finetune", "train"):
        monkeypatch.setattr(config_file, name, wraps(getattr(config_file, name))(called(name)))
    return options


def test_a_file_tells_a_training(config, told, capsys):
    assert main(["train", str(config)]) == 0
    assert told["function"] == "finetune"
    assert told["coarse"].sizes["y"] == 4
    assert told["target"].precip_rate.chunks is not None
    assert told["steps"] == {"mean": 2, "residual": 3}
    assert capsys.readouterr().out == "trained run/model\n"


def test_what_is_typed_counts_more_than_the_file(config, told):
    assert main(["train", str(config), "--steps", "9", "--out", "there"]) == 0
    assert (told["steps"], told["out"]) == (9, "there")


def test_a_file_may_train_from_nothing_and_describe_channels(config, told):
    rain = "{name: precip_rate, standard_name: rainfall_rate, units: mm h-1, minimum: 0.0}"
    config.write_text(config.read_text() + f"model: none\noutputs: [{rain}, t2m]\n")
    assert main(["train", str(config)]) == 0
    assert told["function"] == "train"
    assert "model" not in told
    assert told["outputs"][0].minimum == 0
    assert told["outputs"][1] == "t2m"


def test_all_that_is_wrong_with_a_file_is_told(config, told, capsys):
    config.write_text("coarse: coarse.nc\nstepz: 3\nlayers: 4\n")
    assert main(["train", str(config)]) == 2
    err = capsys.readouterr().err
    assert "target is missing" in err
    assert "'stepz' is no argument; they are coarse, target, model" in err
    assert "'layers' is no argument" in err


def test_a_file_that_is_no_mapping_is_refused(config, told, capsys):
    config.write_text("- coarse.nc\n- fine.zarr\n")
    assert main(["train", str(config)]) == 2
    assert "lines such as 'coarse: coarse.zarr' are needed" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["upscale"], ["demo", "--members", "few"]])
def test_nonsense_is_refused_with_the_usage(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "usage: xresdiff" in capsys.readouterr().err


def test_the_grid_wanted_is_a_file_or_made_over_the_input(pair, tmp_path, asked):
    coarse, fine = map(str, pair)
    assert main(["downscale", coarse, str(tmp_path / "a.zarr")]) == 0
    assert asked["grid"] is None
    assert main(["downscale", coarse, str(tmp_path / "b.zarr"), "--grid", fine]) == 0
    assert asked["grid"].sizes["y"] == 64
    how = ["--spacing-km", "2", "--crs", "EPSG:3035", "--accumulation", "1h"]
    assert main(["downscale", coarse, str(tmp_path / "c.zarr"), *how]) == 0
    assert asked["grid"].crs.attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    assert asked["accumulation"] == "1h"


def test_small_results_may_be_netcdf_files(pair, tmp_path):
    out = tmp_path / "out.nc"
    assert main(["downscale", str(pair[0]), str(out), "--members", "2", "--steps", "1"]) == 0
    with xr.open_dataset(out) as ens:
        assert ens.sizes["member"] == 2


def test_python_runs_the_package(capfd):
    run = subprocess.run([sys.executable, "-m", "xresdiff", "--version"], check=True)
    assert run.returncode == 0
    assert capfd.readouterr().out.startswith("xresdiff ")
