"""MLflow, from the side of a stage: calls are handed to a process of their own and cost no training time.

`mlflow_process` says what that process does, `connection` how it is reached. Importing MLflow takes seconds, which pass
beside the training instead of before it. `BKDSNN_TRACKING=off` turns all of it off.
"""

import logging
from pathlib import Path
from typing import Any, Self

from bkdsnn import environment
from bkdsnn.distributed.launcher import rank
from bkdsnn.tracking.connection import Connection

log = logging.getLogger(__name__)


class Tracker:
    """One MLflow run; a failure of MLflow is told once and stops nothing."""

    def __init__(self, **opening: Any) -> None:
        self._line = Connection()
        self._line.send("open", **opening)

    def params(self, values: dict[str, Any]) -> None:
        """Hyper-parameters, nested; `names.named` says what they are called."""
        self._line.send("params", values=values)

    def machine(self, values: dict[str, str]) -> None:
        """What computes; a run that goes on elsewhere has the last."""
        self._line.send("machine", values=values)

    def metrics(self, values: dict[str, float], *, step: int = 0) -> None:
        # MLflow's comparison opens on the metric that came first: an accuracy. The epoch is the step.
        names = sorted((name for name in values if name != "epoch"), key=lambda name: not name.endswith("top1"))
        self._line.send("metrics", values={name: values[name] for name in names}, step=step)

    def model(self, digest: str) -> None:
        """Says which weights this run made, so that their evaluation finds it."""
        self._line.send("model", digest=digest)

    def register(self, model: str, folder: Path, *, digest: str) -> None:
        """What lies in the folder becomes the newest version of a registered model."""
        self._line.send("register", model=model, folder=str(folder.resolve()), digest=digest)

    def artifact(self, path: Path) -> None:
        """A file, or a folder with all that is in it."""
        self._line.send("artifact", path=str(path.resolve()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, _error: object, _trace: object) -> None:
        """Ends the run as finished, failed, or (a process that was told to stop) killed; waits until all is stored."""
        stopped = kind in (SystemExit, KeyboardInterrupt)
        self._line.send("close", status="KILLED" if stopped else "FAILED" if kind else "FINISHED")
        self.failed = self._line.finish()
        if self.failed:
            log.warning(
                "MLflow: %s: this run is not, or not wholly, in the store; the results are not affected", self.failed
            )


class NoTracker:
    """Takes the same calls and does nothing."""

    def params(self, values: dict[str, Any]) -> None: ...

    def machine(self, values: dict[str, str]) -> None: ...

    def metrics(self, values: dict[str, float], *, step: int = 0) -> None: ...

    def model(self, digest: str) -> None: ...

    def register(self, model: str, folder: Path, *, digest: str) -> None: ...

    def artifact(self, path: Path) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, _error: object, _trace: object) -> None: ...


AnyTracker = Tracker | NoTracker


def training_tracker(*, name: str, kind: str, seed: int, identity: str) -> AnyTracker:
    """The tracker of a run that begins, a child of the experiment's, or that goes on: it has the same `identity`."""
    return _tracker(mode="train", name=name, kind=kind, seed=seed, identity=identity)


def evaluation_tracker(*, name: str, kind: str, seed: int, digest: str) -> AnyTracker:
    """The tracker of the run that trained these weights; a new one where the store has none."""
    return _tracker(mode="model", name=name, kind=kind, seed=seed, digest=digest)


def report_tracker() -> AnyTracker:
    """The tracker of the experiment as a whole."""
    return _tracker(mode="experiment")


def _tracker(**opening: Any) -> AnyTracker:
    return NoTracker() if not environment.tracked() or rank() > 0 else Tracker(**opening)
