"""The files that run and watch servers: that they can be read, and name what there is. No image is built here."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from walkthrough import DOCS

from meterhouse.contracts import configured, installed, refuse_unknown
from meterhouse.settings import VARIABLES, Settings, from_environment

ROOT = DOCS.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.rglob("*.yaml"))
HEALTH = "/healthz"


def read(name: str) -> dict[str, Any]:
    """A file with one document, in which a key that is there twice is an error."""
    return yaml.load((DEPLOY / name).read_text("utf-8"), Strict)


class Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is there twice"
        return super().construct_mapping(node, deep)


def container() -> dict[str, Any]:
    [only] = read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["containers"]
    return only


def metrics_of(expressions: list[str]) -> set[str]:
    """The metrics that expressions of Prometheus name, without what a histogram adds to its name."""
    names = {name for each in expressions for name in re.findall(r"\bmeterhouse_[a-z_]+\b", each)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def nodes() -> dict[str, dict[str, Any]]:
    services = read("compose.cluster.yaml")["services"]
    return {name: service for name, service in services.items() if name.startswith("node")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_can_be_read(path: Path) -> None:
    document = read(str(path.relative_to(DEPLOY)))
    if path.parent.name == "kubernetes":
        assert document["apiVersion"]
        assert document["kind"]
        assert document["metadata"]["name"] == "meterhouse"


def test_every_variable_is_documented() -> None:
    shown = (DOCS / "reference/settings.md").read_text("utf-8") + (DOCS / "how-to/run-a-cluster.md").read_text("utf-8")
    documented = set(re.findall(r"^\| (?:`\w+` \| )?`(METERHOUSE_\w+)` \|", shown, re.MULTILINE))
    variables = {each["name"] for each in container()["env"]}
    variables |= {variable for node in nodes().values() for variable in node["environment"]}
    variables |= set(re.findall(r"(METERHOUSE_\w+)=", (DEPLOY / "Dockerfile").read_text("utf-8")))
    assert len(variables) >= 6
    assert variables - documented == set()


def test_the_secret_has_what_is_taken_from_it() -> None:
    taken = [each["valueFrom"]["secretKeyRef"] for each in container()["env"] if "secretKeyRef" in each["valueFrom"]]
    secret = read("kubernetes/secret.example.yaml")
    assert {each["name"] for each in taken} == {secret["metadata"]["name"]}
    assert {each["key"] for each in taken} == set(secret["stringData"])


def test_all_select_the_same_pods() -> None:
    deployment = read("kubernetes/deployment.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert read("kubernetes/service.yaml")["spec"]["selector"] == labels
    assert read("kubernetes/pod-disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == labels


def test_a_node_that_stands_by_is_neither_killed_nor_waited_for() -> None:
    deployment = read("kubernetes/deployment.yaml")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert "livenessProbe" not in container()
    assert container()["readinessProbe"]["httpGet"] == {"path": HEALTH, "port": "http"}
    assert f"`GET {HEALTH}`" in (DOCS / "reference/api.md").read_text("utf-8")


def test_kubernetes_sets_no_variable_of_its_own() -> None:
    """A Service named meterhouse would: METERHOUSE_PORT=tcp://…"""
    assert read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_a_node_is_reached_at_its_own_address() -> None:
    [host] = [each for each in container()["env"] if each["name"] == "METERHOUSE_NODE_HOST"]
    assert host["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert {name: node["hostname"] for name, node in nodes().items()} == {name: name for name in nodes()}


def test_there_is_a_shard_for_every_node_each_with_its_own_database() -> None:
    secret = read("kubernetes/secret.example.yaml")["stringData"]["clickhouse-urls"].split()
    assert len(set(secret)) == len(secret) >= read("kubernetes/deployment.yaml")["spec"]["replicas"]
    [urls] = {node["environment"]["METERHOUSE_CLICKHOUSE_URLS"] for node in nodes().values()}
    assert len(set(urls.split())) == len(urls.split()) >= len(nodes()) == 3


def test_what_compose_waits_for_and_keeps_is_there() -> None:
    document = read("compose.cluster.yaml")
    for service in document["services"].values():
        assert set(service.get("depends_on", ())) <= set(document["services"])
        assert {each.partition(":")[0] for each in service["volumes"]} <= set(document["volumes"])
    server = yaml.load(document["configs"]["clickhouse"]["content"], Strict)
    cluster = next(iter(nodes().values()))["environment"]["METERHOUSE_CLICKHOUSE_CLUSTER"]
    assert list(server["remote_servers"]) == [cluster]
    assert set(server["macros"]) == {"shard", "replica"}


def test_nobody_is_root() -> None:
    user = re.findall(r"^USER (\d+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)[-1]
    pod = read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == int(user) > 0


def test_the_engine_can_read_the_statements_of_the_page() -> None:
    page = (DOCS / "how-to/run-a-cluster.md").read_text("utf-8")
    blocks = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    statements = [each.strip() for block in blocks for each in block.split(";") if each.strip()]
    assert len(statements) > 5
    read = "import sys, chdb; [chdb.query('EXPLAIN AST ' + each) for each in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", read, *statements], check=True, timeout=60)


