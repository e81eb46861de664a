"""README and docs say what is there: links, targets, variables, commands; and their examples run as they stand."""

import ast
import importlib
import json
import os
import re
import sys
import time
import types
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import NEURON, ROOT
from warm_clone import WarmClone
from warm_python import warm

from bkdsnn import environment
from bkdsnn.contracts import NetOutput
from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone
from bkdsnn.tools.readme import MADE, refreshed

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {path: path.read_text(encoding="utf-8") for path in (README, *DOCS)}
EXTENDING = TEXTS[ROOT / "docs/extending.md"]
WORDS = 1500
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.S | re.M)


def blocks(text: str, language: str) -> list[str]:
    return [body for found, body in FENCED.findall(text) if found == language]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# What is made of results.


def test_the_readme_is_short():
    assert len(MADE.sub("", TEXTS[README]).split()) <= WORDS


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_what_is_made_of_results_is_what_they_make(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert refreshed(TEXTS[path], where=name(path)) == TEXTS[path]


def test_the_documents_that_have_numbers_of_results_make_them():
    made = {
        name(path): {found[:2] for found in MADE.findall(text)} for path, text in TEXTS.items() if MADE.search(text)
    }
    assert made == {
        "README.md": {("comparison", "digits")},
        "docs/speed.md": {("gpus", "")},
        "docs/findings.md": {
            *(
                ("gains", table)
                for table in ("cifar10-cpu", *(f"ablation-{of}-cpu" for of in ("blur", "restore", "loss")))
            ),
            ("rows", "cifar10-cpu"),
            ("trials", "cifar10-cpu"),
        },
    }


# What is named is there.


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(FENCED, "", text), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_somewhere(path):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(FENCED, "", TEXTS[path])):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_the_readme_leads_to_every_doc():
    assert [path.name for path in DOCS if f"](docs/{path.name}" not in TEXTS[README]] == []


def test_make_targets_and_help_agree():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.M))
    named = {target for text in TEXTS.values() for target in re.findall(r"(?:^|[`\"]|\s)make ([a-z-]+)(?=[`\s])", text)}
    named -= {"it", "a", "the", "says"}  # English
    assert named <= documented
    assert {"repro", "test", "row", "ui", "lint", "bench", "clean", "help", "test-slow"} <= documented


