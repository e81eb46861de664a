"""What DVC itself costs: a table whose stages do nothing, run once and again without a change (`make bench`)."""

import re
import tempfile
import time
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.tools.clone import Clone

REAL = ("hash_code", "check_params", "fingerprint_raw")  # their outputs are what the others depend on
NOTHING = r"for out in {outs}; do mkdir -p $out && echo $out > $out/made; done"


def bench_dvc() -> None:
    """Prints seconds a stage, of a run without a change, and the size of dvc.lock, for the table of params.yaml."""
    table = re.search(r"^table: (.+)$", Path("params.yaml").read_text(encoding="utf-8"), flags=re.M)[1]
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder) / "clone", table=table)
        path = clone.folder / "dvc.yaml"
        path.write_text(_idle(path.read_text(encoding="utf-8")), encoding="utf-8")
        clone.dvc("repro", *REAL)
        seconds, output = _timed(clone, "repro")
        stages = output.count("Running stage") - 1  # one of the three always runs
        again, _ = _timed(clone, "repro")
        size = (clone.folder / "dvc.lock").stat().st_size
    print(f"DVC's own cost, table {table}, {stages} stages that do nothing")
    print(f"  {seconds / stages:6.2f} s a stage, {again:.2f} s without a change, dvc.lock {size / 1000:.0f} KB")


def _idle(text: str) -> str:
    """dvc.yaml whose stages, but for the first three, make their outputs in no time."""
    head, *stages = re.split(r"(?m)^(?=  [a-z_]+:\n)", text)
    return head + "".join(stage if stage.split(":")[0].strip() in REAL else _idle_stage(stage) for stage in stages)


def _idle_stage(stage: str) -> str:
    outs = re.findall(r"^ +- (\S+?):?\n", stage.partition("outs:")[2].partition("\nparams:")[0], flags=re.M)
    return re.sub(r"cmd: .*", lambda _: f"cmd: {NOTHING.format(outs=' '.join(outs))}", stage, count=1)


def _timed(clone: Clone, *arguments: str) -> tuple[float, str]:
    start = time.perf_counter()
    output = clone.dvc(*arguments)
    return time.perf_counter() - start, output


if __name__ == "__main__":
    run_stage(bench_dvc)
