/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual disks. A disk is served in three steps: the arbiter's disk on its bytes, the model that the
 * guest sees, the endpoint that a VMM connects to; it is taken back in the opposite order. A step that
 * fails leaves the object in the list with its error, so that the status shows it.
 */
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/log.h"
#include "core/loop_account.h"
#include "daemon/config/config_values.h"
#include "daemon/daemon.h"
#include "daemon/share/shares.h"
#include "daemon/takeover.h"
#include "daemon/disk/write_mode.h"
#include "devices/disk/virtio_blk.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/virtio/virtqueue.h"

struct daemon_disk *daemon_disk_find(struct daemon *daemon, const char *name)
{
	struct daemon_disk *disk = daemon->disks;

	while (disk && strcmp(disk->name, name) != 0)
		disk = disk->next;
	return disk;
}

const struct config_disk *daemon_disk_settings(const struct daemon *daemon, const char *name)
{
	return (const struct config_disk *)config_find(config_disks(daemon->config), name);
}

const struct config_guest *daemon_guest_settings(const struct daemon *daemon, const char *name)
{
	return (const struct config_guest *)config_find(config_guests(daemon->config), name);
}

/* ---- attributes ---- */

static bool set_name(struct daemon_disk *disk, const char *name)
{
	const char *rest;

	snprintf(disk->name, sizeof(disk->name), "%s", name);
	if (!config_split_name(disk->name, disk->guest, &rest))
		return false;
	disk->short_name = rest;
	log_subject_name(&disk->subject, "%s/disk-%s", disk->guest, disk->short_name);
	return true;
}

static const struct config_key *disk_key(const char *name)
{
	const struct config_section *section = &config_section_disk;

	for (unsigned i = 0;; i++) {
		assert(i < section->key_count);
		if (strcmp(section->keys[i].name, name) == 0)
			return &section->keys[i];
	}
}

/* The attributes of a disk that the configuration does not mention. */
static void set_defaults(struct daemon_disk *disk)
{
	uint64_t queues = 0;

	value_parse_number(disk_key("queues")->initial, &queues);
	value_parse_boolean(disk_key("packed")->initial, &disk->packed);
	disk->queues = (unsigned)queues;
	disk->read_only = false;
	disk->client = false;
	snprintf(disk->serial, sizeof(disk->serial), "%.20s", disk->name);
}

static void set_attributes(struct daemon_disk *disk, const struct config_disk *settings)
{
	set_defaults(disk);
	if (!settings)
		return;
	disk->queues = (unsigned)settings->queues;
	disk->packed = settings->packed;
	disk->read_only = settings->read_only;
	disk->cache = settings->cache;
	disk->client = settings->device.connect != NULL;
	if (settings->serial)
		snprintf(disk->serial, sizeof(disk->serial), "%s", settings->serial);
}

/* Where the VMM meets us; false when the path is too long for a socket. */
static bool set_socket(struct daemon_disk *disk, const struct config_disk *settings)
{
	const char *given = NULL;
	int length;

	if (settings)
		given = settings->device.connect ? settings->device.connect : settings->device.socket;
	if (given)
		length = snprintf(disk->socket, sizeof(disk->socket), "%s", given);
	else
		length = snprintf(disk->socket, sizeof(disk->socket), "%s/%s/disk-%s.sock",
				  disk->daemon->runtime_dir, disk->guest, disk->short_name);
	return length > 0 && (size_t)length < sizeof(disk->socket);
}

/* ---- serving ---- */

/* Opens the file or device of a disk of its own. */
static int open_own(struct daemon_disk *disk)
{
	struct disk_uring_options options = {
		.path = disk->path,
		.cache = disk->cache,
		.read_only = disk->read_only,
		.lock = !disk->read_only,
		.lock_wait_ms = disk->daemon->serving ? 0 : DAEMON_LOCK_WAIT_MS,
	};
	int fd = takeover_offer_take(disk->daemon->offer, "disk", disk->name);
	int code;

	if (disk->host)
		return 0;
	if (fd < 0) {
		code = disk_uring_open(&options, &disk->host);
	} else {
		options.lock = false;
		code = disk_uring_open_fd(fd, &options, &disk->host);
		if (code)
			close(fd);
	}
	if (code == -EBUSY)
		return daemon_fail(&disk->error, code,
				   "%s is in use by another program or mounted by the host", disk->path);
	if (code)
		return daemon_fail(&disk->error, code, "cannot open %s: %s", disk->path, strerror(-code));
	return 0;
}

