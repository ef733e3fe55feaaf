/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A console's queue over guest memory that the fuzzer chose: chains of any shape, typed input in between.
 * What must hold: no access outside guest memory (ASAN), every chain answered, and no more said in a turn
 * than a turn has.
 */
#include "devices/console/virtio_console.h"
#include "devices/console/virtio_console_format.h"
#include "fuzz_ring.h"

static uint64_t said;
static bool patched; /* the ring's memory */

static void on_output(void *context, const uint8_t *bytes, size_t count)
{
	said += count;
	fuzz_trace(bytes, count);
}

/* Chains from the fuzzer's bytes: address, length and direction of up to four elements. */
static void add_chain(struct fuzz_input *input, struct ring_driver *driver)
{
	struct driver_element elements[4];
	unsigned count = 1 + fuzz_byte(input) % 4;

	for (unsigned i = 0; i < count; i++) {
		uint16_t shape = fuzz_u16(input);

		elements[i] = (struct driver_element){
			.guest_address = DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET + fuzz_u16(input),
			.length = shape & 0x4000 ? (uint32_t)(shape & 0xff) << 12 : shape & 0xfff,
			.device_writes = shape & 0x8000 || (i > 0 && elements[i - 1].device_writes),
		};
		if (shape == 0xffff)
			elements[i].guest_address = UINT64_MAX - 4096;
	}
	ring_driver_add(driver, elements, count, driver->features >> VIRTIO_RING_F_INDIRECT & 1);
}

static void one_turn(void)
{
	uint64_t before = said;

	fuzz_turns(1);
	assert(said - before <= VIRTIO_CONSOLE_TURN_BYTES);
}

static void act(struct fuzz_input *input, struct ring_driver *driver, struct virtio_console *device,
		const unsigned *broken)
{
	uint8_t choice = fuzz_byte(input), keys[64] = { 'k' };
	uint32_t length;

	if (choice & 1)
		add_chain(input, driver);
	/* Then the driver cannot know any more what it gave. */
	if (choice & 2) {
		fuzz_patch(input, driver);
		patched = true;
	}
	if (choice & 4)
		virtio_console_type(device, keys, choice >> 2);
	ring_driver_kick(driver);
	for (unsigned i = 0; i < 4; i++)
		one_turn();
	while (!*broken && !patched && ring_driver_take(driver, &length) >= 0)
		fuzz_trace_number(length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct virtio_console_options options = { .output = on_output };
	struct fuzz_input input = { bytes, size };
	struct virtio_console *device;
	struct virtqueue_setup setup;
	struct virtqueue *queue = NULL;
	struct ring_driver driver;
	unsigned broken = 0;

	said = 0;
	patched = false;
	fuzz_driver(&input, &driver);
	if (virtio_console_create(&options, &device))
		abort();
	setup = ring_driver_setup(&driver);
	setup.loop = fuzz_loop;
	setup.index = fuzz_byte(&input) & 1;
	setup.model = &virtio_console_model;
	setup.device = device;
	setup.broken = fuzz_broken;
	setup.context = &broken;
	if (virtqueue_start(&setup, &queue) == 0) {
		for (unsigned i = 0; i < 8 && input.left > 0; i++)
			act(&input, &driver, device, &broken);
		fuzz_stop(queue, NULL);
	}
	virtio_console_destroy(device);
	/* What was typed is on its way, and frees the device. */
	fuzz_turns(1);
	fuzz_trace_number(broken);
	fuzz_driver_finish(&driver);
	return 0;
}
