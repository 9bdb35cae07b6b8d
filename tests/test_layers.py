"""The rules of docs/architecture.md, read from the sources: who may import whom, how large, how documented."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("runtime", "calibration", "toolkit", "export")
LIGHT = {"runtime": {"numpy", "PIL", "click"}, "calibration": {"numpy", "click"}}
MAX_LINES = 300
MAX_MODULES = 12
NATIVE = ROOT / "runtime" / "native"
MODULES = sorted(p for package in ORDER for p in (ROOT / package).rglob("*.py") if NATIVE not in p.parents)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


ENGINES = ROOT / "runtime" / "engines"
NO_COMMANDS = ("__init__", "command", "logs", "progress")
USED_ONLY_WITH_THE_PAGE = {
    *(ROOT / "runtime" / "page" / name for name in ("server.py", "operator.py", "metrics.py", "web.py")),
    ROOT / "runtime" / "plc" / "commissioning" / "page.py",
    *(ROOT / "runtime" / "drawing" / name for name in ("own_page.py", "preview.py", "server.py")),
}
LIGHT_MODULES = [
    p for p in MODULES if package_of(p) in LIGHT and not p.is_relative_to(ENGINES) and p not in USED_ONLY_WITH_THE_PAGE
]
COMMAND_MODULES = [p for p in MODULES if (p.parent.name == "cli" and p.stem not in NO_COMMANDS) or p.stem == "cli"]
by_module = pytest.mark.parametrize("path", MODULES, ids=relative)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def dotted(path: Path) -> str:
    """The absolute name of a module of csflow."""
    parts = ["csflow", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(p): p for p in MODULES}


def absolute(node: ast.ImportFrom, path: Path) -> list[str]:
    """The modules that an import statement may load, by absolute name."""
    if not node.level:
        base = node.module or ""
    else:
        parts = ["csflow", *path.relative_to(ROOT).with_suffix("").parts]
        base = ".".join([*parts[: -node.level], *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names] if base.startswith("csflow") else [base]


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from absolute(node, path)


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run at import: not inside functions, not under TYPE_CHECKING."""
    pending: list[ast.AST] = [tree]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                pending.extend(node.orelse)
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node
            pending.append(node)


def names_at_import(path: Path) -> set[str]:
    tree = parsed(path)
    return {name for node in top_level(tree) for name in imports(ast.Module([node], []), path)}


def test_there_are_modules_to_judge() -> None:
    assert {package_of(p) for p in MODULES} == set(ORDER)


@by_module
def test_imports_point_left(path: Path) -> None:
    allowed = {f"csflow.{name}" for name in ORDER[: ORDER.index(package_of(path)) + 1]}
    for name in imports(parsed(path), path):
        if name.split(".")[0] == "csflow":
            assert ".".join(name.split(".")[:2]) in allowed, f"{path} imports {name}"


def modules_in(names: Iterable[str]) -> set[str]:
    """The modules of csflow that these absolute names are, or lie in; `a.b.C` lies in `a.b`."""
    known = {n if n in NAMES else n.rpartition(".")[0] for n in names if n.split(".")[0] == "csflow"}
    return known & set(NAMES)


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of more than one node, or of a node that points at itself (Tarjan, 1972)."""
    found: list[set[str]] = []
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            circle = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(circle) > 1 or node in graph[node]:
                found.append(circle)

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def test_the_search_for_circles_finds_them() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [{"b", "c"}, {"d"}]


def test_no_module_imports_itself_round_a_circle() -> None:
    # Imports in functions and under TYPE_CHECKING count: who needs whom is the same question there.
    graph = {n: modules_in(imports(parsed(p), p)) - {n} for n, p in NAMES.items()}
    assert cycles(graph) == []


def wing(name: str) -> str:
    """The folder of a package that a module lies in, or the module itself where it lies at the package's root."""
    return ".".join(name.split(".")[:3])


def test_no_wing_needs_itself_round_a_circle() -> None:
    graph: dict[str, set[str]] = {wing(n): set() for n in NAMES}
    for name, path in NAMES.items():
        graph[wing(name)] |= {wing(n) for n in modules_in(imports(parsed(path), path))} - {wing(name)}
    assert cycles(graph) == []


@by_module
def test_no_string_names_a_module_of_a_package_above(path: Path) -> None:
    above = tuple(f"csflow.{name}." for name in ORDER[ORDER.index(package_of(path)) + 1 :])
    texts = [n.value for n in ast.walk(parsed(path)) if isinstance(n, ast.Constant)]
    assert not [t for t in texts if isinstance(t, str) and above and t.startswith(above)]


@pytest.mark.parametrize("folder", sorted({p.parent for p in MODULES}), ids=relative)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    stems = [p.stem for p in folder.glob("*.py") if p.stem != "__init__"]
    assert len(stems) <= MAX_MODULES, f"{folder} has {len(stems)} modules: give some of them a folder"
    prefixes = Counter(stem.split("_")[0] for stem in stems if "_" in stem)
    shared = {prefix: n for prefix, n in prefixes.items() if n > 2}
    assert not shared, f"{folder}: {shared} modules share a prefix: make it a folder"


