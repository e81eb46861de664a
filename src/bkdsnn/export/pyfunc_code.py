"""The code of a registered model, which MLflow stores with it and runs when it is loaded; bkdsnn must be installed."""

from mlflow.models import set_model

from bkdsnn.export.pyfunc import Student

set_model(Student())
