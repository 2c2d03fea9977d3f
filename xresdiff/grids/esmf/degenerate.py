"""Cells that ESMF refuses: those with fewer than three distinct corners."""

import numpy as np

__all__ = ["SAME_POINT", "describe", "fewer_than_three"]

#: Two points nearer than this, on the unit sphere, are one.
SAME_POINT = 1e-10

NAMED = 3  # cells to name in a message


def fewer_than_three(points: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Tell which cells have fewer than three distinct corners.

    Parameters
    ----------
    points : numpy.ndarray, (3, point)
        Points as unit vectors.
    quads : numpy.ndarray, (4, cell)
        Corners of every cell.

    Returns
    -------
    numpy.ndarray, (cell,)
        Flags; false where a corner is NaN.

    Examples
    --------
    >>> points = np.eye(3)
    >>> fewer_than_three(points, np.array([[0, 1, 2, 2], [0, 1, 1, 0]]).T)
    array([False,  True])
    """
    corners = [points[:, corner] for corner in quads]
    distinct = np.ones(quads.shape[1], np.int8)
    for i in range(1, 4):
        new = np.ones(quads.shape[1], bool)
        for earlier in corners[:i]:
            new &= ~(np.abs(corners[i] - earlier).max(axis=0) < SAME_POINT)
        distinct += new
    return distinct < 3


def describe(cells: np.ndarray, lon: np.ndarray, lat: np.ndarray, role: str) -> str:
    """Say which cells are degenerate: the first few by index and place.

    Parameters
    ----------
    cells : numpy.ndarray, (cell, 2)
        Their indices y, x.
    lon, lat : numpy.ndarray, (cell,)
        Where their first corners are, in degrees.
    role : str
        Whose cells they are, "source" or "target".

    Returns
    -------
    str
        The beginning of a message.

    Examples
    --------
    >>> describe(np.array([[0, 1]]), np.array([6.0]), np.array([50.0]), "source")
    '1 of the source cells has fewer than three distinct corners: (y, x) = (0, 1) at 6 E 50 N'
    """
    places = zip(cells.tolist(), lon, lat, strict=True)
    named = [f"({y}, {x}) at {a:g} E {b:g} N" for (y, x), a, b in list(places)[:NAMED]]
    has = "has" if len(cells) == 1 else "have"
    more = ", ..." if len(cells) > NAMED else ""
    return (
        f"{len(cells)} of the {role} cells {has} fewer than three distinct corners: (y, x) = "
        f"{', '.join(named)}{more}"
    )
