"""Which operators an output comes from."""

import torch

JOINED = ("NormAndNeuronBackward", "NormAndPoolBackward")


def graph(output: torch.Tensor) -> list[str]:
    """The names of all operators that an output comes from."""
    pending, seen = [output.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending += [following for following, _ in node.next_functions]
    return [node.name() for node in seen]
