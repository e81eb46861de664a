"""The page of all tables and figures: what is in it, and what a browser says of it."""

import html
import re
import shutil
import subprocess

import pytest
from conftest import ROOT
from PIL import Image

from bkdsnn.errors import InputError
from bkdsnn.files import write_json
from bkdsnn.tools.page import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 390
TABLE = "# {}\n\n| row | top-1 % |\n|:---|:---|\n| a\\|b <i> | 94.00 ± 2.00 |\n{}\n\n- A note & more.\n"


@pytest.fixture
def results(tmp_path):
    """Two tables, one of them far wider than a phone, and a figure each."""
    for key, filler in (("b", ""), ("a", f"| {'wide' * 40} | {'9' * 200} |")):
        tables, figures = tmp_path / "tables" / key, tmp_path / "figures" / key
        tables.mkdir(parents=True)
        figures.mkdir(parents=True)
        for name in ("comparison", "table"):
            (tables / f"{name}.md").write_text(TABLE.format(f"Title {key}", filler).replace("\n\n\n", "\n\n"))
        Image.new("RGB", (1400, 300), "navy").save(figures / "x.png")
        drawn = {"file": "x.png", "title": "A figure", "caption": "Read <it>.", "alt": 'All is "navy"'}
        write_json(tables / "figures.json", {"figures": [drawn]})
    return tmp_path


def test_the_page_holds_every_table_and_figure(results):
    text = page(results)
    assert [part.partition("<")[0] for part in text.split("<h2>")[1:]] == ["Title a", "Title b"]
    assert text.count('<th scope="row">a|b &lt;i&gt;</th><td>94.00 ± 2.00</td>') == 4
    assert text.count('<img alt="All is &quot;navy&quot;" src="data:image/png;base64,') == 2
    assert text.count("<li>A note &amp; more.</li>") == 2
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", text) == []
    assert page(results) == text


def test_what_the_page_cannot_show_is_named(results, tmp_path):
    (results / "figures/a/x.png").unlink()
    with pytest.raises(InputError, match=r"figures/a/x.png: missing"):
        page(results)
    (results / "tables/a/table.md").write_text("nothing\n")
    with pytest.raises(InputError, match=r"tables/a/table.md: no title and table"):
        page(results)
    with pytest.raises(InputError, match="no table here"):
        page(tmp_path / "empty")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_on_a_phone_has_nothing_to_scroll_sideways_and_nothing_to_say(results, tmp_path):
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        f'<body><iframe width="{PHONE}" height="800" srcdoc="{html.escape(page(results))}"></iframe><script>\n'
        "const frame = document.querySelector('iframe');\n"
        "frame.onload = () => {\n"
        "  const inside = frame.contentDocument, boxes = [...inside.querySelectorAll('.scroll')];\n"
        "  document.body.dataset.width = inside.documentElement.scrollWidth;\n"
        "  document.body.dataset.scrolling = boxes.filter(box => box.scrollWidth > box.clientWidth).length;\n"
        "  document.body.dataset.requests = frame.contentWindow.performance.getEntriesByType('resource').length;\n"
        "  document.body.dataset.images = [...inside.images].filter(image => image.naturalWidth === 1400).length;\n"
        "};\n</script></body>"
    )
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", wrapper.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = dict(re.findall(r'data-(\w+)="(\d+)"', done.stdout.partition("srcdoc")[0]))
    assert found == {"width": str(PHONE), "scrolling": "4", "requests": "0", "images": "2"}, done.stderr[-2000:]
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_committed_page_is_the_generated_one():
    committed = ROOT / "results/index.html"
    if not committed.is_file():
        pytest.skip("no results/index.html: `make page` has not been run")
    assert page(ROOT / "results") == committed.read_text(encoding="utf-8")
