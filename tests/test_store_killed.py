"""Stores whose writer is killed at any moment, and started again: the same bytes in the end.

A process that has imported everything, and has a model open, forks the writers and kills them with
SIGKILL after random delays: while they compute, write, record, or make the store.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clusters import (
    MEMBERS,
    TIMES,
    chunk_files,
    finished_pieces,
    lines,
    note,
    rain_ensemble,
    watch_networks,
)
from xresdiff.options import set_options

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

AT_RISK = 2  # pieces: the one that is computed, and the one before it on its way to disk


class Killer:
    """Writes stores by processes that it forks, and kills."""

    def __init__(self, folder):
        torch.set_num_threads(1)  # no pool of threads that would be lost in a fork
        self.ens, self.folder = rain_ensemble(), folder
        self.times = {str(t)[:19]: i for i, t in enumerate(self.ens.time.values)}
        self.kills, self.where, self.cost = 0, Counter(), Counter()
        set_options(progress=False)
        self.ens.isel(time=[0]).compute(scheduler="synchronous")  # opens the model
        self.write(folder / "first.zarr", folder / "first.log")  # fills caches on disk

    def fork(self, path, log):
        """Start a process that writes; it notes what it begins to compute, and what it ended."""
        pid = os.fork()
        if pid:
            return pid
        try:
            watch_networks(log)
            self.ens.resdiff.to_zarr(path)
            note(log, "written")
        finally:
            os._exit(0)

    def write(self, path, log, delay=None):
        """Write until it is written or the delay is over; return the lines that it noted."""
        seen, pid = len(lines(log)), self.fork(path, log)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return lines(log)[seen:]

    def whole(self):
        """Write without a kill; return the files, what was noted, and how long it took."""
        began = time.monotonic()
        noted = self.write(self.folder / "whole.zarr", self.folder / "whole.log")
        return files_of(self.folder / "whole.zarr"), noted, time.monotonic() - began

    def piece(self, line):
        """Return the member and time that a line tells of."""
        _, member, label = line.split()[:3]
        return int(member), self.times[label.removeprefix("time=")]

    def killed(self, path, log, delay, files):
        """Write and kill once, and look at what is left; return whether it came to its end."""
        before = finished_pieces(path)
        noted = self.write(path, log, delay)
        after, begun = finished_pieces(path), Counter(line.split()[0] for line in noted)
        computed = [self.piece(line) for line in noted if line.startswith("begin")]
        assert before <= after
        assert not before & set(computed), "what was finished is computed again"
        assert len(set(computed)) == len(computed)
        lost = set(computed) - after
        assert len(lost) <= AT_RISK
        assert begun["mean"] <= len({time for _, time in computed}) + 1
        there = {k: v for k, v in chunk_files(path).items() if "/c/" in k and "partial" not in k}
        assert there == {k: files[k] for k in there}, "a chunk is half-written"
        for member, piece_time in after:
            assert f"precip_rate/c/{member}/{piece_time}/0/0" in there
        ended = "written" in noted
        if not ended:
            self.kills += 1
            self.cost[len(lost)] += 1
            self.where[moment_of(noted, path)] += 1
        return ended


def moment_of(noted, path):
    """Tell what a process was at when it was killed."""
    last = noted[-1].split()[0] if noted else ""
    if last in ("mean", "begin"):
        return "in a network"
    return "between" if path.exists() else "before the store was there"


def files_of(path):
    """Read all of a store, its record of what is done, too; but for what hides from readers."""
    files = {file.relative_to(path): file for file in Path(path).rglob("*") if file.is_file()}
    return {
        str(name): file.read_bytes()
        for name, file in files.items()
        if not name.name.startswith(".") and file.suffix != ".partial"  # drafts of the killed
    }


def kill_often(folder, kills, report):
    """Write stores, each killed over and over until it is whole; runs in a process of its own."""
    try:
        report.put(_kill_often(Killer(folder), kills))
    except BaseException as error:
        report.put(f"{type(error).__name__}: {error}")
        raise


def _kill_often(killer, kills):
    files, noted, seconds = killer.whole()
    dice = np.random.default_rng()
    while killer.kills < kills:
        here = Path(tempfile.mkdtemp(dir=killer.folder))
        path, log, ended = here / "ens.zarr", here / "log", False
        while not ended:
            enough = killer.kills >= kills
            delay = None if enough else dice.uniform(0, seconds)
            ended = killer.killed(path, log, delay, files)
        assert files_of(path) == files
        begun = [killer.piece(line) for line in lines(log) if line.startswith("begin")]
        assert set(begun) == set(np.ndindex(MEMBERS, TIMES))
    return killer.kills, noted, dict(killer.where), dict(killer.cost)


def kills_of(folder, number, seconds):
    spawn = multiprocessing.get_context("spawn")
    report = spawn.Queue()
    process = spawn.Process(target=kill_often, args=(folder, number, report))
    process.start()
    try:
        told = report.get(timeout=seconds)
    finally:
        process.kill()
    assert not isinstance(told, str), told
    return told


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_ends_with_the_same_bytes(tmp_path):
    kills, noted, where, cost = kills_of(tmp_path, 50, 240)
    assert kills == 50
    assert where["in a network"] >= 5
    assert set(cost) <= set(range(AT_RISK + 1))
    print(f"{kills} kills: {where}; pieces lost: {cost}")
    kinds = Counter(line.split()[0] for line in noted)  # of the run that nobody killed
    each = MEMBERS * TIMES
    assert kinds == {"mean": TIMES, "begin": each, "members": each, "written": 1}
