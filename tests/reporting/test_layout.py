"""Cells, Markdown and LaTeX to the letter."""

import pandas as pd
import pytest

from bkdsnn.reporting.layout import escaped, markdown, number, tex, with_problems, with_spread


def test_cells():
    assert number(float("nan"), ".2f") == number(None, ".2f") == "–"
    assert with_spread(94.0, 2.0) == "94.00 ± 2.00"
    assert with_spread(1.0, float("nan"), sign="+") == "+1.00"
    assert with_spread(-0.001, 1.0, sign="+") == "+0.00 ± 1.00"


@pytest.mark.parametrize(
    ("text", "problems", "cell"),
    [
        ("94.00", {}, "94.00"),
        ("94.00", {1: "broken"}, "94.00 (s1 broken)"),
        ("–", {0: "missing", 1: "missing"}, "missing"),
        ("–", {0: "missing", 1: "other params"}, "s0 missing, s1 other params"),
    ],
)
def test_a_cell_says_what_is_not_in_it(text, problems, cell):
    assert with_problems(text, problems) == cell


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("image_bkd 50 % & #1 $x$", r"image\_bkd 50 \% \& \#1 \$x\$"),
        ("{a}~b^c\\d", r"\{a\}\textasciitilde{}b\textasciicircum{}c\textbackslash{}d"),
        ("1.0 ± 0.5 µJ – <2>", r"1.0 $\pm$ 0.5 $\mu$J -- \textless{}2\textgreater{}"),
        ("a → b|c", r"a $\rightarrow$ b\textbar{}c"),
    ],
)
def test_nothing_means_anything_to_latex(text, latex):
    assert escaped(text) == latex


def test_a_table_to_the_letter():
    table = pd.DataFrame([{"row": "a_b|c", "top-1 %": "94.00 ± 2.00"}])
    assert tex("Title", table, ["50 % of it."], left=1) == (
        "% Title; needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "row & top-1 \\% \\\\\n"
        "\\midrule\n"
        "a\\_b\\textbar{}c & 94.00 $\\pm$ 2.00 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n\n"
        "\\smallskip\n"
        "{\\footnotesize\\raggedright\n"
        "50 \\% of it.\\par\n"
        "}\n"
    )
    assert markdown("Title", table, ["50 % of it."]) == (
        "# Title\n\n| row    | top-1 %      |\n|:-------|:-------------|\n| a_b\\|c | 94.00 ± 2.00 |\n\n- 50 % of it.\n"
    )
