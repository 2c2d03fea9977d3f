"""Importing xresdiff, and building a graph with it, loads nothing heavy."""

import json
import subprocess
import sys
import textwrap

HEAVY = ("torch", "xesmf", "matplotlib", "pooch", "scipy.sparse", "pyproj", "distributed")


def run(code, *arguments):
    """Run code in a fresh interpreter; return what it prints, read as JSON."""
    lines = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_loads_nothing_heavy():
    loaded = run(
        """
        import json, sys, warnings
        import xarray
        warnings.simplefilter("error")  # two accessors of one name would be a warning
        import xresdiff
        xresdiff.models()
        print(json.dumps(list(sys.modules)))
        """
    )
    assert "xresdiff.downscale" in loaded
    assert not set(HEAVY) & set(loaded)


def test_building_a_graph_loads_no_networks(toy):
    loaded = run(
        """
        import json, sys
        import numpy as np
        import xarray as xr
        import xresdiff
        km = {d: (d, 16.0 * np.arange(4), {"units": "km"}) for d in ("y", "x")}
        rain = xr.DataArray(np.ones((2, 4, 4)), km, ("time", "y", "x"), attrs={"units": "mm h-1"})
        coarse = rain.to_dataset(name="precip_rate").chunk(time=1)
        ens = coarse.resdiff.downscale(model=sys.argv[1])
        assert ens.precip_rate.chunks
        repr(coarse.resdiff)
        print(json.dumps(list(sys.modules)))
        """,
        toy.path,
    )
    assert not {"torch", "xesmf", "matplotlib", "pooch"} & set(loaded)
