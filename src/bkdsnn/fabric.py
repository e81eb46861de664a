"""The engine under the loop, Lightning Fabric: device, precision, and the processes that a launcher started."""

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from bkdsnn import launch
from bkdsnn.contracts import Batch
from bkdsnn.device_pool import take_device
from bkdsnn.errors import InputError

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
_ENVIRONMENTS = {"torchrun": TorchElasticEnvironment, "srun": SLURMEnvironment, None: LightningEnvironment}


def make_fabric(*, precision: str, accelerator: str) -> Fabric:
    """One process on one device, or as many as the launcher started, each on its own.

    Raises `InputError` where the machine has not what is asked for, and for fp16 without a GPU.
    """
    if accelerator != "cpu":
        take_device()
    processes, here = launch.world_size(), launch.local_size()
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Fabric sets the threads anew
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=here,
            num_nodes=processes // here,
            # Buffers stay equal without being sent: batch statistics are those of the whole batch.
            strategy=DDPStrategy(forward_sync_buffers=False) if processes > 1 else "auto",
            precision=precision,
            plugins=[_ENVIRONMENTS[launch.launcher()]()],
        )
        fabric.launch()
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        asked = f"{processes} process{'es' * (processes > 1)}, BKDSNN_ACCELERATOR={accelerator}"
        raise InputError(f"{asked}: {' '.join(str(error).split())}") from error
    if precision == "16-mixed" and fabric.device.type == "cpu":
        raise InputError("precision 16-mixed needs a GPU; a CPU has 32-true and bf16-mixed")
    return fabric


def backward(loss: Tensor, *, batch: Batch, fabric: Fabric) -> None:
    """The gradient of the mean over the whole batch: DDP takes the mean over processes, whose shares may differ."""
    fabric.backward(loss * (batch.share * fabric.world_size))
