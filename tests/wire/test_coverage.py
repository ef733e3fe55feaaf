# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row of the threat model that concerns rings, sockets, disks and peers has a test whose id names it."""
import pathlib
import re
import subprocess
import sys

import pytest

import rows


@pytest.fixture(scope="module")
def collected():
    """The ids of all tests beside this one."""
    answer = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
                             str(pathlib.Path(__file__).parent)], capture_output=True, text=True, check=True)
    return [line for line in answer.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("row", rows.ALL)
def test_row_has_a_test(collected, row):
    name = re.compile(rf"::test_(hostile|environment|kill|storm)\w*\[[^]]*\b{re.escape(rows.row_id(row))}\b")
    assert any(name.search(line) for line in collected), f"no test is named {rows.row_id(row)}"


def test_every_name_is_a_row(collected):
    """An id that looks like a row is one: a typing error would hide a missing test."""
    known = {rows.row_id(row) for row in rows.ALL}
    for line in collected:
        for found in re.findall(r"[\[-]([ABCDE]\d+-[a-z0-9-]+)", line):
            assert any(found == name or found.startswith(name + "-") for name in known), f"{line}: {found} is no row"
