"""Which products read the same features: the same pictures, prepared alike, through the same backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from csflow.export.fleet.products import Product
from csflow.export.fleet.records import digest_of
from csflow.runtime.errors import ConfigError
from csflow.runtime.schema import to_mapping
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.plan import TrainPlan

__all__ = ["shared_by"]


def shared_by(products: Sequence[Product], work: Path) -> dict[str, tuple[Path, BackboneConfig]]:
    """By name of product: where the features that it shares lie, and what of the backbone they are.

    Products that share none are left out. Raises ConfigError, naming the product, for what cannot be.
    """
    groups: dict[str, list[tuple[Product, BackboneConfig]]] = {}
    for product in products:
        try:
            plan, *others = product.settings.plans().values()
        except ConfigError as error:
            raise ConfigError(f"{product.name}: {error}") from None
        backbone = plan.model.backbone
        # Which of several is chosen, the training finds out.
        if not (backbone.patches or others):
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
    area = (plan.roi, plan.ignore, plan.window, plan.align, plan.tiles, plan.exposure)
    return digest_of(*pictures, to_mapping(like), plan.model.image_size, plan.weights, area)
