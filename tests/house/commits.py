# SPDX-License-Identifier: GPL-2.0-or-later
"""How commits are written: `area: words` in at most 72 characters, then a body that says why."""
import re
import subprocess

SUBJECT_MAX = 72
SUBJECT = re.compile(r"[a-z][\w/.-]*(, [a-z][\w/.-]*)*: \S")
TRAILER = re.compile(r"[A-Z][\w-]+: ")
# The rule holds for what came after this commit.
SINCE = "7f56e4d"


def violations(commits):
    """What is wrong with each (hash, subject, body)."""
    found = []
    for commit, subject, body in commits:
        if len(subject) > SUBJECT_MAX:
            found.append(f"{commit}: the subject has {len(subject)} characters, at most {SUBJECT_MAX} are wanted: {subject}")
        if not SUBJECT.match(subject):
            found.append(f"{commit}: the subject is not `area: words`: {subject}")
        if all(TRAILER.match(line) or not line.strip() for line in body.splitlines()):
            found.append(f"{commit}: no body says why: {subject}")
    return found


def git(folder, *arguments):
    return subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=folder, capture_output=True, text=True,
                          check=False)


def commits_since(folder, since=SINCE):
    """(list of commits, None), or (None, why there is no telling)."""
    if git(folder, "rev-parse", "--git-dir").returncode != 0:
        return None, "no git history here"
    if git(folder, "merge-base", "--is-ancestor", since, "HEAD").returncode != 0:
        return None, f"the history does not reach back to {since}"
    log = git(folder, "log", "--format=%h%x00%s%x00%b%x01", f"{since}..HEAD").stdout
    return [tuple(entry.strip("\n").split("\0")) for entry in log.split("\x01") if entry.strip("\n")], None
