/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares and capacities of the configuration: reading them by index, and whether they fit together. */
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/config_values.h"

/* What capacity_iops counts. */
#define CAPACITY_REQUEST_BYTES 4096

/* A reservation, and the limit that it must fit through. */
#define PAIRS 2
static const enum share_key pairs[PAIRS][2] = {
	{ SHARE_MIN_IOPS, SHARE_MAX_IOPS },
	{ SHARE_MIN_BANDWIDTH, SHARE_MAX_BANDWIDTH },
};

const struct config_section *config_section_find(const char *name)
{
	for (unsigned i = 0; config_sections[i]; i++) {
		if (strcmp(config_sections[i]->name, name) == 0)
			return config_sections[i];
	}
	return NULL;
}

const struct config_key *config_share_key(const struct config_section *section, enum share_resource resource,
					  enum share_key key)
{
	for (unsigned i = 0; i < section->key_count; i++) {
		const struct config_key *row = &section->keys[i];

		if (row->is_share && row->resource == resource && row->share_key == key)
			return row;
	}
	return NULL;
}

bool config_has_share(const struct config_section *section, enum share_resource resource)
{
	return config_share_key(section, resource, SHARE_WEIGHT);
}

struct share_settings config_share_of(const struct config_section *section, enum share_resource resource,
				      const struct config_object *object)
{
	struct share_settings share = { .value = { 0 } };

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, resource, i);

		if (key && object)
			share.value[i] = *(const uint64_t *)((const char *)object + key->offset);
		else if (key && key->initial)
			value_parse_number(key->initial, &share.value[i]);
	}
	return share;
}

static const char *name_in(const struct config_object *object, enum share_resource resource,
			   enum share_key key)
{
	return config_share_key(object->section, resource, key)->name;
}

unsigned config_share_line(const struct config_object *object, enum share_resource resource,
			   enum share_key key, const char **ret_file)
{
	const struct config_key *row = config_share_key(object->section, resource, key);
	size_t index = row ? (size_t)(row - object->section->keys) : 0;

	*ret_file = object->file;
	if (!row || object->key_line[index] == 0)
		return 0;
	*ret_file = object->key_file[index];
	return object->key_line[index];
}

bool config_share_contradicts(const struct share_settings *share, enum share_key *ret_limit,
			      enum share_key *ret_reservation)
{
	for (unsigned i = 0; i < PAIRS; i++) {
		*ret_reservation = pairs[i][0];
		*ret_limit = pairs[i][1];
		if (share->value[*ret_limit] > 0 && share->value[*ret_limit] < share->value[*ret_reservation])
			return true;
	}
	return false;
}

/* ---- checks ---- */

static void check_share(const struct config_object *object, enum share_resource resource,
			struct config_messages *messages)
{
	const struct share_settings share = config_share_of(object->section, resource, object);
	enum share_key limit, reservation;
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	if (!config_share_contradicts(&share, &limit, &reservation))
		return;
	line = config_share_line(object, resource, limit, &file);
	config_message(messages, file, line,
		       "%s of %s is below its %s; raise the limit to at least the reservation, or take "
		       "one of them out",
		       name_in(object, resource, limit), config_title(object, title),
		       name_in(object, resource, reservation));
}

/* What is reserved for a part must fit through the whole's limit. */
static void check_limits_of(const struct config_object *parent, const struct config_object *object,
			    enum share_resource resource, struct config_messages *messages)
{
	const struct share_settings share = config_share_of(object->section, resource, object),
				    above = config_share_of(parent->section, resource, parent);
	char title[CONFIG_TITLE_SIZE], parent_title[CONFIG_TITLE_SIZE];

	for (unsigned i = 0; i < PAIRS; i++) {
		uint64_t reserved = share.value[pairs[i][0]], limit = above.value[pairs[i][1]];
		const char *file;
		unsigned line;

		if (limit == 0 || reserved <= limit)
			continue;
		line = config_share_line(object, resource, pairs[i][0], &file);
		config_message(messages, file, line,
			       "%s of %s is more than %s of %s lets through; lower it, or raise the limit",
			       name_in(object, resource, pairs[i][0]), config_title(object, title),
			       name_in(parent, resource, pairs[i][1]), config_title(parent, parent_title));
	}
}

