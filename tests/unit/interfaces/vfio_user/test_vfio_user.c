/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vfio-user server: each command, over its socket, and what a VMM may do to keep it waiting. */
#include "server_bench.h"

#define BAR    0u
#define CONFIG VFIO_USER_REGION_CONFIG

/* ---- commands ---- */

static void version(void **state)
{
	static const struct {
		uint16_t major, minor;
		const char *json;
		uint32_t json_bytes, error;
	} cases[] = {
		{ 0, 0, "", 0, 0 },
		{ 0, 9, "{}", 3, 0 },
		{ 0, 1, "{\"capabilities\":{\"max_msg_fds\":1}}", 35, 0 },
		{ 1, 0, "", 0, EINVAL },
		{ 0, 1, "{}", 2, EINVAL },
		{ 0, 1, "[]", 3, EINVAL },
		{ 0, 1, "{", 2, EINVAL },
		{ 0, 1, "{}\0{}", 6, EINVAL },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t payload[64];
		struct reply reply;
		int vmm = vmm_connect();

		memcpy(payload, &cases[i], 4);
		memcpy(payload + 4, cases[i].json, cases[i].json_bytes);
		assert_int_equal(
			ask_with(vmm, VFIO_USER_VERSION, payload, 4 + cases[i].json_bytes, NULL, 0, &reply),
			cases[i].error);
		/* What was agreed on, and that is once. */
		if (!cases[i].error) {
			assert_int_equal(reply.payload[2], cases[i].minor > 0);
			assert_int_equal(reply.payload[reply.bytes - 1], 0);
			assert_non_null(strstr((char *)reply.payload + 4, "\"max_msg_fds\":16"));
			assert_int_equal(ask(vmm, VFIO_USER_VERSION, payload, 4), EINVAL);
			assert_int_equal(ask(vmm, VFIO_USER_RESET, NULL, 0), 0);
		} else {
			/* That is no VMM. */
			assert_false(hear(vmm, &reply));
		}
		close(vmm);
		AWAIT(bench_status().connections == 0, bench_turn());
		/* After a violation nobody is let in for a while. */
		stopped_clock_ns += 10 * NS_PER_S;
		bench_turn();
	}
}

static void what_the_device_is(void **state)
{
	struct vfio_user_device_info info = { .argsz = 16 };
	struct vfio_user_region_info region = { .argsz = 32 };
	struct vfio_user_irq_info irq = { .argsz = 16 };
	struct reply reply;
	int vmm = vmm_ready();

	assert_int_equal(ask_with(vmm, VFIO_USER_GET_INFO, &info, sizeof(info), NULL, 0, &reply), 0);
	memcpy(&info, reply.payload, sizeof(info));
	assert_int_equal(info.regions, 9);
	assert_int_equal(info.interrupts, 5);
	assert_int_equal(info.flags, 3);
	for (region.index = 0; region.index < 12; region.index++) {
		uint64_t bytes = region.index == BAR ? BAR_BYTES : region.index == CONFIG ? 256 : 0;
		struct vfio_user_region_info answer;
		uint32_t error =
			ask_with(vmm, VFIO_USER_GET_REGION_INFO, &region, sizeof(region), NULL, 0, &reply);

		assert_int_equal(error, region.index < 9 ? 0 : EINVAL);
		memcpy(&answer, reply.payload, sizeof(answer));
		if (!error)
			assert_true(answer.size == bytes && answer.flags == (bytes ? 3 : 0));
	}
	for (irq.index = 0; irq.index < 8; irq.index++) {
		struct vfio_user_irq_info answer;
		uint32_t error = ask_with(vmm, VFIO_USER_GET_IRQ_INFO, &irq, sizeof(irq), NULL, 0, &reply);

		assert_int_equal(error, irq.index < 5 ? 0 : EINVAL);
		memcpy(&answer, reply.payload, sizeof(answer));
		if (!error)
			assert_int_equal(answer.count, irq.index == 0 ? 1 : irq.index == 2 ? 16 : 0);
	}
	close(vmm);
}

