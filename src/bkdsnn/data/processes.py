"""The same work for many files, in several processes."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from bkdsnn.distributed.launcher import cores


def in_processes(work: Callable, jobs: Iterable[tuple], *, total: int, what: str, workers: int = 0) -> Iterator:
    """The results of `work(*job)` in order, from so many processes (0: one per core), with a progress bar.

    The first job is done here: forked workers then have all that it imported and compiled (half a second each).
    """
    workers = workers or cores()
    jobs = iter(jobs)
    done = [work(*job) for job in itertools.islice(jobs, 1)]
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    chunk = min(max(total // (8 * workers), 1), 16)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_keep_memory) as pool:
        others = pool.map(_call, ((work, job) for job in jobs), chunksize=chunk)
        yield from tqdm(itertools.chain(done, others), total=total, desc=what, disable=None)


def _call(work_and_job: tuple[Callable, tuple]) -> object:
    work, job = work_and_job
    return work(*job)


def _keep_memory() -> None:
    """Lets glibc keep freed memory: mapping it anew for every file costs more than decoding the file (make bench).

    Freeing one large mapped block (here 31 MiB, never touched) raises its limits for good; elsewhere this does nothing.
    """
    np.empty(31 << 20, dtype=np.uint8)
