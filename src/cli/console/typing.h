/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is typed on its way to the guest: it waits here while the guest takes nothing. From a terminal no more
 * is kept than TYPING_MAX, so that the key that detaches is always heard; from a file or pipe no more is read
 * meanwhile.
 */
#ifndef VIADUCT_CLI_CONSOLE_TYPING_H
#define VIADUCT_CLI_CONSOLE_TYPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_client;

#define TYPING_MAX 16384u

struct typing {
	struct api_client *client;
	const char *path;  /* of the console's input */
	bool terminal;	   /* what comes is keys */
	int detach_key;	   /* of a terminal; -1: none */
	bool ended;	   /* nothing more comes */
	bool detached;	   /* the key was pressed */
	bool alone;	   /* the guest has no VMM now */
	uint64_t retry_ns; /* when to offer again what was not taken; 0: nothing waits */
	size_t bytes;
	char buffer[TYPING_MAX];
};

/* Reads what standard input has, without waiting. */
void typing_read(struct typing *typing);
/* Hands on what there is. Without a daemon, or while the guest takes nothing, it is kept. */
void typing_send(struct typing *typing, uint64_t now_ns);
/* Is more wanted of standard input? */
bool typing_has_room(const struct typing *typing);

/*
 * Puts keys into the buffer, up to the one that detaches; returns how many. What there is no room for is
 * dropped. Pure.
 */
size_t typing_take_keys(struct typing *typing, const char *keys, size_t count);

/* "^]", one character, or "none" (-1). False: it is none of these. */
bool typing_parse_key(const char *text, int *ret_key);
/* "Ctrl-]", or the character. */
#define TYPING_KEY_SIZE 8
const char *typing_key_name(int key, char buffer[TYPING_KEY_SIZE]);

#endif
