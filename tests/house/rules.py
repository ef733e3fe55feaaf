# SPDX-License-Identifier: GPL-2.0-or-later
"""The house rules that a script can see. A rule takes a Tree and returns its violations, one string each.

A violation starts with `PATH:` or `PATH:LINE:`; exceptions.txt may excuse it, with a reason.
"""
import ast
import pathlib
import re
import subprocess

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

# What each folder of src may include, besides itself: the stages to its right, and core.
STAGES = ["interfaces", "devices", "arbiter", "host", "core"]
INCLUDES = {stage: set(STAGES[index:]) for index, stage in enumerate(STAGES)}
INCLUDES["daemon"] = {"daemon", *STAGES}
INCLUDES["frontend"] = {"frontend", "core"}
INCLUDES["cli"] = {"cli", "frontend", "core"}

# Rooms inside a folder: what a file in each may include, by the beginning of the header's name. A file's room is the
# longest name here that its path begins with, and its row replaces the row of the folder around it.
ROOMS = {
    "interfaces": ("interfaces/endpoint", "interfaces/door/porter.h", "core/"),     # for every protocol, and knows none
    "interfaces/door": ("interfaces/door/", "interfaces/endpoint_fd.h", "core/"),   # is told how a protocol is framed
    "interfaces/serial": ("interfaces/serial/", "interfaces/endpoint", "core/"),
    "interfaces/virtio": ("interfaces/virtio/", "devices/virtio_model.h", "core/"),
    "interfaces/vhost_user": ("interfaces/vhost_user/", "interfaces/virtio/", "interfaces/endpoint",
                              "interfaces/door/", "devices/virtio_model.h", "core/"),
    "interfaces/virtio_pci": ("interfaces/virtio_pci/", "interfaces/virtio/", "devices/virtio_model.h", "devices/register_model.h",
                              "core/"),    # a device made of registers outside, rings inside
    "interfaces/vfio_user": ("interfaces/vfio_user/", "interfaces/endpoint", "interfaces/door/", "devices/register_model.h", "core/"),
    "interfaces/vhost_user_gpu": ("interfaces/vhost_user_gpu/", "interfaces/door/", "arbiter/seat/seat.h", "core/"),
    "interfaces/vmm_display": ("interfaces/vmm_display/", "interfaces/endpoint", "interfaces/door/", "arbiter/seat/seat.h",
                               "core/"),
    "devices": ("devices/", "arbiter/disk/disk.h", "arbiter/switch/port.h", "core/"),  # what models call, no more
    "arbiter/disk": ("arbiter/disk/", "arbiter/share/", "arbiter/pool/", "host/", "core/"),
    "arbiter/share": ("arbiter/share/", "core/"),       # for devices of any kind
    "arbiter/pool": ("arbiter/pool/", "host/", "core/"),
    "arbiter/seat": ("arbiter/seat/", "core/"),
    "arbiter/switch": ("arbiter/switch/", "arbiter/share/", "host/", "core/"),
    "host/viewer": ("host/viewer/", "core/"),           # a process of its own
    "host/input": ("host/input/", "core/"),
    "host/screen": ("host/screen/", "core/"),
    "host/web": ("host/web/", "host/viewer/", "core/"),     # the same, which becomes a viewer
}
DAEMON_ROOMS = ["config", "base", "share", "device", "disk", "nic", "seat", "console", "api"]     # each includes those before it, but:
DAEMON_NEIGHBOURS = {"disk", "nic", "seat", "console"}     # know nothing of each other
DAEMON_EXTRA = {"config": ("arbiter/share/", "host/"), "share": ("arbiter/share/",), "device": ("interfaces/", "devices/virtio_model.h"),
                "disk": tuple(f"{stage}/" for stage in STAGES), "nic": tuple(f"{stage}/" for stage in STAGES),
                "seat": tuple(f"{stage}/" for stage in STAGES),
                "console": ("interfaces/", "devices/", "core/"), "api": ("arbiter/",)}
