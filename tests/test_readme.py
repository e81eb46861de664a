"""The README says what is there: its table is the generated one, its links and make targets exist."""

import re
import types

import pytest
import torch
import yaml
from conftest import ROOT

from bkdsnn.contracts import NetOutput
from bkdsnn.tools.readme import with_table

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_the_generated_one():
    table = (ROOT / "results/tables/digits/table.md").read_text(encoding="utf-8")
    assert with_table(TEXT, table) == TEXT
    assert "image-bkd" in TEXT


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) >= 8
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_make_targets_and_help_agree():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, flags=re.M))
    assert named <= documented
    assert {"repro", "test", "ui", "lint", "bench", "clean", "help", "test-slow"} <= documented


def _block(language: str, start: str) -> str:
    (found,) = (block for block in re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S) if block.startswith(start))
    return found


@pytest.mark.parametrize("teacher_shape", [(5, 4, 4), (5,)], ids=["map", "vector"])
def test_the_method_that_is_shown_learns(teacher_shape):
    shown = types.ModuleType("shown")
    exec(_block("python", '"""Mean squared error'), vars(shown))
    part = yaml.safe_load(_block("yaml", "# @package methods.plain_mse"))
    shapes = {"student": {"last": (3, 4, 4)}, "teacher": {"last": teacher_shape}}
    method = shown.Method(shown.Settings(**part["settings"]), **shapes)
    outputs = {
        role: NetOutput(logits=torch.randn(2, 6, 7), features={"last": torch.randn(2, 6, *shape["last"])})
        for role, shape in shapes.items()
    }
    terms = method(**outputs, labels=torch.arange(6), draws=torch.arange(6))
    sum(terms.values()).backward()
    assert set(terms) == {"task", "feature"}
    assert method.align.weight.grad.abs().sum() > 0
