/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The running daemon's side of a takeover; base/takeover_offer.c is the successor's. */
#include "daemon/device/takeover.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/log.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/base/unix_socket.h"
#include "daemon/device/device.h"
#include "daemon/share/shares.h"

enum takeover_state {
	TAKEOVER_IDLE,	     /* no successor is connected */
	TAKEOVER_CONNECTED,  /* one is, and has said nothing yet: all goes on */
	TAKEOVER_SUSPENDING, /* endpoints drain */
	TAKEOVER_OFFERED,    /* the successor prepares */
	TAKEOVER_GONE,	     /* GO was said: we touch nothing any more */
};

struct takeover {
	struct daemon *daemon;
	enum takeover_state state;
	int socket, peer;
	pid_t peer_pid;
	uint64_t suspend_ns;
	unsigned draining; /* endpoints that did not answer yet */
	bool released;	   /* the kinds let go of what a successor opens */
	char path[SOCKET_PATH_SIZE + 32];
	struct loop_watch socket_watch, peer_watch;
	struct loop_timer timer;
};

static void stand_still(struct daemon *daemon, bool still)
{
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->stand_still)
			device_kinds[i]->stand_still(daemon, still);
}

/* ---- going on by ourselves ---- */

static void drop_peer(struct takeover *takeover)
{
	struct loop *loop = takeover->daemon->control;

	loop_timer_stop(loop, &takeover->timer);
	loop_watch_stop(loop, &takeover->peer_watch);
	fd_close(&takeover->peer);
}

static void go_on(struct takeover *takeover, const char *why)
{
	struct daemon *daemon = takeover->daemon;

	log_warning(NULL, "takeover: %s; going on", why);
	drop_peer(takeover);
	if (takeover->state == TAKEOVER_CONNECTED) {
		takeover->state = TAKEOVER_IDLE;
		return;
	}
	if (takeover->released) {
		for (unsigned i = 0; device_kinds[i]; i++)
			if (device_kinds[i]->reclaim)
				device_kinds[i]->reclaim(daemon);
		takeover->released = false;
	}
	shares_drain(daemon, false);
	daemon->suspended = false;
	takeover->state = TAKEOVER_IDLE;
	for (struct device *device = daemon->devices; device; device = device->next) {
		/* One that still drains resumes when it has: endpoint_suspended(). */
		if (!device->suspended)
			continue;
		device->suspending = device->suspended = false;
		endpoint_resume(device->endpoint);
	}
	stand_still(daemon, false);
	log_info(NULL, "takeover: guests stood still for %.1f ms",
		 (double)(clock_now_ns() - takeover->suspend_ns) / (double)NS_PER_MS);
}

/* ---- the offer ---- */

static void write_header(struct takeover *takeover, struct handover *header)
{
	struct daemon *daemon = takeover->daemon;
	uint64_t endpoints = 0;

	handover_put_u64(header, TAKEOVER_VERSION);
	handover_put_u64(header, takeover->suspend_ns);
	takeover_put_fd(header, "lock", "", daemon->lock_fd);
	takeover_put_fd(header, "api", "", daemon->api_fd);
	takeover_put_fd(header, "takeover", "", takeover->socket);
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->hand_over)
			device_kinds[i]->hand_over(daemon, header);
	for (struct device *device = daemon->devices; device; device = device->next)
		endpoints += device->suspended;
	handover_put_string(header, "");
	handover_put_u64(header, endpoints);
	for (struct device *device = daemon->devices; device; device = device->next) {
		if (device->suspended)
			handover_put_string(header, device->subject.name);
	}
}

static int send_and_finish(struct handover *handover, int socket, uint64_t deadline_ns)
{
	int error = handover_send(handover, socket, deadline_ns);

	handover_finish(handover);
	return error;
}

static int send_offer(struct takeover *takeover)
{
	uint64_t deadline_ns = clock_now_ns() + TAKEOVER_SEND_S * NS_PER_S;
	struct handover handover = { .bytes = NULL };
	int error;

	write_header(takeover, &handover);
	error = send_and_finish(&handover, takeover->peer, deadline_ns);
	for (struct device *device = takeover->daemon->devices; device && !error; device = device->next) {
		if (!device->suspended)
			continue;
		assert(device->endpoint);
		handover = (struct handover){ .bytes = NULL };
		endpoint_save(device->endpoint, &handover);
		error = send_and_finish(&handover, takeover->peer, deadline_ns);
	}
	return error;
}

/* Everything stands still: lets go of pools and the like, and makes the offer. */
static void make_offer(struct takeover *takeover)
{
	int error;

	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->release)
			device_kinds[i]->release(takeover->daemon);
	takeover->released = true;
	takeover->state = TAKEOVER_OFFERED;
	error = send_offer(takeover);
	if (error)
		go_on(takeover, error == -ETIMEDOUT ? "the successor does not read what it is handed"
						    : strerror(-error));
}

static void endpoint_suspended(void *context)
{
	struct device *device = context;
	struct takeover *takeover = device->daemon->takeover;

	if (takeover->state != TAKEOVER_SUSPENDING || !device->suspending) {
		device->suspending = false;
		endpoint_resume(device->endpoint);
		return;
	}
	device->suspended = true;
	if (--takeover->draining == 0)
		make_offer(takeover);
}

static void begin(struct takeover *takeover)
{
	struct daemon *daemon = takeover->daemon;

	log_info(NULL, "takeover: process %d takes over", (int)takeover->peer_pid);
	shares_drain(daemon, true);
	takeover->state = TAKEOVER_SUSPENDING;
	takeover->suspend_ns = clock_now_ns();
	takeover->draining = 1; /* not before all were asked */
	daemon->suspended = true;
	stand_still(daemon, true);
	for (struct device *device = daemon->devices; device; device = device->next) {
		if (!device->endpoint || device->suspending)
			continue;
		takeover->draining++;
		device->suspending = true;
		endpoint_suspend(device->endpoint, endpoint_suspended, device);
	}
	if (--takeover->draining == 0)
		make_offer(takeover);
}

