# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the threat model that concern rings, sockets, disks and peers, and the names of their tests.

test_coverage.py fails when a row has no test. Numbers are those of docs/threat-model.md.
"""

RINGS = {
    "A1": "chain-loops-to-itself",
    "A2": "chain-loops-over-several",
    "A3": "chain-longer-than-queue-by-indirect",
    "A4": "next-beyond-queue",
    "A5": "head-beyond-queue",
    "A6": "available-index-jumps",
    "A9": "zero-length-descriptor",
    "A10": "address-in-no-region",
    "A11": "address-and-length-wrap",
    "A12": "buffer-across-adjacent-regions-works",
    "A14": "lengths-overflow",
    "A15": "indirect-with-next",
    "A16": "indirect-in-indirect",
    "A17": "indirect-bad-length",
    "A18": "indirect-table-across-regions-works",
    "A19": "indirect-not-negotiated",
    "A20": "writable-before-readable",
    "A21": "descriptor-changed-while-read",
    "A22": "header-changed-while-read",
    "A24": "memory-mapped-read-only",
    "A26": "ring-beyond-region",
    "A27": "event-index-insane",
    "A28": "packed-wrap-and-id",
    "A30": "buffer-is-the-used-ring",
}

SOCKET = {
    "B1": "header-size-lies",
    "B2": "message-in-pieces",
    "B3": "idle-connections",
    "B4": "unknown-request-flags-version",
    "B6": "wrong-number-of-descriptors",
    "B7": "descriptor-of-wrong-kind",
    "B9": "call-descriptor-full",
    "B10": "queue-index-too-large",
    "B11": "ring-size-wrong",
    "B12": "ring-size-repeated",
    "B14": "ring-address-while-running",
    "B15": "kick-before-setup",
    "B16": "stop-with-requests-in-flight",
    "B17": "memory-table-wrong",
    "B19": "memory-changes-under-load",
    "B20": "too-many-regions",
    "B21": "remove-unknown-region",
    "B22": "memory-file-truncated",
    "B24": "memory-file-whose-pages-never-come",
    "B25": "log-base-wrong",
    "B26": "inflight-repeated-or-absurd",
    "B27": "inflight-record-tampered",
    "B29": "features-never-offered",
    "B30": "set-config-wrong",
    "B31": "get-config-wrong",
    "B32": "backend-channel-never-read",
    "B34": "iotlb-not-offered",
    "B35": "device-state-while-rings-run",
    "B36": "reset-and-disconnect-in-a-loop",
    "B37": "second-front-end",
    "B38": "messages-not-offered",
    "B39": "kick-storm",
}

DISK = {
    "C1": "range-outside-disk",
    "C3": "unknown-type-and-read-only",
    "C5": "queue-full-of-flushes",
}

DISPLAY = {
    "C12": "pictures-of-no-size",
    "C14": "backing-that-is-none",
    "C15": "shown-and-gone",
    "C17": "storm-of-flushes",
}

REGISTERS = {
    "C19": "nvme-registers-and-queues",
    "C23": "vfio-user-messages",
}

ENVIRONMENT = {
    "D1": "no-space-left",
    "D2": "physical-errors",
    "D3": "short-transfers",
    "D4": "disk-hangs",
    "D5": "io-uring-unavailable",
    "D7": "out-of-descriptors",
    "D9": "log-blocked",
    "D10": "config-folder-read-only",
    "D11": "killed-under-load",
    "D12": "stopped-and-continued",
    "D14": "bit-rot-in-pool",
}

# Peers' descriptors, starts and stops, and sizes.
PEERS = {
    "E1": "descriptor-slow-to-close",
    "E2": "unread-descriptor-slow-to-close",
    "E3": "descriptors-without-end",
    "E4": "memory-file-locked",
    "E5": "eventfd-switched-to-wait",
    "E6": "rings-started-and-stopped",
    "E7": "record-resubmitted",
    "E8": "request-of-a-gigabyte",
    "E9": "request-larger-than-any",
    "E10": "eventfd-with-many-waiters",
    "E11": "memory-being-punched",
    "E12": "memory-freed-last",
}

ALL = {**RINGS, **SOCKET, **DISK, **DISPLAY, **REGISTERS, **ENVIRONMENT, **PEERS}


def row_id(row, *vector):
    """"A1-chain-loops-to-itself-split": the id of a parametrised test."""
    return "-".join([row, ALL[row], *vector])
