/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of a keyboard: reads keys as a Linux desktop does, with its layout and its dead keys, and
 * keeps the text that comes of them. It shares nothing with the seat's keymap but the host's layouts.
 */
#ifndef VIADUCT_TESTS_KEY_READER_H
#define VIADUCT_TESTS_KEY_READER_H

#include <stdbool.h>
#include <stdint.h>

struct key_reader;

/* Aborts when there is no such layout, or no table of dead keys (libx11-data). */
struct key_reader *key_reader_create(const char *layout, const char *variant);
void key_reader_destroy(struct key_reader *reader);

/* A key of linux/input-event-codes.h. */
void key_reader_key(struct key_reader *reader, unsigned code, bool down);

/* The text so far, in UTF-8, with '\n' for Enter; until the next key. */
const char *key_reader_text(const struct key_reader *reader);
/* The text becomes "", and a dead key that waits for its letter is forgotten. */
void key_reader_clear(struct key_reader *reader);
void key_reader_forget_dead_key(struct key_reader *reader);

/* What a key would give now: an X11 keysym, 0: nothing. */
uint32_t key_reader_keysym(const struct key_reader *reader, unsigned code);

/* Writes a character in UTF-8, with a zero at its end. */
void key_reader_utf8(uint32_t codepoint, char ret_utf8[8]);

#endif
