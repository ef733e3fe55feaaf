/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The echo device as a virtio-pci function on a bus of the test's, with the naive driver's ring as queue 0.
 */
#ifndef VIADUCT_TESTS_UNIT_PCI_BENCH_H
#define VIADUCT_TESTS_UNIT_PCI_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/handover.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "echo_model.h"
#include "interfaces/virtio_pci/virtio_pci.h"
#include "interfaces/virtio_pci/virtio_pci_format.h"
#include "patience.h"
#include "ring_driver.h"

#define SIZE 16u
#define DATA (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
/* ACKNOWLEDGE, DRIVER, FEATURES_OK; and DRIVER_OK. */
#define AGREED	 0x0bu
#define DRIVEN	 0x0fu
#define VERSION1 (1ull << VIRTIO_F_VERSION_1)

/* Of benches that begin from now on: the ring runs on another worker than home. */
static bool bench_elsewhere;

struct pci_bench {
	struct loop *loop, *lane_loop;
	unsigned answers_wait;
	struct ring_driver driver;
	struct echo_device device;
	struct guest_memory *memory, *none; /* as the bus gives it: user addresses are the guest's */
	struct virtio_pci *pci;
	const struct register_model_ops *model;
	struct register_bus bus;
	void *function;
	bool has_vectors, quiet;
	unsigned raised[REGISTER_VECTORS_MAX], lowered, violated;
	unsigned last_violation;
};

static inline struct pci_bench *of_bus(struct register_bus *bus)
{
	return container_of(bus, struct pci_bench, bus);
}

static inline void on_raise(struct register_bus *bus, unsigned vector)
{
	of_bus(bus)->raised[vector]++;
}

static inline void on_lower(struct register_bus *bus, unsigned vector)
{
	assert_int_equal(vector, 0);
	of_bus(bus)->lowered++;
}

static inline bool on_has_vectors(const struct register_bus *bus)
{
	return of_bus((struct register_bus *)bus)->has_vectors;
}

static inline void on_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	struct pci_bench *bench = of_bus(bus);

	bench->violated++;
	bench->last_violation = kind;
}

static inline void on_raise_from(struct register_bus *bus, unsigned lane, unsigned vector)
{
	assert_int_equal(lane, 1);
	on_raise(bus, vector);
}

static inline void on_answer_later(struct register_bus *bus)
{
	of_bus(bus)->answers_wait++;
}

static inline void on_answer(struct register_bus *bus)
{
	assert_true(of_bus(bus)->answers_wait-- > 0);
}

static const struct register_bus_ops bench_bus_ops = {
	.raise = on_raise,
	.lower = on_lower,
	.has_vectors = on_has_vectors,
	.violated = on_violated,
	.raise_from = on_raise_from,
	.answer_later = on_answer_later,
	.answer = on_answer,
};

static inline struct guest_memory *map_as_guest(const struct ring_driver *driver)
{
	struct guest_memory *memory = guest_memory_create(), *next;
	const struct guest_region *region = driver->memory->region;

	assert_non_null(memory);
	for (unsigned i = 0; i < driver->memory->count; i++) {
		const struct guest_region_description description = {
			.guest_address = region[i].guest_address,
			.size = region[i].size,
			.user_address = region[i].guest_address,
			.file_offset = 2ull * i * DRIVER_REGION_BYTES,
		};

		assert_int_equal(guest_memory_add(memory, &description, driver->memory_fd, &next), 0);
		guest_memory_put(memory);
		memory = next;
	}
	return memory;
}

static inline void power_on(struct pci_bench *bench)
{
	assert_int_equal(bench->model->power_on(bench->pci, &bench->bus, &bench->function), 0);
	assert_int_equal(bench->model->arrive(bench->function), 0);
	bench->quiet = true;
}

static inline void bench_begin(struct pci_bench *bench, bool packed)
{
	const struct virtio_pci_options options = {
		.model = &echo_model,
		.device = &bench->device,
		.class_code = 0x010000,
		.queue_size_max = 64,
	};

	memset(bench, 0, sizeof(*bench));
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&(struct loop_options){ .name = "bench" }, &bench->loop), 0);
	ring_driver_init(&bench->driver, packed, SIZE,
			 VERSION1 | (packed ? 1ull << VIRTIO_F_RING_PACKED : 0));
	bench->memory = map_as_guest(&bench->driver);
	bench->none = guest_memory_create();
	assert_int_equal(virtio_pci_create(&options, &bench->pci), 0);
	bench->model = virtio_pci_model(bench->pci);
	bench->bus =
		(struct register_bus){ .ops = &bench_bus_ops, .memory = bench->memory, .loop = bench->loop };
	assert_int_equal(loop_create(&(struct loop_options){ .name = "lane" }, &bench->lane_loop), 0);
	if (bench_elsewhere) {
		bench->bus.lane_count = 2;
		bench->bus.lane[0].loop = bench->loop;
		bench->bus.lane[1].loop = bench->lane_loop;
		memset(bench->bus.queue_lane, 1, sizeof(bench->bus.queue_lane));
	}
	power_on(bench);
	bench->model->resume(bench->function);
	bench->quiet = false;
}

