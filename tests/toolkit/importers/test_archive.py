"""Reading torch files: hostile ones run nothing, damaged ones end in one line, tensors come out as they went in."""

import collections
import contextlib
import io
import os
import pickle
import random
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from csflow.runtime.errors import CSFlowError
from csflow.toolkit.importers import unpickler
from csflow.toolkit.importers.archive import TorchFile
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.import_model import ImportPlan, read_foreign
from csflow.toolkit.importers.unpickler import TensorRef

Save = Callable[..., Any]


class Call:
    """A pickle that calls `function(*args)` when it is loaded."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def hostile(canary: str) -> dict[str, bytes]:
    """Pickles that would create the file `canary`, by the usual ways and some unusual ones."""
    touch = f"touch {canary}"
    calls = {
        "system": Call(os.system, touch),
        "popen": Call(subprocess.Popen, ["touch", canary]),
        "eval": Call(eval, f"open({canary!r}, 'w')"),
        "exec": Call(exec, f"open({canary!r}, 'w')"),
        "open": Call(open, canary, "w"),
        "path": Call(Path.touch, Path(canary)),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "torch load": Call(torch.load, canary),
        "torch save": Call(torch.save, 1, canary),
        "hub": Call(torch.hub.load, canary, "x"),
        "inside a state dict": {"state_dict": {"model.graph": Call(os.system, touch)}},
        "inside an ordered dict": collections.OrderedDict(a=Call(os.system, touch)),
    }
    made = {f"{name}, protocol {p}": pickle.dumps(call, protocol=p) for name, call in calls.items() for p in (0, 2, 4)}
    inner = pickle.dumps(Call(os.system, touch), protocol=2)[2:-1]
    made["state of a module"] = b"\x80\x02cfreia_funcs\nReversibleGraphNet\n)\x81}X\x01\x00\x00\x00a" + inner + b"sb."
    made["INST"] = b"(S'" + touch.encode() + b"'\nios\nsystem\n."
    made["OBJ"] = b"(cos\nsystem\nS'" + touch.encode() + b"'\no."
    made["getattr on a listed class"] = (
        b"\x80\x02c__builtin__\ngetattr\nctorch.nn.modules.conv\nConv2d\nX\x08\x00\x00\x00__init__\x86R"
        b"cos\nsystem\nX" + struct.pack("<I", len(touch)) + touch.encode() + b"\x85R."
    )
    made["enumeration of a bystander"] = (
        b"\x80\x02c__builtin__\ngetattr\nctorch.optim\nSGD\nX\x08\x00\x00\x00__init__\x86R" + inner + b"0."
    )
    made["attribute of a builtin"] = (
        b"\x80\x02c__builtin__\ngetattr\nc__builtin__\ngetattr\nX\x08\x00\x00\x00__self__\x86R."
    )
    made["extension registry"] = b"\x80\x02ccopyreg\nadd_extension\n(S'os'\nS'system'\nK\x01tR\x82\x01" + inner + b"."
    made["code object"] = b"\x80\x02ctypes\nCodeType\n)R."
    made["method of the reader"] = b"\x80\x02ccsflow.toolkit.importers.unpickler\nImportRefused\n."
    made["dotted name"] = b"\x80\x04\x8c\x0bfreia_funcs\x8c\x0eos.system.call\x93."
    made["dunder of a listed module"] = b"\x80\x04\x8c\x0bfreia_funcs\x8c\x0cdummy_data.x\x93."
    return made


def container(data: bytes, prefix: str = "archive", **entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{prefix}/data.pkl", data)
        for name, value in entries.items():
            file.writestr(f"{prefix}/{name}", value)
    return buffer.getvalue()


@pytest.mark.fault("M3")
def test_hostile_pickles_run_nothing_and_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary"
    corpus = hostile(str(canary))
    assert len(corpus) > 40
    for name, data in corpus.items():
        path = tmp_path / "model"
        path.write_bytes(container(data))
        with pytest.raises(ImportRefused, match="nothing was run") as caught:
            TorchFile(path)
        assert "\n" not in str(caught.value), name
        assert not canary.exists(), name
    assert {p.name for p in tmp_path.iterdir()} == {"model"}


def attribute_of(name: str, attribute: str) -> bytes:
    """A pickle that gives the object behind a name an attribute: by state, and by slots."""
    return f"\x80\x02c{name}\n}}X\x01\x00\x00\x00xK\x01s}}X{chr(len(attribute))}\x00\x00\x00{attribute})s\x86b.".encode(
        "latin-1"
    )


@pytest.mark.parametrize(
    "name", ["torch._utils\n_rebuild_tensor_v2", "collections\nOrderedDict", "__builtin__\ngetattr"]
)
def test_what_a_pickle_does_to_the_reader_does_not_outlive_it(tmp_path: Path, name: str) -> None:
    own = [v for v in vars(unpickler).values() if callable(v) and getattr(v, "__module__", "") == unpickler.__name__]
    before = [dict(vars(v)) for v in own]
    (tmp_path / "m").write_bytes(container(attribute_of(name, "__defaults__")))
    with contextlib.suppress(ImportRefused):
        TorchFile(tmp_path / "m")
    assert [dict(vars(v)) for v in own] == before
    assert all(getattr(v, "__defaults__", None) != () for v in own)
    torch.save(collections.OrderedDict(a=torch.ones(2)), tmp_path / "m")
    with TorchFile(tmp_path / "m") as file:
        assert torch.equal(file.tensor(file.root["a"]), torch.ones(2))


def test_deep_tuples_are_refused_before_their_hash_crashes_the_process(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(container(b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s."))
    with pytest.raises(ImportRefused, match="far more tuples"):
        TorchFile(tmp_path / "m")


def test_contents_of_any_shape_end_in_words(tmp_path: Path) -> None:
    gamma, block = "model.graph.graph.module_list.1.cross_convolution1.gamma0", "module_list.4.s1.gamma0"
    odd = collections.OrderedDict(
        {block: torch.zeros(1), 3: torch.zeros(1), f"module_list.{'9' * 5000}.s1.gamma0": torch.zeros(1)}
    )
    odd.get = 1  # type: ignore[method-assign, assignment]
    settings = {"clamp": 10**400, "input_size": [[1], {}], "model": 3, "pre_processor": 1}
    for root in (
        odd,
        {gamma: torch.zeros(1), 7: torch.zeros(()), "pytorch-lightning_version": "2.1"},
        {"state_dict": {gamma: torch.zeros(1)}, "hyper_parameters": settings, "pytorch-lightning_version": "2.1"},
    ):
        torch.save(root, tmp_path / "m")
        with pytest.raises(ImportRefused) as caught:
            read_foreign(tmp_path / "m", ImportPlan())
        assert "\n" not in str(caught.value)


def test_a_member_of_an_enumeration_is_read_as_python_3_11_wrote_it(tmp_path: Path) -> None:
    named = b"c__builtin__\ngetattr\nctorchvision.transforms.functional\nInterpolationMode\nX\x08\x00\x00\x00BILINEAR"
    (tmp_path / "m").write_bytes(container(b"\x80\x02" + named + b"\x86R."))
    with TorchFile(tmp_path / "m") as file:
        assert file.root.args == ("BILINEAR",)


def test_the_corpus_is_hostile_indeed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(hostile(str(canary))["system, protocol 2"])
    assert canary.exists()


def test_foreign_modules_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "freia_funcs.py").write_text("raise SystemExit('imported')")
    (tmp_path / "anomalib.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for module, name in (("freia_funcs", "Node"), ("anomalib", "AnomalyMapMode")):
        path = tmp_path / "model"
        path.write_bytes(container(f"c{module}\n{name}\n(tR.".encode()))
        with TorchFile(path) as file:
            assert file.root.qualname == f"{module}.{name}"


def test_tensors_come_out_as_they_went_in(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "plain": base,
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "scalar": torch.tensor(3),
        "half": base.half(),
        "bool": base > 3,
        "empty": torch.zeros(0, 2),
        "parameter": torch.nn.Parameter(base + 1),
    }
    torch.save(tensors, tmp_path / "t")
    with TorchFile(tmp_path / "t") as file:
        for name, tensor in tensors.items():
            got = file.tensor(file.root[name])
            assert torch.equal(got, tensor)
            assert got.dtype == tensor.dtype


@pytest.mark.fault("M7")
@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((3, 3), (3, 1), 0), ((2,), (1,), 3), ((10**12,), (0,), 0), ((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1, 1), 0)],
)
def test_a_tensor_may_not_reach_beyond_its_bytes(
    tmp_path: Path, shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    torch.save({"a": torch.zeros(2, 2)}, tmp_path / "t")
    with TorchFile(tmp_path / "t") as file, pytest.raises(ImportRefused, match="damaged"):
        file.tensor(TensorRef(file.root["a"].storage, offset, shape, stride))


@pytest.mark.fault("M7")
def test_many_names_over_the_same_bytes_are_refused(tmp_path: Path) -> None:
    base = torch.zeros(100_000)
    torch.save({str(i): base for i in range(1000)}, tmp_path / "t")
    with TorchFile(tmp_path / "t") as file, pytest.raises(ImportRefused, match="tensors of the same bytes"):
        list(map(file.tensor, file.root.values()))
    parts = {str(i): part for i, part in enumerate(base.chunk(1000))}
    torch.save(parts, tmp_path / "t")
    with TorchFile(tmp_path / "t") as file:
        assert all(torch.equal(file.tensor(ref), parts[name]) for name, ref in file.root.items())


def test_wrong_kinds_of_files_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other")
    torch.save([torch.zeros(2)], tmp_path / "list")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("not a model")
    (tmp_path / "zip").write_bytes(container(b"N.", "a/b"))
    (tmp_path / "big-endian").write_bytes(container(b"N.", byteorder=b"big"))
    (tmp_path / "memo").write_bytes(container(b"\x80\x02Nr\xff\xff\xff\x7f."))
    (tmp_path / "long").write_bytes(container(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."))
    squeezed = io.BytesIO()
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"N" * (32 << 20))
    (tmp_path / "bomb").write_bytes(squeezed.getvalue())
    for name, word in {
        "legacy": "torch before 1.6",
        "other": "no CS-Flow model",
        "list": "no CS-Flow model",
        "empty": "no torch file",
        "text": "no torch file",
        "zip": "no torch file",
        "big-endian": "big-endian",
        "memo": "memo index",
        "long": "damaged",
        "bomb": "compressed or larger",
    }.items():
        with pytest.raises(ImportRefused, match=word) as caught:
            read_foreign(tmp_path / name, ImportPlan())
        assert "\n" not in str(caught.value)


def test_damaged_files_end_in_an_error_or_in_the_same_model(tmp_path: Path, save_reference: Save) -> None:
    whole = tmp_path / "whole"
    save_reference(whole, channels=4, hidden=2, kernels=(3,))
    data = whole.read_bytes()
    draw = random.Random(3)
    path = tmp_path / "damaged"
    intact = 0
    for i in range(150):
        bad = bytearray(data)
        if i % 3 == 0:
            bad = bad[: draw.randrange(len(bad))]
        for _ in range(draw.randrange(1, 6) if i % 3 else 0):
            # The pickle lies at the front; that is where damage bites.
            bad[draw.randrange(min(len(bad), 12000))] = draw.randrange(256)
        path.write_bytes(bytes(bad))
        # Anything but CSFlowError would end the test: no traceback of a foreign library reaches a user.
        with contextlib.suppress(CSFlowError):
            read_foreign(path, ImportPlan())
            intact += 1
    assert intact < 50
