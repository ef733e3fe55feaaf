/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/base/reach.h"
#include "daemon/base/state.h"
#include "daemon/share/settings.h"
#include "daemon/device/device.h"
#include "daemon/device/quarantine.h"
#include "daemon/device/takeover.h"
#include "daemon/share/shares.h"
#include "interfaces/door/porter.h"
#include "daemon/seat/seat_viewer_process.h"
#include "daemon/seat/seat_web_process.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vmm_display/vmm_display.h"

/* Without it the daemon runs, but keeps nothing. */
static void make_state_directory(struct daemon *daemon)
{
	int error = state_directory_make(daemon->config, daemon->state_dir);

	if (error)
		log_warning(NULL,
			    "cannot make the state directory %s: %s; name another with state_dir in [daemon]",
			    daemon->state_dir, strerror(-error));
}

static int restrict_files(struct daemon *daemon, struct error *error)
{
	const struct reach_options options = { daemon->config, daemon->runtime_dir, daemon->state_dir };

	return config_daemon(daemon->config)->sandbox ? reach_restrict(&options, &daemon->reach, error) : 0;
}

static int start_some(unsigned wanted, struct worker_options options, struct worker **ret_workers,
		      unsigned *ret_count, struct error *error)
{
	assert(wanted > 0);
	*ret_workers = calloc(wanted, sizeof(**ret_workers));
	if (!*ret_workers)
		return error_set(error, -ENOMEM, "out of memory");
	for (; *ret_count < wanted; ++*ret_count) {
		int code;

		options.index = *ret_count;
		code = worker_start(&(*ret_workers)[*ret_count], &options);
		if (code)
			return error_set(error, code, "cannot start %s %u: %s", options.name, *ret_count,
					 strerror(-code));
	}
	return 0;
}

/* As many as the configuration of the start wants: which guest has which stays. */
static int start_own_workers(struct daemon *daemon, struct worker_options options, struct error *error)
{
	unsigned wanted = 0;

	config_for_each(config_guests(daemon->config), config_guest, guest)
		wanted += guest->own_worker;
	if (wanted == 0)
		return 0;
	daemon->own_worker_guests = calloc(wanted, sizeof(*daemon->own_worker_guests));
	if (!daemon->own_worker_guests)
		return error_set(error, -ENOMEM, "out of memory");
	wanted = 0;
	config_for_each(config_guests(daemon->config), config_guest, guest) {
		if (guest->own_worker)
			snprintf(daemon->own_worker_guests[wanted++], CONFIG_GUEST_MAX + 1, "%.*s",
				 (int)CONFIG_GUEST_MAX, guest->object.name);
	}
	options.name = "own";
	return start_some(wanted, options, &daemon->own_workers, &daemon->own_worker_count, error);
}

/* The spare ones and those of single guests now, too: a sandboxed daemon makes no loops. */
static int start_workers(struct daemon *daemon, struct loop_rescue *rescue, struct error *error)
{
	const struct config_daemon *settings = config_daemon(daemon->config);
	struct worker_options options = {
		.name = "worker",
		.spin_max_ns = settings->poll_us * NS_PER_US,
		.rescue = rescue,
	};
	struct worker_options spare = {
		.name = "quarantine",
		.entries = QUARANTINE_ENTRIES,
		.nice = QUARANTINE_NICE,
		.rescue = rescue,
	};
	int code = start_some(settings->workers ? (unsigned)settings->workers : worker_default_count(),
			      options, &daemon->workers, &daemon->worker_count, error);

	if (!code)
		code = start_own_workers(daemon, options, error);
	return code ? code
		    : start_some(QUARANTINE_WORKERS, spare, &daemon->spare_workers,
				 &daemon->spare_worker_count, error);
}

/* What guests draw is put together on a thread of its own, where no disk waits for it. */
static int start_seat_worker(struct daemon *daemon, struct loop_rescue *rescue, struct error *error)
{
	const struct worker_options options = { .name = "seat", .rescue = rescue };
	unsigned started = 0;

	return start_some(1, options, &daemon->seat_worker, &started, error);
}

static int open_porters(struct daemon *daemon, const struct daemon_parts *parts)
{
	int code = porter_open(parts->porter, &vhost_user_doorman, daemon->control, &daemon->porter);

	if (!code && parts->display_porter >= 0)
		code = porter_open(parts->display_porter, &vmm_display_porter_service, daemon->control,
				   &daemon->display_porter);
	if (!code && parts->viewer_porter >= 0)
		code = porter_open(parts->viewer_porter, &seat_viewer_porter_service, daemon->control,
				   &daemon->viewer_porter);
	if (!code && parts->web_porter >= 0)
		code = porter_open(parts->web_porter, &seat_web_porter_service, daemon->control,
				   &daemon->web_porter);
	return code;
}

static void finish_stop(struct daemon *daemon)
{
	loop_timer_stop(daemon->control, &daemon->stop_timer);
	loop_stop(daemon->control);
}

