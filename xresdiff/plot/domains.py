"""Where a model works, as a figure."""

from typing import TYPE_CHECKING

import numpy as np

from xresdiff.errors import InputError
from xresdiff.models.card import FixedTarget, ModelCard
from xresdiff.plot.colours import BLUE
from xresdiff.plot.paper import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Polygon

__all__ = ["CardPlotMethods", "domain"]

MARGIN = 0.15  # of the width and height, around a domain
NARROWEST = 0.1  # cosine of the latitude above which degrees are not drawn any wider


def domain(
    card: ModelCard,
    *,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Polygon":
    """Show the region that a model gives fields of.

    Parameters
    ----------
    card : ModelCard
        Of a model with a fixed target, opened or written by this package.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    figsize : tuple of float, optional
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.patches.Polygon
        In degrees of longitude and latitude; a degree is as long to the east as to the north in
        the middle of the region.

    Raises
    ------
    InputError
        If the model works anywhere.

    Examples
    --------
    >>> from xresdiff import open_model
    >>> open_model("rain-16x").card.plot.domain()
    Traceback (most recent call last):
    xresdiff.errors.InputError: rain-16x has no region to draw: it works anywhere, ...
    """
    if not isinstance(card.target, FixedTarget):
        raise InputError(f"{card.name} has no region to draw: it works {card.target.domain}")
    if not card.target.outline:
        raise InputError(f"the card of {card.name} does not tell the outline of its region")
    points = _around(np.array(card.target.outline))
    ax = axes_for(ax, figsize)
    (patch,) = ax.fill(*points.T, facecolor=BLUE, edgecolor=BLUE, alpha=0.4, linewidth=1.5)
    low, high = points.min(axis=0), points.max(axis=0)
    edge = MARGIN * (high - low)
    ax.set_xlim(low[0] - edge[0], high[0] + edge[0])
    ax.set_ylim(max(low[1] - edge[1], -90), min(high[1] + edge[1], 90))
    middle = np.cos(np.radians((low[1] + high[1]) / 2))
    ax.set_aspect(1 / max(middle, NARROWEST))
    ax.grid(alpha=0.4)
    ax.set_xlabel("longitude (degrees east)")
    ax.set_ylabel("latitude (degrees north)")
    ax.set_title(f"{card.name}: {card.target.spacing_km:g} km")
    return patch


def _around(points: np.ndarray) -> np.ndarray:
    """Return an outline, ``(n, 2)``, in one piece; one that turns around a pole reaches up to it.

    Longitudes go on beyond the date line.
    """
    lon, lat = np.concatenate([points, points[:1]]).T
    lon = np.unwrap(lon, period=360)
    if abs(lon[-1] - lon[0]) < 180:
        return np.column_stack([lon, lat])[:-1]
    pole = 90.0 if lat.mean() > 0 else -90.0
    return np.column_stack([[*lon, lon[-1], lon[0]], [*lat, pole, pole]])


class CardPlotMethods:
    """Figures of a model card, as ``card.plot``."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def domain(
        self, *, ax: "Axes | None" = None, figsize: tuple[float, float] | None = None
    ) -> "Polygon":
        """Show the region that the model gives fields of; see :func:`xresdiff.plot.domain`."""
        return domain(self._card, ax=ax, figsize=figsize)
