/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine of the target "registers": a bus without a VMM, the guest's memory, and one device of any kind.
 */
#ifndef VIADUCT_TESTS_FUZZ_REGISTERS_H
#define VIADUCT_TESTS_FUZZ_REGISTERS_H

#include <fcntl.h>
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
#include "devices/display/bochs_display.h"
#include "devices/input/usb_input.h"
#include "devices/nic/e1000e.h"
#include "echo_model.h"
#include "fuzz_ring.h"
#include "interfaces/virtio_pci/virtio_pci.h"

#define RAM_BYTES  (1u << 18)
#define RAM_BASE   0x10000ull
#define MTU	   9000u
#define RINGS	   4u
#define VRAM_BYTES BOCHS_MEMORY_BYTES_MIN
/* Where the honest driver's rings lie, in bytes from RAM_BASE. */
#define RING_AT(ring) (0x4000u + 0x1000u * (ring))

enum { E1000E, KEYBOARD, TABLET, MODELS, VIRTIO, BOCHS };
/* Of the first byte: two bits choose a model that is not one of MODELS. */
enum { HONEST = 0x80, OTHER = 0x60, BY_VIRTIO = 0x60, A_DISPLAY = 0x40 };

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
	/* of a display: what its output has, and what it has drawn of that */
	struct virtio_gpu_picture *picture;
	uint32_t *screen;
	bool busy; /* the output has not shown what it was told */
} machine;
static struct echo_device echo; /* of a virtio device */

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

/* ---- the display's output: it draws what it is told of, and nothing else ---- */

static void draw(const struct virtio_gpu_rect *rect)
{
	const struct virtio_gpu_picture *picture = machine.picture;

	assert(picture && rect->width > 0 && rect->height > 0);
	assert(rect->x + rect->width <= picture->width && rect->y + rect->height <= picture->height);
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++)
		memcpy(machine.screen + (size_t)y * picture->width + rect->x,
		       picture->pixels + y * picture->stride_bytes / 4 + rect->x, rect->width * 4ul);
}

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	virtio_gpu_picture_put(machine.picture);
	free(machine.screen);
	machine.screen = NULL;
	machine.picture = picture ? virtio_gpu_picture_get(picture) : NULL;
	if (!picture)
		return;
	machine.screen = calloc((size_t)picture->width * picture->height, 4);
	draw(&(struct virtio_gpu_rect){ 0, 0, picture->width, picture->height });
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
	draw(rect);
}

static void on_absent(void *context)
{
	assert(!machine.picture);
}

static bool has_shown(void *context)
{
	return !machine.busy;
}

static void open_display(void)
{
	static const struct virtio_gpu_output_ops output = {
		.show = on_show,
		.damage = on_damage,
		.absent = on_absent,
	};
	const struct bochs_display_options options = {
		.memory_bytes = VRAM_BYTES,
		.width = 800,
		.height = 600,
		.output = &output,
		.has_shown = has_shown,
	};
	struct bochs_display *display;

	if (bochs_display_create(&options, &display))
		abort();
	machine.device = display;
	machine.model = bochs_display_model(display);
}

static int vram(void)
{
	return machine.model->bar_memory(machine.function, 0);
}

/* A turn looks at 256 KiB. */
static void pass_looks(unsigned count)
{
	while (count-- > 0) {
		fuzz_now_ns += BOCHS_LOOK_NS_MAX;
		fuzz_turns(VRAM_BYTES / (256u << 10) + 2);
	}
}

static uint32_t mode_register(uint32_t offset)
{
	return (uint32_t)machine.model->read(machine.function, 2, offset, 2);
}

/* Time for looks that found nothing, at one line of eight: the screen is what lies in the memory. */
static void expect_shown(void)
{
	const struct virtio_gpu_picture *picture;
	uint64_t stride, from;

	machine.busy = false;
	pass_looks(20);
	picture = machine.picture;
	if (!picture)
		return;
	stride = mode_register(0x50c) > picture->width ? mode_register(0x50c) : picture->width;
	from = mode_register(0x512) * stride + mode_register(0x510);
	for (uint32_t y = 0; y < picture->height; y++) {
		static uint32_t line[VRAM_BYTES / 4];
		size_t bytes = picture->width * 4ul;

		assert(pread(vram(), line, bytes, (off_t)((from + y * stride) * 4)) == (ssize_t)bytes);
		assert(memcmp(line, machine.screen + (size_t)y * picture->width, bytes) == 0);
	}
	fuzz_trace(machine.screen, (size_t)picture->width * picture->height * 4);
}

/* ---- all ---- */

static void open_device(void)
{
	machine.model = machine.kind == E1000E ? &e1000e_model : &usb_input_model;
	if (machine.kind == E1000E)
		open_card();
	else if (machine.kind == BOCHS)
		open_display();
	else if (machine.kind == VIRTIO)
		open_virtio();
	else
		open_usb();
}

static void close_device(void)
{
	if (machine.kind == E1000E)
		close_card();
	else if (machine.kind == BOCHS)
		bochs_display_destroy(machine.device);
	else if (machine.kind == VIRTIO)
		virtio_pci_destroy(machine.device);
	else
		usb_input_destroy(machine.device);
}

#endif
