# SPDX-License-Identifier: GPL-2.0-or-later
"""What `./run install` puts where, and that the parts name each other by the paths they are installed at."""
import json
import re
import shutil
import subprocess

import pytest

from daemon import SOURCE
from installation import install

# Below the prefix.
PROGRAMS = {"bin/viaductd", "bin/viaduct"}
OTHERS = {
    "lib/systemd/system/viaductd.service",
    "lib/sysusers.d/viaduct.conf",
    "lib/tmpfiles.d/viaduct.conf",
    "lib/viaduct/guest-image",
    "lib/viaduct/screens.conf",
    "lib/viaduct/uplinks.conf",
    "share/bash-completion/completions/viaduct",
    "share/doc/viaduct/examples/viaduct.conf",
    "share/man/man1/viaduct.1",
    "share/man/man5/viaduct.conf.5",
    "share/man/man8/viaductd.8",
}


def commands(unit):
    """{"Start": command, "Reload": command}"""
    return dict(re.findall(r"^Exec(\w+)=!?(.*)$", unit, re.M))


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_install(tmp_path):
    (tmp_path / "usr/local/sbin").mkdir(parents=True)
    (tmp_path / "usr/local/sbin/viaductd").write_text("of an earlier version\n")
    install(tmp_path)
    assert files(tmp_path) == {f"usr/local/{name}" for name in PROGRAMS | OTHERS} | {"etc/viaduct/viaduct.conf"}
    for name in PROGRAMS:
        said = subprocess.run([tmp_path / "usr/local" / name, "--version"], capture_output=True, text=True, check=True).stdout
        assert said.startswith(name.split("/")[1] + " ")
    unit = (tmp_path / "usr/local/lib/systemd/system/viaductd.service").read_text()
    assert commands(unit) == {"Start": "/usr/local/bin/viaductd", "Reload": "/usr/local/bin/viaduct reload"}
    assert (tmp_path / "etc/viaduct/viaduct.conf").read_bytes() == (SOURCE / "packaging/viaduct.conf").read_bytes()


def test_a_configuration_is_kept(tmp_path):
    configuration = tmp_path / "etc/viaduct/viaduct.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("# the administrator's\n")
    install(tmp_path)
    assert configuration.read_text() == "# the administrator's\n"


@pytest.mark.parametrize("prefix, configuration", [("/usr", "/etc/viaduct"), ("/opt/viaduct", "/opt/viaduct/etc/viaduct")])
def test_another_prefix(tmp_path, prefix, configuration):
    build, root = tmp_path / "build", tmp_path / "root"
    subprocess.run(["meson", "setup", build, SOURCE, f"--prefix={prefix}"], check=True, capture_output=True)
    places = json.loads(subprocess.run(["meson", "introspect", "--installed", build], check=True, capture_output=True).stdout)
    assert set(places.values()) == {f"{prefix}/{name}" for name in PROGRAMS | OTHERS}
    # All but the programs, which take minutes to build and know nothing of the prefix.
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--tags", "service,man", "--destdir", root], check=True,
                   capture_output=True)
    unit = (root / f"{prefix[1:]}/lib/systemd/system/viaductd.service").read_text()
    option = "" if prefix == "/usr" else f" --config {configuration}/viaduct.conf"
    assert commands(unit) == {"Start": f"{prefix}/bin/viaductd{option}", "Reload": f"{prefix}/bin/viaduct reload"}
    assert (root / f"{configuration[1:]}/viaduct.conf").is_file()


# What is left is what viaductd needs as root before it gives that up (capabilities, devices of the host); with the drop-in
# for uplinks also the host's network: docs/threat-model.md.
EXPOSURE_MAX = 2.0


def exposure(unit):
    """(figure, everything that was said), as systemd judges the unit with its drop-ins."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True,
                          check=False)
    said = re.search(r"Overall exposure level for viaductd.service: ([\d.]+)", done.stdout)
    assert said, done.stdout + done.stderr
    return float(said[1]), done.stdout


def test_the_services_exposure(tmp_path):
    install(tmp_path)
    unit = tmp_path / "usr/local/lib/systemd/system/viaductd.service"
    # It looks for the programs that the unit names.
    unit.write_text(re.sub(r"(?<==)(!?)/usr/local/", lambda match: f"{match[1]}{tmp_path}/usr/local/", unit.read_text()))
    alone, said = exposure(unit)
    assert alone <= EXPOSURE_MAX, said
    drop_ins = unit.with_name("viaductd.service.d")
    drop_ins.mkdir()
    shutil.copy(tmp_path / "usr/local/lib/viaduct/uplinks.conf", drop_ins)
    with_uplinks, said = exposure(unit)
    print(f"systemd-analyze security: {alone}, with uplinks.conf {with_uplinks}")
    assert with_uplinks > alone, f"the drop-in is not in effect:\n{said}"
