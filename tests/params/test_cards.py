"""A run's card changes with what can change its numbers, and with nothing else."""

import pytest

from bkdsnn.params import cards
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params


@pytest.fixture
def content(composed):
    return composed("table=tiny")


FILE = {"weights": "a.pth", "weights_sha256": "ab" * 32, "layout": "official"}


def hashes(content, key="image-bkd-s0", teacher="resnet-digits"):
    params = validated(Params, content, where="")
    return cards.sha256_of(cards.of_run(params, key)), cards.sha256_of(cards.of_teacher(params, teacher))


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        (("runs", "image-bkd-s0", "method_settings"), {"blur_ratio": 0.3}, (True, False)),
        (("methods", "bkd", "settings", "feature_weight"), 0.5, (True, False)),
        (("students", "sew-digits", "settings", "stem_stride"), 1, (True, False)),
        (("recipes", "digits", "epochs"), 3, (True, True)),
        (("recipes", "digits", "cache", "dtype"), "float16", (True, False)),
        (("recipes", "digits", "cache", "enabled"), False, (False, False)),
        (("teachers", "resnet-digits", "settings", "stem_stride"), 1, (True, True)),
        (("teachers", "resnet-digits", "features"), ["stage1"], (True, True)),
        (("teachers", "resnet-digits", "seed"), 7, (False, True)),  # the student's results carry its weights' hash
        (("runs", "image-ce-s0", "method_settings"), {"label_smoothing": 0.1}, (False, False)),
        (("rows", "image-bkd", "published"), {"value": 1.0, "source": "x", "grade": "M"}, (False, False)),
        (("title",), "another", (False, False)),
        (("recipes", "digits", "accumulate"), 2, (True, True)),
    ],
)
def test_what_changes_it(content, path, value, changed):
    before = hashes(content)
    place = content
    for name in path[:-1]:
        place = place[name]
    assert place.get(path[-1]) != value
    place[path[-1]] = value
    after = hashes(content)
    assert tuple(old != new for old, new in zip(before, after, strict=True)) == changed


def test_weights_are_on_the_card_of_a_part_that_names_them_and_on_no_other(content):
    before = hashes(content)
    plain = cards.of_run(validated(Params, content, where=""), "image-bkd-s0")["student"]
    assert set(plain) == {"network", "settings"}, "as it was before a part could name any"
    content["students"]["sew-digits"] |= FILE
    params = validated(Params, content, where="")
    assert cards.of_run(params, "image-bkd-s0")["student"] == {**plain, **FILE}
    assert hashes(content)[0] != before[0]
    assert hashes(content)[1] == before[1]
    again = {**FILE, "weights_sha256": "cd" * 32}
    content["students"]["sew-digits"] |= again
    assert cards.of_run(validated(Params, content, where=""), "image-bkd-s0")["student"] == {**plain, **again}


def test_a_setting_that_came_later_is_on_no_card_at_its_default(content):
    crop = {"scale": [0.1, 1.0], "ratio": [0.75, 1.5], "interpolation": "bilinear"}
    content["recipes"]["digits"]["augmentation"] |= {"resized_crop": crop}
    card = cards.of_run(validated(Params, content, where=""), "image-bkd-s0")
    assert not {"accumulate", "teacher_precision"} & card["recipe"].keys()
    assert card["recipe"]["batch_size"] == 32
    assert card["recipe"]["augmentation"]["resized_crop"] == crop


def test_the_precision_of_a_teacher_is_on_the_cards_of_what_it_teaches_live_or_cached(content):
    before, caches = hashes(content), cached(content)
    content["recipes"]["digits"] |= {"teacher_precision": "bf16-mixed", "portable": False}
    plain = {**content["recipes"]["digits"], "teacher_precision": "32-true"}
    after, precise = hashes(content), cached(content)
    content["recipes"]["digits"] = plain
    unportable = hashes(content)
    assert after[0] != unportable[0] != before[0]
    assert after[1] == unportable[1]
    assert cached(content) != precise != caches


def cached(content):
    params = validated(Params, content, where="")
    return {key: cards.sha256_of(cards.of_cache(params, key)) for key in params.caches}
