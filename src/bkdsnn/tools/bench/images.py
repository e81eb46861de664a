"""What augmenting images costs here, and how long a training step waits for it (`make bench`)."""

import statistics
import tempfile
import time
from pathlib import Path

import torch

from bkdsnn import environment
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.launcher import cores
from bkdsnn.params.recipe import Augmentation
from bkdsnn.tools.loading import PHOTO, made_a_second, photos, random_images
from bkdsnn.tools.parts import build, composed_augmentation, composed_parts

_PICTURE = {"size": 224, "resize": 256, "interpolation": "bicubic"}


def bench_images() -> None:
    """Prints all tables; needs no prepared data."""
    with tempfile.TemporaryDirectory() as name:
        data = random_images(Path(name) / "images")
        _print_rates(data)
        _print_waiting(data)
        for size in (PHOTO, (1000, 750)):
            _print_photos(photos(Path(name) / str(size[0]), picture=_PICTURE, size=size), size)


def _print_rates(data: ArrayData) -> None:
    rules = composed_augmentation("cifar")
    print("CIFAR recipe (flip, RandAugment, mixup, erasing), batches of 64: images/s (median of 5 epochs of 4,096)")
    for workers in (0, cores()):
        environment.put("BKDSNN_WORKERS", str(workers))
        batches = Batches(data, batch_size=64, device=torch.device("cpu"))
        rates = []
        for epoch in range(6):
            start = time.perf_counter()
            count = sum(len(batch.index) for batch in batches.shuffled(epoch=epoch, seed=0, augmentation=rules))
            rates.append(count / (time.perf_counter() - start))
        print(f"  {statistics.median(rates[1:]):7.0f}         {workers or 'no'} worker processes")


def _print_waiting(data: ArrayData) -> None:
    print("\nshare of a training step (fp32, batch 16) that waits for its batch")
    parts, rules = composed_parts()["students"], composed_augmentation("cifar")
    for name in ("resnet-19-cifar", "spikingformer-4-256-cifar"):
        share, step = _waiting(data, parts[name], rules)
        print(f"  {100 * share:7.2f} %       {name} ({step:.1f} s a step)")


def _print_photos(data: ArrayData, size: tuple[int, int]) -> None:
    print(f"\nJPEGs of {size[0]} x {size[1]} to 224 x 224: samples/s of one core, decoded whole and reduced")
    for name in ("imagenet-cnn", "imagenet-vit"):
        rules = composed_augmentation(name)
        alone = rules.model_copy(update={"flip": 0.0, "rand_augment": None, "mixup": None, "erase": 0.0})
        for what, kept in (("the crop alone", alone), ("whole views", rules)):
            rates = []
            for reduced in (False, True):
                crop = kept.resized_crop.model_copy(update={"reduced_decode": reduced})
                rates.append(made_a_second(data, kept.model_copy(update={"resized_crop": crop})))
            print(f"  {rates[0]:7.0f} {rates[1]:7.0f}  {name}, {what}")


def _waiting(data: ArrayData, part: dict, rules: Augmentation) -> tuple[float, float]:
    network = build(part, input_shape=data.input_shape, classes=10).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    batches = Batches(data, batch_size=16, device=torch.device("cpu"))
    stream = batches.shuffled(epoch=0, seed=0, augmentation=rules)
    waits, steps = [], []
    for _ in range(4):
        start = time.perf_counter()
        batch = next(stream)
        ready = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(network(batch.inputs).logits.mean(0), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        waits.append(ready - start)
        steps.append(time.perf_counter() - start)
    return sum(waits[1:]) / sum(steps[1:]), statistics.median(steps[1:])


if __name__ == "__main__":
    run_stage(bench_images)
