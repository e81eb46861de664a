"""One network trained from end to end: engine, loop, tracking, and the folder it ends in."""

import logging
import os
from pathlib import Path

from torch import nn
from tqdm.contrib.logging import logging_redirect_tqdm

from bkdsnn.assembly import save_trained
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.params import Recipe
from bkdsnn.paths import digest, new_folder
from bkdsnn.seeding import make_deterministic
from bkdsnn.speed import hasten
from bkdsnn.tracking import AnyTracker
from bkdsnn.training import Learner, Teacher, make_fabric, train

log = logging.getLogger(__name__)


class Engine:
    """Fabric, set up from the recipe (what is hashed) and the environment (what is not), and the data on its device."""

    def __init__(self, data: ArrayData, recipe: Recipe) -> None:
        make_deterministic(threads=recipe.threads)
        self.fabric = make_fabric(
            precision=recipe.precision,
            accelerator=os.environ.get("BKDSNN_ACCELERATOR", "auto"),
        )
        self.data = data
        self.recipe = recipe
        self.batches = Batches(data, batch_size=recipe.batch_size, device=self.fabric.device)


def fit(
    engine: Engine,
    *,
    student: nn.Module,
    method: nn.Module,
    teacher: Teacher,
    teacher_digest: str | None,
    seed: int,
    target: Path,
    tracker: AnyTracker,
) -> None:
    """Trains and writes `target`; the tracker hears of every epoch."""
    hasten(student, engine.recipe.speed)

    def on_epoch(record: dict[str, float], seconds: float) -> None:
        values = "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name != "epoch")
        log.info("epoch %3d  %s  %.1f s", record["epoch"], values, seconds)
        tracker.metrics({**record, "epoch_seconds": seconds}, step=int(record["epoch"]))

    with logging_redirect_tqdm(loggers=[logging.getLogger()]):
        trained = train(
            Learner(student, method),
            fabric=engine.fabric,
            teacher=teacher,
            batches=engine.batches,
            recipe=engine.recipe,
            seed=seed,
            on_epoch=on_epoch,
        )
    with new_folder(target) as folder:
        save_trained(folder, trained, data=engine.data, teacher=teacher_digest)
    tracker.model(digest(target))
