"""Views from worker processes: whether shared memory has room for them, and how an error or a loss there is told."""

import resource
import shutil
from collections.abc import Iterator
from math import inf, prod
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bkdsnn import environment
from bkdsnn.data.processes import serve
from bkdsnn.data.views import View, Views
from bkdsnn.distributed.launcher import cores
from bkdsnn.errors import InputError, explained, is_disk_full

_SHARED = Path("/dev/shm")
_QUEUES = 1 << 20  # bytes, for what processes talk by
_AHEAD = 2  # batches that a worker makes before they are asked for
_FEW = 8  # workers: more only where a machine has room for them
_FILES, _OTHER_FILES = 32, 256  # open here for one worker at most (pipes, tensors; of two loaders), and for the rest
_LOOK_EVERY, _LOOKS = 60.0, 10  # seconds, and so often in a row: a process that was stopped for hours has missed one


def workers_for(views: Views, *, samples: int) -> int:
    """How many processes make batches of up to so many samples: BKDSNN_WORKERS, else the cores (0: none pays).

    Of more than 8 cores, as many as half of the free shared memory and this process's open files have room for;
    `InputError` where shared memory has too little.
    """
    workers = environment.read("BKDSNN_WORKERS")
    if workers is None:
        workers = 0 if views.is_cheap else cores()
        if workers > _FEW:
            workers = int(max(_FEW, min(workers, _free() / 2 / _bytes_ahead(views, samples), _most_files() / _FILES)))
    if workers:
        check_room(views, samples=samples, workers=workers)
    return workers


def make_loader(views: Dataset, *, jobs: list, workers: int) -> DataLoader:
    """The loader of `views[job]` for whatever stands in `jobs`; its workers live as long as the run."""
    _allow_files(workers * _FILES)
    return DataLoader(
        _Guarded(views),
        batch_size=None,
        sampler=jobs,
        num_workers=workers,
        multiprocessing_context="fork",  # what the data set has mapped stays mapped
        persistent_workers=True,
        prefetch_factor=_AHEAD,
        worker_init_fn=lambda _: serve(),
        timeout=_LOOK_EVERY,
    )


def arriving(loader: DataLoader) -> Iterator[View]:
    """The views in order; `InputError` for what went wrong in a worker, and where none comes for ten minutes."""
    views, missed = _started(loader), 0
    while missed < _LOOKS:
        try:
            view = next(views)
        except StopIteration:
            return
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
            missed += 1
            continue
        if isinstance(view, InputError):
            raise view
        missed = 0
        yield view
    minutes = f"{_LOOK_EVERY * _LOOKS / 60:.0f} minutes"
    raise InputError(f"no batch from the worker processes for {minutes}; BKDSNN_WORKERS=0 needs none ({_SHARED})")


def check_room(views: Views, *, samples: int, workers: int) -> None:
    """Raises `InputError` where shared memory has no room for what the workers make ahead, which would wait for ever.

    Docker gives 64 MB; `samples` is the largest batch's number.
    """
    needed = _QUEUES + workers * _bytes_ahead(views, samples)
    if needed > (free := _free()):
        raise InputError(_no_room(f"{_megabytes(needed)} for {workers} workers", free=free))


def _free() -> float:
    """Bytes of shared memory; where it is no file system they are not limited."""
    return shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else inf


def _bytes_ahead(views: Views, samples: int) -> int:
    """What a worker's batches take: their pixels, those that are mixed in, and which of them are kept."""
    shape, rules = views.data.input_shape, views.augmentation
    mixed, erased = bool(rules and rules.mixup), bool(rules and rules.erase)
    return _AHEAD * samples * (prod(shape) * (1 + mixed) + prod(shape[-2:]) * erased)


def _most_files() -> float:
    """How many files this process may have open if it asks for that."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return inf if most == resource.RLIM_INFINITY else most


def _allow_files(count: int) -> None:
    """Lets this process open so many files more than a program needs, of which 1,024 may be the default."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = int(min(_OTHER_FILES + count, _most_files()))
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _no_room(wanted: str, *, free: int) -> str:
    return (
        f"{_SHARED}: shared memory has {_megabytes(free)} free, batches take {wanted}: lower BKDSNN_WORKERS "
        "(BKDSNN_WORKERS=0 needs none), or give a container more with --shm-size"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


def _started(loader: DataLoader) -> Iterator[View | InputError]:
    try:
        return iter(loader)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InputError(_no_room("more", free=shutil.disk_usage(_SHARED).free)) from error


class _Guarded(Dataset):
    """The same items, in shared memory before they are handed over, where a lack of it would drop them unsaid.

    An error that is no mistake of ours becomes an item, so that it is one line where it arrives.
    """

    def __init__(self, views: Dataset) -> None:
        self.views = views

    def __getitem__(self, job: object) -> View | InputError:
        try:
            return View(*(_shared(tensor) for tensor in self.views[job]))
        except Exception as error:
            line = explained(error)
            if line is None:
                raise
            return InputError(line)


def _shared(tensor: Tensor | None) -> Tensor | None:
    try:
        return None if tensor is None else tensor.share_memory_()
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        raise InputError(_no_room(f"{_megabytes(tensor.nbytes)} more", free=shutil.disk_usage(_SHARED).free)) from error
