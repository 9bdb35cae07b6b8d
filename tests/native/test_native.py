"""libcsflow, built: complete in its errors, clean under sanitizers, usable once installed."""

from __future__ import annotations

import ctypes
import inspect
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from csflow.runtime import errors

from .conftest import UNITY

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "runtime" / "native" / "include" / "csflow.h"
C_ALONE = {
    "INVALID_ARGUMENT",
    "OUT_OF_MEMORY",
    "INTERNAL_ERROR",
    "BAD_HANDLE",
    "BUSY",
    "FORKED",
    "DEADLINE",
    "NOT_VERIFIED",
    "WORKER_CRASHED",
    "WORKER_HUNG",
}
PYTHON_ALONE = {"BUNDLE_MISSING"}
"""Kinds of another error that a command tells apart; a program that calls libcsflow gave the path itself."""

Run = Callable[..., str]
Build = Callable[..., Path]


def upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def header_statuses() -> dict[str, int]:
    text = HEADER.read_text()
    return {name: int(number) for name, number in re.findall(r"^ +CSFLOW_(\w+) = (-\d+),?", text, re.MULTILINE)}


def test_every_python_error_has_a_status_and_the_other_way_round() -> None:
    tree = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.CSFlowError)]
    names = {upper_snake(c.__name__) for c in tree if c is not errors.CSFlowError}
    statuses = header_statuses()
    assert names > PYTHON_ALONE
    assert set(statuses) == names - PYTHON_ALONE | C_ALONE
    assert len(set(statuses.values())) == len(statuses)


def test_a_long_path_hides_neither_what_happened_nor_what_to_do(library: ctypes.CDLL, binding: ModuleType) -> None:
    for path in ("/no/" + "x" * 430, "/no/" + "/".join(["ü" * 100] * 18), "/no/" + "x" * 200 + "/y" * 1950):
        with pytest.raises(binding.LibraryError) as caught:
            binding.Detector(library, path, device=b"fake")
        words = str(caught.value)
        known = words.startswith("no bundle at /no/") and words.endswith(": name one, or set CSFLOW_BUNDLE")
        assert known or (words.startswith("cannot read /no/") and words.endswith(": File name too long"))
        assert 400 < len(words.encode()) < 512


def test_every_function_has_a_page_with_its_synopsis() -> None:
    text = " ".join(HEADER.read_text().split())
    declared = re.findall(r"CSFLOW_API ([^;]*?) ?CSFLOW_CALL (csflow_\w+)(\([^;]*\);)", text)
    pages = ROOT / "docs" / "c-api"
    assert {f"{name}.md" for _, name, _ in declared} | {"README.md"} == {page.name for page in pages.iterdir()}
    for result, name, arguments in declared:
        synopsis = f"{result}{'' if result.endswith('*') else ' '}{name}{arguments}"
        assert synopsis in (pages / f"{name}.md").read_text()


def test_every_status_is_named_in_words(library: ctypes.CDLL) -> None:
    for name, number in header_statuses().items():
        words = library.csflow_strerror(number).decode()
        expected = name.replace("_", " ").lower() if name in C_ALONE else name.replace("_", "")
        assert words.split(":")[0].upper() == expected.upper()


def test_the_version_is_that_of_the_package(library: ctypes.CDLL) -> None:
    assert f'version = "{library.csflow_version().decode()}"' in (ROOT / "pyproject.toml").read_text()


def test_ctest_passes(built: Path, run: Run) -> None:
    assert "100% tests passed" in run("ctest", "--test-dir", built, "--output-on-failure")


@pytest.fixture
def sanitized(build: Build) -> Build:
    """`sanitized("address" or "thread") -> folder` with what ctest runs; quickly compiled rather than quick."""
    kinds = {"address": "address,undefined", "thread": "thread"}

    def make(name: str) -> Path:
        flags = f"-O0 -g1 -fsanitize={kinds[name]} -fno-sanitize-recover=all"
        options = [f"-DCMAKE_{language}_FLAGS_DEBUG={flags}" for language in ("C", "CXX")]
        return build(name, "-DCMAKE_BUILD_TYPE=Debug", *UNITY, *options, targets=("csflow_tests",))

    return make


