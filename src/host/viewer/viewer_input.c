/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_input.h"

#include <errno.h>
#include <poll.h>

#include "core/fd.h"
#include "host/viewer/viewer_message.h"

/* Up to here, codes of linux/input-event-codes.h are those of set 1. */
#define SAME_CODES_MAX KEY_KPDOT
#define EXTENDED       0x80
#define SCANCODES      256u

/* Of the protocol's buttons. */
#define BUTTONS	   0x07u
#define WHEEL_AWAY 0x08u
#define WHEEL_NEAR 0x10u

/* Above SAME_CODES_MAX. 0: no key. */
static const uint16_t key_codes[SCANCODES] = {
	[0x54] = KEY_SYSRQ,
	[0x56] = KEY_102ND,
	[0x57] = KEY_F11,
	[0x58] = KEY_F12,
	[0x59] = KEY_KPEQUAL,
	[0x5d] = KEY_F13,
	[0x5e] = KEY_F14,
	[0x5f] = KEY_F15,
	[0x70] = KEY_KATAKANAHIRAGANA,
	[0x73] = KEY_RO,
	[0x76] = KEY_ZENKAKUHANKAKU,
	[0x77] = KEY_HIRAGANA,
	[0x78] = KEY_KATAKANA,
	[0x79] = KEY_HENKAN,
	[0x7b] = KEY_MUHENKAN,
	[0x7d] = KEY_YEN,
	[0x7e] = KEY_KPCOMMA,
	[EXTENDED | 0x10] = KEY_PREVIOUSSONG,
	[EXTENDED | 0x19] = KEY_NEXTSONG,
	[EXTENDED | 0x1c] = KEY_KPENTER,
	[EXTENDED | 0x1d] = KEY_RIGHTCTRL,
	[EXTENDED | 0x20] = KEY_MUTE,
	[EXTENDED | 0x21] = KEY_CALC,
	[EXTENDED | 0x22] = KEY_PLAYPAUSE,
	[EXTENDED | 0x24] = KEY_STOPCD,
	[EXTENDED | 0x2e] = KEY_VOLUMEDOWN,
	[EXTENDED | 0x30] = KEY_VOLUMEUP,
	[EXTENDED | 0x32] = KEY_HOMEPAGE,
	[EXTENDED | 0x35] = KEY_KPSLASH,
	[EXTENDED | 0x37] = KEY_SYSRQ,
	[EXTENDED | 0x38] = KEY_RIGHTALT,
	[EXTENDED | 0x46] = KEY_PAUSE,
	[EXTENDED | 0x47] = KEY_HOME,
	[EXTENDED | 0x48] = KEY_UP,
	[EXTENDED | 0x49] = KEY_PAGEUP,
	[EXTENDED | 0x4b] = KEY_LEFT,
	[EXTENDED | 0x4d] = KEY_RIGHT,
	[EXTENDED | 0x4f] = KEY_END,
	[EXTENDED | 0x50] = KEY_DOWN,
	[EXTENDED | 0x51] = KEY_PAGEDOWN,
	[EXTENDED | 0x52] = KEY_INSERT,
	[EXTENDED | 0x53] = KEY_DELETE,
	[EXTENDED | 0x5b] = KEY_LEFTMETA,
	[EXTENDED | 0x5c] = KEY_RIGHTMETA,
	[EXTENDED | 0x5d] = KEY_COMPOSE,
	[EXTENDED | 0x5e] = KEY_POWER,
	[EXTENDED | 0x5f] = KEY_SLEEP,
	[EXTENDED | 0x63] = KEY_WAKEUP,
	[EXTENDED | 0x65] = KEY_SEARCH,
	[EXTENDED | 0x66] = KEY_BOOKMARKS,
	[EXTENDED | 0x67] = KEY_REFRESH,
	[EXTENDED | 0x68] = KEY_STOP,
	[EXTENDED | 0x69] = KEY_FORWARD,
	[EXTENDED | 0x6a] = KEY_BACK,
	[EXTENDED | 0x6b] = KEY_COMPUTER,
	[EXTENDED | 0x6c] = KEY_MAIL,
	[EXTENDED | 0x6d] = KEY_MEDIA,
};

