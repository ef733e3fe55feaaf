# SPDX-License-Identifier: GPL-2.0-or-later
"""The checkout keeps the house rules, and each rule catches a sample that breaks it."""
import concurrent.futures
import pathlib
import subprocess

import pytest

import rules

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
EXCEPTIONS = rules.read_exceptions((HERE / "exceptions.txt").read_text())


@pytest.fixture(scope="module")
def tree():
    return rules.Tree(TOP)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_checkout(tree, rule):
    violations = [text for text in rule(tree) if not rules.excused(rule, text, EXCEPTIONS)]
    assert not violations, "\n" + "\n".join(violations)


def test_every_exception_is_needed(tree):
    used = {rules.excused(rule, text, EXCEPTIONS) for rule in rules.RULES for text in rule(tree)}
    assert [line for line in EXCEPTIONS if line not in used] == []


# ---- each header compiles alone ----

# Libraries whose headers ours include, and which are not where the compiler looks.
LIBRARIES = subprocess.run(["pkg-config", "--cflags", "libdrm", "pixman-1"], capture_output=True, text=True, check=True).stdout.split()


def compile_header(root, name):
    """Errors of a header that is included first and alone; empty when there are none."""
    done = subprocess.run(["gcc", "-x", "c", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-fsyntax-only",
                           f"-I{root}/src", *LIBRARIES, "-include", root / name, "/dev/null"],
                          capture_output=True, text=True, check=False)
    return f"{name}: {done.stderr}" if done.returncode else ""


def test_headers_compile_alone(tree):
    headers = [name for name, _ in tree.matching(".h", under="src/")]
    assert headers
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        errors = list(filter(None, pool.map(lambda name: compile_header(TOP, name), headers)))
    assert not errors, "\n".join(errors)


def test_header_that_needs_another_is_caught(tmp_path):
    make(tmp_path, {"src/core/a.h": "static inline uint32_t one(void)\n{\n\treturn 1;\n}\n"})
    assert "uint32_t" in compile_header(tmp_path, "src/core/a.h")


# ---- samples: every rule can fail, and lets good code pass ----

LONG_FUNCTION = "void f(void)\n{\n" + "\ti++;\n" * 70 + "}\n"
LONG_PYTHON = "def f():\n" + "    pass\n" * 80
C_SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"