/* Its place in the tree of shares of its physical disk. */
static int open_share(struct daemon_disk *disk)
{
	const struct config_disk *settings = daemon_disk_settings(disk->daemon, disk->name);
	static const struct config_capacity unknown = { .iops = 0 };

	if (!disk->pool && !disk->gate)
		disk->gate = share_gate_open(disk->daemon, disk->path, disk->cache, disk->host,
					     settings ? &settings->capacity : &unknown);
	if (disk->pool || disk->gate)
		disk->share =
			share_open(disk->daemon, disk->pool ? disk->pool->gate : disk->gate, disk->name);
	return disk->share ? 0 : daemon_fail(&disk->error, -ENOMEM, "out of memory");
}

static int open_disk(struct daemon_disk *disk)
{
	struct disk_options options = {
		.guest = disk->guest, .name = disk->short_name, .read_only = disk->read_only,
	};
	int code = disk->pool ? 0 : open_own(disk);

	if (!code)
		code = open_share(disk);
	if (code)
		return code;
	options.share = disk->share ? disk->share->node : NULL;
	if (disk->pool)
		code = disk_create_on_pool(&options, disk->pool->pool, disk->part, &disk->disk);
	else
		code = disk_create_on_host(&options, disk->host, &disk->disk);
	return code ? daemon_fail(&disk->error, code, "cannot make the disk: %s", strerror(-code)) : 0;
}

static void config_changed(void *context)
{
	struct daemon_disk *disk = context;

	if (disk->endpoint)
		endpoint_config_changed(disk->endpoint);
}

static int open_model(struct daemon_disk *disk)
{
	struct virtio_blk_options options = {
		.disk = disk->disk,
		.queues = disk->queues,
		.serial = disk->serial,
		.write_through = write_mode_is_through(disk),
		.writeback_changed = write_mode_changed,
		.context = disk,
	};
	int code = virtio_blk_create(&options, &disk->model);

	if (!code)
		disk_on_resize(disk->disk, config_changed, disk);
	return code ? daemon_fail(&disk->error, code, "cannot make the device: %s", strerror(-code)) : 0;
}

/* Queues of one disk go round the workers, and each disk starts with the next worker. */
static struct loop *worker_for_queue(void *context, unsigned queue_index)
{
	struct daemon_disk *disk = context;

	return disk->daemon->workers[(disk->first_worker + queue_index) % disk->daemon->worker_count].loop;
}

static void set_socket_access(const struct daemon_disk *disk, struct vhost_user_options *options)
{
	const struct config_guest *guest = daemon_guest_settings(disk->daemon, disk->guest);
	const struct passwd *owner = guest && guest->socket_owner ? getpwnam(guest->socket_owner) : NULL;
	const struct group *group = guest && guest->socket_group ? getgrnam(guest->socket_group) : NULL;

	options->endpoint.owner = owner ? owner->pw_uid : (uid_t)-1;
	options->endpoint.group = group ? group->gr_gid : (gid_t)-1;
	options->endpoint.mode = guest ? guest->socket_mode : 0600;
}

static int make_socket_directory(struct daemon_disk *disk)
{
	char directory[SOCKET_PATH_SIZE + CONFIG_GUEST_MAX + 2];
	int code;

	snprintf(directory, sizeof(directory), "%s/%s", disk->daemon->runtime_dir, disk->guest);
	code = daemon_make_directory(disk->daemon->config, directory);
	return code ? daemon_fail(&disk->error, code, "cannot make %s: %s", directory, strerror(-code)) : 0;
}

static int create_endpoint(struct daemon_disk *disk, struct vhost_user_options *options)
{
	struct handover *handed = takeover_offer_endpoint(disk->daemon->offer, disk->subject.name);

	if (handed)
		return vhost_user_restore(options, handed, &disk->endpoint);
	if (!disk->client) {
		int fd = notify_fds_take(&disk->daemon->fds, disk->subject.name);

		if (fd >= 0) {
			options->endpoint.socket = ENDPOINT_LISTEN_FD;
			options->endpoint.fd = fd;
		}
	}
	if (options->endpoint.socket == ENDPOINT_LISTEN)
		daemon_remove_leftover(disk->daemon, disk->socket);
	return vhost_user_create(options, &disk->endpoint);
}

