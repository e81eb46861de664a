"""What the figures are drawn from: maps, Grad-CAM and the spread of a feature, on networks known by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.evaluation.feature_maps import SPREAD_VALUES, feature_maps, grad_cam


class Known(nn.Module):
    """Its feature is the input, seen at T steps; class k's logit is the mean of channel k times `weights[k]`."""

    def __init__(self, *weights: float, layout: str) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))
        self.layout = layout

    def forward(self, inputs):
        x = inputs * self.weights.abs().sum() / self.weights.abs().sum().detach()  # on the path, value unchanged
        if self.layout == "vector":
            return NetOutput(logits=x.mean((2, 3))[None], features={"last": x.mean((2, 3))[None]})
        feature = x.unsqueeze(0)
        if self.layout == "NHWC":  # a library's own order; the feature is a view beside the path
            x = x.permute(0, 2, 3, 1).contiguous()
            feature, x = x.permute(0, 3, 1, 2).unsqueeze(0), x.permute(0, 3, 1, 2)
        elif self.layout == "on the path":
            x = feature[0]
        return NetOutput(logits=(x.mean((2, 3)) * self.weights)[None], features={"last": feature})


def batch(inputs: torch.Tensor, labels: list[int], first: int = 0) -> Batch:
    index = torch.arange(first, first + len(labels))
    return Batch(inputs=inputs, labels=torch.tensor(labels), index=index, draws=None, view=0)


def test_grad_cam_by_hand():
    feature = torch.tensor([[1.0, 2.0], [3.0, 0.0]]).view(1, 1, 2, 1, 2)
    gradient = torch.tensor([[2.0, 0.0], [-1.0, -1.0]]).view(1, 1, 2, 1, 2)
    # channel weights 1 and -1: 1 - 3 = -2 is cut off, 2 - 0 = 2 stays
    assert grad_cam(feature=feature, gradient=gradient).tolist() == [[[0.0, 2.0]]]
    two = grad_cam(feature=torch.cat([feature, 0 * feature]), gradient=torch.cat([gradient, gradient]))
    assert two.tolist() == [[[0.0, 1.0]]], "the mean over time"


@pytest.mark.parametrize("layout", ["on the path", "beside it", "NHWC"])
def test_maps_of_the_first_sample_of_each_class(layout):
    inputs = torch.arange(24.0).view(4, 2, 1, 3)
    found = feature_maps(Known(2.0, -3.0, layout=layout), [batch(inputs, [1, 1, 0, 0])], classes=[0, 1])
    assert found.samples.tolist() == [2, 0]
    assert found.maps.tolist() == [[[13.5, 14.5, 15.5]], [[1.5, 2.5, 3.5]]]
    # class 0: weight 2 / 3 places on channel 0 (12, 13, 14); class 1 counts against its channel: nothing is left
    assert found.grad_cam[0, 0] == pytest.approx([8.0, 26 / 3, 28 / 3])
    assert found.grad_cam[1, 0].tolist() == [0.0, 0.0, 0.0]


def test_a_vector_has_no_maps_but_a_spread():
    inputs = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    found = feature_maps(Known(1.0, layout="vector"), [batch(inputs, [0, 0])], classes=[0])
    assert found.maps.shape == found.grad_cam.shape == (0, 1, 1)
    assert found.spread.tolist() == [1.0] * (SPREAD_VALUES // 2) + [3.0] * (SPREAD_VALUES // 2)


def test_the_spread_is_of_the_first_256_samples_however_they_are_cut():
    inputs = torch.arange(400.0).view(400, 1, 1, 1)
    batches = [batch(inputs[:100], [0] * 100), batch(inputs[100:], [0] * 300, first=100)]
    found = feature_maps(Known(1.0, layout="on the path"), batches, classes=[0])
    assert found.spread.dtype == np.float32
    assert found.spread.tolist() == [value for value in range(256) for _ in range(2)]
