/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores of any place, size and value, at models that are made of registers, with a guest's memory
 * whose bytes the fuzzer chooses. (NVMe has a target with its bus: vfio_user.)
 *
 * The first byte chooses the model (an e1000e beside a port of Bob's, a USB keyboard, a USB tablet, the
 * echo device as a virtio-pci one, or a bochs display, whose memory takes the place of the guest's), and
 * whether an honest driver has put up rings, or a picture, before. Then steps, a kind and what the kind
 * needs:
 *
 *	0 a store	where, value
 *	1 a load	where
 *	2 memory	u16 place, u8 length, bytes
 *	3 a TRB or descriptor: u8 ring, u8 index, 16 bytes, of which the first eight can become an address
 *	4 turns of the loop
 *	5 life		quiet and on; reset; power cycle with what was saved; memory that goes and comes
 *	6 the world	a frame, a key, a move, another configuration; for a display time, and what viewers do
 */
#include "fuzz_registers.h"

#define STEPS_MAX 64u

struct store {
	uint32_t offset, value;
	unsigned bytes; /* 0: 4 */
	unsigned bar;
};

/* Receive and transmit rings of 64 and 32 descriptors, all frames wanted, all interrupts. */
static const struct store e1000e_honest[] = {
	{ 0x02800, RAM_BASE + RING_AT(0) },
	{ 0x02808, 1024 },
	{ 0x03800, RAM_BASE + RING_AT(1) },
	{ 0x03808, 512 },
	{ 0x02818, 60 },
	{ 0x00100, 0x0400801a },
	{ 0x00400, 0x0000000a },
	{ 0x000d0, 0x01f00004 },
};
/* DCBAAP, the command ring, one segment of 16 events whose table lies in ring 3, run. */
static const struct store xhci_honest[] = {
	{ 0x70, RAM_BASE + RING_AT(2) },
	{ 0x58, (RAM_BASE + RING_AT(0)) | 1 },
	{ 0x78, 8 },
	{ 0x1028, 1 },
	{ 0x1038, RAM_BASE + RING_AT(1) },
	{ 0x1030, RAM_BASE + RING_AT(3) },
	{ 0x1020, 2 },
	{ 0x40, 5 },
};

/* VERSION_1, and queue 0 of 16: descriptors in ring 0, then the driver's part and the device's. */
static const struct store virtio_honest[] = {
	{ 0x14, 3, 1 },
	{ 0x08, 1 },
	{ 0x0c, 1 },
	{ 0x14, 0x0b, 1 },
	{ 0x18, 16, 2 },
	{ 0x1a, 1, 2 },
	{ 0x20, RAM_BASE + RING_AT(0) },
	{ 0x28, RAM_BASE + RING_AT(1) },
	{ 0x30, RAM_BASE + RING_AT(2) },
	{ 0x1c, 1, 2 },
	{ 0x14, 0x0f, 1 },
};

/* 96 to 40 pixels, which begin in the third line. */
static const struct store bochs_honest[] = {
	{ 0x502, 96, 2, 2 }, { 0x504, 40, 2, 2 },   { 0x506, 32, 2, 2 },
	{ 0x512, 2, 2, 2 },  { 0x508, 0x41, 2, 2 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- power ---- */

static void on_quiet(void *context)
{
	machine.quiet = true;
}

static void quiesce(void)
{
	machine.quiet = false;
	machine.model->quiesce(machine.function, on_quiet, NULL);
	for (unsigned i = 0; i < FUZZ_TURNS_MAX && !machine.quiet; i++)
		fuzz_turns(1);
	assert(machine.quiet);
}

static void power_on(void)
{
	if (machine.model->power_on(machine.device, &machine.bus, &machine.function))
		abort();
}

static void go(void)
{
	if (machine.model->arrive(machine.function))
		abort();
	machine.model->resume(machine.function);
}

static struct guest_memory *all_memory(void)
{
	const struct guest_region_description description = {
		.guest_address = RAM_BASE,
		.size = RAM_BYTES,
		.user_address = RAM_BASE,
	};
	struct guest_memory *memory;

	if (guest_memory_add(machine.empty, &description, machine.memory_fd, &memory))
		abort();
	return memory;
}

static void drive(const struct store *stores, size_t count)
{
	for (size_t i = 0; i < count; i++)
		machine.model->write(machine.function, stores[i].bar, stores[i].offset,
				     stores[i].bytes ? stores[i].bytes : 4, stores[i].value);
}

#define DRIVE(stores) drive(stores, sizeof(stores) / sizeof((stores)[0]))

static void drive_honestly(void)
{
	if (machine.kind == E1000E)
		DRIVE(e1000e_honest);
	else if (machine.kind == VIRTIO)
		DRIVE(virtio_honest);
	else if (machine.kind == BOCHS)
		DRIVE(bochs_honest);
	else
		DRIVE(xhci_honest);
}

static void begin(uint8_t choice)
{
	unsigned other = choice & OTHER;

	machine = (struct machine){
		.kind = other == BY_VIRTIO   ? VIRTIO
			: other == A_DISPLAY ? BOCHS
					     : choice % MODELS,
		.has_vectors = choice >> 4 & 1,
	};
	fuzz_begin();
	open_device();
	machine.memory_fd = fd_memfd("ram", RAM_BYTES);
	machine.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, machine.memory_fd, 0);
	machine.guest = loop_guest_create();
	machine.empty = guest_memory_create();
	machine.memory = all_memory();
	machine.bus = (struct register_bus){
		.ops = &bus_ops,
		.memory = machine.memory,
		.loop = fuzz_loop,
		.account = loop_account_create(machine.guest, fuzz_loop),
	};
	power_on();
	go();
	/* The table of the event ring. */
	memcpy(machine.ram + RING_AT(3), &(const uint64_t[2]){ RAM_BASE + RING_AT(1), 16 }, 16);
	if (choice & HONEST)
		drive_honestly();
}

static void end(void)
{
	if (machine.kind == BOCHS)
		expect_shown();
	quiesce();
	machine.model->power_off(machine.function);
	assert(!machine.picture);
	close_device();
	fuzz_turns(4);
	fuzz_trace(machine.ram, RAM_BYTES);
	loop_account_close(machine.bus.account);
	loop_guest_put(machine.guest);
	guest_memory_put(machine.memory);
	guest_memory_put(machine.empty);
	fuzz_turns(2);
	munmap(machine.ram, RAM_BYTES);
	close(machine.memory_fd);
	fuzz_end();
}

/* ---- steps ---- */

static uint64_t value_of(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);
	uint64_t value = 0;

	for (unsigned i = 0; i < 1u << (choice & 3); i++)
		value = value << 8 | fuzz_byte(input);
	return choice & 4 ? value + RAM_BASE : value;
}

/* A place that is a register's more often than not: inside of a BAR in any case, as the bus promises. */
static void access_register(struct fuzz_input *input, bool stores)
{
	uint8_t choice = fuzz_byte(input);
	unsigned bar = choice >> 2 & 7, bytes = 1u << (choice & 3);
	uint32_t offset = (uint32_t)fuzz_u16(input) << (choice >> 5 & 3), size;

	if (bar == REGISTER_BAR_CAPABILITY && machine.kind == VIRTIO)
		size = bytes == 8 ? 16 : REGISTER_CAPABILITY_BYTES_MAX;
	else if (bar >= REGISTER_BARS || machine.model->bars[bar].kind == REGISTER_BAR_NONE)
		size = machine.model->bars[bar = 0].bytes;
	else
		size = machine.model->bars[bar].bytes;
	offset = offset % size / bytes * bytes;
	if (stores)
		machine.model->write(machine.function, bar, offset, bytes, value_of(input));
	else
		machine.model->read(machine.function, bar, offset, bytes);
}

/* So many bytes, again and again, as far as four times that many lines of an honest picture. */
static void put_pixels(struct fuzz_input *input, uint32_t place, uint8_t length)
{
	uint8_t bytes[UINT8_MAX];

	for (unsigned i = 0; i < length; i++)
		bytes[i] = fuzz_byte(input);
	for (unsigned i = 0; i < length && place + length <= VRAM_BYTES; i++, place += 96)
		assert(pwrite(vram(), bytes, length, place) == length);
}

static void put_memory(struct fuzz_input *input)
{
	uint32_t place = (uint32_t)fuzz_u16(input) * 4;
	uint8_t length = fuzz_byte(input);

	if (machine.kind == BOCHS) {
		put_pixels(input, place * 4, length);
		return;
	}
	for (unsigned i = 0; i < length && input->left > 0; i++)
		machine.ram[(place + i) % RAM_BYTES] = fuzz_byte(input);
}

static void put_entry(struct fuzz_input *input)
{
	uint8_t ring = fuzz_byte(input), index = fuzz_byte(input);
	uint8_t *at = machine.ram + RING_AT(ring % RINGS) + (index % 64) * 16;
	uint64_t address = value_of(input);

	memcpy(at, &address, sizeof(address));
	for (unsigned i = 8; i < 16; i++)
		at[i] = fuzz_byte(input);
}

static void cycle_power(void)
{
	struct handover handover = { 0 };

	machine.model->save(machine.function, &handover);
	/* As they come from another process: the successor's own. */
	for (size_t i = 0; i < handover.fd_count; i++)
		handover.fds[i] = fcntl(handover.fds[i], F_DUPFD_CLOEXEC, 0);
	handover.fd_position = 0;
	machine.model->power_off(machine.function);
	power_on();
	machine.model->restore(machine.function, &handover);
	assert(handover.error == 0 && handover.position == handover.length);
	assert(handover.fd_position == handover.fd_count);
	handover_finish(&handover);
	go();
}

static void live(struct fuzz_input *input)
{
	switch (fuzz_byte(input) % 5) {
	case 0:
		quiesce();
		machine.model->resume(machine.function);
		break;
	case 1:
		quiesce();
		machine.model->reset(machine.function);
		break;
	case 2:
		quiesce();
		cycle_power();
		break;
	case 3:
		machine.bus.memory = machine.bus.memory == machine.empty ? machine.memory : machine.empty;
		machine.model->memory_changed(machine.function);
		break;
	default:
		machine.has_vectors = !machine.has_vectors;
		machine.model->vectors_changed(machine.function);
	}
}

static void send_frame(struct fuzz_input *input)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
	static uint8_t bytes[MTU + sizeof(head)];
	uint32_t count = sizeof(head) + fuzz_u16(input) % MTU;
	struct iovec iov = { bytes, count };
	const struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = count };

	memcpy(bytes, head, sizeof(head));
	bytes[12] = fuzz_byte(input);
	if (machine.kind == E1000E && port_source_continue(machine.from_bob))
		port_send(machine.from_bob, &frame, 1);
}

