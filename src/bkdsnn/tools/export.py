"""A trained student as a NIR file: `python -m bkdsnn.tools.export RUN [TARGET]` (`make export STUDENT=RUN`)."""

import json
from pathlib import Path

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.frame_file import FrameSettings
from bkdsnn.errors import InputError
from bkdsnn.export.nir import export
from bkdsnn.files import digest
from bkdsnn.params.schema import load_params
from bkdsnn.seeding import make_deterministic
from bkdsnn.trained import load_trained

SAMPLES = 32  # of the test split, on which file and network are compared


def export_run(key: str = "", file: str = "") -> None:
    """Exports a run's weights after the last epoch; by default to `models/nir/<table>/<run>.nir`."""
    if not key:
        raise InputError("STUDENT: wanted the key of a run, such as STUDENT=image-bkd-s0")
    params = load_params()
    run = params.entry("runs", key)
    source = paths.student(run.table, key)
    if not source.is_dir():
        raise InputError(f"{source}: not trained yet; run `dvc repro evaluate@{key}` (or `make repro`) first")
    target = Path(file) if file else paths.exported(run.table, key)
    data = ArrayData(paths.dataset(run.dataset))
    make_deterministic(threads=params.recipes[run.recipe].threads)
    part = params.students[run.student]
    network = load_trained(source, part, data=data, which="last")
    batch = next(Batches(data, batch_size=SAMPLES, device=next(network.parameters()).device).plain("test"))
    compared = export(
        network,
        target,
        inputs=batch.inputs[:SAMPLES],
        metadata={
            "run": key,
            "table": run.table,
            "network": part.network,
            "dataset": run.dataset,
            "classes": json.dumps(data.classes),
            "normalise": data.normalise.model_dump_json(),
            "model_sha256": digest(source),
            **event_frames(data),
        },
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; {compared}")


def event_frames(data: ArrayData) -> dict[str, str]:
    """How the frames of an event data set were made, so that others can make more."""
    frames = data.manifest["settings"].get("frames")
    return {"event_frames": FrameSettings(**frames).in_words()} if frames else {}


if __name__ == "__main__":
    run_stage(export_run)
