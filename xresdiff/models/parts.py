"""The parts of a model card: channels, networks, samplers, sources of data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from xresdiff.models.strict_json import Part, tuples

__all__ = [
    "CONDITIONING",
    "NETWORK_FIELDS",
    "Channel",
    "DataSource",
    "NetworkCard",
    "Problems",
    "SamplerCard",
    "StageCard",
    "Transform",
    "must_be_positive",
    "must_not_be_empty",
]

Problems = Iterator[tuple[str, str]]

CONDITIONING = ("bilinear", "constant", "phase")  # what engine.fields makes of the input
NETWORK_FIELDS = (  # of nets.unet.UNetConfig, so that a card is checked without torch
    "in_channels",
    "out_channels",
    "model_channels",
    "channel_mult",
    "channel_mult_emb",
    "num_blocks",
    "attention_levels",
    "bottleneck_attention",
    "embedding",
    "channel_mult_noise",
    "encoder",
    "decoder",
    "resample_filter",
    "dropout",
    "stem",
    "unbiased_norm",
    "whole_groups",
    "style",
    "narrow_entrance",
    "attention_over",
    "positions",
    "position_channels",
    "lead_time_channels",
    "lead_time_steps",
    "additive_position",
    "shape",
    "softmax_channels",
)
# Words of the standard names of what is an amount per area, rather than a state.
FLOWS = ("flux", "precipitation", "rainfall", "snowfall", "evaporation", "runoff", "radiation")
SAMPLER_NAMES = ("dpmpp_2m", "euler", "heun", "stochastic")  # the functions of nets.samplers


def must_be_positive(part: Part, *names: str) -> Problems:
    """Yield the named fields that are zero or less."""
    for name in names:
        value = getattr(part, name)
        if value is not None and value <= 0:
            yield name, f"{value:g} must be positive"


def must_not_be_empty(part: Part, *names: str) -> Problems:
    """Yield the named fields that hold nothing."""
    for name in names:
        if not getattr(part, name):
            yield name, "must not be empty"


@dataclass(frozen=True)
class Transform(Part):
    """How physical values x are bent before they are normalised; zero stays zero.

    Parameters
    ----------
    name : {"identity", "log1p", "sqrt", "power"}
        x, log(1 + x/scale), (x/scale)**0.5 or (x/scale)**exponent.
    scale : float, default 1
        In the units of the channel.
    exponent : float, default 1
        Of "power".
    """

    name: Literal["identity", "log1p", "sqrt", "power"]
    scale: float = 1.0
    exponent: float = 1.0

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_be_positive(self, "scale", "exponent")


@dataclass(frozen=True)
class Channel(Part):
    """One variable that enters or leaves a model.

    Parameters
    ----------
    name : str
        Name of the variable, as an output always and as an input by preference. The channels of
        one quantity on several levels share it.
    standard_name : str
        CF standard name; empty if there is none.
    units : str
        CF units in which the model works; inputs are converted into them.
    long_name : str, default ""
        For the labels of plots.
    level_Pa : float, optional
        Pressure level (Pa), for one level of a variable that has levels.
    aliases : tuple of str, default ()
        Other names under which an input is found.
    mean, std : float, default 0 and 1
        Of the transformed values; the networks see (transformed - mean) / std.
    transform : Transform, default identity
        Applied before the normalisation.
    minimum, maximum : float, optional
        Bounds (in `units`) that outputs are kept to.
    cell_methods : str, default ""
        CF cell methods, such as "time: mean".
    dry_below : float, optional
        Outputs smaller than this (in `units`) are set to zero.
    regridding : str, optional
        Method of :func:`xresdiff.regrid` for the input; by default the one that :attr:`method`
        finds fit for the quantity.
    offset_h : float, default 0
        Hours from the time of a field to the time at which this input of it is taken.
    missing : float, optional
        What missing values of the input stand for, such as 0 for the sea ice over land; by default
        they are refused.
    """

    name: str
    standard_name: str
    units: str
    long_name: str = ""
    level_Pa: float | None = None
    aliases: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    transform: Transform = Transform("identity")
    minimum: float | None = None
    maximum: float | None = None
    cell_methods: str = ""
    dry_below: float | None = None
    regridding: Literal["bilinear", "conservative", "latlon_bilinear", "nearest_s2d"] | None = None
    offset_h: float = 0.0
    missing: float | None = None

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "name", "units")
        yield from must_be_positive(self, "level_Pa", "std", "dry_below")
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low >= high:
            yield "minimum", f"{low:g} must be below maximum, {high:g}"

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases, in the order in which they are looked for."""
        return (self.name, *self.aliases)

    @property
    def key(self) -> tuple[str, float | None, float]:
        """What tells the channel from the others of a card: name, level and offset."""
        return self.name, self.level_Pa, self.offset_h

    @property
    def label(self) -> str:
        """The name, and the level if there is one: "t at 850 hPa"."""
        return self.name if self.level_Pa is None else f"{self.name} at {self.level_Pa / 100:g} hPa"

    @property
    def method(self) -> str:
        """How the input is regridded: fluxes and precipitation keep their sum, states do not.

        Examples
        --------
        >>> Channel("t2m", "air_temperature", "K").method
        'bilinear'
        >>> Channel("pr", "precipitation_flux", "kg m-2 s-1").method
        'conservative'
        """
        if self.regridding:
            return self.regridding
        flows = any(word in self.standard_name for word in FLOWS)
        return "conservative" if flows else "bilinear"


