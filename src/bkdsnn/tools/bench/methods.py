"""What a student's step costs with every method, beside one of them: `python -m bkdsnn.tools.bench.methods METHOD`.

The teacher's outputs are cached. The methods take turns within one run, each step beside one of METHOD right before it,
so that what else the machine does falls on both.
"""

import difflib
import statistics
from dataclasses import replace

from bkdsnn import portable
from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.tools.bench.contenders import OURS, RESNET, contender_of
from bkdsnn.tools.bench.step import seconds_of
from bkdsnn.tools.parts import NAMES, composed_parts

ROUNDS = 7
GOAL = 1.15
STUDENT = "sew-small-cifar"


def bench_methods(beside: str) -> None:
    """Prints each method's median step and its ratio, the median of those within the rounds."""
    if beside not in NAMES["method"]:
        near = difflib.get_close_matches(beside, NAMES["method"], n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"METHOD: '{beside}': {guess}there are {', '.join(NAMES['method'])}")
    device, parts = this_device(portable=False), composed_parts()
    setups = {name: replace(OURS, student=STUDENT, teacher=RESNET, method=name) for name in NAMES["method"]}
    steps = {name: contender_of(setup, device=device, parts=parts).step for name, setup in setups.items()}
    for step in steps.values():
        step()
    seconds, ratios = {name: [] for name in steps}, {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            reference = seconds_of(steps[beside], device)
            seconds[name].append(seconds_of(step, device))
            ratios[name].append(seconds[name][-1] / reference)
    print(f"a step of {STUDENT} under {RESNET}, cached, 32 x 32, T 4, batch {OURS.batch_size}, {portable.processor()}")
    print(f"ms (median of {ROUNDS}), ratio to {beside}; the goal is at most {GOAL}")
    for name in sorted(steps, key=lambda name: statistics.median(ratios[name])):
        ratio = statistics.median(ratios[name])
        print(f"  {1e3 * statistics.median(seconds[name]):7.0f}  {ratio:5.2f}  {name}{'  above it' * (ratio > GOAL)}")


if __name__ == "__main__":
    run_stage(bench_methods)
