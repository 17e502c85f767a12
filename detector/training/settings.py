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

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), use_attribute_docstrings=True
    )

    model: str
    """Weights to fine-tune: smearcount (the shipped ones) or a .pt file; or an architecture (.yaml) with random weights."""
    epochs: int = Field(ge=1)
    """Passes over all fields."""
    image_px: int = Field(ge=64, le=2048, multiple_of=32)
    """Side of a training picture in pixels, and long side of a counted field of unknown scale; time grows with its square."""
    batch: int = Field(ge=1)
    """Batch size: pictures in a step; more need more memory."""
    device: Annotated[str, BeforeValidator(str)]
    """auto, cpu, mps (Apple), or numbers of CUDA GPUs such as 0 or 0,1."""
    threads: int | Literal["auto"]
    """CPU threads; auto is one per core."""
    seed: int = Field(ge=0)
    """Random seed."""

    platelets_times: int = Field(ge=1, le=10)
    """Oversampling: how often a field with platelets is seen per epoch, since few fields have any."""

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
    """Share of pictures that are a mosaic of nine fields, which gives more cells per picture, and cut cells at the seams."""
    close_mosaic_epochs: int = Field(ge=0)
    """Last epochs without mosaic, so that training ends on plain fields."""
    shown_rbc_px: float = Field(ge=12, le=200)
    """Width of red cells in the model's input when it counts, in pixels; smaller is faster, but misses platelets first."""
    smallest_rbc_px: float = Field(ge=4)
    """Least width of red cells in training pictures, in pixels; widths are drawn between this and the greatest."""
    largest_rbc_px: float = Field(le=1000)
    """Greatest width of red cells in training pictures, in pixels."""
    translate: float = Share
    """Random translation, by up to this share of a field's side."""
    hue: float = Share
    """Hue jitter, by up to this share of the colour circle."""
    saturation: float = Share
    """Saturation jitter, by up to this share."""
    brightness: float = Share
    """Brightness jitter, by up to this share."""
    lamp: float = Share
    """Share of pictures with a random gain of 0.5 to 1.2 per channel; half as many get another colour temperature."""
    stain: float = Share
    """Share of pictures with stronger or weaker haematoxylin and eosin (stain augmentation)."""
    tone: float = Share
    """Share of pictures with random gamma, and share with a random tone curve."""
    grey: float = Share
    """Share of greyscale pictures."""
    uneven_light: float = Share
    """Share of unevenly lit pictures."""
    few_pixels: float = Share
    """Share of pictures that are downsampled and enlarged again."""
    rotate_90: float = Share
    """Share of pictures rotated by a multiple of 90 degrees; other angles would loosen the boxes."""
    defocus: float = Share
    """Share of defocused pictures."""
    noise: float = Share
    """Share of pictures with sensor noise."""
    jpeg: float = Share
    """Share of pictures with JPEG compression."""
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
