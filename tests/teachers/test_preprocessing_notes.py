"""Where a teacher gets other images than its weights were made with, check_params says so."""

import pytest

from bkdsnn.params import cards
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.teachers.preprocessing import preprocessing_notes
from bkdsnn.tools.parts import composed

VIT = "teachers.vit-base-imagenet.settings"


def params_of(table: str, *overrides: str) -> Params:
    return validated(Params, composed(f"table={table}", *overrides), where="")


def test_the_papers_vits_are_told_and_its_resnets_get_what_they_were_made_with():
    notes = preprocessing_notes(params_of("imagenet"))
    assert notes == [
        f"teachers.{key}: vit_base_patch16_224.{tag} was made with mean 0.5, std 0.5, here the data set's "
        "0.485/0.456/0.406, std 0.229/0.224/0.225 (settings.normalise: own takes the weights'); "
        "the central 0.9 of an image, here 1"
        for key, tag in (
            ("vit-base-imagenet", "augreg_in21k_ft_in1k"),
            ("vit-base-orig-imagenet", "orig_in21k_ft_in1k"),
        )
    ]


def test_what_a_teacher_gets_as_its_weights_were_made_is_not_told():
    changes = [f"+{VIT}.normalise=own", "datasets.imagenet-spikingformer.settings.picture.resize=249"]
    assert [note.split(":")[0] for note in preprocessing_notes(params_of("imagenet", *changes))] == [
        "teachers.vit-base-orig-imagenet"
    ]


def test_inputs_that_the_teacher_resizes_are_told_with_its_interpolation():
    (note,) = preprocessing_notes(params_of("cifar100"))
    assert "; bicubic interpolation, here bilinear; the central 0.9 of an image, here 1" in note


@pytest.mark.parametrize("table", ["tiny", "cifar10-dvs"])
def test_teachers_that_start_at_random_are_not_told(table):
    assert preprocessing_notes(params_of(table)) == []


def test_its_normalisation_is_on_a_card_where_it_is_not_the_data_sets():
    plain, own = params_of("imagenet"), params_of("imagenet", f"+{VIT}.normalise=own")
    changed = {place for place, card in cards.all_cards(own).items() if card != cards.all_cards(plain)[place]}
    rows = {f"spikingformer-8-{width}-{method}-s0" for width in (384, 512, 768) for method in ("bkd", "mixed")}
    caches = {place for place in changed if place[0] == "caches"}
    assert changed - caches == {("teachers", "vit-base-imagenet"), *(("runs", row) for row in rows)}
    assert all(key.startswith("vit-base-imagenet-") for _, key in caches)
