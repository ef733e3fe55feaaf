/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_keyboard.h"

#include <assert.h>
#include <errno.h>

#include "core/clock.h"
#include "interfaces/vmm_display/vmm_display_keys.h"
#include "interfaces/vmm_display/vmm_display_qmp.h"

#define KEYBOARD "org.qemu.Display1.Keyboard"

/* Of the 16 of QEMU's queue; answers to what the guest tells the keyboard, as its lights, lie there, too. */
#define QUEUED_BYTES_MAX 12u
/* Calls, where the queue cannot be looked at. */
#define UNANSWERED_MAX 256u
/* From one look at a queue that is not empty to the next: an eighth of the time that it was not, of these. */
#define LOOK_AGAIN_US	  2000u
#define LOOK_AGAIN_MAX_US 50000u

void vmm_display_keyboard_init(struct vmm_display_keyboard *keyboard, const struct vmm_display_bus *bus,
			       struct vmm_display_qmp *qmp)
{
	*keyboard = (struct vmm_display_keyboard){ .bus = bus, .qmp = qmp };
}

void vmm_display_keyboard_open(struct vmm_display_keyboard *keyboard, const char *console)
{
	keyboard->console = console;
}

/* ---- what waits ---- */

static void put(struct vmm_display_keyboard *keyboard, uint32_t code, bool down)
{
	unsigned place = (keyboard->first + keyboard->count++) % VMM_DISPLAY_KEYS_MAX;

	assert(keyboard->count <= VMM_DISPLAY_KEYS_MAX);
	keyboard->waiting[place].code = (uint16_t)code;
	keyboard->waiting[place].down = down;
	keyboard->down[code] = down;
	keyboard->down_count += down ? 1 : -1u;
}

/* With the releases of all that is down, and its own. */
static bool has_room(const struct vmm_display_keyboard *keyboard)
{
	return keyboard->count + keyboard->down_count + 2 <= VMM_DISPLAY_KEYS_MAX;
}

void vmm_display_keyboard_key(struct vmm_display_keyboard *keyboard,
			      const struct vmm_display_message *message)
{
	uint32_t code = message->number;
	bool down = message->down != 0;

	keyboard->received++;
	keyboard->has_news = true;
	if (vmm_display_key_number(code) == 0 || keyboard->down[code] == down)
		return;
	if (down && (!keyboard->console || !has_room(keyboard)))
		keyboard->lost++;
	else
		put(keyboard, code, down);
}

static void let_up(struct vmm_display_keyboard *keyboard)
{
	for (uint32_t code = 0; code < KEY_CNT; code++)
		if (keyboard->down[code])
			put(keyboard, code, false);
}

void vmm_display_keyboard_again(struct vmm_display_keyboard *keyboard)
{
	let_up(keyboard);
	keyboard->received = keyboard->lost = 0;
	keyboard->has_news = true;
}

/* Presses are lost, and what QEMU has down comes up if it is to. */
static void drop(struct vmm_display_keyboard *keyboard)
{
	for (; keyboard->count > 0; keyboard->count--) {
		keyboard->lost += keyboard->waiting[keyboard->first].down;
		keyboard->first = (keyboard->first + 1) % VMM_DISPLAY_KEYS_MAX;
	}
	for (uint32_t code = 0; code < KEY_CNT; code++) {
		bool goes_up = keyboard->sent[code] && !keyboard->down[code];

		keyboard->down_count += (keyboard->sent[code] ? 1u : 0) - (keyboard->down[code] ? 1u : 0);
		keyboard->down[code] = keyboard->sent[code];
		if (goes_up)
			put(keyboard, code, false);
	}
	keyboard->has_news = true;
}

/* ---- calls ---- */

static int on_answer(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_keyboard *keyboard = context;

	assert(keyboard->unanswered > 0);
	keyboard->unanswered--;
	return 0;
}

/* The most that a key is in QEMU's queue: with prefixes, or as those keys that are several. */
static unsigned key_bytes(uint32_t code, bool down)
{
	if (code == KEY_PAUSE || code == KEY_SYSRQ)
		return 8;
	return (vmm_display_key_number(code) & 0x80 ? 2 : 1) + (down ? 0 : 1);
}

static void send(struct vmm_display_keyboard *keyboard, uint32_t code, bool down)
{
	const struct vmm_display_call call = { .path = keyboard->console,
					       .interface = KEYBOARD,
					       .method = down ? "Press" : "Release",
					       .answered = on_answer,
					       .context = keyboard,
					       .timeout_us = UINT64_MAX };

	keyboard->sent[code] = down;
	if (vmm_display_bus_call(keyboard->bus, &call, "u", vmm_display_key_number(code)) == 0)
		keyboard->unanswered++;
	keyboard->unread_bytes += key_bytes(code, down);
}

static bool may_send(const struct vmm_display_keyboard *keyboard)
{
	unsigned bytes =
		key_bytes(keyboard->waiting[keyboard->first].code, keyboard->waiting[keyboard->first].down);

	if (!keyboard->console)
		return false;
	if (keyboard->is_blind)
		return keyboard->unanswered < UNANSWERED_MAX;
	return !keyboard->is_asked &&
	       (keyboard->unread_bytes == 0 || keyboard->unread_bytes + bytes <= QUEUED_BYTES_MAX);
}

