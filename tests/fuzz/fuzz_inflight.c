/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recovery from an INFLIGHT region that the front end scribbled on, and work on it afterwards. */
#include "echo_model.h"
#include "fuzz_ring.h"
#include "interfaces/virtio/inflight.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input input = { bytes, size };
	static struct echo_device device;
	struct driver_element element[2] = { { DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET, 16, false },
					     { DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET + 64, 16, true } };
	struct virtqueue_setup setup;
	struct ring_driver driver;
	struct virtqueue *queue = NULL;
	unsigned broken = 0;
	size_t region_bytes;
	uint8_t *region;

	fuzz_driver(&input, &driver);
	memset(&device, 0, sizeof(device));
	device.modest = input.left & 1;
	region_bytes = inflight_region_bytes(driver.packed, driver.size);
	/* Of exactly its size: one byte beyond is an ASAN report. */
	region = aligned_alloc(64, region_bytes);
	memset(region, 0, region_bytes);
	setup = ring_driver_setup(&driver);
	setup.loop = fuzz_loop;
	setup.model = &echo_model;
	setup.device = &device;
	setup.broken = fuzz_broken;
	setup.context = &broken;
	setup.inflight = region;
	for (unsigned i = fuzz_byte(&input) % 8; i > 0; i--)
		fuzz_patch(&input, &driver);
	for (unsigned i = fuzz_byte(&input) % 8; i > 0; i--)
		ring_driver_add(&driver, element, 2, driver.features >> VIRTIO_RING_F_INDIRECT & 1);
	/* A plausible head, so that mutations reach the lists behind it. */
	region[8] = 1;
	region[10] = (uint8_t)driver.size;
	for (size_t at = 12; at < region_bytes && input.left > 8; at++)
		region[at] = fuzz_byte(&input);
	if (virtqueue_start(&setup, &queue) == 0) {
		fuzz_turns(2);
		for (int round = 0; round < 4; round++) {
			size_t at = fuzz_u16(&input) % region_bytes;

			region[at] ^= fuzz_byte(&input);
			if (device.held_count > 0)
				echo_answer(&device, 0);
			ring_driver_kick(&driver);
			fuzz_turns(2);
		}
		echo_answer_all(&device);
		fuzz_stop(queue, NULL);
	}
	assert(device.held_count == 0);
	free(region);
	fuzz_trace_number(broken);
	fuzz_driver_finish(&driver);
	return 0;
}
