"""Every name of TensorRT that csflow's sources use exists in every version it supports, by tensorrt_api.json."""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csflow.runtime.engines.tensorrt.capabilities import CAPABILITIES

from . import make_tensorrt_api

ROOT = Path(__file__).resolve().parents[2]
TABLE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "tensorrt_api.json").read_text())
DUMPS = ROOT.parent / "shared" / "data" / "tensorrt_api"
SUPPORTED = ("10.3", "10.13", "10.16", "11.4", "rtx-1.7")
API = ROOT / "runtime" / "engines" / "tensorrt" / "api.py"
CAPABILITY_TABLE = ROOT / "runtime" / "engines" / "tensorrt" / "capabilities.py"
SOURCES = sorted(p for package in ("runtime", "export") for p in (ROOT / package).rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def chain(node: ast.Attribute) -> list[str]:
    """['a', 'b', 'c'] of a.b.c; the empty list where it does not begin with a name."""
    value = node.value
    if isinstance(value, ast.Name):
        return [value.id, node.attr]
    before = chain(value) if isinstance(value, ast.Attribute) else []
    return [*before, node.attr] if before else []


def module_names(tree: ast.AST) -> Iterator[str]:
    """'MemoryPoolType.WORKSPACE' for trt.MemoryPoolType.WORKSPACE or library.trt.MemoryPoolType.WORKSPACE."""
    for node in ast.walk(tree):
        parts = chain(node) if isinstance(node, ast.Attribute) else []
        if "trt" in parts[:-1]:
            yield ".".join(parts[parts.index("trt") + 1 :])


def object_names() -> Iterator[tuple[str, str]]:
    """(class, attribute) of everything that tensorrt_api.py declares."""
    for node in tree_of(API).body:
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef):
                yield node.name, member.name  # type: ignore[attr-defined]
            elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                yield node.name, member.target.id  # type: ignore[attr-defined]


def names_of(version: str) -> set[str]:
    return {f"{owner}.{name}" for owner, names in TABLE[version].items() for name in names} | set(TABLE[version])


COMMON = set.intersection(*(names_of(version) for version in SUPPORTED))
ANYWHERE = set.union(*(names_of(version) for version in SUPPORTED))
USED_MODULE_NAMES = sorted(
    {name for path in SOURCES if path != CAPABILITY_TABLE for name in module_names(tree_of(path))}
)


def uses_tensorrt(path: Path) -> bool:
    tree = tree_of(path)
    return "tensorrt_api" in path.read_text() or any(module_names(tree))


def test_there_is_something_to_judge() -> None:
    assert len(list(object_names())) > 25
    assert "MemoryPoolType.WORKSPACE" in USED_MODULE_NAMES
    assert set(TABLE) == set(SUPPORTED)


@pytest.mark.parametrize("name", USED_MODULE_NAMES)
def test_names_of_the_module_are_common_to_all_versions(name: str) -> None:
    known = ".".join(name.split(".")[:2])
    assert known in COMMON or name == "__version__" or name.endswith(".__init__"), (
        f"{name} is not in {[v for v in SUPPORTED if known not in names_of(v)]}"
    )


@pytest.mark.parametrize(("owner", "name"), list(object_names()))
def test_names_of_objects_are_common_to_all_versions(owner: str, name: str) -> None:
    assert f"{owner}.{name}" in COMMON, [v for v in SUPPORTED if f"{owner}.{name}" not in names_of(v)]


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if uses_tensorrt(p) and p != CAPABILITY_TABLE], ids=lambda p: p.stem
)
def test_no_other_name_is_used_outside_the_capability_table(path: Path) -> None:
    last_parts = {name.rpartition(".")[2] for name in ANYWHERE}
    only_some = last_parts - {name.rpartition(".")[2] for name in COMMON}
    used = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
    assert used & only_some == set()


@pytest.mark.parametrize("name", [name for row in CAPABILITIES.values() for name in row.names])
def test_the_capability_table_names_what_exists(name: str) -> None:
    assert name in ANYWHERE


def test_numbers_of_flags_differ_between_versions_so_none_is_stored() -> None:
    flags = {version: TABLE[version]["NetworkDefinitionCreationFlag"]["STRONGLY_TYPED"] for version in SUPPORTED}
    assert flags["10.3"] == 1
    assert flags["11.4"] == flags["rtx-1.7"] == 0


@pytest.mark.skipif(not DUMPS.is_dir(), reason="the dumps of the real bindings are not here")
def test_the_table_is_what_the_dumps_say() -> None:
    dumps = make_tensorrt_api.of_dumps(DUMPS)
    assert {version: TABLE[version] for version in dumps} == dumps


def test_the_table_is_what_the_installed_bindings_say() -> None:
    library = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed")
    if not library.__version__.startswith("1.7."):
        pytest.skip("another version than 1.7 is installed")
    assert make_tensorrt_api.reduced(make_tensorrt_api.listed(library)) == TABLE["rtx-1.7"]
