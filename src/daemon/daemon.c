/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/config/settings.h"
#include "daemon/share/shares.h"
#include "daemon/base/state.h"
#include "daemon/takeover.h"

int daemon_fail(struct daemon_error *error, int code, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return code;
}

char *daemon_runtime_dir(const char *option, const struct config *config)
{
	const char *home = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;

	if (option)
		return strdup(option);
	if (config_daemon(config)->runtime_dir)
		return strdup(config_daemon(config)->runtime_dir);
	if (geteuid() == 0 || !home || home[0] != '/')
		return strdup("/run/viaduct");
	return asprintf(&path, "%s/viaduct", home) < 0 ? NULL : path;
}

/* The user that we change to later must be able to remove the sockets in it. */
static void give_directory(const struct config *config, const char *path)
{
	const char *name = config_daemon(config)->user;
	const struct passwd *user = name ? getpwnam(name) : NULL;

	if (geteuid() == 0 && user && chown(path, user->pw_uid, user->pw_gid) < 0)
		log_warning(NULL, "cannot give %s to %s: %s", path, name, strerror(errno));
}

int daemon_make_directory(const struct config *config, const char *path)
{
	struct stat status;

	assert(path);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	give_directory(config, path);
	return 0;
}

/* Without it the daemon runs, but keeps nothing. */
static void make_state_directory(struct daemon *daemon)
{
	int error = state_directory_make(daemon->config, daemon->state_dir);

	if (error)
		log_warning(NULL,
			    "cannot make the state directory %s: %s; name another with state_dir in [daemon]",
			    daemon->state_dir, strerror(-error));
}

static int start_workers(struct daemon *daemon, struct daemon_error *error)
{
	const struct config_daemon *settings = config_daemon(daemon->config);
	unsigned wanted = settings->workers ? (unsigned)settings->workers : worker_default_count();

	daemon->workers = calloc(wanted, sizeof(*daemon->workers));
	if (!daemon->workers)
		return daemon_fail(error, -ENOMEM, "out of memory");
	for (; daemon->worker_count < wanted; daemon->worker_count++) {
		int code = worker_start(&daemon->workers[daemon->worker_count], daemon->worker_count,
					settings->poll_us * NS_PER_US);

		if (code)
			return daemon_fail(error, code, "cannot start worker %u: %s", daemon->worker_count,
					   strerror(-code));
	}
	return 0;
}

int daemon_create(const struct daemon_options *options, struct daemon **ret_daemon,
		  struct daemon_error *error)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int code;

	if (!daemon)
		return daemon_fail(error, -ENOMEM, "out of memory");
	daemon->config = options->config;
	daemon->control = options->control;
	daemon->force_format = options->force_format;
	daemon->runtime_dir_option = options->runtime_dir;
	daemon->started_ns = clock_now_ns();
	daemon->lock_fd = -1;
	daemon->config_path = strdup(options->config_path);
	daemon->runtime_dir = daemon_runtime_dir(options->runtime_dir, options->config);
	daemon->state_dir = state_directory(options->config);
	code = daemon->config_path && daemon->runtime_dir && daemon->state_dir
		       ? 0
		       : daemon_fail(error, -ENOMEM, "out of memory");
	if (!code && (code = daemon_make_directory(daemon->config, daemon->runtime_dir)) < 0)
		daemon_fail(error, code,
			    "cannot make the runtime directory %s: %s; name another with --runtime-dir",
			    daemon->runtime_dir, strerror(-code));
	if (!code)
		make_state_directory(daemon);
	if (!code)
		code = start_workers(daemon, error);
	if (code) {
		daemon->config = NULL;	/* stays the caller's */
		daemon_destroy(daemon);
		return code;
	}
	*ret_daemon = daemon;
	return 0;
}

static void open_pool(struct daemon *daemon, const struct config_pool *settings)
{
	struct daemon_pool *pool = daemon_pool_add(daemon, settings);

	if (!pool)
		log_error(NULL, "pool %s: out of memory", settings->object.name);
	else if (!pool->pool)
		log_error(NULL, "pool %s: not available: %s", pool->name, pool->error.text);
}

void daemon_open_pools(struct daemon *daemon)
{
	share_settings_load(daemon);
	config_for_each(config_pools(daemon->config), config_pool, pool)
		open_pool(daemon, pool);
}

void daemon_open_disks(struct daemon *daemon)
{
	struct daemon_error error;

	config_for_each(config_disks(daemon->config), config_disk, disk) {
		if (disk->pool && daemon_disk_settle(daemon, disk, &error) < 0)
			log_error(NULL, "%s: %s", disk->object.name, error.text);
	}
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		daemon_pool_serve(daemon, pool);
	config_for_each(config_disks(daemon->config), config_disk, disk) {
		if (disk->path && !daemon_disk_add(daemon, disk->object.name, NULL, NULL))
			log_error(NULL, "%s: out of memory", disk->object.name);
	}
}

/* ---- the end ---- */

static void finish_stop(struct daemon *daemon)
{
	loop_timer_stop(daemon->control, &daemon->stop_timer);
	loop_stop(daemon->control);
}

static void stop_expired(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, stop_timer);

	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next)
		log_error(&disk->subject, "requests are still in flight on a disk that does not answer");
	log_error(NULL, "giving up after %d seconds; what was acknowledged as flushed is safe",
		  DAEMON_STOP_S);
	/* Threads hang in the kernel or hold memory that it still writes to: nothing can be freed. */
	_exit(1);
}


void daemon_disk_gone(struct daemon *daemon)
{
	if (daemon->stopping && !daemon->disks)
		finish_stop(daemon);
}

void daemon_stop(struct daemon *daemon)
{
	struct daemon_disk *disk;

	if (daemon->stopping)
		return;
	takeover_abort(daemon->takeover);
	daemon->stopping = true;
	notify_send("STOPPING=1");
	daemon->stop_timer.expired = stop_expired;
	loop_timer_start(daemon->control, &daemon->stop_timer, clock_now_ns() + DAEMON_STOP_S * NS_PER_S);
	share_gates_drain(daemon, true);
	disk = daemon->disks;
	if (!disk)
		finish_stop(daemon);
	while (disk) {
		struct daemon_disk *next = disk->next;

		daemon_disk_leave(disk, DISK_FORGET, NULL);
		disk = next;
	}
}

static void remove_directories(struct daemon *daemon)
{
	char path[SOCKET_PATH_SIZE + CONFIG_GUEST_MAX];

	/* Only empty ones go; others' files in them are not ours to remove. */
	config_for_each(config_guests(daemon->config), config_guest, guest) {
		snprintf(path, sizeof(path), "%s/%s", daemon->runtime_dir, guest->object.name);
		rmdir(path);
	}
}

void daemon_destroy(struct daemon *daemon)
{
	if (!daemon)
		return;
	api_destroy(daemon->api);
	takeover_destroy(daemon->takeover);
	assert(!daemon->disks);
	daemon_pools_close(daemon);
	for (unsigned i = 0; i < daemon->worker_count; i++)
		worker_stop(&daemon->workers[i]);
	free(daemon->workers);
	if (daemon->config)
		remove_directories(daemon);
	daemon_unlock(daemon);
	notify_fds_finish(&daemon->fds);
	config_destroy(daemon->config);
	free(daemon->config_path);
	settings_free(daemon->settings);
	free(daemon->runtime_dir);
	free(daemon->state_dir);
	free(daemon);
}
