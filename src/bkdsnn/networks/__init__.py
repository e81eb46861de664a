"""Students and teachers, one file each: `Settings` and `Network(settings, *, input_shape, classes)`.

A network maps inputs to a `NetOutput`, whose features have one called `last`. One that starts from weights of others
has `load_initial_weights()`, which is called before training alone; one whose inputs may have to be normalised anew has
`normalised_by(normalise)`, which is told how the data set's are. One that others have published too may have
`LAYOUTS`: by name, tables of what they call its modules (`layers.layouts`). One whose logits are a linear layer's of
the mean of `last` over space has `classifier_of_mean()`, that layer, of which a teacher's feature `cam` is made.
"""
