# SPDX-License-Identifier: GPL-2.0-or-later
"""What is printed of the measured rows: ratios, waits, and what is short of its target."""
import statistics

FIGURES = {"p50": "p50_us", "p99": "p99_us", "longest": "max_us", "machine": "noise_us"}
HEADER = ["row", "what", "attacks", *(f"{name} x" for name in FIGURES), "polite p50/p99/longest us",
          "hostile p50/p99/longest us", "pause ms", "API ms", "target", ""]


def median(rounds, side, field):
    return statistics.median(each[side][field] for each in rounds)


def ratio(rounds, field):
    ratios = [each["hostile"][field] / each["polite"][field] for each in rounds if each["polite"][field] > 0]
    return statistics.median(ratios) if ratios else float("nan")


def longest_ms(rounds, side, field):
    """Of all rounds."""
    return max(each[side][field] for each in rounds) / 1000


# ---- targets ----

TERM_S, START_S = 2.0, 1.0      # what the daemon may take to end, and to be back after kill -9

def excess(result):
    """How far a result is from its targets, as a part of them, by name; what is not above 0 is within."""
    rounds, limits = result["rounds"], result["limits"]
    pause = longest_ms(rounds, "hostile", "max_us") - longest_ms(rounds, "polite", "max_us")
    api = longest_ms(rounds, "hostile", "api_max_us")
    return {"pause": pause / limits["pause_ms"] - 1, "API": api / limits["api_ms"] - 1}


def short(result):
    """The names of what is short."""
    return [name for name, beyond in excess(result).items() if beyond > 0]


def middle(results):
    """Of several measurements of a row: the one that counts."""
    return sorted(results, key=lambda result: max(excess(result).values()))[len(results) // 2]


def judgement(names):
    return "SHORT: " + ", ".join(names) if names else "ok"


# ---- lines ----

def line_of(result):
    rounds = result["rounds"]
    words = [result["row"], result["title"], str(sum(each["actions"] for each in rounds))]
    words += [f"{ratio(rounds, field):.2f}" for field in FIGURES.values()]
    for side in ("polite", "hostile"):
        words.append(" / ".join(f"{median(rounds, side, field):.0f}" for field in ("p50_us", "p99_us", "max_us")))
    for field in ("max_us", "api_max_us"):
        words.append(f"{longest_ms(rounds, 'hostile', field):.1f} ({longest_ms(rounds, 'polite', field):.1f})")
    return words + [judgement(short(result)), result["note"]]


def line_of_ends(result):
    names = [name for name, limit_s in (("term", TERM_S), ("start", START_S)) if result[f"{name}_s"] > limit_s]
    return [result["row"], result["title"], f"{result['term_s']:.2f}", f"{result['start_s']:.2f}", judgement(names)]


def aligned(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines)


def waits(results):
    return aligned([HEADER, *map(line_of, results)])


def of_ends(results):
    return aligned([["row", "what", "SIGTERM s", "kill -9 and start s", "target"], *map(line_of_ends, results)])