for _index, _room in enumerate(DAEMON_ROOMS):
    _before = [known for known in DAEMON_ROOMS[:_index] if not {_room, known} <= DAEMON_NEIGHBOURS]
    ROOMS[f"daemon/{_room}"] = (*(f"daemon/{known}/" for known in (*_before, _room)), "core/", *DAEMON_EXTRA.get(_room, ()))

SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
SOURCES = {".c", ".h", ".py", ".sh", ".build", ".yaml", ".yml", ".js", ".bt"}


class Tree:
    """The files of a checkout (or of a sample), read once."""

    def __init__(self, root, files=None):
        self.root = pathlib.Path(root)
        if files is None:
            listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"], cwd=self.root, check=True,
                                    capture_output=True, text=True).stdout
            files = sorted(name for name in listed.split("\0") if name and (self.root / name).is_file())
        self.texts = {}
        for name in files:
            try:
                self.texts[name] = (self.root / name).read_text()
            except UnicodeDecodeError:
                pass  # a corpus, a picture
        self.files = files

    def matching(self, *suffixes, under=""):
        for name, text in self.texts.items():
            if name.startswith(under) and name.endswith(suffixes):
                yield name, text

    def numbered(self, *suffixes, under=""):
        for name, text in self.matching(*suffixes, under=under):
            for number, line in enumerate(text.splitlines(), 1):
                yield name, number, line


def code_only(text):
    """C source with comments and the insides of strings blanked, so that line numbers stay."""
    def blank(match):
        found = match.group(0)
        if found.startswith('"') or found.startswith("'"):
            return found[0] + " " * (len(found) - 2) + found[-1]
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


# ---- shape ----

def room_of(path):
    """The room of ROOMS that a path below src is in, or None."""
    return max((room for room in ROOMS if path.startswith(room + "/")), key=len, default=None)


def include_directions(tree):
    """Includes go to the right: interfaces, devices, arbiter, host, core; inside a folder as ROOMS says."""
    found = []
    for name, number, line in tree.numbered(".c", ".h", under="src/"):
        included = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not included:
            continue
        folder, target = name.split("/")[1], included.group(1)
        room = room_of(name.removeprefix("src/"))
        allowed = ROOMS[room] if room else tuple(f"{known}/" for known in INCLUDES.get(folder, ()))
        if not target.startswith(allowed):
            found.append(f"{name}:{number}: {room or folder} may not include {target}")
    return found


def includes_from_root(tree):
    """Project headers are named from src; those of tests and bench from wherever their meson.build says."""
    found = []
    for name, number, line in tree.numbered(".c", ".h"):
        included = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not included:
            continue
        target = included.group(1)
        known = f"src/{target}" in tree.files
        if not name.startswith("src/"):
            known = known or any(file.endswith(f"/{target}") for file in tree.files)
        if ".." in target or not known:
            found.append(f'{name}:{number}: "{target}" is not named from the src folder')
    return found


