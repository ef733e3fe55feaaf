/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The successor's side of a takeover. Blocking: nothing else runs in this process yet. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/base/unix_socket.h"

/* More than a host has. */
#define ENDPOINTS_MAX 65536

struct offer_fd {
	struct offer_fd *next;
	char kind[16], name[CONFIG_NAME_SIZE];
	int fd;
};

struct offer_endpoint {
	char name[LOG_NAME_MAX];
	struct handover state;
	bool taken;
};

struct takeover_offer {
	int socket;
	bool go;			/* the predecessor touches nothing any more */
	uint64_t suspend_ns;
	struct offer_fd *fds;
	struct offer_endpoint *endpoints;
	unsigned endpoint_count, taken_count;
};

static bool read_fd(struct takeover_offer *offer, struct handover *header)
{
	struct offer_fd *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		header->error = -ENOMEM;
		return false;
	}
	handover_get_string(header, entry->kind, sizeof(entry->kind));
	if (header->error || entry->kind[0] == '\0') {
		free(entry);
		return false;
	}
	handover_get_string(header, entry->name, sizeof(entry->name));
	entry->fd = handover_get_fd(header);
	entry->next = offer->fds;
	offer->fds = entry;
	return true;
}

static int read_header(struct takeover_offer *offer)
{
	struct handover header = { .bytes = NULL };
	int error = handover_receive(offer->socket, &header);
	uint64_t version, endpoints;

	if (error)
		return error;
	version = handover_get_u64(&header);
	offer->suspend_ns = handover_get_u64(&header);
	while (version == TAKEOVER_VERSION && read_fd(offer, &header))
		;
	endpoints = handover_get_u64(&header);
	error = header.error;
	if (!error && version != TAKEOVER_VERSION)
		error = -EPROTONOSUPPORT;
	if (!error && endpoints > ENDPOINTS_MAX)
		error = -EBADMSG;
	if (!error) {
		offer->endpoints = calloc(endpoints + 1, sizeof(*offer->endpoints));
		error = offer->endpoints ? 0 : -ENOMEM;
	}
	for (uint64_t i = 0; !error && i < endpoints; i++) {
		handover_get_string(&header, offer->endpoints[i].name, sizeof(offer->endpoints[i].name));
		offer->endpoint_count++;
		error = header.error;
	}
	handover_finish(&header);
	return error;
}

static int read_endpoints(struct takeover_offer *offer)
{
	int error = 0;

	for (unsigned i = 0; i < offer->endpoint_count && !error; i++)
		error = handover_receive(offer->socket, &offer->endpoints[i].state);
	return error;
}

int takeover_offer_receive(const char *runtime_dir, struct takeover_offer **ret_offer, struct error *error)
{
	struct takeover_offer *offer = calloc(1, sizeof(*offer));
	static const char hello = TAKEOVER_HELLO;
	char path[SOCKET_PATH_SIZE + 32];
	int code;

	if (!offer)
		return error_set(error, -ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "%s/takeover.sock", runtime_dir);
	offer->socket = unix_socket_connect(path);
	if (offer->socket < 0) {
		code = offer->socket;
		free(offer);
		return error_set(error, code, "no viaductd to take over from at %s: %s", path,
				 strerror(-code));
	}
	code = fd_send(offer->socket, &hello, 1, NULL, 0) == 1 ? read_header(offer) : -ECONNRESET;
	if (!code)
		code = read_endpoints(offer);
	if (code) {
		takeover_offer_destroy(offer);
		return error_set(error, code, "the running viaductd's offer cannot be used: %s; it goes on",
				 code == -EPROTONOSUPPORT ? "it is of another version" : strerror(-code));
	}
	*ret_offer = offer;
	return 0;
}

bool takeover_offer_has(const struct takeover_offer *offer, const char *kind, const char *name)
{
	for (const struct offer_fd *entry = offer ? offer->fds : NULL; entry; entry = entry->next)
		if (strcmp(entry->kind, kind) == 0 && strcmp(entry->name, name) == 0)
			return true;
	return false;
}

int takeover_offer_take(struct takeover_offer *offer, const char *kind, const char *name)
{
	for (struct offer_fd *entry = offer ? offer->fds : NULL; entry; entry = entry->next) {
		if (entry->fd >= 0 && strcmp(entry->kind, kind) == 0 && strcmp(entry->name, name) == 0)
			return fd_take(&entry->fd);
	}
	return -1;
}

struct handover *takeover_offer_endpoint(struct takeover_offer *offer, const char *name)
{
	for (unsigned i = 0; offer && i < offer->endpoint_count; i++) {
		struct offer_endpoint *endpoint = &offer->endpoints[i];

		if (!endpoint->taken && strcmp(endpoint->name, name) == 0) {
			endpoint->taken = true;
			offer->taken_count++;
			return &endpoint->state;
		}
	}
	return NULL;
}

int takeover_offer_commit(struct takeover_offer *offer, struct error *error)
{
	struct timeval timeout = { .tv_sec = TAKEOVER_TIMEOUT_S };
	char said = TAKEOVER_PREPARED;

	setsockopt(offer->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (fd_send(offer->socket, &said, 1, NULL, 0) != 1 || recv(offer->socket, &said, 1, 0) != 1 ||
	    said != TAKEOVER_GO)
		return error_set(error, -ECANCELED, "the running viaductd goes on itself; see its log");
	offer->go = true;
	return 0;
}

void takeover_offer_done(struct takeover_offer *offer, struct daemon *daemon)
{
	double pause_ms = (double)(clock_now_ns() - offer->suspend_ns) / (double)NS_PER_MS;
	static const char said = TAKEOVER_RESUMED;

	fd_send(offer->socket, &said, 1, NULL, 0);
	snprintf(daemon->takeover_text, sizeof(daemon->takeover_text),
		 "took over %u endpoint%s, pause %.1f ms", offer->taken_count,
		 offer->taken_count == 1 ? "" : "s", pause_ms);
	log_info(NULL, "%s", daemon->takeover_text);
	for (unsigned i = 0; i < offer->endpoint_count; i++) {
		if (!offer->endpoints[i].taken)
			log_warning(NULL, "%s: is not in the configuration any more: disconnected",
				    offer->endpoints[i].name);
	}
	takeover_offer_destroy(offer);
}

void takeover_offer_destroy(struct takeover_offer *offer)
{
	if (!offer)
		return;
	while (offer->fds) {
		struct offer_fd *entry = offer->fds;

		offer->fds = entry->next;
		fd_close(&entry->fd);
		free(entry);
	}
	for (unsigned i = 0; i < offer->endpoint_count; i++)
		handover_finish(&offer->endpoints[i].state);
	free(offer->endpoints);
	fd_close(&offer->socket);
	free(offer);
}
