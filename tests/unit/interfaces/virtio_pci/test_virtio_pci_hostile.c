/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a driver can say that is wrong. */
#include "pci_bench.h"

#include <errno.h>

#include "interfaces/virtio_pci/virtio_pci_private.h"

static void expect(struct pci_bench *bench, enum pci_violation kind)
{
	assert_int_equal(bench->violated, 1);
	assert_int_equal(bench->last_violation, kind);
	bench->violated = 0;
}

/* Any size anywhere: what is no register reads as zero or as a part of some, and stores go nowhere. */
static void test_wild_accesses(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	for (uint32_t offset = 0; offset < VIRTIO_PCI_BAR_BYTES; offset += offset < 0x80 ? 1 : 61) {
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
			get(&bench, offset, bytes);
			put(&bench, offset, bytes, UINT64_MAX);
		}
	}
	for (uint32_t offset = VIRTIO_PCI_WINDOW_BAR; offset < VIRTIO_PCI_CAP_BYTES_MORE; offset++) {
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
			bench.model->read(bench.function, REGISTER_BAR_CAPABILITY, offset, bytes);
			bench.model->write(bench.function, REGISTER_BAR_CAPABILITY, offset, bytes,
					   UINT64_MAX);
		}
	}
	turn(&bench);
	assert_true(bench.violated > 100);
	assert_int_equal(bench.device.queues_running, 0);
	bench.violated = 0;
	put(&bench, COMMON_STATUS, 1, 0);
	drive(&bench);
	bench_end(&bench);
}

static void test_feature_lies(void **state)
{
	static const uint64_t lies[] = { VERSION1 | 1ull << VIRTIO_F_RING_RESET,
					 VERSION1 | 1ull << VIRTIO_F_ACCESS_PLATFORM, VERSION1 | 1ull << 63,
					 0, 1ull << VIRTIO_RING_F_EVENT_IDX };
	struct pci_bench bench;

	bench_begin(&bench, false);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		agree(&bench, lies[i]);
		expect(&bench, PCI_VIOLATION_FEATURES);
		assert_int_equal(status(&bench) & STATUS_FEATURES_OK, 0);
		put(&bench, COMMON_STATUS, 1, STATUS_DRIVER_OK);
		expect(&bench, PCI_VIOLATION_STATUS);
		put(&bench, COMMON_STATUS, 1, 0);
	}
	agree(&bench, VERSION1);
	put(&bench, COMMON_DRIVER_FEATURE, 4, 0);
	expect(&bench, PCI_VIOLATION_FEATURES);
	assert_int_equal(get(&bench, COMMON_DRIVER_FEATURE, 4), 1);
	bench_end(&bench);
}

static void test_queue_registers(void **state)
{
	static const uint16_t sizes[] = { 0, 3, 65, 128, 0xffff };
	struct pci_bench bench;

	bench_begin(&bench, false);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	expect(&bench, PCI_VIOLATION_QUEUE); /* before features are agreed on */
	agree(&bench, VERSION1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put(&bench, COMMON_QUEUE_SIZE, 2, sizes[i]);
		expect(&bench, PCI_VIOLATION_QUEUE);
		assert_int_equal(get(&bench, COMMON_QUEUE_SIZE, 2), 64);
	}
	/* One address has nothing of what is stored across two. */
	put(&bench, COMMON_QUEUE_DESCRIPTORS + 6, 4, UINT32_MAX);
	expect(&bench, PCI_VIOLATION_REGISTER);
	assert_int_equal(get(&bench, COMMON_QUEUE_DESCRIPTORS, 8) | get(&bench, COMMON_QUEUE_DRIVER, 8), 0);
	describe_queue(&bench);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 0);
	expect(&bench, PCI_VIOLATION_QUEUE);
	put(&bench, COMMON_QUEUE_VECTOR, 2, bench.model->vectors);
	assert_int_equal(get(&bench, COMMON_QUEUE_VECTOR, 2), VIRTIO_PCI_NO_VECTOR);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	/* Enabled: nothing changes, and it is not enabled twice. */
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	expect(&bench, PCI_VIOLATION_QUEUE);
	put(&bench, COMMON_QUEUE_SIZE, 2, 8);
	expect(&bench, PCI_VIOLATION_QUEUE);
	put(&bench, COMMON_QUEUE_DEVICE, 8, 0);
	expect(&bench, PCI_VIOLATION_QUEUE);
	assert_int_equal(get(&bench, COMMON_QUEUE_SIZE, 2), SIZE);
	put(&bench, COMMON_QUEUE_SELECT, 2, 0xffff);
	put(&bench, COMMON_QUEUE_VECTOR, 2, 0);
	expect(&bench, PCI_VIOLATION_QUEUE);
	bench_end(&bench);
}

