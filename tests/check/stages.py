# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages: what has to be run for what was asked, and running it on a few cores."""
import threading
import time

from check import builds, cmocka, fuzzers, pytests, tidy
from check.kinds import BUILDS, CORES, KINDS, MESON_KINDS, PYTEST_KINDS, QUICK_WIRE
from check.report import tell
from check.result import Result


class Stage:
    """Something to run: of which kind, after what, and how many cores it wants for itself."""

    def __init__(self, name, action, after=(), cores=1):
        self.name, self.action, self.after, self.cores = name, action, set(after), cores
        self.result = None
        self.seconds = 0.0

    @property
    def kind(self):
        return self.name.split()[0]


class Plan:
    """Collects the stages for what was asked."""

    def __init__(self, options):
        self.options = options
        self.everything = not options.kinds
        self.stages = []

    def need(self, build_name):
        """A stage that builds it; its name."""
        name = f"build {build_name}"
        if name not in [stage.name for stage in self.stages]:
            self.stages.append(Stage(name, lambda: builds.build(build_name)))
        return name

    def add_cmocka(self, kind):
        options = self.options
        # A developer who names a kind wants an answer soon: the sanitized build only, unless told otherwise.
        chosen = MESON_KINDS[kind] if self.everything or options.all_builds else MESON_KINDS[kind][:1]
        for name in [options.build] if options.build else chosen:
            self.stages.append(Stage(f"{kind} {name}", lambda name=name: cmocka.run(kind, name, options.keyword),
                                     [self.need(name)]))

    def add_pytest(self, kind):
        build_name, cores = PYTEST_KINDS[kind]
        arguments = ["-k", self.options.keyword] if self.options.keyword else []
        files = QUICK_WIRE if self.options.quick and kind == "wire" else []
        timeout = 6 * 3600 if self.options.long else 2400
        self.stages.append(Stage(kind, lambda: pytests.run(kind, arguments, files, timeout),
                                 [self.need(build_name)] if build_name else [], cores))

    def add_fuzz(self):
        options = self.options
        targets = [target for target in fuzzers.targets() if options.keyword in target]
        if not targets:
            empty = Result()
            empty.fail("fuzz: no target")
            self.stages.append(Stage("fuzz", lambda: empty))
            return
        need = [self.need("asan")]
        self.stages.append(Stage("fuzz corpus", lambda: fuzzers.corpus(options.keyword), need))
        for target in targets:
            self.stages.append(Stage(f"fuzz {target}", lambda target=target:
                                     fuzzers.run(target, options.fuzz_seconds, options.keep_corpus), need))

    def add(self, kind):
        if kind in MESON_KINDS:
            self.add_cmocka(kind)
        elif kind in PYTEST_KINDS:
            self.add_pytest(kind)
        elif kind == "tidy":
            # Beside other stages it is content with what they leave.
            cores = 1 if self.everything else CORES
            self.stages.append(Stage("tidy", lambda: tidy.run(cores), [self.need("asan")], cores))
        elif kind == "fuzz":
            self.add_fuzz()


def plan(options):
    """The stages for what was asked, in the order in which they should begin."""
    made = Plan(options)
    for kind in options.kinds or KINDS:
        made.add(kind)
    if made.everything:
        for name in BUILDS:
            made.need(name)
    return made.stages


def finish_stage(stage, started):
    """Runs a stage's action; whatever goes wrong inside is a failure of the stage."""
    try:
        stage.result = stage.action()
    except Exception as error:  # pylint: disable=broad-except
        stage.result = Result()
        stage.result.fail(f"{stage.name}: {type(error).__name__}: {error}")
    stage.seconds = time.monotonic() - started


def execute(stages):
    """Runs the stages in order of the list where their needs allow, on CORES cores."""
    waiting, running, done = list(stages), [], {}
    condition = threading.Condition()

    def body(stage):
        finish_stage(stage, time.monotonic())
        with condition:
            running.remove(stage)
            done[stage.name] = stage
            tell(stage)
            condition.notify()

    with condition:
        while waiting or running:
            free = CORES - sum(stage.cores for stage in running)
            ready = [stage for stage in waiting if stage.after <= done.keys()]
            broken = [stage for stage in ready if any(done[name].result.failures for name in stage.after)]
            for stage in broken:
                waiting.remove(stage)
                stage.result = Result()
                stage.result.fail(f"{stage.name}: not run, because its build failed")
                done[stage.name] = stage
                tell(stage)
            if broken:
                continue
            fitting = [stage for stage in ready if stage.cores <= free]
            if fitting:
                stage = fitting[0]
                waiting.remove(stage)
                running.append(stage)
                threading.Thread(target=body, args=[stage], daemon=True).start()
            else:
                condition.wait()
