/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do the objects of a configuration fit together? */
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/config_values.h"

/* Where a key of the object was given, or the object's header. */
static unsigned line_of(const struct config_object *object, const char *key, const char **ret_file)
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

static bool given(const struct config_object *object, const char *key)
{
	const char *file;

	return line_of(object, key, &file) != object->line;
}

static const char *nearest_name(const struct config_object *list, const char *name)
{
	struct value_nearest nearest;

	value_nearest_init(&nearest, name);
	for (; list; list = list->next)
		value_nearest_offer(&nearest, list->name);
	return nearest.best;
}

static void check_pool(const struct config_pool *pool, struct config_messages *messages)
{
	const struct config_object *object = &pool->object;
	char title[CONFIG_TITLE_SIZE];

	config_title(object, title);
	if (!pool->path && !given(object, "path"))
		config_message(messages, object->file, object->line,
			       "%s has no path; add for example path = /var/lib/viaduct/%s.pool", title,
			       object->name);
	if (pool->path && strncmp(pool->path, "/dev/", 5) != 0 && !given(object, "size"))
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
	line = line_of(object, "path", &file);
	config_message(messages, file, line,
		       "%s uses %s, which %s at %s:%u uses already; give each a path of its own",
		       config_title(object, title), path, config_title(other, other_title), other->file,
		       other->line);
}

static void check_paths(const struct config *config, struct config_messages *messages)
{
	config_for_each(config->pools, config_pool, pool) {
		for (const struct config_object *other = config->pools; other != &pool->object;
		     other = other->next)
			check_same_path(&pool->object, pool->path, other,
					((const struct config_pool *)other)->path, messages);
	}
	config_for_each(config->disks, config_disk, disk) {
		config_for_each(config->pools, config_pool, pool)
			check_same_path(&disk->object, disk->path, &pool->object, pool->path, messages);
		/* Two readers of one file are fine. */
		for (const struct config_object *other = config->disks; other != &disk->object;
		     other = other->next) {
			const struct config_disk *earlier = (const struct config_disk *)other;

			if (!disk->read_only || !earlier->read_only)
				check_same_path(&disk->object, disk->path, other, earlier->path, messages);
		}
	}
}

static void check_disk_guest(const struct config *config, const struct config_object *disk,
			     struct config_messages *messages)
{
	char guest[CONFIG_GUEST_MAX + 1], title[CONFIG_TITLE_SIZE];
	const char *rest, *near;

	if (!config_split_name(disk->name, guest, &rest) || config_find(config->guests, guest))
		return;
	config_title(disk, title);
	near = nearest_name(config->guests, guest);
	if (near)
		config_message(messages, disk->file, disk->line,
			       "the guest '%s' of %s is not declared; did you mean [disk %s/%s]? or add a "
			       "section [guest %s]",
			       guest, title, near, rest, guest);
	else
		config_message(messages, disk->file, disk->line,
			       "the guest '%s' of %s is not declared; add a section [guest %s]", guest, title,
			       guest);
}

static void check_disk_pool(const struct config *config, const struct config_disk *disk,
			    struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file, *near;
	unsigned line = line_of(&disk->object, "pool", &file);

	config_title(&disk->object, title);
	if (!config_find(config->pools, disk->pool)) {
		near = nearest_name(config->pools, disk->pool);
		config_message(messages, file, line, "the pool '%s' of %s is not declared; %s%s%s",
			       disk->pool, title, near ? "did you mean pool = " : "add a section [pool ",
			       near ? near : disk->pool, near ? "?" : "]");
	}
	if (!given(&disk->object, "size"))
		config_message(messages, disk->object.file, disk->object.line,
			       "%s has no size; add for example size = 4G", title);
	if (given(&disk->object, "cache")) {
		line = line_of(&disk->object, "cache", &file);
		config_message(messages, file, line,
			       "cache belongs to the pool of %s; set it in [pool %s] and take it out here",
			       title, disk->pool);
	}
}

static void check_disk(const struct config *config, const struct config_disk *disk,
		       struct config_messages *messages)
{
	const struct config_object *object = &disk->object;
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	config_title(object, title);
	check_disk_guest(config, object, messages);
	if (given(object, "pool") && given(object, "path")) {
		line = line_of(object, "path", &file);
		config_message(messages, file, line,
			       "%s has both pool and path; keep pool for a part of a pool, or path for a "
			       "file of its own",
			       title);
	} else if (!given(object, "pool") && !given(object, "path")) {
		config_message(messages, object->file, object->line,
			       "%s has neither pool nor path; add for example pool = main", title);
	} else if (given(object, "pool")) {
		if (disk->pool)
			check_disk_pool(config, disk, messages);
	} else if (given(object, "size")) {
		line = line_of(object, "size", &file);
		config_message(messages, file, line,
			       "size does not go with path: %s is as large as its file; take size out",
			       title);
	}
	if (given(object, "socket") && given(object, "connect")) {
		line = line_of(object, "connect", &file);
		config_message(
			messages, file, line,
			"%s has both socket and connect; keep socket to listen, or connect for client mode",
			title);
	}
}

/* Every socket is one disk's own. */
static void check_sockets(const struct config *config, struct config_messages *messages)
{
	config_for_each(config->disks, config_disk, disk) {
		const char *mine = disk->socket ? disk->socket : disk->connect, *file;
		unsigned line = line_of(&disk->object, disk->socket ? "socket" : "connect", &file);
		char title[CONFIG_TITLE_SIZE];

		for (const struct config_object *other = config->disks; other != &disk->object;
		     other = other->next) {
			const struct config_disk *earlier = (const struct config_disk *)other;
			const char *theirs = earlier->socket ? earlier->socket : earlier->connect;

			if (mine && theirs && strcmp(mine, theirs) == 0)
				config_message(
					messages, file, line,
					"socket %s is that of %s at %s:%u already; give each disk its own",
					mine, config_title(other, title), other->file, other->line);
		}
	}
}

void config_check(const struct config *config, struct config_messages *messages)
{
	config_for_each(config->pools, config_pool, pool)
		check_pool(pool, messages);
	config_for_each(config->disks, config_disk, disk)
		check_disk(config, disk, messages);
	check_paths(config, messages);
	check_sockets(config, messages);
	config_check_shares(config, messages);
}
