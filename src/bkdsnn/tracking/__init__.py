"""MLflow, and what is measured for it; nothing here is hashed."""
