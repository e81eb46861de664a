"""The one exception that a user's mistake raises."""


class InputError(Exception):
    """A mistake in what the user gave us, told in one line: what is wrong, where, what is allowed."""
