# SPDX-License-Identifier: GPL-2.0-or-later
"""Every kind and size of ring carries the right bytes."""
import os
import random

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from patience import wait_until

RINGS = [pytest.param(packed, indirect, event_idx, in_order,
                      id="-".join(["packed" if packed else "split"]
                                  + [name for name, on in (("indirect", indirect), ("event", event_idx),
                                                           ("inorder", in_order)) if on]))
         for packed in (False, True) for indirect in (False, True) for event_idx in (False, True)
         for in_order in (False, True)]


def exercise(disk, seed, rounds=60, depth=12, blocks=256):
    """Random verified reads and writes, several in flight, no two of them on one block."""
    rng = random.Random(seed)
    content, flying = {}, {}
    for _ in range(rounds):
        while len(flying) < depth:
            block = rng.randrange(blocks)
            if any(block == other for other, _ in flying.values()):
                continue
            data = rng.randbytes(4096) if rng.random() < 0.6 else None
            try:
                request = disk.submit(blk.IN if data is None else blk.OUT, block * 8, 4096 if data is None else data)
            except BufferError:
                break
            flying[request] = block, data
        ready = lambda: any(request.chain in disk.queue.done for request in flying)
        assert disk.queue.wait_for(ready), f"no completion; {len(flying)} in flight (seed {seed})"
        for request in [r for r in flying if r.chain in disk.queue.done]:
            disk.queue.done.pop(request.chain)
            block, data = flying.pop(request)
            status, got = disk.collect(request)
            assert status == blk.OK
            if data is None:
                assert got == content.get(block, got), f"block {block} (seed {seed})"
            content[block] = got if data is None else data
    while flying:
        request, (block, data) = flying.popitem()
        status, got = disk.finish(request)
        assert status == blk.OK and (data is not None or got == content.get(block, got))
        content[block] = got if data is None else data
    for block, data in content.items():
        assert disk.read(block * 8, 8) == data, f"block {block} at the end (seed {seed})"


@pytest.mark.parametrize("packed, indirect, event_idx, in_order", RINGS)
def test_ring_kinds(alice, packed, indirect, event_idx, in_order):
    setup = Setup(packed=packed, indirect=indirect, event_idx=event_idx, in_order=in_order, size=64)
    with FrontEnd.start(alice, setup) as front:
        exercise(front.disk(), seed=1)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 256, 1024])
def test_ring_sizes(alice, packed, size):
    """Chains of three need indirect descriptors on rings of one and two; indices wrap many times on small ones."""
    with FrontEnd.start(alice, Setup(packed=packed, size=size)) as front:
        exercise(front.disk(), seed=size, rounds=40, depth=min(size, 16))


@pytest.mark.parametrize("size", [3, 5, 100, 1000])
def test_packed_ring_of_any_size(alice, size):
    """A packed ring's size need not be a power of two (virtio 1.2, 2.8.10.1)."""
    with FrontEnd.start(alice, Setup(packed=True, indirect=False, size=size)) as front:
        exercise(front.disk(), seed=size, rounds=40, depth=4)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("queues", [1, 2, 3, 4])
def test_queues(alice, packed, queues):
    """All queues see one disk, and each completes its own requests only."""
    with FrontEnd.start(alice, Setup(packed=packed, queues=queues)) as front:
        requests = []
        for index in range(queues):
            data = bytes([index + 1]) * 4096
            requests.append((front.disk(index), data, front.disk(index).submit(blk.OUT, index * 8, data)))
        for disk, _, request in requests:
            assert disk.finish(request)[0] == blk.OK
        for index in range(queues):
            # read through the neighbour's queue
            assert front.disk((index + 1) % queues).read(index * 8, 8) == requests[index][1]


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_split_index_wraps(alice, packed):
    """More than 65536 requests: 16-bit indices and wrap counters go round."""
    with FrontEnd.start(alice, Setup(packed=packed, size=256)) as front:
        disk, done = front.disk(), 0
        template = disk.prepare(blk.GET_ID, 0, 20)
        chain = disk.buffers(template, sends=False)
        ring = disk.queue.ring
        while done < 66000:
            try:
                while True:
                    ring.add(chain)
            except BufferError:
                pass
            if ring.publish():
                disk.queue.kick()
            assert disk.queue.wait_for(lambda: disk.queue.done), f"only {done} completions"
            done += len(disk.queue.done)
            disk.queue.done.clear()
        assert disk.queue.wait_for(lambda: not ring.chains)
        assert disk.memory.read(template.status, 1)[0] == blk.OK


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_start_at_any_position(alice, packed):
    """A ring that starts close to its wrap, as after a migration."""
    with FrontEnd.connect(alice, Setup(packed=packed, size=16)) as front:
        front.tell_memory()
        ring = front.make_ring()
        if packed:
            ring.next_available = ring.next_used = 14
            ring.available_wrap = ring.used_wrap = 0
            ring.published = (14, 0)
            # what the last round left: all descriptors used, with wrap counter 1 set … except those not yet reached
            for i in range(16):
                ring.put(i, 0, 0, 0, (virtio.AVAIL | virtio.USED) if i >= 14 else 0)
        else:
            ring.next_available = ring.published = ring.next_used = 65530
            ring.put_available_idx(65530)
            ring.memory.put16(ring.used + 2, 65530)
            ring.memory.put16(ring.used + 4 + 8 * 16, 65530)     # where the device last wanted to be notified
        front.queues.append(virtio.Queue(ring, 0))
        front.start_queue(0)
        front.driver_ok()
        exercise(front.disk(), seed=7, rounds=30, depth=3)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("event_idx", [False, True], ids=["flags", "event"])
