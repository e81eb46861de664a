import pytest

from bkdsnn.errors import InputError
from bkdsnn.files import digest, new_folder, read_json, write_csv, write_json


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"

    def fail():
        with new_folder(target) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(RuntimeError):
        fail()
    assert (target / "a").read_text() == "1"


def test_json_has_one_layout_and_damage_is_told_in_one_line(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"b": 1, "a": [0.1]})
    first = path.read_bytes()
    write_json(path, {"a": [0.1], "b": 1})
    assert path.read_bytes() == first
    assert read_json(path) == {"a": [0.1], "b": 1}
    path.write_bytes(first[:-4])
    with pytest.raises(InputError, match=r"m\.json: no readable JSON") as told:
        read_json(path)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})


def test_csv_keeps_floats_in_full(tmp_path):
    write_csv(tmp_path / "a.csv", {"x": [0.1 + 0.2], "n": [3]})
    assert (tmp_path / "a.csv").read_text() == "x,n\n0.30000000000000004,3\n"


def test_a_folder_without_manifest_has_no_digest(tmp_path):
    with pytest.raises(InputError, match="not whole"):
        digest(tmp_path)