static inline void turn(struct pci_bench *bench)
{
	for (int i = 0; i < 6; i++) {
		assert_int_equal(loop_turn(bench->loop, NS_PER_MS / 2), 0);
		assert_int_equal(loop_turn(bench->lane_loop, 0), 0);
	}
}

static inline void on_quiet(void *context)
{
	((struct pci_bench *)context)->quiet = true;
}

/* Answers what is held, until it is quiet. */
static inline void quiesce(struct pci_bench *bench)
{
	bench->model->quiesce(bench->function, on_quiet, bench);
	AWAIT(bench->quiet, (echo_answer_all(&bench->device), turn(bench)));
	assert_int_equal(bench->device.queues_running, 0);
}

static inline void resume(struct pci_bench *bench)
{
	bench->quiet = false;
	bench->model->resume(bench->function);
	turn(bench);
}

static inline void bench_end(struct pci_bench *bench)
{
	if (!bench->quiet)
		quiesce(bench);
	bench->model->power_off(bench->function);
	virtio_pci_destroy(bench->pci);
	guest_memory_put(bench->memory);
	guest_memory_put(bench->none);
	assert_int_equal(bench->answers_wait, 0);
	loop_destroy(bench->lane_loop);
	loop_destroy(bench->loop);
	ring_driver_finish(&bench->driver);
}

/* ---- registers ---- */

static inline uint64_t get(struct pci_bench *bench, uint32_t offset, unsigned bytes)
{
	return bench->model->read(bench->function, 0, offset, bytes);
}

static inline void put(struct pci_bench *bench, uint32_t offset, unsigned bytes, uint64_t value)
{
	bench->model->write(bench->function, 0, offset, bytes, value);
}

static inline unsigned status(struct pci_bench *bench)
{
	return (unsigned)get(bench, COMMON_STATUS, 1);
}

static inline void kick(struct pci_bench *bench)
{
	put(bench, VIRTIO_PCI_NOTIFY, 2, 0);
}

static inline void agree(struct pci_bench *bench, uint64_t features)
{
	put(bench, COMMON_STATUS, 1, 1);
	put(bench, COMMON_STATUS, 1, 3);
	for (unsigned i = 0; i < 2; i++) {
		put(bench, COMMON_DRIVER_FEATURE_SELECT, 4, i);
		put(bench, COMMON_DRIVER_FEATURE, 4, features >> 32 * i & 0xffffffff);
	}
	put(bench, COMMON_STATUS, 1, AGREED);
}

/* Queue 0 is the naive driver's ring, with vector 1. */
static inline void describe_queue(struct pci_bench *bench)
{
	struct virtqueue_setup setup = ring_driver_setup(&bench->driver);
	uint64_t base = DRIVER_GUEST_BASE - DRIVER_USER_BASE;

	put(bench, COMMON_QUEUE_SELECT, 2, 0);
	put(bench, COMMON_QUEUE_SIZE, 2, SIZE);
	put(bench, COMMON_QUEUE_VECTOR, 2, 1);
	put(bench, COMMON_QUEUE_DESCRIPTORS, 8, setup.descriptor_user + base);
	put(bench, COMMON_QUEUE_DRIVER, 4, (uint32_t)(setup.driver_user + base));
	put(bench, COMMON_QUEUE_DRIVER + 4, 4, (setup.driver_user + base) >> 32);
	put(bench, COMMON_QUEUE_DEVICE, 8, setup.device_user + base);
}

static inline void drive(struct pci_bench *bench)
{
	agree(bench, bench->driver.features);
	assert_int_equal(status(bench), AGREED);
	describe_queue(bench);
	put(bench, COMMON_QUEUE_ENABLE, 2, 1);
	put(bench, COMMON_STATUS, 1, DRIVEN);
	turn(bench);
	assert_int_equal(bench->violated, 0);
	assert_int_equal(bench->device.queues_running, 1);
}

/* ---- chains: 8 bytes each way ---- */

static inline int add(struct pci_bench *bench, unsigned place)
{
	uint64_t at = DATA + 256ull * place;
	struct driver_element elements[2] = { { at, 8, false }, { at + 8, 8, true } };
	int id;

	memset(ring_driver_at(&bench->driver, at), (int)place + 1, 8);
	memset(ring_driver_at(&bench->driver, at + 8), 0, 8);
	id = ring_driver_add(&bench->driver, elements, 2, false);
	assert_true(id >= 0);
	return id;
}

static inline bool is_answered(struct pci_bench *bench, unsigned place)
{
	return *ring_driver_at(&bench->driver, DATA + 256ull * place + 8) == (uint8_t)((place + 1) ^ 0x5a);
}

static inline unsigned take_all(struct pci_bench *bench)
{
	unsigned count = 0;
	uint32_t length;

	while (ring_driver_take(&bench->driver, &length) >= 0) {
		assert_int_equal(length, 8);
		count++;
	}
	return count;
}

#endif
