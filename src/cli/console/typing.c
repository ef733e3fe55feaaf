/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/console/typing.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "core/clock.h"

/* When to offer again what the guest had no room for. */
#define RETRY_NS (20 * NS_PER_MS)
#define READ_MAX 4096

static void add(struct typing *typing, const char *bytes, size_t count)
{
	size_t room = TYPING_MAX - typing->bytes;

	if (count > room)
		count = room;
	memcpy(typing->buffer + typing->bytes, bytes, count);
	typing->bytes += count;
}

size_t typing_take_keys(struct typing *typing, const char *keys, size_t count)
{
	const char *key = typing->detach_key >= 0 ? memchr(keys, typing->detach_key, count) : NULL;

	if (key) {
		typing->detached = true;
		count = (size_t)(key - keys);
	}
	add(typing, keys, count);
	return count;
}

bool typing_has_room(const struct typing *typing)
{
	return !typing->ended && (typing->terminal || typing->bytes + READ_MAX <= TYPING_MAX);
}

void typing_read(struct typing *typing)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char bytes[READ_MAX];

	while (typing_has_room(typing) && !typing->detached && poll(&input, 1, 0) > 0) {
		ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));

		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (got <= 0)
			typing->ended = true;
		else if (typing->terminal)
			typing_take_keys(typing, bytes, (size_t)got);
		else
			add(typing, bytes, (size_t)got);
	}
}

static void take_off(struct typing *typing, size_t count)
{
	typing->bytes -= count;
	memmove(typing->buffer, typing->buffer + count, typing->bytes);
}

void typing_send(struct typing *typing, uint64_t now_ns)
{
	json_t *answer = NULL;
	uint64_t accepted;
	int error;

	if (typing->bytes == 0 || now_ns < typing->retry_ns)
		return;
	error = api_post_bytes(typing->client, typing->path, typing->buffer, typing->bytes, &answer);
	accepted = error ? 0 : api_number(answer, "accepted");
	json_decref(answer);
	typing->alone = error == -EBUSY;
	/* Keys for a guest that is not there are not for the one that comes. */
	if (typing->alone && typing->terminal)
		accepted = typing->bytes;
	take_off(typing, accepted < typing->bytes ? (size_t)accepted : typing->bytes);
	typing->retry_ns = typing->bytes > 0 ? now_ns + RETRY_NS : 0;
}

/* ---- the key that detaches ---- */

bool typing_parse_key(const char *text, int *ret_key)
{
	if (strcmp(text, "none") == 0) {
		*ret_key = -1;
		return true;
	}
	if (text[0] == '^' && text[1] && !text[2]) {
		int letter = text[1] >= 'a' && text[1] <= 'z' ? text[1] - 'a' + 'A' : text[1];

		*ret_key = letter ^ 0x40;
		return letter >= '?' && letter <= '_';
	}
	*ret_key = (unsigned char)text[0];
	return text[0] && !text[1];
}

const char *typing_key_name(int key, char buffer[TYPING_KEY_SIZE])
{
	if (key < ' ' || key == 0x7f)
		snprintf(buffer, TYPING_KEY_SIZE, "Ctrl-%c", key ^ 0x40);
	else
		snprintf(buffer, TYPING_KEY_SIZE, "%c", key);
	return buffer;
}