def function_lengths(tree):
    """A function has at most FUNCTION_LINES_MAX lines."""
    found = []
    for name, text in tree.matching(".c", ".h"):
        lines = text.splitlines()
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line.startswith("}") and start:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    heads = re.findall(r"^\w[^;=]*?(\w+)\(", "\n".join(lines[max(0, start - 6):start - 1]), re.M)
                    title = heads[-1] if heads else "?"
                    found.append(f"{name}:{start}: {title} has {number - start + 1} lines")
                start = None
    for name, text in tree.matching(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found.append(f"{name}:{node.lineno}: {node.name} has {lines} lines")
    return found


def file_lengths(tree):
    """A source file has at most FILE_LINES_MAX lines."""
    return [f"{name}: has {len(text.splitlines())} lines" for name, text in tree.matching(".c", ".h", ".py")
            if len(text.splitlines()) > FILE_LINES_MAX]


def line_widths(tree):
    """Lines of C stay within the columns of .clang-format, tabs counted as its TabWidth."""
    style = tree.texts.get(".clang-format", "")
    limit, tab = (int(re.search(rf"^{key}:\s*(\d+)", style, re.M).group(1)) if key in style else default
                  for key, default in (("ColumnLimit", 110), ("TabWidth", 8)))
    return [f"{name}:{number}: has {len(line.expandtabs(tab))} columns, at most {limit} are wanted"
            for name, number, line in tree.numbered(".c", ".h") if len(line.expandtabs(tab)) > limit]


def no_struct_typedefs(tree):
    """Structs and enums keep their tag."""
    return [f"{name}:{number}: typedef of a struct, union or enum" for name, number, line in tree.numbered(".c", ".h")
            if re.match(r"\s*typedef\s+(struct|union|enum)\b", line)]


def sources_are_built(tree):
    """Every C file is named in the meson.build beside it, or in one above it."""
    found = []
    for name, _ in tree.matching(".c"):
        path = pathlib.PurePosixPath(name)
        stem = re.sub(r"^(test|fuzz)_", "", path.stem) if name.startswith("tests/") else path.stem
        builds = "\n".join(tree.texts.get(str(folder / "meson.build"), "") for folder in path.parents)
        if not re.search(rf"['/](test_|fuzz_)?{re.escape(stem)}(\.c)?'", builds) and f"'{path.name}'" not in builds:
            found.append(f"{name}: no meson.build names it")
    return found


# ---- words ----

def spdx_lines(tree):
    """Every source and script says its licence in its first lines."""
    found = []
    for name, text in tree.texts.items():
        path = pathlib.PurePosixPath(name)
        is_source = path.suffix in SOURCES or path.name == "meson.build" or text.startswith("#!")
        if is_source and SPDX not in "\n".join(text.splitlines()[:3]):
            found.append(f"{name}: no SPDX line")
    return found


# Spelled in pieces, so that this file does not break its own rule.
MACHINE_PATHS = re.compile("|".join([
    r"(?<![\w.}])/" + r"work/", r"(?<![\w.}])/" + r"root/", r"(?<![\w.}])/" + r"home/\w", r"(?<![\w.}])/var" + r"/tmp/",
    r"\b(deb|snapshot|security|ftp)\." + r"debian\.org", r"registry\." + r"npmjs", r"packages\.cloud\." + r"google",
    r"/usr/local/" + r"cuda", r"\.pyenv" + r"/",
]))


def no_machine_paths(tree):
    """Nothing names a folder or a package mirror of somebody's machine."""
    return [f"{name}:{number}: names a place of one machine: {line.strip()[:80]}"
            for name, number, line in tree.numbered("")
            if name != "COPYING" and not name.startswith("tests/fuzz/corpus/") and MACHINE_PATHS.search(line)]


def anchor(heading):
    """The anchor that a Markdown heading gets."""
    text = re.sub(r"[`*_]|\[|\]\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def markdown_links(tree):
    """Links between our documents lead to files and headings that exist."""
    found = []
    for name, text in tree.matching(".md"):
        shown = re.sub(r"^```.*?^```", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.M | re.S)
        for number, line in enumerate(shown.splitlines(), 1):
            for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z]+:", target):
                    continue
                file_part, _, fragment = target.partition("#")
                path = tree.root / pathlib.PurePosixPath(name).parent / file_part if file_part else tree.root / name
                if not path.exists():
                    found.append(f"{name}:{number}: {target} does not exist")
                elif fragment and path.suffix == ".md":
                    headings = re.findall(r"^#+\s+(.*)$", path.read_text(), flags=re.M)
                    if fragment not in [anchor(heading) for heading in headings]:
                        found.append(f"{name}:{number}: {target}: no such heading")
    return found


def manual_matches_program(tree):
    """Each long option and configuration key that a manual page explains is a string in the program."""
    strings = set()
    for _, text in tree.matching(".c", ".h", under="src/"):
        strings.update(re.findall(r'"((?:\\.|[^"\\\n])*)"', text))
    words = set(re.findall(r"\w[\w-]*", " ".join(strings)))
    found = []
    for name, number, line in tree.numbered(".1", ".5", ".8", under="docs/man/"):
        plain = line.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "").replace("\\fP", "")
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", plain):
            if option not in words:
                found.append(f"{name}:{number}: option --{option} is in no program")
        key = re.match(r"\.(?:B|BR|IR|BI|TP)\s+([a-z_]+)\s*=", plain) if name.endswith(".5") else None
        if key and key.group(1) not in words:
            found.append(f"{name}:{number}: key {key.group(1)} is in no program")
    return found