def test_rooms_on_the_map_are_those_that_there_are():
    rooms = {path.name for path in (ROOT / "src/bkdsnn").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `([a-z]+)/`", TEXTS[README], flags=re.M)) == rooms


def test_python_examples_import_what_is_there():
    for text in TEXTS.values():
        for block in blocks(text, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module)
                    for alias in node.names:
                        assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")


def test_the_environment_is_described_as_it_is_read():
    text = TEXTS[ROOT / "docs/environment.md"]
    rows = [re.split(r" +\| +", line.strip("| \n")) for line in text.splitlines() if line.startswith("| `")]
    found = {row[0].strip("`"): row[1:] for row in rows}
    ours = {
        key: [variable.meaning, variable.allowed, variable.default or "none"]
        for key, variable in environment.VARIABLES.items()
    }
    assert found == {**ours, **{key: [whose] for key, whose in environment.FOREIGN.items()}}


# Commands: a test (or a file) runs each, or it says that none does.

IDLE = "test_the_commands_of_the_docs_run_where_stages_do_nothing"
OWN = "test_the_examples_train"
RUN_BY = {  # or runs the same on a smaller table
    "make test": ".ci/run",
    "dvc exp run -S blur_ratio=0.2": IDLE,
    "dvc exp run -S 'seeds=[0,1,2,3,4,5,6,7,8]'": IDLE,
    "dvc exp run -S methods.bkd.settings.feature_weight=0.001": IDLE,
    "dvc exp run -S time_steps=8": IDLE,
    "dvc exp run -S table=digits-blur": IDLE,
    "dvc exp run -S table=digits-methods": IDLE,
    "dvc exp run --queue -S 'blur_ratio=0.0,0.2,0.4'": IDLE,
    "dvc exp run --queue -S 'blur_ratio=0.3,0.4'": IDLE,
    "dvc queue start -j 2": IDLE,
    "dvc exp show --only-changed --no-pager --drop 'methods|models|results|data|params' "
    "--keep 'results/tables/.*' --sort-by results/tables/digits/summary.json:last_validation_top1.image-bkd "
    "--sort-order desc": IDLE,
    "dvc exp show --only-changed --csv": IDLE,
    "make compare A=main B=workspace": "test_what_is_not_committed_is_compared_with_a_branch_seed_by_seed",
    "dvc metrics show": IDLE,
    "dvc plots show": IDLE,
    'LAUNCH="torchrun --no-python --nproc-per-node=2" dvc repro': IDLE,
    "dvc remote add --default store ../store": IDLE,
    "dvc push": IDLE,
    "dvc pull": IDLE,
    "make params TABLE=cifar100": IDLE,
    "export BKDSNN_SHARE=2": "test_stages_and_processes_share_the_cores",
    "export BKDSNN_DEVICE_POOL=0,1": "test_four_stages_take_turns_on_two_devices",
    "make plan TABLE=cifar100": "test_a_plan_measures_every_row_and_touches_nothing",
    "make gpu-check": "test_without_a_gpu_it_says_so_and_what_it_would_do_at_once",
    "make gpu-check DEVICE=cpu": "test_the_whole_check_is_rehearsed_on_the_cpu",
    "make check-number TABLE=digits ROW=image-ce WEIGHTS=models/students/digits/image-ce-s0/last.safetensors "
    "LAYOUT=ours": "test_a_row_as_published_is_evaluated_and_check_number_says_the_same",
    "make register TABLE=digits ROW=image-bkd": "test_a_registered_model_is_the_network_that_was_trained",
    "make export STUDENT=image-bkd-s0": "test_a_run_is_exported_and_does_on_real_inputs_what_its_network_does",
    "make publish STUDENT=image-bkd-s0": "test_the_layout_is_hugging_face_s",
    "PYTHONPATH=src python -m bkdsnn.tools.predict models/hub/digits/image-bkd-s0 image.png": (
        "test_an_image_s_classes_are_printed_the_likeliest_first"
    ),
    'git tag -a students-digits@v1.0.0 -m "as published"': "test_the_students_of_a_table_are_had_by_its_name",
    "dvc artifacts get ../bkdsnn students-digits": "test_the_students_of_a_table_are_had_by_its_name",
    "pip install .": "test_an_installed_tool_works_outside_the_checkout",
    "bkdsnn plan table=tiny": "test_an_installed_tool_works_outside_the_checkout",
    "PYTHONPATH=src python -m pytest tests/methods": OWN,
    "make row TABLE=mine ROW=squares-plain SEED=0": OWN,
    "make tune TABLE=tiny ROW=image-bkd SPACE='methods.bkd.settings.feature_weight=0.0002,0.02' SEEDS=100,101": (
        "test_what_is_tuned_is_chosen_on_the_validation_split_alone"
    ),
    "make repro": OWN,  # of the other rows
    "dvc exp run -S table=mine -S 'seeds=[0]'": OWN,
}


def commands() -> list[tuple[str, str]]:
    """Every line of a bash block: the command, and the comment behind it."""
    lines = [line for text in TEXTS.values() for block in blocks(text, "bash") for line in block.splitlines()]
    parts = (re.split(r"\s+# ", line, maxsplit=1) for line in lines if line.strip() and not line.startswith("#"))
    return [(command.strip(), "".join(comment)) for command, *comment in parts]


def test_every_command_is_run_by_a_test_or_says_that_it_is_not():
    unknown = [command for command, comment in commands() if command not in RUN_BY and "not run here" not in comment]
    assert unknown == []


def test_no_command_is_listed_that_no_text_shows():
    shown = {command for command, comment in commands() if "not run here" not in comment}
    assert set(RUN_BY) - shown == set()


def test_what_runs_the_commands_is_there():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", tests, flags=re.M))
    for command, runner in RUN_BY.items():
        if not runner.startswith("test_"):
            assert command in (ROOT / runner).read_text(encoding="utf-8")
        else:
            assert runner in defined, runner


# The examples of docs/extending.md.


def examples() -> dict[str, str]:
    """The whole files that the page shows, by the path in one of their first two lines."""
    shown = {}
    for block in blocks(EXTENDING, "python") + blocks(EXTENDING, "yaml"):
        (path,) = re.findall(r"^# (\S+\.(?:py|yaml))$", "\n".join(block.splitlines()[:2]), flags=re.M)
        shown[path] = block
    return shown


def loaded(path: str) -> types.ModuleType:
    shown = types.ModuleType("shown")
    exec(examples()[path], vars(shown))
    return shown


def settings_in(path: str) -> dict:
    return yaml.safe_load(examples()[path])["settings"]


def test_an_example_of_every_kind_is_shown():
    folders = {Path(path).parent.as_posix().removeprefix("src/bkdsnn/") for path in examples()}
    assert folders == {
        *("methods", "networks", "data/sources", "events/formats"),
        *(f"conf/{group}" for group in ("method", "student", "dataset", "table")),
    }
    assert [path for path in examples() if (ROOT / path).exists()] == []


@pytest.mark.parametrize("teacher_shape", [(5, 4, 4), (5,)], ids=["map", "vector"])
def test_the_method_that_is_shown_learns(teacher_shape):
    shown = loaded("src/bkdsnn/methods/plain_mse.py")
    settings = shown.Settings(**settings_in("src/bkdsnn/conf/method/plain_mse.yaml"))
    shapes = {"student": {"last": (3, 4, 4)}, "teacher": {"last": teacher_shape}}
    method = shown.Method(settings, **shapes)
    outputs = {
        role: NetOutput(logits=torch.randn(2, 6, 7), features={"last": torch.randn(2, 6, *shape["last"])})
        for role, shape in shapes.items()
    }
    terms = method(**outputs, labels=torch.arange(6), draws=torch.arange(6))
    sum(terms.values()).backward()
    assert set(terms) == {"task", "feature"}
    assert method.align.weight.grad.abs().sum() > 0


def test_the_method_that_is_shown_remembers():
    shown = loaded("src/bkdsnn/methods/own_memory.py")
    settings = shown.Settings(**settings_in("src/bkdsnn/conf/method/own_memory.yaml"))
    method = shown.Method(settings, student={}, teacher={})
    method.begin_training(samples=9, classes=4)
    method.begin_epoch(1, epochs=2)
    index = torch.tensor([7, 2])
    method.begin_step(index=index)
    logits = torch.randn(3, 2, 4, requires_grad=True)
    terms = method(student=NetOutput(logits, {}), teacher=None, labels=torch.tensor([0, 3]), draws=index)
    said = logits.detach().mean(0).softmax(1)
    assert torch.allclose(terms["memory"], 5.0 * (said - 0.25).square().mean())
    assert torch.allclose(method.memory[index], 0.6 * 0.25 + 0.4 * said)
    assert (method.memory == 0.25).all(1).sum() == 7
    sum(terms.values()).backward()
    assert logits.grad.abs().sum() > 0
    assert list(method.state_dict()) == ["memory"]


@pytest.mark.parametrize("input_shape", [(3, 32, 32), (4, 2, 16, 16)], ids=["image", "frames"])
def test_the_network_that_is_shown_learns(input_shape):
    shown = loaded("src/bkdsnn/networks/one_layer.py")
    settings = {**settings_in("src/bkdsnn/conf/student/one-layer-cifar.yaml"), "time_steps": 4, "neuron": NEURON}
    torch.manual_seed(0)
    network = shown.Network(shown.Settings(**settings), input_shape=input_shape, classes=3)
    output = network(3 * torch.randn(5, *input_shape))
    assert output.logits.shape == (4, 5, 3)
    assert output.feature_shapes() == {"last": (16, input_shape[-2] // 4, input_shape[-1] // 4)}
    output.logits.square().sum().backward()
    assert [key for key, parameter in network.named_parameters() if not parameter.grad.any()] == []


def test_the_format_that_is_shown_names_what_is_wrong(tmp_path):
    decode, where = loaded("src/bkdsnn/events/formats/text.py").decode, tmp_path / "a.txt"
    events = decode(b"1,2,3,0\n5,4,3,1\n", where=where)
    assert [field.tolist() for field in events] == [[1, 5], [2, 4], [3, 3], [0, 1]]
    for content, why in {b"1,2,3\n": "one event", b"1,2,x,0\n": "one event", b"1,2,3,7\n": "p must be 0 or 1"}.items():
        with pytest.raises(InputError, match=rf"a\.txt: .*{why}") as caught:
            decode(content, where=where)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="goes back in time"):
        decode(b"5,2,3,0\n1,2,3,0\n", where=where)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A clone with the files that the page shows, and recordings for the format among them."""
    clone = WarmClone(tmp_path_factory.mktemp("extended") / "clone")
    for path, content in examples().items():
        (clone.folder / path).write_text(content, encoding="utf-8")
    random = np.random.default_rng(0)
    for label in ("left", "right"):
        folder = clone.folder / "raw/clicks" / label
        folder.mkdir(parents=True)
        for number in range(20):
            t, (y, p) = np.sort(random.integers(0, 10_000, 80)), random.integers(0, (16, 2), (80, 2)).T
            x = random.integers(0, 8, 80) + 8 * (label == "right")
            np.savetxt(folder / f"{number}.txt", np.stack([t, x, y, p], axis=1), fmt="%d", delimiter=",")
    clone.tool("compose", "table=mine", "seeds=[0]")
    make_available(clone)
    clone.commit()
    return clone


def make_available(clone: Clone) -> None:
    """Lets `make` in a clone find what is installed here."""
    (clone.folder / ".venv").symlink_to(ROOT / ".venv")
    with (clone.folder / ".git/info/exclude").open("a") as file:
        file.write(".venv\n")


PREPARE = """
from stages.check_params import check_params
from stages.prepare_data import prepare_data

check_params()
for key in ("squares", "clicks"):
    prepare_data(key)
"""


def test_the_examples_compose_check_and_prepare_their_data(extended, tmp_path):
    params = yaml.safe_load((extended.folder / "params.yaml").read_text())
    assert set(params["rows"]) == {"squares-ce", "squares-plain", "squares-memory", "clicks-ce"}
    (tmp_path / "prepare.py").write_text(PREPARE)
    extended.run(*warm(), "python", str(tmp_path / "prepare.py"), PYTHONPATH=f"src{os.pathsep}.")
    squares, clicks = (
        json.loads((extended.folder / "data" / key / "manifest.json").read_text()) for key in ("squares", "clicks")
    )
    assert squares["counts"] == {"train": [40, 40, 40], "validation": [20, 20, 20], "test": [20, 20, 20]}
    assert squares["inputs"]["shape"] == [240, 3, 32, 32]
    assert clicks["counts"] == {"train": [16, 16], "validation": [2, 2], "test": [2, 2]}
    assert clicks["inputs"]["shape"] == [40, 4, 2, 16, 16]
    assert clicks["facts"]["format"] == "text"
    assert clicks["facts"]["events_in_no_frame"] == 0


@pytest.mark.slow
def test_the_examples_train(extended):
    for command in (command for command, runner in RUN_BY.items() if runner == OWN):
        run(extended, command)
    for row in ("squares-ce", "squares-plain", "squares-memory", "clicks-ce"):
        metrics = json.loads((extended.folder / f"results/runs/mine/{row}-s0/metrics.json").read_text())
        assert metrics["epochs"] == 20
        assert 0 <= metrics["test_top1"] <= 100
    table = (extended.folder / "results/tables/mine/comparison.md").read_text(encoding="utf-8")
    assert "plain MSE" in table


@pytest.mark.slow
def test_the_clone_s_own_tests_take_the_examples_in(extended):
    chosen = "plain_mse or own_memory or one-layer or mine or squares"
    chosen += " or test_a_part_is_named_as_its_file or imports_point_down"
    files = ("tests/methods", "tests/networks", "tests/params/test_runs.py", "tests/test_architecture.py")
    extended.run(sys.executable, "-m", "pytest", "-q", *files, "-k", chosen)


# Every documented experiment, in a clone whose stages do nothing but the first three, with the tiny table for digits.

REAL = ("hash_code", "check_params", "fingerprint_raw")


def run(clone: Clone, command: str) -> str:
    return clone.run("bash", "-c", command)


def do_nothing(clone: Clone) -> None:
    """Stages make their outputs in no time; tables are a copy of the committed one."""
    path = clone.folder / "dvc.yaml"
    graph = yaml.safe_load(path.read_text(encoding="utf-8"))
    for stage, entry in graph["stages"].items():
        if stage in REAL:
            continue
        inner = entry["do"]
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in inner["outs"]]
        made = " && ".join(f"mkdir -p {out} && cp made/* {out}" for out in outs)
        inner["cmd"] = made if stage == "build_tables" else made.replace("made/*", "params.yaml")
    path.write_text(yaml.safe_dump(graph, sort_keys=False), encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_docs_run_where_stages_do_nothing(tmp_path):
    clone = Clone(tmp_path / "clone")
    config = clone.folder / "src/bkdsnn/conf/config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("- table: digits", "- table: tiny"), encoding="utf-8")
    do_nothing(clone)
    (clone.folder / "made").mkdir()
    for path in (ROOT / "results/tables/digits").iterdir():
        (clone.folder / "made" / path.name).write_bytes(path.read_bytes())
    make_available(clone)
    clone.commit()
    for command in (command for command, runner in RUN_BY.items() if runner == IDLE):
        command = command.replace("results/tables/digits/", "results/tables/tiny/")
        run(clone, f"{command} -S 'seeds=[0]'" if " table=" in command else command)
        if command.startswith("dvc queue start"):
            wait_for_queue(clone)
    assert (clone.folder / "dvc_plots/index.html").is_file()
    assert yaml.safe_load((clone.folder / "params.yaml").read_text())["table"] == "cifar100"


def wait_for_queue(clone: Clone) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        lines = [line.split() for line in clone.dvc("queue", "status").splitlines() if re.match("[0-9a-f]{7} ", line)]
        if {line[-1] for line in lines} <= {"Success", "Failed"}:
            break
        time.sleep(2)
    assert {line[-1] for line in lines} == {"Success"}


def test_the_picture_is_well_formed():
    picture = xml.etree.ElementTree.parse(ROOT / "docs/idea.svg").getroot()
    assert next(node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")) == "student's map"
