"""What methods have in common: the task's loss, the distance of two features, and the layers between them."""

from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError


def task_loss(*, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of the logits' mean over time, `[T, B, K]`, with labels `[B]` or `[B, K]`: a scalar."""
    return F.cross_entropy(logits.mean(0), labels, label_smoothing=label_smoothing)  # [B, K]


def feature_loss(*, prediction: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences divided by B, a scalar.

    prediction: a map `[B, C, H, W]`; where the target is a vector `[B, C]` its mean over space is compared.
    """
    if target.dim() == 2:
        prediction = prediction.mean(dim=(2, 3))  # [B, C]
    return F.mse_loss(prediction, target, reduction="sum") / len(target)  # in float32, also under autocast


def paired_shapes(
    features: dict[str, str], *, student: dict[str, Shape], teacher: dict[str, Shape]
) -> list[tuple[Shape, Shape]]:
    """The shapes of each pair (student's, teacher's); `InputError` where one is missing or they cannot be compared."""
    pairs = []
    for ours, theirs in features.items():
        for role, name, shapes in (("student", ours, student), ("teacher", theirs, teacher)):
            if name not in shapes:
                raise InputError(f"feature '{name}': the {role} has {', '.join(shapes) or 'none'}")
        pair = student[ours], teacher[theirs]
        if len(pair[0]) != 3:
            raise InputError(f"feature '{ours}': the student's has shape {pair[0]}, wanted a map (C, H, W)")
        if len(pair[1]) == 3 and pair[0][1:] != pair[1][1:]:
            raise InputError(
                f"feature '{ours}': student {pair[0]}, teacher '{theirs}' {pair[1]} (C, H, W): H and W must agree"
            )
        pairs.append(pair)
    return pairs


def align_layer(source: Shape, target: Shape) -> nn.Module:
    """A 1x1 convolution between the channels of two features, only where they differ."""
    return nn.Identity() if source[0] == target[0] else nn.Conv2d(source[0], target[0], 1)
