/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of virtual disks on request. Every refusal says what would be right. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/log.h"
#include "daemon/config/config_values.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/write_mode.h"
#include "daemon/share/shares.h"

/* A refusal of the pool becomes ours, with its sentence. */
static int pool_refused(struct error *error, int code, const struct error *why)
{
	return error_set(error, code, "%s", why->text);
}

/* -EINPROGRESS: the request is to be made again, as the pool's disk may still answer in time. */
static int ask_pool(struct daemon_pool *pool, struct error *error)
{
	struct error why = { .text = "" };
	int code = pool_ask(pool->pool, &why);

	return code ? pool_refused(error, code, &why) : 0;
}

static int find_pool(struct daemon *daemon, const char *name, struct daemon_pool **ret_pool,
		     struct error *error)
{
	struct daemon_pool *pool = daemon_pool_find(daemon, name);

	if (!pool)
		return error_set(error, -ENODEV, "there is no pool '%s'", name);
	if (!pool->pool)
		return error_set(error, -ENXIO, "the pool %s is not available: %s", name, pool->error.text);
	*ret_pool = pool;
	return 0;
}

static int check_new_name(struct daemon *daemon, const char *name, struct error *error)
{
	char guest[CONFIG_GUEST_MAX + 1];
	const char *rest;

	if (!config_split_name(name, guest, &rest))
		return error_set(error, -EINVAL,
				 "'%.150s' is not a disk's name: write GUEST/NAME with letters, digits, "
				 "'.', '_' and '-', for example alice/root",
				 name);
	if (disk_device_find(daemon, name))
		return error_set(error, -EEXIST, "there is a disk %s already", name);
	if (disk_settings(daemon, name) && !disk_settings(daemon, name)->pool)
		return error_set(error, -EEXIST, "the configuration declares %s with a path of its own",
				 name);
	return 0;
}

int disk_create(struct daemon *daemon, const char *name, const char *pool_name, uint64_t size_bytes,
		struct error *error)
{
	struct error why = { .text = "" };
	struct daemon_pool *pool = NULL;
	struct pool_disk *part;
	struct disk_device *disk;
	int code = check_new_name(daemon, name, error);

	if (!code)
		code = find_pool(daemon, pool_name, &pool, error);
	if (code)
		return code;
	assert(pool);
	code = ask_pool(pool, error);
	if (code)
		return code;
	code = pool_disk_create(pool->pool, name, size_bytes, &part, &why);
	if (code)
		return pool_refused(error, code, &why);
	log_info(NULL, "pool %s: made disk %s", pool->name, name);
	disk = disk_device_add(daemon, name, pool, part);
	if (!disk)
		return error_set(error, -ENOMEM, "the disk was made, but cannot be served: out of memory");
	if (!disk->base.endpoint)
		return error_set(error, disk->base.error.code, "the disk was made, but is not served: %s",
				 disk->base.error.text);
	return 0;
}

/* Only disks in a pool are ours to change. */
static int check_in_pool(const struct disk_device *disk, struct error *error)
{
	if (!disk->pool)
		return error_set(error, -EPERM,
				 "%s is a file or device of its own (%s): change that, then reload",
				 disk->base.name, disk->path);
	if (disk->base.farewell != DEVICE_STAYS)
		return error_set(error, -EBUSY, "another change of %s is under way", disk->base.name);
	return 0;
}

/* Waits for the pool's disk. */
static int grow_part(struct disk_device *disk, uint64_t size_bytes, struct error *error)
{
	struct error why = { .text = "" };
	char text[VALUE_SIZE_TEXT];
	int code;

	if (size_bytes < pool_disk_size_bytes(disk->part))
		return error_set(error, -EFBIG,
				 "%s has %s; shrinking a disk is refused, because its file system would lose "
				 "data",
				 disk->base.name, value_format_size(pool_disk_size_bytes(disk->part), text));
	code = pool_disk_grow(disk->pool->pool, disk->part, size_bytes, &why);
	if (code)
		return pool_refused(error, code, &why);
	if (disk->disk)
		disk_resized(disk->disk);
	log_info(&disk->base.subject, "grew to %s",
		 value_format_size(pool_disk_size_bytes(disk->part), text));
	return 0;
}

int disk_grow(struct disk_device *disk, uint64_t size_bytes, struct error *error)
{
	int code = check_in_pool(disk, error);

	if (!code)
		code = ask_pool(disk->pool, error);
	return code ? code : grow_part(disk, size_bytes, error);
}

/*
 * Renaming and deleting need a disk that no front end uses and that the configuration would not make again.
 */
static int check_free(const struct disk_device *disk, const char *what, struct error *error)
{
	const struct config_disk *settings = disk_settings(disk->base.daemon, disk->base.name);
	int code = check_in_pool(disk, error);

	if (code)
		return code;
	if (device_connected(&disk->base))
		return error_set(error, -EBUSY,
				 "%s is connected; stop the guest or unplug the disk, then %s it",
				 disk->base.name, what);
	if (settings)
		return error_set(error, -EBUSY,
				 "%s is declared at %s:%u and would be made again; take the section out, "
				 "reload, then %s it",
				 disk->base.name, settings->object.file, settings->object.line, what);
	return 0;
}