/* The shares of an object, and whether they fit into those of what it is a part of (NULL: of nothing). */
static void check_shares_of(const struct config_object *object, const struct config_object *parent,
			    struct config_messages *messages)
{
	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++) {
		if (!config_has_share(object->section, resource))
			continue;
		check_share(object, resource, messages);
		if (parent)
			check_limits_of(parent, object, resource, messages);
	}
}

/* NULL: none. */
static const struct config_object *group_of(const struct config *config, const struct config_guest *guest)
{
	return guest->group ? config_find(config_groups(config), guest->group) : NULL;
}

static void check_group(const struct config *config, const struct config_guest *guest,
			struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	struct value_nearest nearest;
	const char *file;
	unsigned line;

	if (!guest->group || group_of(config, guest))
		return;
	value_nearest_init(&nearest, guest->group);
	for (const struct config_object *other = config_groups(config); other; other = other->next)
		value_nearest_offer(&nearest, other->name);
	line = config_line_of(&guest->object, "group", &file);
	config_message(messages, file, line, "the group '%s' of %s is not declared; %s%s%s", guest->group,
		       config_title(&guest->object, title),
		       nearest.best ? "did you mean group = " : "add a section [group ",
		       nearest.best ? nearest.best : guest->group, nearest.best ? "?" : "]");
}

static void check_device(const struct config *config, const struct config_object *device,
			 struct config_messages *messages)
{
	char guest[CONFIG_GUEST_MAX + 1];
	const char *rest;
	bool is_name = config_split_name(device->name, guest, &rest);

	check_shares_of(device, is_name ? config_find(config_guests(config), guest) : NULL, messages);
}

/* ---- capacities ---- */

/* One of the two says nothing about the other kind of request, and small ones move bytes too. */
static void check_capacity(const struct config_object *object, const struct config_capacity *capacity,
			   struct config_messages *messages)
{
	const char *given = capacity->iops ? "capacity_iops" : "capacity_bandwidth";
	const char *missing = capacity->iops ? "capacity_bandwidth" : "capacity_iops", *file;
	char title[CONFIG_TITLE_SIZE];
	unsigned line = config_line_of(object, given, &file);

	if (!capacity->iops != !capacity->bandwidth)
		config_message(messages, file, line,
			       "%s has %s without %s; give both, or neither",
			       config_title(object, title), given, missing);
	else if (capacity->iops > capacity->bandwidth / CAPACITY_REQUEST_BYTES)
		config_message(messages, file, line,
			       "capacity_iops of %s, in requests of 4 KiB, moves more than its "
			       "capacity_bandwidth; lower it to %llu, or raise the bandwidth",
			       config_title(object, title),
			       (unsigned long long)(capacity->bandwidth / CAPACITY_REQUEST_BYTES));
}

static void check_capacity_of_disk(const struct config_disk *disk, struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	if (disk->pool && (disk->capacity.iops || disk->capacity.bandwidth)) {
		line = config_line_of(&disk->object,
				      disk->capacity.iops ? "capacity_iops" : "capacity_bandwidth", &file);
		config_message(messages, file, line,
			       "the capacity belongs to the pool of %s; set it in [pool %s] and take it out "
			       "here",
			       config_title(&disk->object, title), disk->pool);
	} else {
		check_capacity(&disk->object, &disk->capacity, messages);
	}
}

void config_check_shares(const struct config *config, struct config_messages *messages)
{
	config_for_each(config_pools(config), config_pool, pool)
		check_capacity(&pool->object, &pool->capacity, messages);
	config_for_each(config_groups(config), config_group, group)
		check_shares_of(&group->object, NULL, messages);
	config_for_each(config_guests(config), config_guest, guest) {
		check_shares_of(&guest->object, group_of(config, guest), messages);
		check_group(config, guest, messages);
	}
	for (unsigned i = 0; config_sections[i]; i++) {
		for (const struct config_object *object = config->lists[i];
		     config_sections[i]->device && object; object = object->next)
			check_device(config, object, messages);
	}
	config_for_each(config_disks(config), config_disk, disk)
		check_capacity_of_disk(disk, messages);
}
