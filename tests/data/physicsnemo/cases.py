"""The networks of which there are checkpoints: which class, over which network, how called."""

from dataclasses import dataclass, field
from typing import Any

SIZE, SQUARE = [16, 24], 16
KNOWN, OUT = 3, 2  # channels of the condition and of the result
TINY: dict[str, Any] = {
    "model_channels": 4,
    "channel_mult": [1, 2],
    "channel_mult_emb": 2,
    "num_blocks": 1,
    "attn_resolutions": [8],
}
OURS = ("known", "out", "legacy_format")  # channels where they differ, and an argument of save
REG, EDM, SR = "CorrDiffRegressionUNet", "EDMPrecondSuperResolution", "EDMPrecondSR"
SONG, POS, LEAD, DHARIWAL = "SongUNet", "SongUNetPosEmbd", "SongUNetPosLtEmbd", "DhariwalUNet"


@dataclass(frozen=True)
class Case:
    """One checkpoint.

    `net` are arguments of the inner network `model_type`, `own` those of the wrapper and what
    is said with the names of OURS; `patched` is "", "index" or "selector".
    """

    wrapper: str
    model_type: str = SONG
    net: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    patched: str = ""
    size: Any = field(default_factory=lambda: SIZE)
    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (99,)
    batch: int = 2

    @property
    def known(self) -> int:
        """Channels of the condition that the caller gives."""
        return self.own.get("known", KNOWN)

    @property
    def out(self) -> int:
        """Channels of the result."""
        return self.own.get("out", OUT)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of the inner network."""
        return TINY | self.net

    @property
    def extra(self) -> int:
        """Channels that the network adds to its input by itself."""
        if self.model_type in (SONG, DHARIWAL):
            return 0
        return self.settings.get("N_grid_channels", 4) + self.settings.get("lead_time_channels", 0)


def grid(gridtype: str, channels: int, **more: Any) -> dict[str, Any]:
    """Return the arguments of a positional grid."""
    return {"gridtype": gridtype, "N_grid_channels": channels, **more}


LEADS = {"lead_time_channels": 2, "lead_time_steps": 3}
NCSNPP = {"embedding_type": "fourier", "encoder_type": "residual", "resample_filter": [1, 3, 3, 1]}
WIDE = {"channel_mult": [1, 16], "channel_mult_emb": 1}  # attention needs 64 channels a head

NOW = {
    "reg_songunet": Case(REG),
    "reg_zero_embedding": Case(REG, POS, {"embedding_type": "zero"}),
    "reg_learnable": Case(REG, POS, grid("learnable", 3)),
    "reg_three_levels": Case(REG, POS, {"channel_mult": [1, 2, 2], "attn_resolutions": [16, 4]}),
    "reg_two_blocks": Case(REG, SONG, {"num_blocks": 2, "attn_resolutions": [16]}),
    "reg_lead_time": Case(REG, LEAD, LEADS),
    "reg_probabilities": Case(REG, LEAD, LEADS | {"prob_channels": [1, 2]}, {"out": 3}),
    "reg_lead_time_no_grid": Case(REG, LEAD, LEADS | {"N_grid_channels": 0}),
    "reg_fp16": Case(REG, SONG, {}, {"use_fp16": True}),
    "reg_index": Case(REG, POS, grid("learnable", 3), patched="index"),
    "reg_lead_time_index": Case(REG, LEAD, LEADS, patched="index"),
    "reg_legacy_class": Case("UNet", POS, grid("sinusoidal", 4)),
    "reg_legacy_format": Case(REG, POS, grid("sinusoidal", 4), {"legacy_format": True}),
    "edm_songunet": Case(EDM),
    "edm_sin4": Case(EDM, POS, grid("sinusoidal", 4)),
    "edm_sin8": Case(EDM, POS, grid("sinusoidal", 8)),
    "edm_octave": Case(EDM, POS, grid("sinusoidal_octave", 8)),
    "edm_linear": Case(EDM, POS, grid("linear", 2)),
    "edm_test_grid": Case(EDM, POS, grid("test", 2)),
    "edm_no_grid": Case(EDM, POS, grid("sinusoidal", 0)),
    "edm_learnable": Case(EDM, POS, grid("learnable", 5)),
    "edm_additive": Case(EDM, POS, grid("sinusoidal", 4, additive_pos_embed=True)),
    "edm_no_bottleneck": Case(EDM, POS, {"bottleneck_attention": False}),
    "edm_no_attention": Case(EDM, SONG, {"bottleneck_attention": False, "attn_resolutions": []}),
    "edm_lead_time": Case(EDM, LEAD, LEADS | grid("learnable", 2)),
    "edm_encoder_skip": Case(EDM, SONG, {"encoder_type": "skip"}),
    "edm_encoder_residual": Case(EDM, SONG, {"encoder_type": "residual"}),
    "edm_decoder_skip": Case(EDM, SONG, {"decoder_type": "skip"}),
    "edm_wide_filter": Case(EDM, SONG, {"resample_filter": [1, 3, 3, 1]}),
    "edm_ncsnpp": Case(EDM, SONG, NCSNPP | {"decoder_type": "skip", "channel_mult_noise": 2}),
    "edm_ddpmpp_noise2": Case(EDM, SONG, {"channel_mult_noise": 2}),
    "edm_fourier": Case(EDM, SONG, {"embedding_type": "fourier"}),
    "edm_zero_embedding": Case(EDM, POS, {"embedding_type": "zero"}),
    "edm_width_six": Case(EDM, SONG, {"model_channels": 6, "channel_mult": [1, 1]}),
    "edm_augment": Case(EDM, SONG, {"augment_dim": 3}),
    "edm_fp16": Case(EDM, POS, grid("learnable", 2), {"use_fp16": True}),
    "edm_sigma_range": Case(EDM, POS, {}, {"sigma_min": 0.1, "sigma_max": 50, "sigma_data": 0.8}),
    "edm_index": Case(EDM, POS, grid("learnable", 3), patched="index"),
    "edm_selector": Case(EDM, POS, grid("sinusoidal", 4), patched="selector"),
    "edm_lead_time_selector": Case(EDM, LEAD, LEADS, patched="selector"),
    "edm_patched": Case(EDM, POS, grid("learnable", 3), {"known": 4}),  # whole, for runs.py
    "edm_dhariwal": Case(EDM, DHARIWAL, WIDE, size=SQUARE),
    "sr_scaled": Case(SR, POS, {}, {"scale_cond_input": True}),
    "sr_unscaled": Case(SR, POS, {}, {"scale_cond_input": False}),
    "stormcast": Case("StormCastUNet"),
    "stormcast_additive": Case("StormCastUNet", SONG, {"additive_pos_embed": True}),
    "edm_precond": Case("EDMPrecond", SONG, {}, {"sigma_data": 0.7}),
    "edm_precond_label": Case("EDMPrecond", SONG, {"label_dim": 4}),
    "edm_preconditioner": Case("EDMPreconditioner"),
    "edm_preconditioner_pos": Case("EDMPreconditioner", POS, {}, {"sigma_data": [0.4, 0.9]}),
    "bare_songunet": Case(SONG),
}

OLD = {
    "reg_songunet": Case("UNet"),
    "reg_learnable": Case("UNet", POS, grid("learnable", 3), first=(0, 7)),
    "reg_sin4": Case("UNet", POS, grid("sinusoidal", 4), first=(1, 1), last=(1, 2, 9)),
    "reg_probabilities": Case(
        "UNet", LEAD, LEADS | {"prob_channels": [1, 2]}, {"out": 3}, first=(0, 9), batch=1
    ),
    "reg_dhariwal": Case("UNet", DHARIWAL, size=SQUARE, last=(0, 5, 9)),
    "reg_additive": Case("UNet", SONG, {"additive_pos_embed": True}, first=(1,), last=(1, 1, 0)),
    "sr_songunet": Case(SR, last=(1, 1, 0)),
    "sr_label": Case(SR, SONG, {"label_dim": 4}, last=(0, 5, 9)),
    "sr_learnable": Case(SR, POS, grid("learnable", 3), first=(1, 1), last=(1, 2, 9)),
    "sr_sin4": Case(SR, POS, grid("sinusoidal", 4), first=(0, 7)),
    "sr_sin8": Case(SR, POS, grid("sinusoidal", 8), first=(1, 1, 1), last=(1, 2, 9)),
    "sr_unscaled": Case(SR, POS, {}, {"scale_cond_input": False}, first=(0, 9), last=(1, 1, 0)),
    "sr_lead_time": Case(SR, LEAD, LEADS, first=(0, 9), last=(1, 1, 0), batch=1),
    "sr_dhariwal": Case(SR, DHARIWAL, size=SQUARE, first=(1, 1), last=(1, 1, 0)),
    "sr_ncsnpp": Case(SR, SONG, NCSNPP, first=(1, 1), last=(1, 1, 0)),
    "srv2": Case("EDMPrecondSRV2", first=(0, 6), last=(0, 8, 9)),
    "edm_sin4": Case(EDM, POS, grid("sinusoidal", 4), first=(1, 1)),
    "stormcast": Case("StormCastUNet", first=(1,), last=(1, 1, 0)),
}
