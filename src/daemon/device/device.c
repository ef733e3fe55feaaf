/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/device/device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/reach.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/worker.h"
#include "daemon/device/quarantine.h"
#include "daemon/device/report.h"

struct device *device_of_kind(struct device *device, const struct device_kind *kind)
{
	while (device && device->kind != kind)
		device = device->next;
	return device;
}

struct device *device_find(const struct daemon *daemon, const struct device_kind *kind, const char *name)
{
	/* The analyzer does not see that device->daemon is the daemon whose list device_forget() mends. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	device_for_each(daemon, kind, device) {
		if (strcmp(device->name, name) == 0)
			return device;
	}
	return NULL;
}

const struct config_object *device_settings(const struct device *device)
{
	return config_find(config_list(device->daemon->config, device->kind->section), device->name);
}

static struct endpoint_status no_status(void)
{
	return (struct endpoint_status){ .connections = 0 };
}

struct endpoint_status device_status(const struct device *device)
{
	struct endpoint_status status = no_status();

	if (device->endpoint)
		endpoint_status(device->endpoint, &status);
	if (device->kind->cpu_ns)
		status.cpu_ns += device->kind->cpu_ns(device);
	return status;
}

bool device_connected(const struct device *device)
{
	struct endpoint_status status = device_status(device);

	return status.connections > 0 || status.queues_running > 0 ||
	       (device->kind->in_use && device->kind->in_use(device));
}

void device_config_changed(void *context)
{
	struct device *device = context;

	if (device->endpoint)
		endpoint_config_changed(device->endpoint);
}

/* ---- the list ---- */

static bool set_name(struct device *device, const char *name)
{
	char guest_name[CONFIG_GUEST_MAX + 1];
	struct guest *guest;
	const char *rest;

	if (strlen(name) >= sizeof(device->name) || !config_split_name(name, guest_name, &rest))
		return false;
	guest = guest_get(device->daemon, guest_name);
	if (!guest)
		return false;
	guest_put(device->daemon, device->guest);
	device->guest = guest;
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->short_name = device->name + (rest - name);
	log_subject_name(&device->subject, "%s/%s-%s", guest->name, device->kind->name, device->short_name);
	return true;
}

struct device *device_add(struct daemon *daemon, const struct device_kind *kind, const char *name)
{
	struct device *device, **link = &daemon->devices;

	assert(kind->device_bytes >= sizeof(*device) && !device_find(daemon, kind, name));
	device = calloc(1, kind->device_bytes);
	if (!device)
		return NULL;
	device->daemon = daemon;
	device->kind = kind;
	if (!set_name(device, name)) {
		free(device);
		return NULL;
	}
	device->first_worker = daemon->next_worker++;
	while (*link)
		link = &(*link)->next;
	*link = device;
	return device;
}

bool device_rename(struct device *device, const char *name)
{
	assert(!device->endpoint);
	return set_name(device, name);
}

void device_forget(struct device *device)
{
	struct daemon *daemon = device->daemon;
	struct device **link = &daemon->devices;

	assert(!device->endpoint);
	while (*link != device)
		link = &(*link)->next;
	*link = device->next;
	if (device->kind->finish)
		device->kind->finish(device);
	guest_put(daemon, device->guest);
	free(device);
	if (daemon->device_gone)
		daemon->device_gone(daemon);
}

/* ---- serving ---- */

/* Where the VMM meets us. */
static int set_socket(struct device *device, const struct config_device *settings)
{
	const char *given = NULL;
	int length;

	device->client = settings && settings->connect;
	if (settings)
		given = settings->connect ? settings->connect : settings->socket;
	if (given)
		length = snprintf(device->socket, sizeof(device->socket), "%s", given);
	else
		length = snprintf(device->socket, sizeof(device->socket), "%s/%s/%s-%s.sock",
				  device->daemon->runtime_dir, device->guest->name, device->kind->name,
				  device->short_name);
	if (length > 0 && (size_t)length < sizeof(device->socket))
		return 0;
	return error_set(&device->error, -ENAMETOOLONG,
			 "the socket's path is longer than %d bytes; "
			 "use a shorter runtime_dir, or set socket = in [%s %s]",
			 SOCKET_PATH_SIZE - 1, device->kind->name, device->name);
}

/* A device that is not declared may have the default socket that another one is configured with. */
static int check_socket(struct device *device)
{
	for (const struct device *other = device->daemon->devices; other; other = other->next) {
		if (other != device && other->endpoint && strcmp(other->socket, device->socket) == 0)
			return error_set(&device->error, -EADDRINUSE,
					 "its socket %s is that of %s; give one of them another with "
					 "socket =",
					 device->socket, other->name);
	}
	return 0;
}

/* Queues of one device go round the workers, and each device starts with the next worker. */
static struct loop *worker_for_queue(void *context, unsigned queue_index)
{
	struct device *device = context;
	const struct daemon *daemon = device->daemon;
	unsigned together = device->kind->queues_together ? device->kind->queues_together : 1;
	struct worker *apart = device->guest->own ? device->guest->own : quarantine_worker(device);

