"""The same work for many files, in several processes."""

import ctypes
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from bkdsnn.distributed.launcher import cores, endings

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def in_processes(work: Callable, jobs: Iterable[tuple], *, total: int, what: str, workers: int = 0) -> Iterator:
    """The results of `work(*job)` in order, from so many processes (0: one per core), with a progress bar.

    The first job is done here: forked workers then have all that it imported and compiled (half a second each).
    """
    workers = workers or cores()
    jobs = iter(jobs)
    done = [work(*job) for job in itertools.islice(jobs, 1)]
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    chunk = min(max(total // (8 * workers), 1), 16)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        others = pool.map(_call, ((work, job) for job in jobs), chunksize=chunk)
        try:
            yield from tqdm(itertools.chain(done, others), total=total, desc=what, disable=None)
        except BaseException:  # what is not begun is not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _call(work_and_job: tuple[Callable, tuple]) -> object:
    work, job = work_and_job
    return work(*job)


def serve() -> None:
    """Makes this process a helper: it ends with or by its parent, signals to all of a job are not for it.

    Else a helper that ends first looks like a failure, and one whose parent was killed waits for ever.
    """
    for number in set(endings()) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _obey(parent: int) -> None:
    """Ends this process by the parent's SIGTERM alone."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _begin() -> None:
    serve()
    _keep_memory()


def _keep_memory() -> None:
    """Lets glibc keep freed memory: mapping it anew for every file costs more than decoding the file (make bench).

    Freeing one large mapped block (here 31 MiB, never touched) raises its limits for good; elsewhere this does nothing.
    """
    np.empty(31 << 20, dtype=np.uint8)
