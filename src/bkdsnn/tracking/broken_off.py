"""Runs that nobody works on any more are ended: a run whose process is gone, a parent none of whose children runs."""

import os
import socket

import psutil
from mlflow import MlflowClient

PROCESS, KIND, PARENT = "bkdsnn.process", "bkdsnn.kind", "mlflow.parentRunId"
_MOST = 1000  # runs that are looked at


def this_process() -> str:
    """What tells this process from all others, on all machines."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def end(client: MlflowClient, experiment: str, *, status: str) -> None:
    """Ends such runs; a parent gets the status of what ended last."""
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=_MOST)
    gone = {run.info.run_id for run in running if _gone(run.data.tags.get(PROCESS, ""))}
    parents = {run.info.run_id for run in running if run.data.tags.get(KIND) == "experiment"}
    busy = {run.data.tags.get(PARENT) for run in running if run.info.run_id not in gone}
    reporting = {run.info.run_id for run in running if run.data.tags.get(PROCESS)} - gone
    for run in gone - parents:
        client.set_terminated(run, status="KILLED")
    for run in parents - busy - reporting:
        client.set_terminated(run, status=status)


def _gone(process: str) -> bool:
    """Whether a process of this machine has ended; of others, and of runs without a name, nothing is known."""
    host, _, rest = process.partition(" ")
    if host != socket.gethostname():
        return False
    number, created = rest.split()
    try:
        process = psutil.Process(int(number))
        return f"{process.create_time():.2f}" != created or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
