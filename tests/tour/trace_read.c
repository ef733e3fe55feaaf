/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traces one 4 KiB read of virtio-blk, from the kick to the call, through a build of the stages that calls us
 * whenever a function begins or ends (-finstrument-functions, without inlining). check_tour.py reads the
 * trace and compares it with docs/tour.md.
 *
 * A line is a stack, the outermost function first, as addresses: `enter` when a function begins, `hand` when
 * the request (or the kick, or the call) is handed to the event loop, which is core's and not traced: a
 * poller to wake, an entry for the kernel, a task for the end of the turn. The linker's --wrap leads those
 * here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_meter.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"
#include "host/host_disk.h"
#include "ring_driver.h"

#define DISK_BYTES (1u << 20)
#define DEPTH_MAX  64u
#define UNTRACED   __attribute__((no_instrument_function))

static void *stack[DEPTH_MAX];
static unsigned depth;
static bool tracing;

/* Until the program ends; here, so that leak detectors find them in use. */
static struct loop *loop;
static struct ring_driver driver;
static struct disk_meter *meter;
static struct disk *disk;
static struct virtio_blk *device;
static struct virtqueue *queue;

void __cyg_profile_func_enter(void *function, void *caller) UNTRACED;
void __cyg_profile_func_exit(void *function, void *caller) UNTRACED;

static UNTRACED void print_stack(const char *what)
{
	if (!tracing || depth == 0)
		return;
	printf("%s", what);
	for (unsigned i = 0; i < depth; i++)
		printf(" %p", stack[i]);
	printf("\n");
}

void __cyg_profile_func_enter(void *function, void *caller)
{
	if (depth == DEPTH_MAX)
		abort();
	stack[depth++] = function;
	print_stack("enter");
}

void __cyg_profile_func_exit(void *function, void *caller)
{
	depth--;
}

/* ---- what the stages hand to the loop ---- */

void __real_loop_poller_wake(struct loop *on, struct loop_poller *poller);
void __real_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op);
void __real_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account);
void __wrap_loop_poller_wake(struct loop *on, struct loop_poller *poller) UNTRACED;
void __wrap_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op) UNTRACED;
void __wrap_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account) UNTRACED;

void __wrap_loop_poller_wake(struct loop *on, struct loop_poller *poller)
{
	print_stack("hand");
	__real_loop_poller_wake(on, poller);
}

void __wrap_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op)
{
	print_stack("hand");
	__real_loop_sqe_finish(on, sqe, op);
}

void __wrap_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account)
{
	print_stack("hand");
	__real_loop_defer_for(on, task, account);
}

/* ---- one read ---- */

static UNTRACED void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "trace_read: %s\n", what);
	exit(1);
}

static UNTRACED void broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	check(false, virtqueue_violation_text(violation));
}

/* A disk on a file, behind a gate, as a guest's disk is. */
static UNTRACED void make_disk(const char *path)
{
	struct disk_uring_options file = { .path = path, .create_bytes = DISK_BYTES };
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct disk_options options = { .guest = "alice", .name = "root" };
	struct host_disk *host;

	check(disk_uring_open(&file, &host) == 0, "no disk");
	check(disk_meter_create(&disk_cost_default, &meter) == 0, "no gate");
	check(gate_node_create(disk_meter_gate(meter), NULL, &settings, &options.share, NULL) == 0,
	      "no share");
	check(disk_create_on_host(&options, host, &disk) == 0, "no virtual disk");
}

/* Until the queue sleeps, so that the next read begins with a kick; a call so far is not the read's. */
static UNTRACED void settle(void)
{
	for (int i = 0; i < 10; i++)
		check(loop_turn(loop, NS_PER_MS) == 0, "the loop failed");
	ring_driver_called(&driver);
}

static UNTRACED void read_once(void)
{
	const struct virtio_blk_header header = { .type = VIRTIO_BLK_IN };
	const uint64_t at = DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET;
	const struct driver_element elements[] = {
		{ at, sizeof(header), false }, { at + 4096, 4096, true }, { at + 8192, 1, true }
	};
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;
	uint32_t length;

	memcpy(ring_driver_at(&driver, at), &header, sizeof(header));
	*ring_driver_at(&driver, at + 8192) = 0xff;
	check(ring_driver_add(&driver, elements, 3, false) >= 0, "no room in the ring");
	ring_driver_kick(&driver);
	while (!ring_driver_called(&driver)) {
		check(loop_turn(loop, NS_PER_MS) == 0, "the loop failed");
		check(clock_now_ns() < deadline_ns, "no answer");
	}
	check(ring_driver_take(&driver, &length) >= 0 && length == 4097, "no answer");
	check(*ring_driver_at(&driver, at + 8192) == VIRTIO_BLK_STATUS_OK, "the read failed");
	settle();
}

int main(int argc, char **argv)
{
	struct loop_options options = { .name = "trace" };
	struct virtio_blk_options blk_options = { .queues = 1 };
	struct virtqueue_setup setup;

	check(argc == 2, "usage: trace_read FILE");
	check(loop_create(&options, &loop) == 0, "no loop");
	make_disk(argv[1]);
	blk_options.disk = disk;
	check(virtio_blk_create(&blk_options, &device) == 0, "no device");
	ring_driver_init(&driver, false, 16, virtio_blk_model.features(device));
	setup = ring_driver_setup(&driver);
	setup.loop = loop;
	setup.model = &virtio_blk_model;
	setup.device = device;
	setup.broken = broken;
	check(virtqueue_start(&setup, &queue) == 0, "no queue");
	settle();
	read_once();
	tracing = true;
	read_once();
	tracing = false;
	return 0;
}
