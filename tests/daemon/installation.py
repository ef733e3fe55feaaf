# SPDX-License-Identifier: GPL-2.0-or-later
"""What `./run install` makes of the build under test."""
import os
import subprocess

from daemon import SOURCE, build_directory


def install(folder):
    """What `./run install` installs, into the folder."""
    done = subprocess.run([SOURCE / "run", "install"], capture_output=True, text=True, timeout=600, check=False,
                          env={**os.environ, "VIADUCT_BUILD": str(build_directory()), "DESTDIR": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
