"""A published student: a folder in Hugging Face's layout, read without DVC, Hydra or MLflow, and refused if damaged."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, write_data
from PIL import Image

from bkdsnn.build import make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.images import Picture, fitted
from bkdsnn.errors import InputError
from bkdsnn.export import published
from bkdsnn.export.preprocess import Preprocess
from bkdsnn.export.published import load
from bkdsnn.files import digest, sha256, write_json
from bkdsnn.params.schema import load_params
from bkdsnn.tools.predict import predict
from bkdsnn.tools.publish import publish
from bkdsnn.trained import Trained, save_trained

KEY = "image-bkd-s0"
VERSIONS = {"torch": "2.14.1", "processor": "any"}


@pytest.fixture(scope="module")
def project(tmp_path_factory, composed):
    """A project with one trained and evaluated run of the tiny table, published."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "params.yaml").write_text(yaml.safe_dump(composed("table=tiny", "seeds=[0]"), sort_keys=False))
        params, data = load_params(), write_data(folder / "data/digits", shape=(1, 16, 16))
        model = folder / "models/students/tiny" / KEY
        model.mkdir(parents=True)
        weights = make_network(params.students["sew-digits"], data=data, seed=0).state_dict()
        save_trained(
            model, Trained(weights, weights, best_epoch=-1, history=[]), data=data, teacher="t", made_with=VERSIONS
        )
        results, table = folder / "results/runs/tiny" / KEY, folder / "results/tables/tiny"
        results.mkdir(parents=True)
        table.mkdir(parents=True)
        write_json(results / "metrics.json", metrics(model_sha256=digest(model), data_sha256=digest(data.folder)))
        write_table(table / "table.csv", row="image-bkd")
        publish(KEY)
    return folder


def metrics(**hashes):
    numbers = {"test_top1": 91.25, "test_samples": 10, "parameters": 19706, "time_steps": 4, "split": "made up"}
    return {**numbers, "teacher_sha256": "ab12", "made_with": VERSIONS, **hashes}


def write_table(path, *, row):
    gain = {
        "gain": "0.154",
        "gain_over": "image-ce",
        "gain_ci95": "0.6",
        "gain_verdict": "undecided",
        "teacher_top1": "97.76",
    }
    line = {"row": row, "seeds": "8", "top1_mean": "92.7525", "top1_std": "1.4", **gain}
    with path.open("w", newline="") as file:
        csv.DictWriter(file, line).writeheader()
        csv.DictWriter(file, line).writerow(line)


@pytest.fixture
def folder(project, tmp_path):
    """A copy of what was published."""
    return shutil.copytree(project / "models/hub/tiny" / KEY, tmp_path / "model")


def test_the_layout_is_hugging_face_s(project):
    folder = project / "models/hub/tiny" / KEY
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_the_model_card_has_the_numbers_of_the_csv_and_all_hashes(folder):
    _, matter, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    matter, card = yaml.safe_load(matter), json.loads((folder / "config.json").read_text())
    assert matter["license"] == "mit"
    assert matter["model-index"][0]["results"][0]["metrics"][0]["value"] == 91.25
    for part in (
        "91.25",
        "92.75 ± 1.40",
        "gain of the row over image-ce",
        "+0.15 ± 0.60",
        "undecided",
        "97.76",
        "made up",
        "torch 2.14.1",
        "ab12",
    ):
        assert part in text
    for digest_of in ("weights_sha256", "model_sha256"):
        assert card[digest_of] in text
    assert sha256(folder / "model.safetensors") == card["weights_sha256"]
    assert "{" not in text.replace(json.dumps(card["method_settings"]), "")
    assert card["method_settings"]["blur_ratio"] > 0


def test_what_is_loaded_is_the_student_and_makes_the_inputs_that_it_was_trained_on(project, folder):
    network, preprocess = load(folder)
    data = ArrayData(project / "data/digits")
    batch = next(Batches(data, batch_size=4, device=torch.device("cpu")).plain("test"))
    sample = np.array(data.inputs[int(batch.index[0])])
    assert torch.equal(preprocess(sample)[0], batch.inputs[0])
    assert torch.equal(preprocess(Image.fromarray(sample[0]))[0], batch.inputs[0])
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert network.card["settings"] == params["students"]["sew-digits"]["settings"]
    assert not network.training


