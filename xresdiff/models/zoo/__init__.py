"""Models by name or address: which there are, where they are, and how they come here.

::

    entries     what is known of a model          known     the published models
    addresses   hf:// ngc:// doi: https:// ...    embedded  the models inside this package
    sources     the files behind an address       registry  names to places, yours included
    download    one file, over any network        table     what ``xresdiff.models()`` shows
    records     the hashes of what was fetched
    locks       one download at a time
    fetch       all of it, into the cache

Nothing is fetched but by :func:`locate` and :func:`locate_address`, which the process that builds
a graph calls; workers call :func:`find` and :func:`find_address`.
"""

from xresdiff.models.zoo.addresses import is_address
from xresdiff.models.zoo.entries import Entry
from xresdiff.models.zoo.registry import (
    at_hand,
    find,
    find_address,
    forget_hint,
    locate,
    locate_address,
    names,
    portable,
    register,
)
from xresdiff.models.zoo.table import ModelTable, models

__all__ = [
    "Entry",
    "ModelTable",
    "at_hand",
    "find",
    "find_address",
    "forget_hint",
    "is_address",
    "locate",
    "locate_address",
    "models",
    "names",
    "portable",
    "register",
]