def test_calls_are_suppressed(alice, packed, event_idx):
    """A driver that wants no interrupt gets none; one that wants it gets it."""
    with FrontEnd.start(alice, Setup(packed=packed, event_idx=event_idx)) as front:
        queue, disk = front.queues[0], front.disk()

        def submit_without_calls():
            request = disk.submit(blk.IN, 0, 512)
            queue.ring.enable_calls(False)
            wait_until(lambda: queue.has(request.chain), "a completion without a call")

        queue.ring.enable_calls(False)
        submit_without_calls()
        # The first request after a start may signal, as the device has no older position to compare with. Its signal
        # goes to the descriptor that is replaced here; the new one is signalled once, so that nothing is lost.
        first_fd, queue.call_fd = queue.call_fd, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        assert not front.connection.set_vring_call(0, queue.call_fd)
        os.close(first_fd)
        wait_until(queue.drain_call, "the new descriptor is signalled")
        for _ in range(5):
            submit_without_calls()
        base = front.stop_queue(0)          # the answer comes when no signal is under way any more
        assert queue.drain_call() <= (1 if event_idx else 0)
        front.start_queue(0, base=base)
        queue.ring.enable_calls(True)
        disk.read(0, 1)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("lengths", [(1, 4095), (512,) * 8, (4095, 1), (7, 505, 3584)], ids=str)
def test_scattered_data(alice, packed, lengths):
    """Data in pieces of any length and alignment."""
    with FrontEnd.start(alice, Setup(packed=packed)) as front:
        disk, data = front.disk(), os.urandom(4096)
        assert disk.do(blk.OUT, 8, data, split=lengths)[0] == blk.OK
        status, got = disk.do(blk.IN, 8, 4096, split=lengths)
        assert status == blk.OK and got == data


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_header_in_pieces(alice, packed):
    """A driver may cut the header where it likes, and join it with the data (virtio 1.2, 2.7.4)."""
    with FrontEnd.start(alice, Setup(packed=packed)) as front:
        disk, data = front.disk(), os.urandom(512)
        request = disk.prepare(blk.OUT, 4, data)
        memory = front.memory
        joined = memory.allocate(16 + 512)
        memory.write(joined, memory.read(request.header, 16) + data)
        pieces = [virtio.Buffer(joined, 5, False), virtio.Buffer(joined + 5, 100, False),
                  virtio.Buffer(joined + 105, 16 + 512 - 105, False), virtio.Buffer(request.status, 1, True)]
        disk.queue.wait(disk.queue.submit(pieces))
        assert disk.collect(request)[0] == blk.OK
        assert disk.read(4, 1) == data
        # status byte as the last byte of the data's own buffer
        request = disk.prepare(blk.IN, 4, 512)
        answer = memory.allocate(513)
        disk.queue.wait(disk.queue.submit([virtio.Buffer(request.header, 16, False), virtio.Buffer(answer, 513, True)]))
        assert memory.read(answer, 513) == data + bytes([blk.OK])


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("segments", [255, 257, 513, 1024])
def test_more_segments_than_offered(alice, packed, segments):
    """As Windows' driver of 2020 to 2022 sends them."""
    with FrontEnd.start(alice, Setup(packed=packed, memory_bytes=16 << 20)) as front:
        disk, queue = front.disk(), front.queues[0]
        assert blk.Config(front.connection.get_config(0, 60)).seg_max < segments
        data = os.urandom(4096 * segments)
        for kind, sent in (blk.OUT, data), (blk.IN, len(data)):
            request = disk.prepare(kind, 0, sent)
            request.chain = queue.submit(disk.buffers(request, kind == blk.OUT, [4096] * segments), indirect=True)
            status, got = disk.finish(request)
            assert status == blk.OK
        assert got == data
