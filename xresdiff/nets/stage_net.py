"""A network with all that its stage does around it: latent, preconditioning, noise level."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xresdiff.errors import InputError
from xresdiff.nets.edm import precondition
from xresdiff.nets.unet import UNet

__all__ = ["StageNet"]


class StageNet(nn.Module):
    r"""One stage of CorrDiff (arXiv 2309.15214), called alike whatever its kind.

    The mean stage is F(c), or F(0, c) where the network has channels for a latent; the residual
    stage is :math:`D(x; \sigma)` of equation 7 of Karras et al. (2022, arXiv 2206.00364).

    Parameters
    ----------
    net : UNet
        F.
    sigma_data : float or sequence of float, (c,), optional
        Standard deviation of the data of the residual stage, or of each channel; None makes it
        the mean stage.
    latent : bool
        Whether the mean stage is given a field of zeros in front of the condition.
    scale_condition : bool, default False
        Whether the residual stage scales the condition with the noisy field.
    dtype : torch.dtype, default torch.float32
        Precision of the network; everything around it is in float32.

    Examples
    --------
    >>> from xresdiff.nets.unet import UNetConfig
    >>> net = UNet(UNetConfig(in_channels=5, out_channels=2, model_channels=8, num_blocks=1))
    >>> residual = StageNet(net, sigma_data=0.5, latent=False)
    >>> residual(torch.zeros(1, 2, 16, 16), torch.zeros(1, 3, 16, 16), sigma=80.0).shape
    torch.Size([1, 2, 16, 16])
    """

    def __init__(
        self,
        net: UNet,
        *,
        sigma_data: float | Sequence[float] | None,
        latent: bool,
        scale_condition: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.net, self.sigma_data, self.latent = net, sigma_data, latent
        self.scale_condition, self.dtype = scale_condition, dtype

    @property
    def condition_channels(self) -> int:
        """Channels that the caller gives as condition."""
        config = self.net.config
        with_field = self.latent or self.sigma_data is not None
        return config.in_channels - (config.out_channels if with_field else 0)

    def forward(
        self,
        x: Tensor | None,
        condition: Tensor | None,
        sigma: Any = None,
        lead_time: Any = None,
        position: Any = None,
    ) -> Tensor:
        """Apply the stage.

        Parameters
        ----------
        x : torch.Tensor, (b, c, y, x), optional
            Noisy field of the residual stage; zeros or None for the mean stage.
        condition : torch.Tensor, (b, k, y, x)
            What is known; None if `condition_channels` is zero.
        sigma : float or torch.Tensor, () or (b,) or (b, 1, 1, 1), optional
            Noise level of the residual stage; the mean stage takes no notice of it.
        lead_time, position : optional
            See :meth:`xresdiff.nets.unet.UNet.forward`. A network without maps of its place takes
            no notice of `position`.

        Returns
        -------
        torch.Tensor, (b, c, y, x)
            The mean, or the expected residual, in float64 if the fields are, else in float32.

        Raises
        ------
        InputError
            If anything is missing, of the wrong shape or of no real numbers, if there are no
            fields, or if a noise level is not positive and finite.
        """
        x, condition = _fields(x, "x"), _fields(condition, "the condition")
        known = self._condition(x, condition)
        if self.sigma_data is None:
            given = self._with_latent(x, known).to(self.dtype)
            noise = torch.zeros(len(given), device=given.device)
            return self.net(given, noise, lead_time=lead_time, position=position).to(known.dtype)
        if x is None:
            raise InputError("the residual stage asks for a noisy field: net(x, condition, sigma)")
        self._check_field(x, known)
        return precondition(
            lambda fields, noise: self.net(fields, noise, lead_time=lead_time, position=position),
            x,
            _levels(sigma, x),
            known,
            sigma_data=self.sigma_data,
            scale_condition=self.scale_condition,
            dtype=self.dtype,
        )

    def _condition(self, x: Tensor | None, condition: Tensor | None) -> Tensor:
        needed = self.condition_channels
        if condition is None and not needed and x is not None:
            return x.new_zeros(len(x), 0, *x.shape[2:])
        if condition is None:
            raise InputError(f"the network asks for a condition of {needed} channels")
        if condition.ndim != 4 or condition.shape[1] != needed:
            raise InputError(
                f"the condition must be (b, {needed}, y, x), without position and lead-time maps; "
                f"it is {tuple(condition.shape)}"
            )
        return condition

    def _with_latent(self, x: Tensor | None, condition: Tensor) -> Tensor:
        if self.latent:
            channels = self.net.config.out_channels
            zeros = condition.new_zeros(len(condition), channels, *condition.shape[2:])
            if x is None:
                return torch.cat([zeros, condition], dim=1)
            self._check_field(x, condition)
            return torch.cat([x.to(condition.dtype), condition], dim=1)
        if x is not None and bool(x.any()):
            raise InputError("this mean stage has no latent; give x=None")
        return condition

    def _check_field(self, x: Tensor, condition: Tensor) -> None:
        channels = self.net.config.out_channels
        wanted = (len(condition), channels, *condition.shape[2:])
        if tuple(x.shape) != wanted:
            raise InputError(
                f"x must be {wanted}, to go with the condition; it is {tuple(x.shape)}"
            )


def _fields(fields: Any, what: str) -> Tensor | None:
    """Return fields in float32 or float64."""
    if fields is None:
        return None
    if not isinstance(fields, Tensor):
        raise InputError(
            f"{what} must be a torch.Tensor and is a {type(fields).__name__}; of an array, type "
            f"torch.from_numpy(array)"
        )
    if not fields.is_floating_point():
        raise InputError(f"{what} is of {fields.dtype}; type {what.split()[-1]}.float()")
    if not fields.numel() and 0 in (*fields.shape[:1], *fields.shape[2:]):
        raise InputError(f"{what} is {tuple(fields.shape)}: there is no field in it")
    return fields if fields.dtype == torch.float64 else fields.float()


def _levels(sigma: Any, x: Tensor) -> Tensor:
    """Return the noise level of every field, ``(b,)`` in float32."""
    if sigma is None:
        raise InputError("the residual stage asks for a noise level: net(x, condition, sigma=1.0)")
    try:
        levels = torch.as_tensor(sigma, dtype=torch.float32).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"sigma must be one noise level or {len(x)}; it is {sigma!r}") from error
    if not bool((levels.isfinite() & (levels > 0)).all()):
        raise InputError(f"sigma must be positive and finite; it is {levels.tolist()}")
    if len(levels) not in (1, len(x)):
        raise InputError(f"sigma must be one noise level or {len(x)}; there are {len(levels)}")
    return levels.to(x.device).expand(len(x))
