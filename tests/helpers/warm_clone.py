"""A clone whose stages and tools begin in a warm Python, without MLflow; `LAUNCH=""` starts stages as users do."""

from warm_python import warm

from bkdsnn.tools import clone


class WarmClone(clone.Clone):
    def dvc(self, *arguments: str, **options) -> str:
        return super().dvc(*arguments, **{**self._quick(), **options})

    def tool(self, name: str, *arguments: str, **options) -> str:
        module = f"bkdsnn.tools.{name}"
        return self.run(*warm(), "python", "-m", module, *arguments, PYTHONPATH="src", **{**self._quick(), **options})

    def _quick(self) -> dict[str, str]:
        return {"LAUNCH": " ".join(warm()), "BKDSNN_TRACKING": "off"}
