# SPDX-License-Identifier: GPL-2.0-or-later
"""`python3 tests/check`: the folder is a program."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from check import command  # noqa: E402

sys.exit(command.main())
