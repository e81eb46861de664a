"""`make compare A=main B=calm-heron`: the rows of two experiments, commits or the workspace, paired by seed."""

import difflib
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.extraction import extract
from bkdsnn.errors import InputError
from bkdsnn.params.schema import Params, load_params
from bkdsnn.reporting.collect import Collected, collect
from bkdsnn.reporting.intervals import mean_and_std, paired_interval
from bkdsnn.reporting.layout import EMPTY, number, with_spread
from bkdsnn.reporting.verdicts import ENOUGH, LEVEL, judged

WORKSPACE = "workspace"  # as DVC calls what is not committed
_SAME = "the same runs"
_DERIVED = {"runs", "runs_table", "caches", "teacher_runs"}


def compare(first: str, second: str) -> None:
    """Prints B less A by row, with its interval and verdict; `InputError` where one has no runs, or no row in common.

    A and B: a branch, tag or commit, an experiment of DVC, or `workspace` (also where it is empty).
    """
    names = [first or WORKSPACE, second or WORKSPACE]
    if names[0] == names[1]:
        raise InputError(
            f"A={names[0]} B={names[1]}: wanted two states: a branch, commit or experiment, or {WORKSPACE}"
        )
    sides = [_collected(name) for name in names]
    compared = rows(*sides)
    if compared.empty:
        why = [what for side in sides for _, what in side.problems.values()]
        first = f": {why[0]} (the first of {len(why)} such)" if why else ""
        raise InputError(f"A={names[0]} and B={names[1]} have no row in common with runs of the same seeds{first}")
    table = compared.rename(columns={"A": f"A: {names[0]}", "B": f"B: {names[1]}"})
    print(tabulate(table, headers="keys", tablefmt="github", showindex=False, disable_numparse=True))
    print("\n".join(f"- {line}" for line in notes(*sides)))


def rows(first: Collected, second: Collected) -> pd.DataFrame:
    """By row that both have: top-1 (%, test split, last epoch) of either, B less A paired by seed, its verdict."""
    pairs = {row: pair for row in first.params.rows if len((pair := _pair(row, first, second))[0])}
    found = {row: b - a for row, (a, b) in pairs.items() if not _same(row, first, second)}
    verdicts = judged(found)
    lines = []
    for row, (a, b) in pairs.items():
        verdict = verdicts.get(row)
        lines.append(
            {
                "row": row,
                "A": with_spread(*mean_and_std(a)),
                "B": with_spread(*mean_and_std(b)),
                "B - A, paired": with_spread(*paired_interval(b - a), sign="+") if verdict else EMPTY,
                "seeds": str(len(a)),
                "p (Holm)": number(verdict and verdict.p_holm, ".2g"),
                "verdict": verdict.word if verdict else _SAME,
            }
        )
    return pd.DataFrame(lines)


def notes(first: Collected, second: Collected) -> list[str]:
    """How the numbers came about, which settings differ, and what is missing or may not be compared."""
    lines = [
        "Top-1 % of the test split, last epoch, mean ± standard deviation over the seeds that both have; the "
        "difference is paired by seed, ± is the half-width of its 95 % interval (Student's t). Verdicts: of B over A; "
        f"t-test, corrected (Holm) over the rows that differ and have {ENOUGH} pairs or more, at {LEVEL:g}."
    ]
    if (tables := [side.params.table for side in (first, second)])[0] != tables[1]:
        lines.append(f"A is table {tables[0]}, B table {tables[1]}: rows of one name may be of other things.")
    for name, own in (("data", "data_sha256"), ("processor or versions", "made_with")):
        if odd := [row for row in first.params.rows if _differs(row, own, first, second)]:
            lines.append(f"Other {name} in B: {', '.join(odd)}.")
    lines += [f"{name}: {a} → {b}" for name, (a, b) in _settings(first.params, second.params).items()]
    for side, collected in (("A", first), ("B", second)):
        lines += [f"{side}: {what}." for _, what in collected.problems.values()]
    return lines


def _collected(name: str) -> Collected:
    """The runs of a state: as they lie here, or as a commit has them."""
    if name == WORKSPACE:
        return _read(Path())
    with tempfile.TemporaryDirectory() as folder:
        _checkout(_commit(name), Path(folder))
        try:
            return _read(Path(folder))
        except InputError as error:
            raise InputError(f"{name}: {str(error).replace(f'{folder}/', '')}") from error


def _read(folder: Path) -> Collected:
    params = load_params(folder / paths.PARAMS)
    collected = collect(folder / paths.runs(params.runs_table), params, data_sha256={})
    problems = {key: (state, what.replace(f"{folder}/", "")) for key, (state, what) in collected.problems.items()}
    return Collected(params, collected.evaluated, problems, collected.strays)


def _commit(name: str) -> str:
    """The commit of a branch, tag, commit or experiment; `InputError` with the nearest names where there is none."""
    if found := _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"):
        return found[0]
    refs = _git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps", "refs/heads", "refs/tags")
    commits = {ref.rsplit("/", 1)[-1]: commit for ref, commit in (line.split(" ") for line in refs)}
    if name not in commits:
        near = difflib.get_close_matches(name, commits, n=3)
        raise InputError(f"{name}: no commit or experiment here; {', '.join(near) or 'see `dvc exp list`'}")
    return commits[name]


def _checkout(commit: str, folder: Path) -> None:
    """What is compared of a commit, into a folder."""
    listed = _git("ls-tree", "--name-only", commit, str(paths.PARAMS), f"{paths.RESULTS}/")
    if str(paths.PARAMS) not in listed:
        raise InputError(f"{commit[:10]}: has no {paths.PARAMS}")
    archive = folder / "archive.tar"
    command = ["git", "archive", f"--output={archive}", commit, str(paths.PARAMS)]
    command += [f"{paths.RESULTS}/runs"] if _git("ls-tree", commit, f"{paths.RESULTS}/runs") else []
    subprocess.run(command, capture_output=True, check=True)
    extract(archive, folder, known=True)


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _pair(row: str, first: Collected, second: Collected) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 of a row in both, by the seeds that both have."""
    a, b = ({run.metrics.seed: run.metrics.test_top1 for run in side.of_row(row)} for side in (first, second))
    seeds = sorted(set(a) & set(b))
    return np.array([a[seed] for seed in seeds]), np.array([b[seed] for seed in seeds])


def _same(row: str, first: Collected, second: Collected) -> bool:
    return not _differs(row, "model_sha256", first, second) and not np.any(np.subtract(*_pair(row, first, second)))


def _differs(row: str, fact: str, first: Collected, second: Collected) -> bool:
    """Whether a fact of a row's runs is another one in B, of the seeds that both have."""
    a, b = ({run.metrics.seed: getattr(run.metrics, fact) for run in side.of_row(row)} for side in (first, second))
    return any(a[seed] != b[seed] for seed in set(a) & set(b))


def _settings(first: Params, second: Params) -> dict[str, tuple]:
    """The settings that differ, by their dotted names; EMPTY where one has none."""
    a, b = (_flat(params.model_dump(mode="json", exclude=_DERIVED)) for params in (first, second))
    pairs = {name: (a.get(name, EMPTY), b.get(name, EMPTY)) for name in dict.fromkeys([*a, *b])}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(content: dict) -> dict[str, object]:
    return pd.json_normalize(content, sep=".").iloc[0].to_dict()


if __name__ == "__main__":
    run_stage(compare)
