/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BARs that are memory: what a VMM is told of them, the memory that it gets, and that loads and stores by
 * messages are of the same memory. The device has no interrupts.
 */
#include "server_bench.h"

#include <sys/mman.h>

#define ALL	   2u /* a BAR that is all memory */
#define PART	   4u /* and one that is in part */
#define FILE_BYTES 0x8000u
#define PART_AT	   0x2000u
#define PART_BYTES 0x4000u

static int file = -1;

static int mapped_power_on(void *device, struct register_bus *bus, void **ret_function)
{
	file = fd_memfd("test", FILE_BYTES);
	assert_true(file >= 0);
	return fake_power_on(device, bus, ret_function);
}

static void mapped_power_off(void *function)
{
	fd_close(&file);
	fake_power_off(function);
}

static uint64_t mapped_read(void *function, unsigned bar, uint32_t offset, unsigned bytes)
{
	uint64_t value = 0;

	assert_true(bar == ALL || bar == PART);
	fake.reads++;
	assert_int_equal(pread(file, &value, bytes, offset), bytes);
	return value;
}

static void mapped_write(void *function, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	assert_true(bar == ALL || bar == PART);
	fake.writes++;
	assert_int_equal(pwrite(file, &value, bytes, offset), bytes);
}

static int mapped_memory(void *function, unsigned bar)
{
	assert_true(bar == ALL || bar == PART);
	return file;
}

static void mapped_save(const void *function, struct handover *handover)
{
	fake_save(function, handover);
	handover_put_fd(handover, file);
}

static void mapped_restore(void *function, struct handover *handover)
{
	fake_restore(function, handover);
	fd_close(&file);
	file = handover_get_fd(handover);
}

static struct register_model_ops mapped_model(void)
{
	struct register_model_ops model = fake_model;

	model.bars[0] = (struct register_bar){ REGISTER_BAR_NONE };
	model.bars[ALL] = (struct register_bar){ REGISTER_BAR_MEMORY_32, FILE_BYTES, 0, FILE_BYTES };
	model.bars[PART] = (struct register_bar){ REGISTER_BAR_MEMORY_64, FILE_BYTES, PART_AT, PART_BYTES };
	model.vectors = 0;
	model.msix_bar = ALL;
	model.power_on = mapped_power_on;
	model.power_off = mapped_power_off;
	model.read = mapped_read;
	model.write = mapped_write;
	model.bar_memory = mapped_memory;
	model.save = mapped_save;
	model.restore = mapped_restore;
	return model;
}

/* ---- asking ---- */

struct answer {
	struct vfio_user_header header;
	struct vfio_user_region_info info;
	struct vfio_user_sparse_map map;
};

/* Returns the bytes of the answer's payload; *ret_fd: -1 when there is none. */
static size_t ask_region(int vmm, uint32_t index, uint32_t argsz, struct answer *ret_answer, int *ret_fd)
{
	const struct vfio_user_region_info asked = { .argsz = argsz, .index = index };
	size_t fd_count;
	ssize_t received;

	*ret_fd = -1;
	memset(ret_answer, 0, sizeof(*ret_answer));
	tell(vmm, VFIO_USER_GET_REGION_INFO, 0, &asked, sizeof(asked), NULL, 0);
	AWAIT(readable(vmm), bench_turn());
	received = fd_receive(vmm, ret_answer, sizeof(*ret_answer), ret_fd, 1, &fd_count);
	assert_int_equal(received, ret_answer->header.size);
	assert_int_equal(ret_answer->header.id, bench.next_id);
	return (size_t)received - sizeof(ret_answer->header);
}

static uint8_t *map_of(int fd)
{
	void *map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED);
	close(fd);
	return map;
}

static uint8_t *map_all(int vmm)
{
	struct answer answer;
	int fd;

	ask_region(vmm, ALL, 32, &answer, &fd);
	return map_of(fd);
}

/* ---- tests ---- */