/* A ring that lies outside of the guest's memory, or not on its boundary: the device needs a reset. */
static void test_ring_addresses(void **state)
{
	static const uint64_t addresses[] = { 0,
					      0x1000,
					      UINT64_MAX - 15,
					      DRIVER_GUEST_BASE - 16,
					      DRIVER_GUEST_BASE + 1,
					      DRIVER_GUEST_BASE + 2ull * DRIVER_REGION_BYTES - 16 };
	struct pci_bench bench;

	bench_begin(&bench, false);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		agree(&bench, VERSION1);
		describe_queue(&bench);
		put(&bench, COMMON_QUEUE_DESCRIPTORS, 8, addresses[i]);
		put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
		put(&bench, COMMON_STATUS, 1, DRIVEN);
		turn(&bench);
		assert_int_equal(bench.device.queues_running, 0);
		assert_true(status(&bench) & STATUS_NEEDS_RESET);
		assert_true(bench.violated > 0 && bench.last_violation >= PCI_VIOLATIONS);
		kick(&bench);
		put(&bench, COMMON_STATUS, 1, 0);
		assert_int_equal(status(&bench), 0);
	}
	bench.violated = 0;
	drive(&bench);
	bench_end(&bench);
}

/* A ring that breaks a rule: the driver is told once, and a reset mends it. */
static void test_broken_ring(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	drive(&bench);
	ring_driver_available(&bench.driver)->ring[0] = SIZE;
	ring_driver_available(&bench.driver)->idx = 1;
	kick(&bench);
	turn(&bench);
	assert_true(status(&bench) & STATUS_NEEDS_RESET);
	assert_int_equal(get(&bench, VIRTIO_PCI_ISR, 1) & ISR_CONFIG, ISR_CONFIG);
	for (unsigned i = 0; i < 100; i++)
		kick(&bench);
	turn(&bench);
	assert_int_equal(bench.violated, 1);
	assert_int_equal(bench.device.taken, 0);
	/* Bits of the status are not taken back one by one. */
	put(&bench, COMMON_STATUS, 1, DRIVEN);
	assert_true(status(&bench) & STATUS_NEEDS_RESET);
	put(&bench, COMMON_STATUS, 1, 0);
	AWAIT(status(&bench) == 0, turn(&bench));
	ring_driver_available(&bench.driver)->idx = 0;
	bench.violated = 0;
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	bench_end(&bench);
}

/* Notifications of every place, of queues that do not run, and more than anybody needs. */
static void test_notifications(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	kick(&bench);
	assert_int_equal(bench.violated, 0);
	put(&bench, VIRTIO_PCI_NOTIFY + 1, 1, 0);
	expect(&bench, PCI_VIOLATION_REGISTER);
	put(&bench, VIRTIO_PCI_NOTIFY + 0xffc, 4, 0);
	expect(&bench, PCI_VIOLATION_REGISTER);
	drive(&bench);
	add(&bench, 0);
	for (unsigned i = 0; i < 10000; i++)
		kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.taken, 1);
	echo_answer_all(&bench.device);
	bench_end(&bench);
}

/* A stream that ends too early, or with numbers that cannot be, is not taken over. */
static void test_damaged_handover(void **state)
{
	struct handover handover = { 0 };
	struct pci_bench bench;
	size_t length;

	bench_begin(&bench, false);
	drive(&bench);
	quiesce(&bench);
	bench.model->save(bench.function, &handover);
	length = handover.length;
	for (size_t cut = 0; cut < length; cut += 7) {
		void *function;

		handover.length = cut;
		handover.position = 0;
		handover.error = 0;
		assert_int_equal(bench.model->power_on(bench.pci, &bench.bus, &function), 0);
		bench.model->restore(function, &handover);
		assert_int_equal(handover.error, -EBADMSG);
		bench.model->power_off(function);
	}
	handover_finish(&handover);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wild_accesses),	 cmocka_unit_test(test_feature_lies),
		cmocka_unit_test(test_queue_registers),	 cmocka_unit_test(test_ring_addresses),
		cmocka_unit_test(test_broken_ring),	 cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_damaged_handover),
	};

	int failed = cmocka_run_group_tests_name("home", tests, NULL, NULL);

	bench_elsewhere = true;
	return failed + cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}
