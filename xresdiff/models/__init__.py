"""What a model is (card), how it is kept (package), where to find it (zoo), how others keep theirs.

``xresdiff.models()`` lists the known models: the room itself can be called.
"""

import sys
from types import ModuleType
from typing import cast

from xresdiff.models import physicsnemo
from xresdiff.models.zoo import ModelTable
from xresdiff.models.zoo import models as _models

__all__ = ["physicsnemo", "room"]


class _Room(ModuleType):
    """A module that lists the known models when it is called."""

    def __call__(self) -> ModelTable:
        """List the known models; see :func:`xresdiff.models.zoo.models`."""
        return _models()


sys.modules[__name__].__class__ = _Room
room = cast(_Room, sys.modules[__name__])  # this very module, as type checkers should see it
