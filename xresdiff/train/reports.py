"""What a training tells, and where: the log of the run, a bar, TensorBoard if it is there."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from xresdiff.errors import PACKAGE
from xresdiff.options import get_option

if TYPE_CHECKING:
    from xresdiff.train.devices import Devices
    from xresdiff.train.recipe import Recipe

__all__ = ["Progress", "logged"]

LOG = "log.txt"

log = logging.getLogger(__name__)


@contextmanager
def logged(out: Path, devices: "Devices") -> Iterator[None]:
    """Write what is logged meanwhile to ``<out>/log.txt``, too; the writer does.

    What others hear of the log stays as it was: lines below their level go to the file alone.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the run, which exists.
    devices : Devices
        Who this process is.
    """
    logger = logging.getLogger(PACKAGE)
    path = (out / LOG).absolute()
    there = any(isinstance(h, _LogFile) and h.baseFilename == str(path) for h in logger.handlers)
    if there or not devices.writer:
        yield
        return
    level, propagate = logger.level, logger.propagate
    handler = _LogFile(path, logger)
    logger.addHandler(handler)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()


class _LogFile(logging.FileHandler):
    """A file that hears more than the handlers above, and passes on what they would hear."""

    def __init__(self, path: Path, logger: logging.Logger) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._above = logger.parent if logger.propagate else None
        self._least = logger.getEffectiveLevel()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, pass it on."""
        super().emit(record)
        if self._above is not None and record.levelno >= self._least:
            self._above.callHandlers(record)


class Progress:
    """What is told of a stage on its way: a bar, a line on its pace, TensorBoard if it is there.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the run; TensorBoard is in ``tensorboard/``.
    stage : str
        Name of the stage.
    recipe : Recipe
        How many steps there are, and when they are validated.
    step : int
        Where it begins or goes on.
    history : sequence of mapping
        The validations so far, that before the first step at least; those to come are taken to
        last as long as that one.
    devices : Devices
        Who this process is; only the writer tells anything.
    """

    FIRST, LAST = 2, 5  # the pace is that between these steps: the first ones prepare things

    def __init__(
        self,
        out: Path,
        stage: str,
        recipe: "Recipe",
        step: int,
        history: Sequence[Mapping[str, float]],
        devices: "Devices",
    ) -> None:
        steps, every, active = recipe.steps, recipe.validate_every, devices.writer
        self.stage, self.steps, self.active, self.left = stage, steps, active, steps - step
        self.validations_s = history[0]["seconds"] * (-(-steps // every) - step // every)
        self.at = self.kept = step  # where it is, and where it would go on
        self.last = min(self.LAST, self.left)
        self.took_s: list[float] = []  # the first steps, each
        self.mark = time.perf_counter()
        self.shown = active and get_option("progress")
        self.bar = tqdm(total=steps, initial=step, desc=stage, disable=not self.shown)
        self.board = _board(out / "tensorboard", step) if active else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.close()
        if kind is KeyboardInterrupt:
            where = "" if self.at == self.kept else f" from step {self.kept}"
            self.tell(
                f"stopped at {self.stage} step {self.at} of {self.steps}; the same call goes on"
                + where
            )
        if self.board is not None:
            self.board.close()

    def tell(self, line: str) -> None:
        """Write a line to the log, and to the terminal if there is a bar."""
        if self.active:
            log.info(line)
            if self.shown:
                tqdm.write(line)

    def step(self) -> None:
        """Count a step; after a few of them, say how fast it goes."""
        self.bar.update()
        self.at += 1
        if len(self.took_s) == self.last:
            return
        now = time.perf_counter()
        self.took_s.append(now - self.mark)
        self.mark = now
        if len(self.took_s) == self.last:
            self.tell(f"{self.stage}: {self._pace()}")

    def _pace(self) -> str:
        some = self.took_s[min(self.FIRST, self.last - 1) :]
        each = sum(some) / len(some)
        whole = _duration(each * self.left + self.validations_s)
        line = f"{each:.2g} s a step, about {whole} for {self.left} steps and their validations"
        memory = _peak_memory()
        return line if memory is None else f"{line}, peak memory {memory / 1e9:.1f} GB"

    def validated(self, row: Mapping[str, float], score: str) -> None:
        """Show the row of a validation, of which `score` is the number to look at."""
        self.kept, self.mark = int(row["step"]), time.perf_counter()
        self.bar.set_postfix({"loss": row["training_loss"], score: row[score]})
        if self.board is not None:
            for key, value in row.items():
                self.board.add_scalar(f"{self.stage}/{key}", value, int(row["step"]))
            self.board.flush()

    def back(self, step: int) -> None:
        """Show that the stage has gone back to a step."""
        self.bar.update(step - self.bar.n)
        self.at, self.mark = step, time.perf_counter()


def _board(folder: Path, step: int) -> Any:
    """Return a writer for TensorBoard that forgets later steps; None where there is none."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder), purge_step=step)
    except Exception as error:  # a broken install raises all kinds
        log.debug("no TensorBoard: %s", error)
        return None


def _duration(seconds: float) -> str:
    """Write a time in the unit that suits.

    >>> [_duration(s) for s in (5.2, 700, 20_000)]
    ['5 s', '12 min', '5.6 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _peak_memory() -> float | None:
    """Return the bytes used at most, of the GPU where there is one, else of the process."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)
