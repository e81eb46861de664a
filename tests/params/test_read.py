"""Bad input in params.yaml: one line with the key, the value and what is allowed."""

import copy

import pytest
import yaml

from bkdsnn.errors import InputError
from bkdsnn.params.check import check
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params, load_params


@pytest.fixture(scope="module")
def digits(composed):
    return composed("table=digits")


def edited(params: dict, path: str | None, value: object) -> object:
    if path is None:
        return value
    result = copy.deepcopy(params)
    *parents, last = path.split("/")
    node = result
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return result


BKD, DVS = "methods/bkd/settings", "datasets/digits-dvs/settings"
CASES = {
    "misspelt knob": ("blur_ration", 0.2, "blur_ration: unknown key; did you mean blur_ratio?"),
    "misspelt nested key": ("recipes/digits/epoch", 3, "recipes.digits.epoch: unknown key; did you mean epochs?"),
    "deep misspelt key": ("recipes/digits/optimiser/l", 3, "recipes.digits.optimiser.l: unknown key"),
    "unknown key of a row": ("rows/image-ce/colour", 1, "rows.image-ce.colour: unknown key; allowed: dataset,"),
    "missing key": ("recipes/digits/epochs", ..., "recipes.digits.epochs: missing"),
    "wrong type": ("recipes/digits/epochs", "many", 'recipes.digits.epochs: "many": input should be a valid integer'),
    "text for a number": ("recipes/digits/batch_size", "32", 'recipes.digits.batch_size: "32": input should be'),
    "out of range": ("recipes/digits/epochs", -1, "epochs: -1: input should be greater than or equal to 0"),
    "choice": ("recipes/digits/optimiser/name", "adam", "input should be 'adamw' or 'sgd'"),
    "bad key": ("rows/A.b", {}, "a key is made of a-z, 0-9, _ and -"),
    "no key": ("rows/", {}, 'rows.: "": a key is made of'),
    "upper case, which some file systems take for lower": ("rows/Image-ce", {}, 'rows.Image-ce: "Image-ce": a key is'),
    "a key for which no file can be called": (
        "rows/" + "x" * 260,
        {},
        "xxx...: a key is made of a-z, 0-9, _ and -, of 1",
    ),
    "a large seed": ("seeds", [2**63], "seeds.0: 9223372036854775808: input should be less than 9223372036854775808"),
    "words of timm": (
        "recipes/digits/augmentation/rand_augment",
        "auto",
        '"auto": timm\'s words are such as rand-m9-',
    ),
    "a mapping for a number": (
        "recipes/digits/epochs",
        {"a": 1},
        "epochs: a mapping: input should be a valid integer",
    ),
    "no seeds": ("seeds", [], "seeds: []: list should have at least 1 item"),
    "method setting out of range": (f"{BKD}/blur_ratio", 1.5, "blur_ratio: 1.5: input should be less than 1"),
    "method setting unknown": (f"{BKD}/alpha", 1.0, "methods.bkd.settings.alpha: unknown key; allowed: label_"),
    "network setting": ("students/sew-dvs/settings/widths", [16, "x"], 'students.sew-dvs.settings.widths.1: "x"'),
    "neuron setting": (
        "students/sew-dvs/settings/neuron/tau",
        0.5,
        "settings.neuron.tau: 0.5: input should be greater",
    ),
    "camera": ("datasets/digits-dvs/settings/camera/sensor", 300, "settings.camera.sensor: 300: input should be less"),
    "unknown network": ("students/sew-digits/network", "vgg", "unknown network 'vgg': there are resnet, sew_resnet"),
    "unknown source": (
        "datasets/digits/source",
        "mnist",
        "unknown source 'mnist': there are cifar, cifar10_dvs, cifar10_dvs_tonic, digits, digits_dvs",
    ),
    "missing teacher": ("runs/image-bkd-s0/teacher", "vit", "runs.image-bkd-s0.teacher: 'vit' is missing; there are"),
    "row's missing recipe": ("rows/image-ce/recipe", "long", "rows.image-ce.recipe: 'long' is missing; there are"),
    "teacher of other data": ("runs/dvs-bkd-s1/teacher", "resnet-digits", "'resnet-digits' learns 'digits', the run"),
    "teacher by kd": ("teachers/resnet-digits/method", "bkd", "it needs a teacher, which none has"),
    "unkept feature": (
        f"{BKD}/features",
        {"last": "stage1"},
        "'stage1' is not among the features that teachers.resnet",
    ),
    "several features of kdsnn": (
        "methods/bkd/settings/features",
        {},
        "features: {}: dictionary should have at least 1",
    ),
    "row's teacher gone": ("rows/image-bkd/teacher", None, "runs.image-bkd-s0.teacher: 'resnet-digits', but its row"),
    "widths for other stages": ("students/sew-dvs/settings/widths", [16], "1 widths for 3 stages"),
    "more std than mean": ("datasets/digits/normalise/std", [0.3, 0.3], "mean has 1 channels, std has 2"),
    "infinite": ("recipes/digits/optimiser/lr", float("inf"), "lr: Infinity: input should be a finite number"),
    "warm-up without end": ("recipes/digits/schedule/warmup_epochs", 99, "warmup_epochs 99 leave nothing of 20 epochs"),
    "min above lr": ("recipes/digits/schedule/min_lr", 1.0, "min_lr 1.0 is above lr 0.005"),
    "a seed twice": ("seeds", [0, 1, 1, 2], "seeds: [0, 1, 1, 2]: each once"),
    "duration that is not used": (f"{DVS}/frames/duration_us", 9, "duration_us goes with split_by: duration"),
    "frames and steps": (f"{DVS}/frames/time_steps", 2, "has time_steps 4, data set 'digits-dvs' has 2 frames"),
    "knob by hand": (
        "blur_ratio",
        0.2,
        "blur_ratio: 0.2 has no effect, the runs have 0.15: it was edited by hand (use `dvc exp run -S table=digits "
        "-S blur_ratio=0.2`)",
    ),
    "T by hand": ("time_steps", 8, "time_steps: 8 has no effect, the runs have 4"),
    "precision by hand": ("precision", "bf16-mixed", "precision: bf16-mixed has no effect, the runs have 32-true"),
    "seeds by hand": ("seeds", [0, 1], "seeds [0, 1] and the rows ask for other runs than there are"),
    "table by hand": ("table", "digits-blur", "table: 'digits-blur', but the runs are those of digits"),
    "another table's runs by hand": ("same_runs_as", "tiny", "same_runs_as: 'tiny', but the runs are those of digits"),
    "place of runs by hand": ("runs_table", "tiny", "table: 'digits', but the runs are those of tiny"),
    "a gain over no row": ("rows/image-bkd/over", "image-bk", "rows.image-bkd.over: 'image-bk' is missing; there are"),
    "a gain over itself": ("rows/image-bkd/over", "image-bkd", "over: 'image-bkd': wanted another row, or null (the"),
    "a gain on other data": (
        "rows/image-bkd/over",
        "dvs-bkd",
        "over: 'dvs-bkd' has the data set 'digits-dvs', the row 'digits': their accuracies are not of the same samples",
    ),
    "row by hand": ("rows/image-bkd/method", "mixed", "runs.image-bkd-s0.method: 'bkd', but its row makes it 'mixed'"),
    "run by hand": ("runs/image-bkd-s1/seed", 7, "runs.image-bkd-s1.seed: 7, but its row makes it 1"),
    "path by hand": ("runs/image-bkd-s1/teacher_path", "models", "runs.image-bkd-s1.teacher_path: 'models', but"),
    "unknown dtype of a cache": (
        "recipes/digits/cache/dtype",
        "int8",
        "recipes.digits.cache.dtype: \"int8\": input should be 'float32', 'float16' or 'bfloat16'",
    ),
    "cache by hand": ("recipes/digits/cache/enabled", False, "makes it 'models/teachers/resnet-digits'"),
    "a list": (None, [1], "the whole file: [1]: input should be an object"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_params_are_told_in_one_line(digits, case):
    path, value, expected = CASES[case]
    with pytest.raises(InputError) as told:
        check(validated(Params, edited(digits, path, value), where=""))
    assert str(told.value).startswith("params.yaml: ")
    assert expected in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{BKD}/feature_weight", 0.5),
        ("recipes/digits/epochs", 3),
        ("runs/image-bkd-s0/method_settings", {"blur_ratio": 0.5}),
        ("title", "2024-01-01"),
    ],
)
def test_values_edited_by_hand_where_they_take_effect_are_honoured(digits, path, value):
    check(validated(Params, edited(digits, path, value), where=""))


