/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NVMe model alone, to be included by one program: a bus that remembers what it was told, a guest's
 * memory in one memory file, a disk whose I/Os are seen, and a naive driver that trusts nothing it is told.
 */
#ifndef VIADUCT_TESTS_UNIT_NVME_DRIVER_H
#define VIADUCT_TESTS_UNIT_NVME_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/disk/nvme.h"
#include "devices/disk/nvme_format.h"
#include "held_disk.h"

#define DISK_BYTES (1u << 20)
#define PAGE	   4096u
#define RAM_BYTES  (8u << 20)
/* Below it there is no memory, nor behind it. */
#define RAM_BASE    0x100000ull
#define OUTSIDE	    0x40000000ull
#define QUEUES	    5u
#define ADMIN	    0u
#define KEPT_EVENTS 4u /* requests for events that wait at a time, as AERL says */
/* Where things lie in the memory, in bytes from RAM_BASE. */
#define SQ_AT(queue) (0x60000u * (queue))
#define CQ_AT(queue) (SQ_AT(queue) + 0x40000u)
#define LISTS_AT     0x200000u
#define DATA_AT	     0x300000u
/* Kinds of violations, in the order of nvme_model.violations. */
enum { DOORBELL, DOORBELL_VALUE, ENABLE, QUEUE_MEMORY, KINDS };

#define CC_ENABLE   1u
#define CC_ENTRIES  (6u << 16 | 4u << 20)
#define CC_SHUTDOWN (1u << 14)

struct driver_queue {
	unsigned sq_entries, cq_entries;
	unsigned tail, head;	/* tail: what is rung next; head: the completion that is read next */
	bool phase;
	uint16_t vector;
};

/* Of loops that are begun from now on; NULL: real time. */
static const struct loop_clocks *driver_clocks;

/* All of it is anew with begin(). */
static struct driver {
	struct loop *loop;
	struct loop_guest *guest;
	struct held_disk *held;
	struct disk *disk;
	struct nvme_device *device;
	void *function;
	int memory_fd;
	uint8_t *ram;			/* the driver's own view */
	struct guest_memory *memory, *empty;
	struct register_bus bus;
	bool has_vectors, pin, quiet;
	unsigned raised[REGISTER_VECTORS_MAX], violations[KINDS];
	/* Lane 1, with I/O queues 2 and 4; NULL: home serves all. Its thread is this one unless it runs. */
	struct loop *lane_loop;
	bool lane_runs;
	unsigned raised_from_lane[REGISTER_VECTORS_MAX]; /* atomic */
	unsigned answers_wait;
	struct driver_queue queue[QUEUES];
	uint16_t next_id;
} driver;

/* ---- the bus ---- */

static void bus_raise(struct register_bus *bus, unsigned vector)
{
	assert_true(vector < nvme_model.vectors);
	driver.raised[vector]++;
	if (!driver.has_vectors)
		driver.pin = true;
}

static void bus_lower(struct register_bus *bus, unsigned vector)
{
	if (vector == 0)
		driver.pin = false;
}

static bool bus_has_vectors(const struct register_bus *bus)
{
	return driver.has_vectors;
}

static void bus_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	assert_true(kind < KINDS);
	driver.violations[kind]++;
}

static void bus_raise_from(struct register_bus *bus, unsigned lane, unsigned vector)
{
	assert_int_equal(lane, 1);
	assert_true(vector < nvme_model.vectors);
	__atomic_fetch_add(&driver.raised_from_lane[vector], 1, __ATOMIC_RELAXED);
}

static void bus_answer_later(struct register_bus *bus)
{
	driver.answers_wait++;
}

static void bus_answer(struct register_bus *bus)
{
	assert_true(driver.answers_wait > 0);
	driver.answers_wait--;
}

static const struct register_bus_ops driver_bus_ops = {
	.raise = bus_raise, .lower = bus_lower, .has_vectors = bus_has_vectors, .violated = bus_violated,
	.raise_from = bus_raise_from, .answer_later = bus_answer_later, .answer = bus_answer,
};

static inline unsigned violations(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < KINDS; i++)
		sum += driver.violations[i];
	return sum;
}

/* ---- registers ---- */

static inline uint32_t get32(uint32_t offset)
{
	return (uint32_t)nvme_model.read(driver.function, 0, offset, 4);
}

static inline uint64_t get64(uint32_t offset)
{
	return nvme_model.read(driver.function, 0, offset, 8);
}

static inline void set32(uint32_t offset, uint32_t value)
{
	nvme_model.write(driver.function, 0, offset, 4, value);
}

static inline void set64(uint32_t offset, uint64_t value)
{
	nvme_model.write(driver.function, 0, offset, 8, value);
}

static inline void ring_sq(unsigned queue, uint32_t tail)
{
	set32(NVME_DOORBELLS + 8 * queue, tail);
}

static inline void ring_cq(unsigned queue, uint32_t head)
{
	set32(NVME_DOORBELLS + 8 * queue + 4, head);
}

/* ---- time ---- */

