"""What committed checks (`results/gpu/*.json`) found, as docs/speed.md shows it (`make readme`)."""

from pathlib import Path
from typing import Any

from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.tools.gpu_check.luggage import ROOT

FOLDER = ROOT / "results/gpu"
NONE = "No GPU has been measured yet.\n"
_HEAD = "| | images/s | times the first | ms a step | GPU busy | peak GiB |\n| :--- |" + " ---: |" * 5 + "\n"
_STEP = {"ms": ".1f", "busy": ".0%", "gib": ".2f"}  # as they are printed


def measured(folder: Path = FOLDER) -> str:
    """A table of steps for every GPU, or the line that there is none; `InputError` for a file that is none of these."""
    return "\n".join(map(_of_file, sorted(folder.glob("*.json")))) or NONE


def _of_file(path: Path) -> str:
    try:
        return _of_gpu(read_json(path))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: not what `make gpu-check` writes ({type(error).__name__}: {error})") from error


def _of_gpu(content: dict[str, list[dict[str, Any]]]) -> str:
    """Parts are numbered: `6-speed`. What failed is counted, not left out."""
    parts = {name.partition("-")[2]: rows for name, rows in content.items()}
    rows = [row for found in parts.values() for row in found]
    bad = [row["name"] for row in rows if row["good"] is False]
    (gpu,) = [row["found"] for row in parts["machine"] if row["name"] == "device"] or ["unknown device"]
    said = f"{len(bad)} of {len(rows)} rows of the check are not as they should be: {', '.join(bad)}"
    timed = [row for row in parts.get("speed", []) if row["numbers"]]
    first = next((row["numbers"]["images_a_second"] for row in timed), 1.0)
    lines = [_line(row["name"], row["numbers"], first=first) for row in timed]
    return f"{gpu}; {said if bad else 'all rows of the check are as they should be'}:\n\n{_HEAD}{''.join(lines)}"


def _line(name: str, numbers: dict[str, Any], *, first: float) -> str:
    """A step's numbers, or (the loader alone) a rate without a step."""
    rate = numbers["images_a_second"]
    cells = [f"{rate:,.0f}", f"{rate / first:.2f}" if "ms" in numbers else ""]
    cells += [f"{numbers[key]:{form}}" if key in numbers else "" for key, form in _STEP.items()]
    return f"| {name} | {' | '.join(cells)} |\n"
