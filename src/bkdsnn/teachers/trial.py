"""A run's first step without its backward, on the meta device, where tensors have shapes and no memory."""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from bkdsnn import plugins
from bkdsnn.build import built_for, make_method
from bkdsnn.contracts import NetOutput
from bkdsnn.data.foreseen import Foreseen
from bkdsnn.data.parts import smallest_part
from bkdsnn.data.views import PACKED, operators
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError, errno_of, is_out_of_memory
from bkdsnn.params.read import FILE
from bkdsnn.params.recipe import Recipe
from bkdsnn.params.schema import Params, Run
from bkdsnn.params.settings import settings_of
from bkdsnn.teachers.activation_map import classifier_behind, with_activation_map
from bkdsnn.teachers.live import kept

_SOME_CLASSES, _SOME_SAMPLES = 10, 2  # where the settings do not say how many


class Trial:
    """Steps of runs on one device, each network once for each size of batch."""

    def __init__(self, params: Params, data: dict[str, Foreseen], *, device: str = "meta") -> None:
        self.params, self.data, self.device = params, data, torch.device(device)
        self._output = cache(self._new_output)

    def attempt(self, where: str, recipe: Recipe, work: Callable[["Trial"], object]) -> None:
        """Does the work; where it fails, again with real numbers, and what then fails is an `InputError`."""
        try:
            self._within(work)
        except Exception:  # a fault, or whatever a kernel raises that has no meta device
            real = Trial(self.params, self.data, device=str(this_device(portable=recipe.portable)))
            try:
                real._within(work)
            except Exception as error:
                if errno_of(error):  # a full disk is no fault of params.yaml
                    raise
                raise InputError(f"{FILE}: {where}: {_reason(error)}") from error

    @torch.no_grad()
    def _within(self, work: Callable[["Trial"], object]) -> None:
        with self.device:
            work(self)

    def learns(self, key: str) -> None:
        """A teacher's first step."""
        teacher = self.params.teachers[key]
        recipe, method = self.params.recipes[teacher.recipe], self.params.methods[teacher.method]
        self.fits(teacher.dataset, recipe)
        output = self._output("teachers", key, teacher.dataset, self._size(teacher.dataset, recipe), recipe.epochs > 0)
        kept(output.features, features=teacher.features)
        size = {"samples": output.logits.shape[1], "classes": self._classes(teacher.dataset)}
        made = make_method(method, method.settings, student=output.feature_shapes(), teacher={}, **size, seed=0)
        self._step(made, output, None, classes=self._classes(teacher.dataset), recipe=recipe)

    def fits(self, key: str, recipe: Recipe) -> None:
        """Whether a recipe's augmentation fits the samples of a data set."""
        dataset = self.params.datasets[key]
        operators(recipe.augmentation, shape=self.data[key].input_shape, mean=dataset.normalise.mean)
        if recipe.augmentation.resized_crop is not None and self.data[key].packed:
            raise InputError(PACKED)

    def student(self, run: Run) -> NetOutput:
        """What a run's student says of the smallest batch."""
        size = self._size(run.dataset, self.params.recipes[run.recipe])
        return self._output("students", run.student, run.dataset, size, self.params.recipes[run.recipe].epochs > 0)

    def learns_from_teacher(self, run: Run) -> None:
        """A run's first step."""
        recipe, output, taught, shapes = self.params.recipes[run.recipe], self.student(run), None, {}
        if run.teacher:
            part, samples = self.params.teachers[run.teacher], output.logits.shape[1]
            taught = self._output("teachers", run.teacher, part.dataset, samples, False)
            taught = taught._replace(features=kept(taught.features, features=part.features))
            shapes = taught.feature_shapes()
        method = self.params.methods[run.method]
        settings = settings_of(run, self.params)
        size = {"samples": output.logits.shape[1], "classes": self._classes(run.dataset)}
        made = make_method(method, settings, student=output.feature_shapes(), teacher=shapes, **size, seed=0)
        self._step(made, output, taught, classes=self._classes(run.dataset), recipe=recipe)

    def _step(
        self, method: nn.Module, student: NetOutput, teacher: NetOutput | None, *, classes: int, recipe: Recipe
    ) -> None:
        if recipe.accumulate > 1 and any(getattr(module, "whole_batch", False) for module in method.modules()):
            raise InputError(
                f"accumulate {recipe.accumulate}: this method, as it is set, looks at all samples of a batch at once"
            )
        samples = student.logits.shape[1]
        labels = torch.zeros(samples, dtype=torch.int64)
        if recipe.augmentation.mixup is not None:
            labels = torch.zeros(samples, classes)
        draws = torch.zeros(samples, dtype=torch.int64)
        if hasattr(method, "begin_step"):
            method.begin_step(index=torch.arange(samples))
        terms = method.train()(student=student, teacher=teacher, labels=labels, draws=draws)
        shapes = {name: tuple(term.shape) for name, term in terms.items()}
        if set(shapes.values()) != {()}:
            raise InputError(f"its terms have shapes {shapes}, wanted scalars")

    def _new_output(self, group: str, part: str, key: str, samples: int, training: bool) -> NetOutput:
        data, classes = self.data[key], self._classes(key)
        network = built_for(
            getattr(self.params, group)[part],
            input_shape=data.input_shape,
            classes=classes,
            normalise=self.params.datasets[key].normalise,
            seed=0,
        )
        try:
            output = network.train(training)(torch.zeros(samples, *data.input_shape))
        except ValueError as error:
            if samples > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                f"an epoch of {data.train or 'its'} samples ends with a batch of 1, or a part of 1 where the recipe "
                "has accumulate, too few for a batch norm that sees maps of 1 x 1: another batch_size, or another split"
            ) from error
        _check_output(output, samples=samples, classes=classes)
        asked = getattr(getattr(self.params, group)[part], "features", [])  # a student is asked for none
        return with_activation_map(output, classifier=classifier_behind(network, features=asked))

    def _classes(self, key: str) -> int:
        return self.data[key].classes or _SOME_CLASSES

    def _size(self, key: str, recipe: Recipe) -> int:
        """The samples of an epoch's smallest batch, or part of one; two real ones tell the same as more."""
        smallest = smallest_part(self.data[key].train or 0, recipe=recipe)
        return smallest if self.device.type == "meta" else min(smallest, _SOME_SAMPLES)


def _check_output(output: NetOutput, *, samples: int, classes: int) -> None:
    """What the rest of the project takes for granted of a network."""
    if not isinstance(output, NetOutput):
        raise InputError(f"its forward gives a {type(output).__name__}, wanted a NetOutput")
    if output.logits.dim() != 3 or output.logits.shape[1:] != (samples, classes):
        shape = tuple(output.logits.shape)
        raise InputError(f"its logits have shape {shape}, wanted (T, {samples}, {classes}) for {samples} samples")
    if "last" not in output.features:
        raise InputError(f"none of its features is called last: {', '.join(output.features) or 'it has none'}")
    for name, feature in output.features.items():
        if feature.dim() not in (3, 5) or feature.shape[1] != samples:
            shape = tuple(feature.shape)
            raise InputError(
                f"its feature '{name}' has shape {shape}, wanted (T, {samples}, C, H, W) or (T, {samples}, C)"
            )


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split()).removeprefix(f"{FILE}: ")[:400]
    if isinstance(error, InputError):
        return said
    if is_out_of_memory(error):
        return f"out of memory ({said})"
    place = plugins.place_of(error)
    return f"{f'{place}: ' if place else ''}{type(error).__name__}: {said}"
