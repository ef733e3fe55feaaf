/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do the objects of a configuration fit together? */
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/config_values.h"

unsigned config_line_of(const struct config_object *object, const char *key, const char **ret_file)
{
	for (unsigned i = 0; i < object->section->key_count; i++) {
		if (strcmp(object->section->keys[i].name, key) == 0 && object->key_line[i] > 0) {
			*ret_file = object->key_file[i];
			return object->key_line[i];
		}
	}
	*ret_file = object->file;
	return object->line;
}

void config_complain(const struct config_object *object, const char *key, struct config_messages *messages,
		     const char *value, const char *wrong)
{
	const char *file;
	unsigned line = config_line_of(object, key, &file);

	config_message(messages, file, line, "%s = %s %s", key, value, wrong);
}

bool config_given(const struct config_object *object, const char *key)
{
	for (unsigned i = 0; i < object->section->key_count; i++) {
		if (strcmp(object->section->keys[i].name, key) == 0)
			return object->key_line[i] > 0;
	}
	return false;
}

static const char *nearest_name(const struct config_object *list, const char *name)
{
	struct value_nearest nearest;

	value_nearest_init(&nearest, name);
	for (; list; list = list->next)
		value_nearest_offer(&nearest, list->name);
	return nearest.best;
}

void config_check_pool(const struct config *config, const struct config_object *object,
		       struct config_messages *messages)
{
	const struct config_pool *pool = (const struct config_pool *)object;
	char title[CONFIG_TITLE_SIZE];

	config_title(object, title);
	if (!pool->path && !config_given(object, "path"))
		config_message(messages, object->file, object->line,
			       "%s has no path; add for example path = /var/lib/viaduct/%s.pool", title,
			       object->name);
	if (pool->path && strncmp(pool->path, "/dev/", 5) != 0 && !config_given(object, "size"))
		config_message(messages, object->file, object->line,
			       "%s has no size; add for example size = 8G", title);
}

/* Two objects on one file would overwrite each other. */
static void check_same_path(const struct config_object *object, const char *path,
			    const struct config_object *other, const char *other_path,
			    struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE], other_title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	if (!path || !other_path || strcmp(path, other_path) != 0)
		return;
	line = config_line_of(object, "path", &file);
	config_message(messages, file, line,
		       "%s uses %s, which %s at %s:%u uses already; give each a path of its own",
		       config_title(object, title), path, config_title(other, other_title), other->file,
		       other->line);
}

static void check_paths(const struct config *config, struct config_messages *messages)
{
	config_for_each(config_pools(config), config_pool, pool)
	{
		for (const struct config_object *other = config_pools(config); other != &pool->object;
		     other = other->next)
			check_same_path(&pool->object, pool->path, other,
					((const struct config_pool *)other)->path, messages);
	}
	config_for_each(config_disks(config), config_disk, disk)
	{
		config_for_each(config_pools(config), config_pool, pool)
			check_same_path(&disk->object, disk->path, &pool->object, pool->path, messages);
		/* Two readers of one file are fine. */
		for (const struct config_object *other = config_disks(config); other != &disk->object;
		     other = other->next) {
			const struct config_disk *earlier = (const struct config_disk *)other;

			if (!disk->read_only || !earlier->read_only)
				check_same_path(&disk->object, disk->path, other, earlier->path, messages);
		}
	}
}

static void check_guest_of(const struct config *config, const struct config_object *device,
			   struct config_messages *messages)
{
	char guest[CONFIG_GUEST_MAX + 1], title[CONFIG_TITLE_SIZE];
	const char *rest, *near;

	if (!config_split_name(device->name, guest, &rest) || config_find(config_guests(config), guest))
		return;
	config_title(device, title);
	near = nearest_name(config_guests(config), guest);
	if (near)
		config_message(messages, device->file, device->line,
			       "the guest '%s' of %s is not declared; did you mean [%s %s/%s]? or add a "
			       "section [guest %s]",
			       guest, title, device->section->name, near, rest, guest);
	else
		config_message(messages, device->file, device->line,
			       "the guest '%s' of %s is not declared; add a section [guest %s]", guest, title,
			       guest);
}

static void check_disk_pool(const struct config *config, const struct config_disk *disk,
			    struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file, *near;
	unsigned line = config_line_of(&disk->object, "pool", &file);

	config_title(&disk->object, title);
	if (!config_find(config_pools(config), disk->pool)) {
		near = nearest_name(config_pools(config), disk->pool);
		config_message(messages, file, line, "the pool '%s' of %s is not declared; %s%s%s",
			       disk->pool, title, near ? "did you mean pool = " : "add a section [pool ",
			       near ? near : disk->pool, near ? "?" : "]");
	}
	if (!config_given(&disk->object, "size"))
		config_message(messages, disk->object.file, disk->object.line,
			       "%s has no size; add for example size = 4G", title);
	if (config_given(&disk->object, "cache")) {
		line = config_line_of(&disk->object, "cache", &file);
		config_message(messages, file, line,
			       "cache belongs to the pool of %s; set it in [pool %s] and take it out here",
			       title, disk->pool);
	}
}

