"""The closed schema of params.yaml: what may stand there, of which type, in which range."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE, validated
from bkdsnn.params.recipe import Closed, DerivedKey, Key, Recipe, Seed, unique


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
    """A network (a file of `networks/`) and its settings."""

    network: str
    settings: dict[str, Any]


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
    """A line of a table: its parts by name, the method settings that differ from the part's, what was published."""

    dataset: Key
    student: Key
    teacher: Key | None
    method: Key
    recipe: Key
    method_settings: dict[str, Any] = Field(default_factory=dict)
    published: Published | None = None


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
    runs: dict[DerivedKey, Run] = Field(min_length=1)
    teacher_runs: dict[Key, TeacherRun]
    caches: dict[DerivedKey, CacheEntry]

    def entry(self, group: str, key: str) -> Any:
        """An entry of `runs`, `teachers`, ...; `InputError` lists the keys there are."""
        entries = getattr(self, group)
        if key not in entries:
            raise InputError(f"{FILE}: {group}.{key}: there is none; there are {', '.join(entries)}")
        return entries[key]


class _Loader(yaml.SafeLoader):
    """Reads plain words as YAML 1.2, DVC's; by 1.1, PyYAML's, 1e-3 is a text, `no` is false, 010 is 8, 1:30 is 90."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in ("bool", "int", "float")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _kind, _pattern in {
    "bool": "(true|True|TRUE|false|False|FALSE)$",
    "int": "[-+]?(0|[1-9][0-9]*)$",
    "float": r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list("-+.0123456789tTfF"))


def load_params(path: Path = Path(FILE)) -> Params:
    """Reads and validates params.yaml; raises `InputError` with the first thing that is wrong."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no readable YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise InputError(f"{path}: empty: `git checkout {path}` brings the committed one back")
    return validated(Params, content, where="")
