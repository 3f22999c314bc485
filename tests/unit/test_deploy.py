"""What is in deploy/ and cannot be run here is at least read: by its own format, and by its rules.

nginx, Caddy and HAProxy run with their files in tests/live/test_behind_*.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from portvakt.config.compile import compile_policy
from portvakt.config.gateway_schema import FIELDS
from portvakt.config.load import read_file
from portvakt.http.forwarded import FORMS
from portvakt.jose.signer import Signer

if TYPE_CHECKING:
    from pathlib import Path

#: Every header in which a gateway tells who was admitted, and what passes between it and a proxy.
IDENTITY: Final = frozenset(f"x-portvakt-{one.replace('_', '-')}" for one in (*FIELDS, "token"))

CERTIFICATES: Final = frozenset(header.lower() for header, _ in FORMS.values())

#: What frameworks and gateways take for the target or the method.
TARGETS: Final = frozenset(
    {"x-original-uri", "x-original-url", "x-rewrite-url", "x-original-method"}
    | {"x-forwarded-uri", "x-forwarded-method"}
)


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def written_over_by_nginx(deploy: Path) -> set[str]:
    text = (deploy / "nginx" / "portvakt" / "headers.conf").read_text()
    return {name.lower() for name in re.findall(r"^proxy_set_header (\S+)", text, re.MULTILINE)}


def test_nginx_writes_over_every_header_that_there_is(deploy: Path) -> None:
    written = written_over_by_nginx(deploy)
    assert written >= IDENTITY
    assert written >= CERTIFICATES
    assert written >= TARGETS
    text = (deploy / "nginx" / "portvakt" / "server.conf").read_text()
    taken = set(
        re.findall(r"^auth_request_set \S+ \$upstream_http_(x_portvakt\w+);", text, re.MULTILINE)
    )
    assert {name.replace("-", "_") for name in IDENTITY} <= taken


def test_caddy_copies_every_header_that_there_is(deploy: Path) -> None:
    text = (deploy / "caddy" / "Caddyfile").read_text()
    (copied,) = re.findall(r"copy_headers (.*)", text)
    assert {name.lower() for name in copied.split()} == IDENTITY
    (defaults,) = re.findall(r"map \{http\.request\.method\} (.*) \{\n\s+default (.*)", text)
    assert [one for one in IDENTITY if one not in defaults[0].lower()] == []
    assert len(defaults[0].split()) == len(defaults[1].split()) == len(IDENTITY) + 1
    removed = {one.lower() for one in re.findall(r"request_header -(\S+)", text)}
    for header in (*CERTIFICATES, *TARGETS, *IDENTITY):
        assert any(re.fullmatch(one.replace("*", ".*"), header) for one in removed), header


def test_haproxy_takes_every_header_that_there_is(deploy: Path) -> None:
    text = (deploy / "haproxy" / "haproxy.cfg").read_text()
    before = text[: text.index("http-request lua.portvakt")]
    removed = set(re.findall(r"del-header (\S+)$", before, re.MULTILINE))
    removed |= {one + ".*" for one in re.findall(r"del-header (\S+) -m beg", before)}
    removed |= {one.lower() for one in re.findall(r"set-header (\S+)", before)}
    for header in (*CERTIFICATES, *TARGETS, *IDENTITY):
        assert any(re.fullmatch(one, header) for one in removed), header
    # The line that stops a request when Lua fails is the next one.
    after = text[text.index("http-request lua.portvakt") :].splitlines()
    assert re.match(
        r"\s+http-request return status 503 .* unless \{ var\(txn\.portvakt\)", after[1]
    )


def test_envoy_and_traefik_take_them_too(deploy: Path) -> None:
    (envoy,) = documents(deploy / "envoy" / "envoy.yaml")
    (chain,) = envoy["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    removed = set(manager["route_config"]["virtual_hosts"][0]["request_headers_to_remove"])
    # x-forwarded-client-cert is Envoy's own: SANITIZE.
    assert CERTIFICATES - {"x-forwarded-client-cert"} <= removed
    assert removed >= TARGETS
    assert manager["forward_client_cert_details"] == "SANITIZE"
    assert (manager["normalize_path"], manager["merge_slashes"]) == (False, False)
    authorization = manager["http_filters"][0]["typed_config"]
    assert authorization["failure_mode_allow"] is False
    assert authorization["encode_raw_headers"] is True
    assert "allowed_headers" not in authorization

    (http,) = documents(deploy / "envoy" / "envoy-http.yaml")
    mutation, asked = (one["typed_config"] for one in http["http_filters"])
    mutations = mutation["mutations"]["request_mutations"]
    assert {one["remove"] for one in mutations if "remove" in one} >= IDENTITY
    assert {one["append"]["append_action"] for one in mutations if "append" in one} == {
        "OVERWRITE_IF_EXISTS_OR_ADD"
    }
    assert asked["failure_mode_allow"] is False

    (traefik,) = documents(deploy / "traefik" / "portvakt.yaml")
    middlewares = traefik["http"]["middlewares"]
    for router in traefik["http"]["routers"].values():
        assert router["middlewares"][:2] == ["portvakt-before", "portvakt"]
    forward = middlewares["portvakt"]["forwardAuth"]
    assert forward["trustForwardHeader"] is False
    assert all(re.match(forward["authResponseHeadersRegex"], one.title()) for one in IDENTITY)
    emptied = {
        name.lower()
        for one in ("portvakt-before", "portvakt-after")
        for name, value in middlewares[one]["headers"]["customRequestHeaders"].items()
        if value == ""
    }
    assert emptied >= CERTIFICATES
    assert emptied >= TARGETS


def test_every_container_is_confined(deploy: Path) -> None:
    kinds = {one["kind"]: one for one in documents(deploy / "kubernetes" / "api.yaml")}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not [one for one in container.get("env", []) if "TOKEN" in one["name"]]
        volumes = {one["name"] for one in pod["volumes"]}
        assert {one["name"] for one in container.get("volumeMounts", [])} <= volumes
    # Nobody reaches the API past nginx: only that has a port of the service.
    ports = {one["name"]: [p["name"] for p in one.get("ports", [])] for one in pod["containers"]}
    assert ports == {"api": [], "portvakt": ["admin"], "nginx": ["https"]}
    assert [one["targetPort"] for one in kinds["Service"]["spec"]["ports"]] == ["https"]
    gateway = next(one for one in pod["containers"] if one["name"] == "portvakt")
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert gateway["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}


def test_the_policy_in_the_manifest_is_one(deploy: Path, tmp_path: Path) -> None:
    kinds = {one["kind"]: one for one in documents(deploy / "kubernetes" / "api.yaml")}
    text = kinds["ConfigMap"]["data"]["portvakt.toml"]
    key = tmp_path / "identity.key"
    key.write_text(str(Signer.generate("ES256").private_jwk()))
    key.chmod(0o600)
    (tmp_path / "portvakt.toml").write_text(text.replace("/run/secrets/portvakt", str(tmp_path)))
    policy = compile_policy(read_file(tmp_path / "portvakt.toml", {}))
    settings = policy.guarding.gateway
    assert settings is not None
    # The kubelet reaches it; whoever else does can change nothing.
    assert settings.admin is not None
    assert not settings.admin.loopback
    assert "admin_token =" not in text


def test_the_image_holds_no_secret_and_no_root(deploy: Path) -> None:
    text = (deploy / "docker" / "Dockerfile").read_text()
    build, final = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert " AS build" in build
    assert re.search(r"^USER (\d+):\1$", final, re.MULTILINE)
    assert final.index("\nUSER ") < final.index("\nENTRYPOINT")
    assert "/healthz" in final
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", build, re.MULTILINE)
    assert {one for line in copied for one in line.split()} == {
        *("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src")
    }
    ignored = (deploy / "docker" / "Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in ignored


def test_the_unit_is_one_and_exposes_little(deploy: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    text = (deploy / "systemd" / "portvakt.service").read_text()
    assert not re.search(r"^(Set|Load)Credential\w*=.*:[^/]", text, re.MULTILINE)
    assert not re.search(r"^Environment=", text, re.MULTILINE)
    unit = tmp_path / "portvakt.service"
    unit.write_text(text.replace("/opt/portvakt/bin/portvakt", sys.executable))
    for command in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *command, str(unit)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert command[0] != "verify" or done.stderr == ""