def test_what_watches_a_server_names_metrics_that_there_are() -> None:
    known = set(
        re.findall(r"^\| `(meterhouse_\w+)` \|", (DOCS / "reference/metrics.md").read_text("utf-8"), re.MULTILINE)
    )
    rules = [rule for group in read("prometheus/meterhouse.rules.yaml")["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana/meterhouse.json").read_text("utf-8"))
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expressions in ([rule["expr"] for rule in rules], drawn):
        named = metrics_of(expressions)
        assert len(named) >= 8
        assert named - known == set()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    assert all({"summary", "action"} == rule["annotations"].keys() for rule in rules)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_one_server_is_nobody_who_could_do_harm() -> None:
    [service] = read("compose.yaml")["services"].values()
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert (service["environment"]["METERHOUSE_HOST"], service["environment"]["METERHOUSE_PORT"]) == ("0.0.0.0", 8000)
    assert set(service["environment"]) <= set(
        re.findall(r"METERHOUSE_\w+", (DOCS / "reference/settings.md").read_text())
    )
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign] - keys as they are written
    unit.read_string((DEPLOY / "systemd/meterhouse.service").read_text("utf-8"))
    assert unit["Service"]["ExecStart"].endswith("meterhouse serve --data /var/lib/meterhouse/data")
    for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateDevices", "ProtectKernelModules"):
        assert unit["Service"][key] == "yes"


def image() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each on one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return [(word, " ".join(rest.split())) for word, rest in re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)]


