"""Two states of a table, row by row: commits, experiments, the workspace; and what may not be compared."""

import subprocess
import tarfile

import pytest
import yaml
from made_up_runs import made_up_params, write_results

from bkdsnn.errors import InputError
from bkdsnn.tools.compare import compare

SEEDS = 6
CE = (90.0, 92.0, 91.0, 90.0, 92.0, 91.0)
BKD = (92.0, 94.0, 93.0, 92.0, 94.0, 93.0)


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def state(folder, composed, *, gain: float, noise: float = 0.0, **settings) -> None:
    """params.yaml and results of two rows, of which the second one is changed by `gain`, and by `noise` up and down."""
    params = made_up_params(composed, seeds=SEEDS)
    params.methods["bkd"].settings.update(settings)
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False))
    changed = tuple(value + gain + noise * (-1) ** seed for seed, value in enumerate(BKD))
    subprocess.run(["rm", "-rf", folder / "results"], check=True)
    write_results(folder / "results/runs/tiny", params, top1={"image-ce": CE, "image-bkd": changed})


@pytest.fixture
def repository(tmp_path, monkeypatch, composed):
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    state(tmp_path, composed, gain=0.0)
    git("add", ".")
    git("commit", "-q", "-m", "state")
    return tmp_path


def line_of(row: str, output: str) -> list[str]:
    return [cell.strip() for cell in next(line for line in output.splitlines() if f" {row} " in line).split("|")[1:-1]]


def test_what_is_not_committed_is_compared_with_a_branch_seed_by_seed(repository, composed, capsys):
    state(repository, composed, gain=1.0, noise=0.25, feature_weight=0.5)
    compare("main", "workspace")
    output = capsys.readouterr().out
    row, a, b, difference, seeds, _, verdict = line_of("image-bkd", output)
    assert (row, a, b) == ("image-bkd", "93.00 ± 0.89", "94.00 ± 0.94")
    assert (difference, seeds, verdict) == ("+1.00 ± 0.29", "6", "better")
    assert line_of("image-ce", output)[-1] == "the same runs"
    assert "- methods.bkd.settings.feature_weight: 0.0002 → 0.5" in output.splitlines()


def test_that_the_tables_are_two_is_told_before_their_settings(repository, composed, capsys):
    state(repository, composed, gain=1.0, feature_weight=0.5)
    params = yaml.safe_load((repository / "params.yaml").read_text())
    (repository / "params.yaml").write_text(yaml.safe_dump(params | {"table": "own"}, sort_keys=False))
    compare("main", "workspace")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert said[1] == f"- A is table {params['table']}, B table own: rows of one name may be of other things."
    assert said[-1] == "- methods.bkd.settings.feature_weight: 0.0002 → 0.5"


def test_a_commit_is_read_by_the_first_python_3_11s_too_whose_tar_files_take_no_filter(
    repository, composed, capsys, monkeypatch
):
    unpack = tarfile.TarFile.extractall
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda self, path, members: unpack(self, path, members))
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    state(repository, composed, gain=1.0)
    compare("main", "workspace")
    assert line_of("image-bkd", capsys.readouterr().out)[3].startswith("+1.00")


def test_a_state_from_before_tables_shared_runs_is_still_read(repository, composed, capsys):
    old = yaml.safe_load((repository / "params.yaml").read_text())
    del old["runs_table"], old["same_runs_as"]
    (repository / "params.yaml").write_text(yaml.safe_dump(old, sort_keys=False))
    git("commit", "-q", "-am", "old")
    state(repository, composed, gain=1.0)
    compare("main", "workspace")
    assert line_of("image-bkd", capsys.readouterr().out)[3].startswith("+1.00")


def test_an_experiment_is_found_by_its_name_and_a_gain_within_the_noise_is_undecided(repository, composed, capsys):
    state(repository, composed, gain=0.1, noise=1.0, feature_weight=0.5)
    git("add", ".")
    git("commit", "-q", "-m", "experiment")
    git("update-ref", "refs/exps/ab/cdef/calm-heron", "HEAD")
    git("reset", "-q", "--hard", "HEAD~1")
    compare("main", "calm-heron")
    assert line_of("image-bkd", capsys.readouterr().out)[-1] == "undecided"


def test_results_of_other_params_are_named_and_not_compared(repository, composed, capsys):
    params = yaml.safe_load((repository / "params.yaml").read_text())
    params["methods"]["bkd"]["settings"]["feature_weight"] = 0.5
    (repository / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    compare("main", "")
    output = capsys.readouterr().out
    assert "image-bkd" not in output.split("- Top-1")[0]
    assert "B: results/runs/tiny/image-bkd-s0/metrics.json: of other params than this table's." in output


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("main", "mian"), "mian: no commit or experiment here; main"),
        (("", "workspace"), "wanted two states"),
        (("main", "--all"), "--all: no commit or experiment here"),
        (("empty", "workspace"), "has no params.yaml"),
        (("bare", "main"), "have no row in common"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(repository, names, said):
    git("checkout", "-q", "--orphan", "empty")
    git("rm", "-rqf", "results", "--cached")
    git("commit", "-q", "--allow-empty", "-m", "params alone")
    git("branch", "bare")
    git("rm", "-qf", "params.yaml", "--cached")
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    with pytest.raises(InputError) as caught:
        compare(*names)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
