/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces one 4 KiB read of virtio-blk, from the kick to the call. */
#include <string.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_meter.h"
#include "core/clock.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"
#include "host/host_disk.h"
#include "ring_driver.h"
#include "trace.h"

#define DISK_BYTES (1u << 20)

/* Until the program ends; here, so that leak detectors find them in use. */
static struct loop *loop;
static struct ring_driver driver;
static struct disk_meter *meter;
static struct disk *disk;
static struct virtio_blk *device;
static struct virtqueue *queue;

/* A disk on a file, behind a gate, as a guest's disk is. */
static UNTRACED void make_disk(const char *path)
{
	struct disk_uring_options file = { .path = path, .create_bytes = DISK_BYTES };
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct disk_options options = { .guest = "alice", .name = "root" };
	struct host_disk *host;

	trace_check(disk_uring_open(&file, &host) == 0, "no disk");
	trace_check(disk_meter_create(&disk_cost_default, true, &meter) == 0, "no gate");
	trace_check(gate_node_create(disk_meter_gate(meter), NULL, &settings, &options.share, NULL) == 0,
		    "no share");
	trace_check(disk_create_on_host(&options, host, &disk) == 0, "no virtual disk");
}

static UNTRACED void read_once(void)
{
	const struct virtio_blk_header header = { .type = VIRTIO_BLK_IN };
	const uint64_t at = DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET;
	const struct driver_element elements[] = { { at, sizeof(header), false },
						   { at + 4096, 4096, true },
						   { at + 8192, 1, true } };
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;
	uint32_t length;

	memcpy(ring_driver_at(&driver, at), &header, sizeof(header));
	*ring_driver_at(&driver, at + 8192) = 0xff;
	trace_check(ring_driver_add(&driver, elements, 3, false) >= 0, "no room in the ring");
	ring_driver_kick(&driver);
	while (!ring_driver_called(&driver)) {
		trace_check(loop_turn(loop, NS_PER_MS) == 0, "the loop failed");
		trace_check(clock_now_ns() < deadline_ns, "no answer");
	}
	trace_check(ring_driver_take(&driver, &length) >= 0 && length == 4097, "no answer");
	trace_check(*ring_driver_at(&driver, at + 8192) == VIRTIO_BLK_STATUS_OK, "the read failed");
	trace_settle(loop);
	ring_driver_called(&driver);
}

int main(int argc, char **argv)
{
	struct loop_options options = { .name = "trace" };
	struct virtio_blk_options blk_options = { .queues = 1 };
	struct virtqueue_setup setup;

	trace_check(argc == 2, "usage: trace_read FILE");
	trace_check(loop_create(&options, &loop) == 0, "no loop");
	make_disk(argv[1]);
	blk_options.disk = disk;
	trace_check(virtio_blk_create(&blk_options, &device) == 0, "no device");
	ring_driver_init(&driver, false, 16, virtio_blk_model.features(device));
	setup = ring_driver_setup(&driver);
	setup.loop = loop;
	setup.model = &virtio_blk_model;
	setup.device = device;
	setup.broken = trace_broken;
	trace_check(virtqueue_start(&setup, &queue) == 0, "no queue");
	trace_settle(loop);
	ring_driver_called(&driver);
	read_once();
	trace_set(true);
	read_once();
	trace_set(false);
	return 0;
}