/* One for each guest, so that many disks are no more of the workers' time. */
static struct loop_guest *guest_time(const struct daemon_disk *disk)
{
	const struct daemon_disk *other = disk->daemon->disks;

	while (other && (!other->time || strcmp(other->guest, disk->guest) != 0))
		other = other->next;
	return other ? loop_guest_get(other->time) : loop_guest_create();
}

static int open_endpoint(struct daemon_disk *disk)
{
	struct vhost_user_options options = {
		.endpoint.name = disk->subject.name,
		.endpoint.control = disk->daemon->control,
		.endpoint.socket = disk->client ? ENDPOINT_CONNECT : ENDPOINT_LISTEN,
		.endpoint.path = disk->socket,
		.endpoint.fd = -1,
		.model = &virtio_blk_model,
		.device = disk->model,
		.endpoint.worker = worker_for_queue,
		.endpoint.worker_context = disk,
		.features_off = disk->packed ? 0 : 1ull << VIRTIO_F_RING_PACKED,
	};
	int code = disk->client ? 0 : make_socket_directory(disk);

	if (code)
		return code;
	if (!disk->time)
		disk->time = guest_time(disk);
	if (!disk->time)
		return daemon_fail(&disk->error, -ENOMEM, "out of memory");
	options.endpoint.guest = disk->time;
	set_socket_access(disk, &options);
	code = create_endpoint(disk, &options);
	if (code && options.endpoint.socket == ENDPOINT_LISTEN_FD)
		close(options.endpoint.fd);
	if (code == -EADDRINUSE)
		return daemon_fail(&disk->error, code, "another process listens on %s", disk->socket);
	if (code == -EPERM)
		return daemon_fail(&disk->error, code,
				   "cannot give %s to the guest's socket_owner and socket_group: "
				   "only root may; restart as root, or use a group of the daemon's user",
				   disk->socket);
	return code ? daemon_fail(&disk->error, code, "cannot listen on %s: %s", disk->socket,
				  strerror(-code))
		    : 0;
}

static void close_steps(struct daemon_disk *disk)
{
	bool host_unused;

	assert(!disk->endpoint);
	virtio_blk_destroy(disk->model);
	disk->model = NULL;
	disk_destroy(disk->disk);
	disk->disk = NULL;
	share_close(disk->share);
	disk->share = NULL;
	host_unused = share_gate_close(disk->daemon, disk->gate);
	disk->gate = NULL;
	if (host_unused && disk->host)
		disk->host->ops->close(disk->host);
	disk->host = NULL;
}

static void serve(struct daemon_disk *disk)
{
	const struct config_disk *settings = daemon_disk_settings(disk->daemon, disk->name);
	int code;

	set_attributes(disk, settings);
	disk->error = (struct daemon_error){ .code = 0 };
	if (set_socket(disk, settings))
		code = open_disk(disk);
	else
		code = daemon_fail(&disk->error, -ENAMETOOLONG,
				   "the socket's path is longer than %d bytes; "
				   "use a shorter runtime_dir, or set socket = in [disk %s]",
				   SOCKET_PATH_SIZE - 1, disk->name);
	if (!code)
		code = open_model(disk);
	if (!code)
		code = open_endpoint(disk);
	if (!code) {
		log_info(&disk->subject, "%s %s", disk->client ? "connecting to" : "listening on",
			 disk->socket);
		return;
	}
	close_steps(disk);
	log_error(&disk->subject, "not served: %s", disk->error.text);
}

struct daemon_disk *daemon_disk_add(struct daemon *daemon, const char *name, struct daemon_pool *pool,
				    struct pool_disk *part)
{
	const struct config_disk *settings = daemon_disk_settings(daemon, name);
	struct daemon_disk *disk = calloc(1, sizeof(*disk)), **link = &daemon->disks;

	if (!disk)
		return NULL;
	disk->daemon = daemon;
	disk->pool = pool;
	disk->part = part;
	disk->first_worker = daemon->next_worker++;
	if (!pool)
		disk->path = strdup(settings->path);
	if (!set_name(disk, name) || (!pool && !disk->path)) {
		free(disk->path);
		free(disk);
		return NULL;
	}
	while (*link)
		link = &(*link)->next;
	*link = disk;
	serve(disk);
	return disk;
}