static void all_of_it(void **state)
{
	int vmm = vmm_ready(), fd;
	struct answer answer;
	uint8_t *map;

	assert_int_equal(ask_region(vmm, ALL, 32, &answer, &fd), 32);
	assert_int_equal(answer.header.error, 0);
	assert_int_equal(answer.info.argsz, 32);
	assert_int_equal(answer.info.flags, 7);
	assert_int_equal(answer.info.capability_offset, 0);
	assert_true(answer.info.size == FILE_BYTES && answer.info.offset == 0);
	map = map_of(fd);
	map[5] = 0x77;
	assert_int_equal(load(vmm, ALL, 5, 1), 0x77);
	assert_int_equal(store(vmm, ALL, FILE_BYTES - 4, 0x11223344, 4), 0);
	assert_int_equal(map[FILE_BYTES - 4], 0x44);
	/* Not aligned, and as long as a message can be. */
	assert_int_equal(store(vmm, ALL, 0x1ffd, 0x1122334455667788, 8), 0);
	assert_int_equal(map[0x1ffd], 0x88);
	assert_true(load(vmm, ALL, 0x1ffd, 8) == 0x1122334455667788);
	/* Where another BAR would have its vectors. */
	assert_int_equal(store(vmm, ALL, 0x2000, 0x99, 1), 0);
	assert_int_equal(map[0x2000], 0x99);
	munmap(map, FILE_BYTES);
	close(vmm);
}

static void outside(void **state)
{
	static const struct vfio_user_region_access bad[] = {
		{ FILE_BYTES, ALL, 1 },		  { FILE_BYTES - 7, ALL, 8 }, { UINT64_MAX, ALL, 1 },
		{ UINT64_MAX - 7, PART, 8 },	  { FILE_BYTES, PART, 4096 }, { 0, ALL, 0 },
		{ 0x100000000ull, ALL, 4 },	  { 0, ALL, 4097 },	      { 0, 3, 4 },
		{ FILE_BYTES - 4095, ALL, 4096 },
	};
	int vmm = vmm_ready();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t payload[16 + 4096] = { 0 };
		uint32_t bytes = bad[i].count <= 4096 ? bad[i].count : 4096;

		assert_int_equal(ask(vmm, VFIO_USER_REGION_READ, &bad[i], sizeof(bad[i])), EINVAL);
		memcpy(payload, &bad[i], sizeof(bad[i]));
		assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE, payload, 16 + bytes), EINVAL);
	}
	assert_int_equal(fake.reads + fake.writes, 0);
	assert_int_equal(load(vmm, ALL, FILE_BYTES - 8, 8), 0);
	close(vmm);
}

/* A VMM says how much room it has, is told how much it needs, and asks again. */
static void part_of_it(void **state)
{
	static const uint32_t small[] = { 32, 33, 63 }, large[] = { 64, 4096, UINT32_MAX };
	int vmm = vmm_ready(), fd;
	struct answer answer;
	uint8_t *map;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask_region(vmm, PART, small[i], &answer, &fd), 32);
		assert_int_equal(fd, -1);
		assert_int_equal(answer.info.argsz, 64);
		/* No capability is in this answer, and QEMU refuses one that says there is. */
		assert_int_equal(answer.info.flags, 7);
		assert_int_equal(answer.info.capability_offset, 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask_region(vmm, PART, large[i], &answer, &fd), 64);
		assert_int_equal(answer.info.argsz, 64);
		assert_int_equal(answer.info.flags, 15);
		assert_int_equal(answer.info.capability_offset, 32);
		assert_int_equal(answer.map.id, 1);
		assert_int_equal(answer.map.version, 1);
		assert_int_equal(answer.map.next, 0);
		assert_int_equal(answer.map.areas, 1);
		assert_true(answer.map.offset == PART_AT && answer.map.size == PART_BYTES);
		map = map_of(fd);
		/* Across the edge of it. */
		assert_int_equal(store(vmm, PART, PART_AT - 4, 0x1122334455667788u + i, 8), 0);
		assert_int_equal(map[PART_AT], 0x44);
		assert_true(load(vmm, PART, PART_AT - 4, 8) == 0x1122334455667788u + i);
		munmap(map, FILE_BYTES);
	}
	close(vmm);
}

