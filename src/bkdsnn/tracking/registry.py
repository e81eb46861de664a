"""Registered models, read from the store by anybody: nothing is made where there is none."""

from pathlib import Path

from bkdsnn.errors import InputError
from bkdsnn.tracking import reach
from bkdsnn.tracking.location import location


def download(uri: str, folder: Path) -> Path:
    """Where below the folder a registered model's files are now; `InputError` where there is none to be had."""
    store = location()
    reach.check(store)
    from mlflow import artifacts
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    from bkdsnn.tracking.opening import opened

    try:
        client = opened(store, make=False)
        source = client.get_model_version_download_uri(*get_model_name_and_version(client, uri))
        return Path(artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=store.uri))
    except (MlflowException, OSError) as error:
        raise InputError(f"{uri}: no such model in {store.in_one_line(error)}") from None