bool viewer_tell_text(int inner, const struct viewer_message *message, size_t text_bytes)
{
	size_t bytes = sizeof(*message) + text_bytes;
	struct pollfd poll_fd = { .fd = inner, .events = POLLOUT };
	ssize_t sent;

	while ((sent = fd_send_now(inner, message, bytes, NULL, 0)) == -EAGAIN)
		poll(&poll_fd, 1, -1);
	return sent == (ssize_t)bytes;
}

bool viewer_tell(int inner, const struct viewer_message *message)
{
	return viewer_tell_text(inner, message, 0);
}

/* ---- keys ---- */

static unsigned key_code(uint32_t scancode)
{
	if (scancode <= SAME_CODES_MAX)
		return scancode;
	return scancode < SCANCODES ? key_codes[scancode] : KEY_RESERVED;
}

static bool tell_key(const struct viewer_input *input, uint32_t kind, uint32_t number, bool down)
{
	const struct viewer_message message = { .kind = kind, .number = number, .down = down };

	return viewer_tell(input->inner, &message);
}

/* A key that repeats is not told again: guests repeat keys themselves. */
static bool press_code(struct viewer_input *input, unsigned code, bool down)
{
	if (input->down[code] == down)
		return true;
	input->down[code] = down;
	return tell_key(input, VIEWER_KEY, code, down);
}

static bool press_keysym(struct viewer_input *input, uint32_t keysym, bool down)
{
	unsigned i = 0;

	while (i < input->keysym_count && input->keysyms[i] != keysym)
		i++;
	if (down == (i < input->keysym_count) || (down && i == VIEWER_KEYSYMS_MAX))
		return true;
	if (down)
		input->keysyms[input->keysym_count++] = keysym;
	else
		input->keysyms[i] = input->keysyms[--input->keysym_count];
	return tell_key(input, VIEWER_KEYSYM, keysym, down);
}

bool viewer_input_key(struct viewer_input *input, uint32_t keysym, uint32_t scancode, bool down)
{
	unsigned code = key_code(scancode);

	if (code == KEY_RESERVED)
		return press_keysym(input, keysym, down);
	return press_code(input, code, down);
}

/* ---- the pointer ---- */

static int32_t wheel_notches(uint32_t before, uint32_t mask)
{
	uint32_t pressed = mask & ~before;

	return !!(pressed & WHEEL_AWAY) - !!(pressed & WHEEL_NEAR);
}

static bool move_pointer(struct viewer_input *input, uint32_t x, uint32_t y, uint32_t mask)
{
	const struct viewer_message message = {
		.kind = VIEWER_POINTER,
		.number = mask & BUTTONS,
		.x = x,
		.y = y,
		.wheel = wheel_notches(input->mask, mask),
	};
	bool same = x == input->x && y == input->y && (mask & BUTTONS) == (input->mask & BUTTONS);

	input->x = x;
	input->y = y;
	input->mask = mask;
	return (same && message.wheel == 0) || viewer_tell(input->inner, &message);
}

bool viewer_input_pointer(struct viewer_input *input, uint32_t x, uint32_t y, uint32_t mask, uint32_t width,
			  uint32_t height)
{
	return move_pointer(input, x < width ? x : width - 1, y < height ? y : height - 1, mask);
}

bool viewer_input_release(struct viewer_input *input)
{
	bool there = true;

	for (unsigned code = 0; code < KEY_CNT; code++)
		there = press_code(input, code, false) && there;
	while (input->keysym_count > 0)
		there = press_keysym(input, input->keysyms[0], false) && there;
	return move_pointer(input, input->x, input->y, 0) && there;
}
