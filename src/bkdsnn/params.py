"""The closed schema of params.yaml: what may stand there, of which type, in which range."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
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

from bkdsnn.errors import InputError
from bkdsnn.validation import FILE, validated

Key = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def _unique(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("each once")
    return values


class Closed(BaseModel):
    """A frozen mapping in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Normalise(Closed):
    """Inputs become `(uint8 / scale - mean) / std`, mean and std per channel."""

    scale: PositiveFloat
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[PositiveFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_std_per_mean(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std has {len(self.std)}")
        return self


class ResizedCrop(Closed):
    """A random part of the image (`scale` of its area, sides in `ratio`), resized: timm's RandomResizedCrop."""

    scale: tuple[PositiveFloat, PositiveFloat]
    ratio: tuple[PositiveFloat, PositiveFloat]
    interpolation: Literal["bilinear", "bicubic", "random"]


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
            if needed != (getattr(self, name) is not None):
                raise ValueError(
                    f"switch_probability {self.switch_probability} and {name} {getattr(self, name)} differ"
                )
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
    rand_augment: Annotated[str, Field(pattern=r"^rand(-(m|n|p|mstd|mmax|inc)[0-9.]+)+$")] | None
    snn_augment: bool
    mixup: Mixup | None
    erase: Probability

    @property
    def all_views(self) -> int:
        """How many views there are to store: where mixup is switched off, each is there with it and without."""
        return self.views * (2 if self.mixup and self.mixup.off_epoch is not None else 1)

    def view_of(self, epoch: int) -> int:
        """The view that an epoch uses: epoch mod `views`, and beyond `views` the same without mixup."""
        off = self.mixup is not None and self.mixup.off_epoch is not None and epoch >= self.mixup.off_epoch
        return epoch % self.views + (self.views if off else 0)


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
    """What makes a step faster and rounds differently: the same number to a few units in the last place.

    channels_last: maps lie in memory pixel by pixel, not channel by channel. fused_neurons: on a CPU a neuron's steps
    are one operator of ours (false: SpikingJelly's), in training (channels_last, not compiled) together with the batch
    norm before it; so are batch norm and max-pooling. compile: torch.compile of the student.
    """

    channels_last: bool
    fused_neurons: bool
    compile: bool


class Recipe(Closed):
    """Everything about a training run that is neither data, network, method nor seed.

    `epochs` counts all of them, warm-up and cool-down too. Epochs 0 takes a network with the weights it starts from: a
    teacher that others trained.
    """

    epochs: NonNegativeInt
    batch_size: PositiveInt
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    threads: PositiveInt | None
    optimiser: Optimiser
    schedule: Schedule
    augmentation: Augmentation
    cache: Cache
    speed: Speed

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        warmup, cooldown = self.schedule.warmup_epochs, self.schedule.cooldown_epochs
        if warmup + cooldown >= max(self.epochs, 1):
            and_cooldown = f" and cooldown_epochs {cooldown}" if cooldown else ""
            raise ValueError(f"warmup_epochs {warmup}{and_cooldown} leave nothing of {self.epochs} epochs")
        for name in ("warmup_lr", "min_lr"):
            if (value := getattr(self.schedule, name)) > self.optimiser.lr:
                raise ValueError(f"{name} {value} is above lr {self.optimiser.lr}")
        return self


class Dataset(Closed):
    """A data source (a file of `data/sources/`), its settings, and how its uint8 values become inputs."""

    source: str
    settings: dict[str, Any]
    normalise: Normalise


class Student(Closed):
    """A network (a file of `networks/`) and its settings."""

    network: str
    settings: dict[str, Any]


class Teacher(Student):
    """A network, what it is trained on and how, and the features that students may see."""

    dataset: Key
    method: Key
    recipe: Key
    seed: NonNegativeInt
    features: list[str]


class MethodPart(Closed):
    """A method (a file of `methods/`), the method files it is built on, and its settings."""

    method: str
    builds_on: list[str]
    settings: dict[str, Any]


class Published(Closed):
    """A top-1 accuracy (%) from the literature, null where it was not found; `source` then says where one looked.

    Grades: paper.md (P authors, S quoted, M a hint). parameters_m: the network's parameters in millions, as printed.
    """

    value: float | None
    source: Annotated[str, Field(min_length=1)]
    grade: Literal["P", "S", "M"] | None
    parameters_m: PositiveFloat | None = None

    @model_validator(mode="after")
    def _a_value_has_a_grade(self) -> Self:
        if (self.value is None) != (self.grade is None):
            raise ValueError("a value has a grade, and what was not found has none")
        return self


class Row(Closed):
    """A line of a table: its parts by name, the method settings that differ from the part's, what was published."""

    dataset: Key
    student: Key
    teacher: Key | None
    method: Key
    recipe: Key
    method_settings: dict[str, Any] = {}
    published: Published | None = None


class Run(Closed):
    """A row with a seed, and the strings that dvc.yaml needs of it; derived, see `composition.runs_of`."""

    table: Key
    row: Key
    seed: NonNegativeInt
    dataset: Key
    student: Key
    teacher: Key | None
    method: Key
    method_settings: dict[str, Any]
    recipe: Key
    teacher_path: str
    teacher_data: str
    code_student: str
    code_teacher: str
    code_method_1: str
    code_method_2: str
    code_method_3: str
    code_method_4: str
    code_method_5: str


class CacheEntry(Closed):
    """A cache of teacher outputs; derived, see `composition.caches_of`."""

    teacher: Key
    recipe: Key
    dataset: Key
    network: str


class Params(Closed):
    """All of params.yaml; the first five are the knobs (null: no single value, every row has its own)."""

    table: Key
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1), AfterValidator(_unique)]
    blur_ratio: float | None = Field(ge=0.0, lt=1.0)
    time_steps: Annotated[int, Field(ge=1, le=64)] | None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    title: str
    datasets: dict[Key, Dataset]
    students: dict[Key, Student]
    teachers: dict[Key, Teacher]
    methods: dict[Key, MethodPart]
    recipes: dict[Key, Recipe]
    rows: dict[Key, Row] = Field(min_length=1)
    runs: dict[Key, Run] = Field(min_length=1)
    caches: dict[Key, CacheEntry]

    def entry(self, group: str, key: str) -> Any:
        """An entry of `runs`, `teachers`, ...; `InputError` lists the keys there are."""
        entries = getattr(self, group)
        if key not in entries:
            raise InputError(f"{FILE}: {group}.{key}: there is none; there are {', '.join(entries)}")
        return entries[key]

    def method_settings(self, run: Run | Row) -> dict[str, Any]:
        """The settings of a run's method: the part's, and over them the row's own."""
        return {**self.methods[run.method].settings, **run.method_settings}


def load_params(path: Path = Path(FILE)) -> Params:
    """Reads and validates params.yaml; raises `InputError` with the first thing that is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no readable YAML: {' '.join(str(error).split())}") from error
    return validated(Params, content, where="")
