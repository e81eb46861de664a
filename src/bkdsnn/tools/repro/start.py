"""`make repro JOBS=n`: the table that params.yaml asks for, several stages at once."""

import subprocess

from bkdsnn import paths, portable
from bkdsnn.command import run_stage
from bkdsnn.data.raw_files import fingerprints
from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.params.schema import Params, load_params
from bkdsnn.tools.repro.graph import ALWAYS_RUN, Graph, Work
from bkdsnn.tools.repro.lock_file import put_in_order
from bkdsnn.tools.repro.machine import environment_of, jobs_of
from bkdsnn.tools.repro.params_file import alone
from bkdsnn.tools.repro.processes import dvc_repro, stopping
from bkdsnn.tools.repro.queue import Queue
from bkdsnn.tracking import server

FIRST = ("hash_code", "check_params", ALWAYS_RUN)  # everything needs them, and they take a second


def repro(jobs: str = "", allow_missing: str = "") -> None:
    """Reproduces the table; raises `InputError` that names the stages which failed."""
    if allow_missing not in ("", "0", "1"):
        raise InputError(f"ALLOW_MISSING={allow_missing}: wanted 1 (make what dvc.lock does not know) or nothing")
    with alone():
        params = load_params()
        count = jobs_of(jobs, params)
        work = _look(allow_missing == "1")
        if (work.changed | work.missing) & set(FIRST) or _raw_files_changed(params):
            dvc_repro("--single-item", *FIRST)
            work = _look(work.allow_missing)
        if not work.todo:
            print("Data and pipelines are up to date.")
        else:
            with server.running():
                _make(work, count)
        _put_in_order(work.graph)
        _tell(params)


def _make(work: Work, jobs: int) -> None:
    """Runs what is to be done; where the next look finds stages that have changed thereby, also these."""
    while stages := work.todo:
        if jobs > 1:
            _side_by_side(work.graph, stages, jobs)
        else:
            dvc_repro(*(["--single-item", *stages] if work.allow_missing else []))
        if not work.allow_missing:
            break
        work = _look(work.allow_missing)


def _side_by_side(graph: Graph, todo: list[str], jobs: int) -> None:
    queue = Queue(graph, todo, paths.unfinished() / "repro", jobs, environment_of(jobs))
    print(f"{len(todo)} stages, {jobs} at a time; what each says is in {queue.logs}", flush=True)
    with stopping() as stopped:
        queue.run(stopped)
    left = queue.left()
    if stopped:
        print(f"stopped: {len(queue.done)} of {len(todo)} stages are done, left are {', '.join(left)}", flush=True)
        raise SystemExit(128 + stopped[0])
    if queue.failed:
        after = f"; not run, as they need them: {', '.join(left)}" if left else ""
        raise InputError(f"{len(queue.failed)} failed: {', '.join(queue.failed)}{after}")


def _look(allow_missing: bool) -> Work:
    """The stages there are, and those that are out of date; `InputError` where DVC cannot say."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return Work.look(repo, allow_missing=allow_missing)
    except DvcException as error:
        raise InputError(f"DVC: {' '.join(str(error).split())}") from error


def _put_in_order(graph: Graph) -> None:
    from dvc.repo import Repo

    with Repo() as repo, repo.lock:
        put_in_order(list(graph.needs))


def _raw_files_changed(params: Params) -> bool:
    """Whether `fingerprint_raw` would write something else than what is there; asked without starting DVC."""
    found = fingerprints(params.datasets, raw=paths.raw_data())
    there = {path.stem: read_json(path) for path in paths.RAW_FINGERPRINTS.glob("*.json")}
    return found != there


def _tell(params: Params) -> None:
    """Where the table is, and what differs from the committed results."""
    print(f"The table: {paths.tables(params.table) / 'table.md'}. What differs from the committed results:")
    command = ["git", "status", "--short", "dvc.lock", str(paths.RESULTS)]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()
    except (OSError, subprocess.CalledProcessError):
        listed = "git cannot say"
    print(listed or "nothing, they are the same bytes")
    if listed and (reason := _why_other_bytes(params)):
        print(f"Why numbers may differ: {reason}")


def _why_other_bytes(params: Params) -> str | None:
    """Why the same params may make other bytes here than elsewhere; None where all is portable."""
    others = sorted(name for name, recipe in params.recipes.items() if not recipe.portable)
    if others:
        return f"not portable, so they depend on the processor ({portable.processor()}): recipes {', '.join(others)}"
    return portable.why_not()


if __name__ == "__main__":
    run_stage(repro)