# ---- safety ----

# The rings of devices made of registers.
REGISTER_RINGS = ("src/devices/disk/nvme_ring.c", "src/devices/disk/nvme_shadow.c", "src/devices/nic/e1000e_ring.c",
                  "src/devices/input/xhci_ring.c")
SHARED_USERS = ("src/interfaces/virtio/", *REGISTER_RINGS, "src/frontend/", "src/core/shared.h", "src/core/guest_memory.c")
SHARED_WORDS = re.compile(r"\bshared_(read|write|read_acquire|write_release|fence|copy_in)\b")
POINTER_USERS = ("src/interfaces/virtio/", *REGISTER_RINGS, "src/core/guest_memory.")
POINTER_WORDS = re.compile(r"\bguest_memory_at(_user)?\s*\(")


def ring_memory_users(tree):
    """Only the ring code sees pointers to guest metadata and uses the accessors for it."""
    found = []
    for name, text in tree.matching(".c", ".h", under="src/"):
        for number, line in enumerate(code_only(text).splitlines(), 1):
            if SHARED_WORDS.search(line) and not name.startswith(SHARED_USERS):
                found.append(f"{name}:{number}: shared-memory access outside the ring code")
            if POINTER_WORDS.search(line) and not name.startswith(POINTER_USERS):
                found.append(f"{name}:{number}: takes a pointer to guest metadata outside the ring code")
    return found


def no_assert_on_shared(tree):
    """What another party writes is checked, never asserted."""
    found = []
    for name, text in tree.matching(".c", ".h", under="src/"):
        for match in re.finditer(r"\bassert\s*\(([^;]*)\)\s*;", code_only(text)):
            if SHARED_WORDS.search(match.group(1)):
                found.append(f"{name}:{code_only(text)[:match.start()].count(chr(10)) + 1}: assert on shared memory")
    return found


PLACED_RANGE_MADE = re.compile(
    r"\(\s*struct\s+placed_range\s*\)\s*\{"                    # compound literal
    r"|\bstruct\s+placed_range\s+\w+\s*=\s*\{"                  # initialiser
    r"|\.range\s*=\s*\{"                                        # designated initialiser
    r"|\brange(\.|->)(offset_bytes|length_bytes)\s*([-+|&]|<<|>>)?=(?!=)"  # assignment to a member
    r"|\.range\.(offset_bytes|length_bytes)\s*=(?!=)")
# The body of the proof, which may.
PROOF = re.compile(r"^bool disk_place\(.*?^}", re.M | re.S)
# What a flush carries: no byte at all.
EMPTY_RANGE = re.compile(r"\(\s*struct\s+placed_range\s*\)\s*\{\s*(0\s*,\s*)?0\s*\}")


def placed_range_makers(tree):
    """Only disk_place(), the arbiter's proof, makes a placed_range."""
    found = []
    for name, text in tree.matching(".c", ".h", under="src/"):
        code = code_only(text)
        if name == "src/arbiter/disk/disk_io.c":
            code = PROOF.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), code)
        for match in PLACED_RANGE_MADE.finditer(code):
            if EMPTY_RANGE.match(code, match.start()):
                continue
            number = code[:match.start()].count("\n") + 1
            found.append(f"{name}:{number}: {match.group(0)}: only disk_place() makes a placed_range")
    return found


