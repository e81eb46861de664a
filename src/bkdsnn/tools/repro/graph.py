"""The stages of dvc.yaml as DVC sees them: what needs what, and which are to be run."""

from collections.abc import Iterable
from dataclasses import dataclass

ALWAYS_RUN = "fingerprint_raw"  # it writes the same where no published file has changed


@dataclass(frozen=True)
class Graph:
    """needs: by stage, the stages whose outputs it reads; stages come after those that they need."""

    needs: dict[str, set[str]]

    @classmethod
    def read(cls, repo) -> "Graph":
        """The graph of a `dvc.repo.Repo`, in the order in which a plain `dvc repro` runs it."""
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        graph = get_active_graph(repo.index.graph)  # from a stage to those it needs
        ordered = plan_repro(graph, collect_stages(repo, ["dvc.yaml"]))
        return cls({stage.addressing: {need.addressing for need in graph.successors(stage)} for stage in ordered})

    def with_dependants(self, changed: set[str]) -> list[str]:
        """The stages that have changed and those that may have to run after them, in order."""
        chosen: set[str] = set()
        for stage, needs in self.needs.items():
            if stage in changed or needs & chosen:
                chosen.add(stage)
        return [stage for stage in self.needs if stage in chosen]

    def dependants(self, stage: str) -> set[str]:
        """The stages that need a stage, directly or not."""
        return set(self.with_dependants({stage})) - {stage}

    def needed(self, stages: Iterable[str], missing: set[str]) -> list[str]:
        """The stages whose outputs are missing and that others need, directly or through such stages, in order."""
        wanted = set(stages)
        for stage in reversed(self.needs):
            if stage in wanted:
                wanted |= self._reads(stage) & missing
        return [stage for stage in self.needs if stage in wanted.difference(stages)]

    def _reads(self, stage: str) -> set[str]:
        """Figures also show data, of which dvc.yaml says nothing there, as evaluations need them before."""
        data = {other for other in self.needs if other.startswith("prepare_data@")}
        return self.needs[stage] | (data if stage.startswith("build_tables@") else set())


@dataclass(frozen=True)
class Work:
    """changed: stages that are not what dvc.lock says; missing: those that are, as far as they are there."""

    graph: Graph
    changed: set[str]
    missing: set[str]

    @classmethod
    def look(cls, repo, *, allow_missing: bool) -> "Work":
        """What is to be done in a `dvc.repo.Repo`; `allow_missing`: what is missing is no change, as DVC means it."""
        graph, missing = Graph.read(repo), set()
        with repo.lock:
            changed = _changed(repo, allow_missing=allow_missing)
            if allow_missing:
                missing = {stage.addressing for stage in repo.index.stages if not all(out.exists for out in stage.outs)}
        return cls(graph, changed, missing - changed)

    @property
    def todo(self) -> list[str]:
        """The stages that have changed and those that may have to run after them, in order."""
        return self.graph.with_dependants(self.changed)

    @property
    def first(self) -> list[str]:
        """The stages to be run before, whose outputs are missing and needed."""
        return self.graph.needed(self.todo, self.missing)


def _changed(repo, *, allow_missing: bool) -> set[str]:
    return {
        stage.addressing
        for stage in repo.index.stages
        if stage.addressing != ALWAYS_RUN and stage.changed(allow_missing, [*repo.index.graph.successors(stage)])
    }
