/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat_keymap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon.h>

#include "arbiter/seat/seat_keymap_private.h"

/* Where the host has its layouts, what its administrator added first. Not all hosts have both. */
static const char *const layout_folders[] = { "/etc/xkb", "/usr/share/X11/xkb" };

/* ---- the name of a layout ---- */

static bool is_name_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
	       byte == '_' || byte == '-';
}

/* Returns what is behind the name, or NULL: there is none, or it is too long. */
static const char *take_name(const char *text, char name[SEAT_LAYOUT_MAX + 1])
{
	size_t length = 0;

	while (length <= SEAT_LAYOUT_MAX && is_name_byte(text[length]))
		length++;
	if (length == 0 || length > SEAT_LAYOUT_MAX)
		return NULL;
	memcpy(name, text, length);
	name[length] = '\0';
	return text + length;
}

bool seat_layout_parse(const char *text, struct seat_layout *ret_layout)
{
	struct seat_layout layout = { 0 };

	text = take_name(text, layout.name);
	if (text && *text == ':')
		text = take_name(text + 1, layout.variant);
	if (!text || *text)
		return false;
	*ret_layout = layout;
	return true;
}

/* ---- life ---- */

/* What is wrong is told by the result. */
static void log_nothing(struct xkb_context *context, enum xkb_log_level level, const char *format,
			va_list args)
{
}

/* Returns 0, -ENOENT (no folder of layouts) or -ENOMEM. */
static int open_layouts(struct xkb_context **ret_context)
{
	struct xkb_context *context =
		xkb_context_new(XKB_CONTEXT_NO_DEFAULT_INCLUDES | XKB_CONTEXT_NO_ENVIRONMENT_NAMES);

	if (!context)
		return -ENOMEM;
	xkb_context_set_log_fn(context, log_nothing);
	for (size_t i = 0; i < sizeof(layout_folders) / sizeof(layout_folders[0]); i++)
		xkb_context_include_path_append(context, layout_folders[i]);
	if (xkb_context_num_include_paths(context) == 0) {
		xkb_context_unref(context);
		return -ENOENT;
	}
	*ret_context = context;
	return 0;
}

/* NULL: there is no such layout. */
static struct xkb_keymap *compile(struct xkb_context *context, const struct seat_layout *layout)
{
	const struct xkb_rule_names names = {
		.rules = "evdev",
		.model = "pc105",
		.layout = layout->name,
		.variant = layout->variant,
		.options = "",
	};

	return xkb_keymap_new_from_names(context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS);
}

/* Without the one layout that all hosts have, there are none. */
static int why_not(struct xkb_context *context)
{
	struct xkb_keymap *known = compile(context, &(const struct seat_layout){ .name = "us" });

	xkb_keymap_unref(known);
	return known ? -EINVAL : -ENOENT;
}

int seat_keymap_create(const char *layout, struct seat_keymap **ret_keymap)
{
	struct seat_layout parsed;
	struct xkb_context *context;
	struct xkb_keymap *source;
	struct seat_keymap *keymap = NULL;
	int code;

	if (!seat_layout_parse(layout, &parsed))
		return -EINVAL;
	code = open_layouts(&context);
	if (code)
		return code;
	source = compile(context, &parsed);
	if (source)
		keymap = calloc(1, sizeof(*keymap));
	if (!source)
		code = why_not(context);
	else
		code = keymap ? seat_keymap_read(keymap, source) : -ENOMEM;
	xkb_keymap_unref(source);
	xkb_context_unref(context);
	if (code) {
		seat_keymap_destroy(keymap);
		return code;
	}
	*ret_keymap = keymap;
	return 0;
}

void seat_keymap_destroy(struct seat_keymap *keymap)
{
	if (!keymap)
		return;
	free(keymap->keysyms);
	free(keymap->characters);
	free(keymap);
}

/* ---- looking up ---- */

static int compare_keysyms(const void *a, const void *b)
{
	const struct keysym_row *left = a, *right = b;

	return (left->keysym > right->keysym) - (left->keysym < right->keysym);
}

static int compare_characters(const void *a, const void *b)
{
	const struct character_row *left = a, *right = b;

	return (left->codepoint > right->codepoint) - (left->codepoint < right->codepoint);
}

const struct keysym_row *seat_keymap_keysym(const struct seat_keymap *keymap, uint32_t keysym)
{
	const struct keysym_row wanted = { .keysym = keysym };

	return bsearch(&wanted, keymap->keysyms, keymap->keysym_count, sizeof(wanted), compare_keysyms);
}

const struct character_row *seat_keymap_character(const struct seat_keymap *keymap, size_t count,
						  uint32_t codepoint)
{
	const struct character_row wanted = { .codepoint = codepoint };

	return bsearch(&wanted, keymap->characters, count, sizeof(wanted), compare_characters);
}

uint32_t seat_keysym_codepoint(uint32_t keysym)
{
	uint32_t codepoint;

	/* Those of functions, dead keys and the keypad: none is a character in the middle of a text. */
	if (keysym >= 0xfd00 && keysym <= 0xffff)
		return 0;
	codepoint = xkb_keysym_to_utf32(keysym);
	return codepoint < 0x20 || (codepoint >= 0x7f && codepoint < 0xa0) ? 0 : codepoint;
}

bool seat_keymap_find(const struct seat_keymap *keymap, uint32_t keysym, struct seat_stroke *ret_stroke)
{
	const struct keysym_row *row = seat_keymap_keysym(keymap, keysym);
	struct seat_stroke strokes[SEAT_STROKES_MAX];
	uint32_t codepoint;

	if (row) {
		*ret_stroke = row->stroke;
		return true;
	}
	codepoint = seat_keysym_codepoint(keysym);
	if (!codepoint || seat_keymap_spell(keymap, codepoint, strokes) != 1)
		return false;
	*ret_stroke = strokes[0];
	return true;
}

unsigned seat_keymap_spell(const struct seat_keymap *keymap, uint32_t codepoint,
			   struct seat_stroke ret_strokes[SEAT_STROKES_MAX])
{
	const struct character_row *row = seat_keymap_character(keymap, keymap->character_count, codepoint);

	if (!row)
		return 0;
	assert(row->stroke_count > 0 && row->stroke_count <= SEAT_STROKES_MAX);
	memcpy(ret_strokes, row->strokes, row->stroke_count * sizeof(*ret_strokes));
	return row->stroke_count;
}
