"""What a store holds, how it is cut, and which of its pieces are finished.

All of it is one text in the attribute `MANIFEST` of the root of the store, beside the metadata of
its arrays. It is replaced in one step once a piece is on disk; so whenever a writer dies, what
counts as finished is.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xresdiff.errors import StoreError
from xresdiff.store.places import ROOT, Place

__all__ = ["MANIFEST", "Manifest", "Root", "read_root"]

MANIFEST = "xresdiff_store"
LAYOUT = 2  # of the manifest and of what it promises


@dataclass(frozen=True)
class Manifest:
    """Which ensemble a store holds, how it is cut, and what of it is finished.

    Parameters
    ----------
    fingerprint : dict of str to str
        Checksums of all that determines the ensemble, by name.
    chunks, shards : dict of dimension to int
        Sizes of the chunks, and of the shards if there are any.
    extents : dict of dimension to int
        Sizes of the dimensions that pieces are cut along, in order.
    before : dict of dimension to int
        Sizes before the store last grew: what lies before is finished.
    finished : numpy.ndarray of bool
        Which pieces are finished, along the dimensions of `extents`.
    """

    fingerprint: dict[str, str]
    chunks: dict[str, int]
    shards: dict[str, int]
    extents: dict[str, int]
    before: dict[str, int]
    finished: np.ndarray

    @property
    def pieces(self) -> dict[str, int]:
        """Sizes of the pieces along the dimensions that they are cut along."""
        return {dim: (self.shards or self.chunks)[dim] for dim in self.extents}

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pieces there are along each of these dimensions."""
        return tuple(-(-self.extents[dim] // size) for dim, size in self.pieces.items())

    def to_json(self) -> str:
        """Write it as text."""
        packed = zlib.compress(np.packbits(self.finished).tobytes(), 1)
        told = {**vars(self), "finished": b64encode(packed).decode()}
        return json.dumps({"layout": LAYOUT, **told})

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is something else.
        """
        told: dict[str, Any] = json.loads(text)
        if told.pop("layout", None) != LAYOUT:
            raise ValueError(f"it is no store of layout {LAYOUT}, but of another version")
        empty = cls(**told)
        bits = np.frombuffer(zlib.decompress(b64decode(told["finished"])), np.uint8)
        size = int(np.prod(empty.counts))
        finished = np.unpackbits(bits, count=size).astype(bool).reshape(empty.counts)
        return replace(empty, finished=finished)


class Root:
    """The root of a store: its metadata, the manifest in it, and how that is replaced.

    Parameters
    ----------
    place : Place
        Of the store.
    text : bytes
        Its root as it is there.
    """

    def __init__(self, place: Place, text: bytes) -> None:
        self.place = place
        self.group: dict[str, Any] = json.loads(text)
        self.manifest = Manifest.from_json(self.group["attributes"][MANIFEST])
        self._there = text

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the store."""
        return {k: v for k, v in self.group["attributes"].items() if k != MANIFEST}

    @property
    def arrays(self) -> Mapping[str, dict[str, Any]]:
        """Metadata of the arrays by name, as readers see it."""
        return self.group["consolidated_metadata"]["metadata"]

    def save(self, manifest: Manifest | None = None) -> None:
        """Replace the root in one step, with this manifest or with what was finished in its own.

        Raises
        ------
        OSError
            If that fails.
        StoreError
            If another process has replaced it.
        """
        if self.place.read(ROOT) != self._there:
            raise StoreError(
                f"another process writes to {self.place}, or it was removed; one at a time may. "
                "What both have finished is right; once the other has ended, run the same line "
                "again"
            )
        self.manifest = manifest or self.manifest
        self.group["attributes"][MANIFEST] = self.manifest.to_json()
        text = json.dumps(self.group).encode()
        self.place.replace(ROOT, text, folder=next(iter(self.arrays)))
        self._there = text


def read_root(place: Place) -> Root | None:
    """Read the root of the store at a place, None if nothing is there; refuse anything else.

    Raises
    ------
    StoreError
        If there is something that `to_zarr` did not write, or it cannot be read.
    """
    try:
        if place.is_empty():
            return None
        text = place.read(ROOT)
        if text is None:
            raise ValueError(f"it has no {ROOT}")
        return Root(place, text)
    except (ValueError, KeyError, TypeError, NotADirectoryError, zlib.error) as error:
        raise StoreError(
            f"{place} is {place.kind} that to_zarr did not write ({error!r}); it is left as it "
            f"is. Type another path, such as {place.another!r}"
        ) from error
    except OSError as error:
        raise StoreError(
            f"cannot read {place}: {error}; a place that can be reached and written to is needed"
        ) from error
