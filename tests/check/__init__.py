# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every test there is, as CI does: builds, cmocka programs, pytest, fuzzers, clang-tidy.

    kinds.py      what there is: builds, kinds of tests, the seconds planned for each
    programs.py   runs a program with its output in a log
    result.py     what a stage found
    builds.py, cmocka.py, pytests.py, fuzzers.py, tidy.py   the stages
    stages.py     which stages, in which order
    report.py     what is told at the end
    command.py    the command line
"""
