/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring walk over memory that the guest fills as it likes, changing it between the looks. What must hold:
 * no access outside guest memory (ASAN), at most one violation, every chain answered, the queue stops.
 */
#include "echo_model.h"
#include "fuzz_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input input = { bytes, size };
	static struct echo_device device;
	struct virtqueue_setup setup;
	struct ring_driver driver;
	struct virtqueue *queue = NULL;
	unsigned broken = 0;
	uint8_t choice;

	fuzz_driver(&input, &driver);
	memset(&device, 0, sizeof(device));
	choice = fuzz_byte(&input);
	device.at_once = choice & 1;
	device.modest = choice & 2;
	setup = ring_driver_setup(&driver);
	setup.loop = fuzz_loop;
	setup.model = &echo_model;
	setup.device = &device;
	setup.broken = fuzz_broken;
	setup.context = &broken;
	setup.position.available_idx = driver.packed ? 0 : fuzz_u16(&input);
	for (int i = 0; i < 4; i++)
		fuzz_patch(&input, &driver);
	if (virtqueue_start(&setup, &queue) == 0) {
		for (int round = 0; round < 6 && input.left > 0; round++) {
			fuzz_patch(&input, &driver);
			ring_driver_kick(&driver);
			fuzz_turns(2);
			if (fuzz_byte(&input) & 1)
				echo_answer_all(&device);
		}
		echo_answer_all(&device);
		fuzz_stop(queue, NULL);
	}
	assert(device.held_count == 0 && device.queues_running == 0);
	fuzz_trace_number(broken);
	fuzz_driver_finish(&driver);
	return 0;
}
