"""The names of MLflow's parameters: short and the same in every run."""

from bkdsnn.tracking.names import NOT_USED, named

STUDENT = {
    "run": {"table": "digits", "row": "image-bkd", "seed": 1, "dataset": "digits", "student": "sew-digits"}
    | {"teacher": "resnet-digits", "recipe": "digits"},
    "student": {"network": "sew_resnet", "settings": {"time_steps": 4, "neuron": {"kind": "if", "tau": 2.0}}},
    "method": {"name": "bkd", "blur_ratio": 0.15, "feature_weight": 0.5, "restore": True, "blurred": "student"},
    "recipe": {"epochs": 20, "batch_size": 32, "precision": "32-true", "optimiser": {"lr": 0.002, "name": "adamw"}},
    "sha256": {"data": "d", "teacher": "t"},
}
TEACHER = {
    "teacher": {"network": "resnet", "settings": {"widths": [4]}, "dataset": "digits", "method": "ce"}
    | {"recipe": "digits", "seed": 0, "features": ["last"]},
    "recipe": STUDENT["recipe"],
    "sha256": {"data": "d"},
}


def test_a_student_has_each_value_once_short_where_it_is_compared():
    assert named(STUDENT) == {
        **{"table": "digits", "row": "image-bkd", "seed": 1, "dataset": "digits", "student": "sew-digits"},
        **{"teacher": "resnet-digits", "network": "sew_resnet", "method": "bkd", "recipe": "digits"},
        **{"time_steps": 4, "neuron": "if", "blur_ratio": 0.15, "feature_weight": 0.5, "restore": True},
        **{"logits_weight": NOT_USED, "temperature": NOT_USED},
        **{"epochs": 20, "batch_size": 32, "lr": 0.002, "precision": "32-true"},
        **{"student.settings.neuron.tau": 2.0, "method.blurred": "student", "recipe.optimiser.name": "adamw"},
        **{"sha256.data": "d", "sha256.teacher": "t"},
    }


def test_a_teacher_has_the_same_short_names():
    teacher, student = named(TEACHER), named(STUDENT)
    short = [name for name in student if "." not in name]
    assert [name for name in teacher if "." not in name] == short
    assert {name: teacher[name] for name in ("network", "dataset", "method", "seed", "blur_ratio", "row")} == {
        **{"network": "resnet", "dataset": "digits", "method": "ce", "seed": 0},
        **{"blur_ratio": NOT_USED, "row": NOT_USED},
    }


def test_what_is_null_is_not_used():
    assert named({"run": {"teacher": None}})["teacher"] == NOT_USED
