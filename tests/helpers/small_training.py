"""A small training for the tests of the loop and of what lies around it."""

from pathlib import Path

import torch
from conftest import NEURON, augmentation

from bkdsnn import plugins
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.files import digest
from bkdsnn.methods import bkd
from bkdsnn.params.recipe import Recipe
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.trained import Trained
from bkdsnn.training.checkpoint.checkpointer import NoKeeper
from bkdsnn.training.loop import Learner, train

SETTINGS = {"time_steps": 2, "widths": [4, 8], "blocks": [1, 1], "stem_stride": 1, "neuron": NEURON}
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    precision="32-true",
    threads=1,
    portable=False,
    optimiser={"name": "adamw", "lr": 0.01, "weight_decay": 0.05, "momentum": 0.9},
    schedule={"warmup_epochs": 1, "warmup_lr": 0.001, "min_lr": 0.001, "cooldown_epochs": 0},
    augmentation=augmentation(views=2, shift=1),
    cache={"enabled": False, "dtype": "float32"},
    speed={"channels_last": False, "fused_neurons": True, "compile": False},
)


def run(
    data,
    *,
    seed: int = 0,
    recipe: Recipe = RECIPE,
    spoil: bool = False,
    cache: Path | None = None,
    stop_after: int | None = None,
    keeper=lambda fabric: NoKeeper(),
    method: torch.nn.Module | None = None,
    network: torch.nn.Module | None = None,
    features: tuple[str, ...] = ("last",),
) -> Trained:
    """A spiking network trained by `bkd`, or by a method that is given; its teacher, a small ResNet or a network that
    is given, is cached in a folder, or fails after so many steps."""
    make_deterministic(threads=recipe.threads)
    fabric = make_fabric(precision=recipe.precision, device=torch.device("cpu"))
    torch.manual_seed(seed)
    student_module, teacher_module = (plugins.load("network", name) for name in ("sew_resnet", "resnet"))
    student = student_module.Network(student_module.Settings(**SETTINGS), input_shape=(1, 8, 8), classes=3)
    teacher_settings = teacher_module.Settings(widths=[4, 6], blocks=[1, 1], stem_stride=1)
    network = network or teacher_module.Network(teacher_settings, input_shape=(1, 8, 8), classes=3)
    settings = bkd.Settings(
        label_smoothing=0.0,
        features={"last": "last"},
        feature_weight=1e-3,
        blur_ratio=0.15,
        rescale_teacher=False,
        restore=True,
        blurred="student",
    )
    method = method or bkd.Method(settings, student={"last": (8, 4, 4)}, teacher={"last": (6, 4, 4)})
    if spoil:
        torch.nn.init.constant_(method.restore[0][2].bias, float("inf"))
    batches = Batches(data, batch_size=recipe.batch_size, accumulate=recipe.accumulate, device=fabric.device)
    teacher = LiveTeacher(network, features=list(features))
    if cache:
        write_cache(
            cache,
            teacher=teacher,
            batches=batches,
            augmentation=recipe.augmentation,
            dtype="float32",
            teacher_digest="t",
            code={},
            rank=0,
            world=1,
        )
        teacher = CachedTeacher(cache, data_digest=digest(data.folder), views=2, device=fabric.device)
    return train(
        Learner(student, method),
        fabric=fabric,
        teacher=teacher if stop_after is None else stopping(teacher, stop_after),
        batches=batches,
        recipe=recipe,
        seed=seed,
        on_epoch=lambda record, measured: None,
        keeper=keeper(fabric),
    )


def stopping(teacher, steps: int):
    """A teacher that fails after so many steps."""
    counter = iter(range(steps))

    def call(batch):
        if next(counter, None) is None:
            raise KeyboardInterrupt
        return teacher(batch)

    return call


def same(first: Trained, second: Trained) -> bool:
    """To the byte: history and both sets of weights."""
    pairs = [(first.last, second.last), (first.best, second.best)]
    weights = all(torch.equal(one[name], other[name]) for one, other in pairs for name in one)
    return weights and first.history == second.history and first.best_epoch == second.best_epoch
