"""A package like CorrDiff US GEFS-HRRR, with small random networks."""

import json
from pathlib import Path
from typing import Any

from tests import imitations as im

OUTPUTS = ("t2m", "u10m", "csnow", "crain")
PROBABILITIES = (2, 3)  # of the outputs
TARGET = (48, 64)
LEAD_HOURS = (0, 3, 6)
PATCHES = {"patch_shape": [16, 24], "patch_overlap": 2, "patch_boundary": 1}
SAMPLER = {"number_of_steps": 3, "sigma_max": 80.0}
INPUT_CHANNELS = len(im.GENERIC_INPUTS) + len(im.INVARIANTS)


def write_gefs(folder: Path, networks: str = "gefs", **changes: Any) -> Path:
    """Write a package, with the given keys of metadata.json changed; None leaves one out."""
    im.write_generic(folder, networks, im.curved(*TARGET), output_variables=OUTPUTS[:2])
    own = {"output_variables": OUTPUTS, "lead_hours": LEAD_HOURS, **PATCHES, **SAMPLER}
    metadata = im.generic_metadata(**(own | changes))
    (folder / "metadata.json").write_text(json.dumps(metadata))
    path = folder / "stats.json"
    stats = json.loads(path.read_text())
    stats["output"] |= {OUTPUTS[place]: {"mean": 0.0, "std": 1.0} for place in PROBABILITIES}
    path.write_text(json.dumps(stats))
    return folder