def of_the_lock(name: str, only: Iterable[str] | None = None) -> set[str]:
    """The packages that a lock has; those of `only`, as the Dockerfile takes them out of it."""
    lines = re.findall(r"^([a-z][\w.-]*)==", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return {normal(each) for each in lines if only is None or each in only}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """All that must be installed for these, on this machine."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        one = waiting.pop()
        if one.marker is not None and not any(one.marker.evaluate({"extra": each}) for each in {*one.extras, ""}):
            continue
        found.add(normal(one.name))
        for text in metadata.requires(one.name) or []:
            each = Requirement(text)
            if each.marker is None or any(each.marker.evaluate({"extra": name}) for name in {*one.extras, ""}):
                each.marker = None
                waiting.append(each)
    return found


def test_the_image_has_all_that_a_server_needs_and_every_file_that_it_is_built_from() -> None:
    instructions = image()
    commands = " ".join(rest for word, rest in instructions if word == "RUN")
    cluster, build = ({*names.split("|")} for names in re.findall(r"only '([^']+)'", commands))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = needed([*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["cluster"]])
    assert wanted <= of_the_lock("requirements.lock") | of_the_lock("requirements-dev.lock", cluster)
    assert len(of_the_lock("requirements-dev.lock", cluster)) == len(cluster)
    builders = {normal(Requirement(each).name) for each in project["build-system"]["requires"]}
    assert builders == of_the_lock("requirements-dev.lock", build)
    # Whatever is installed from elsewhere is held to a hash; the package itself is of these sources.
    for install in re.findall(r"pip install ([^&]+)", commands):
        assert "--require-hashes" in install or "--no-deps --no-index /opt/wheel/" in install
    named = [
        each for word, rest in instructions if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]
    ]
    shown = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    taken = {each.removeprefix("!") for each in shown if each.startswith("!")}
    assert shown[0] == "*"
    assert {each for each in named if each != "."} <= taken
    assert {"setup.py", "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]} <= taken
    assert all((ROOT / each).exists() for each in taken)
    assert instructions[-1] == ("CMD", '["serve"]')
    assert ("ENTRYPOINT", '["meterhouse"]') in instructions
    assert project["project"]["scripts"]["meterhouse"]


def test_an_image_is_well_as_long_as_its_server_answers() -> None:
    [check] = [rest for word, rest in image() if word == "HEALTHCHECK"]
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    assert f"http://127.0.0.1:8000{HEALTH}" in command[2]
    assert ("EXPOSE", "8000") in image()
    compile(command[2], "health", "exec")
    # The port is closed here: what is asked in vain ends with another code than 0.
    asked = command[2].replace(":8000/", ":9/")
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, timeout=60, check=False).returncode == 1


def test_the_settings_to_begin_with_are_all_of_them_and_can_be_used() -> None:
    text = (DEPLOY / "meterhouse.env").read_text("utf-8")
    shown = dict(re.findall(r"^#?(METERHOUSE_\w+)=(.*)$", text, re.MULTILINE))
    assert len(shown) == len(re.findall(r"^#?METERHOUSE_", text, re.MULTILINE))
    kept = {"METERHOUSE_NOW", "METERHOUSE_<CONTRACT>_<OPTION>"}  # for tests; and a pattern
    documented = set(
        re.findall(r"^\| (?:`\w+` \| )?`(METERHOUSE_\w+)` \|", (DOCS / "reference/settings.md").read_text(), re.M)
    )
    assert VARIABLES - kept <= set(shown)
    assert set(shown) - VARIABLES <= documented
    assert re.findall(r"^(METERHOUSE_\w+)=(.*)$", text, re.MULTILINE) == [("METERHOUSE_ADMIN_KEY", "")]
    # As they are shown they are what a server has without them, or an example that it takes.
    settings = from_environment(shown)
    options = settings.contract_options
    refuse_unknown(options, [configured(each, options) for each in installed().values()], VARIABLES)
    differing = {
        each.metadata["env"]
        for each in fields(Settings)
        if getattr(settings, each.name) != getattr(Settings(), each.name)
    }
    examples = {"CATALOGS", "LEDGER_URL", "RETENTION_DAYS", "CLUSTER_URL", "CLICKHOUSE_URLS", "CLICKHOUSE_CLUSTER"}
    examples |= {"NODE_HOST", "NODE_LISTEN", "SHARDS"}
    assert differing - {"METERHOUSE_<CONTRACT>_<OPTION>"} == {f"METERHOUSE_{each}" for each in examples}


def test_one_file_of_settings_serves_all_who_read_it() -> None:
    [service] = read("compose.yaml")["services"].values()
    assert service["env_file"] == [{"path": ".env", "required": False}]
    unit = (DEPLOY / "systemd/meterhouse.service").read_text("utf-8")
    assert "EnvironmentFile=/etc/meterhouse.env" in unit
    text = (DEPLOY / "meterhouse.env").read_text("utf-8")
    for place in ("deploy/.env", "/etc/meterhouse.env", "deploy/compose.yaml"):
        assert place in text
    # systemd and compose read lines as they are: no quotes, no `export`, no comment behind a value.
    assert all(re.fullmatch(r"(#.*|METERHOUSE_\w+=[^\s\"']*|)", line) for line in text.splitlines())
