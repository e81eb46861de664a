"""How a student leaves the project."""
