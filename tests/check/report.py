# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told: a line when a stage ends, then failures, skips, the times, and the closing line."""
from check.kinds import PLANNED_S


def tell(stage):
    counts = f"{stage.result.passed} passed, {len(stage.result.failures)} failed"
    if stage.result.skips:
        counts += f", {len(stage.result.skips)} skipped"
    if stage.name.startswith("build ") and not stage.result.failures:
        counts = "built"
    print(f"check: {stage.name:<22} {stage.seconds:6.1f} s   {counts}", flush=True)


def used_seconds(stages):
    """Seconds of one core that each kind has used."""
    used = {}
    for stage in stages:
        used[stage.kind] = used.get(stage.kind, 0) + stage.seconds * stage.cores
    return used


def tell_times(stages):
    """What each kind was planned to take and took; nothing fails for it."""
    print(f"check: {'seconds of a core':<22} {'planned':>8} {'used':>8}")
    for kind, used in used_seconds(stages).items():
        planned = PLANNED_S.get(kind)
        note = "   more than planned" if planned and used > planned else ""
        print(f"check: {kind:<22} {planned or '-':>8} {used:>8.0f}{note}")


def report(stages):
    """Tells the failures and skips, then the closing line; returns the exit status."""
    passed = sum(stage.result.passed for stage in stages)
    failures = [failure for stage in stages for failure in stage.result.failures]
    skips = [skip for stage in stages for skip in stage.result.skips]
    for name, text, again in failures:
        print(f"\nFAILED {name}")
        if text.strip():
            print("    " + text.strip().replace("\n", "\n    "))
        if again:
            print(f"alone: {again}")
    for name, reason in skips:
        print(f"skipped {name}: {reason}")
    if passed == 0 and not failures and not skips:
        failures.append(("no test ran", "", ""))
        print("\nFAILED no test ran")
    tell_times(stages)
    print(f"{passed} passed, {len(failures)} failed" + (f", {len(skips)} skipped" if skips else ""), flush=True)
    return 1 if failures or passed == 0 else 0
