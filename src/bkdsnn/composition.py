"""From the rows of a table to its runs: what the Hydra resolvers compute and `check_params` checks again.

Plain dicts in, plain dicts out; DVC imports this while it composes, so nothing heavy is imported here.
"""

TEACHERS = "models/teachers"
TEACHER_OUTPUTS = "data/teacher_outputs"
# DVC interpolates no lists: so many strings are given, repeated where fewer are needed.
_METHOD_FILES = 4
_TABLE_DATASETS = 2


def cache_key(row: dict) -> str:
    """What one cache of teacher outputs is called: it serves all rows with this teacher and recipe."""
    return f"{row['teacher']}-{row['recipe']}"


def runs_of(*, rows: dict, seeds: list[int], table: str, parts: dict[str, dict]) -> dict[str, dict]:
    """One run per row and seed; citations stay behind, so that a corrected one retrains nothing."""
    return {
        f"{key}-s{seed}": _run(key, row, seed=seed, table=table, parts=parts)
        for key, row in rows.items()
        for seed in seeds
    }


def caches_of(*, rows: dict, recipes: dict[str, dict], teachers: dict[str, dict]) -> dict[str, dict]:
    """The caches that the rows read, by key."""
    return {
        cache_key(row): {
            "teacher": row["teacher"],
            "recipe": row["recipe"],
            "dataset": row["dataset"],
            "network": teachers[row["teacher"]]["network"],
        }
        for row in rows.values()
        if row["teacher"] and recipes[row["recipe"]]["cache"]["enabled"]
    }


def tables_of(*, rows: dict, table: str) -> dict[str, dict]:
    """The table that is built, with the data sets that it shows."""
    folders = [f"data/{name}" for name in dict.fromkeys(row["dataset"] for row in rows.values())]
    return {table: {f"data_{number + 1}": folders[min(number, len(folders) - 1)] for number in range(_TABLE_DATASETS)}}


def _run(key: str, row: dict, *, seed: int, table: str, parts: dict[str, dict]) -> dict:
    method = parts["methods"][row["method"]]
    files = [method["method"], *method["builds_on"]]
    return {
        "table": table,
        "row": key,
        "seed": seed,
        "dataset": row["dataset"],
        "student": row["student"],
        "teacher": row["teacher"],
        "method": row["method"],
        "method_settings": dict(row.get("method_settings") or {}),
        "recipe": row["recipe"],
        "teacher_path": _teacher_path(row, parts["recipes"][row["recipe"]]),
        "code_student": f"src/bkdsnn/networks/{parts['students'][row['student']]['network']}.py",
        "code_teacher": f"src/bkdsnn/networks/{_teacher_network(row, parts)}.py",
        **{
            f"code_method_{number + 1}": f"src/bkdsnn/methods/{files[min(number, len(files) - 1)]}.py"
            for number in range(_METHOD_FILES)
        },
    }


def _teacher_path(row: dict, recipe: dict) -> str:
    """What a run reads of its teacher: cached outputs, its weights, or (without teacher) nothing but the data."""
    if not row["teacher"]:
        return f"data/{row['dataset']}"
    return f"{TEACHER_OUTPUTS}/{cache_key(row)}" if recipe["cache"]["enabled"] else f"{TEACHERS}/{row['teacher']}"


def _teacher_network(row: dict, parts: dict[str, dict]) -> str:
    """A live teacher's file; where none runs, the student's file again."""
    live = row["teacher"] and not parts["recipes"][row["recipe"]]["cache"]["enabled"]
    return (parts["teachers"][row["teacher"]] if live else parts["students"][row["student"]])["network"]
