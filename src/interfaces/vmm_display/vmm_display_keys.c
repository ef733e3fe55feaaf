/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_keys.h"

#include <linux/input-event-codes.h>

/* Up to here Linux has numbered its keys as the XT did. */
#define SAME_LAST KEY_KPDOT

static const uint8_t numbers[KEY_CNT] = {
	/* ---- the rest of the first keyboard, and what came between its keys ---- */
	[KEY_102ND] = 0x56,
	[KEY_F11] = 0x57,
	[KEY_F12] = 0x58,
	[KEY_SYSRQ] = 0x54,
	[KEY_PAUSE] = 0xc6,
	[KEY_KPENTER] = 0x9c,
	[KEY_KPSLASH] = 0xb5,
	[KEY_KPEQUAL] = 0x59,
	[KEY_KPCOMMA] = 0x7e,
	[KEY_RIGHTCTRL] = 0x9d,
	[KEY_RIGHTALT] = 0xb8,
	[KEY_LEFTMETA] = 0xdb,
	[KEY_RIGHTMETA] = 0xdc,
	[KEY_COMPOSE] = 0xdd,
	[KEY_HOME] = 0xc7,
	[KEY_UP] = 0xc8,
	[KEY_PAGEUP] = 0xc9,
	[KEY_LEFT] = 0xcb,
	[KEY_RIGHT] = 0xcd,
	[KEY_END] = 0xcf,
	[KEY_DOWN] = 0xd0,
	[KEY_PAGEDOWN] = 0xd1,
	[KEY_INSERT] = 0xd2,
	[KEY_DELETE] = 0xd3,

	/* ---- Japanese, Korean and Brazilian keyboards ---- */
	[KEY_ZENKAKUHANKAKU] = 0x76,
	[KEY_RO] = 0x73,
	[KEY_KATAKANA] = 0x78,
	[KEY_HIRAGANA] = 0x77,
	[KEY_HENKAN] = 0x79,
	[KEY_KATAKANAHIRAGANA] = 0x70,
	[KEY_MUHENKAN] = 0x7b,
	[KEY_KPJPCOMMA] = 0x5c,
	[KEY_HANGEUL] = 0x72,
	[KEY_HANJA] = 0x71,
	[KEY_YEN] = 0x7d,

	/* ---- more function keys ---- */
	[KEY_F13] = 0x5d,
	[KEY_F14] = 0x5e,
	[KEY_F15] = 0x5f,
	[KEY_F16] = 0x55,
	[KEY_F17] = 0x83,
	[KEY_F18] = 0xf7,
	[KEY_F19] = 0x84,
	[KEY_F20] = 0x5a,
	[KEY_F21] = 0x74,
	[KEY_F22] = 0xf9,
	[KEY_F23] = 0x6d,
	[KEY_F24] = 0x6f,

	/* ---- sound, power, the web ---- */
	[KEY_MUTE] = 0xa0,
	[KEY_VOLUMEDOWN] = 0xae,
	[KEY_VOLUMEUP] = 0xb0,
	[KEY_NEXTSONG] = 0x99,
	[KEY_PLAYPAUSE] = 0xa2,
	[KEY_PREVIOUSSONG] = 0x90,
	[KEY_STOPCD] = 0xa4,
	[KEY_POWER] = 0xde,
	[KEY_SLEEP] = 0xdf,
	[KEY_WAKEUP] = 0xe3,
	[KEY_CALC] = 0xa1,
	[KEY_MAIL] = 0xec,
	[KEY_COMPUTER] = 0xeb,
	[KEY_BOOKMARKS] = 0xe6,
	[KEY_BACK] = 0xea,
	[KEY_FORWARD] = 0xe9,
	[KEY_STOP] = 0xe8,
	[KEY_REFRESH] = 0xe7,
	[KEY_HOMEPAGE] = 0xb2,
};

uint32_t vmm_display_key_number(uint32_t code)
{
	if (code <= SAME_LAST)
		return code;
	return code < KEY_CNT ? numbers[code] : 0;
}
