"""Damaged input, thousands of times: nothing but an `InputError` may leave a reader (`make fuzz`)."""