@by_module
def test_no_import_by_folder_name(path: Path) -> None:
    # `import runtime` would load a second copy of each class beside csflow.runtime.
    folders = {name.split(".")[0] for name in imports(parsed(path), path)} & set(ORDER)
    assert not folders, f"{path} imports {folders} without 'csflow.'"


@pytest.mark.parametrize("path", LIGHT_MODULES, ids=relative)
def test_light_packages_import_light_libraries(path: Path) -> None:
    third_party = {n.split(".")[0] for n in names_at_import(path)} - sys.stdlib_module_names - {"csflow"}
    assert third_party <= LIGHT[package_of(path)], f"{path}: import these inside the functions that use them"


@pytest.mark.parametrize("path", COMMAND_MODULES, ids=relative)
def test_command_modules_import_click_and_the_command_base_only(path: Path) -> None:
    # A module of shared options is a command module too, and held to the same rule.
    allowed = {"csflow.runtime.errors", "csflow.runtime.cli.command", *map(dotted, COMMAND_MODULES)}
    names = {n for n in names_at_import(path) if n.split(".")[0] not in sys.stdlib_module_names}
    assert {n for n in names if n != "click" and not any(f"{n}.".startswith(f"{a}.") for a in allowed)} == set()


@by_module
def test_module_is_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{path} has {lines} lines; split it"


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Module-level functions and classes, and methods of public classes, without a leading underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (n for n in node.body if isinstance(n, kinds) and not n.name.startswith("_"))


@by_module
def test_public_names_are_documented(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{path} has no docstring"
    bare = [n.name for n in public_definitions(tree) if not ast.get_docstring(n)]
    assert not bare, f"{path}: no docstring on {bare}"


def targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def bound_names(tree: ast.Module) -> set[str]:
    """Every name that the module's top level, also under TYPE_CHECKING, binds."""
    nested = [n for node in tree.body if isinstance(node, ast.If) for n in node.body]
    return {name for node in (*tree.body, *nested) for name in targets(node)}


def all_of(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if targets(node) == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return names
    return []


def sort_key(name: str) -> tuple[int, str]:
    """Ruff's order (RUF022): constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@by_module
def test_all_is_sorted_and_complete(path: Path) -> None:
    tree = parsed(path)
    listed = all_of(tree)
    public = {n.name for n in public_definitions(tree) if n in tree.body}
    assert listed == sorted(set(listed), key=sort_key)
    assert set(listed) <= bound_names(tree), f"{path}: __all__ names what is not there"
    assert public <= set(listed), f"{path}: __all__ lacks {sorted(public - set(listed))}"


@pytest.mark.parametrize("folder", [*ORDER, "tests", "docs"])
def test_no_text_cites_a_page_that_users_do_not_have(folder: str) -> None:
    absent = re.compile(r"\b(methods|design|tensorrt|industrial|peers|detectors|review|moves)\.md\b")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".md", ".h", ".cpp", ".txt", ".toml")]
    cited = {(str(p.relative_to(ROOT)), m[0]) for p in files for m in absent.finditer(p.read_text(errors="replace"))}
    assert not {(file, page) for file, page in cited if page not in pages and file != "tests/test_layers.py"}


def test_the_page_on_architecture_names_every_wing() -> None:
    table = [line for line in (ROOT / "docs/architecture.md").read_text().splitlines() if line.startswith("| `")]
    named: set[str] = set()
    for line in table:
        words = re.findall(r"`([a-z/]+)`", line.split("|")[1])
        package = words[0].partition("/")[0]
        named |= {word if "/" in word else f"{package}/{word}" for word in words}
    wings = {p.relative_to(ROOT) for package in ORDER for p in (ROOT / package).iterdir() if any(p.glob("*[a-z]*"))}
    absent = {str(wing) for wing in wings if wing.name not in ("__pycache__", "cli")} - named
    assert absent == {"runtime/native"}, "whose wings have a row of their own"
    assert "runtime/native/src" in named


@pytest.mark.parametrize("folder", [*ORDER, "docs", "README.md", "CONTRIBUTING.md"])
def test_nothing_is_installed_by_a_name_that_no_index_has(folder: str) -> None:
    root = ROOT / folder
    files = [root] if root.is_file() else [p for p in root.rglob("*") if p.suffix in (".py", ".md", ".cpp", ".cmake")]
    by_name = re.compile(r"pip install (-\S+ )*['\"]?csflow\b")
    told = "in Python: csflow.runtime.machine.install.pip_install; in texts: pip install '.[extra]'"
    assert not [p for p in files if by_name.search(p.read_text(errors="replace"))], told
