"""From the rows of a table to its runs: what the Hydra resolvers compute and `check_params` checks again.

Plain dicts in, plain dicts out; DVC imports this while it composes, so nothing heavy is imported here.
"""

from bkdsnn import paths
from bkdsnn.errors import InputError

LONGEST = 100  # letters of a key: a cache is called by two, and files by 255 at most
_PARTS = ("dataset", "student", "teacher", "method", "recipe")


def cache_key(row: dict) -> str:
    """What one cache of teacher outputs is called: it serves all rows with this teacher and recipe."""
    return f"{row['teacher']}-{row['recipe']}"


def runs_of(*, rows: dict, seeds: list[int], table: str, parts: dict[str, dict]) -> dict[str, dict]:
    """One run per row and seed, or one alone of a row that is as others published it.

    Citations stay behind, so that a corrected one retrains nothing.
    """
    if not isinstance(seeds, list):
        raise InputError(f"seeds: {seeds!r}: wanted a list: seeds=[{seeds}]")
    return {
        f"{key}-s{seed}": _run(key, row, seed=seed, table=table, parts=parts)
        for key, row in rows.items()
        for seed in _seeds_of(key, row, seeds, parts["recipes"])
    }


def caches_of(*, rows: dict, recipes: dict[str, dict], teachers: dict[str, dict]) -> dict[str, dict]:
    """The caches that the rows read, by key."""
    caches: dict[str, dict] = {}
    for key, row in rows.items():
        _check_row(key, row)
        if not row["teacher"] or not _part("recipes", row["recipe"], recipes, key)["cache"]["enabled"]:
            continue
        teacher = _part("teachers", row["teacher"], teachers, key)
        entry = {name: row[name] for name in ("teacher", "recipe")}
        entry |= {name: teacher[name] for name in ("dataset", "network")}
        if caches.setdefault(cache_key(row), entry) != entry:
            raise InputError(f"rows.{key}: another teacher and recipe are called '{cache_key(row)}' too: rename one")
    return caches


def teacher_runs_of(*, teachers: dict[str, dict], methods: dict[str, dict]) -> dict[str, dict]:
    """One run per teacher: its data set, and the code that makes it."""
    return {
        key: {
            "dataset": teacher["dataset"],
            "code_network": f"networks/{teacher['network']}",
            "code_method": f"methods/{_part('methods', teacher['method'], methods, key, group='teachers')['method']}",
        }
        for key, teacher in teachers.items()
    }


def _run(key: str, row: dict, *, seed: int, table: str, parts: dict[str, dict]) -> dict:
    _check_row(key, row)
    for kind in _PARTS:
        if row[kind] or kind != "teacher":
            _part(f"{kind}s", row[kind], parts[f"{kind}s"], key)
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
        "teacher_data": paths.dataset(_teacher_dataset(row, parts)).as_posix(),
        "code_student": f"networks/{parts['students'][row['student']]['network']}",
        "code_teacher": f"networks/{_teacher_network(row, parts)}",
        "code_method": f"methods/{parts['methods'][row['method']]['method']}",
    }


def _seeds_of(key: str, row: dict, seeds: list[int], recipes: dict[str, dict]) -> list[int]:
    """The seeds of a row's runs; without epochs nothing is drawn, and one is enough."""
    _check_row(key, row)
    recipe = recipes.get(row["recipe"]) if isinstance(row["recipe"], str) else None
    return [0] if recipe and recipe.get("epochs") == 0 else seeds


def _check_row(key: str, row: object) -> None:
    """`InputError` for a row that is no mapping, or has no word on one of its parts."""
    if len(key) > LONGEST:
        raise InputError(f"rows.{key[:57]}...: a key has at most {LONGEST} letters")
    if not isinstance(row, dict):
        raise InputError(f"rows.{key}: {'null' if row is None else row}: wanted {', '.join(_PARTS)}")
    if missing := [kind for kind in _PARTS if kind not in row]:
        raise InputError(f"rows.{key}.{missing[0]}: missing{' (null: none)' if missing[0] == 'teacher' else ''}")


def _part(kind: str, name: str, known: dict, asker: str, *, group: str = "rows") -> dict:
    if not isinstance(name, str) or name not in known:
        there = ", ".join(known) or "none"
        raise InputError(f"{group}.{asker}: '{name}' is missing in {kind}; there are {there}{_in_conf(kind, name)}")
    return known[name]


def _in_conf(kind: str, name: object) -> str:
    """What a file of the catalogue lacks that is there, and yet no part of the table."""
    group = kind.removesuffix("s")
    if name not in paths.catalogue(group):
        return ""
    return (
        f"; conf/{group}/{name}.yaml is there: its first line has to be `# @package {kind}.{name}`, and the table's "
        "defaults have to name it"
    )


def _teacher_path(row: dict, recipe: dict) -> str:
    """What a run reads of its teacher: cached outputs, its weights, or (without teacher) nothing but the data."""
    if not row["teacher"]:
        return paths.dataset(row["dataset"]).as_posix()
    cached = recipe["cache"]["enabled"]
    return (paths.teacher_outputs(cache_key(row)) if cached else paths.teacher(row["teacher"])).as_posix()


def _teacher_dataset(row: dict, parts: dict[str, dict]) -> str:
    """What the teacher looks at: the row's own data set, or another cut of the same recordings."""
    return parts["teachers"][row["teacher"]]["dataset"] if row["teacher"] else row["dataset"]


def _teacher_network(row: dict, parts: dict[str, dict]) -> str:
    """A live teacher's file; where none runs, the student's file again."""
    live = row["teacher"] and not parts["recipes"][row["recipe"]]["cache"]["enabled"]
    return (parts["teachers"][row["teacher"]] if live else parts["students"][row["student"]])["network"]
