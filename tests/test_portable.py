"""`portable: true`: which instructions are used, where it cannot be, and the same bytes on emulated processors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from small_project import RUN, Project, make_project

from bkdsnn import portable
from bkdsnn.errors import InputError

WHAT_IS_USED = """
from bkdsnn import portable
portable.use()
import numba.core.codegen, numpy, torch
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from threadpoolctl import threadpool_info
target = numba.core.codegen.JITCPUCodegen("")
assert portable.used()
print(torch.backends.cpu.get_cpu_capability())
print([name for name in __cpu_dispatch__ if __cpu_features__[name]])
print(target._get_host_cpu_name(), target._get_host_cpu_features())
print({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"})
print({pool["num_threads"] for pool in threadpool_info()})
"""
PROCESSORS = ("Haswell-noTSX", "EPYC")


@pytest.fixture
def cpuinfo(monkeypatch):
    """Lets the processor be another."""

    def become(machine: str, **fields: str) -> None:
        monkeypatch.setattr(portable.platform, "machine", lambda: machine)
        monkeypatch.setattr(portable, "_cpuinfo", lambda field: fields.get(field.replace(" ", "_"), ""))
        monkeypatch.setattr(portable.sys, "platform", "linux")

    return become


def here() -> None:
    if reason := portable.why_not():
        pytest.skip(reason)


def test_the_libraries_use_the_instructions_of_the_least_processor():
    here()
    command = [sys.executable, "-c", WHAT_IS_USED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": "src"})
    assert done.stdout.splitlines() == ["AVX2", "['X86_V3']", "haswell +avx2,+fma", "{'Haswell'}", "{1}"]


@pytest.mark.parametrize(
    ("machine", "flags", "reason"),
    [
        ("aarch64", "asimd", "Some processor is no x86-64 processor"),
        ("x86_64", "avx f16c abm movbe bmi1", "Some processor has no AVX2, BMI2, FMA"),
    ],
)
def test_a_processor_that_cannot_says_so_in_one_line_and_is_left_as_it_is(
    cpuinfo, capsys, monkeypatch, machine, flags, reason
):
    cpuinfo(machine, flags=flags, model_name="Some processor")
    monkeypatch.setattr(portable.environment, "put", None)
    portable.use()
    assert capsys.readouterr().out == f"portable: {reason}: the numbers may differ from those of other processors\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stage_does_as_its_card_says(tmp_path, monkeypatch, wanted):
    monkeypatch.chdir(tmp_path)
    card = portable.paths.card("runs", "own")
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"recipe": {"portable": wanted}}))
    asked = []
    monkeypatch.setattr(portable, "use", lambda: asked.append(True))
    for arguments in (["own"], ["other"], []):
        monkeypatch.setattr(sys, "argv", ["stage", *arguments])
        portable.use_for("runs")
    assert asked == [True] * wanted


def test_a_portable_recipe_runs_on_the_cpu_and_refuses_another_device(monkeypatch):
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "auto")
    assert portable.accelerator(portable=True) == "cpu"
    assert portable.accelerator(portable=False) == "auto"
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cuda")
    assert portable.accelerator(portable=False) == "cuda"
    with pytest.raises(InputError, match="^BKDSNN_ACCELERATOR: cuda is asked for, but the recipe is portable"):
        portable.accelerator(portable=True)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory, composed):
    """What a training and an evaluation write here and on emulated processors, by processor."""
    here()
    if not shutil.which("qemu-x86_64"):
        pytest.skip("needs qemu-x86_64 (Debian: apt install qemu-user)")
    project = make_project(tmp_path_factory.mktemp("portable") / "here", composed, epochs=2)

    def written(*, wanted: bool) -> dict[str, dict[str, bytes]]:
        made = {}
        for processor in ("", *PROCESSORS):
            copy = project.copy(project.folder.with_name(f"{processor or 'native'}-{wanted}"))
            made[processor] = _written(copy, processor, wanted=wanted)
        return made

    return written


def _written(project: Project, processor: str, *, wanted: bool) -> dict[str, bytes]:
    """The files of the trained and evaluated run, as this processor makes them."""
    params = project.folder / "params.yaml"
    params.write_text(params.read_text().replace("portable: true", f"portable: {str(wanted).lower()}"))
    emulator = ["qemu-x86_64", "-cpu", processor] if processor else []
    stages = (["check_params"], ["train_student", RUN], ["evaluate", RUN])
    for stage, *arguments in stages:
        command = [*emulator, sys.executable, str(ROOT / f"stages/{stage}.py"), *arguments]
        subprocess.run(command, cwd=project.folder, env=project.environment(), check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in _files(project)}


def _files(project: Project) -> list[Path]:
    return sorted([*project.model.iterdir(), *(project.folder / "results/runs/tiny" / RUN).iterdir()])


@pytest.mark.slow
def test_a_training_and_its_evaluation_are_the_same_bytes_on_emulated_processors(emulated):
    native, *others = emulated(wanted=True).values()
    assert "last.safetensors" in native
    assert "metrics.json" in native
    for other in others:
        assert [name for name in native if native[name] != other[name]] == []


@pytest.mark.slow
def test_without_portable_they_are_not(emulated):
    assert len({made["last.safetensors"] for made in emulated(wanted=False).values()}) > 1
