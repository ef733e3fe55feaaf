# SPDX-License-Identifier: GPL-2.0-or-later
"""Verified writes and reads, many in flight, that go on over lost connections: what a guest does while we are killed."""
import random
import select
import struct
import time

import blk
from patience import PATIENCE_S

BLOCK_SECTORS = 8


class Load:
    """Keeps up to `depth` requests in flight, at most one on each block. Every answer must be OK and right."""

    def __init__(self, front, seed, blocks=256, depth=16, first_block=0, flushes=True):
        self.front, self.disk = front, front.disk()
        self.random = random.Random(seed)
        self.seed, self.blocks, self.depth, self.first_block, self.flushes = seed, blocks, depth, first_block, flushes
        self.generation = [None] * blocks       # None: not yet known
        self.flying = {}                        # Request -> (kind, block, generation)
        self.completed = self.reconnects = 0
        self.longest = 0.0                      # seconds without any completion
        self._last = time.monotonic()

    def pattern(self, block, generation):
        return struct.pack("<IIQ", self.seed, block, generation) * (BLOCK_SECTORS * blk.SECTOR // 16)

    def fill(self):
        """Submits until `depth` requests are in flight or the ring is full."""
        busy = {block for _, block, _ in self.flying.values()}
        while len(self.flying) < self.depth:
            block = self.random.randrange(self.blocks)
            if block in busy:
                continue
            busy.add(block)
            sector = (self.first_block + block) * BLOCK_SECTORS
            choice = self.random.random()
            try:
                if self.flushes and choice < 0.05:
                    kind, generation, request = blk.FLUSH, None, self.disk.submit(blk.FLUSH, 0)
                elif choice < 0.65 or self.generation[block] is None:
                    kind, generation = blk.OUT, (self.generation[block] or 0) + 1
                    request = self.disk.submit(blk.OUT, sector, self.pattern(block, generation))
                else:
                    kind, generation = blk.IN, self.generation[block]
                    request = self.disk.submit(blk.IN, sector, BLOCK_SECTORS * blk.SECTOR)
            except BufferError:
                return
            self.flying[request] = kind, block, generation

    def collect(self):
        """Takes what is complete and verifies it."""
        done = self.disk.queue.done
        for request in [request for request in self.flying if request.chain in done]:
            done.pop(request.chain)
            kind, block, generation = self.flying.pop(request)
            status, data = self.disk.collect(request)
            assert status == blk.OK, f"type {kind} on block {block}: status {status} after {self.reconnects} reconnects"
            if kind == blk.OUT:
                self.generation[block] = generation
            elif kind == blk.IN:
                self.compare(block, data)
            self.completed += 1
            now = time.monotonic()
            self.longest, self._last = max(self.longest, now - self._last), now

    def compare(self, block, data):
        expected = self.pattern(block, self.generation[block])
        assert data == expected, (f"block {block}: expected generation {self.generation[block]}, got "
                                  f"{data[:16].hex()} (seed {self.seed}, after {self.reconnects} reconnects)")

    def lost(self):
        connection = self.front.connection
        return bool(select.select([connection.sock], [], [], 0)[0]) and connection.wait_closed(0)

    def step(self, submit=True):
        if submit:
            self.fill()
        queue = self.disk.queue
        queue.wait_for(lambda: any(request.chain in queue.done for request in self.flying), 0.02)
        self.collect()
        if self.lost():
            self.front.reconnect()
            self.reconnects += 1

    def run(self, until):
        """Goes on while until() is false."""
        while not until():
            self.step()

    def finish(self):
        """Every request still in flight completes; every block holds what was last acknowledged."""
        deadline = time.monotonic() + PATIENCE_S
        self.step(submit=False)         # the connection may be lost since the last answer, with nothing in flight
        while self.flying:
            self.step(submit=False)
            assert time.monotonic() < deadline, f"{len(self.flying)} requests never completed"
        for block, generation in enumerate(self.generation):
            if generation is not None:
                self.compare(block, self.disk.read((self.first_block + block) * BLOCK_SECTORS, BLOCK_SECTORS))
