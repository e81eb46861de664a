"""`make ui PORT=5000`: MLflow's pages of the store, and the address of a view with the columns that matter."""

import os
import sys

from bkdsnn import environment
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.tracking import reach
from bkdsnn.tracking.location import Location, location


def ui(port: str = "5000") -> None:
    """Becomes MLflow's server of pages; where the store is a server itself, says where that is."""
    if not port.isdecimal() or not 1 <= int(port) < 2**16:
        raise InputError(f"PORT={port}: wanted a port, 1 to 65535")
    store = location()
    if store.answers:
        print(f"The store is a server with pages of its own: {store.shown}")
        return
    view = f"experiments/{_experiment(store)}/runs?viewStateShareKey=bkdsnn"
    print(f"http://127.0.0.1:{port}/#/{view}", flush=True)
    environment.put("MLFLOW_BACKEND_STORE_URI", store.uri)  # not as an argument, which everybody on the machine sees
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", port])


def _experiment(store: Location) -> str:
    from mlflow.exceptions import MlflowException

    from bkdsnn.tracking import opening

    opening.be_quiet()
    try:
        with reach.turn(store):
            return opening.experiment(opening.opened(store), store)
    except (MlflowException, OSError) as error:
        raise InputError(store.in_one_line(error)) from None


if __name__ == "__main__":
    run_stage(ui)
