"""Every method is a function too, with the same signature, and holds one line."""

import ast
import inspect
import warnings

import pytest
import xarray as xr

import xresdiff
from xresdiff import accessor

ACCESSORS = (xresdiff.ResdiffDatasetAccessor, xresdiff.ResdiffDataArrayAccessor)
METHODS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in ACCESSORS
    for name, _ in inspect.getmembers(cls, inspect.isfunction)
    if not name.startswith("_")
]


def test_there_are_methods():
    names = {method.values[1] for method in METHODS}
    assert {"downscale", "finetune", "to_zarr", "crps", "spectrum", "scores"} <= names


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_methods_are_functions_too(cls, name):
    method, function = getattr(cls, name), getattr(xresdiff, name)
    _, *of_method = inspect.signature(method).parameters.values()
    _, *of_function = inspect.signature(function).parameters.values()
    assert of_method == of_function
    assert f"See :func:`xresdiff.{name}`." in method.__doc__


def test_methods_hold_one_line():
    tree = ast.parse(inspect.getsource(accessor))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        body = [line for line in function.body if not _is_docstring(line)]
        assert len(body) == 1, function.name


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_everything_public_is_there_and_documented():
    for name in xresdiff.__all__:
        assert getattr(xresdiff, name).__doc__, name


def test_methods_give_what_functions_give(coarse, rain, toy):
    ens = coarse.resdiff.downscale(model=toy, members=2, steps=1)
    xr.testing.assert_equal(ens, xresdiff.downscale(coarse, model=toy, members=2, steps=1))
    xr.testing.assert_equal(ens.resdiff.crps(rain[1]), xresdiff.crps(ens, rain[1]))
    xr.testing.assert_equal(ens.precip_rate.resdiff.spread(), xresdiff.spread(ens.precip_rate))


def test_accessors_keep_no_state(coarse):
    assert vars(coarse.resdiff) == {"_obj": coarse}
    assert not hasattr(coarse.precip_rate.resdiff, "downscale")


def test_the_name_is_free_of_clashes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(xr.Dataset.resdiff, type)
        assert xr.Dataset.resdiff is xresdiff.ResdiffDatasetAccessor
        assert xr.DataArray.resdiff is xresdiff.ResdiffDataArrayAccessor


def test_models_is_a_room_and_a_list():
    assert xresdiff.models() == xresdiff.models.zoo.models()
    assert xresdiff.models.card.ModelCard is xresdiff.ModelCard


def test_versions_are_shown(capsys):
    xresdiff.show_versions()
    shown = capsys.readouterr().out
    assert f"xresdiff     {xresdiff.__version__}" in shown
    assert "torch" in shown