static inline void turn(void)
{
	assert_int_equal(loop_turn(driver.loop, 0), 0);
	if (driver.lane_loop && !driver.lane_runs)
		assert_int_equal(loop_turn(driver.lane_loop, 0), 0);
}

/* Long enough for all that is going to happen without the disk. */
static inline void settle(void)
{
	for (unsigned i = 0; i < 12; i++)
		turn();
}

static void on_quiet(void *context)
{
	assert_ptr_equal(context, &driver);
	assert_false(driver.quiet);
	driver.quiet = true;
}

static inline void quiesce(void)
{
	driver.quiet = false;
	nvme_model.quiesce(driver.function, on_quiet, &driver);
}

/* ---- power ---- */

/* The file's pages, from `from` on, as a set of memory. */
static inline struct guest_memory *memory_of(uint64_t from, uint64_t bytes)
{
	const struct guest_region_description description = {
		.guest_address = RAM_BASE + from, .size = bytes, .user_address = RAM_BASE + from,
		.file_offset = from,
	};
	struct guest_memory *empty = guest_memory_create(), *memory;

	assert_int_equal(guest_memory_add(empty, &description, driver.memory_fd, &memory), 0);
	guest_memory_put(empty);
	return memory;
}

static inline void power_on(void)
{
	assert_int_equal(nvme_model.power_on(driver.device, &driver.bus, &driver.function), 0);
}

static inline void go(void)
{
	assert_int_equal(nvme_model.arrive(driver.function), 0);
	nvme_model.resume(driver.function);
}

static inline void begin_on(struct held_disk *held, const struct disk_options *disk_options, unsigned queues)
{
	const struct loop_options options = { .name = "nvme", .clocks = driver_clocks };
	struct nvme_options nvme_options = { .queues = queues };

	driver = (struct driver){ .held = held };
	held->at_once = true;
	memory_guard_install();
	assert_int_equal(loop_create(&options, &driver.loop), 0);
	driver.guest = loop_guest_create();
	assert_int_equal(disk_create_on_host(disk_options, &held->host, &driver.disk), 0);
	nvme_options.disk = driver.disk;
	assert_int_equal(nvme_create(&nvme_options, &driver.device), 0);
	driver.memory_fd = fd_memfd("ram", RAM_BYTES);
	driver.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver.memory_fd, 0);
	assert_ptr_not_equal(driver.ram, MAP_FAILED);
	driver.memory = memory_of(0, RAM_BYTES);
	driver.empty = guest_memory_create();
	driver.bus = (struct register_bus){
		.ops = &driver_bus_ops, .memory = driver.memory, .loop = driver.loop,
		.account = loop_account_create(driver.guest, driver.loop),
	};
	power_on();
	go();
}

static inline void begin(void)
{
	const struct disk_options options = { .guest = "alice", .name = "root" };

	begin_on(held_disk_create(DISK_BYTES, 512), &options, QUEUES - 1);
}

/* I/O queues 2 and 4 are another worker's, as long as there are vectors. */
static inline void give_lane(void)
{
	driver.bus.lane_count = 2;
	driver.bus.lane[0] = (struct register_lane){ driver.loop, driver.bus.account };
	driver.bus.lane[1] = (struct register_lane){
		driver.lane_loop, loop_account_create(driver.guest, driver.lane_loop) };
	for (unsigned i = 0; i < REGISTER_QUEUES_MAX; i++)
		driver.bus.queue_lane[i] = i % 2;
}

static inline void take_lane(void)
{
	loop_account_close(driver.bus.lane[1].account);
	driver.bus.lane_count = 1;
	memset(driver.bus.queue_lane, 0, sizeof(driver.bus.queue_lane));
}

/* It moves, at rest. */
static inline void go_elsewhere(void (*change)(void))
{
	assert_true(driver.quiet);
	nvme_model.leave(driver.function);
	change();
	go();
}

static inline void power_off(void)
{
	nvme_model.power_off(driver.function);
	driver.function = NULL;
}

static inline void end(void)
{
	quiesce();
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	power_off();
	nvme_destroy(driver.device);
	disk_destroy(driver.disk);
	driver.held->host.ops->close(&driver.held->host);
	loop_account_close(driver.bus.account);
	if (driver.bus.lane_count > 1)
		take_lane();
	if (driver.lane_loop)
		loop_destroy(driver.lane_loop);
	loop_guest_put(driver.guest);
	guest_memory_put(driver.memory);
	guest_memory_put(driver.empty);
	loop_destroy(driver.loop);
	munmap(driver.ram, RAM_BYTES);
	close(driver.memory_fd);
}

/* ---- queues ---- */

static inline void queue_init(unsigned queue, unsigned sq_entries, unsigned cq_entries)
{
	driver.queue[queue] =
		(struct driver_queue){ .sq_entries = sq_entries, .cq_entries = cq_entries, .phase = true };
	memset(driver.ram + CQ_AT(queue), 0, cq_entries * sizeof(struct nvme_completion));
}

/* Switches the controller on, and looks at nothing. */
static inline void enable_with(unsigned sq_entries, unsigned cq_entries)
{
	queue_init(ADMIN, sq_entries, cq_entries);
	set32(NVME_REG_AQA, (cq_entries - 1) << 16 | (sq_entries - 1));
	set64(NVME_REG_ASQ, RAM_BASE + SQ_AT(ADMIN));
	set64(NVME_REG_ACQ, RAM_BASE + CQ_AT(ADMIN));
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES);
}

