"""Write small checkpoints told the lead time, and what PhysicsNeMo makes of them in patches.

Not a test, and not run by one. In an environment with earth2studio 0.19.0 and nvidia-physicsnemo
2.2.2, from the folder of the repository::

    TORCHDYNAMO_DISABLE=1 python tests/data/earth2studio/record_gefs.py

Earth2Studio's wrapper of the generic package brings the weather to the networks and their output
into units; it knows no lead times and no patches, so that PhysicsNeMo's two steps are called here.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from record import NET, drawn, head, save

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from earth2studio.models.auto import Package  # noqa: E402
from earth2studio.models.dx import CorrDiff  # noqa: E402
from physicsnemo.diffusion.generate.legacy_generate import (  # noqa: E402
    diffusion_step,
    regression_step,
)
from physicsnemo.diffusion.multi_diffusion import GridPatching2D  # noqa: E402
from physicsnemo.diffusion.preconditioners.legacy import (  # noqa: E402
    EDMPrecondSuperResolution,
)
from physicsnemo.diffusion.samplers.legacy_stochastic_sampler import (  # noqa: E402
    stochastic_sampler,
)
from physicsnemo.models.diffusion_unets import CorrDiffRegressionUNet  # noqa: E402

from tests import imitation_gefs as gefs  # noqa: E402
from tests import imitations as im  # noqa: E402

SEED = 9
EVERY = 2  # pixels of the result are kept
LABELS = (0, 2)
N_GRID, N_LEAD = 4, 2


def write_networks() -> None:
    """Write the checkpoints of both stages."""
    n_in, n_out = gefs.INPUT_CHANNELS, len(gefs.OUTPUTS)
    common = {
        "img_resolution": list(gefs.TARGET),
        "img_out_channels": n_out,
        "model_type": "SongUNetPosLtEmbd",
        "N_grid_channels": N_GRID,
        "lead_time_channels": N_LEAD,
        "lead_time_steps": len(gefs.LEAD_HOURS),
        **NET,
    }
    regression = CorrDiffRegressionUNet(
        img_in_channels=n_in + N_GRID + N_LEAD,
        gridtype="sinusoidal",
        prob_channels=list(gefs.PROBABILITIES),
        **common,
    )
    diffusion = EDMPrecondSuperResolution(
        img_in_channels=2 * n_in + n_out + N_GRID + N_LEAD, gridtype="learnable", **common
    )
    save(drawn(regression, 50), "gefs_regression")
    save(drawn(diffusion, 51), "gefs_diffusion")


def main() -> None:
    """Write everything."""
    write_networks()
    with tempfile.TemporaryDirectory() as folder:
        path = gefs.write_gefs(Path(folder) / "gefs")
        model = CorrDiff.load_model(Package(str(path)))
    own, steps = gefs.PATCHES, gefs.SAMPLER["number_of_steps"]
    high = gefs.SAMPLER["sigma_max"]
    sampler = partial(stochastic_sampler, num_steps=steps, sigma_max=high)
    patching = GridPatching2D(
        gefs.TARGET, own["patch_shape"], own["patch_overlap"], own["patch_boundary"]
    )
    coarse = im.coarse_fields(im.GENERIC_INPUTS, *im.coarse_axes())
    told = model.preprocess_input(torch.from_numpy(coarse)).float()
    shape = (len(gefs.OUTPUTS), *gefs.TARGET)
    members, means = [], []
    for label in torch.tensor(LABELS):
        mean = regression_step(
            net=model.regression_model,
            img_lr=told,
            latents_shape=(1, *shape),
            lead_time_label=label[None],
        )
        residual = diffusion_step(
            net=model.residual_model,
            sampler_fn=partial(sampler, patching=patching),
            img_shape=gefs.TARGET,
            img_out_channels=shape[0],
            rank_batches=[[SEED]],
            img_lr=told,
            rank=1,
            device=told.device,
            mean_hr=mean,
            lead_time_label=label[None],
        )
        members.append(model.postprocess_output(mean + residual)[0].detach().numpy())
        means.append(model.postprocess_output(mean)[0].detach().numpy())
    thin = (..., slice(None, None, EVERY), slice(None, None, EVERY))
    np.savez_compressed(
        HERE / "gefs.npz",
        members=np.stack(members)[thin],
        means=np.stack(means)[thin],
        labels=np.array(LABELS),
        seed=SEED,
        latents=head([SEED], shape),
        every=EVERY,
    )
    print(np.stack(members).std((0, 2, 3)), np.ptp(np.stack(means), axis=(0, 2, 3)))


if __name__ == "__main__":
    main()