static void other_regions(void **state)
{
	int vmm = vmm_ready(), fd;

	for (uint32_t index = 0; index < 12; index++) {
		struct answer answer;

		if (index == ALL || index == PART)
			continue;
		ask_region(vmm, index, 4096, &answer, &fd);
		assert_int_equal(fd, -1);
		assert_int_equal(answer.header.error, index < 9 ? 0 : EINVAL);
		assert_int_equal(answer.info.flags, index == VFIO_USER_REGION_CONFIG ? 3 : 0);
	}
	close(vmm);
}

/* One that asks for it without end is refused, and goes on to be served. */
static void too_often(void **state)
{
	int vmm = vmm_ready(), fd;
	struct answer answer;

	for (unsigned i = 0; i < VFIO_USER_FDS_GIVEN_MAX; i++) {
		ask_region(vmm, i % 2 ? ALL : PART, 64, &answer, &fd);
		assert_true(fd >= 0);
		close(fd);
	}
	ask_region(vmm, ALL, 64, &answer, &fd);
	assert_int_equal(answer.header.error, EBUSY);
	assert_int_equal(fd, -1);
	assert_int_equal(ask_region(vmm, PART, 32, &answer, &fd), 32);
	assert_int_equal(load(vmm, ALL, 0, 4), 0);
	close(vmm);
	AWAIT(bench_status().connections == 0, bench_turn());
	vmm = vmm_ready();
	ask_region(vmm, ALL, 64, &answer, &fd);
	assert_true(fd >= 0);
	close(fd);
	close(vmm);
}

static void no_interrupts(void **state)
{
	struct vfio_user_irq_set set = { 20, VFIO_USER_IRQ_FDS | VFIO_USER_IRQ_TRIGGER, 0, 0, 1 };
	struct vfio_user_irq_info irq = { .argsz = 16 };
	int vmm = vmm_ready(), event = eventfd(0, EFD_CLOEXEC);
	struct reply reply;

	for (irq.index = 0; irq.index < VFIO_USER_IRQS; irq.index++) {
		struct vfio_user_irq_info answer;

		assert_int_equal(ask_with(vmm, VFIO_USER_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, &reply),
				 0);
		memcpy(&answer, reply.payload, sizeof(answer));
		assert_int_equal(answer.count + answer.flags, 0);
		set.index = irq.index;
		assert_int_equal(ask_with(vmm, VFIO_USER_SET_IRQS, &set, sizeof(set), &event, 1, &reply),
				 EINVAL);
	}
	/* To take back what is not there is no error. */
	set = (struct vfio_user_irq_set){ 20, VFIO_USER_IRQ_NONE | VFIO_USER_IRQ_TRIGGER, 0, 0, 0 };
	for (set.index = 0; set.index < VFIO_USER_IRQS; set.index++)
		assert_int_equal(ask(vmm, VFIO_USER_SET_IRQS, &set, sizeof(set)), 0);
	assert_int_equal(load(vmm, VFIO_USER_REGION_CONFIG, 0x34, 1), 0);
	assert_int_equal(fake.vector_changes, 0);
	close(event);
	close(vmm);
}

/* The VMM keeps the memory that it has mapped. */
static void taken_over(void **state)
{
	int vmm = vmm_ready();
	uint8_t *map = map_all(vmm), *again;

	map[100] = 1;
	take_over();
	assert_int_equal(load(vmm, ALL, 100, 1), 1);
	map[101] = 2;
	assert_int_equal(load(vmm, ALL, 101, 1), 2);
	again = map_all(vmm);
	again[102] = 3;
	assert_int_equal(map[102], 3);
	munmap(map, FILE_BYTES);
	munmap(again, FILE_BYTES);
	close(vmm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it), TEST(outside),	      TEST(part_of_it), TEST(other_regions),
		TEST(too_often), TEST(no_interrupts), TEST(taken_over),
	};
	const struct register_model_ops model = mapped_model();

	fake_ops = &model;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
