/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State on its way from one process to the next (takeover, service manager's fd store): a byte string of
 * typed, length-prefixed fields and the descriptors that go with it. The reader trusts nothing but its
 * own checks: a truncated or foreign stream gives -EBADMSG, never a crash.
 */
#ifndef VIADUCT_CORE_HANDOVER_H
#define VIADUCT_CORE_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handover {
	uint8_t *bytes;
	size_t length, capacity, position;
	int *fds;		/* writer: duplicates are not made, the owner keeps them until sent */
	/*
	 * Reader: fds before fd_position were taken. Writer: fd_position follows fd_count, none is ours to
	 * close.
	 */
	size_t fd_count, fd_capacity, fd_position;
	int error;		/* sticky: -ENOMEM while writing, -EBADMSG while reading */
};

void handover_finish(struct handover *handover);	/* frees the memory; closes fds that were not taken */

void handover_put_u64(struct handover *handover, uint64_t value);
void handover_put_string(struct handover *handover, const char *text);
void handover_put_bytes(struct handover *handover, const void *bytes, size_t length);
void handover_put_fd(struct handover *handover, int fd);	/* -1 is allowed and arrives as -1 */

/* On error they return 0, "" or -1 and set handover->error. */
uint64_t handover_get_u64(struct handover *handover);
void handover_get_string(struct handover *handover, char *buffer, size_t size);
size_t handover_get_bytes(struct handover *handover, void *buffer, size_t size);
int handover_get_fd(struct handover *handover);		/* ownership moves to the caller */
/* Numbers and fields that are larger, or of another size, are an error. */
uint64_t handover_get_at_most(struct handover *handover, uint64_t max);
bool handover_get_flag(struct handover *handover);
void handover_get_exactly(struct handover *handover, void *buffer, size_t size);
/* The reader found fields that contradict each other: -EBADMSG unless there is an error already. */
void handover_fail_if(struct handover *handover, bool condition);

/*
 * Over a UNIX stream socket, waiting, in batches of FD_MESSAGE_MAX; return 0 or -errno. The sender waits
 * until `deadline_ns` (of clock_now_ns()) for one who does not read; then the stream is of no use any more:
 * -ETIMEDOUT.
 */
int handover_send(struct handover *handover, int socket, uint64_t deadline_ns);
int handover_receive(int socket, struct handover *ret_handover);

#endif