static void device_gone(struct daemon *daemon)
{
	if (daemon->stopping && !daemon->devices)
		finish_stop(daemon);
}

int daemon_create(const struct daemon_options *options, struct daemon **ret_daemon, struct error *error)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int code;

	if (!daemon)
		return error_set(error, -ENOMEM, "out of memory");
	daemon->config = options->config;
	daemon->force_format = options->force_format;
	daemon->runtime_dir_option = options->runtime_dir;
	daemon->started_ns = clock_now_ns();
	daemon->lock_fd = daemon->api_fd = -1;
	daemon->device_gone = device_gone;
	daemon->config_path = strdup(options->config_path);
	daemon->runtime_dir = daemon_runtime_dir(options->runtime_dir, options->config);
	daemon->state_dir = state_directory(options->config);
	code = daemon->config_path && daemon->runtime_dir && daemon->state_dir
		       ? 0
		       : error_set(error, -ENOMEM, "out of memory");
	if (!code && (code = daemon_make_directory(daemon->config, daemon->runtime_dir)) < 0)
		error_set(error, code,
			  "cannot make the runtime directory %s: %s; name another with --runtime-dir",
			  daemon->runtime_dir, strerror(-code));
	if (!code)
		make_state_directory(daemon);
	if (!code)
		code = restrict_files(daemon, error);
	if (code) {
		daemon->config = NULL;	/* stays the caller's */
		daemon_destroy(daemon);
		return code;
	}
	*ret_daemon = daemon;
	return 0;
}

int daemon_start(struct daemon *daemon, const struct daemon_parts *parts, struct error *error)
{
	int code;

	daemon->control = parts->control;
	code = start_workers(daemon, parts->rescue, error);
	if (!code && parts->viewer_porter >= 0)
		code = start_seat_worker(daemon, parts->rescue, error);
	if (!code && open_porters(daemon, parts) < 0)
		code = error_set(error, -ENOMEM, "out of memory");
	return code;
}

void daemon_open_resources(struct daemon *daemon)
{
	share_settings_load(daemon);
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->open_resources)
			device_kinds[i]->open_resources(daemon);
}

void daemon_open_devices(struct daemon *daemon)
{
	for (unsigned i = 0; device_kinds[i]; i++)
		device_kinds[i]->open_devices(daemon);
}

/* ---- the end ---- */

static void stop_expired(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, stop_timer);

	for (struct device *device = daemon->devices; device; device = device->next)
		log_error(&device->subject,
			  "requests are still in flight, and the host does not answer them");
	log_error(NULL, "giving up after %d seconds; what was acknowledged as flushed is safe",
		  DAEMON_STOP_S);
	/* Threads hang in the kernel or hold memory that it still writes to: nothing can be freed. */
	_exit(1);
}


void daemon_stop(struct daemon *daemon)
{
	struct device *device;

	if (daemon->stopping)
		return;
	takeover_abort(daemon->takeover);
	daemon->stopping = true;
	notify_send("STOPPING=1");
	daemon->stop_timer.expired = stop_expired;
	loop_timer_start(daemon->control, &daemon->stop_timer, clock_now_ns() + DAEMON_STOP_S * NS_PER_S);
	shares_drain(daemon, true);
	device = daemon->devices;
	if (!device)
		finish_stop(daemon);
	while (device) {
		struct device *next = device->next;

		device_leave(device, DEVICE_FORGET, NULL);
		device = next;
	}
}

void daemon_destroy(struct daemon *daemon)
{
	if (!daemon)
		return;
	api_destroy(daemon->api);
	takeover_destroy(daemon->takeover);
	assert(!daemon->devices && !daemon->guests);
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->close_resources)
			device_kinds[i]->close_resources(daemon);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_stop(&daemon->workers[i]);
	for (unsigned i = 0; i < daemon->spare_worker_count; i++)
		worker_stop(&daemon->spare_workers[i]);
	for (unsigned i = 0; i < daemon->own_worker_count; i++)
		worker_stop(&daemon->own_workers[i]);
	free(daemon->workers);
	free(daemon->spare_workers);
	free(daemon->own_workers);
	free(daemon->own_worker_guests);
	if (daemon->seat_worker)
		worker_stop(daemon->seat_worker);
	free(daemon->seat_worker);
	porter_close(daemon->porter);
	porter_close(daemon->display_porter);
	porter_close(daemon->viewer_porter);
	porter_close(daemon->web_porter);
	if (daemon->config)
		guests_remove_directories(daemon);
	daemon_unlock(daemon);
	notify_fds_finish(&daemon->fds);
	config_destroy(daemon->config);
	free(daemon->config_path);
	settings_free(daemon->settings);
	reach_destroy(daemon->reach);
	free(daemon->runtime_dir);
	free(daemon->state_dir);
	free(daemon);
}
