/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_input.h"

#include <assert.h>
#include <stddef.h>

#define CONSOLE "org.qemu.Display1.Console"
#define MOUSE   "org.qemu.Display1.Mouse"

/* A pointer has these, as bits; QEMU numbers them in the same order. */
#define BUTTONS 3u
/* QEMU's numbers of what turns for buttons. */
#define WHEEL_UP   3u
#define WHEEL_DOWN 4u
/* In one message. A faster wheel is a lie of the device, or a lost second. */
#define NOTCHES_MAX 16

void vmm_display_input_init(struct vmm_display_input *input, const struct vmm_display_bus *bus)
{
	*input = (struct vmm_display_input){ .bus = bus };
}

/* ---- calls ---- */

static void move(struct vmm_display_input *input);

/* An error is an answer, too: there is nothing to be done about a guest without a mouse. */
static int on_answer(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_input *input = context;

	assert(input->unanswered > 0);
	input->unanswered--;
	move(input);
	return 0;
}

static struct vmm_display_call call_of(struct vmm_display_input *input, const char *interface,
				       const char *method)
{
	return (struct vmm_display_call){ .path = input->console,
					  .interface = interface,
					  .method = method,
					  .answered = on_answer,
					  .context = input,
					  .timeout_us = UINT64_MAX };
}

static void call_button(struct vmm_display_input *input, const char *method, uint32_t button)
{
	struct vmm_display_call call = call_of(input, MOUSE, method);

	if (vmm_display_bus_call(input->bus, &call, "u", button) == 0)
		input->unanswered++;
}

static void call_point(struct vmm_display_input *input, const char *method, const char *types, uint32_t x,
		       uint32_t y)
{
	struct vmm_display_call call = call_of(input, MOUSE, method);

	if (vmm_display_bus_call(input->bus, &call, types, x, y) == 0)
		input->unanswered++;
}

static bool has_room(const struct vmm_display_input *input)
{
	return input->console && input->unanswered < VMM_DISPLAY_UNANSWERED_MAX;
}

/* ---- the pointer ---- */

/* A relative pointer has nowhere to start from: the first position is only remembered. */
static void move(struct vmm_display_input *input)
{
	struct vmm_display_point from = input->told, to = input->wanted;

	if (!input->is_behind || !has_room(input))
		return;
	input->is_behind = false;
	if (input->is_placed && from.x == to.x && from.y == to.y)
		return;
	if (input->is_absolute)
		call_point(input, "SetAbsPosition", "uu", to.x, to.y);
	else if (input->is_placed)
		call_point(input, "RelMotion", "ii", to.x - from.x, to.y - from.y);
	input->told = to;
	input->is_placed = true;
}

static void set_buttons(struct vmm_display_input *input, uint32_t buttons)
{
	for (uint32_t button = 0; button < BUTTONS; button++) {
		uint32_t bit = 1u << button;
		bool down = buttons & bit;

		if ((input->buttons & bit) == (buttons & bit) || (down && !has_room(input)))
			continue;
		input->buttons ^= bit;
		call_button(input, down ? "Press" : "Release", button);
	}
}

static void turn_wheel(struct vmm_display_input *input, int32_t notches)
{
	uint32_t button = notches > 0 ? WHEEL_UP : WHEEL_DOWN;

	for (int i = 0; i < NOTCHES_MAX && notches != 0 && has_room(input); i++) {
		notches += notches > 0 ? -1 : 1;
		call_button(input, "Press", button);
		call_button(input, "Release", button);
	}
}

/* QEMU refuses what is outside, and there is no outside while there is no picture. */
static uint32_t within(uint32_t value, uint32_t count)
{
	return count > 0 && value >= count ? count - 1 : value;
}

void vmm_display_input_pointer(struct vmm_display_input *input, const struct vmm_display_message *message,
			       struct vmm_display_size picture)
{
	/* Only differences count before the console is there. */
	if (!input->console)
		return;
	input->wanted = (struct vmm_display_point){ within(message->x, picture.width),
						    within(message->y, picture.height) };
	input->is_behind = true;
	move(input);
	set_buttons(input, message->number);
	turn_wheel(input, message->wheel);
}

void vmm_display_input_set_absolute(struct vmm_display_input *input, bool is_absolute)
{
	/* The guest has another pointer now, which is somewhere else. */
	if (input->is_absolute != is_absolute)
		input->is_placed = false;
	input->is_absolute = is_absolute;
}

void vmm_display_input_release(struct vmm_display_input *input)
{
	set_buttons(input, 0);
}

/* ---- the size ---- */

static void resize(struct vmm_display_input *input);

static int on_size(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_input *input = context;

	input->is_sizing = false;
	resize(input);
	return 0;
}

/* Sizes change in crowds, while a window is drawn larger: one is on its way at a time. */
static void resize(struct vmm_display_input *input)
{
	struct vmm_display_call call = call_of(input, CONSOLE, "SetUIInfo");
	struct vmm_display_size wanted = input->size_wanted;
	bool is_told = wanted.width == input->size_told.width && wanted.height == input->size_told.height;

	if (is_told || input->is_sizing || !input->console)
		return;
	call.answered = on_size;
	input->size_told = wanted;
	/* Its size in millimetres is not known, and it lies at no offset. */
	input->is_sizing = vmm_display_bus_call(input->bus, &call, "qqiiuu", 0, 0, 0, 0, wanted.width,
						wanted.height) == 0;
}

void vmm_display_input_size(struct vmm_display_input *input, const struct vmm_display_message *message)
{
	if (message->width < 1 || message->width > VMM_DISPLAY_SIDE_MAX || message->height < 1 ||
	    message->height > VMM_DISPLAY_SIDE_MAX)
		return;
	input->size_wanted = (struct vmm_display_size){ message->width, message->height };
	resize(input);
}

void vmm_display_input_open(struct vmm_display_input *input, const char *console)
{
	input->console = console;
	resize(input);
}