/* ---- the conversation ---- */

static void leave(struct takeover *takeover)
{
	log_info(NULL, "takeover: process %d serves the guests now", (int)takeover->peer_pid);
	notify_send("MAINPID=%d", (int)takeover->peer_pid);
	_exit(0);
}

static void say_go(struct takeover *takeover)
{
	static const char go = TAKEOVER_GO;

	if (fd_send(takeover->peer, &go, 1, NULL, 0) != 1) {
		go_on(takeover, "the successor is gone");
		return;
	}
	takeover->state = TAKEOVER_GONE;
	loop_timer_start(takeover->daemon->control, &takeover->timer,
			 clock_now_ns() + TAKEOVER_TIMEOUT_S * NS_PER_S);
}

/* What the successor said, or that it hung up (`said` 0). */
static void hear(struct takeover *takeover, char said)
{
	if (takeover->state == TAKEOVER_GONE) {
		if (said == TAKEOVER_RESUMED)
			leave(takeover);
		log_error(NULL,
			  "takeover: the successor failed after it was told to go; guests must reconnect");
		_exit(1);
	}
	if (takeover->state == TAKEOVER_CONNECTED && said == TAKEOVER_HELLO)
		begin(takeover);
	else if (takeover->state == TAKEOVER_OFFERED && said == TAKEOVER_PREPARED)
		say_go(takeover);
	else
		go_on(takeover, said ? "the successor talks nonsense" : "the successor hung up");
}

static void peer_ready(struct loop_watch *watch, unsigned events)
{
	struct takeover *takeover = container_of(watch, struct takeover, peer_watch);

	while (takeover->peer >= 0) {
		char said = 0;
		ssize_t got = recv(takeover->peer, &said, 1, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		hear(takeover, got == 1 ? said : 0);
	}
}

static void timed_out(struct loop_timer *timer)
{
	struct takeover *takeover = container_of(timer, struct takeover, timer);

	if (takeover->state == TAKEOVER_GONE)
		hear(takeover, 0);
	else
		go_on(takeover, takeover->state == TAKEOVER_SUSPENDING
					? "a disk does not finish its requests in time"
					: "the successor does not answer in time");
}

/* Only root and our own user may take over. */
static bool is_allowed(int peer, pid_t *ret_pid)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return false;
	*ret_pid = credentials.pid;
	return credentials.uid == 0 || credentials.uid == geteuid();
}

static void set_send_timeout(int fd)
{
	struct timeval timeout = { .tv_sec = TAKEOVER_TIMEOUT_S };

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static void socket_ready(struct loop_watch *watch, unsigned events)
{
	struct takeover *takeover = container_of(watch, struct takeover, socket_watch);
	struct daemon *daemon = takeover->daemon;
	int fd;

	while ((fd = accept4(takeover->socket, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		bool busy = takeover->state != TAKEOVER_IDLE && takeover->state != TAKEOVER_CONNECTED;
		pid_t pid;

		if (busy || daemon->stopping || !is_allowed(fd, &pid)) {
			fd_close(&fd);
			continue;
		}
		if (takeover->state == TAKEOVER_CONNECTED)
			go_on(takeover, "another successor came before the first one had said a word");
		set_send_timeout(fd);
		takeover->peer = fd;
		takeover->peer_pid = pid;
		if (loop_watch_start(daemon->control, &takeover->peer_watch, fd, POLLIN | POLLRDHUP) < 0) {
			fd_close(&takeover->peer);
			continue;
		}
		loop_timer_start(daemon->control, &takeover->timer,
				 clock_now_ns() + TAKEOVER_TIMEOUT_S * NS_PER_S);
		takeover->state = TAKEOVER_CONNECTED;
	}
}

void takeover_abort(struct takeover *takeover)
{
	if (takeover && takeover->state != TAKEOVER_IDLE && takeover->state != TAKEOVER_GONE)
		go_on(takeover, "this daemon was told to stop");
}

int takeover_create(struct daemon *daemon, struct takeover **ret_takeover, struct error *error)
{
	struct takeover *takeover = calloc(1, sizeof(*takeover));
	int code = 0;

	if (!takeover)
		return error_set(error, -ENOMEM, "out of memory");
	takeover->daemon = daemon;
	takeover->peer = -1;
	takeover->socket_watch.ready = socket_ready;
	takeover->peer_watch.ready = peer_ready;
	takeover->timer.expired = timed_out;
	snprintf(takeover->path, sizeof(takeover->path), "%s/takeover.sock", daemon->runtime_dir);
	takeover->socket = takeover_offer_take(daemon->offer, "takeover", "");
	if (takeover->socket < 0) {
		daemon_remove_leftover(daemon, takeover->path);
		takeover->socket = unix_socket_listen(takeover->path, 0600);
	}
	if (takeover->socket < 0)
		code = takeover->socket;
	else
		code = loop_watch_start(daemon->control, &takeover->socket_watch, takeover->socket, POLLIN);
	if (code) {
		error_set(error, code, "cannot listen on %s: %s", takeover->path, strerror(-code));
		fd_close(&takeover->socket);
		free(takeover);
		return code;
	}
	*ret_takeover = takeover;
	return 0;
}

void takeover_destroy(struct takeover *takeover)
{
	if (!takeover)
		return;
	drop_peer(takeover);
	loop_watch_stop(takeover->daemon->control, &takeover->socket_watch);
	unlink(takeover->path);
	fd_close(&takeover->socket);
	free(takeover);
}