static void send_some(struct vmm_display_keyboard *keyboard)
{
	while (keyboard->count > 0 && may_send(keyboard)) {
		unsigned place = keyboard->first;

		keyboard->first = (keyboard->first + 1) % VMM_DISPLAY_KEYS_MAX;
		keyboard->count--;
		keyboard->has_news = true;
		send(keyboard, keyboard->waiting[place].code, keyboard->waiting[place].down);
	}
}

void vmm_display_keyboard_release(struct vmm_display_keyboard *keyboard)
{
	keyboard->count = 0;
	for (uint32_t code = 0; keyboard->console && code < KEY_CNT; code++)
		if (keyboard->sent[code])
			send(keyboard, code, false);
}

/* ---- looks ---- */

static uint64_t until_next_look_us(uint64_t waited_us)
{
	if (waited_us / 8 < LOOK_AGAIN_US)
		return LOOK_AGAIN_US;
	return waited_us / 8 < LOOK_AGAIN_MAX_US ? waited_us / 8 : LOOK_AGAIN_MAX_US;
}

static void note_unread(struct vmm_display_keyboard *keyboard, uint64_t now_us)
{
	uint64_t patience_us = keyboard->is_proven ? VMM_DISPLAY_UNREAD_MAX_US : VMM_DISPLAY_UNPROVEN_US;

	if (keyboard->unread_us == 0)
		keyboard->unread_us = now_us;
	keyboard->look_us = now_us + until_next_look_us(now_us - keyboard->unread_us);
	if (now_us - keyboard->unread_us < patience_us)
		return;
	/* No longer waited for: what is left goes at a pace of its own. */
	keyboard->look_us = now_us + LOOK_AGAIN_US;
	if (keyboard->is_proven)
		drop(keyboard);
	keyboard->is_proven = keyboard->was_unread = false;
	keyboard->unread_bytes = 0;
}

/* What QEMU's monitor has seen since. */
static void take_look(struct vmm_display_keyboard *keyboard, uint64_t now_us)
{
	enum vmm_display_qmp_look look = vmm_display_qmp_take_look(keyboard->qmp);

	if (look == VMM_DISPLAY_QMP_UNSEEN)
		return;
	keyboard->is_asked = false;
	if (look == VMM_DISPLAY_QMP_UNREAD || look == VMM_DISPLAY_QMP_MOUSE) {
		keyboard->was_unread |= look == VMM_DISPLAY_QMP_UNREAD;
		note_unread(keyboard, now_us);
		return;
	}
	keyboard->is_blind = look == VMM_DISPLAY_QMP_BLIND;
	if (look == VMM_DISPLAY_QMP_READ && keyboard->was_unread && !keyboard->is_proven)
		keyboard->is_proven = keyboard->has_news = true;
	keyboard->unread_bytes = 0;
	keyboard->unread_us = keyboard->look_us = 0;
}

/* Behind the answers, so that what was sent is in the queue. */
static bool is_look_due(const struct vmm_display_keyboard *keyboard)
{
	return keyboard->console && keyboard->count > 0 && keyboard->unanswered == 0 && !keyboard->is_blind &&
	       !keyboard->is_asked;
}

uint64_t vmm_display_keyboard_run(struct vmm_display_keyboard *keyboard, int *ret_error)
{
	uint64_t now_us = clock_now_ns() / 1000;
	int error;

	take_look(keyboard, now_us);
	send_some(keyboard);
	*ret_error = 0;
	if (!is_look_due(keyboard))
		return UINT64_MAX;
	if (now_us < keyboard->look_us)
		return keyboard->look_us;
	error = vmm_display_qmp_look(keyboard->qmp);
	keyboard->is_asked = error == 0;
	keyboard->is_blind = error == -ENOTSUP;
	*ret_error = error == -ENOTSUP ? 0 : error;
	return UINT64_MAX;
}

/* ---- lights ---- */

void vmm_display_keyboard_set_lights(struct vmm_display_keyboard *keyboard, uint32_t qemu_lights)
{
	/* In the order of QEMU's bits. */
	static const unsigned lights[] = { LED_SCROLLL, LED_NUML, LED_CAPSL };
	uint32_t now = 0;

	for (unsigned i = 0; i < sizeof(lights) / sizeof(lights[0]); i++)
		now |= (qemu_lights >> i & 1) << lights[i];
	keyboard->has_news |= now != keyboard->lights;
	keyboard->lights = now;
}

/* ---- the daemon ---- */

bool vmm_display_keyboard_news(const struct vmm_display_keyboard *keyboard,
			       struct vmm_display_message *message)
{
	if (!keyboard->has_news)
		return false;
	*message = (struct vmm_display_message){ .kind = VMM_DISPLAY_KEYS,
						 .x = keyboard->received,
						 .y = keyboard->count,
						 .width = keyboard->lost,
						 .height = keyboard->lights,
						 .down = keyboard->is_proven };
	return true;
}

void vmm_display_keyboard_told(struct vmm_display_keyboard *keyboard)
{
	keyboard->has_news = false;
}
