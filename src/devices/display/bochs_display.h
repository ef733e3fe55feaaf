/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A display made of registers and of memory, which firmware and Linux (bochs-drm) drive without virtio: what
 * QEMU calls bochs-display (docs/specs/standard-vga.rst there). It has no interrupts and reaches no memory of
 * the guest's.
 *
 *     BAR 0  memory that the VMM maps: the pixels
 *     BAR 2  0x000  what the monitor says of itself (EDID)
 *            0x400  ports of a VGA card, which this is not: they read as zero
 *            0x500  eleven registers of 16 bits: the mode, and which part of the memory is shown
 *            0x600  bytes of this part; byte order of the pixels
 *
 * The guest draws with plain stores, and nobody is told. So the model looks: what the mode shows is read line
 * by line and compared with a copy of the last picture, which is what an output gets to see.
 *
 *     guest ──stores──▶ BAR 0 ──look, line by line──▶ copy ──show(), damage()──▶ output (virtio_gpu.h)
 *
 * A look goes on in pieces, each in a turn that the guest's account pays for, and the next begins
 * BOCHS_LOOK_NS after it, or later: when the output has shown what it was told, and not more often than it
 * does that. While nothing changes, a look is at one line of eight, another one each time: a line of text is
 * higher. For a picture of 1024 to 768 that is 0.1 % of a CPU when nobody looks at the output (5 looks a
 * second, measured), and by the number of looks some 0.5 % when somebody does.
 *
 * What it does where the documents are silent: other depths than 32 bits are dark, and so is a mode whose
 * picture does not lie in the memory, or has a side of 0 or above DISPLAY_SIDE_MAX. The memory is not cleared
 * when a mode is set.
 */
#ifndef VIADUCT_DEVICES_DISPLAY_BOCHS_DISPLAY_H
#define VIADUCT_DEVICES_DISPLAY_BOCHS_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/display/virtio_gpu.h"
#include "devices/register_model.h"

/* Of the pixels' memory: a power of two. */
#define BOCHS_MEMORY_BYTES     (16u << 20)
#define BOCHS_MEMORY_BYTES_MIN (1u << 20)
#define BOCHS_MEMORY_BYTES_MAX (256u << 20)

/* About 30 times a second, while the output shows as much; and for one that shows less, as often as that. */
#define BOCHS_LOOK_NS	  33000000u
#define BOCHS_LOOK_NS_MAX 250000000u

struct bochs_display;

struct bochs_display_options {
	uint32_t memory_bytes;	/* 0: BOCHS_MEMORY_BYTES */
	unsigned width, height; /* of the monitor, 1 to DISPLAY_SIDE_MAX */
	const char *serial;	/* of the monitor; copied, cut; NULL: "0" */
	/* Is told of scanout 0, by show(), damage() and absent(), on the worker or the control thread. */
	const struct virtio_gpu_output_ops *output;
	/*
	 * Has the output shown all that it was told? Until then nothing is looked at. On the worker; it must
	 * not block.
	 */
	bool (*has_shown)(void *context);
	void *context; /* of the three */
};

/* Returns 0, -EINVAL (sizes) or -ENOMEM. Control thread. */
int bochs_display_create(const struct bochs_display_options *options, struct bochs_display **ret_display);
/* No function is powered on. NULL is allowed. */
void bochs_display_destroy(struct bochs_display *display);

/* With its memory's size; the display's. `device` of it is the display. */
const struct register_model_ops *bochs_display_model(const struct bochs_display *display);

/*
 * The monitor has another size: the driver sees it when it asks again, from config_changed() on. Returns 0 or
 * -EINVAL. Control thread.
 */
int bochs_display_set_size(struct bochs_display *display, unsigned width, unsigned height);

#endif
