/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the display share.
 *
 *   bochs_display.c            life
 *   bochs_display_registers.c  loads and stores
 *   bochs_display_picture.c    looks at the memory, and what is shown of it
 *   bochs_display_handover.c   takeover
 */
#ifndef VIADUCT_DEVICES_DISPLAY_BOCHS_DISPLAY_PRIVATE_H
#define VIADUCT_DEVICES_DISPLAY_BOCHS_DISPLAY_PRIVATE_H

#include "core/loop.h"
#include "core/reaper.h"
#include "devices/display/bochs_display.h"
#include "devices/display/virtio_gpu_picture.h"

#define BOCHS_BAR_MEMORY    0u
#define BOCHS_BAR_REGISTERS 2u

/* The registers of the mode, by their index. */
enum bochs_register {
	BOCHS_ID,
	BOCHS_WIDTH,
	BOCHS_HEIGHT,
	BOCHS_DEPTH,
	BOCHS_ENABLE,
	BOCHS_BANK,
	BOCHS_VIRTUAL_WIDTH,
	BOCHS_VIRTUAL_HEIGHT,
	BOCHS_X,
	BOCHS_Y,
	BOCHS_MEMORY_64K,
	BOCHS_REGISTERS
};
#define BOCHS_ENABLE_ON 1u

enum bochs_violation { BOCHS_VIOLATION_MODE };

struct bochs_display {
	struct register_model_ops model; /* with the size of its memory */
	const struct virtio_gpu_output_ops *output;
	bool (*has_shown)(void *context);
	void *context;
	char serial[DISPLAY_SERIAL_BYTES];
	uint32_t shape;		   /* of the monitor: width, height << 16; atomic: the control thread's */
	struct gpu_budget *budget; /* of the copies */
};

/* Which part of the memory is shown. All of it lies there. */
struct bochs_mode {
	unsigned width, height; /* a width of 0: dark */
	uint32_t offset_bytes, stride_bytes;
};

/* A look at the memory. */
struct bochs_look {
	bool under_way;
	/* At each step-th line; when that is not every line, the first difference makes it begin anew. */
	unsigned line, step;
	/* In the copy, and not told; no width: none. A look that is cut leaves it to the next. */
	struct virtio_gpu_rect damage;
};

/* The memory: given back by the reaper, as freeing it takes time. */
struct bochs_memory {
	int fd;
	uint8_t *bytes;
	size_t size;
	struct reaper_job job;
};

struct bochs_function {
	struct bochs_display *display;
	struct register_bus *bus;
	struct bochs_memory *memory;
	uint16_t registers[BOCHS_REGISTERS];
	uint8_t edid[DISPLAY_EDID_BYTES_MAX];
	bool runs; /* at a worker, and not to be quiet */

	bool mode_changed; /* the registers say something else than `mode`, maybe */
	struct bochs_mode mode;
	struct virtio_gpu_picture *picture; /* of the copy; NULL: there is none */
	uint32_t *copy;			    /* lines without gaps */
	bool shown;			    /* the output was told of the picture */
	bool lit;			    /* the output shows this one, or the one before */

	struct bochs_look look;
	unsigned first;	    /* line of the next look that is not at every line */
	unsigned unchanged; /* looks in a row that found nothing */
	bool waiting;	    /* the output was told at told_ns, and has not shown it by the last look */
	uint64_t told_ns, pace_ns;
	const unsigned *held; /* loop_blame_flag() */
	bool timed;	      /* the timer runs */
	struct loop_timer timer;
	struct loop_poller poller;
	uint32_t line[DISPLAY_SIDE_MAX]; /* what is compared is read once, into here */
};

static inline uint32_t bochs_memory_bytes(const struct bochs_display *display)
{
	return display->model.bars[BOCHS_BAR_MEMORY].bytes;
}

/* ---- bochs_display.c ---- */

/* Takes the file in any case. NULL: it cannot be mapped. */
struct bochs_memory *bochs_memory_create(int fd, size_t size);
/* NULL is allowed. */
void bochs_memory_drop(struct bochs_memory *memory);

/* ---- bochs_display_registers.c ---- */

uint64_t bochs_read(void *function, unsigned bar, uint32_t offset, unsigned bytes);
void bochs_write(void *function, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
/* As after power-on. */
void bochs_registers_reset(struct bochs_function *function);
/* The monitor's size is what the control thread has said last. */
void bochs_edid_refresh(struct bochs_function *function);

/* ---- bochs_display_picture.c ---- */

/* What the registers ask for; false: they ask for a picture that there cannot be. */
bool bochs_mode_of(const struct bochs_function *function, struct bochs_mode *ret_mode);
/* The registers have changed: that is seen at the next look, so that many stores make one picture. */
void bochs_mode_touched(struct bochs_function *function);
/* Registers and memory are a predecessor's: what they say is shown, if it can be. Before looks begin. */
void bochs_picture_restore(struct bochs_function *function);
/* At its worker: looks begin, and end. stop: idempotent. */
void bochs_looks_start(struct bochs_function *function);
void bochs_looks_stop(struct bochs_function *function);
/* Nothing is shown any more, and that not for a while. */
void bochs_picture_forget(struct bochs_function *function);
void bochs_on_time(struct loop_timer *timer);
bool bochs_poll(struct loop_poller *poller);
bool bochs_park(struct loop_poller *poller);

/* ---- bochs_display_handover.c ---- */

void bochs_save(const void *function, struct handover *handover);
void bochs_restore(void *function, struct handover *handover);

#endif
