"""The engine under the loop, Lightning Fabric: device, precision, and the processes that a launcher started."""

import logging

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from bkdsnn import environment
from bkdsnn.contracts import Batch
from bkdsnn.distributed import agreement, launcher
from bkdsnn.errors import InputError

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
_ENVIRONMENTS = {"torchrun": TorchElasticEnvironment, "srun": SLURMEnvironment, None: LightningEnvironment}


def make_fabric(*, precision: str, device: torch.device) -> Fabric:
    """One process on one device, or as many as the launcher started, each on its own of that kind.

    Raises `InputError` where the machine has not what is asked for, and for fp16 without a GPU.
    """
    processes, here = launcher.world_size(), launcher.local_size()
    environment.put_default("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Fabric sets the threads anew
    try:
        fabric = Fabric(
            accelerator=device.type,
            devices=here,
            num_nodes=processes // here,
            # Buffers stay equal without being sent: batch statistics are those of the whole batch.
            strategy=DDPStrategy(forward_sync_buffers=False) if processes > 1 else "auto",
            precision=precision,
            plugins=[_ENVIRONMENTS[launcher.launcher()]()],
        )
        fabric.launch()
        agreement.prepare()
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        asked = f"{processes} process{'es' * (processes > 1)}, each on its {device.type}"
        raise InputError(f"{asked}: {' '.join(str(error).split())}") from error
    if precision == "16-mixed" and fabric.device.type == "cpu":
        raise InputError("precision 16-mixed needs a GPU; a CPU has 32-true and bf16-mixed")
    return fabric


def backward(loss: Tensor, *, batch: Batch, fabric: Fabric) -> None:
    """The gradient of the mean over the whole batch: DDP takes the mean over processes, whose parts differ in size."""
    fabric.backward(loss * (batch.fraction * fabric.world_size))