/* In pieces of 1, 2, 4 or 8 aligned bytes; the pending bits are the bus's. */
static void loads_and_stores(void **state)
{
	int vmm = vmm_ready();

	assert_int_equal(store(vmm, BAR, 0x103, 0x1122334455667788, 8), 0);
	assert_int_equal(fake.writes, 4);
	assert_true(load(vmm, BAR, 0x103, 8) == 0x1122334455667788);
	assert_int_equal(fake.reads, 4);
	assert_int_equal(load(vmm, BAR, 0x10a, 1), 0x11);
	assert_int_equal(store(vmm, BAR, 0x2000, 1, 4), 0);
	assert_int_equal(store(vmm, BAR, 0x3000, 1, 8), 0);
	assert_int_equal(load(vmm, BAR, 0x2000, 4), 0);
	assert_int_equal(load(vmm, BAR, 0x3000, 8), 0);
	assert_int_equal(fake.writes, 4);
	assert_int_equal(fake.reads, 5);
	assert_int_equal(load(vmm, CONFIG, 0, 4), 0x56781234);
	close(vmm);
}

static void accesses_outside(void **state)
{
	static const struct vfio_user_region_access bad[] = {
		{ BAR_BYTES, BAR, 1 },
		{ BAR_BYTES - 3, BAR, 4 },
		{ UINT64_MAX, BAR, 8 },
		{ UINT64_MAX - 3, BAR, 4 },
		{ 0, BAR, 0 },
		{ 0, BAR, 4097 },
		{ 0, 1, 4 },
		{ 0, 8, 4 },
		{ 0, 9, 4 },
		{ 0, UINT32_MAX, 4 },
		{ 256, CONFIG, 1 },
		{ 255, CONFIG, 2 },
		{ 0, BAR, UINT32_MAX },
	};
	uint8_t payload[16 + 4096] = { 0 };
	int vmm = vmm_ready();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t bytes = bad[i].count <= 4096 ? bad[i].count : 4096;

		assert_int_equal(ask(vmm, VFIO_USER_REGION_READ, &bad[i], sizeof(bad[i])), EINVAL);
		memcpy(payload, &bad[i], sizeof(bad[i]));
		assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE, payload, 16 + bytes), EINVAL);
	}
	/* Other bytes than it says. */
	memcpy(payload, &(struct vfio_user_region_access){ 16, BAR, 8 }, 16);
	assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE, payload, 16 + 7), EINVAL);
	assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE, payload, 16 + 9), EINVAL);
	assert_int_equal(fake.writes + fake.reads, 0);
	assert_int_equal(load(vmm, BAR, 16, 8), 0);
	close(vmm);
}

static void many_writes_at_once(void **state)
{
	struct {
		uint64_t count;
		struct vfio_user_region_write writes[3];
	} multi = { .count = 3 };
	int vmm = vmm_ready();

	for (unsigned i = 0; i < 3; i++)
		multi.writes[i] =
			(struct vfio_user_region_write){ { 0x100 + 8 * i, BAR, 8 }, { (uint8_t)(i + 1) } };
	assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(load(vmm, BAR, 0x100 + 8 * i, 8), i + 1);
	/* A wrong one in the midst is left out. */
	multi.writes[1].access.count = 9;
	for (unsigned i = 0; i < 3; i++)
		multi.writes[i].data[0] = 0x55;
	assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)), 0);
	assert_int_equal(load(vmm, BAR, 0x100, 8), 0x55);
	assert_int_equal(load(vmm, BAR, 0x108, 8), 2);
	assert_int_equal(load(vmm, BAR, 0x110, 8), 0x55);
	/* Counts that are not theirs. */
	for (uint64_t bad = 0; bad < 5; bad++) {
		multi.count = bad == 4 ? UINT64_MAX / 24 : bad == 3 ? 4 : bad;
		assert_int_equal(ask(vmm, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)), EINVAL);
	}
	close(vmm);
}

