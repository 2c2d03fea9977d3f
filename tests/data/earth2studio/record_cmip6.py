"""Write small checkpoints, and what Earth2Studio makes of a package like CorrDiff CMIP6-ERA5.

Not a test, and not run by one. In an environment with earth2studio 0.19.0 and nvidia-physicsnemo
2.2.2, from the folder of the repository::

    python tests/data/earth2studio/record_cmip6.py

Beside what it gives lies what its networks are told at the first hour. The wrapper writes into the
fields it is given, so that it gets fresh ones for every hour; it fills missing ice, but not missing
snow, which would leave nothing of the output, so that there is none in them. The latents' seed is
recorded.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from record import NET, POSITIONS, drawn, head, save

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from earth2studio.models.auto import Package  # noqa: E402
from earth2studio.models.dx import CorrDiffCMIP6  # noqa: E402
from physicsnemo.diffusion.preconditioners.legacy import (  # noqa: E402
    EDMPrecondSuperResolution,
)
from physicsnemo.models.diffusion_unets import UNet  # noqa: E402

from tests import imitation_cmip6 as im  # noqa: E402

SEED = 5
EVERY = 4  # pixels of the result are kept
HOURS = (-12, 11)
DAY = 1  # of `im.DAYS`, with one before and one after


def write_networks() -> None:
    """Write the checkpoints of both stages."""
    known = 3 * len(im.INPUTS) + len(im.INVARIANTS) - 1 + 3
    n_out = len(im.OUTPUTS)
    size = [im.LAT.size + 47, im.LON.size + 96]
    common = {"img_resolution": size, "img_out_channels": n_out, **NET, **POSITIONS}
    save(drawn(UNet(img_in_channels=known + 4, **common), 40), "cmip6_regression")
    diffusion = EDMPrecondSuperResolution(img_in_channels=known + n_out + 4, **common)
    save(drawn(diffusion, 41), "cmip6_diffusion")


def main() -> None:
    """Write everything."""
    write_networks()
    with tempfile.TemporaryDirectory() as folder:
        path = im.write_cmip6(Path(folder) / "cmip6")
        leads = np.array(HOURS, "m8[h]").astype("m8[ns]")
        model = CorrDiffCMIP6.load_model(Package(str(path)), output_lead_times=leads)
    fields = im.days()[DAY - 1 : DAY + 2]  # (lead, variable, lat, lon)
    snow = fields[:, im.INPUTS.index("snc")]
    snow[:] = np.nan_to_num(snow)
    noon = im.DAYS[DAY]
    members, means = [], []
    for mode, results in (("both", members), ("regression", means)):
        model.inference_mode, model.seed = mode, SEED
        for hour in HOURS:
            x = torch.from_numpy(fields.copy())[None]
            time = (noon + np.timedelta64(hour, "h")).to_pydatetime()
            results.append(model._forward(x, time)[0, 0].numpy())
    first = (noon + np.timedelta64(HOURS[0], "h")).to_pydatetime()
    told = model.preprocess_input(torch.from_numpy(fields.copy())[None], first)[0].numpy()
    shape = (len(im.OUTPUTS), im.LAT.size + 47, im.LON.size + 96)
    thin = (..., slice(None, None, EVERY), slice(None, None, EVERY))
    np.savez_compressed(
        HERE / "cmip6.npz",
        members=np.stack(members)[thin],
        means=np.stack(means)[thin],
        told=told[:, ::7, ::7],
        hours=np.array(HOURS),
        day=DAY,
        seed=SEED,
        latents=head([SEED], shape),
        every=EVERY,
    )
    print(np.stack(members).std(), np.abs(np.stack(members) - np.stack(means)).max())


if __name__ == "__main__":
    main()
