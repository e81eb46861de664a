"""A trained student as a NIR file: `python -m bkdsnn.tools.export RUN [TARGET]` (`make export STUDENT=RUN`)."""

import json
import sys
from pathlib import Path

from bkdsnn import paths
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


def export_run(key: str, target: Path | None) -> None:
    """Exports a run's weights after the last epoch; by default to `models/nir/<table>/<run>.nir`."""
    params = load_params()
    run = params.entry("runs", key)
    source = paths.student(run.table, key)
    target = target or paths.exported(run.table, key)
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
            **_event_frames(data),
        },
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; {compared}")


def _event_frames(data: ArrayData) -> dict[str, str]:
    """How the frames of an event data set were made, so that others can make more."""
    frames = data.manifest["settings"].get("frames")
    return {"event_frames": FrameSettings(**frames).in_words()} if frames else {}


if __name__ == "__main__":
    try:
        if len(sys.argv) not in (2, 3):
            raise InputError("takes a run's key (STUDENT=image-bkd-s0) and, if need be, the file to write")
        export_run(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else None)
    except InputError as error:
        sys.exit(f"export: {error}")
