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
        needs = {stage.addressing: {need.addressing for need in graph.successors(stage)} for stage in ordered}
        return cls({stage: direct | _data_of_runs(direct, needs) for stage, direct in needs.items()})

    def with_dependants(self, changed: set[str]) -> list[str]:
        """The stages that have changed and those that may have to run after them, in order."""
        chosen: set[str] = set()
        for stage, needs in self.needs.items():
            if stage in changed or needs & chosen:
                chosen.add(stage)
        return self.in_order(chosen)

    def in_order(self, stages: set[str]) -> list[str]:
        """Stages in the order in which they can be run."""
        return [stage for stage in self.needs if stage in stages]

    def dependants(self, stage: str) -> set[str]:
        """The stages that need a stage, directly or not."""
        return set(self.with_dependants({stage})) - {stage}

    def needed(self, stages: set[str], missing: set[str]) -> set[str]:
        """Of the stages whose outputs are missing those that others need, directly or through such stages."""
        wanted = set(stages)
        for stage in reversed(self.needs):
            if stage in wanted:
                wanted |= self.needs[stage] & missing
        return wanted - stages


def _data_of_runs(stages: set[str], needs: dict[str, set[str]]) -> set[str]:
    """The data of the evaluated runs among them: a table also reads these, which dvc.yaml does not name."""
    runs = [stage for stage in stages if stage.startswith("evaluate@")]
    return {need for run in runs for need in needs[run] if need.startswith("prepare_data@")}


@dataclass(frozen=True)
class Work:
    """changed: stages that dvc.lock does not know as they are; missing: others, whose outputs are not there as it says.

    All that DVC would run counts as changed, and nothing as missing, unless what is missing is allowed to be.
    """

    graph: Graph
    changed: set[str]
    missing: set[str]
    allow_missing: bool

    @classmethod
    def look(cls, repo, *, allow_missing: bool) -> "Work":
        """What is to be done in a `dvc.repo.Repo`."""
        graph, stages = Graph.read(repo), [stage for stage in repo.index.stages if stage.addressing != ALWAYS_RUN]
        with repo.lock:
            if not allow_missing:
                return cls(graph, {stage.addressing for stage in stages if stage.changed()}, set(), allow_missing)
            made = {out.fs_path: out.hash_info for stage in repo.index.stages for out in stage.outs}
            changed = {stage.addressing for stage in stages if _is_unknown(stage, made)}
            missing = {stage.addressing for stage in stages if any(out.workspace_status() for out in stage.outs)}
        return cls(graph, changed, missing - changed, allow_missing)

    @property
    def todo(self) -> list[str]:
        """The stages to be run, in order.

        With those that may have to run after them; where what is missing is allowed to be, these are left to the next
        look, and what is missing is made where it is needed, or is the table.
        """
        if not self.allow_missing:
            return self.graph.with_dependants(self.changed)
        wanted = self.changed | {stage for stage in self.missing if stage.startswith("build_tables@")}
        return self.graph.in_order(wanted | self.graph.needed(wanted, self.missing))


def _is_unknown(stage, made: dict) -> bool:
    """Whether dvc.lock knows no stage of this command and these dependencies, wherever their files may be.

    made: hashes of all outputs in dvc.lock, by path.
    """
    return (
        stage.changed_stage()
        or not all(out.hash_info for out in stage.outs)
        or any(made[dep.fs_path] != dep.hash_info if dep.fs_path in made else dep.status() for dep in stage.deps)
    )
