"""The settings of a training, in one place; their defaults stand in `configs/train.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from detector import configuration, shipped

Share = Field(ge=0, le=1)


class TrainSettings(BaseModel):
    """What a training does; two trainings with equal settings, data and versions differ by nothing that we choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    model: str
    """smearcount (the shipped weights) or weights (.pt) to fine-tune, or an architecture (.yaml) to start from nothing."""
    epochs: int = Field(ge=1)
    """Times that each field is seen."""
    image_px: int = Field(ge=64, le=2048, multiple_of=32)
    """Long side that fields are scaled to, in training and in counting; cost grows with its square."""
    batch: int = Field(ge=1)
    """Batch size: fields in a step; more need more memory."""
    device: Annotated[str, BeforeValidator(str)]
    """auto, cpu, mps, or numbers of GPUs such as 0 or 0,1."""
    threads: int | Literal["auto"]
    """Threads that compute on a CPU; auto is one per core."""
    seed: int = Field(ge=0)
    """Seed of everything drawn at random."""

    platelets_times: int = Field(ge=1, le=10)
    """How often a field with platelets is seen for each time of one without: few fields have any."""

    optimizer: Literal["SGD", "Adam", "AdamW", "auto"]
    """SGD, Adam, AdamW, or auto for Ultralytics' choice."""
    learning_rate: float = Field(gt=0)
    """Learning rate at the start; too high diverges, too low wastes epochs."""
    final_learning_rate_share: float = Field(gt=0, le=1)
    """Learning rate at the end, as a share of that at the start."""
    cosine: bool
    """Cosine schedule of the learning rate, not a linear one."""
    weight_decay: float = Field(ge=0)
    """Weight decay (L2)."""
    warmup_epochs: float = Field(ge=0)
    """Epochs of warm-up of the learning rate."""
    patience: int = Field(ge=0)
    """Early stopping: epochs without improvement after which the training stops."""

    mosaic: float = Share
    """Share of pictures made of four fields: more cells and sizes at a time, and cut cells at the seams."""
    close_mosaic_epochs: int = Field(ge=0)
    """Last epochs without mosaic, so that training ends on fields as they are."""
    shown_rbc_px: float = Field(ge=12, le=200)
    """Width at which red cells are shown when the model counts; smaller is faster by its square, and platelets are missed first."""
    smallest_rbc_px: float = Field(ge=4)
    """Least width at which red cells are shown; widths are drawn between this and largest_rbc_px."""
    largest_rbc_px: float = Field(le=1000)
    """Greatest width at which red cells are shown."""
    translate: float = Share
    """Random translation, by up to this share of a field's side."""
    hue: float = Share
    """Hue jitter, by up to this share of the colour circle."""
    saturation: float = Share
    """Saturation jitter, by up to this share."""
    brightness: float = Share
    """Brightness jitter, by up to this share."""
    lamp: float = Share
    """Share of pictures in coloured light: a gain of 0.5 to 1.2 for each channel; half as many under a lamp of another temperature."""
    stain: float = Share
    """Share of pictures whose haematoxylin and eosin are made stronger or weaker, independently."""
    tone: float = Share
    """Shares of pictures with another gamma and with another tone curve."""
    grey: float = Share
    """Share of pictures without colour."""
    uneven_light: float = Share
    """Share of pictures lit more in one part than in another."""
    few_pixels: float = Share
    """Share of pictures that are downsampled and enlarged again."""
    rotate_90: float = Share
    """Share of pictures turned by quarter turns; other angles would loosen the boxes."""
    defocus: float = Share
    """Share of pictures out of focus."""
    noise: float = Share
    """Share of pictures with sensor noise."""
    jpeg: float = Share
    """Share of pictures compressed once more."""
    contrast: float = Share
    """Share of pictures with local contrast equalized (CLAHE)."""


def load(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> TrainSettings:
    """Settings of the shipped `train.yaml`, then of `config`, then `overrides` that are not None.

    Raises:
        ConfigError: a file that cannot be read, an unknown key or a value out of range.
    """
    default = shipped.configs() / "train.yaml"
    values = configuration.read_yaml(default)
    source = str(default)
    if config is not None:
        own = configuration.read_yaml(config)
        # Checked by itself first, so that the message names the file that is at fault.
        configuration.validate(TrainSettings, {**values, **own}, str(config))
        values.update(own)
        source = str(config)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return configuration.validate(TrainSettings, {**values, **given}, "command line" if given else source)
