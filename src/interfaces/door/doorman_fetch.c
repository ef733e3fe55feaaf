/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A doorman of a protocol whose messages are mostly register accesses, for which the way through another
 * process is too long: the daemon reads and writes the peer's socket itself. What comes with descriptors it
 * leaves there, and says how many bytes the doorman is to fetch.
 */
#include "interfaces/door/doorman.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "interfaces/door/fd_judge.h"

/* Many messages are on their way in the whole system: when to try again. */
#define CROWDED_MS 10

struct fetcher {
	int peer, inner;
	struct fd_judge judge;
	uint8_t bytes[DOORMAN_FETCH_MAX];
	int fds[DOORMAN_FETCH_FDS_MAX + 1]; /* one more says that there were too many */
	unsigned fd_count;
};

/* Waits for one of the sockets; false: the daemon has closed its end. */
static bool wait_for(const struct fetcher *fetcher, int fd, short events)
{
	struct pollfd poll_fds[2] = { { .fd = fetcher->inner }, { .fd = fd, .events = events } };

	while (poll(poll_fds, 2, -1) < 0)
		if (errno != EINTR)
			return false;
	return !(poll_fds[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void judge(struct fetcher *fetcher, int fd)
{
	if (fetcher->fd_count > DOORMAN_FETCH_FDS_MAX) {
		fd_judge_refuse(&fetcher->judge, fd);
		return;
	}
	fetcher->fds[fetcher->fd_count++] = fd_judge_prove(&fetcher->judge, fd);
}

/* Reads exactly `wanted` bytes, with all descriptors among them. False: the peer or the daemon has gone. */
static bool fetch(struct fetcher *fetcher, size_t wanted)
{
	size_t received = 0;

	while (received < wanted) {
		int fds[FD_MESSAGE_MAX];
		size_t fd_count = 0;
		ssize_t bytes = fd_receive(fetcher->peer, fetcher->bytes + received, wanted - received, fds,
					   FD_MESSAGE_MAX, &fd_count);

		if (bytes == -EAGAIN) {
			if (!wait_for(fetcher, fetcher->peer, POLLIN))
				return false;
			continue;
		}
		for (size_t i = 0; i < fd_count; i++)
			judge(fetcher, fds[i]);
		if (bytes <= 0 || fd_judge_is_tired(&fetcher->judge))
			return false;
		received += (size_t)bytes;
	}
	return true;
}

/* The descriptors go with the first byte. */
static bool pass(struct fetcher *fetcher, size_t bytes)
{
	size_t sent = 0;

	while (sent < bytes) {
		ssize_t now = fd_send_now(fetcher->inner, fetcher->bytes + sent, bytes - sent, fetcher->fds,
					  sent == 0 ? fetcher->fd_count : 0);

		if (now == -ETOOMANYREFS)
			poll(NULL, 0, CROWDED_MS);
		else if (now == -EAGAIN && !wait_for(fetcher, fetcher->inner, POLLOUT))
			return false;
		else if (now < 0 && now != -EAGAIN)
			return false;
		if (now > 0)
			sent += (size_t)now;
	}
	for (unsigned i = 0; i < fetcher->fd_count; i++)
		fd_judge_passed(&fetcher->judge, fetcher->fds[i]);
	fetcher->fd_count = 0;
	return true;
}

void doorman_fetch(int peer, int inner, int blank, int blank_file, unsigned fds_max)
{
	static struct fetcher fetcher;
	uint32_t wanted;

	fetcher = (struct fetcher){ .peer = peer, .inner = inner };
	fd_judge_init(&fetcher.judge, blank, blank_file, fds_max);
	for (;;) {
		ssize_t asked = recv(inner, &wanted, sizeof(wanted), 0);

		if (asked < 0 && errno == EAGAIN && wait_for(&fetcher, inner, POLLIN))
			continue;
		if (asked != sizeof(wanted) || wanted == 0 || wanted > sizeof(fetcher.bytes) ||
		    !fetch(&fetcher, wanted) || !pass(&fetcher, wanted))
			break;
	}
	/*
	 * The daemon learns that nothing more comes, and closes; only then does this process end, because
	 * what the peer has sent ends with it.
	 */
	shutdown(peer, SHUT_RDWR);
	shutdown(inner, SHUT_WR);
	while (wait_for(&fetcher, -1, 0))
		;
}
