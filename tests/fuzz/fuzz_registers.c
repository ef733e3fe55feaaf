/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores of any place, size and value, at models that are made of registers, with a guest's memory
 * whose bytes the fuzzer chooses. (NVMe has a target with its bus: vfio_user.)
 *
 * The first byte chooses the model (an e1000e beside a port of Bob's, a USB keyboard, a USB tablet, or the
 * echo device as a virtio-pci one), and whether an honest driver has put up rings before. Then steps, a kind
 * and what the kind needs:
 *
 *	0 a store	where, value
 *	1 a load	where
 *	2 memory	u16 place, u8 length, bytes
 *	3 a TRB or descriptor: u8 ring, u8 index, 16 bytes, of which the first eight can become an address
 *	4 turns of the loop
 *	5 life		quiet and on; reset; power cycle with what was saved; memory that goes and comes
 *	6 the world	a frame, a key, a move, another configuration
 */
#include <linux/input-event-codes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "arbiter/switch/vswitch.h"
#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/loop_account.h"
#include "devices/input/usb_input.h"
#include "devices/nic/e1000e.h"
#include "echo_model.h"
#include "fuzz_ring.h"
#include "interfaces/virtio_pci/virtio_pci.h"

#define RAM_BYTES (1u << 18)
#define RAM_BASE  0x10000ull
#define STEPS_MAX 64u
#define MTU	  9000u
#define RINGS	  4u
/* Where the honest driver's rings lie, in bytes from RAM_BASE. */
#define RING_AT(ring) (0x4000u + 0x1000u * (ring))

enum { E1000E, KEYBOARD, TABLET, MODELS, VIRTIO };
enum { HONEST = 0x80, BY_VIRTIO = 0x60 };

struct store {
	uint32_t offset, value;
	unsigned bytes; /* 0: 4 */
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

static struct machine {
	unsigned kind;
	const struct register_model_ops *model;
	void *device, *function;
	struct register_bus bus;
	struct loop_guest *guest;
	struct guest_memory *memory, *empty;
	uint8_t *ram;
	int memory_fd;
	bool has_vectors, quiet, quiescing;
	/* of an e1000e */
	struct vswitch *vswitch;
	struct port *card, *other;
	struct gate_node *share;
	struct port_source *from_bob;
	struct port_sink *to_bob;
	struct port_receiver receiver;
} machine;
static struct echo_device echo; /* of a virtio device */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the bus ---- */

static void bus_raise(struct register_bus *bus, unsigned vector)
{
	assert(vector < machine.model->vectors);
}

static bool bus_has_vectors(const struct register_bus *bus)
{
	return machine.has_vectors;
}

static void bus_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	for (unsigned i = 0; i <= kind; i++)
		assert(machine.model->violations[i]);
}

static const struct register_bus_ops bus_ops = {
	.raise = bus_raise,
	.lower = bus_raise,
	.has_vectors = bus_has_vectors,
	.violated = bus_violated,
};

/* ---- devices ---- */

static unsigned bob_gets(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < frames[i].iov_count; j++)
			fuzz_trace(frames[i].iov[j].iov_base, frames[i].iov[j].iov_len);
	return count;
}

static void open_card(void)
{
	static const struct share_settings share = SHARE_SETTINGS_DEFAULT;
	static const struct frame_abilities plain = { .csum = 0 };
	static const uint8_t alice[6] = { 2, 0, 0, 0, 0, 1 }, bob[6] = { 2, 0, 0, 0, 0, 2 };
	struct port_settings settings = { .link = true, .learn = true, .vlan = 1 };
	struct e1000e_options options = { 0 };
	struct e1000e_device *device;

	machine.receiver.deliver = bob_gets;
	if (vswitch_create(0, &machine.vswitch) ||
	    port_create(machine.vswitch, "alice/eth0", alice, MTU, &settings, &machine.card) ||
	    port_create(machine.vswitch, "bob/eth0", bob, MTU, &settings, &machine.other) ||
	    gate_node_create(uplink_meter_gate(vswitch_meter(machine.vswitch)), NULL, &share, &machine.share,
			     NULL) ||
	    port_source_open(machine.other, fuzz_loop, NULL, &machine.from_bob) ||
	    port_sink_open(machine.other, fuzz_loop, &machine.receiver, &plain, &machine.to_bob))
		abort();
	port_set_share(machine.card, machine.share);
	options.port = machine.card;
	if (e1000e_create(&options, &device))
		abort();
	machine.device = device;
}

static void close_card(void)
{
	e1000e_destroy(machine.device);
	port_sink_close(machine.to_bob);
	port_source_close(machine.from_bob);
	fuzz_turns(4);
	port_destroy(machine.card);
	port_destroy(machine.other);
	gate_node_destroy(machine.share);
	vswitch_destroy(machine.vswitch);
}

static void on_led(void *context, unsigned led, bool on)
{
	fuzz_trace_number(led << 1 | on);
}

static void open_usb(void)
{
	const struct usb_input_options options = {
		.kind = machine.kind == KEYBOARD ? USB_INPUT_KEYBOARD : USB_INPUT_TABLET,
		.led = on_led,
	};
	struct usb_input *device;

	if (usb_input_create(&options, &device))
		abort();
	machine.device = device;
}

static void open_virtio(void)
{
	const struct virtio_pci_options options = { .model = &echo_model,
						    .device = &echo,
						    .queue_size_max = 64 };
	struct virtio_pci *pci;

	echo.at_once = true;
	if (virtio_pci_create(&options, &pci))
		abort();
	machine.device = pci;
	machine.model = virtio_pci_model(pci);
}

static void open_device(void)
{
	machine.model = machine.kind == E1000E ? &e1000e_model : &usb_input_model;
	if (machine.kind == E1000E)
		open_card();
	else if (machine.kind == VIRTIO)
		open_virtio();
	else
		open_usb();
}

static void close_device(void)
{
	if (machine.kind == E1000E)
		close_card();
	else if (machine.kind == VIRTIO)
		virtio_pci_destroy(machine.device);
	else
		usb_input_destroy(machine.device);
}

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
		machine.model->write(machine.function, 0, stores[i].offset,
				     stores[i].bytes ? stores[i].bytes : 4, stores[i].value);
}

#define DRIVE(stores) drive(stores, sizeof(stores) / sizeof((stores)[0]))

static void drive_honestly(void)
{
	if (machine.kind == E1000E)
		DRIVE(e1000e_honest);
	else if (machine.kind == VIRTIO)
		DRIVE(virtio_honest);
	else
		DRIVE(xhci_honest);
}

static void begin(uint8_t choice)
{
	bool virtio = (choice & BY_VIRTIO) == BY_VIRTIO;

	machine = (struct machine){
		.kind = virtio ? VIRTIO : choice % MODELS,
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
	quiesce();
	machine.model->power_off(machine.function);
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

static void put_memory(struct fuzz_input *input)
{
	uint32_t place = (uint32_t)fuzz_u16(input) * 4;
	uint8_t length = fuzz_byte(input);

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
	machine.model->power_off(machine.function);
	power_on();
	machine.model->restore(machine.function, &handover);
	assert(handover.error == 0 && handover.position == handover.length);
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

static void stir(struct fuzz_input *input)
{
	if (machine.kind == E1000E)
		send_frame(input);
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