RING_MAKER = "src/core/loop_ring.c"
RING_MADE = re.compile(r"\bio_uring_(queue_init\w*|setup)\b")


def rings_are_restricted(tree):
    """The daemon's rings are made in one place, which restricts them."""
    return [f"{name}:{number}: makes a ring that is not restricted"
            for name, text in tree.matching(".c", ".h", under="src/") if name != RING_MAKER
            for number, line in enumerate(code_only(text).splitlines(), 1) if RING_MADE.search(line)]


def fuzz_targets_have_corpus(tree):
    """Each fuzz target starts from a committed corpus."""
    found = []
    for name, _ in tree.matching(".c", under="tests/fuzz/fuzz_"):
        target = pathlib.PurePosixPath(name).stem[len("fuzz_"):]
        if not any(file.startswith(f"tests/fuzz/corpus/{target}/") for file in tree.files):
            found.append(f"{name}: no corpus in tests/fuzz/corpus/{target}")
    return found


TOUR = "docs/tour.md"
TOUR_ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|", re.M)
# Functions and files. A request has its way in, and its answer back; a frame passes the rings of two guests, and is read,
# addressed and paid for in between. A flush passes three processes, and is answered.
TOUR_MAX = {"a read": (20, 7), "a frame": (34, 10), "an NVMe read": (17, 10), "a flush": (21, 10), "a key": (8, 7),
            "a virtio flush": (5, 5)}


def tour_is_true(tree):
    """docs/tour.md names functions that are where it says, and no more than a request or a frame should pass.

    That it names all functions on the ways of a read and a frame is shown by traces: tests/tour.
    """
    if TOUR not in tree.texts:
        return []
    found = [f"{TOUR}: {function}() is not in {path}" for _, function, path in TOUR_ROW.findall(tree.texts[TOUR])
             if not re.search(rf"^[a-z].*\b{function}\(", tree.texts.get(path, ""), re.M)]
    tables = [rows for rows in map(TOUR_ROW.findall, re.split(r"^#", tree.texts[TOUR], flags=re.M)) if rows]
    if len(tables) > len(TOUR_MAX) or not tables:
        found.append(f"{TOUR}: {len(tables)} tables; how long may each way be?")
    for (way, (functions_max, files_max)), rows in zip(TOUR_MAX.items(), tables):
        if len(rows) > functions_max:
            found.append(f"{TOUR}: {len(rows)} functions on the way of {way}, at most {functions_max} wanted")
        if len({path for _, _, path in rows}) > files_max:
            found.append(f"{TOUR}: more than {files_max} files on the way of {way}")
    return found


RULES = [include_directions, includes_from_root, function_lengths, file_lengths, line_widths, no_struct_typedefs, sources_are_built,
         spdx_lines, no_machine_paths, markdown_links, manual_matches_program, ring_memory_users, no_assert_on_shared,
         placed_range_makers, rings_are_restricted, fuzz_targets_have_corpus, tour_is_true]


# ---- exceptions ----

def read_exceptions(text):
    """Lines `RULE PATH[:WORD] REASON`; WORD is a word that the violation must hold. Returns a list of tuples."""
    result = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(None, 2)
        if len(fields) < 3:
            raise ValueError(f"line {number}: an exception is RULE PATH[:WORD] REASON")
        path, _, word = fields[1].partition(":")
        result.append((fields[0], path, word, fields[2]))
    return result


def excused(rule, violation, exceptions):
    """The exception that covers a violation, or None."""
    for exception in exceptions:
        name, path, word, _ = exception
        if name == rule.__name__ and violation.startswith(path + ":") and re.search(rf"\b{re.escape(word)}\b", violation):
            return exception
    return None
