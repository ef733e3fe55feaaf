/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/device/guest.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop_account.h"
#include "daemon/base/daemon.h"
#include "daemon/device/device.h"

/* RUNTIME/GUEST; both parts are bounded. */
#define DIRECTORY_SIZE (SOCKET_PATH_SIZE + CONFIG_GUEST_MAX + 2)

/* Unless something is in it. */
static void remove_directory(const struct daemon *daemon, const char *name)
{
	char directory[DIRECTORY_SIZE];

	snprintf(directory, sizeof(directory), "%s/%s", daemon->runtime_dir, name);
	rmdir(directory);
}

/* The thread that the configuration of the start gave it, or NULL. */
static struct worker *own_worker(const struct daemon *daemon, const char *name)
{
	for (unsigned i = 0; i < daemon->own_worker_count; i++)
		if (strcmp(daemon->own_worker_guests[i], name) == 0)
			return &daemon->own_workers[i];
	return NULL;
}

struct guest *guest_get(struct daemon *daemon, const char *name)
{
	struct guest *guest = daemon->guests;

	assert(strlen(name) <= CONFIG_GUEST_MAX);
	while (guest && strcmp(guest->name, name) != 0)
		guest = guest->next;
	if (!guest) {
		guest = calloc(1, sizeof(*guest));
		if (!guest)
			return NULL;
		guest->time = loop_guest_create();
		if (!guest->time) {
			free(guest);
			return NULL;
		}
		snprintf(guest->name, sizeof(guest->name), "%s", name);
		guest->own = own_worker(daemon, name);
		guest->next = daemon->guests;
		daemon->guests = guest;
	}
	guest->devices++;
	return guest;
}

void guest_put(struct daemon *daemon, struct guest *guest)
{
	struct guest **link = &daemon->guests;

	if (!guest)
		return;
	assert(guest->devices > 0);
	if (--guest->devices > 0)
		return;
	while (*link != guest)
		link = &(*link)->next;
	*link = guest->next;
	/* Of those that are declared, the directory stays until the daemon ends. */
	if (!guest_settings(daemon, guest->name))
		remove_directory(daemon, guest->name);
	loop_guest_put(guest->time);
	free(guest);
}

const struct config_guest *guest_settings(const struct daemon *daemon, const char *name)
{
	return (const struct config_guest *)config_find(config_guests(daemon->config), name);
}

int guest_access_failed(const char *path, struct error *error)
{
	return error_set(error, -EPERM,
			 "cannot give %s to the guest's socket_owner and socket_group: "
			 "only root may; restart as root, or use a group of the daemon's user",
			 path);
}

int guest_make_directory(const struct daemon *daemon, const char *name, struct error *error)
{
	char directory[DIRECTORY_SIZE];
	int code;

	snprintf(directory, sizeof(directory), "%s/%s", daemon->runtime_dir, name);
	code = daemon_make_guest_directory(daemon->config, directory, guest_settings(daemon, name));
	if (code == -EPERM)
		return guest_access_failed(directory, error);
	return code ? error_set(error, code, "cannot make %s: %s", directory, strerror(-code)) : 0;
}

void guests_remove_directories(const struct daemon *daemon)
{
	config_for_each(config_guests(daemon->config), config_guest, guest)
		remove_directory(daemon, guest->object.name);
}

/* What root makes before it changes to the daemon's account is that account's, too; else -1: as it is made.
 */
static void own_account(const struct daemon *daemon, uid_t *ret_owner, gid_t *ret_group)
{
	const struct config_daemon *settings = config_daemon(daemon->config);
	const struct passwd *user = settings->user ? getpwnam(settings->user) : NULL;
	const struct group *group = settings->group ? getgrnam(settings->group) : NULL;

	*ret_owner = geteuid() == 0 && user ? user->pw_uid : (uid_t)-1;
	*ret_group = (gid_t)-1;
	if (geteuid() == 0 && (group || user))
		*ret_group = group ? group->gr_gid : user->pw_gid;
}

void guest_socket_access(const struct daemon *daemon, const char *name, struct endpoint_options *options)
{
	const struct config_guest *settings = guest_settings(daemon, name);
	const struct passwd *owner;
	const struct group *group;

	own_account(daemon, &options->owner, &options->group);
	/* Behind that: what getpwnam() returns is overwritten by its next call. */
	owner = settings && settings->socket_owner ? getpwnam(settings->socket_owner) : NULL;
	if (owner)
		options->owner = owner->pw_uid;
	group = settings && settings->socket_group ? getgrnam(settings->socket_group) : NULL;
	if (group)
		options->group = group->gr_gid;
	options->mode = settings ? settings->socket_mode : 0600;
}

uint64_t guest_cpu_ns(const struct daemon *daemon, const char *name)
{
	uint64_t cpu_ns = 0;

	for (const struct device *device = daemon->devices; device; device = device->next) {
		if (strcmp(device->guest->name, name) == 0)
			cpu_ns += device_status(device).cpu_ns;
	}
	return cpu_ns;
}
