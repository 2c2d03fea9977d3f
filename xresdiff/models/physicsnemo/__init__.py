"""Checkpoints of NVIDIA's PhysicsNeMo (``.mdlus``), read with their numerics and written.

The releases 0.5 to 2.2 computed different things from the same numbers. A checkpoint is run here
as the release that wrote it ran it.
"""

from xresdiff.models.physicsnemo.reading import Checkpoint, read_checkpoint, read_mdlus
from xresdiff.models.physicsnemo.writing import write_mdlus

__all__ = ["Checkpoint", "read_checkpoint", "read_mdlus", "write_mdlus"]