	if (apart)
		return apart->loop;
	return daemon->workers[(device->first_worker + queue_index / together) % daemon->worker_count].loop;
}

static void made_wait(void *context, uint64_t waited_ns)
{
	quarantine_guest(context, waited_ns);
}

static bool waits_alone(void *context)
{
	const struct guest *guest = ((const struct device *)context)->guest;

	return guest->own || guest->quarantine;
}

/* The service manager says where its socket is, not the configuration: that is what logs and the API name. */
static void take_path_of(struct device *device, int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address) - 1;

	if (getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.sun_family == AF_UNIX &&
	    length > offsetof(struct sockaddr_un, sun_path) && address.sun_path[0] != '\0')
		snprintf(device->socket, sizeof(device->socket), "%.*s",
			 (int)(length - offsetof(struct sockaddr_un, sun_path)), address.sun_path);
}

/* From the predecessor's hands, at a socket of the service manager, or at one of our own. */
static int create_endpoint(struct device *device, struct endpoint_options *options)
{
	struct daemon *daemon = device->daemon;
	struct handover *handed = takeover_offer_endpoint(daemon->offer, device->subject.name);
	int fd = handed || device->client ? -1 : notify_fds_take(&daemon->fds, device->subject.name);
	int code;

	if (fd >= 0) {
		options->socket = ENDPOINT_LISTEN_FD;
		options->fd = fd;
		take_path_of(device, fd);
	} else if (!handed && !device->client) {
		daemon_remove_leftover(daemon, device->socket);
	}
	code = device->kind->endpoint_create(device, options, handed, &device->endpoint);
	if (code && fd >= 0)
		close(fd);
	return code;
}

static int open_endpoint(struct device *device)
{
	struct endpoint_options options = {
		.name = device->subject.name,
		.control = device->daemon->control,
		.socket = device->client ? ENDPOINT_CONNECT : ENDPOINT_LISTEN,
		.path = device->socket,
		.fd = -1,
		.porter = device->daemon->porter,
		.guest = device->guest->time,
		.worker = worker_for_queue,
		.made_wait = made_wait,
		.waits_alone = waits_alone,
		.worker_context = device,
	};
	int code = 0;

	if (!device->client)
		code = guest_make_directory(device->daemon, device->guest->name, &device->error);
	if (code)
		return code;
	guest_socket_access(device->daemon, device->guest->name, &options);
	code = create_endpoint(device, &options);
	if (code == -EACCES && !reach_has(device->daemon->reach, device->socket))
		return error_set(&device->error, code, "%s " REACH_REFUSAL, device->socket);
	if (code == -EADDRINUSE)
		return error_set(&device->error, code, "another process listens on %s", device->socket);
	if (code == -EPERM)
		return guest_access_failed(device->socket, &device->error);
	return code ? error_set(&device->error, code, "cannot listen on %s: %s", device->socket,
				strerror(-code))
		    : 0;
}

void device_serve(struct device *device)
{
	const struct config_object *settings = device_settings(device);
	int code;

	assert(!device->endpoint);
	device->farewell = DEVICE_STAYS;
	device->error = (struct error){ .code = 0 };
	device->kind->configure(device, settings);
	code = set_socket(device, (const struct config_device *)settings);
	if (!code)
		code = check_socket(device);
	if (!code)
		code = device->kind->open(device);
	if (!code)
		code = open_endpoint(device);
	if (!code) {
		log_info(&device->subject, "%s %s", device->client ? "connecting to" : "listening on",
			 device->socket);
		return;
	}
	device->kind->close(device);
	log_error(&device->subject, "not served: %s", device->error.text);
}