def test_a_teacher_and_a_run_have_no_results_in_one_place(digits):
    bad = edited(digits, "teachers/image-ce-s0", digits["teachers"]["resnet-digits"])
    with pytest.raises(InputError, match="teachers.image-ce-s0: a run is called so too"):
        check(validated(Params, bad, where=""))


def test_of_a_misspelt_key_the_misspelt_word_is_told_and_not_what_is_missing(digits):
    bad = edited(digits, "blur_ration", 0.2)
    del bad["blur_ratio"]
    with pytest.raises(InputError, match=r"^params.yaml: blur_ration: unknown key; did you mean blur_ratio\? .*1 more"):
        validated(Params, bad, where="")


def test_what_a_mapping_holds_is_not_told(digits):
    bad = edited(digits, "recipes/digits/schedule/warmup_epochs", 99)
    with pytest.raises(InputError) as told:
        validated(Params, bad, where="")
    assert str(told.value) == "params.yaml: recipes.digits: warmup_epochs 99 leave nothing of 20 epochs"


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "1.0e-3", ".1e-2", "+1e-3", "0.001", "1.e-3"])
def test_numbers_are_read_as_dvc_reads_them(digits, tmp_path, written):
    text = yaml.safe_dump(edited(digits, "recipes/digits/optimiser/lr", 0.54321))
    assert "0.54321" in text
    (tmp_path / "params.yaml").write_text(text.replace("0.54321", written))
    assert load_params(tmp_path / "params.yaml").recipes["digits"].optimiser.lr == 0.001


