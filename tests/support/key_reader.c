/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "key_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xkbcommon/xkbcommon-compose.h>
#include <xkbcommon/xkbcommon.h>

#define XKB_FIRST 8u
#define ROOM_STEP 4096u

struct key_reader {
	struct xkb_context *context;
	struct xkb_keymap *keymap;
	struct xkb_state *state;
	struct xkb_compose_table *table;
	struct xkb_compose_state *compose;
	char *text;
	size_t length, room;
};

static void *need(void *pointer, const char *what)
{
	if (!pointer) {
		fprintf(stderr, "key_reader: no %s\n", what);
		abort();
	}
	return pointer;
}

struct key_reader *key_reader_create(const char *layout, const char *variant)
{
	const struct xkb_rule_names names = { "evdev", "pc105", layout, variant, "" };
	struct key_reader *reader = need(calloc(1, sizeof(*reader)), "memory");

	reader->context = need(xkb_context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES), "context");
	reader->keymap =
		need(xkb_keymap_new_from_names(reader->context, &names, XKB_KEYMAP_COMPILE_NO_FLAGS), layout);
	reader->state = need(xkb_state_new(reader->keymap), "state");
	reader->table = need(xkb_compose_table_new_from_locale(reader->context, "en_US.UTF-8",
							       XKB_COMPOSE_COMPILE_NO_FLAGS),
			     "table of dead keys");
	reader->compose = need(xkb_compose_state_new(reader->table, XKB_COMPOSE_STATE_NO_FLAGS), "compose");
	reader->room = ROOM_STEP;
	reader->text = need(calloc(1, reader->room), "memory");
	return reader;
}

void key_reader_destroy(struct key_reader *reader)
{
	xkb_compose_state_unref(reader->compose);
	xkb_compose_table_unref(reader->table);
	xkb_state_unref(reader->state);
	xkb_keymap_unref(reader->keymap);
	xkb_context_unref(reader->context);
	free(reader->text);
	free(reader);
}

static void append(struct key_reader *reader, const char *utf8)
{
	size_t bytes = strlen(utf8);

	while (reader->length + bytes >= reader->room) {
		reader->room += ROOM_STEP;
		reader->text = need(realloc(reader->text, reader->room), "memory");
	}
	memcpy(reader->text + reader->length, utf8, bytes + 1);
	reader->length += bytes;
}

static void read_key(struct key_reader *reader, xkb_keycode_t key)
{
	char utf8[64] = "";

	/* A modifier, which changes nothing about what was composed before. */
	if (xkb_compose_state_feed(reader->compose, xkb_state_key_get_one_sym(reader->state, key)) ==
	    XKB_COMPOSE_FEED_IGNORED)
		return;
	switch (xkb_compose_state_get_status(reader->compose)) {
	case XKB_COMPOSE_COMPOSING:
		return;
	case XKB_COMPOSE_COMPOSED:
		xkb_compose_state_get_utf8(reader->compose, utf8, sizeof(utf8));
		break;
	case XKB_COMPOSE_CANCELLED:
		append(reader, "<cancelled>");
		break;
	case XKB_COMPOSE_NOTHING:
		xkb_state_key_get_utf8(reader->state, key, utf8, sizeof(utf8));
		break;
	}
	append(reader, strcmp(utf8, "\r") == 0 ? "\n" : utf8);
}

void key_reader_key(struct key_reader *reader, unsigned code, bool down)
{
	if (down)
		read_key(reader, XKB_FIRST + code);
	xkb_state_update_key(reader->state, XKB_FIRST + code, down ? XKB_KEY_DOWN : XKB_KEY_UP);
}

const char *key_reader_text(const struct key_reader *reader)
{
	return reader->text;
}

void key_reader_clear(struct key_reader *reader)
{
	reader->length = 0;
	reader->text[0] = '\0';
	key_reader_forget_dead_key(reader);
}

void key_reader_forget_dead_key(struct key_reader *reader)
{
	xkb_compose_state_reset(reader->compose);
}

uint32_t key_reader_keysym(const struct key_reader *reader, unsigned code)
{
	return xkb_state_key_get_one_sym(reader->state, XKB_FIRST + code);
}

void key_reader_utf8(uint32_t codepoint, char ret_utf8[8])
{
	xkb_keysym_to_utf8(xkb_utf32_to_keysym(codepoint), ret_utf8, 8);
}