/* Waits for nothing: 0 or the outcome when it is known, 1 when it is under way. */
static int leave(struct disk_device *disk, enum disk_change change, struct error *error)
{
	disk->change = change;
	if (!device_leave(&disk->base, DEVICE_CHANGES, error))
		return 1;
	return error->code;
}

int disk_rename(struct disk_device *disk, const char *name, struct error *error)
{
	int code = check_free(disk, "rename", error);

	if (!code && strcmp(name, disk->base.name) == 0)
		return 0;
	if (!code)
		code = check_new_name(disk->base.daemon, name, error);
	if (!code)
		code = ask_pool(disk->pool, error);
	if (code)
		return code;
	snprintf(disk->new_name, sizeof(disk->new_name), "%s", name);
	return leave(disk, DISK_RENAME, error);
}

int disk_delete(struct disk_device *disk, struct error *error)
{
	int code = check_free(disk, "delete", error);

	if (!code)
		code = ask_pool(disk->pool, error);
	if (code)
		return code;
	write_mode_changed(disk, true); /* a later disk of this name starts afresh */
	return leave(disk, DISK_DELETE, error);
}

/* ---- while the disk is not served ---- */

static void delete_part(struct disk_device *disk, struct error *error)
{
	struct error why = { .text = "" };
	int code = pool_disk_delete(disk->pool->pool, disk->part, &why);

	if (code) {
		error_set(error, code, "%s", why.text);
		log_error(&disk->base.subject, "cannot delete: %s", why.text);
		device_serve(&disk->base);
		return;
	}
	log_info(&disk->base.subject, "deleted");
	share_settings_move(disk->base.daemon, disk->base.name, NULL);
	device_forget(&disk->base);
}

static void rename_part(struct disk_device *disk, struct error *error)
{
	struct error why = { .text = "" };
	int code = pool_disk_rename(disk->pool->pool, disk->part, disk->new_name, &why);

	if (code) {
		error_set(error, code, "%s", why.text);
		log_error(&disk->base.subject, "cannot rename: %s", why.text);
	} else {
		log_info(&disk->base.subject, "renamed to %s", disk->new_name);
		share_settings_move(disk->base.daemon, disk->base.name, disk->new_name);
		if (!device_rename(&disk->base, disk->new_name))
			log_error(&disk->base.subject,
				  "keeps its old name here until a restart: out of memory");
	}
	device_serve(&disk->base);
}

void disk_carry_out_change(struct device *device, struct error *error)
{
	struct disk_device *disk = disk_device_of(device);

	if (disk->change == DISK_DELETE)
		delete_part(disk, error);
	else if (device->daemon->stopping)
		device_forget(device);
	else
		rename_part(disk, error);
}

/* ---- what the configuration asks for ---- */

/* The configuration's size against the pool's. */
static int match_size(struct daemon *daemon, struct pool *pool, struct pool_disk *part,
		      const struct config_disk *settings, struct error *error)
{
	uint64_t size_bytes = pool_disk_size_bytes(part);
	struct disk_device *disk = disk_device_find(daemon, settings->object.name);
	char now[VALUE_SIZE_TEXT], wanted[VALUE_SIZE_TEXT];
	struct error why = { .text = "" };
	int code;

	/* The pool rounds up to whole blocks. */
	if (align_up(settings->size_bytes, 4096) < size_bytes)
		return error_set(error, -EINVAL,
				 "%s:%u: size = %s is smaller than the disk, which has %s: shrinking is "
				 "refused; set size = %s",
				 settings->object.file, settings->object.line,
				 value_format_size(settings->size_bytes, wanted),
				 value_format_size(size_bytes, now), now);
	if (settings->size_bytes <= size_bytes)
		return 0;
	if (disk && disk->part == part) {
		code = check_in_pool(disk, error);
		if (!code)
			code = grow_part(disk, settings->size_bytes, error);
		return code ? code : 1;
	}
	code = pool_disk_grow(pool, part, settings->size_bytes, &why);
	return code ? error_set(error, code, "cannot grow: %s", why.text) : 1;
}

int disk_make_as_configured(struct daemon *daemon, const struct config_disk *settings, struct error *error)
{
	struct daemon_pool *pool = daemon_pool_find(daemon, settings->pool);
	struct error why = { .text = "" };
	struct pool_disk *part;
	int code;

	if (!pool || !pool->pool)
		return error_set(error, -ENODEV, "not served: its pool %s is not available", settings->pool);
	part = pool_disk_find(pool->pool, settings->object.name);
	if (part)
		return match_size(daemon, pool->pool, part, settings, error);
	code = pool_disk_create(pool->pool, settings->object.name, settings->size_bytes, &part, &why);
	if (code)
		return error_set(error, code, "%s:%u: cannot make the disk: %s", settings->object.file,
				 settings->object.line, why.text);
	log_info(NULL, "pool %s: made disk %s", pool->name, settings->object.name);
	return 1;
}