@dataclass(frozen=True)
class NetworkCard(Part):
    """The shape of a network.

    Parameters
    ----------
    config : dict
        Fields of `nets.unet.UNetConfig`, lists as tuples.
    parameters : int
        Number of trained numbers.
    """

    config: dict[str, Any]
    parameters: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", tuples(self.config))

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_be_positive(self, "parameters")
        for key in self.config:
            if key not in NETWORK_FIELDS:
                yield f"config[{key!r}]", f"unknown key; the known are {', '.join(NETWORK_FIELDS)}"


@dataclass(frozen=True)
class StageCard(Part):
    """One of the two stages: the regression of the mean, or the diffusion of the residual.

    Parameters
    ----------
    file : str
        File of the weights, such as "mean.safetensors".
    network : NetworkCard
        What the weights fit into.
    sigma_data : float, default 0.5
        Standard deviation of the residual as the network sees it; unused by the mean.
    latent : bool, default False
        Whether the mean stage, too, is given a field of its outputs in front: zeros.
    scale_condition : bool, default False
        Whether the residual stage scales its condition as it does the noisy field.
    scale : tuple of float, default ()
        For every output, what the residual stage's fields are multiplied with to be residuals in
        the units of the mean, so that the network sees residuals of one standard deviation,
        `sigma_data`, however much the mean leaves of each; by default 1.
    """

    file: str
    network: NetworkCard
    sigma_data: float = 0.5
    latent: bool = False
    scale_condition: bool = False
    scale: tuple[float, ...] = ()

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_be_positive(self, "sigma_data")
        for i, factor in enumerate(self.scale):
            if not factor > 0:
                yield f"scale[{i}]", f"{factor:g} must be positive"


@dataclass(frozen=True)
class SamplerCard(Part):
    """The settings of the sampler that suit the model, all of them a user's to change.

    Parameters
    ----------
    name : str, default "dpmpp_2m"
        A sampler of `nets.samplers`.
    steps : int, default 8
        Noise levels visited.
    sigma_min, sigma_max, rho : float
        Smallest and largest noise level and the bend of the schedule between them (Karras et al.,
        2022, eq. 5).
    churn : float, default 0
        Noise added on the way by stochastic samplers (S_churn).
    churn_min, churn_max : float, default 0 and no bound
        Noise levels between which it is added (S_min, S_max).
    churn_noise : float, default 1
        Standard deviation of what is added (S_noise).
    churn_capped : bool, default True
        Whether a step adds no more than the EDM paper allows, a level raised by sqrt(2).
    """

    name: Literal["dpmpp_2m", "euler", "heun", "stochastic"] = "dpmpp_2m"
    steps: int = 8
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float | None = None
    churn_noise: float = 1.0
    churn_capped: bool = True

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        if self.name not in SAMPLER_NAMES:
            yield "name", f"{self.name!r} must be one of {', '.join(SAMPLER_NAMES)}"
        yield from must_be_positive(self, "steps", "sigma_min", "rho", "churn_max", "churn_noise")
        if self.sigma_max <= self.sigma_min:
            yield "sigma_max", f"{self.sigma_max:g} must exceed sigma_min, {self.sigma_min:g}"
        if self.name == "dpmpp_2m" and self.churn:
            yield "churn", "'dpmpp_2m' adds no noise: it must be 0, or name 'stochastic'"
        for name in ("churn", "churn_min"):
            if getattr(self, name) < 0:
                yield name, f"{getattr(self, name):g} must not be negative"


@dataclass(frozen=True)
class DataSource(Part):
    """Data that a model learned from, and what their owners ask for.

    Parameters
    ----------
    name, licence, attribution, url : str
        What they are, on which terms, whom to name, where they are.
    """

    name: str
    licence: str
    attribution: str = ""
    url: str = ""

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "name", "licence")
