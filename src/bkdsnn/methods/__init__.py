"""Methods, one file each: `Settings`, a pure formula, and `Method(settings, *, student, teacher)`.

`student` and `teacher` are the shapes `(C, H, W)` or `(C,)` of the features by name; a method's `forward(*, student,
teacher, labels, draws)` takes two `NetOutput`s and returns its loss terms by name, scalar and weighted, whose sum is
minimised. A method that says `needs_teacher = True` is refused in a row without teacher, one that says `whole_labels =
True` where samples are mixed, one that says `whole_batch = True` (its loss is no mean over samples) where batches go
through in parts; one that has `begin_training(*, samples, classes)`, `begin_epoch(epoch, *, epochs)` or
`begin_step(*, index)` is told of each. `task_of_each_step = True`: its task is the mean of each time step's loss, not
the loss of the mean.
"""