const char *const config_interfaces[] = { "vhost-user", "vfio-user", NULL };

void config_check_interface(const struct config_device *device, const char *other,
			    struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line = config_line_of(&device->object, "interface", &file);

	config_title(&device->object, title);
	if (other && config_given(&device->object, "interface"))
		config_message(messages, file, line,
			       "interface is for virtio devices; %s in %s has one that cannot be chosen",
			       other, title);
	line = config_line_of(&device->object, "connect", &file);
	if (!other && device->interface == CONFIG_INTERFACE_VFIO_USER &&
	    config_given(&device->object, "connect"))
		config_message(
			messages, file, line,
			"connect does not go with interface = vfio-user, to whose socket VMMs connect; "
			"take connect out, or use interface = vhost-user in %s",
			title);
}

void config_check_disk(const struct config *config, const struct config_object *object,
		       struct config_messages *messages)
{
	const struct config_disk *disk = (const struct config_disk *)object;
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	config_title(object, title);
	if (disk->model == CONFIG_DISK_NVME && config_given(object, "connect")) {
		line = config_line_of(object, "connect", &file);
		config_message(messages, file, line,
			       "connect does not go with model = nvme, to whose socket VMMs connect; take "
			       "connect out, or use model = virtio in %s",
			       title);
	}
	config_check_interface(&disk->device, disk->model == CONFIG_DISK_NVME ? "model = nvme" : NULL,
			       messages);
	if (config_given(object, "pool") && config_given(object, "path")) {
		line = config_line_of(object, "path", &file);
		config_message(messages, file, line,
			       "%s has both pool and path; keep pool for a part of a pool, or path for a "
			       "file of its own",
			       title);
	} else if (!config_given(object, "pool") && !config_given(object, "path")) {
		config_message(messages, object->file, object->line,
			       "%s has neither pool nor path; add for example pool = main", title);
	} else if (config_given(object, "pool")) {
		if (disk->pool)
			check_disk_pool(config, disk, messages);
	} else if (config_given(object, "size")) {
		line = config_line_of(object, "size", &file);
		config_message(messages, file, line,
			       "size does not go with path: %s is as large as its file; take size out",
			       title);
	}
}

static void check_two_sockets(const struct config_object *object, struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	if (!config_given(object, "socket") || !config_given(object, "connect"))
		return;
	line = config_line_of(object, "connect", &file);
	config_message(messages, file, line,
		       "%s has both socket and connect; keep socket to listen, or connect for client mode",
		       config_title(object, title));
}

/* The path that a device's section gives; NULL: the default one. */
static const char *socket_of(const struct config_object *object)
{
	const struct config_device *device = (const struct config_device *)object;

	return device->socket ? device->socket : device->connect;
}

/* `device` against the devices declared before it: every socket is one device's own. */
static void check_socket(const struct config *config, const struct config_object *device,
			 struct config_messages *messages)
{
	const char *mine = socket_of(device), *file;
	unsigned line = config_line_of(device, config_given(device, "socket") ? "socket" : "connect", &file);
	char title[CONFIG_TITLE_SIZE];

	for (unsigned i = 0; config_sections[i]; i++) {
		const struct config_object *other = config->lists[i];

		for (; config_sections[i]->device && other && other != device; other = other->next) {
			const char *theirs = socket_of(other);

			if (mine && theirs && strcmp(mine, theirs) == 0)
				config_message(
					messages, file, line,
					"socket %s is that of %s at %s:%u already; give each device its own",
					mine, config_title(other, title), other->file, other->line);
		}
		if (config_sections[i] == device->section)
			return;
	}
}

static void check_section(const struct config *config, unsigned index, struct config_messages *messages)
{
	const struct config_section *section = config_sections[index];

	for (const struct config_object *object = config->lists[index]; object; object = object->next) {
		if (section->device) {
			check_guest_of(config, object, messages);
			check_two_sockets(object, messages);
			check_socket(config, object, messages);
		}
		if (section->check)
			section->check(config, object, messages);
	}
}

void config_check(const struct config *config, struct config_messages *messages)
{
	for (unsigned i = 0; config_sections[i]; i++)
		check_section(config, i, messages);
	check_paths(config, messages);
	config_check_shares(config, messages);
}
