# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to run: builds, kinds of tests, and the seconds that each may take."""

CORES = 2

# name: (compiler, linker, meson options, whether only the programs of its tests are built). There are some 250 programs, each
# with nearly all of the code: one thread a link is the least work. The release build is linked as it is installed.
BUILDS = {
    # With the fuzzers; what clang-tidy reads; and clang's opinion of all there is, as the others are gcc's.
    "asan": ("clang-14", "lld", ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                          "-Dfuzzers=true", "-Dc_args=-fsanitize=fuzzer-no-link",
                          "-Dc_link_args=-Wl,--threads=1"], False),
    "release": ("gcc", "bfd", ["--buildtype=release"], False),
    # Only of what starts threads. gcc warns that it does not see fences; acquire and release it does see.
    "tsan": ("gcc", "lld", ["--buildtype=debugoptimized", "-Db_sanitize=thread", "-Dc_args=-Wno-tsan",
                     "-Dc_link_args=-Wl,--threads=1"], True),
}
# Kinds of cmocka programs (meson suites), and the builds each runs in.
MESON_KINDS = {
    "unit": ["asan", "release", "tsan"],
    "model": ["asan", "release"],
    "crash": ["asan", "release"],
    "platform": ["release"],
}
# Kinds of pytest folders: the build they use, and the cores they want for themselves. Those with half a core wait for more
# than half of their time: two of them run where one would leave a core idle.
PYTEST_KINDS = {
    "house": (None, 1),
    "wire": ("asan", 1),
    "daemon": ("release", 0.5),
    "cli": ("asan", 0.5),
    "guests": ("release", 1),
}
# In the order in which they begin: builds and what tells most come first, then what takes longest, so that no core is
# without work at the end.
KINDS = ["house", "unit", "guests", "cli", "tidy", "wire", "crash", "daemon", "model", "platform", "fuzz"]

# `./run check quick`: one build, and of the wire tests some that see most of the code.
QUICK_KINDS = ["house", "unit", "wire"]
QUICK_WIRE = ["test_handshake.py", "test_rings.py", "test_disk.py", "test_sockets.py"]

# What `./run check --long` adds. VIADUCT_LONG: a test that can run with more guest kernels than usual takes all of them.
LONG_ENVIRONMENT = {"VIADUCT_LONG": "1", "VIADUCT_KILLS": "200", "VIADUCT_TAKEOVERS": "100"}
FUZZ_S, FUZZ_LONG_S = 5, 600

# Seconds planned for each kind, as one of CORES cores counts them, builds included. The table at the end of a check
# compares them with what was used; nothing fails for it, but a kind that has outgrown its plan is the one to look at.
PLANNED_S = {
    "build": 380,
    "house": 20,
    "tidy": 420,
    "unit": 160,
    "model": 40,
    "crash": 50,
    "platform": 5,
    "wire": 180,
    "daemon": 160,
    "cli": 230,
    "guests": 570,
    "fuzz": 130,
}
# Kept free for what is to come.
LATER_S = {"network": 50, "seat": 100, "registers": 150, "system calls": 250, "Xen": 200}
# A whole check on an empty machine, today and when all of the above is there.
CHECK_S, CHECK_LATER_S = 20 * 60, 30 * 60