/* Memory is the function's while it is bus master, and no longer. */
static void memory_of_a_bus_master(void **state)
{
	const struct vfio_user_dma_map map = { 32, 3, 0, 0x100000, PAGE };
	const struct vfio_user_dma_unmap unmap = { 24, 0, 0x100000, PAGE }, all = { 24, 2, 0, 0 };
	int vmm = vmm_ready(), fd = fd_memfd("ram", PAGE);
	struct reply reply;

	assert_int_equal(ask_with(vmm, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, 1, &reply), 0);
	assert_null(guest_memory_find(fake.bus->memory, 0x100000));
	assert_int_equal(store(vmm, CONFIG, 4, 6, 2), 0);
	assert_non_null(guest_memory_find(fake.bus->memory, 0x100000));
	assert_int_equal(ask(vmm, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), 0);
	assert_null(guest_memory_find(fake.bus->memory, 0x100000));
	assert_int_equal(ask_with(vmm, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, 1, &reply), 0);
	assert_non_null(guest_memory_find(fake.bus->memory, 0x100000));
	/* A reset keeps the VMM's maps, and takes the driver's right. */
	assert_int_equal(ask(vmm, VFIO_USER_RESET, NULL, 0), 0);
	assert_null(guest_memory_find(fake.bus->memory, 0x100000));
	assert_int_equal(store(vmm, CONFIG, 4, 6, 2), 0);
	assert_non_null(guest_memory_find(fake.bus->memory, 0x100000));
	assert_int_equal(ask(vmm, VFIO_USER_DMA_UNMAP, &all, sizeof(all)), 0);
	assert_null(guest_memory_find(fake.bus->memory, 0x100000));
	close(fd);
	close(vmm);
}

/* ---- interrupts, and a VMM that does not read ---- */

static void the_pin_and_messages(void **state)
{
	int vmm = vmm_ready(), pin = give_event(vmm, VFIO_USER_INTX, 0), fd;

	assert_int_equal(store(vmm, BAR, 0, 3, 4), 0);
	assert_int_equal(told(pin), 1);
	assert_int_equal(load(vmm, CONFIG, 6, 2) & 8, 8);
	assert_int_equal(store(vmm, BAR, 8, 3, 4), 0);
	assert_int_equal(load(vmm, CONFIG, 6, 2) & 8, 0);
	assert_int_equal(fake.vector_changes, 0);
	fd = give_event(vmm, VFIO_USER_MSIX, 5);
	assert_int_equal(fake.vector_changes, 1);
	assert_int_equal(store(vmm, BAR, 0, 5, 4), 0);
	assert_int_equal(told(fd), 1);
	assert_int_equal(store(vmm, BAR, 0, 6, 4), 0);
	assert_int_equal(load(vmm, BAR, 0x3000, 8), 1 << 6);
	close(fd);
	fd = give_event(vmm, VFIO_USER_MSIX, 6);
	assert_int_equal(told(fd), 1);
	assert_int_equal(load(vmm, BAR, 0x3000, 8), 0);
	close(fd);
	close(pin);
	close(vmm);
}

/* Vector 1's counter is full, and a message waits for room in it. */
static int full_counter(int vmm)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = give_event(vmm, VFIO_USER_MSIX, 1);

	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_int_equal(store(vmm, BAR, 0, 1, 4), 0);
	bench_settle();
	return fd;
}

/* It costs a second, and neither the answer to a reset, nor the end, nor a takeover. */
static void a_full_counter_and_a_reset(void **state)
{
	int vmm = vmm_ready(), fd = full_counter(vmm);
	struct reply reply;

	tell(vmm, VFIO_USER_RESET, 0, NULL, 0, NULL, 0);
	bench_settle();
	stopped_clock_ns += NS_PER_S;
	assert_true(hear(vmm, &reply));
	assert_int_equal(reply.header.error, 0);
	assert_int_equal(fake.resets, 1);
	close(fd);
	close(vmm);
}

