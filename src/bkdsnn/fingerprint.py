"""What tells the params of one run from those of another: a hash that its results carry with them.

Data and teacher are not in it: the results carry the hashes of their manifests.
"""

import hashlib
import json

from bkdsnn.params import Params

_RUN = {"table", "row", "seed", "dataset", "student", "teacher", "method", "method_settings", "recipe"}


def of_run(params: Params, key: str) -> str:
    """The SHA-256 of all that params.yaml says of a run but data and teacher; whether it reads a cache is left out."""
    run = params.entry("runs", key)
    return _sha256(
        {
            "run": run.model_dump(mode="json", include=_RUN),
            "student": params.students[run.student].model_dump(mode="json"),
            "method": params.methods[run.method].model_dump(mode="json"),
            "recipe": params.recipes[run.recipe].model_dump(mode="json", exclude={"cache": {"enabled"}}),
        }
    )


def of_teacher(params: Params, key: str) -> str:
    """The same of a teacher."""
    teacher = params.entry("teachers", key)
    return _sha256(
        {
            "teacher": teacher.model_dump(mode="json"),
            "method": params.methods[teacher.method].model_dump(mode="json"),
            "recipe": params.recipes[teacher.recipe].model_dump(mode="json", exclude={"cache"}),
        }
    )


def _sha256(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
