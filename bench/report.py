# SPDX-License-Identifier: GPL-2.0-or-later
"""What the samples say: medians, ratios of samples taken side by side, and the targets."""
import statistics

MODE_NAMES = {"null": "null", "cache": "page cache", "direct": "O_DIRECT"}


class Samples:
    """Results by (mode, cell, client, engine); a list with one result for each round."""

    def __init__(self):
        self.results = {}

    def add(self, mode, cell, client, engine, result):
        self.results.setdefault((mode, cell, client, engine), []).append(result)

    def list(self, mode, cell, client, engine):
        if engine == "host":
            client = "event"        # the host has no ring to poll
        return self.results.get((mode, cell, client, engine), [])

    def median(self, mode, cell, client, engine, field):
        values = [result[field] for result in self.list(mode, cell, client, engine)]
        return statistics.median(values) if values else None

    def ratio(self, mode, cell, client, engine, other, field="iops"):
        """Median of the ratios round by round: what disturbs a whole round drops out."""
        pairs = zip(self.list(mode, cell, client, engine), self.list(mode, cell, client, other))
        ratios = [one[field] / two[field] for one, two in pairs if two[field] > 0]
        return statistics.median(ratios) if ratios else None

    def as_json(self):
        return [{"mode": mode, "cell": cell, "client": client, "engine": engine, "rounds": rounds}
                for (mode, cell, client, engine), rounds in self.results.items()]


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def kilo(value):
    return "-" if value is None else f"{value / 1000:.1f}"


def pair(samples, key, engine, fields, digits):
    values = [samples.median(*key, engine, field) for field in fields]
    return "/".join(number(value, digits) for value in values) if values[0] is not None else "-"


def table(samples, rows):
    """rows: (mode, cell, client). One line each, aligned."""
    header = ["mode", "case", "client", "host kIOPS", "Viaduct kIOPS", "qsd kIOPS", "V/host", "V/qsd", "host p50/p99 us",
              "Viaduct p50/p99 us", "qsd p50/p99 us", "V CPU % c+b", "qsd CPU % c+b"]
    lines = [header]
    for mode, cell, client in rows:
        key = (mode, cell, client)
        lines.append([MODE_NAMES[mode], cell, client]
                     + [kilo(samples.median(*key, engine, "iops")) for engine in ("host", "viaduct", "qsd")]
                     + [number(samples.ratio(*key, "viaduct", other)) for other in ("host", "qsd")]
                     + [pair(samples, key, engine, ("p50_us", "p99_us"), 1) for engine in ("host", "viaduct", "qsd")]
                     + [pair(samples, key, engine, ("cpu_percent", "peer_cpu_percent"), 0)
                        for engine in ("viaduct", "qsd")])
    return align(lines)


def align(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) if column < 3 else text.rjust(width)
                               for column, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


# With that many idle guests, doormen and porter included.
RESIDENT_MIB = {2: 16, 64: 96}


def targets(samples, idle, ring):
    """Lines of (case, what to reach, value or None, reached)."""
    result = []

    def target(case, value, reach, at_least=True, text=None):
        reached = None if value is None else (value >= reach if at_least else value <= reach)
        result.append({"case": case, "value": value, "reach": reach, "at_least": at_least, "reached": reached,
                       "text": text})

    read1, read32, write1, write32 = "randread 4K QD1", "randread 4K QD32", "randwrite 4K QD1", "randwrite 4K QD32"
    for client in ("event", "poll"):
        target(f"null 4K QD32, IOPS vs qsd, {client} client", samples.ratio("null", read32, client, "viaduct", "qsd"), 2.0)
    target("null 4K QD32, M IOPS, polling client", scaled(samples.median("null", read32, "poll", "viaduct", "iops"), 1e-6),
           4.0)
    target("null QD1 p50 us, polling client", samples.median("null", read1, "poll", "viaduct", "p50_us"), 1.0, False)
    target("page cache 4K QD32 vs host", samples.ratio("cache", read32, "event", "viaduct", "host"), 0.60)
    for cell in (read32, write32, "seqread 128K QD1", "seqread 128K QD32"):
        target(f"O_DIRECT {cell} vs host", samples.ratio("direct", cell, "event", "viaduct", "host"), 0.95)
    for cell in (read1, write1):
        target(f"O_DIRECT {cell} p50 vs host", samples.ratio("direct", cell, "event", "viaduct", "host", "p50_us"), 1.10,
               False)
    for kind in ("split", "packed"):
        target(f"ring code, ns for each chain, batch of 32, {kind}", ring and ring[f"{kind}_chain_ns"], 40, False)
    for guests, measured in idle.items():
        # With many, some are still being let in.
        if guests == min(idle):
            target(f"idle, {guests} guests, % of a core", measured and measured["cpu_percent"], 0.5, False)
        target(f"idle, {guests} guests, MiB resident", measured and measured["resident_bytes"] / (1 << 20), RESIDENT_MIB[guests],
               False)
    return result


def scaled(value, factor):
    return None if value is None else value * factor


def target_table(lines):
    rows = [["target", "", "", "reach", "measured", "result"]]
    for line in lines:
        result = "not measured" if line["reached"] is None else "reached" if line["reached"] else "SHORT"
        sign = ">=" if line["at_least"] else "<="
        rows.append([line["case"], "", "", f"{sign} {line['reach']:g}", number(line["value"], 3), result])
    return align(rows)
