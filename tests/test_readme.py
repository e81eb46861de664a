"""The README says what is there: its table is the generated one, its links and make targets exist."""

import re

from conftest import ROOT

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
