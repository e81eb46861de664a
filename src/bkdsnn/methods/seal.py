"""Selective alignment (SeAl, 2026, arXiv:2605.14252): a wrong time step is not taught what it mixes up."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import logits_kd
from bkdsnn.methods._losses import correct_steps, soft_loss, step_task_loss


class Settings(logits_kd.Settings):
    """The weights of the teacher's aligned logits, and of each step's pull to the other steps."""

    steps_weight: float = Field(ge=0.0)


def aligned_logits(*, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Student's `[T, B, K]` and teacher's `[1, B, K]` logits, both `[T, B, K]`, with wrong steps made even.

    There the student's winner takes the value of the label, and the teacher's values of both the smaller of the two.
    """
    wrong = ~correct_steps(logits=student_logits, labels=labels)[:, :, None]  # [T, B, 1]
    winner = student_logits.argmax(-1, keepdim=True)  # [T, B, 1]
    label = labels[None, :, None].expand_as(winner)
    classes = torch.arange(student_logits.shape[-1], device=labels.device)
    is_winner, is_label = classes == winner, classes == label  # [T, B, K]
    theirs = teacher_logits.expand_as(student_logits)
    smaller = torch.minimum(theirs.gather(-1, winner), theirs.gather(-1, label))
    return (
        torch.where(wrong & is_winner, student_logits.gather(-1, label), student_logits),
        torch.where(wrong & (is_winner | is_label), smaller, theirs),
    )


@torch.no_grad()
def mixed_steps(logits: Tensor) -> Tensor:
    """For every step the mean of the other steps' logits `[T, B, K]`, weighted by confidence times similarity."""
    share = logits.softmax(-1)
    entropy = -(share * (share + 1e-8).log()).sum(-1)  # [T, B]
    confidence = 1 - entropy / torch.tensor(logits.shape[-1], dtype=logits.dtype, device=logits.device).log()
    similarity = F.cosine_similarity(logits[:, None], logits[None], dim=-1)  # [T, T, B]
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)[:, :, None]
    weight = (confidence[None] * similarity).masked_fill(itself, -torch.inf).softmax(1)  # over the other steps
    return torch.einsum("ijb,jbk->ibk", weight, logits)


class Method(logits_kd.Method):
    """The terms `task` (of each step), `logits` (aligned, to the teacher) and `steps` (to the other steps)."""

    task_of_each_step = True
    whole_labels = True

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings, logits = self.settings, student.logits  # [T, B, K]
        ours, theirs = aligned_logits(student_logits=logits, teacher_logits=teacher.logits, labels=labels)
        tau = settings.temperature
        steps = logits.sum() * 0.0  # one step has no others
        if len(logits) > 1:
            steps = soft_loss(student_logits=logits, teacher_logits=mixed_steps(logits), temperature=tau)
        return {
            "task": step_task_loss(logits=logits, labels=labels, label_smoothing=settings.label_smoothing),
            "logits": settings.logits_weight * soft_loss(student_logits=ours, teacher_logits=theirs, temperature=tau),
            "steps": settings.steps_weight * steps,
        }
