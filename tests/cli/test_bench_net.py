# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of network cards runs, its rows are there, and its judge sees what must not be. The figures are its own to judge."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", TOP / "build")).resolve()
sys.path.append(str(TOP / "bench/net"))

from card_attack import BROKEN, HONEST, Tally  # noqa: E402
from card_rows import ROWS  # noqa: E402
from cards import Cards  # noqa: E402
from switches import BenchError  # noqa: E402

FRAMES = 4000


def test_rows(tmp_path):
    out = tmp_path / "rows.json"
    done = subprocess.run([sys.executable, TOP / "bench/net/card_rows.py", "--build", BUILD, "--quick", "--rounds", "1",
                           "--seconds", "0.1", "--frames", str(FRAMES), "--json", out], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert list(result["samples"]) == list(ROWS)
    for row, (sample,) in result["samples"].items():
        assert sample["value"] >= 0 and f"\n{row} | " in done.stdout
        assert sample.get("alone", 1) > 0
    attack = result["attack"]
    assert attack["frames"] + attack["lost"] >= FRAMES and attack["attacks"] > 0
    assert attack["broken"] == dict.fromkeys(BROKEN, 0) and result["violations"] == []


def attacked(**keys):
    """A short exchange beside a hostile guest whose card has these keys."""
    tally = Tally()
    with Cards(BUILD, cards={"mallory": keys}) as cards:
        tally.add(cards.run({**HONEST, "mallory": "mallory,bob"}, frames=FRAMES // 2), cards, True)
    return tally


@pytest.mark.parametrize("keys, what", [({"promiscuous": "yes"}, "leaked"), ({"learn": "yes"}, "spoofed")])
def test_judge_sees(keys, what):
    """A card that may see or send more than others is what a leak in the switch would look like."""
    tally = attacked(**keys)
    assert tally.broken[what] > 0
    assert any(what in text for text in tally.violations())
    assert f"{tally.broken[what]} {what}" in tally.text()


def test_lost_without_a_count():
    """Frames that are missing and that no counter tells of fail the run."""
    tally = Tally()
    assert tally.violations() == []
    tally.lost, tally.told = 2, 2
    assert tally.violations() == []
    tally.told = 1
    assert len(tally.violations()) == 1


def test_no_such_role():
    with Cards(BUILD) as cards, pytest.raises(BenchError, match="no such role"):
        cards.run({"alice": "nonsense"})
