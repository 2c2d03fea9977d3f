"""A box of latitudes and longitudes: what a grid covers, in words, and what it lacks of another."""

from dataclasses import dataclass

__all__ = ["Box"]

ROUNDING_DEG = 1e-3  # 100 m: what coordinates written with few decimals may lack


@dataclass(frozen=True)
class Box:
    """A box between two latitudes and two longitudes, in degrees.

    Attributes
    ----------
    south, north : float
        Latitudes.
    west, east : float
        Longitudes, `east` east of `west`; brought to within -180 and 180 for `west` and to at
        most 360 beyond it for `east`, so that boxes in any convention compare. All longitudes
        are -180 and 180.

    Examples
    --------
    >>> print(Box(50, 58, 350, 362))
    50.0 to 58.0 N, 10.0 W to 2.0 E
    >>> Box(50, 58, 350, 362) == Box(50, 58, -10, 2)
    True
    >>> print(Box(-40, -30, 170, -170))
    40.0 to 30.0 S, 170.0 E to 170.0 W
    """

    south: float
    north: float
    west: float
    east: float

    def __post_init__(self) -> None:
        width = self.east - self.west
        west = (self.west + 180) % 360 - 180
        width = 360.0 if width >= 360 - 1e-6 else width % 360
        if width == 360:
            west = -180.0
        object.__setattr__(self, "west", west)
        object.__setattr__(self, "east", west + width)

    def __str__(self) -> str:
        lats = _span(self.south, self.north, "NS")
        if self.all_longitudes:
            return f"{lats}, all longitudes"
        return f"{lats}, {_span(self.west, self.east, 'EW')}"

    @property
    def all_longitudes(self) -> bool:
        """Whether the box goes round the earth."""
        return self.east - self.west == 360

    def covers(self, other: "Box", *, tolerance_deg: float = ROUNDING_DEG) -> bool:
        """Tell whether all of `other` lies in this box, but for the rounding of coordinates."""
        return not self.missing(other, tolerance_deg=tolerance_deg)

    def missing(self, other: "Box", *, tolerance_deg: float = ROUNDING_DEG) -> list[str]:
        """Say what this box lacks to cover `other`: a few words for each side, none if nothing.

        Parameters
        ----------
        other : Box
            Box to cover.
        tolerance_deg : float, default 0.001
            What may be missing on a side.

        Returns
        -------
        list of str
            For messages.

        Examples
        --------
        >>> Box(50, 58, 350, 362).missing(Box(49, 58, -10, 4.5))
        ['1.0 degrees in the south', '2.5 degrees in the east']
        >>> Box(-90, 90, 0, 360).missing(Box(50, 58, -10, 2))
        []
        """
        west, east = (0.0, 0.0) if self.all_longitudes else self._missing_longitudes(other)
        lacking = {
            "south": self.south - other.south,
            "north": other.north - self.north,
            "west": west,
            "east": east,
        }
        return [
            f"{_number(degrees)} degrees in the {side}"
            for side, degrees in lacking.items()
            if degrees > tolerance_deg
        ]

    def _missing_longitudes(self, other: "Box") -> tuple[float, float]:
        """Return what is missing in the west and east, in the turn where it is least."""
        start = (other.west - self.west) % 360
        width, needed = self.east - self.west, other.east - other.west
        turns = [(max(0, -s), max(0, s + needed - width)) for s in (start, start - 360)]
        return min(turns, key=sum)


def _span(low: float, high: float, letters: str) -> str:
    """Return "10.0 W to 2.0 E", or "2.0 to 10.0 E" where the letter is the same."""
    (first, at), (last, to) = _lettered(low, letters), _lettered(high, letters)
    return f"{first} to {last} {to}" if at == to else f"{first} {at} to {last} {to}"


def _lettered(degrees: float, letters: str) -> tuple[str, str]:
    degrees = degrees - 360 if degrees > 180 else degrees
    return _number(abs(degrees)), letters[round(degrees, 3) < 0]


def _number(value: float) -> str:
    """Return three decimals, or as few as tell the same, but one."""
    text = f"{value:.3f}".rstrip("0")
    return text + "0" * text.endswith(".")
