"""What is installed: pyproject.toml and the lock agree, and a wheel has all that a tool needs outside the checkout."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

from bkdsnn.tools.clone import Clone

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def named(lines: list[str]) -> dict[str, str]:
    """What is asked for by its name in one spelling, and the rest of the line."""
    parts = (re.fullmatch(r"([\w.-]+)(.*?)(\s*#.*)?", line) for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", part[1]).lower(): part[2].strip() for part in parts}


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_a_package_asks_for_what_the_requirements_ask_for_from_the_tested_versions_on():
    asked = named([*PROJECT["dependencies"], *EXTRAS["export"], *EXTRAS["dev"]])
    locked = named(lines_of("requirements.lock"))
    assert asked.keys() == named(lines_of("requirements.in")).keys()
    assert {name: bound.partition(",")[0] for name, bound in asked.items()} == {
        name: locked[name].replace("==", ">=") for name in asked
    }


def test_all_that_a_locked_package_needs_is_locked_but_for_what_torch_pins_itself():
    locked = named(lines_of("requirements.lock"))
    needed = {
        name
        for package in locked
        for need in map(Requirement, metadata.requires(package) or [])
        if need.marker is None or need.marker.evaluate({"extra": ""})
        for name in named([need.name])
    }
    assert len(needed) > 50
    assert {name for name in needed - locked.keys() if not name.startswith(("nvidia-", "cuda-"))} <= {"triton"}


def test_make_installs_what_measures_gpus_in_the_version_of_the_extra():
    (version,) = re.findall(r"^NVIDIA_ML := (\S+)$", "\n".join(lines_of("Makefile")), flags=re.M)
    assert EXTRAS["gpu"] == [f"nvidia-ml-py>={version}"]


def test_every_package_that_is_imported_is_asked_for():
    asked = named([*PROJECT["dependencies"], *EXTRAS["export"], *EXTRAS["events"]])
    distributions = metadata.packages_distributions()
    found = {
        module
        for path in (ROOT / "src").rglob("*.py")
        for module in re.findall(r"^ *(?:import|from) (\w+)", path.read_text(encoding="utf-8"), flags=re.M)
        if module in distributions and module not in sys.stdlib_module_names
    }
    unasked = {module for module in found if not asked.keys() & named(distributions[module]).keys()}
    assert len(found) > 20
    assert unasked - {"bkdsnn"} == set()


def test_licence_citation_and_changelog_are_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert cited["preferred-citation"]["url"].rpartition("/")[2] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    versions = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert versions[0] == PROJECT["version"]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_setup_without_cuda_takes_pytorch_s_own_index_also_in_a_folder_with_a_space(tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    make = ["make", "--no-print-directory"]
    said = {
        torch: subprocess.run([*make, "-n", "setup", f"TORCH={torch}"], cwd=folder, capture_output=True, text=True)
        for torch in ("cpu", "cuda")
    }
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert [index in said[torch].stdout for torch in ("cpu", "cuda")] == [True, False]
    assert f'"{folder}/.venv/bin/python" -m pip install' in said["cpu"].stdout
    refused = subprocess.run(
        [*make, "setup", "TORCH=rocm", f"PYTHON={sys.executable}"], cwd=folder, capture_output=True, text=True
    )
    assert refused.stderr.startswith("bkdsnn: TORCH=rocm: wanted cpu or cuda\n")
    assert not (folder / ".venv").exists()


def test_containers_are_of_a_python_that_the_lock_is_for_and_use_the_same_door():
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    for version in re.findall(r"python:(3\.\d+)", image + container["image"]):
        assert version in ("3.11", "3.12", "3.13")
    assert "make setup TORCH=" in image
    assert container["postCreateCommand"].startswith("make setup TORCH=")
    ignored = {line.strip("/") for line in lines_of(".gitignore")}
    assert {".venv", "data", "models", "raw"} <= ignored & set(lines_of(".dockerignore"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where a wheel is installed: an environment of its own, which finds our dependencies where they are."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("needs setuptools: nothing is downloaded here")
    folder = tmp_path_factory.mktemp("wheel")
    checkout = Clone(folder / "a checkout").folder
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, "."], cwd=checkout, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    subprocess.run([*pip, "--python", python, "install", *offline, *folder.glob("*.whl")], check=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "elsewhere").mkdir()
    return folder


def run(installed: Path, *command: str) -> subprocess.CompletedProcess:
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(installed)}
    where = installed / "elsewhere"
    return subprocess.run([installed / "venv/bin" / command[0], *command[1:]], cwd=where, env=kept, text=True, **PIPED)


PIPED = {"capture_output": True, "timeout": 600}


@pytest.mark.slow
def test_an_installed_tool_works_outside_the_checkout(installed):
    where = run(installed, "python", "-c", "import bkdsnn; print(bkdsnn.__file__)").stdout
    assert where.startswith(str(installed / "venv"))
    done = run(installed, "bkdsnn", "plan", "table=tiny")
    assert done.returncode == 0, done.stderr
    assert "image-bkd" in done.stdout
    assert list((installed / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_what_a_wheel_asks_for_is_what_is_locked(installed):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", installed / "venv/bin/python"]
    checked = subprocess.run([*pip, "check"], capture_output=True, text=True).stdout
    assert "bkdsnn" not in checked
    assert "bkdsnn" in subprocess.run([*pip, "list"], capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_wheel_holds_catalogue_styles_licence_and_marks_its_types(installed):
    held = {str(path) for path in metadata.Distribution.at(next(installed.glob("venv/lib/*/*/bkdsnn-*"))).files}
    conf = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/bkdsnn/conf").rglob("*.yaml")}
    assert conf <= held
    assert {"bkdsnn/py.typed", "bkdsnn/tools/page.css", "hydra_plugins/bkdsnn_resolvers.py"} <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)


@pytest.mark.slow
def test_what_needs_a_checkout_says_so_in_one_line(installed):
    for tool in (["repro"], ["export", "image-bkd-s0"], ["register"], ["page"]):
        done = run(installed, "bkdsnn", *tool)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
