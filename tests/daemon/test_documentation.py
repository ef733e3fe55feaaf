# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents say of the configuration and the API is what the program does."""
import pathlib
import re
import subprocess

import yaml

from conftest import basic
from daemon import SOURCE, program


def reference():
    return subprocess.run([str(program()), "--help-config"], capture_output=True, text=True, check=True).stdout


def test_configuration_reference():
    assert reference() in (SOURCE / "docs/configuration.md").read_text(), "paste the output of viaductd --help-config"


def test_manual_page_names_every_key():
    page = (SOURCE / "docs/man/viaduct.conf.5").read_text()
    for key in re.findall(r"^\| `(\w+)`", reference(), re.M):
        assert re.search(rf"^\.It Cm {key}\b", page, re.M), key


def test_manual_page_names_every_option():
    page = (SOURCE / "docs/man/viaductd.8").read_text()
    usage = subprocess.run([str(program()), "--help"], capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"--([a-z-]+)", usage):
        assert f"Fl -{option}" in page, option


def test_default_configuration_is_good(tmp_path):
    text = (SOURCE / "packaging/viaduct.conf").read_text()
    for uncomment in False, True:
        lines = [re.sub(r"^#(?=[\[a-z])", "", line) if uncomment else line for line in text.splitlines()]
        config = tmp_path / "viaduct.conf"
        config.write_text("\n".join(lines).replace("/var/lib/viaduct", str(tmp_path)).replace("= viaduct", "= root") + "\n")
        result = subprocess.run([str(program()), "--config", str(config), "--check"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr


ROUTE = re.compile(r'\{ "(/[^"]+)", "([A-Z]+)", \w+ \}')


def test_openapi_has_every_route():
    api = yaml.safe_load((SOURCE / "docs/openapi.yaml").read_text())
    documented = {(re.sub(r"\{\w+\}", "*", path), method.upper()) for path, item in api["paths"].items()
                  for method in item if method != "parameters"}
    source = pathlib.Path(SOURCE / "src/daemon/api/api.c").read_text()
    assert documented == set(ROUTE.findall(source))


def resolve(api, node):
    while "$ref" in node:
        target = api
        for part in node["$ref"].split("/")[1:]:
            target = target[part]
        node = target
    return node


def of_kind(api, schema, value):
    """The schema of the device's kind, where there is one for each."""
    if "oneOf" not in schema:
        return schema
    found = [one for one in (resolve(api, one) for one in schema["oneOf"])
             if value["kind"] in one["properties"]["kind"]["enum"]]
    assert len(found) == 1, f"a device of kind {value['kind']} is not documented"
    return found[0]


def check(api, schema, value, where):
    schema = of_kind(api, resolve(api, schema), value)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if value is None:
        assert schema.get("nullable"), f"{where} is null"
        return
    assert isinstance(value, kinds[schema["type"]]), f"{where}: {value!r}"
    if schema["type"] == "array":
        for index, item in enumerate(value):
            check(api, schema["items"], item, f"{where}[{index}]")
    if schema["type"] == "object":
        for name in schema.get("required", []):
            assert name in value, f"{where} has no {name}"
        for name, item in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            assert known, f"{where}.{name} is not documented"
            check(api, known, item, f"{where}.{name}")


def test_answers_are_as_documented(make_daemon, tmp_path):
    whole = tmp_path / "whole.raw"
    whole.write_bytes(bytes(1 << 20))
    daemon = make_daemon({**basic(tmp_path), "group gold": {}, "disk alice/whole": {"path": whole, "min_iops": 2000000},
                          "switch lan": {}, "nic alice/root": {"switch": "lan"}, "seat desk": {},
                          "display alice/root": {"seat": "desk"},
                          "guest bob": {}, "display bob/root": {"seat": "desk", "source": "virtio", "scanouts": 2}})
    assert "share_error" in daemon.api("GET", "/v1/disks/alice/whole")[1]
    api = yaml.safe_load((SOURCE / "docs/openapi.yaml").read_text())
    for path, item in api["paths"].items():
        if "get" not in item or path == "/metrics":
            continue
        url = path.replace("{pool}", "main").replace("{guest}", "alice").replace("{name}", "root")
        url = url.replace("{switch}", "lan").replace("{seat}", "desk")
        for kind in ("disk", "nic", "display") if "{kind}" in url else ("disk",):
            status, answer = daemon.api("GET", url.replace("{group}", "gold").replace("{kind}", kind))
            assert status == 200
            check(api, item["get"]["responses"]["200"]["content"]["application/json"]["schema"], answer, path)
