"""MLflow's store, where the calls of `tracking` are carried out.

One store at the project's root for all experiments (`MLFLOW_TRACKING_URI` where it is set), one run per trained model,
children of one parent run per experiment.
"""

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bkdsnn import environment, paths
from bkdsnn.tracking import broken_off, opening, reach
from bkdsnn.tracking.broken_off import KIND, PARENT, PROCESS
from bkdsnn.tracking.location import Location
from bkdsnn.tracking.names import named

CHAMPION = "champion"  # the alias of what was registered last
_MODEL, _EXPERIMENT, _IDENTITY = "bkdsnn.model", "bkdsnn.experiment", "bkdsnn.identity"


class Store:
    """One open MLflow run."""

    def __init__(
        self,
        *,
        location: Location,
        mode: str,
        name: str = "",
        kind: str = "",
        seed: int = 0,
        digest: str = "",
        identity: str = "",
    ) -> None:
        opening.be_quiet()
        self._client = opening.opened(location)
        self._experiment = opening.experiment(self._client, location)
        broken_off.end(self._client, self._experiment, status="KILLED")
        self._commit = _commit()
        self._name_of_experiment = environment.foreign("DVC_EXP_NAME") or f"repro-{self._commit[:10]}"
        self._goes_on = mode == "train"
        self._monitor = None
        if mode == "experiment":
            self._run = self._parent()
        elif mode == "model":
            self._run = self._of_model(name, digest) or self._child(name, kind, seed)
        else:
            self._run = self._find(**{_IDENTITY: identity}) or self._child(name, kind, seed, **{_IDENTITY: identity})
        self._begin()
        if self._goes_on:
            self._watch(location)

    def params(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        flat = named(values)
        self._client.log_batch(self._run, params=[Param(key, str(value)) for key, value in flat.items()])
        if digest := flat.get("sha256.data"):
            self._dataset(flat["dataset"], digest)

    def machine(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self._client.set_tag(self._run, f"machine.{name}", value)

    def _dataset(self, key: str, digest: str) -> None:
        """What MLflow lists as the run's data set: its manifest's SHA-256, as far as a digest may be long there."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.utils.validation import MAX_DATASET_DIGEST_SIZE

        source = json.dumps({"uri": str(paths.dataset(key))})
        dataset = Dataset(key, digest[:MAX_DATASET_DIGEST_SIZE], "local", source)
        self._client.log_inputs(self._run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def metrics(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        if self._goes_on:  # the epochs after the state that a killed run goes on from were logged before
            first = next(iter(values))
            if any(known.step == step for known in self._client.get_metric_history(self._run, first)):
                return
        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(key, value, now, step) for key, value in values.items()])

    def model(self, digest: str) -> None:
        self._client.set_tag(self._run, _MODEL, digest)

    def artifact(self, path: str) -> None:
        if Path(path).is_dir():
            self._client.log_artifacts(self._run, path, Path(path).parent.name)
        else:
            self._client.log_artifact(self._run, path)

    def register(self, model: str, folder: str, digest: str) -> None:
        """The folder as the newest version of a model, its champion, unless the newest is of the same weights."""
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):  # it is there
            self._client.create_registered_model(model)
        known = self._client.search_model_versions(f"name = '{model}'", max_results=1, order_by=["version_number DESC"])
        if known and known[0].tags.get(_MODEL) == digest:
            self._client.set_registered_model_alias(model, CHAMPION, known[0].version)
            print(f"models:/{model}/{known[0].version}: these weights are registered already")
            return
        self._client.log_artifacts(self._run, folder, "model")
        source = f"{self._client.get_run(self._run).info.artifact_uri}/model"
        version = self._client.create_model_version(model, source, self._run, tags={_MODEL: digest})
        self._client.set_registered_model_alias(model, CHAMPION, version.version)
        print(f"models:/{model}/{version.version}: registered")

    def close(self, status: str) -> None:
        self._client.set_terminated(self._run, status=status)
        self._client.delete_tag(self._run, PROCESS)
        broken_off.end(self._client, self._experiment, status=status)

    def stop_watching(self) -> None:
        if self._monitor:
            self._monitor.finish()

    def _watch(self, location: Location) -> None:
        """CPU, memory, disk, network and GPU of the machine, measured by MLflow itself every 10 s."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(self._run, resume_logging=True, tracking_uri=location.uri)
        flush = self._monitor.mlflow_logger.flush

        def in_turn() -> None:
            with reach.turn(location):
                flush()

        self._monitor.mlflow_logger.flush = in_turn
        self._monitor.start()

    def _begin(self) -> None:
        """The run, and the parent that it is a child of, are worked on."""
        self._client.set_tag(self._run, PROCESS, broken_off.this_process())
        for run in (self._run, self._client.get_run(self._run).data.tags.get(PARENT)):
            if run:
                self._client.update_run(run, status="RUNNING")

    def _parent(self) -> str:
        """The run that all runs of an experiment are children of; the first of them opens it."""
        tags = {_EXPERIMENT: self._name_of_experiment, KIND: "experiment"}
        return self._find(**tags) or self._create(self._name_of_experiment, tags)

    def _of_model(self, name: str, digest: str) -> str | None:
        """The run that made these weights: this experiment's own, or the newest where it was answered from a cache."""
        tags = {_MODEL: digest, "mlflow.runName": name}
        return self._find(**tags, **{_EXPERIMENT: self._name_of_experiment}) or self._find(**tags)

    def _child(self, name: str, kind: str, seed: int, **more: str) -> str:
        tags = {_EXPERIMENT: self._name_of_experiment, KIND: kind, "seed": seed, PARENT: self._parent()}
        return self._create(name, {**tags, "mlflow.source.git.commit": self._commit, **more})

    def _create(self, name: str, tags: dict[str, Any]) -> str:
        tags = {key: str(value) for key, value in tags.items()}
        return self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id

    def _find(self, **tags: str) -> str | None:
        """The newest run with these tags."""
        condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        newest = ["attributes.start_time DESC"]
        runs = self._client.search_runs([self._experiment], condition, max_results=1, order_by=newest)
        return runs[0].info.run_id if runs else None


def _commit() -> str:
    """The commit an experiment starts from, or for a plain `dvc repro` the one that is checked out."""
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return environment.foreign("DVC_EXP_BASELINE_REV") or done.stdout.strip() or "unknown"
