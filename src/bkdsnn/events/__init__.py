"""Event recordings: files, frames and a simulated camera."""
