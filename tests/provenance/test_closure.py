"""Which files an entry point's digest covers, on a small made-up project and on this one."""

import pytest
from conftest import ROOT

from bkdsnn.errors import InputError
from bkdsnn.provenance.closure import LEFT_OUT, closure
from bkdsnn.provenance.digests import code_of, entry_points

FILES = {
    "stages/work.py": "from bkdsnn.loop import train\nfrom bkdsnn.tracking import tracker\n",
    "src/bkdsnn/__init__.py": "",
    "src/bkdsnn/loop.py": "def train():\n    from bkdsnn.kernels import fast\n    return fast\n",
    "src/bkdsnn/kernels/__init__.py": "",
    "src/bkdsnn/kernels/fast.py": "from . import numbers\nfast = numbers.ONE\n",
    "src/bkdsnn/kernels/numbers.py": "ONE = 1\n",
    "src/bkdsnn/kernels/types.py": "KIND = int\n",
    "src/bkdsnn/tracking/__init__.py": "",
    "src/bkdsnn/tracking/tracker.py": "from bkdsnn import unseen\n",
    "src/bkdsnn/unseen.py": "",
    "src/bkdsnn/events/formats/a.py": "from bkdsnn.kernels import numbers\n",
    "src/bkdsnn/events/formats/b.py": "",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(project, name, text):
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text(text)


def test_lazy_and_relative_imports_are_followed_and_what_changes_no_number_is_left_out(project):
    assert closure("stages/work.py", root=project) == [
        "src/bkdsnn/__init__.py",
        "src/bkdsnn/kernels/__init__.py",
        "src/bkdsnn/kernels/fast.py",
        "src/bkdsnn/kernels/numbers.py",
        "src/bkdsnn/loop.py",
        "src/bkdsnn/tracking/__init__.py",
        "stages/work.py",
    ]


def test_imports_for_types_alone_do_not_count(project):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bkdsnn.kernels import types\n"
    write(project, "stages/typed.py", text)
    assert closure("stages/typed.py", root=project) == ["stages/typed.py"]
    write(project, "stages/otherwise.py", f"{text}else:\n    from bkdsnn.kernels import numbers\n")
    assert "src/bkdsnn/kernels/numbers.py" in closure("stages/otherwise.py", root=project)


def test_a_part_that_is_loaded_by_its_name_brings_all_that_may_be_meant(project):
    write(project, "stages/load.py", "from bkdsnn import plugins\nplugins.load('format', name)\n")
    found = closure("stages/load.py", root=project)
    assert {"src/bkdsnn/events/formats/a.py", "src/bkdsnn/events/formats/b.py"} < set(found)
    assert "src/bkdsnn/kernels/numbers.py" in found
    write(project, "stages/network.py", "from bkdsnn import plugins\nplugins.load('network', name)\n")
    assert closure("stages/network.py", root=project) == ["src/bkdsnn/__init__.py", "stages/network.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugins.load(kind, name)\n", "line 1: plugins.load of a kind that its code digest does not know"),
        ("def\n", "no Python that can be read"),
    ],
)
def test_what_cannot_be_followed_is_refused(project, text, message):
    write(project, "stages/odd.py", text)
    with pytest.raises(InputError, match=rf"^stages/odd\.py: {message}") as caught:
        closure("stages/odd.py", root=project)
    assert "\n" not in str(caught.value)


ENTRIES = entry_points()


def test_entry_points_are_all_stages_and_parts():
    assert {"stages/train_student", "networks/sew_resnet", "methods/bkd", "sources/digits", "formats/aedat2"} <= set(
        ENTRIES
    )
    assert not any("/_" in name for name in ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_has_a_digest(entry):
    found = code_of(ENTRIES[entry])
    assert ENTRIES[entry] in found
    assert all(len(digest) == 16 for digest in found.values())


@pytest.mark.parametrize(
    ("entry", "covered"),
    [
        ("stages/train_student", "src/bkdsnn/data/views.py"),  # which view an epoch uses
        ("stages/train_student", "src/bkdsnn/layers/fused/norm_kernels.py"),
        ("stages/train_student", "src/bkdsnn/data/augment.py"),
        ("stages/train_student", "src/bkdsnn/params/settings.py"),
        ("stages/cache_features", "src/bkdsnn/data/views.py"),
        ("stages/evaluate", "src/bkdsnn/evaluation/energy.py"),  # imported late
        ("stages/build_tables", "src/bkdsnn/reporting/figures/accuracy.py"),  # the same
        ("stages/check_params", "src/bkdsnn/params/schema.py"),
        ("networks/sew_resnet", "src/bkdsnn/layers/fused/neuron_kernels.py"),
        ("methods/mixed", "src/bkdsnn/methods/bkd.py"),
        ("sources/digits_dvs", "src/bkdsnn/events/formats/aedat2.py"),
        ("sources/recordings", "src/bkdsnn/events/formats/prophesee.py"),  # by its name
    ],
)
def test_what_decides_bytes_is_covered(entry, covered):
    assert covered in code_of(ENTRIES[entry])


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ("stages/train_student", "src/bkdsnn/methods/bkd.py"),  # dvc.yaml names a run's own method
        ("stages/train_student", "src/bkdsnn/reporting/collect.py"),
        ("stages/evaluate", "src/bkdsnn/training/loop.py"),
        ("stages/train_student", "src/bkdsnn/evaluation/energy.py"),
        ("sources/digits_dvs", "src/bkdsnn/events/formats/prophesee.py"),
        ("stages/build_tables", "src/bkdsnn/layers/spiking.py"),
    ],
)
def test_what_does_not_is_not(entry, other):
    assert other not in code_of(ENTRIES[entry])


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_exists(name):
    assert (ROOT / name).exists()