@pytest.mark.parametrize("text", ["", "# nothing but this\n"])
def test_an_empty_file_is_told_with_how_to_get_it_back(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=r"params.yaml: empty: `git checkout .*params.yaml` brings"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"model": "timm/vit_tiny_patch16_224"},
            "model: .*: wanted timm's ARCHITECTURE or ARCHITECTURE.TAG, hf-hub:USER/NAME or local-dir:FOLDER",
        ),
        ({"weights_sha256": "f37072fd"}, 'weights_sha256: "f37072fd": a SHA-256 has 64 digits, 0-9 and a-f'),
    ],
)
def test_every_pattern_says_what_it_wants(composed, changes, expected):
    content = composed("table=tiny")
    content["teachers"]["vit-digits"]["settings"] |= changes
    with pytest.raises(InputError, match=f"teachers.vit-digits.settings.{expected}"):
        check(validated(Params, content, where=""))


def test_unreadable_yaml_is_told_in_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: [1,\nb: 2")
    with pytest.raises(InputError, match="no readable YAML") as told:
        load_params(path)
    assert "\n" not in str(told.value)


def test_several_errors_are_counted(digits):
    bad = edited(edited(digits, "recipes/digits/epochs", -1), "recipes/digits/batch_size", 0)
    with pytest.raises(InputError, match=r"\(and 1 more\)$"):
        validated(Params, bad, where="")


def test_a_student_has_to_learn_but_a_teacher_may_come_as_it_is(digits):
    bad = edited(edited(digits, "recipes/digits/epochs", 0), "recipes/digits/schedule/warmup_epochs", 0)
    with pytest.raises(InputError, match="recipes.digits.epochs: 0, but rows.image-ce has a student"):
        check(validated(Params, bad, where=""))
    good = edited(digits, "recipes/still", bad["recipes"]["digits"])
    check(validated(Params, edited(good, "teachers/resnet-digits/recipe", "still"), where=""))


def test_a_method_without_the_teacher_it_needs_is_refused(composed):
    content = composed("rows.image-bkd.teacher=null")
    with pytest.raises(InputError, match="rows.image-bkd.teacher: null, but the method 'bkd' needs one"):
        check(validated(Params, content, where=""))


@pytest.mark.parametrize("method", ["twsnn", "seal", "tks"])
def test_a_method_that_asks_which_steps_are_right_is_refused_where_samples_are_mixed(composed, method):
    content = composed("table=digits-methods")
    row = f"image-{method}"
    content["runs"] = dict(sorted(content["runs"].items(), key=lambda item: item[1]["row"] != row))  # looked at first
    mixup = {"mixup_alpha": 0.5, "cutmix_alpha": None, "switch_probability": 0.0, "probability": 1.0, "off_epoch": None}
    bad = edited(content, "recipes/digits/augmentation/mixup", mixup)
    with pytest.raises(InputError, match=f"rows.{row}.recipe: 'digits' mixes samples, but '{method}' asks") as told:
        check(validated(Params, bad, where=""))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (
            {"methods/bkd/role": "baseline"},
            "params.yaml: methods.bkd.role: baseline, as is methods.ce's: gains are over one of them",
        ),
        (
            {"rows/image-bkd/method": "ce"},
            "params.yaml: rows.image-bkd: a second baseline beside rows.image-ce, of the same dataset, student and "
            "recipe: gains are over one of them",
        ),
    ],
    ids=["methods", "rows"],
)
def test_a_table_that_names_two_baselines_is_refused(digits, edits, expected):
    content = digits
    for path, value in edits.items():
        content = edited(content, path, value)
    with pytest.raises(InputError) as told:
        check(validated(Params, content, where=""))
    assert str(told.value) == expected


