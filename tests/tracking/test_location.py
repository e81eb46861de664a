"""Where a store is, by every way of naming it, and that nobody sees its password."""

import pytest

from bkdsnn.errors import InputError
from bkdsnn.tracking.location import location


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Gives the location of a store by its name, seen from a project root."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))

    def call(name: str):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", name)
        return location()

    return call


@pytest.mark.parametrize(
    ("name", "file", "query"),
    [
        ("", "project/mlflow.db", ""),
        ("sqlite:///runs.db", "project/runs.db", ""),
        ("sqlite:///../shared/runs.db?timeout=9", "shared/runs.db", "?timeout=9"),
        ("sqlite:///{folder}/shared/runs.db", "shared/runs.db", ""),
        ("sqlite+pysqlite:///{folder}/runs.db?timeout=9", "runs.db", "?timeout=9"),
        ("sqlite:///file:{folder}/runs.db?uri=true", "runs.db", ""),
        ("sqlite:///file:runs.db?uri=true&timeout=9", "project/runs.db", "?timeout=9"),
    ],
)
def test_a_database_is_found_by_every_way_of_naming_it(named, tmp_path, name, file, query):
    store = named(name.format(folder=tmp_path))
    assert store.database == tmp_path / file
    assert store.uri.partition(":///")[2] == f"{tmp_path / file}{query}"
    with store.lock() as lock:
        assert lock.lock_file == str((tmp_path / file).with_name(f".{store.database.stem}.lock"))


@pytest.mark.parametrize("name", ["mlruns", "./mlruns", "file:mlruns", "file://{folder}/project/mlruns"])
def test_a_folder_is_one_too(named, tmp_path, name):
    store = named(name.format(folder=tmp_path))
    assert (store.database, store.folder) == (None, tmp_path / "project/mlruns")
    assert store.uri == f"file://{tmp_path}/project/mlruns"


@pytest.mark.parametrize("name", ["http://host:5000", "https://u:p@host/mlflow", "databricks", "databricks://profile"])
def test_a_server_has_no_files_and_no_lock(named, name):
    store = named(name)
    assert (store.uri, store.database, store.folder) == (name, None, None)
    with store.lock() as lock:
        assert lock is None


@pytest.mark.parametrize("name", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:runs.db"])
def test_a_database_without_a_file_is_refused(named, name):
    with pytest.raises(InputError, match="names no file of SQLite: wanted sqlite:////FOLDER/FILE.db"):
        named(name)


@pytest.mark.parametrize(
    ("name", "password", "shown"),
    [
        ("http://anna:s3cret@host:5000/mlflow", "s3cret", "http://host:5000/mlflow"),
        ("https://anna:s3cret/w@host?token=s3cret", "s3cret/w", "https://host"),
        ("postgresql://anna:s3cret%40x@host:5432/runs?password=s3cret", "s3cret@x", "postgresql://host:5432/runs"),
        ("mysql+pymysql://s3cret@host/runs", "", "mysql+pymysql://host/runs"),
    ],
)
def test_no_password_is_shown(named, name, password, shown):
    store = named(name)
    assert store.shown == shown
    line = store.in_one_line(OSError(f"no route to {name} ({name}/api?key=1) with '{password}'\nand more"))
    assert line.startswith(f"{shown}: no route to {shown} (")
    assert "s3cret" not in line
    assert "\n" not in line


def test_blanks_name_no_store(named):
    assert named(" ").embedded


def test_a_folder_in_which_no_lock_can_be_is_told_at_once(named):
    with pytest.raises(OSError, match="/proc/"):
        named("sqlite:////proc/x.db").lock()
