"""What bilinear along great circles and bilinear in latitude and longitude differ by.

    python benchmarks/latlon_bilinear.py --data FOLDER

FOLDER holds ``era5-uk-t2m/era5_t2m_uk_2019-03.nc`` (ERA5 2 m temperature on 0.25 degrees) and
``era5-levels/era5_levels_members_2017-01.nc`` (ERA5 geopotential on 3 degrees, of which the
geostrophic wind is taken: there is no wind of ERA5 here).
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

import xresdiff

EARTH_RADIUS_M = 6371e3
EARTH_ROTATION_PER_S = 7.2921e-5


def temperature(data: Path) -> xr.Dataset:
    """Return ERA5's 2 m temperature over the United Kingdom, K."""
    return xr.open_dataset(data / "era5-uk-t2m" / "era5_t2m_uk_2019-03.nc")[["t2m"]]


def wind(data: Path) -> xr.Dataset:
    """Return the geostrophic wind of the northern extratropics at 500 hPa, m/s."""
    ds = xr.open_dataset(data / "era5-levels" / "era5_levels_members_2017-01.nc")
    z = ds.z.sel(pressure_level=500, latitude=slice(75, 25)).drop_vars("pressure_level")
    f = 2 * EARTH_ROTATION_PER_S * np.sin(np.deg2rad(z.latitude))
    metres = np.deg2rad(1) * EARTH_RADIUS_M
    u = -z.differentiate("latitude") / metres / f
    v = z.differentiate("longitude") / (metres * np.cos(np.deg2rad(z.latitude))) / f
    inside = {"latitude": slice(1, -1), "longitude": slice(1, -1)}  # one-sided differences at rims
    return xr.Dataset({"u": u, "v": v}).isel(inside)


def difference(ds: xr.Dataset, grid: xr.Dataset) -> dict[str, float]:
    """Return the rms and the largest difference of the two methods."""
    along = xresdiff.regrid(ds, grid, method="bilinear")
    plain = xresdiff.regrid(ds, grid, method="latlon_bilinear")
    apart = np.concatenate([(along[name] - plain[name]).values.ravel() for name in ds])
    apart = apart[np.isfinite(apart)]
    return {"rms": float(np.sqrt(np.mean(apart**2))), "max": float(np.abs(apart).max())}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    uk = xresdiff.target_grid(crs="EPSG:27700", center=(54.0, -3.0), spacing_km=4, shape=(200, 150))
    north = xresdiff.target_grid(lat=(30, 70), lon=(10, 340), spacing_deg=0.5)
    rows = {
        "2 m temperature, 0.25 degrees, March 2019 (K)": difference(temperature(data), uk),
        "geostrophic wind at 500 hPa, 3 degrees (m/s)": difference(wind(data), north),
    }
    print("| field | rms difference | largest |\n| --- | --- | --- |")
    for name, row in rows.items():
        print(f"| {name} | {row['rms']:.2g} | {row['max']:.2g} |")


if __name__ == "__main__":
    main()