@pytest.mark.fault("A1")
@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_no_sanitizer_complains(sanitized: Build, run: Run, sanitizer: str) -> None:
    settings = {"ASAN_OPTIONS": "allocator_may_return_null=1", "TSAN_OPTIONS": "halt_on_error=1"}
    run("ctest", "--test-dir", sanitized(sanitizer), "--output-on-failure", **settings)


@pytest.mark.fault("A2")
@pytest.mark.soak
def test_ten_thousand_opens_and_a_hundred_thousand_pictures(built: Path, run: Run, tmp_path: Path) -> None:
    run("env", "-C", tmp_path, built / "runtime" / "native" / "test" / "test_threads", 10_000)


@pytest.mark.soak
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_five_hundred_opens_under_sanitizers(sanitized: Build, run: Run, sanitizer: str, tmp_path: Path) -> None:
    program = sanitized(sanitizer) / "runtime" / "native" / "test" / "test_threads"
    run("env", "-C", tmp_path, program, 500, TSAN_OPTIONS="halt_on_error=1")


@pytest.mark.fault("A6")
def test_the_example_has_the_headers_layout(binding: ModuleType, tmp_path: Path, run: Run) -> None:
    lines = [
        f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof(x{i}.{field}));'
        for i, (name, structure) in enumerate(binding.STRUCTURES.items())
        for field, *_ in structure._fields_
    ]
    variables = " ".join(f"{name} x{i};" for i, name in enumerate(binding.STRUCTURES))
    body = "#include <csflow.h>\n#include <stdio.h>\nint main(void) {" + variables + "\n" + "\n".join(lines)
    (tmp_path / "layout.c").write_text(body + "return 0; }\n")
    run("cc", "-std=c99", f"-I{HEADER.parent}", tmp_path / "layout.c", "-o", tmp_path / "layout")
    expected = [
        f"{name}.{field} {getattr(structure, field).offset} {getattr(structure, field).size}"
        for name, structure in binding.STRUCTURES.items()
        for field, *_ in structure._fields_
    ]
    assert run(tmp_path / "layout").splitlines() == expected
    assert set(re.findall(r"^} (csflow_\w+);", HEADER.read_text(), re.MULTILINE)) == set(binding.STRUCTURES)


@pytest.mark.fault("A6")
@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not on this machine")
def test_only_the_interface_is_visible(built: Path, run: Run) -> None:
    symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", built / "libcsflow.so").splitlines()}
    declared = set(re.findall(r"CSFLOW_CALL (csflow_\w+)\(", HEADER.read_text()))
    assert symbols == declared


@pytest.fixture(scope="session")
def installed(built: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library in a prefix of its own, and the project of docs/native.md beside it."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", built, "--prefix", folder / "prefix")
    text = (ROOT / "docs" / "native.md").read_text()
    for name, language in (("CMakeLists.txt", "cmake"), ("app.c", "c")):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (folder / name).write_text(block)
    return folder


