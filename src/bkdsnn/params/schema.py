"""The closed schema of params.yaml: what may stand there, of which type, in which range."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, model_serializer, model_validator

from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE, read_yaml, validated
from bkdsnn.params.recipe import Closed, DerivedKey, Key, Recipe, Seed, Sha256, unique


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


class Dataset(Closed):
    """A data source (a file of `data/sources/`), its settings, and how its uint8 values become inputs."""

    source: str
    settings: dict[str, Any]
    normalise: Normalise


class Student(Closed):
    """A network (a file of `networks/`), its settings, and the weights that it starts from (null: of the seed).

    weights: a file below `BKDSNN_DATA`, whose SHA-256 has to be said, as results depend on params.yaml alone.
    layout: whose names its entries have: `ours`, or one that the network's file has among its `LAYOUTS`.
    """

    network: str
    settings: dict[str, Any]
    weights: str | None = None
    weights_sha256: Sha256 | None = None
    layout: str = "ours"

    @model_validator(mode="after")
    def _a_file_has_a_sum(self) -> Self:
        if (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError("weights and weights_sha256 are said together (`sha256sum FILE` gives the second)")
        if self.weights is None and self.layout != "ours":
            raise ValueError(f"layout {self.layout} is of weights, and none are named")
        if self.weights is not None and self.settings.get("weights") is not None:
            raise ValueError("weights and settings.weights name two files")
        return self

    @model_serializer(mode="wrap")
    def _weights_where_there_are_any(self, written: Callable) -> dict[str, Any]:
        """Cards of parts without a file are what they were before parts could have one."""
        unsaid = set() if self.weights else {"weights", "weights_sha256", "layout"}
        return {name: value for name, value in written(self).items() if name not in unsaid}


class Teacher(Student):
    """A network, what it is trained on and how, and the features that students may see."""

    dataset: Key
    method: Key
    recipe: Key
    seed: Seed
    features: list[str]


class MethodPart(Closed):
    """A method (a file of `methods/`), its settings, and what tables say of it.

    label: what it is called. meaning: what it learns from beside the labels. column: its place among the methods (null:
    behind the others). role: gains are taken over the baseline, and a comparison is about the last main method it has.
    """

    method: str
    label: str | None = None
    meaning: str | None = None
    column: NonNegativeInt | None = None
    role: Literal["baseline", "main"] | None = None
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
    """A line of a table: its parts by name, the method settings that differ from the part's, what was published.

    over: the row that its gain is over; null: the baseline of the same data, student and recipe.
    """

    dataset: Key
    student: Key
    teacher: Key | None
    method: Key
    recipe: Key
    method_settings: dict[str, Any] = Field(default_factory=dict)
    published: Published | None = None
    over: Key | None = None


class Run(Closed):
    """A row with a seed, and the strings that dvc.yaml needs of it; derived, see `runs.runs_of`."""

    table: Key
    row: Key
    seed: Seed
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
    code_method: str


class TeacherRun(Closed):
    """A teacher's training, as dvc.yaml needs it; derived, see `runs.teacher_runs_of`."""

    dataset: Key
    code_network: str
    code_method: str


class CacheEntry(Closed):
    """A cache of teacher outputs; derived, see `runs.caches_of`."""

    teacher: Key
    recipe: Key
    dataset: Key
    network: str


class Params(Closed):
    """All of params.yaml; the first five are the knobs (null: no single value, every row has its own)."""

    table: Key
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(unique)]
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
    same_runs_as: Key | None = None
    runs_table: Key = Field(default_factory=lambda data: data["same_runs_as"] or data["table"])
    runs: dict[DerivedKey, Run] = Field(min_length=1)
    teacher_runs: dict[Key, TeacherRun]
    caches: dict[DerivedKey, CacheEntry]

    def entry(self, group: str, key: str) -> Any:
        """An entry of `runs`, `teachers`, ...; `InputError` lists the keys there are."""
        entries = getattr(self, group)
        if key not in entries:
            raise InputError(f"{FILE}: {group}.{key}: there is none; there are {', '.join(entries)}")
        return entries[key]


def load_params(path: Path = Path(FILE)) -> Params:
    """Reads and validates params.yaml; raises `InputError` with the first thing that is wrong."""
    return validated(Params, read_yaml(path), where="")
