"""OmegaConf resolvers for `conf/config.yaml`; Hydra imports every module of this namespace package.

They return `OmegaConf.create(...)`: DVC cannot dump a plain dict that stands in a resolved configuration.
"""

from omegaconf import DictConfig, ListConfig, OmegaConf

from bkdsnn.params.runs import caches_of, runs_of, teacher_runs_of

_PARTS = ("datasets", "students", "teachers", "methods", "recipes")


def _plain(node: DictConfig | ListConfig) -> dict | list:
    return OmegaConf.to_container(node, resolve=True)


def _parts(root: DictConfig) -> dict[str, dict]:
    return {name: _plain(root[name]) for name in _PARTS}


def _replicate(rows: DictConfig, seeds: ListConfig | int, *, _root_: DictConfig) -> DictConfig:
    seeds = _plain(seeds) if OmegaConf.is_config(seeds) else seeds  # `-S seeds=0` is no list
    runs = runs_of(rows=_plain(rows), seeds=seeds, table=_root_.runs_table, parts=_parts(_root_))
    return OmegaConf.create(runs)


def _runs_table(same_runs_as: str | None, table: str) -> str:
    return same_runs_as or table


def _caches(rows: DictConfig, *, _root_: DictConfig) -> DictConfig:
    return OmegaConf.create(
        caches_of(rows=_plain(rows), recipes=_plain(_root_.recipes), teachers=_plain(_root_.teachers))
    )


def _teacher_runs(teachers: DictConfig, *, _root_: DictConfig) -> DictConfig:
    return OmegaConf.create(teacher_runs_of(teachers=_plain(teachers), methods=_plain(_root_.methods)))


OmegaConf.register_new_resolver("runs_table", _runs_table, replace=True)
OmegaConf.register_new_resolver("replicate", _replicate, replace=True)
OmegaConf.register_new_resolver("teacher_runs", _teacher_runs, replace=True)
OmegaConf.register_new_resolver("caches", _caches, replace=True)
