"""How a network is trained: the closed schema of a recipe, and of every other mapping."""

import json
import re
from operator import attrgetter
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from bkdsnn.params.runs import LONGEST


def spelt(pattern: str, wanted: str) -> AfterValidator:
    """Strings that a pattern describes; for others `wanted` is said."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(wanted)
        return value

    return AfterValidator(check)


def unique(values: list) -> list:
    """Lists that name nothing twice."""
    if len(set(values)) < len(values):
        raise ValueError("each once")
    return values


Key = Annotated[
    str, spelt(rf"[a-z0-9_-]{{1,{LONGEST}}}", f"a key is made of a-z, 0-9, _ and -, of {LONGEST} of them at most")
]
DerivedKey = Annotated[str, spelt("[a-z0-9_-]{1,220}", "a key is made of a-z, 0-9, _ and -")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Sha256 = Annotated[str, spelt("[0-9a-f]{64}", "a SHA-256 has 64 digits, 0-9 and a-f")]
RandAugment = Annotated[str, spelt(r"rand(-(m|n|p|mstd|mmax|inc)[0-9.]+)+", "timm's words are such as rand-m9-n2")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Closed(BaseModel):
    """A frozen mapping in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Depth = Annotated[int, Field(ge=1, le=1000)]  # layers in a row: one more digit by mistake would build for ever


class ResizedCrop(Closed):
    """A random part of the image (`scale` of its area, sides in `ratio`), resized: timm's RandomResizedCrop.

    reduced_decode: a JPEG of which the part has at least twice (4, 8 times) as many pixels a side as are wanted is
    decoded with 1/2 (1/4, 1/8) of its own. The parts are the same, their pixels are not quite.
    """

    scale: tuple[PositiveFloat, PositiveFloat]
    ratio: tuple[PositiveFloat, PositiveFloat]
    interpolation: Literal["bilinear", "bicubic", "random"]
    reduced_decode: bool = False


class Mixup(Closed):
    """Two samples mixed, pixels and labels, with `probability`: added with a weight from Beta(mixup_alpha), or, with
    `switch_probability`, one pasted into the other (cutmix_alpha). From `off_epoch` on (null: never off) nothing is."""

    mixup_alpha: PositiveFloat | None
    cutmix_alpha: PositiveFloat | None
    switch_probability: Probability
    probability: Probability
    off_epoch: NonNegativeInt | None

    @model_validator(mode="after")
    def _alphas_of_what_happens(self) -> Self:
        needs = {"mixup_alpha": self.switch_probability < 1, "cutmix_alpha": self.switch_probability > 0}
        for name, needed in needs.items():
            if needed != ((value := getattr(self, name)) is not None):
                raise ValueError(f"switch_probability {self.switch_probability} and {name} {value} differ")
        return self


class Augmentation(Closed):
    """How many views of a sample exist, and what makes one, in this order.

    resized_crop (of image files), flip (left-right, probability), shift (by up to so many pixels, zeros move in),
    rand_augment (timm's name for it), snn_augment (of event frames), mixup, and erase (a rectangle becomes the mean
    colour, probability).
    """

    views: PositiveInt
    augment_seed: NonNegativeInt
    resized_crop: ResizedCrop | None
    flip: Probability
    shift: NonNegativeInt
    rand_augment: RandAugment | None
    snn_augment: bool
    mixup: Mixup | None
    erase: Probability


class Optimiser(Closed):
    """Momentum is SGD's, and AdamW's first beta. Biases and other 1-D parameters do not decay."""

    name: Literal["adamw", "sgd"]
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    momentum: float = Field(ge=0.0, lt=1.0)


class Schedule(Closed):
    """Linear warm-up from `warmup_lr`, a cosine towards `min_lr`, and `cooldown_epochs` at `min_lr`.

    The cosine begins at epoch 0, so that the warm-up covers its start, and would end with the first epoch after it.
    """

    warmup_epochs: NonNegativeInt
    warmup_lr: NonNegativeFloat
    min_lr: NonNegativeFloat
    cooldown_epochs: NonNegativeInt


class Cache(Closed):
    """Whether students read the teacher's outputs from a cache, and how they are stored."""

    enabled: bool
    dtype: Literal["float32", "float16", "bfloat16"]


class Speed(Closed):
    """What makes a step faster and rounds differently: an operator's outputs, of the same inputs, differ by a few units
    in the last place. A current so near to the threshold may become a spike or none, and what follows differ by more.

    Batch norms that train on a CPU have such statistics with any number of threads (compile: those of the compiler).

    channels_last: maps lie in memory pixel by pixel, not channel by channel. fused_neurons: on a CPU a neuron's steps
    are one operator of ours (false: SpikingJelly's), in training (channels_last, not compiled) together with the batch
    norm before it; so are batch norm and max-pooling. compile: torch.compile of the student. tf32: convolutions and
    matrix products of a float32 training on a GPU round their factors to 10 bits (false: they are float32).
    """

    channels_last: bool
    fused_neurons: bool
    compile: bool
    tf32: bool = False


class Recipe(Closed):
    """Everything about a training run that is neither data, network, method nor seed.

    `epochs` counts all of them, warm-up and cool-down too. Epochs 0 takes a network with the weights it starts from: a
    teacher that others trained. portable: the same bytes on every x86-64 processor with AVX2, see `bkdsnn.portable`.
    accumulate: in how many parts, one after the other, a batch goes through the student; batch norms see a part.
    teacher_precision: in which a student's teacher runs, live or to be cached; what it says is float32 again.
    """

    epochs: NonNegativeInt
    batch_size: PositiveInt
    accumulate: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    teacher_precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: PositiveInt | None
    portable: bool
    optimiser: Optimiser
    schedule: Schedule
    augmentation: Augmentation
    cache: Cache
    speed: Speed

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} does not divide batch_size {self.batch_size}")
        warmup, cooldown = self.schedule.warmup_epochs, self.schedule.cooldown_epochs
        if warmup + cooldown >= max(self.epochs, 1):
            and_cooldown = f" and cooldown_epochs {cooldown}" if cooldown else ""
            raise ValueError(f"warmup_epochs {warmup}{and_cooldown} leave nothing of {self.epochs} epochs")
        for name in ("warmup_lr", "min_lr"):
            if (value := getattr(self.schedule, name)) > self.optimiser.lr:
                raise ValueError(f"{name} {value} is above lr {self.optimiser.lr}")
        return self

    @model_validator(mode="after")
    def _portable_where_it_holds(self) -> Self:
        needed = {"precision": "32-true", "teacher_precision": "32-true", "threads": 1}
        needed |= {"speed.compile": False, "speed.tf32": False}
        for name, wanted in needed.items():
            if self.portable and (value := attrgetter(name)(self)) != wanted:
                wanted, value = json.dumps(wanted), json.dumps(value)
                raise ValueError(f"portable: true needs {name} {wanted}, this is {value}: portable: false allows it")
        return self
