/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The doorman: a process that stands between one peer and the daemon, and serves nobody else.
 *
 * Closing a descriptor, asking it something or unsealing it can wait for another process for as long as that
 * likes: a file on FUSE, a lingering socket, a memory file whose size is being changed. So what a peer sends
 * is received, judged and closed here. The doorman carries both directions of the connection, byte for byte,
 * and hands on only descriptors that it has proven: memory files (sealed against shrinking where they can be)
 * and eventfds. A stream socket stays here and is carried in the same way, the daemon gets one of the
 * doorman's. For a file that may be on a disk the daemon gets a descriptor of /dev/zero
 * (endpoint_fd_is_file()), for anything else one of /dev/null, which it refuses as it would have refused the
 * other.
 *
 * It keeps what it handed on, so that it closes those last: to free a guest's memory takes time, and to end
 * an eventfd wakes all who wait for it. It keeps the others, too, so that its peer is served until its end.
 *
 * The daemon lets the peer go with shutdown(SHUT_WR) of its end, and the doorman with a close. The doorman
 * says in the same way that the peer has gone.
 */
#ifndef VIADUCT_INTERFACES_DOOR_DOORMAN_H
#define VIADUCT_INTERFACES_DOOR_DOORMAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DOORMAN_HEADER_MAX 16
#define DOORMAN_CHUNK	   512
/* Carried at a time from the daemon to a peer's other socket: a picture's pixels are megabytes. */
#define DOORMAN_STREAM_CHUNK 16384

/*
 * How messages follow each other in a protocol: descriptors belong to the byte with which they were sent, so
 * that nothing may be read across the end of a message.
 */
struct doorman_framing {
	size_t header_bytes; /* at most DOORMAN_HEADER_MAX; 0: there are no messages, and no descriptors */
	/* Bytes that follow this header; negative: the stream cannot be followed any further. */
	ssize_t (*payload_bytes)(const uint8_t *header);
};

/* A plain stream of bytes. Descriptors that the peer sends go no further than the doorman. */
extern const struct doorman_framing doorman_stream;

/*
 * Serves the peer until the daemon closes its end, `inner`. Both are non-blocking UNIX stream sockets.
 * `blank` is a descriptor of /dev/null, `blank_file` of /dev/zero. All four belong to the process, which ends
 * after this, and may have fds_max descriptors.
 */
void doorman_serve(const struct doorman_framing *framing, int peer, int inner, int blank, int blank_file,
		   unsigned fds_max);

/*
 * Another manner of service: the daemon has the peer's socket, too, and reads and writes it. For what comes
 * with descriptors it sends a number of bytes (uint32_t, at most DOORMAN_FETCH_MAX) through `inner`, and gets
 * so many of the peer's bytes, with the descriptors at their beginning. The sockets are non-blocking. All
 * four descriptors belong to the process, which ends after this: when the daemon closes its end.
 */
#define DOORMAN_FETCH_MAX     8192u
#define DOORMAN_FETCH_FDS_MAX 16u
void doorman_fetch(int peer, int inner, int blank, int blank_file, unsigned fds_max);

#endif
