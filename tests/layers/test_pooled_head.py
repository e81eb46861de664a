"""Which models of other libraries have a classifier that is linear in the mean of their last map."""

import pytest
import torch
from torch.nn import functional as F

from bkdsnn import plugins
from bkdsnn.errors import InputError

COMMON = {"tokens": "mean", "input_size": None, "interpolation": "bilinear", "weights": None, "weights_sha256": None}
COMMON["new_head"] = False


def network(model: str | int, last: str | None, **options) -> torch.nn.Module:
    """torchvision's ResNet of that depth, or timm's model of that name."""
    kind = "timm_model" if isinstance(model, str) else "torchvision_resnet"
    module = plugins.load("network", kind)
    own = {"model": model, "options": options} if isinstance(model, str) else {"depth": model}
    torch.manual_seed(0)
    return module.Network(
        module.Settings(**COMMON, **own, taps=last and {"last": last}), input_shape=(3, 32, 32), classes=5
    )


LINEAR = [(18, "layer4"), (50, "layer4"), ("resnet18", "layer4"), ("efficientnet_lite0", "bn2"), ("regnetx_002", "s4")]
LINEAR += [("swin_tiny_patch4_window7_224", "norm"), ("resnet18", None)]


@pytest.mark.parametrize(("model", "last"), LINEAR)
def test_the_logits_are_the_linear_layers_of_the_mean_of_the_last_map(model, last):
    options = {"img_size": 32, "window_size": 1} if str(model).startswith("swin") else {}
    made = network(model, last, **options).train()
    classifier = made.classifier_of_mean()
    assert made.training
    output = made.eval()(torch.randn(2, 3, 32, 32))
    mean = output.features["last"].mean((3, 4))
    assert torch.allclose(F.linear(mean, classifier.weight, classifier.bias), output.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "last", "between"),
    [
        ("convnext_atto", "stages", "head.global_pool.flatten, head.norm, head.flatten"),
        ("efficientnet_lite0", "conv_head", "bn2.drop, bn2.act, global_pool.pool"),
        ("vit_tiny_patch16_224", "norm", "fc_norm, head_drop, head"),
        ("resnet18", "fc", "lie no modules"),
    ],
)
def test_of_others_it_is_told_what_lies_between(model, last, between):
    options = {"img_size": 32} if model.startswith("vit") else {}
    with pytest.raises(InputError, match="needs a linear classifier of the mean of the map 'last'; between") as told:
        network(model, last, **options).classifier_of_mean()
    assert between in str(told.value)
