"""Where every artefact lies; dvc.yaml names the same places."""

from pathlib import Path

from bkdsnn import environment

CONF = Path(__file__).parent / "conf"
PARAMS = Path("params.yaml")
RESULTS = Path("results")
_MODELS = Path("models")
_DATA = Path("data")
RAW_FINGERPRINTS = _DATA / "raw"  # what tells published files from others
CODE = _DATA / "code"  # the digests of the code behind every entry point
CARDS = _DATA / "params"  # what params.yaml says of each run, teacher, cache, data set and table
TAKEN = {"raw", "code", "params", "teacher_outputs", "unpacked"}  # folders below data/ that are no data sets


def catalogue(kind: str) -> list[str]:
    """The names of all files of a kind in `conf/` (student, method, table, ...), sorted."""
    return sorted(path.stem for path in (CONF / kind).glob("*.yaml"))


def project_root() -> Path:
    """The main checkout, also from a queued experiment's snapshot (DVC names it in `DVC_ROOT`)."""
    return Path(environment.foreign("DVC_ROOT") or Path.cwd())


def raw_data() -> Path:
    """The folder of the data sets as published: `BKDSNN_DATA`, relative to the main checkout."""
    return project_root() / (environment.read("BKDSNN_DATA") or "raw")


def unpacked(archive: str) -> Path:
    """What an archive holds that lies where nothing can be unpacked beside it."""
    return project_root() / _DATA / "unpacked" / archive


def card(kind: str, key: str) -> Path:
    """The card of a run, teacher, cache, data set or table."""
    return CARDS / kind / f"{key}.json"


def dataset(key: str) -> Path:
    """A prepared data set."""
    return _DATA / key


def teacher_outputs(key: str) -> Path:
    """A cache of teacher outputs."""
    return _DATA / "teacher_outputs" / key


def teacher(key: str) -> Path:
    """A trained teacher."""
    return _MODELS / "teachers" / key


def student(table: str, run: str) -> Path:
    """A trained student."""
    return _MODELS / "students" / table / run


def exported(table: str, run: str) -> Path:
    """A student as a NIR file."""
    return _MODELS / "nir" / table / f"{run}.nir"


def runs(table: str) -> Path:
    """The evaluated runs and teachers of a table."""
    return RESULTS / "runs" / table


def tables(table: str) -> Path:
    """The files of a table."""
    return RESULTS / "tables" / table


def figures(table: str) -> Path:
    """The figures of a table."""
    return RESULTS / "figures" / table


def tuning(table: str, row: str) -> Path:
    """The trials of a row's tuning."""
    return RESULTS / "tuning" / f"{table}-{row}.csv"


def unfinished() -> Path:
    """The folder of what killed processes go on from, one for all experiments."""
    return project_root() / ".resume"


def store() -> Path:
    """MLflow's database where no other store is named."""
    return project_root().resolve() / "mlflow.db"
