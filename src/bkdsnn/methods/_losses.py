"""What methods have in common: the task's loss, distances of logits and of features, and the layers between them."""

from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError


def task_loss(*, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of the logits' mean over time, `[T, B, K]`, with labels `[B]` or `[B, K]`: a scalar."""
    return F.cross_entropy(logits.mean(0), labels, label_smoothing=label_smoothing)  # [B, K]


def step_task_loss(*, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of every time step's own logits `[T, B, K]` with labels `[B]` or `[B, K]`, their mean: a scalar."""
    steps = labels.expand(len(logits), *labels.shape).flatten(0, 1)  # [T * B] or [T * B, K]
    return F.cross_entropy(logits.flatten(0, 1), steps, label_smoothing=label_smoothing)


def soft_loss(*, student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """temperature^2 * KL(teacher, student) of softened logits `[..., K]`, mean over samples and steps: a scalar.

    Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
    """
    ours = F.log_softmax(student_logits / temperature, dim=-1)
    theirs = F.log_softmax(teacher_logits / temperature, dim=-1).expand_as(ours)
    return temperature**2 * F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean()


def correct_steps(*, logits: Tensor, labels: Tensor) -> Tensor:
    """Which time steps' own logits `[T, B, K]` say the label `[B]`: bool `[T, B]`; `InputError` for mixed labels."""
    if labels.dim() != 1:
        raise InputError("this method looks at which steps are right: it needs whole labels, so no mixup or cutmix")
    return logits.argmax(-1) == labels


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
