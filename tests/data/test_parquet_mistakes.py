"""What a parquet file of images must not be, told in one line that names file, row and what is allowed."""

import json
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from image_sets import CELL, PARQUET, cells, write_parquet
from sources import picture, prepare, told

TRAIN = "p/train.parquet"


def write(raw, *, train: dict | None = None, metadata: dict | None = None) -> None:
    """Ten test images and a training table with some columns replaced."""
    write_parquet(raw / "p/test.parquet", cells(10))
    write_parquet(raw / TRAIN, cells(20))
    table = pyarrow.parquet.read_table(raw / TRAIN)
    for name, values in (train or {}).items():
        table = table.set_column(table.schema.names.index(name), name, values)
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    pyarrow.parquet.write_table(table, raw / TRAIN)


LABELS = {
    "float": (pyarrow.array([0.0, 1.7] * 10), "column label holds double, wanted whole numbers"),
    "string": (pyarrow.array(["0", "1"] * 10), "column label holds string, wanted whole numbers"),
    "none": (pyarrow.array([0, 1, None, 1] * 5), "row 2 has no label; wanted 0 to 1"),
    "negative": (pyarrow.array([0, -1] * 10), "row 1 has label -1, there are 2 classes"),
    "huge": (pyarrow.array([0, 2**64 - 1] * 10, pyarrow.uint64()), "row 1 has label 18446744073709551615, there are 2"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_whole_numbers_of_the_classes(tmp_path, case):
    values, expected = LABELS[case]
    write(tmp_path, train={"label": values})
    assert f"{tmp_path / TRAIN}: {expected}" in told("parquet", PARQUET, tmp_path)


def test_every_class_has_rows(tmp_path):
    write(tmp_path, train={"label": pyarrow.array([1] * 20)})
    assert told("parquet", PARQUET, tmp_path) == "class 'cat' has no whole sample in the split 'train'"
    text = told("parquet", PARQUET | {"classes": ["cat", "dog", "emu"]}, tmp_path)
    assert text == f"{tmp_path / 'p'}: no row has the label 2, settings.classes names it"


def test_labels_may_be_whole_numbers_of_any_width(tmp_path):
    write(tmp_path, train={"label": pyarrow.array([0, 1] * 10, pyarrow.uint8())})
    assert prepare("parquet", PARQUET, tmp_path, tmp_path / "data").labels[:3].tolist() == [0, 1, 0]


def test_a_text_in_place_of_bytes_is_not_opened_as_a_path(tmp_path):
    _, content = picture()
    (tmp_path / "secret.png").write_bytes(content)
    write(tmp_path, train={"img": pyarrow.array([{"bytes": str(tmp_path / "secret.png")}] * 20)})
    line = "column img holds struct<bytes: string>, wanted a struct with bytes of type binary"
    assert told("parquet", PARQUET, tmp_path) == f"{tmp_path / TRAIN}: {line}"
    write(tmp_path, train={"img": pyarrow.array([content] * 20)})
    assert "column img holds binary, wanted a struct" in told("parquet", PARQUET, tmp_path)


def test_a_path_without_bytes_is_not_followed(tmp_path):
    rows = [{"bytes": content, "path": None} for content, _ in cells(20)]
    rows[3] = {"bytes": None, "path": "0.png"}
    rows[4] = None
    write(tmp_path, train={"img": pyarrow.array(rows, CELL)})
    line = "row 3: no readable image (it has no bytes; a path alone is not followed) (skip_corrupt: 0)"
    assert told("parquet", PARQUET, tmp_path) == f"{tmp_path / TRAIN} {line}"
    data = prepare("parquet", PARQUET | {"skip_corrupt": 2}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["skipped"]) == ["train.parquet row 3", "train.parquet row 4"]


def named(*names: str) -> dict:
    return {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}


def test_class_names_are_those_of_the_file_in_its_order(tmp_path):
    write(tmp_path, metadata=named("dog", "cat"))
    assert "label 0 is dog in the file and cat in settings.classes" in told("parquet", PARQUET, tmp_path)
    write(tmp_path, metadata=named("cat", "dog", "emu"))
    assert "label 2 is emu in the file and None in settings.classes" in told("parquet", PARQUET, tmp_path)
    write(tmp_path, metadata=named("cat", "dog"))
    assert prepare("parquet", PARQUET, tmp_path, tmp_path / "data").classes == ["cat", "dog"]
    write(tmp_path, metadata={"info": {"features": None}})
    assert prepare("parquet", PARQUET, tmp_path, tmp_path / "again").classes == ["cat", "dog"]


@pytest.mark.parametrize("train", ["*.parquet", "./test*.parquet", "t*.parquet"])
def test_a_file_in_two_splits_is_refused(tmp_path, train):
    write(tmp_path)
    assert "test.parquet: listed twice" in told("parquet", PARQUET | {"train": train}, tmp_path)


def test_a_copied_file_and_a_copied_image_are_refused(tmp_path):
    write(tmp_path)
    shutil.copy(tmp_path / "p/test.parquet", tmp_path / "p/train-2.parquet")
    line = f"{tmp_path}/p/test.parquet: the same content as {tmp_path}/p/train-2.parquet; a sample may be there once"
    assert told("parquet", PARQUET, tmp_path) == line
    rows = cells(20)
    write_parquet(tmp_path / "p/train-2.parquet", [*cells(4), *rows[:2]])
    write_parquet(tmp_path / "p/train.parquet", rows)
    text = told("parquet", PARQUET, tmp_path)
    assert f"{tmp_path}/p/train.parquet row 0: the same content as {tmp_path}/p/train-2.parquet row 4" in text
    assert text.endswith(", and 1 more are there twice; a sample may be there once (duplicates: 0)")
    data = prepare("parquet", PARQUET | {"duplicates": 2}, tmp_path, tmp_path / "data")
    repeated = {"train.parquet row 0": "train-2.parquet row 4", "train.parquet row 1": "train-2.parquet row 5"}
    assert data.manifest["facts"]["duplicates"] == repeated


@pytest.mark.parametrize("pattern", ["", "/data/*.parquet", "../*.parquet", "a/../../*.parquet", "."])
def test_a_pattern_leads_to_files_below_the_root(tmp_path, pattern):
    from bkdsnn.data.sources.parquet import Settings
    from bkdsnn.errors import InputError
    from bkdsnn.params.read import validated

    with pytest.raises(InputError, match=r"s\.train: .*: a path below the data set's root"):
        validated(Settings, PARQUET | {"train": pattern}, where="s")


def test_hidden_files_and_folders_do_not_match_a_pattern(tmp_path):
    write(tmp_path)
    (tmp_path / "p/.x.parquet").write_bytes(b"nonsense")
    (tmp_path / "p/tr.parquet").mkdir()
    data = prepare("parquet", PARQUET | {"train": "[.t][xr]*.parquet"}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["files_sha256"]) == ["test.parquet", "train.parquet"]
    assert data.manifest["facts"]["left_out"] == {}
    shutil.copy(tmp_path / TRAIN, tmp_path / "p/validation.parquet")
    data = prepare("parquet", PARQUET, tmp_path, tmp_path / "again")
    assert data.manifest["facts"]["left_out"] == {".parquet": 1}
    assert "no pattern of files" in told("parquet", PARQUET | {"train": "a**b"}, tmp_path)


def test_flipped_bytes_of_a_parquet_file_are_a_data_set_or_one_line(tmp_path):
    write(tmp_path)
    random, whole = np.random.default_rng(0), (tmp_path / TRAIN).read_bytes()
    for number in range(20):
        content = np.frombuffer(whole, dtype=np.uint8).copy()
        content[random.integers(0, len(content), 30)] = random.integers(0, 256, 30)
        (tmp_path / TRAIN).write_bytes(content.tobytes())
        try:
            prepare("parquet", PARQUET | {"skip_corrupt": 5}, tmp_path, tmp_path / f"data-{number}")
        except Exception as error:
            assert type(error).__name__ == "InputError"  # noqa: PT017


@pytest.mark.parametrize("names", [["cat", "dog"], {"0": "cat", "1": "dog"}], ids=["a list", "a mapping"])
def test_the_names_in_a_file_may_be_a_list_or_a_mapping(tmp_path, names):
    from bkdsnn.data.image_table import ImageTable

    write(tmp_path, metadata={"info": {"features": {"label": {"names": names}}}})
    assert len(ImageTable(tmp_path / TRAIN, classes=["cat", "dog"]).labels) == 20


def test_a_class_is_named_once(tmp_path):
    from bkdsnn.data.sources.parquet import Settings
    from bkdsnn.errors import InputError
    from bkdsnn.params.read import validated

    with pytest.raises(InputError, match=r"s\.classes: .*each once"):
        validated(Settings, PARQUET | {"classes": ["cat", "cat"]}, where="s")
