"""The one loop, and a run of it from beginning to end."""
