"""The winner of a table as a model: chosen on the validation split, read back to the same logits, never unpickled."""

import pytest
import torch
import yaml
from conftest import ROOT, write_data

from bkdsnn.build import make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.export import mlflow_model
from bkdsnn.files import digest, write_csv, write_json
from bkdsnn.params.schema import load_params
from bkdsnn.tools.register import register
from bkdsnn.trained import Trained, save_trained

VALIDATION = {"image-ce": 60.0, "image-bkd": 75.0, "image-vit": 70.0, "dvs-mixed": 50.0, "dvs-swapped": 55.0}


@pytest.fixture
def project(tmp_path, monkeypatch, composed):
    """A project with results of every run of the tiny table, two seeds, and the weights of the images' runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "calm-heron")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("BKDSNN_TRACKING", raising=False)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(composed("table=tiny", "seeds=[0,1]"), sort_keys=False))
    params = load_params()
    data = write_data(tmp_path / "data/digits", shape=(1, 16, 16))
    for key, run in params.runs.items():
        results = tmp_path / "results/runs/tiny" / key
        results.mkdir(parents=True)
        last = VALIDATION[run.row] + (2.0 if run.seed else -2.0)
        write_csv(results / "history.csv", {"epoch": [0, 1], "validation_top1": [99.0, last]})
        model = tmp_path / "models/students/tiny" / key
        if run.dataset == "digits":
            model.mkdir(parents=True)
            weights = make_network(params.students[run.student], data=data, seed=run.seed).state_dict()
            save_trained(
                model,
                Trained(last=weights, best=weights, best_epoch=-1, history=[]),
                data=data,
                teacher=None,
                made_with={},
            )
            write_json(results / "metrics.json", {"model_sha256": digest(model), "test_top1": 0.0})
    return tmp_path


def test_the_winner_is_the_row_with_the_best_mean_after_the_last_epoch_and_its_best_seed(project):
    results = project / "results/runs/tiny"
    params = load_params()
    assert mlflow_model.winner(params, results, rows=params.rows) == ("image-bkd-s1", 75.0)
    assert mlflow_model.winner(params, results, rows=["image-ce"]) == ("image-ce-s1", 60.0)


def test_a_registered_model_is_the_network_that_was_trained(project, capfd):
    register(table="tiny", row=None)
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "image-bkd-s1: of the row image-bkd, 75.00 % on the validation split in the mean over its seeds"
    assert said[1] == "models:/bkdsnn-tiny/1: registered"
    network = mlflow_model.load("models:/bkdsnn-tiny/1")
    data = ArrayData(project / "data/digits")
    trained = make_network(load_params().students["sew-digits"], data=data, seed=1).eval()
    inputs = torch.rand(3, 1, 16, 16)
    assert torch.equal(network(inputs).logits, trained(inputs).logits)
    assert network.card["run"]["key"] == "image-bkd-s1"
    assert network.card["normalise"] == {"scale": 255.0, "mean": [0.5], "std": [0.25]}
    with pytest.raises(InputError, match="models:/bkdsnn-tiny/7: no such model in sqlite:"):
        mlflow_model.load("models:/bkdsnn-tiny/7")
    check_pyfunc(project, inputs, expected=network(inputs).logits.mean(0))


def check_pyfunc(project, inputs, *, expected):
    """MLflow's own loader gives the same logits, from code and safetensors; nothing there is a pickle."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    (folder,) = project.glob("mlartifacts/**/MLmodel")
    stored = {path.suffix for path in folder.parent.rglob("*") if path.is_file()}
    assert stored <= {"", ".json", ".py", ".safetensors", ".txt", ".yaml"}
    model = mlflow.pyfunc.load_model("models:/bkdsnn-tiny@champion")
    assert torch.equal(torch.from_numpy(model.predict(inputs.numpy())), expected)
    specs = [*model.metadata.get_input_schema(), *model.metadata.get_output_schema()]
    assert [spec.shape for spec in specs] == [(-1, 1, 16, 16), (-1, 3)]
    assert model.input_example.shape == (1, 1, 16, 16)
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict(torch.rand(3, 1, 8, 8).numpy())


def test_only_weights_and_json_are_stored_and_other_weights_are_refused(project):
    folder = project / "model"
    folder.mkdir()
    mlflow_model.write_model(folder, "image-ce-s0", load_params())
    assert sorted(path.name for path in folder.iterdir()) == ["network.json", "weights.safetensors"]
    assert mlflow_model.load(str(folder)).training is False
    (folder / "weights.safetensors").write_bytes(
        (project / "models/students/tiny/image-ce-s1/last.safetensors").read_bytes()
    )
    with pytest.raises(InputError, match=r"weights.safetensors: missing, or not the weights that network.json names"):
        mlflow_model.load(str(folder))


def test_what_cannot_be_registered_is_told(project, monkeypatch):
    with pytest.raises(InputError, match=r"params.yaml holds the table 'tiny': `make params TABLE=digits`"):
        register(table="digits", row=None)
    with pytest.raises(InputError, match=r"rows.none: there is none; there are image-ce, image-bkd"):
        register(table=None, row="none")
    write_json(project / "results/runs/tiny/image-bkd-s1/metrics.json", {"model_sha256": "other"})
    with pytest.raises(InputError, match=r"image-bkd-s1: of other weights than .*image-bkd-s1; run `dvc repro`"):
        register(table=None, row=None)
    monkeypatch.setenv("BKDSNN_TRACKING", "off")
    with pytest.raises(InputError, match="BKDSNN_TRACKING is off"):
        register(table=None, row=None)
    monkeypatch.delenv("BKDSNN_TRACKING")
    (project / "results/runs/tiny/dvs-mixed-s0/history.csv").unlink()
    with pytest.raises(InputError, match=r"dvs-mixed-s0/history.csv: missing; run `dvc repro`"):
        register(table=None, row=None)
