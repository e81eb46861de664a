"""What augmenting images costs here, and how long a training step waits for it (`make bench`)."""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bkdsnn import environment
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData, Prepared, create_inputs, write_manifest
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.launcher import cores
from bkdsnn.files import new_folder
from bkdsnn.params.recipe import Augmentation
from bkdsnn.params.schema import Dataset
from bkdsnn.tools.parts import build, composed_augmentation, composed_parts


def bench_images() -> None:
    """Prints both tables; needs no prepared data."""
    with tempfile.TemporaryDirectory() as name:
        data = random_images(Path(name) / "images")
        _print_rates(data)
        _print_waiting(data)


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


def random_images(folder: Path) -> ArrayData:
    """5,000 images of noise in ten classes."""
    random = np.random.Generator(np.random.Philox(0))
    labels = np.arange(5000) % 10
    splits = dict(zip(("train", "validation", "test"), np.split(np.arange(5000), (4096, 4500)), strict=True))
    normalise = {"scale": 255, "mean": [0.5] * 3, "std": [0.25] * 3}
    with new_folder(folder) as partial:
        inputs = create_inputs(partial, (5000, 3, 32, 32))
        for row in range(5000):
            inputs.write(row, random.integers(0, 256, (3, 32, 32), dtype=np.uint8))
        prepared = Prepared([str(n) for n in range(10)], labels, splits, {"split": "made up"})
        dataset = Dataset(source="made_up", settings={}, normalise=normalise)
        write_manifest(partial, prepared, dataset=dataset)
    return ArrayData(folder)


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