/* Time passes, for one look or a part of it; what a viewer does. */
static void watch(struct fuzz_input *input)
{
	uint8_t choice = fuzz_byte(input);

	switch (choice % 4) {
	case 0:
		machine.busy = !machine.busy;
		break;
	case 1:
		bochs_display_set_size(machine.device, fuzz_u16(input), fuzz_u16(input));
		machine.model->config_changed(machine.function);
		break;
	default:
		fuzz_now_ns += BOCHS_LOOK_NS;
		fuzz_turns(1 + choice / 16);
	}
}

static void stir(struct fuzz_input *input)
{
	if (machine.kind == E1000E)
		send_frame(input);
	else if (machine.kind == BOCHS)
		watch(input);
	else if (machine.kind == VIRTIO)
		machine.model->config_changed(machine.function);
	else if (machine.kind == KEYBOARD)
		usb_input_key(machine.device, fuzz_byte(input), fuzz_byte(input) & 1);
	else if (fuzz_byte(input) & 1)
		usb_input_move(machine.device, fuzz_u16(input) % (INPUT_AXIS_MAX + 1), fuzz_byte(input));
	else
		usb_input_turn_wheel(machine.device, (int8_t)fuzz_byte(input));
}

static void step(struct fuzz_input *input)
{
	uint8_t kind = fuzz_byte(input);

	switch (kind % 7) {
	case 0:
		access_register(input, true);
		break;
	case 1:
		access_register(input, false);
		break;
	case 2:
		put_memory(input);
		break;
	case 3:
		put_entry(input);
		break;
	case 4:
		fuzz_turns(1 + kind / 64);
		break;
	case 5:
		live(input);
		break;
	default:
		stir(input);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };

	begin(fuzz_byte(&input));
	for (unsigned i = 0; i < STEPS_MAX && input.left > 0; i++)
		step(&input);
	end();
	return 0;
}
