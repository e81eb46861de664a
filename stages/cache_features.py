"""Stage cache_features@<teacher>-<recipe>: the teacher's outputs for every view of the training split."""

from pathlib import Path

from bkdsnn import launch
from bkdsnn.assembly import load_trained
from bkdsnn.caching import write_cache
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.params import load_params
from bkdsnn.paths import digest
from bkdsnn.seeding import default_device, make_deterministic
from bkdsnn.stage import run_stage
from bkdsnn.teachers import LiveTeacher


def cache_features(key: str) -> None:
    params = load_params()
    entry = params.entry("caches", key)
    part, recipe = params.teachers[entry.teacher], params.recipes[entry.recipe]
    data = ArrayData(Path("data") / entry.dataset)
    make_deterministic(threads=recipe.threads)
    device = default_device()
    weights = Path("models/teachers") / entry.teacher
    network = load_trained(weights, part, data=data, which="last").to(device)
    write_cache(
        Path("data/teacher_outputs") / key,
        teacher=LiveTeacher(network, features=part.features),
        batches=Batches(data, batch_size=recipe.batch_size, device=device),
        augmentation=recipe.augmentation,
        dtype=recipe.cache.dtype,
        teacher_digest=digest(weights),
        rank=launch.rank(),
        world=launch.world_size(),
    )


if __name__ == "__main__":
    run_stage(cache_features, shares_work=True)
