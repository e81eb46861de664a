"""Whether a cache of teacher outputs is what the teacher says: all hashes, and a sample of entries computed anew.

`make check-cache` looks at every cache of params.yaml, `make check-cache KEY=...` at one.
"""

import sys

import numpy as np

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.views import view_count
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.files import digest
from bkdsnn.params.recipe import Augmentation
from bkdsnn.params.schema import load_params
from bkdsnn.seeding import derive_seed, make_deterministic
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.trained import load_trained

SAMPLE = 8  # batches that are computed anew
ALLOWED = {"float32": 0.0, "float16": 1e-2, "bfloat16": 1e-2}  # of an output's largest value


def check_caches() -> None:
    """Checks every cache of params.yaml."""
    caches = load_params().caches
    if not caches:
        raise InputError("no row of params.yaml reads a cache")
    for key in caches:
        check_cache(key)


def check_cache(key: str) -> None:
    """Prints the largest difference of each output; `InputError` where it is too large or the bytes are others."""
    params = load_params()
    entry = params.entry("caches", key)
    part, recipe = params.teachers[entry.teacher], params.recipes[entry.recipe]
    make_deterministic(threads=recipe.threads, tf32=recipe.speed.tf32)
    data, device = ArrayData(paths.dataset(entry.dataset)), this_device(portable=recipe.portable)
    weights = paths.teacher(entry.teacher)
    cached = CachedTeacher(
        paths.teacher_outputs(key),
        data_digest=digest(data.folder),
        views=view_count(recipe.augmentation),
        device=device,
    )
    if cached.manifest["teacher_sha256"] != digest(weights):
        raise InputError(f"{cached.folder}: made by another teacher than {weights}; run `dvc repro`")
    network = load_trained(weights, part, data=data, which="last").to(device)
    compare(
        cached,
        LiveTeacher(network, features=part.features, precision=recipe.teacher_precision),
        batches=Batches(data, batch_size=recipe.batch_size, device=device),
        augmentation=recipe.augmentation,
    )


def compare(
    cached: CachedTeacher, live: LiveTeacher, *, batches: Batches, augmentation: Augmentation
) -> dict[str, float]:
    """The largest difference of each output, as a part of its largest value; `InputError` beyond what is allowed."""
    for name in cached.manifest["sha256"]:
        cached.checked(name)
    print(f"{cached.folder}: {sum(cached.manifest['bytes'].values()):,} bytes, all as the manifest says")
    samples, size = len(batches.data.splits["train"]), batches.batch_size
    known = [(view, start) for view in range(view_count(augmentation)) for start in range(0, samples, size)]
    random = np.random.Generator(np.random.Philox(derive_seed("check-cache")))
    chosen = sorted({len(known) - 1, *random.permutation(len(known))[: SAMPLE - 1].tolist()})
    differences, largest = {}, {}
    for view, start in (known[number] for number in chosen):
        batch = next(batches.ordered(start, start + size, view=view, augmentation=augmentation))
        ours, theirs = cached(batch), live(batch)
        pairs = {"logits": (ours.logits, theirs.logits)}
        pairs |= {name: (feature, theirs.features[name]) for name, feature in ours.features.items()}
        for name, (stored, computed) in pairs.items():
            differences[name] = max(differences.get(name, 0.0), float((stored - computed).abs().max()))
            largest[name] = max(largest.get(name, 0.0), float(computed.abs().max()))
    relative = {name: differences[name] and differences[name] / largest[name] for name in differences}
    allowed = ALLOWED[cached.manifest["dtype"]]
    print(f"  {len(chosen)} of {len(known)} batches computed anew; the largest difference ({allowed:g} is allowed):")
    for name, difference in relative.items():
        print(f"  {difference:9.1e}  {name} (of {largest[name]:.3g}, its largest value)")
    worst = max(relative, key=relative.get)
    if not relative[worst] <= allowed:
        raise InputError(
            f"{cached.folder}: '{worst}' differs from the live teacher by {relative[worst]:.1e} of its largest value, "
            f"{allowed:g} is allowed on the machine that wrote it"
        )
    return relative


if __name__ == "__main__":
    run_stage(check_cache if len(sys.argv) > 1 else check_caches)
