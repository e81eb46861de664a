"""`make gpu-check`: all parts in their order, as a table and as JSON.

DEVICE is auto (without a GPU nothing is run), cuda, or cpu: a rehearsal. SIZES is true or small (a rehearsal's).
PARTS are separated by commas.
"""

import ctypes
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError, explained
from bkdsnn.files import json_text, new_file
from bkdsnn.tools.gpu_check import luggage, project
from bkdsnn.tools.gpu_check.parts import PARTS
from bkdsnn.tools.gpu_check.rows import Row, printed
from bkdsnn.tools.gpu_check.setting import Setting

MINUTES = 9.5  # of all parts; a part that would be later is ended
_REHEARSED = 60.0  # the same where sizes are small: other work may run beside it


def gpu_check(device: str = "", parts: str = "", sizes: str = "") -> None:
    device, sizes = device or "auto", sizes or ("small" if device == "cpu" else "true")
    wanted = parts.split(",") if parts else list(PARTS)
    _check(device, sizes, wanted)
    if device == "cuda" and not gpus():
        raise InputError("DEVICE: cuda is asked for, and CUDA's driver shows no GPU here")
    if device == "auto" and not gpus():
        _say_what_it_would_do()
        return
    if luggage.can_compose():
        luggage.compose()
    luggage.content()
    shutil.rmtree(project.FOLDER, ignore_errors=True)
    small = sizes == "small"
    end = time.monotonic() + 60 * (_REHEARSED if small else MINUTES)
    setting = Setting("cuda" if device == "auto" else device, small, end)
    found = {}
    for name in wanted:
        print(f"\n{name}: {PARTS[name].looks_at}", flush=True)
        found[name] = list(printed(_tried(name, setting)))
        path = _written(found, setting, whole=wanted == list(PARTS))
    print(f"\n{json_text(_plain(found))}\n{path}: the same JSON")
    if bad := [f"{part}: {row.name}" for part, rows in found.items() for row in rows if row.good is False]:
        raise InputError(
            f"{len(bad)} of {sum(map(len, found.values()))} rows are not as they should be: {'; '.join(bad)}"
        )


def gpus() -> int:
    """How many GPUs CUDA's driver shows to this process, without importing torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def _check(device: str, sizes: str, parts: list[str]) -> None:
    """`InputError` for what is none of the choices."""
    choices = {"DEVICE": ([device], ["auto", "cuda", "cpu"]), "SIZES": ([sizes], ["true", "small"])}
    for name, (given, allowed) in {**choices, "PARTS": (parts, list(PARTS))}.items():
        for value in given:
            if value not in allowed:
                raise InputError(f"{name}: '{value}': there are {', '.join(allowed)}")


def _say_what_it_would_do() -> None:
    print("no GPU here (CUDA's driver shows none): nothing was run. On a machine with one this looks at:")
    for name, part in PARTS.items():
        print(f"  {name:10} {part.looks_at}")
    print("DEVICE=cpu rehearses all of it on the CPU, with small sizes: minutes, and no number of it is a GPU's.")


def _tried(name: str, setting: Setting) -> Iterator[Row]:
    """A part's rows; where it fails, that is one, and the next part is tried."""
    if time.monotonic() > setting.end:
        yield Row(name, "not run: the time is over", good=False)
        return
    try:
        yield from PARTS[name].rows(setting)
    except Exception as error:
        said = explained(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Row(name, said[:300], good=False)


def _written(found: dict[str, list[Row]], setting: Setting, *, whole: bool) -> Path:
    """Where the JSON so far lies: among the results, if it is of a GPU, of true sizes, and of all parts."""
    numbers = next((row.numbers for row in found.get("machine", []) if row.name == "device" and row.numbers), {})
    path = luggage.FOLDER / f"{setting.device}.json"
    if whole and not setting.small and numbers.get("gpu"):
        name = re.sub(r"[^a-z0-9]+", "-", numbers["gpu"].lower()).strip("-")
        path = luggage.ROOT / "results/gpu" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as file:
        file.write_text(json_text(_plain(found)), encoding="utf-8")
    return path.relative_to(luggage.ROOT)


def _plain(found: dict[str, list[Row]]) -> dict:
    """As JSON has it, which knows no infinity; parts are numbered, so that their order stays."""
    parts = {f"{number}-{name}": found[name] for number, name in enumerate(PARTS, start=1) if name in found}
    content = {name: [row._asdict() for row in rows] for name, rows in parts.items()}
    return json.loads(json.dumps(content), parse_constant=lambda _: None)


if __name__ == "__main__":
    run_stage(gpu_check)