def test_a_photograph_is_fitted_as_the_data_set_s_own_were():
    picture = {"size": 8, "resize": 10, "interpolation": "bicubic"}
    card = {"input_shape": [3, 8, 8], "picture": picture, "normalise": {"scale": 1, "mean": [0] * 3, "std": [1] * 3}}
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 31, 3)).astype(np.uint8))
    assert np.array_equal(Preprocess(card)(image)[0].numpy(), fitted(image, Picture(**picture)))


BLOCKED = (
    "dvc hydra omegaconf mlflow pandas sklearn scipy.stats pyarrow lightning_fabric timm matplotlib huggingface_hub"
)
ALONE = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {BLOCKED.split()!r}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import bkdsnn
assert "torch" not in sys.modules
import numpy
network, preprocess = bkdsnn.load(sys.argv[1])
assert not set({BLOCKED.split()!r}) & {{name.partition(".")[0] for name in sys.modules}}
print(tuple(network(preprocess(numpy.zeros((1, 16, 16), numpy.uint8))).logits.shape))
"""


def test_loading_needs_nothing_of_the_pipeline(folder):
    command = [sys.executable, "-c", ALONE, folder]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True)
    assert done.stdout == "(4, 1, 3)\n", done.stderr


def test_the_package_has_nothing_but_what_it_names():
    import bkdsnn

    assert bkdsnn.load is load
    with pytest.raises(AttributeError, match="module 'bkdsnn' has no attribute 'loads'"):
        bkdsnn.loads  # noqa: B018


def test_an_image_s_classes_are_printed_the_likeliest_first(folder, tmp_path, capsys):
    Image.new("RGB", (40, 30), "white").save(tmp_path / "image.png")
    predict(str(folder), str(tmp_path / "image.png"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shares = [float(line[0]) for line in lines]
    assert sorted(line[2] for line in lines) == ["0", "1", "2"]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.02)


def one_line(pattern, function, *arguments):
    with pytest.raises(InputError, match=pattern) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)


def changed(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


DAMAGES = {
    "truncated": (lambda weights: weights[:-10], "missing, or not the weights that config.json names"),
    "a page": (lambda _: b"<!doctype html>", "missing, or not the weights that config.json names"),
    "a pickle": (lambda _: b"\x80\x04N.", "missing, or not the weights that config.json names"),
    "a pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid",
        "a pointer of Git LFS, not the weights",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused(folder, damage):
    change, why = DAMAGES[damage]
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    one_line(f"model.safetensors: {why}", load, folder)


def test_bytes_that_are_no_safetensors_are_not_read_otherwise(folder):
    (folder / "model.safetensors").write_bytes(b"\x80\x04N.")
    changed(folder, weights_sha256=sha256(folder / "model.safetensors"))
    one_line("model.safetensors: no readable safetensors file", load, folder)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"network": "os"}, "unknown network 'os'"),
        ({"classes": ["a"]}, "'head.bias' is not as in the network that config.json describes"),
        ({"normalise": {"scale": 0, "mean": [0], "std": [1]}}, "says not how inputs are made"),
        ({"normalise": {"scale": 1, "mean": [0, 0], "std": [1, 1]}}, "says not how inputs are made"),
        ({"normalise": None}, "says not how inputs are made"),
        ({"picture": {"size": 99, "resize": 8, "interpolation": "bilinear"}}, "says not how inputs are made"),
    ],
)
def test_a_card_that_describes_something_else_is_refused(folder, entries, why):
    changed(folder, **entries)
    one_line(why, load, folder)


@pytest.mark.parametrize("model", ["hf-hub:somebody/model", "local-dir:own"])
def test_a_card_that_leads_elsewhere_is_refused(folder, model):
    card = json.loads((folder / "config.json").read_text())
    changed(folder, network="timm_model", settings={**card["settings"], "model": model})
    one_line("lies elsewhere", load, folder)


@pytest.mark.parametrize(
    ("text", "why"), [("[]", "holds a JSON list"), ("{", "no readable JSON"), (None, "is missing")]
)
def test_a_folder_without_a_whole_card_is_refused(folder, text, why):
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    one_line(why, load, folder)


def test_what_is_no_image_for_this_network_is_told(folder, tmp_path):
    one_line("none.png: no readable image", predict, str(folder), str(tmp_path / "none.png"))
    _, preprocess = load(folder)
    one_line("wanted uint8 1 x 16 x 16, got uint8 1 x 8 x 8", preprocess, np.zeros((1, 8, 8), np.uint8))
    one_line("wanted uint8 1 x 16 x 16, got float64", preprocess, np.zeros((1, 16, 16)))
    frames = Preprocess({"input_shape": [4, 2, 8, 8], "normalise": {"scale": 1, "mean": [0, 0], "std": [1, 1]}})
    one_line("a.png: this network takes event frames", frames, "a.png")
    assert frames(np.ones((4, 2, 8, 8), np.uint8)).shape == (1, 4, 2, 8, 8)


def test_what_is_no_folder_is_looked_for_on_hugging_face(folder, monkeypatch):
    import huggingface_hub

    asked = []

    def give(name, **how):
        asked.append((name, how["revision"]))
        if name == "anna/none":
            raise OSError("404\nand more")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    assert load("anna/digits", revision="v1").network.card["run"]["key"] == KEY
    assert asked == [("anna/digits", "v1")]
    one_line(r"anna/none: no such folder, and Hugging Face gives no such repository \(404\)", load, "anna/none")
    one_line("a/b/c: no such folder, nor a repository USER/NAME", published.load, "a/b/c")


def test_what_cannot_be_published_is_told(project, monkeypatch):
    monkeypatch.chdir(project)
    one_line("STUDENT: wanted the key of a run", publish)
    one_line("PUSH=yes: wanted 1", publish, KEY, "yes")
    one_line("REPO=: wanted USER/NAME", publish, KEY, "1")
    one_line("runs.none: there is none; there are image-ce-s0", publish, "none")
    one_line("image-ce-s0: not trained yet", publish, "image-ce-s0")
    results, table = project / "results/runs/tiny" / KEY / "metrics.json", project / "results/tables/tiny/table.csv"
    kept = results.read_text(), table.read_text()
    write_table(table, row="other")
    one_line("table.csv: no table with the row image-bkd; run `dvc repro`", publish, KEY)
    table.write_text("row,seeds\nimage-bkd,8\n")
    one_line(r"table.csv, or metrics.json of the run: not whole \('top1_mean'\)", publish, KEY)
    write_json(results, metrics(model_sha256="other"))
    one_line(f"{KEY}: of other weights than", publish, KEY)
    results.write_text(kept[0])
    table.write_text(kept[1])
    assert [path.name for path in (project / "models/hub/tiny").iterdir()] == [KEY]


def test_a_push_uploads_the_folder_and_a_refusal_is_one_line(project, monkeypatch, capsys):
    import huggingface_hub

    class Api:
        def create_repo(self, repo, exist_ok):
            if repo == "anna/closed":
                raise ValueError("no right\nto write")

        def upload_folder(self, *, repo_id, folder_path):
            return f"https://huggingface.co/{repo_id}: {sorted(path.name for path in folder_path.iterdir())}"

    monkeypatch.chdir(project)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    publish(KEY, "1", "anna/digits")
    assert 'load("anna/digits")' in (project / "models/hub/tiny" / KEY / "README.md").read_text(encoding="utf-8")
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "https://huggingface.co/anna/digits: ['README.md', 'config.json', 'model.safetensors']"
    one_line(r"anna/closed: not uploaded \(no right\); models/hub/tiny/.* is whole", publish, KEY, "1", "anna/closed")
