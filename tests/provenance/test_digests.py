"""A digest changes with what code does, and with nothing else."""

import pytest

from bkdsnn.provenance import closure, digests

TEXT = '''"""What it does."""

import math  # for pi


class Circle:
    """A circle."""

    sides = 0

    def area(self, radius: float) -> float:
        """Its area."""
        # by the school
        return f"{math.pi * radius**2}"
'''


@pytest.fixture
def digest(tmp_path):
    """Gives the digest of a text as a file."""

    def of(text: str) -> str:
        closure.parsed.cache_clear()
        digests.file_digest.cache_clear()
        (tmp_path / "a.py").write_text(text)
        return digests.file_digest("a.py", root=tmp_path)

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # for pi", ""),
        ("# by the school", "# as we learnt it"),
        ('"""What it does."""', '"""What else it does."""'),
        ('"""A circle."""', ""),
        ('"""Its area."""', '"""Its\n        area."""'),
        ("radius: float) -> float", "radius: float,\n    ) -> float"),
        ("sides = 0", "sides   =   (0)"),
        ("\n\n\nclass", "\nclass"),
        ('f"{math.pi * radius**2}"', "f'{math.pi * radius ** 2}'"),
    ],
)
def test_how_it_is_written_down_does_not_count(digest, old, new):
    assert old in TEXT
    assert digest(TEXT.replace(old, new)) == digest(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("math.pi * radius", "radius * math.pi"),
        ("sides = 0", "sides = 0.0"),
        ("sides = 0", "sides = False"),
        ("def area", "def surface"),
        ("import math", "import cmath as math"),
        ("return f", "yield f"),
        ("class Circle", "class Circle(object)"),
    ],
)
def test_what_it_does_counts(digest, old, new):
    assert old in TEXT
    assert digest(TEXT.replace(old, new)) != digest(TEXT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f()(x)", "f(x)()"),
        ("f(x)(y=1)", "f(x, y=1)()"),
        ("x: (yield) = 3", "x: (yield 3)"),
        ("a = [[], [b]]", "a = [[b], []]"),
        ("if a:\n    b\nelse:\n    c", "if a:\n    b\n    c"),
    ],
)
def test_no_two_programs_have_one_digest(digest, one, other):
    assert digest(one) != digest(other)


def test_a_digest_is_the_same_on_every_python(digest):
    """Its text holds node names and values as they are called since Python 3.8: known here, to be found anywhere."""
    assert digest("x: int = 1\n") == "8c490922e8a9d85d"