/* ---- taking back ---- */

/* The endpoint is gone: does what was planned. */
static void endpoint_gone(void *context)
{
	struct device *device = context;
	struct error ignored, *error = device->outcome ? device->outcome : &ignored;

	device->kind->close(device);
	device->outcome = NULL;
	*error = (struct error){ .code = 0 };
	if (device->farewell == DEVICE_CHANGES)
		device->kind->change(device, error);
	else if (device->farewell == DEVICE_REOPEN && !device->daemon->stopping)
		device_serve(device);
	else
		device_forget(device);
}

bool device_leave(struct device *device, enum device_farewell farewell, struct error *ret_outcome)
{
	struct endpoint *endpoint = device->endpoint;
	struct error result = { .code = -EINPROGRESS };

	assert(farewell != DEVICE_STAYS && (farewell != DEVICE_CHANGES || device->kind->change));
	/* On its way out already; a change of the kind's comes first */
	if (device->farewell != DEVICE_STAYS) {
		if (device->farewell != DEVICE_CHANGES)
			device->farewell = farewell;
		return false;
	}
	device->farewell = farewell;
	device->outcome = &result;
	device->endpoint = NULL;
	if (endpoint)
		endpoint_destroy(endpoint, endpoint_gone, device);
	else
		endpoint_gone(device);
	if (result.code == -EINPROGRESS) {
		device->outcome = NULL;
		return false;
	}
	if (ret_outcome)
		*ret_outcome = result;
	return true;
}

/* ---- reload ---- */

void device_reload_removed(struct device *device, struct change_report *report)
{
	const char *kind = device->kind->name;

	if (device_connected(device)) {
		report_refused(report, "%s %s: is connected; it goes at the next restart", kind,
			       device->name);
		return;
	}
	report_applied(report, "%s %s: removed", kind, device->name);
	device_leave(device, DEVICE_FORGET, NULL);
}

void device_reload_changed(struct device *device, const struct config *old, struct change_report *report)
{
	const struct config_object *before =
		config_find(config_list(old, device->kind->section), device->name);
	const struct config_device *now = (const struct config_device *)device_settings(device);
	const char *kind = device->kind->name;

	if (!config_differs(before, device_settings(device))) {
		/* It could not be served before: try again. */
		if (device->error.text[0] && !device->endpoint && device->farewell == DEVICE_STAYS)
			device_leave(device, DEVICE_REOPEN, NULL);
	} else if (device_connected(device)) {
		report_refused(report,
			       "%s %s: is connected; its new attributes apply after the next restart, or a "
			       "reload while it is not connected",
			       kind, device->name);
	} else if (now && now->socket && !reach_has(device->daemon->reach, now->socket)) {
		report_refused(report, "%s %s: %s " REACH_REFUSAL, kind, device->name, now->socket);
	} else if (device->endpoint && device->farewell == DEVICE_STAYS) {
		report_applied(report, "%s %s: served anew with its new attributes", kind, device->name);
		device_leave(device, DEVICE_REOPEN, NULL);
	}
}

static void reload_added(struct daemon *daemon, const struct device_kind *kind, const char *name,
			 struct change_report *report)
{
	struct device *device = device_add(daemon, kind, name);

	if (device)
		device_serve(device);
	if (device && device->endpoint)
		report_applied(report, "%s %s: added", kind->name, name);
	else
		report_refused(report, "%s %s: %s", kind->name, name,
			       device ? device->error.text : "out of memory");
}

void devices_reload(struct daemon *daemon, const struct device_kind *kind, const struct config *old,
		    struct change_report *report)
{
	struct device *device = device_of_kind(daemon->devices, kind);

	while (device) {
		struct device *next = device_of_kind(device->next, kind);

		if (device_settings(device))
			device_reload_changed(device, old, report);
		else
			device_reload_removed(device, report);
		device = next;
	}
	for (const struct config_object *object = config_list(daemon->config, kind->section); object;
	     object = object->next) {
		if (!device_find(daemon, kind, object->name))
			reload_added(daemon, kind, object->name, report);
	}
}
