"""One network trained from end to end: engine, loop, tracking, and the folder it ends in."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn
from tqdm.contrib.logging import logging_redirect_tqdm

from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.agreement import of_first
from bkdsnn.distributed.device import this_device
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.errors import InputError, is_out_of_memory
from bkdsnn.files import check_writable, digest, new_folder
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.params.recipe import Recipe
from bkdsnn.provenance.versions import machine, made_with
from bkdsnn.seeding import make_deterministic
from bkdsnn.tracking.tracker import AnyTracker, training_tracker
from bkdsnn.trained import save_trained
from bkdsnn.training.checkpoint.checkpointer import Keeper
from bkdsnn.training.checkpoint.run_lock import claimed
from bkdsnn.training.checkpoint.state import made_by
from bkdsnn.training.loop import Learner, Teacher, train
from bkdsnn.training.progress import NotFinite

log = logging.getLogger(__name__)


class Engine:
    """Fabric, set up from the recipe (what is hashed) and the environment (what is not), and the data on its device."""

    def __init__(self, data: ArrayData, recipe: Recipe) -> None:
        make_deterministic(threads=recipe.threads, tf32=recipe.speed.tf32)
        self.fabric = make_fabric(precision=recipe.precision, device=this_device(portable=recipe.portable))
        self.data = data
        self.recipe = recipe
        self.batches = Batches(
            data, batch_size=recipe.batch_size, accumulate=recipe.accumulate, device=self.fabric.device
        )


def fit(
    engine: Engine,
    *,
    name: str,
    kind: str,
    seed: int,
    code: dict[str, str],
    params: dict[str, Any],
    student: nn.Module,
    method: nn.Module,
    teacher: Teacher,
    teacher_digest: str | None,
    target: Path,
) -> None:
    """Trains and writes `target`, or takes it from another process that was training the same.

    `code`: digests of all that computes the result; `params`: all that it depends on beside. A run that was killed goes
    on from where its state was saved.
    """
    apply_speed(student, engine.recipe.speed)
    fabric, makers = engine.fabric, made_by(engine.fabric, code=code)
    with _claimed(fabric, {"kind": kind, **params}, made_by=makers, target=target) as (folder, taken):
        if taken:
            return
        if fabric.is_global_zero:
            check_writable(target)
        keeper = Keeper(folder, made_by=makers, fabric=fabric)
        with training_tracker(name=name, kind=kind, seed=seed, identity=keeper.tracking_id) as tracker:
            tracker.params(params)
            tracker.machine(machine(fabric.device))
            with keeper, _explained(student, engine.recipe, keeper), logging_redirect_tqdm([logging.getLogger()]):
                trained = train(
                    Learner(student, method),
                    fabric=fabric,
                    teacher=teacher,
                    batches=engine.batches,
                    recipe=engine.recipe,
                    seed=seed,
                    on_epoch=partial(_report, tracker),
                    keeper=keeper,
                )
            if fabric.is_global_zero:
                with new_folder(target) as written:
                    made = made_with(fabric.device)
                    save_trained(written, trained, data=engine.data, teacher=teacher_digest, made_with=made)
                tracker.model(digest(target))


def _report(tracker: AnyTracker, record: dict[str, float], measured: dict[str, float]) -> None:
    values = "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name != "epoch")
    log.info("epoch %3d  %s  %.1f s", record["epoch"], values, measured["epoch_seconds"])
    tracker.metrics({**record, **measured}, step=int(record["epoch"]))


@contextlib.contextmanager
def _claimed(fabric: Fabric, made_of: dict[str, Any], **others: Any) -> Iterator[tuple[Path, bool]]:
    """`claimed` by the first of this run's processes for all of them, who wait as long as it does."""
    with claimed(made_of, **others) if fabric.is_global_zero else contextlib.nullcontext() as claim:
        yield of_first(claim)


@contextlib.contextmanager
def _explained(student: nn.Module, recipe: Recipe, keeper: Keeper) -> Iterator[None]:
    """Says what to do about a loss that is no number, and about memory that does not suffice."""
    try:
        yield
    except NotFinite as error:
        raise InputError(f"{error}; the last state before it is {keeper.newest or 'not on disk'}") from error
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        steps, size, parts = getattr(student, "time_steps", 1), recipe.batch_size, recipe.accumulate
        more = next((count for count in range(parts + 1, size + 1) if size % count == 0), None)
        helps = f"raise the recipe's accumulate to {more} (the same batch, in more parts), lower" if more else "lower"
        raise InputError(
            f"out of memory with batch_size {size}, accumulate {parts}, T = {steps}, precision {recipe.precision}: "
            f"{helps} time_steps{'' if recipe.precision != '32-true' else ', or use bf16-mixed'}"
            f" ({str(error).splitlines()[0] if str(error) else 'MemoryError'})"
        ) from error