unsigned daemon_pool_serve(struct daemon *daemon, struct daemon_pool *pool)
{
	struct pool_disk *part = NULL;
	unsigned added = 0;

	while (pool->pool && (part = pool_disk_next(pool->pool, part))) {
		const char *name = pool_disk_name(part);
		const struct daemon_disk *known = daemon_disk_find(daemon, name);

		if (known && known->part == part)
			continue;
		if (known)
			log_error(NULL, "pool %s: its disk %s is not served: another disk has this name",
				  pool->name, name);
		else if (!daemon_disk_add(daemon, name, pool, part))
			log_error(
				NULL,
				"pool %s: its disk %s is not served: out of memory, or a name without GUEST/",
				pool->name, name);
		else
			added++;
	}
	return added;
}

/* ---- taking back ---- */

bool daemon_disk_connected(const struct daemon_disk *disk)
{
	struct endpoint_status status;

	if (disk->disk && disk_channel_count(disk->disk) > 0)
		return true;
	if (!disk->endpoint)
		return false;
	endpoint_status(disk->endpoint, &status);
	return status.connections > 0 || status.queues_running > 0;
}

static void forget(struct daemon_disk *disk)
{
	struct daemon *daemon = disk->daemon;
	struct daemon_disk **link = &daemon->disks;

	while (*link != disk)
		link = &(*link)->next;
	*link = disk->next;
	loop_guest_put(disk->time);
	free(disk->path);
	free(disk);
	daemon_disk_gone(daemon);
}

static void delete_part(struct daemon_disk *disk, struct daemon_error *error)
{
	struct pool_error why = { .text = "" };
	int code = pool_disk_delete(disk->pool->pool, disk->part, &why);

	if (code) {
		daemon_fail(error, code, "%s", why.text);
		log_error(&disk->subject, "cannot delete: %s", why.text);
		disk->farewell = DISK_STAYS;
		serve(disk);
		return;
	}
	log_info(&disk->subject, "deleted");
	share_settings_move(disk->daemon, disk->name, NULL);
	forget(disk);
}

static void rename_part(struct daemon_disk *disk, struct daemon_error *error)
{
	struct pool_error why = { .text = "" };
	int code = pool_disk_rename(disk->pool->pool, disk->part, disk->new_name, &why);

	if (code) {
		daemon_fail(error, code, "%s", why.text);
		log_error(&disk->subject, "cannot rename: %s", why.text);
	} else {
		log_info(&disk->subject, "renamed to %s", disk->new_name);
		share_settings_move(disk->daemon, disk->name, disk->new_name);
		set_name(disk, disk->new_name);
	}
	disk->farewell = DISK_STAYS;
	serve(disk);
}

/* The endpoint is gone: does what was planned. */
static void farewell(struct daemon_disk *disk)
{
	struct daemon_error ignored, *error = disk->outcome ? disk->outcome : &ignored;

	close_steps(disk);
	disk->outcome = NULL;
	*error = (struct daemon_error){ .code = 0 };
	if (disk->daemon->stopping)
		disk->farewell = disk->farewell == DISK_DELETE ? DISK_DELETE : DISK_FORGET;
	switch (disk->farewell) {
	case DISK_DELETE:
		delete_part(disk, error);
		break;
	case DISK_RENAME:
		rename_part(disk, error);
		break;
	case DISK_REOPEN:
		disk->farewell = DISK_STAYS;
		serve(disk);
		break;
	default:
		forget(disk);
		break;
	}
}

static void endpoint_gone(void *context)
{
	farewell(context);
}

bool daemon_disk_leave(struct daemon_disk *disk, enum disk_farewell plan, struct daemon_error *outcome)
{
	struct endpoint *endpoint = disk->endpoint;
	struct daemon_error result = { .code = -EINPROGRESS };

	if (disk->farewell != DISK_STAYS) {	/* on its way out already; the end of the daemon wins */
		if (disk->farewell != DISK_DELETE)
			disk->farewell = plan;
		return false;
	}
	disk->farewell = plan;
	disk->outcome = &result;
	disk->endpoint = NULL;
	if (endpoint)
		endpoint_destroy(endpoint, endpoint_gone, disk);
	else
		farewell(disk);
	if (result.code == -EINPROGRESS) {
		disk->outcome = NULL;
		return false;
	}
	if (outcome)
		*outcome = result;
	return true;
}
