"""The stages of dvc.yaml as DVC sees them: what needs what, and which are to be run."""

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


def changed_stages(repo) -> set[str]:
    """The stages whose own dependencies, outputs or command are not those of dvc.lock."""
    with repo.lock:
        return {stage.addressing for stage in repo.index.stages if stage.addressing != ALWAYS_RUN and stage.changed()}
