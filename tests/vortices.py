"""Cyclones of known wind on grids of several kinds, their geometry by pyproj."""

import numpy as np
import pyproj
import xarray as xr

GEOD = pyproj.Geod(a=6371e3, b=6371e3)
LAEA = pyproj.CRS("+proj=laea +lat_0=24 +lon_0=122 +R=6371000")
RMW_KM, STRONGEST = 40.0, 50.0


def holland(r_km):
    """Wind of Holland (1980, Mon. Wea. Rev. 108, 1212-1218), b = 2, without Coriolis."""
    s = (RMW_KM / np.maximum(r_km, 1e-6)) ** 2
    return STRONGEST * np.sqrt(s * np.exp(1 - s))


def grid(kind, lat_0=24.0, lon_0=122.0):
    """Make a grid of about 5 km around a place; its latitudes and longitudes, (y, x)."""
    steps = 5.0 * np.arange(-50, 51)
    if kind == "latlon":
        lat, lon = lat_0 + steps / 111.195, lon_0 + steps / 100.0
        coords = {"lat": lat[::-1], "lon": lon}
        return coords, ("lat", "lon"), *np.meshgrid(lat[::-1], lon, indexing="ij")
    turn = pyproj.Transformer.from_crs(LAEA, LAEA.geodetic_crs, always_xy=True)
    if kind == "projected":
        lon, lat = turn.transform(*np.meshgrid(1e3 * steps, 1e3 * steps))
        y, x = (("y", 1e3 * steps, {"units": "m"}), ("x", 1e3 * steps, {"units": "m"}))
        return {"y": y, "x": x, "crs": ((), 0, LAEA.to_cf())}, ("y", "x"), lat, lon
    x, y = np.meshgrid(1e3 * steps, 1e3 * steps)
    lon, lat = turn.transform(0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x)  # turned
    return {"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, ("j", "i"), lat, lon


def vortex(kind="latlon", row=50, column=50, inflow=0.0, **place):
    """Put a cyclone on a point of a grid, its geometry by pyproj: Dataset, latitude, longitude."""
    coords, dims, lat, lon = grid(kind, **place)
    centre = lat[row, column], lon[row, column]
    everywhere = [np.full(lat.shape, part) for part in centre]
    _, back, metres = GEOD.inv(everywhere[1], everywhere[0], lon, lat)
    away = np.radians(back + 180)  # clockwise from north, at the point
    speed, radial = holland(metres / 1e3), -inflow * holland(metres / 1e3)
    u = -speed * np.cos(away) + radial * np.sin(away)
    v = speed * np.sin(away) + radial * np.cos(away)
    msl = 101000 - 5000 * np.exp(-((metres / 1e5) ** 2))
    fields = {"u10": u, "v10": v, "msl": msl, "rain": metres / 1e3}
    units = {"u10": "m s-1", "v10": "m s-1", "msl": "Pa", "rain": "mm"}
    ds = xr.Dataset({n: (dims, f.astype("f4"), {"units": units[n]}) for n, f in fields.items()})
    return ds.assign_coords(coords), *centre


def ensemble(kind="latlon"):
    """Cyclones of 2 members at 2 times at places of their own: Dataset, rows, columns."""
    rows, columns = np.array([[40, 50], [60, 45]]), np.array([[55, 50], [47, 62]])
    each = [
        xr.concat([vortex(kind, rows[m, t], columns[m, t])[0] for t in (0, 1)], "time")
        for m in (0, 1)
    ]
    ds = xr.concat(each, "member").assign_coords(time=[0, 6], member=[0, 1])
    return ds, rows, columns
