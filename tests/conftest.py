"""What the tests share: a toy model, a little rain, one thread, no bars."""

from collections.abc import Iterator

import pytest
import torch
import xarray as xr
from hypothesis import settings

from tests.helpers import CountingScheduler, raise_if_dask_computes
from tests.toys import write_toy_model
from xresdiff.models.package import Model
from xresdiff.options import set_options
from xresdiff.tutorial import rain_pair

collect_ignore = ["data"]  # scripts that made test data, elsewhere

# The same examples in every run, however busy the machine is.
settings.register_profile("xresdiff", deadline=None, derandomize=True)
settings.load_profile("xresdiff")


@pytest.fixture(autouse=True)
def one_thread_and_no_bars() -> Iterator[None]:
    torch.set_num_threads(1)
    with set_options(progress=False):
        yield


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is cached out of the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRESDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that refines four times and has learned nothing."""
    return write_toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def rain() -> tuple[xr.Dataset, xr.Dataset]:
    """Rain at 16 km and the truth at 4 km, 3 times: not to be changed."""
    return rain_pair(factor=4, times=3, shape=(24, 20), spacing_km=4.0)


@pytest.fixture
def coarse(rain: tuple[xr.Dataset, xr.Dataset]) -> xr.Dataset:
    """Rain at 16 km: 3 times, 6 rows, 5 columns."""
    return rain[0].copy(deep=True)


@pytest.fixture
def no_compute() -> Iterator[CountingScheduler]:
    """Fail the test if dask computes anything."""
    with raise_if_dask_computes() as scheduler:
        yield scheduler
