"""Every setting has one default, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector import configuration, shipped
from detector.errors import ConfigError
from detector.training import settings


def test_the_shipped_file_has_every_setting_and_no_other() -> None:
    values = configuration.read_yaml(shipped.configs() / "train.yaml")
    assert set(values) == set(settings.TrainSettings.model_fields)
    assert settings.load().model_dump() == values


def test_a_file_overrides_the_defaults_and_the_command_line_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("epochs: 7\nbatch: 4\n", encoding="utf-8")
    loaded = settings.load(tmp_path / "own.yaml", {"batch": 2, "seed": None})
    assert (loaded.epochs, loaded.batch, loaded.seed) == (7, 2, settings.load().seed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 7\n", "unknown key 'epoch'; did you mean 'epochs'"),
        ("epochs: many\n", "epochs: .*integer"),
        ("learning_rate: .inf\n", "learning_rate: .*finite"),
        ("largest_rbc_px: -.inf\n", "largest_rbc_px: .*finite"),
        ("weight_decay: .nan\n", "weight_decay: .*finite|weight_decay: .*greater"),
        ("epochs: 0\n", "epochs: .*greater than or equal to 1"),
        ("image_px: 100\n", "image_px: .*multiple of 32"),
        ("optimizer: Magic\n", "optimizer"),
        ("- a\n", "must hold"),
        ("a: [\n", "not valid YAML"),
        ("epochs: 2026-13-45\n", "not valid YAML|epochs"),
        ("epochs: 2026-11-05\n", "epochs: .*integer"),
        (f"epochs: {'9' * 5000}\n", "not valid YAML|epochs"),
        ("learning_rate: 1e999\n", "learning_rate"),
        (f"epochs: {'[' * 5000}\n", "not valid YAML .nested too deeply|not valid YAML"),
        ("[a, b]: 3\n", "not valid YAML|unknown key"),
        ("? {a: 1}\n: 3\n", "not valid YAML"),
        (f"{'k' * 100_000}: 3\n", "unknown key 'kkk|not valid YAML"),
        ("epochs: \0\n", "not valid YAML"),
        ("a: &a [1]\n" + "".join(f"b{n}: &b{n} [{'*a, ' * 9}]\n" for n in range(9)), "unknown key 'a'"),
        ("epochs: !!python/object/apply:os.system [x]\n", "not valid YAML"),
        ("x" * (2 << 20), "is larger than 1 MiB"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        settings.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        settings.load(tmp_path / "none.yaml")
