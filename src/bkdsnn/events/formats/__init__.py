"""File formats of event cameras, one file each: `SUFFIX` and `decode(content, *, where) -> Events`.

A format whose files hold more than events has `passed_over(content, *, where) -> int`, which counts the rest. A format
of one camera alone may have a faster way: `SENSOR` and `straight_to_frames`, as `aedat2` has both. One whose header
says the sensor's size has `sensor_of(content, *, where) -> (H, W) | None`, and one that a package of the extra `events`
reads has that one's name, `LIBRARY`.
"""
