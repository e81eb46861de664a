"""Students and teachers, one file each: `Settings` and `Network(settings, *, input_shape, classes)`.

A network maps inputs to a `NetOutput`, whose features have one called `last`. One that starts from weights of others
has `load_initial_weights()`, which is called before training alone; one whose logits are a linear layer's of the mean
of `last` over space has `classifier_of_mean()`, that layer, of which a teacher's feature `cam` is made.
"""
