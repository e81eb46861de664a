"""What MLflow calls: a student as a `PythonModel` that maps normalised inputs to logits."""

from pathlib import Path

import numpy as np
import torch
from mlflow.pyfunc import PythonModel, PythonModelContext

from bkdsnn.export.student import REGISTERED, read_student


class Student(PythonModel):
    """Reads the student's folder, which says by hash what its weights are, when the model is loaded."""

    def load_context(self, context: PythonModelContext) -> None:
        self.network = read_student(Path(context.artifacts["student"]), REGISTERED)

    def predict(self, context: PythonModelContext, model_input: np.ndarray, params: dict | None = None) -> np.ndarray:
        """Logits `[B, K]`, their mean over time, of inputs `[B, ...]` normalised as the card says."""
        with torch.inference_mode():
            return self.network(torch.as_tensor(model_input)).logits.mean(0).numpy()