static inline void enable(void)
{
	enable_with(32, 32);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY);
}

/* Puts a command into the ring, and does not ring. Returns its number. */
static inline uint16_t put(unsigned index, struct nvme_command command)
{
	struct driver_queue *queue = &driver.queue[index];

	command.id = driver.next_id++;
	memcpy(driver.ram + SQ_AT(index) + queue->tail * sizeof(command), &command, sizeof(command));
	queue->tail = (queue->tail + 1) % queue->sq_entries;
	return command.id;
}

static inline uint16_t submit(unsigned index, struct nvme_command command)
{
	uint16_t id = put(index, command);

	ring_sq(index, driver.queue[index].tail);
	return id;
}

/* Looks for the next completion, and does not ring; false: there is none. */
static inline bool look(unsigned index, struct nvme_completion *ret_completion)
{
	struct driver_queue *queue = &driver.queue[index];

	memcpy(ret_completion, driver.ram + CQ_AT(index) + queue->head * sizeof(*ret_completion),
	       sizeof(*ret_completion));
	if ((ret_completion->status & 1) != queue->phase)
		return false;
	assert_int_equal(ret_completion->reserved, 0);
	if (++queue->head == queue->cq_entries) {
		queue->head = 0;
		queue->phase = !queue->phase;
	}
	return true;
}

static inline bool reap(unsigned index, struct nvme_completion *ret_completion)
{
	if (!look(index, ret_completion))
		return false;
	ring_cq(index, driver.queue[index].head);
	return true;
}

/* No completion is there. */
static inline void assert_silent(unsigned index)
{
	struct nvme_completion completion;

	settle();
	assert_false(look(index, &completion));
}

static inline struct nvme_completion await(unsigned index)
{
	struct nvme_completion completion = { 0 };

	settle();
	assert_true(reap(index, &completion));
	return completion;
}

/* The whole way of one command through a queue that is empty otherwise. */
static inline struct nvme_completion run(unsigned index, struct nvme_command command)
{
	uint16_t id = submit(index, command);
	struct nvme_completion completion = await(index);

	assert_int_equal(completion.command_id, id);
	assert_int_equal(completion.sq_head, driver.queue[index].tail);
	return completion;
}

static inline uint16_t status_of(struct nvme_completion completion)
{
	return completion.status >> 1;
}

static inline uint16_t run_status(unsigned index, struct nvme_command command)
{
	return status_of(run(index, command));
}

#define REFUSED(status) ((status) | NVME_DO_NOT_RETRY)

/* ---- admin commands ---- */

static inline struct nvme_command create_cq(unsigned id, unsigned entries, unsigned vector)
{
	return (struct nvme_command){
		.opcode = NVME_ADMIN_CREATE_CQ, .prp1 = RAM_BASE + CQ_AT(id),
		.cdw10 = (entries - 1) << 16 | id, .cdw11 = vector << 16 | 3,
	};
}

static inline struct nvme_command create_sq(unsigned id, unsigned entries, unsigned cq)
{
	return (struct nvme_command){
		.opcode = NVME_ADMIN_CREATE_SQ, .prp1 = RAM_BASE + SQ_AT(id),
		.cdw10 = (entries - 1) << 16 | id, .cdw11 = cq << 16 | 1,
	};
}

static inline struct nvme_command delete_queue(uint8_t opcode, unsigned id)
{
	return (struct nvme_command){ .opcode = opcode, .cdw10 = id };
}

/* A pair of queues. */
static inline void make_queue(unsigned id, unsigned sq_entries, unsigned cq_entries)
{
	queue_init(id, sq_entries, cq_entries);
	assert_int_equal(run_status(ADMIN, create_cq(id, cq_entries, id)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_sq(id, sq_entries, id)), NVME_SUCCESS);
}

static inline void begin_ready(void)
{
	begin();
	enable();
	make_queue(1, 64, 64);
}

/* ---- I/O commands ---- */

/* Of blocks of 512 bytes; PRPs of data that lies in one piece, with the list at LISTS_AT. */
static inline struct nvme_command io(uint8_t opcode, uint64_t first_block, unsigned blocks, uint64_t data_at)
{
	uint64_t address = RAM_BASE + data_at, next = (address / PAGE + 1) * PAGE,
		 last = (address + blocks * 512ull - 1) / PAGE * PAGE;
	struct nvme_command command = {
		.opcode = opcode, .namespace_id = 1, .prp1 = address, .prp2 = next,
		.cdw10 = (uint32_t)first_block, .cdw11 = (uint32_t)(first_block >> 32), .cdw12 = blocks - 1,
	};

	if (next >= last)
		return command;
	command.prp2 = RAM_BASE + LISTS_AT;
	for (uint64_t *entry = (uint64_t *)(void *)(driver.ram + LISTS_AT); next <= last; next += PAGE)
		*entry++ = next;
	return command;
}

#endif
