"""Which products read the same features: the same pictures, prepared alike, through the same backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from csflow.export.fleet.products import Product
from csflow.export.fleet.records import digest_of
from csflow.runtime.errors import ConfigError
from csflow.runtime.picture.region import Region, load_region
from csflow.runtime.schema import to_mapping
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan

__all__ = ["plan_of", "shared_by"]


def plan_of(product: Product) -> TrainPlan:
    """What a training of the product is to do. Raises ConfigError for what cannot be."""
    entry = product.entry
    choice = BackboneChoice(
        entry.backbone, entry.image_size, entry.padding, entry.scales, entry.stages, entry.backbone_precision
    )
    area = load_region(product.region) if product.region else Region()
    weights = entry.backbone_weights
    if weights.endswith((".safetensors", ".pth")):
        weights = str(product.folder / weights)
    return TrainPlan(
        *model_plan(entry.method, choice), weights, entry.flips, area.roi, area.ignore, area.window, entry.hold_out
    )


def shared_by(products: Sequence[Product], work: Path) -> dict[str, tuple[Path, BackboneConfig]]:
    """By name of product: where the features that it shares lie, and what of the backbone they are.

    Products that share none are left out. Raises ConfigError, naming the product, for what cannot be.
    """
    groups: dict[str, list[tuple[Product, BackboneConfig]]] = {}
    for product in products:
        try:
            plan = plan_of(product)
        except ConfigError as error:
            raise ConfigError(f"{product.name}: {error}") from None
        backbone = plan.model.backbone
        if not backbone.patches:
            groups.setdefault(_key(product, plan), []).append((product, backbone))
    shared: dict[str, tuple[Path, BackboneConfig]] = {}
    for key, members in groups.items():
        if len(members) > 1:
            place = work / "features" / key[:16], BackboneConfig.reading_all(backbone for _, backbone in members)
            shared |= {product.name: place for product, _ in members}
    return shared


def _key(product: Product, plan: TrainPlan) -> str:
    entry = product.entry
    like = dataclasses.replace(plan.model.backbone, scales=1, stages=(0,))
    pictures = (str(product.images.resolve()), entry.set_aside, entry.any_size, plan.hold_out, plan.flips)
    area = (plan.roi, plan.ignore, plan.window)
    return digest_of(*pictures, to_mapping(like), plan.model.image_size, plan.weights, area)