# rule: (files that break it, number of violations)
BAD = {
    "include_directions": ({"src/host/a.c": '#include "arbiter/disk/disk.h"\n', "src/cli/b.c": '#include "daemon/c.h"\n',
                            "src/frontend/d.c": '#include "interfaces/virtio/e.h"\n',
                            "src/core/f.c": '#include "host/host_disk.h"\n',
                            "src/daemon/device/g.c": '#include "daemon/disk/h.h"\n#include "daemon/base/i.h"\n',
                            "src/daemon/disk/j.c": '#include "daemon/api/k.h"\n#include "devices/l.h"\n',
                            "src/interfaces/endpoint_g.c": '#include "interfaces/vhost_user/vhost_user.h"\n',
                            "src/interfaces/virtio/h.c": '#include "interfaces/endpoint.h"\n',
                            "src/interfaces/vhost_user/i.c": '#include "arbiter/disk/disk.h"\n',
                            "src/interfaces/endpoint_j.c": '#include "core/fd.h"\n',
                            "src/arbiter/share/k.c": '#include "arbiter/disk/disk_cost.h"\n#include "host/host_disk.h"\n'
                                                     '#include "arbiter/share/gate.h"\n#include "core/loop.h"\n',
                            "src/arbiter/pool/l.c": '#include "arbiter/share/gate.h"\n#include "host/host_disk.h"\n',
                            "src/arbiter/disk/m.c": '#include "arbiter/share/gate.h"\n#include "arbiter/pool/pool.h"\n'
                                                    '#include "arbiter/seat/seat.h"\n',
                            "src/devices/disk/n.c": '#include "arbiter/disk/disk.h"\n#include "core/iov.h"\n'
                                                    '#include "arbiter/disk/disk_stats.h"\n'}, 14),
    "includes_from_root": ({"src/core/a.h": "", "src/core/a.c": '#include "a.h"\n',
                            "src/core/b.c": '#include "../core/a.h"\n'}, 2),
    "function_lengths": ({"src/core/a.c": LONG_FUNCTION, "tests/b.py": LONG_PYTHON}, 2),
    "file_lengths": ({"src/core/a.c": "int a;\n" * 501}, 1),
    "line_widths": ({".clang-format": "ColumnLimit: 40\nTabWidth: 8\n", "src/core/a.c": "\t\t\t\tint abcde;\nint b;\n"}, 1),
    "no_struct_typedefs": ({"src/core/a.h": "typedef struct {\n\tint a;\n} t;\n"}, 1),
    "sources_are_built": ({"src/core/meson.build": "files('a.c')", "src/core/a.c": "", "src/core/b.c": "",
                           "tests/unit/test_c.c": "", "tests/unit/meson.build": "{'cc': core}"}, 2),
    "spdx_lines": ({"src/core/a.c": "int a;\n", "tool": "#!/bin/sh\ntrue\n", "x/meson.build": "files()\n"}, 3),
    "no_machine_paths": ({"a.md": "see /wo" "rk/shared\n", "b.conf": "path = /ho" "me/me/disk\n",
                          "c.py": "TMP = '/var" "/tmp/x'\n", "d": "deb http://deb.deb" "ian.org/debian x main\n"}, 4),
    "markdown_links": ({"a.md": "[b](b.md) [c](#nothing)\n# Some thing\n[d](#some-thing)\n"}, 2),
    "manual_matches_program": ({"src/cli/a.c": 'x("config");\n', "docs/man/a.1": ".B \\-\\-config \\-\\-colour\n",
                                "docs/man/b.5": ".B weight = N\n"}, 2),
    "ring_memory_users": ({"src/devices/disk/a.c": "x = shared_read(&p->type);\n",
                           "src/arbiter/b.c": "p = guest_memory_at(m, a, 4);\n"}, 2),
    "no_assert_on_shared": ({"src/interfaces/virtio/a.c": "assert(\n\tshared_read(&ring->idx) < size);\n"}, 1),
    "placed_range_makers": ({"src/host/a.c": "struct placed_range r = { .offset_bytes = 0 };\n",
                             "src/arbiter/pool/pool.c": "io.range = (struct placed_range){ 0, 1 };\n",
                             "src/devices/b.c": "io->range.offset_bytes += 512;\n",
                             "src/arbiter/disk/disk_io.c": "bool disk_place(void)\n{\n}\nr = (struct placed_range){ 0, 5 };\n",
                             "src/devices/c.c": "f((struct placed_range){ 0, 512 });\n"}, 5),
    "rings_are_restricted": ({"src/core/loop_ring.c": "io_uring_queue_init_params(8, ring, &params);\n",
                              "src/host/a.c": "io_uring_queue_init(8, ring, 0);\nsyscall(__NR_io_uring_enter);\n"}, 1),
    "tour_is_true": ({"docs/tour.md": "| 1 | `f` | `src/core/a.c` | x |\n" + "".join(
        f"| {n} | `g` | `src/core/a{n}.c` | x |\n" for n in range(2, 22)), "src/core/a.c": "int f(void)\n"}, 22),
    "fuzz_targets_have_corpus": ({"tests/fuzz/fuzz_a.c": "", "tests/fuzz/fuzz_b.c": "",
                                  "tests/fuzz/corpus/b/1": "x"}, 1),
}

GOOD = {
    "meson.build": "# SPDX-License-Identifier: GPL-2.0-or-later\nfiles('src/arbiter/disk/disk_io.c', 'src/host/a.c')\n",
    "src/host/placed_range.h": C_SPDX + "struct placed_range {\n\tint offset_bytes;\n};\n",
    "src/host/a.c": C_SPDX + '#include "host/placed_range.h"\n/* not io.range.offset_bytes = 1; */\n'
                             "int f(struct placed_range *range)\n{\n\tg((struct placed_range){ 0, 0 });\n"
                             "\treturn range->offset_bytes == 1;\n}\n",
    "src/arbiter/disk/disk_io.c": C_SPDX + '#include "host/placed_range.h"\n'
                                         "bool disk_place(void)\n{\n\tstruct placed_range r = { .offset_bytes = 1 };\n}\n",
    "docs/a.md": "# One thing\n[itself](#one-thing), [code](../src/host/a.c), `[no](link.md)`\n",
    "run": "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0-or-later\ncache=${HOME}/.cache/x; build/wo" "rk/x\n",
}


def make(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return rules.Tree(root, sorted(files))


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_catches(tmp_path, rule):
    files, count = BAD[rule.__name__]
    violations = rule(make(tmp_path, files))
    assert len(violations) == count, violations
    assert all(violation.split(":")[0] in files for violation in violations)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_lets_pass(tmp_path, rule):
    assert rule(make(tmp_path, GOOD)) == []


def test_exception_excuses_only_what_it_names():
    exceptions = rules.read_exceptions("file_lengths src/a.c generated table\nfunction_lengths src/b.c:parse one switch\n")
    assert rules.excused(rules.file_lengths, "src/a.c: has 600 lines", exceptions)
    assert not rules.excused(rules.file_lengths, "src/ab.c: has 600 lines", exceptions)
    assert rules.excused(rules.function_lengths, "src/b.c:3: parse has 80 lines", exceptions)
    assert not rules.excused(rules.function_lengths, "src/b.c:3: parser has 80 lines", exceptions)
    with pytest.raises(ValueError):
        rules.read_exceptions("file_lengths src/a.c\n")
