/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is on its way to the client, in a memory file: a write to it never waits, so that the library, which
 * waits in its writes for as long as its client likes, is done with a picture at once. The file is sent as
 * fast as the client reads, beside everything else that the process does.
 *
 * It holds one update at a time, which is bounded by the size of the screen, and answers to what the client
 * says, which are bounded until it is empty: a client that says much and reads nothing is ended.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_OUTBOX_H
#define VIADUCT_HOST_VIEWER_VIEWER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct viewer_wire;

struct viewer_outbox {
	int fd;		     /* write() appends to it; -1: none */
	off_t written, sent; /* bytes */
	size_t answers;	     /* bytes of them since it was empty */
	uint8_t *mapped;     /* the file's beginning; NULL: not mapped */
	size_t mapped_bytes;
};

/* Returns 0 or -errno. */
int viewer_outbox_init(struct viewer_outbox *outbox);
void viewer_outbox_finish(struct viewer_outbox *outbox);

/* Appends an answer. Returns 0 or -errno; -ENOBUFS: too many of them are unread. */
int viewer_outbox_put(struct viewer_outbox *outbox, const void *bytes, size_t count);
/* Something was written to outbox->fd. Returns 0 or -errno. */
int viewer_outbox_grown(struct viewer_outbox *outbox);
bool viewer_outbox_is_empty(const struct viewer_outbox *outbox);
/* What is in it is not for the client. Returns 0 or -errno. */
int viewer_outbox_drop(struct viewer_outbox *outbox);
/* Sends what the client takes now. Returns 0 or -errno: it is not there any more. */
int viewer_outbox_send(struct viewer_outbox *outbox, struct viewer_wire *wire);

#endif
