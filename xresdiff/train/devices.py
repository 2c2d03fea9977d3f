"""The devices of a training: one, or one for each of the processes that torchrun started.

Every process does the same and draws its own share of the patches; what they tell one another goes
through here. Alone, nothing is told and nothing is waited for.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from xresdiff.engine.runtime import pick_device
from xresdiff.errors import InputError, XresdiffError

__all__ = ["Devices"]

PATIENCE = timedelta(hours=6)  # the others wait while one of them validates
GRACE = timedelta(seconds=5)  # for the writer to tell an error that others meet, too
LAST_WORD_seconds = 1.0  # for what the writer tells to be read before torchrun ends it
REFUSED = 2  # exit status, as that of the command

_talks = count()  # numbers of those in which errors are told once
_agreed: list[Exception] = []  # the last one that all processes raised together
_store: list[dist.Store] = []  # where processes leave notes for one another, once it is open

T = TypeVar("T")


@dataclass(frozen=True)
class Devices:
    """The device of this process, and its place among the processes.

    Parameters
    ----------
    device : torch.device
        Where this process computes.
    rank : int, default 0
        Number of this process.
    world : int, default 1
        How many there are.

    Examples
    --------
    >>> alone = Devices(torch.device("cpu"))
    >>> alone.writer, alone.sum(2.5)
    (True, 2.5)
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls, device: str = "auto") -> "Devices":
        """Find this process among those of torchrun, and start their talk if nobody has.

        Parameters
        ----------
        device : str, default "auto"
            As of :func:`xresdiff.downscale`. With several processes, each takes the GPU of its own
            number, ``LOCAL_RANK``.

        Raises
        ------
        InputError
            If there is no such device, or there are more processes here than GPUs.
        """
        started = dist.is_available() and dist.is_initialized()
        called = int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ
        if not (started or called):
            return cls(pick_device(device))
        picked = pick_device(device)
        if picked.type == "cuda" and device in ("auto", "cuda"):
            picked = _own_gpu()
        if picked.type == "cuda":
            torch.cuda.set_device(picked)
        if not started:
            _start("nccl" if picked.type == "cuda" else "gloo")
        return cls(picked, dist.get_rank(), dist.get_world_size())

    @property
    def writer(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors of one dtype over all processes, in place, in a single exchange."""
        if self.world > 1:
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
            dist.all_reduce(flat)
            _fill(tensors, flat)

    def share_(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes the values that the writer has, in place."""
        if self.world > 1:
            for tensor in tensors:
                flat = tensor.detach().reshape(-1).clone()
                dist.broadcast(flat, src=0)
                _fill([tensor], flat)

    def sum(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.item()

    def broadcast(self, value: T) -> T:
        """Return what the writer has in this place."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def together(self, work: Callable[[], T]) -> T:
        """Do something in all processes; if it fails in one, it fails in all, for its reason.

        Raises
        ------
        XresdiffError
            That of the first process that has one.
        RuntimeError
            If another process fails otherwise.
        """
        if self.world == 1:
            return work()
        done: list[T] = []
        failed: Exception | None = None
        try:
            done.append(work())
        except Exception as error:
            failed = error
        first = self._first(failed)
        if failed is not None and not isinstance(failed, XresdiffError):
            raise failed
        if first is not None:
            _agreed[:] = [first]
            raise first from failed
        return done[0]

    def lead(self, work: Callable[[], T]) -> T:
        """Let the writer do something while the others wait; all return, or raise, the same."""
        if self.world == 1:
            return work()
        done: list[T] = []
        self.together(lambda: done.append(work()) if self.writer else None)
        told: T | None = self.broadcast(done[0] if done else None)
        return told  # type: ignore[return-value]

    def _first(self, failed: Exception | None) -> Exception | None:
        """Return what went wrong in the first process in which something did."""
        if failed is not None and not isinstance(failed, XresdiffError):
            failed = RuntimeError(f"process {self.rank}: {type(failed).__name__}: {failed}")
        told: list[Exception | None] = [None] * self.world
        dist.all_gather_object(told, failed)
        return next((error for error in told if error is not None), None)

    @contextmanager
    def told_once(self) -> Iterator[None]:
        """Leave it to the writer to tell an error that all processes meet; the others just end.

        Raises
        ------
        SystemExit
            In a process that has nothing to tell that the writer does not tell.
        """
        note = f"error {next(_talks)}"
        try:
            yield
        except Exception as error:
            if self.world == 1 or not _store:
                raise
            mine = str(error) if isinstance(error, XresdiffError) else ""
            if self.writer:
                with suppress(RuntimeError):
                    _store[0].set(note, mine)
                raise
            if not (mine and error in _agreed):
                told = _left(note)
                if not told or mine not in ("", told):
                    raise
            time.sleep(LAST_WORD_seconds)
            raise SystemExit(REFUSED) from None
        finally:
            _agreed.clear()  # its traceback holds data

    def seed(self, *numbers: int) -> None:
        """Seed torch's random numbers on this device, and nowhere else, from numbers and rank."""
        sequence = np.random.SeedSequence([*numbers, self.rank])
        seed = int(sequence.generate_state(1, np.uint64)[0])
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Put torch's random numbers back to where they were."""
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            yield


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    """Copy a flat tensor into others, one behind the other."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def _own_gpu() -> torch.device:
    """Return the GPU whose number is that of this process on its machine."""
    number, have = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= have:
        raise InputError(
            f"this is process {number + 1} of this machine, which has {have} GPUs; type "
            f"torchrun --nproc-per-node={have}, or device='cpu'"
        )
    return torch.device("cuda", number)


def _start(backend: str) -> None:
    """Start the talk of the processes, and keep the place where they leave notes."""
    store, rank, world = next(dist.rendezvous("env://", timeout=PATIENCE))
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("talk", store),
        rank=rank,
        world_size=world,
        timeout=PATIENCE,
    )
    _store[:] = [dist.PrefixStore("notes", store)]
    atexit.register(_end)


def _left(note: str) -> str:
    """Return a note of the writer; nothing if there is none soon."""
    try:
        _store[0].wait([note], GRACE)
        return _store[0].get(note).decode()
    except RuntimeError:  # no note, or nobody who keeps it
        return ""


def _end() -> None:
    _store.clear()
    if dist.is_initialized():
        dist.destroy_process_group()
