"""`make repro JOBS=n`: the table that params.yaml asks for, several stages at once."""

import subprocess

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.params.schema import Params, load_params
from bkdsnn.tools.repro.graph import ALWAYS_RUN, Graph, changed_stages
from bkdsnn.tools.repro.machine import environment_of, jobs_of
from bkdsnn.tools.repro.params_file import alone
from bkdsnn.tools.repro.processes import dvc_repro, stopping
from bkdsnn.tools.repro.queue import Queue

FIRST = ("hash_code", "check_params", ALWAYS_RUN)  # everything needs them, and they take a second


def repro(jobs: str) -> None:
    """Reproduces the table; raises `InputError` that names the stages which failed."""
    with alone():
        params = load_params()
        count = jobs_of(jobs, params)
        if count == 1:
            dvc_repro()
        else:
            _side_by_side(count)
        _tell(params)


def _side_by_side(jobs: int) -> None:
    from dvc.repo import Repo

    with Repo() as repo:
        if changed_stages(repo) & set(FIRST):
            dvc_repro("--single-item", *FIRST)
        else:
            dvc_repro("--single-item", ALWAYS_RUN)
    with Repo() as repo:
        graph = Graph.read(repo)
        todo = graph.with_dependants(changed_stages(repo))
    if not todo:
        print("Data and pipelines are up to date.")
        return
    queue = Queue(graph, todo, paths.unfinished() / "repro", jobs, environment_of(jobs))
    print(f"{len(todo)} stages, {jobs} at a time; what each says is in {queue.logs}", flush=True)
    with stopping(lambda: [job.process for job in queue.running]) as stopped:
        queue.run(stopped)
    if stopped:
        left = queue.left()
        print(
            f"stopped: {len(queue.done)} of {len(queue.todo)} stages are done, left are {', '.join(left)}", flush=True
        )
        raise SystemExit(128 + stopped[0])
    if queue.failed:
        left = queue.left()
        after = f"; not run, as they need them: {', '.join(left)}" if left else ""
        raise InputError(f"{len(queue.failed)} failed: {', '.join(queue.failed)}{after}")


def _tell(params: Params) -> None:
    """Where the table is, and what differs from the committed results."""
    print(f"The table: {paths.tables(params.table) / 'table.md'}. What differs from the committed results:")
    command = ["git", "status", "--short", "dvc.lock", str(paths.RESULTS)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip()
    print(listed or "nothing, they are the same bytes")


if __name__ == "__main__":
    run_stage(repro)
