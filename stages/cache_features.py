"""Stage cache_features@<teacher>-<recipe>: the teacher's outputs for every view of the training split."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use_for("caches")  # before numpy and torch are imported

from bkdsnn import paths
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed import launcher
from bkdsnn.distributed.device import this_device
from bkdsnn.files import digest
from bkdsnn.params.schema import load_params
from bkdsnn.provenance.digests import code_behind
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.trained import load_trained


def cache_features(key: str) -> None:
    params = load_params()
    entry = params.entry("caches", key)
    part, recipe = params.teachers[entry.teacher], params.recipes[entry.recipe]
    data = ArrayData(paths.dataset(entry.dataset))
    make_deterministic(threads=recipe.threads, tf32=recipe.speed.tf32)
    device, weights = this_device(portable=recipe.portable), paths.teacher(entry.teacher)
    network = load_trained(weights, part, data=data, which="last").to(device)
    write_cache(
        paths.teacher_outputs(key),
        teacher=LiveTeacher(network, features=part.features, precision=recipe.teacher_precision),
        batches=Batches(data, batch_size=recipe.batch_size, device=device),
        augmentation=recipe.augmentation,
        dtype=recipe.cache.dtype,
        teacher_digest=digest(weights),
        code=code_behind("stages/cache_features", f"networks/{part.network}"),
        rank=launcher.rank(),
        world=launcher.world_size(),
    )


if __name__ == "__main__":
    run_stage(cache_features, parallel=True)