@pytest.mark.parametrize("method", ["nld", "ckdsnn"])
def test_noise_below_none_is_refused(composed, method):
    bad = edited(composed("table=digits-methods"), f"methods/{method}/settings/noise", -0.1)
    with pytest.raises(InputError) as told:
        check(validated(Params, bad, where=""))
    assert str(told.value) == (
        f"params.yaml: methods.{method}.settings.noise: -0.1: input should be greater than or equal to 0"
    )


def test_a_teacher_may_see_more_frames_of_the_same_recordings_alone(composed):
    content = composed("table=tiny")
    check(validated(Params, content, where=""))
    with pytest.raises(InputError, match="they may differ in frames.time_steps alone"):
        check(validated(Params, edited(content, "datasets/digits-dvs-16/settings/record_seed", 1), where=""))
    with pytest.raises(InputError, match="teachers.sew-dvs-16 has time_steps 8, data set 'digits-dvs-16' has 16"):
        check(validated(Params, edited(content, "teachers/sew-dvs-16/settings/time_steps", 8), where=""))


def test_the_table_that_fixes_blur_ratio_says_so(composed):
    content = composed("table=digits-blur", "blur_ratio=0.2")
    with pytest.raises(InputError, match="or this table fixes it row by row"):
        check(validated(Params, content, where=""))


def test_a_stage_key_that_is_not_there_is_told_with_those_that_are(digits):
    with pytest.raises(InputError, match="teachers.vit: there is none; there are resnet-digits, resnet-dvs"):
        validated(Params, digits, where="").entry("teachers", "vit")


@pytest.mark.parametrize(("plain", "value"), [("no", "no"), ("on", "on"), ("1:30", "1:30"), ("y", "y")])
def test_words_that_yaml_1_1_takes_for_others_are_read_as_dvc_writes_them(tmp_path, digits, plain, value):
    text = yaml.safe_dump(digits, sort_keys=False).replace(f"title: {digits['title']}", f"title: {plain}")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").title == value


def test_a_number_that_yaml_1_1_reads_by_eights_is_none(tmp_path, digits):
    text = yaml.safe_dump(digits, sort_keys=False).replace("batch_size: ", "batch_size: 0", 1)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=r"batch_size: .*: input should be a valid integer"):
        load_params(tmp_path / "params.yaml")