@pytest.mark.parametrize(
    ("changed", "to"),
    [("", ""), ("csflow::csflow)", "csflow::csflow_static)"), ("LANGUAGES C", "LANGUAGES CXX")],
    ids=["as printed", "static", "C++"],
)
def test_the_project_of_the_docs_is_built_and_finds_openvino(
    installed: Path, run: Run, calibrated: Path, openvino_library: Path, tmp_path: Path, changed: str, to: str
) -> None:
    assert openvino_library.is_file()
    project, name = (installed / "CMakeLists.txt").read_text().replace(changed, to), "app.c"
    if "CXX" in to:
        project, name = project.replace("app.c", "app.cpp"), "app.cpp"
    (tmp_path / "CMakeLists.txt").write_text(project)
    (tmp_path / name).write_text((installed / "app.c").read_text())
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={installed / 'prefix'}")
    run("cmake", "--build", tmp_path / "b")
    said = run(tmp_path / "b" / "app", calibrated, VIRTUAL_ENV="", CONDA_PREFIX="", CSFLOW_OPENVINO="")
    assert re.fullmatch(r"(accept|reject), score [0-9.]+\n", said)


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not on this machine")
def test_an_installed_library_is_found_by_pkg_config(
    installed: Path, run: Run, calibrated: Path, tmp_path: Path
) -> None:
    (file,) = (installed / "prefix").rglob("csflow.pc")
    line = re.search(r"`cc (app\.c -o app) \$\((pkg-config [^)]+)\)`", (ROOT / "docs" / "native.md").read_text())
    assert line is not None
    flags = run(*line[2].split(), PKG_CONFIG_PATH=str(file.parent)).split()
    run("env", "-C", tmp_path, "cc", installed / "app.c", *line[1].split()[1:], *flags)
    assert "score" in run(tmp_path / "app", calibrated, LD_LIBRARY_PATH=str(file.parent.parent))


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(("required", "kind"), [("ON", "CMake Error"), ("OFF", "CMake Warning")])
def test_a_build_without_an_engine_shouts(tmp_path: Path, required: str, kind: str) -> None:
    command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path), f"-DCSFLOW_REQUIRE_ENGINE={required}"]
    nowhere = ["-DPython3_EXECUTABLE=/bin/false", "-DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON"]
    found = ["-DCSFLOW_OPENVINO_INCLUDE=/nonexistent", "-DCSFLOW_BUILD_TESTS=OFF"]
    done = subprocess.run([*command, *nowhere, *found], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode != 0) == (required == "ON")
    assert re.search(rf"{kind} .*\n.*there is no engine", done.stderr.replace("\n  ", "\n"))


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine")
def test_the_debian_package_holds_the_library(built: Path, run: Run, tmp_path: Path) -> None:
    run("cpack", "-G", "DEB", "--config", built / "CPackConfig.cmake", "-B", tmp_path)
    (package,) = tmp_path.glob("libcsflow_*.deb")
    content = run("dpkg-deb", "--contents", package)
    assert "/usr/include/csflow.h" in content
    assert "libcsflow.so.0.1.0" in content
    assert re.search(r"-rwxr-xr-x .*/csflow/csflow-worker\n", content)
    assert "csflow_probe" not in content
    assert "libstdc++6" in run("dpkg-deb", "--field", package, "Depends")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What the build needs, away from the working tree and what others do in it."""
    folder = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in ("runtime", "calibration", "toolkit", "export"):
        shutil.copytree(ROOT / package, folder / package, ignore=ignore)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)


def wheel(checkout: Path, run: Run, native: str) -> tuple[str, dict[str, int]]:
    """(name, content with its modes) of the wheel that pip builds."""
    pytest.importorskip("scikit_build_core", reason="the build backend is not installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", checkout / "dist")
    # What is in it is asked, not how fast it is: it is compiled without optimisation.
    debug = {"SKBUILD_CMAKE_BUILD_TYPE": "Debug", "CMAKE_ARGS": " ".join(("-DCMAKE_CXX_FLAGS_DEBUG=-O0", *UNITY))}
    settings = {**debug, "CMAKE_BUILD_PARALLEL_LEVEL": "2"}
    run(sys.executable, "-m", "pip", "wheel", *options, checkout, CSFLOW_NATIVE=native, **settings)
    (made,) = (checkout / "dist").glob("*.whl")
    return made.name, {entry.filename: entry.external_attr >> 16 for entry in zipfile.ZipFile(made).infolist()}


def test_the_default_wheel_is_pure_and_holds_no_native_sources(checkout: Path, run: Run) -> None:
    name, content = wheel(checkout, run, native="")
    assert name.endswith("-py3-none-any.whl")
    assert "csflow/runtime/bundle/directory.py" in content
    assert "csflow/__init__.py" not in content
    assert not [n for n in content if n.endswith((".so", ".cpp", ".h", ".txt")) and "dist-info" not in n]


@pytest.mark.usefixtures("build")
def test_the_native_wheel_holds_the_library_and_its_worker(checkout: Path, run: Run) -> None:
    name, content = wheel(checkout, run, native="1")
    assert "-py3-none-linux_" in name
    assert content["csflow/runtime/csflow-worker"] & 0o111 == 0o111
    assert [n for n in content if "libcsflow" in n or "/native/" in n] == ["csflow/runtime/libcsflow.so"]