static void a_full_counter_and_the_end(void **state)
{
	int vmm = vmm_ready(), fd = full_counter(vmm);

	close(vmm);
	bench_settle();
	stopped_clock_ns += NS_PER_S;
	AWAIT(bench_status().connections == 0, bench_turn());
	assert_int_equal(fake.powered, 0);
	close(fd);
}

static void a_full_counter_and_a_takeover(void **state)
{
	int vmm = vmm_ready(), fd = full_counter(vmm);
	uint64_t count;

	take_over();
	assert_int_equal(load(vmm, BAR, 0, 4), 1);
	/* It is read at last, and told anew. */
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(store(vmm, BAR, 0, 1, 4), 0);
	assert_int_equal(told(fd), 1);
	close(fd);
	close(vmm);
}

/* ---- rest ---- */

/* The answer to a reset waits for what is in flight, and messages behind it wait, too. */
static void a_reset_waits_for_rest(void **state)
{
	int vmm = vmm_ready();
	struct reply reply;

	fake.hold = true;
	assert_int_equal(store(vmm, BAR, 0x100, 7, 4), 0);
	tell(vmm, VFIO_USER_RESET, 0, NULL, 0, NULL, 0);
	bench_settle();
	assert_false(readable(vmm));
	assert_int_equal(fake.resets, 0);
	fake_let_go();
	assert_true(hear(vmm, &reply));
	assert_int_equal(fake.resets, 1);
	assert_int_equal(load(vmm, BAR, 0x100, 4), 0);
	close(vmm);
}

/* One VMM at a time: the next is let in when the one before has gone. */
static void the_next_vmm(void **state)
{
	int vmm = vmm_ready(), next = vmm_connect(), late;

	bench_settle();
	assert_int_equal(bench_status().connections, 1);
	close(vmm);
	close(next);
	AWAIT(bench_status().connections == 0, bench_turn());
	late = vmm_ready();
	assert_int_equal(store(late, BAR, 0x100, 1, 4), 0);
	close(late);
}

static void takeover(void **state)
{
	const struct vfio_user_dma_map map = { 32, 3, 0, 0x100000, PAGE };
	int vmm = vmm_ready(), fd = give_event(vmm, VFIO_USER_MSIX, 2), ram = fd_memfd("ram", PAGE);
	struct vfio_user_header half = { .id = 77, .command = VFIO_USER_RESET, .size = sizeof(half) };
	struct reply reply;

	assert_int_equal(ask_with(vmm, VFIO_USER_DMA_MAP, &map, sizeof(map), &ram, 1, &reply), 0);
	assert_int_equal(store(vmm, CONFIG, 4, 6, 2), 0);
	assert_int_equal(store(vmm, BAR, 0x100, 0xabcdef, 4), 0);
	assert_int_equal(send(vmm, &half, 5, 0), 5);
	bench_settle();
	take_over();
	assert_non_null(guest_memory_find(fake.bus->memory, 0x100000));
	/* The half message ends, and is answered. */
	assert_int_equal(send(vmm, (uint8_t *)&half + 5, sizeof(half) - 5, 0), sizeof(half) - 5);
	bench.next_id = 77;
	assert_true(hear(vmm, &reply));
	assert_int_equal(reply.header.command, VFIO_USER_RESET);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(store(vmm, BAR, 0, 2, 4), 0);
	assert_int_equal(told(fd), 1);
	close(ram);
	close(fd);
	close(vmm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(version),
		TEST(what_the_device_is),
		TEST(loads_and_stores),
		TEST(accesses_outside),
		TEST(many_writes_at_once),
		TEST(memory_of_a_bus_master),
		TEST(the_pin_and_messages),
		TEST(a_full_counter_and_a_reset),
		TEST(a_full_counter_and_the_end),
		TEST(a_full_counter_and_a_takeover),
		TEST(a_reset_waits_for_rest),
		TEST(the_next_vmm),
		TEST(takeover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
