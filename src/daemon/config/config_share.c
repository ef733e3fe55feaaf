/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares and capacities of the configuration: reading them by index, and whether they fit together. */
#include <assert.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/config_values.h"

/* As a disk has them; the others have one for each resource (config_key_is()). */
static const char *const names[SHARE_KEYS] = {
	[SHARE_WEIGHT] = "weight",
	[SHARE_MIN_IOPS] = "min_iops",
	[SHARE_MAX_IOPS] = "max_iops",
	[SHARE_MIN_BANDWIDTH] = "min_bandwidth",
	[SHARE_MAX_BANDWIDTH] = "max_bandwidth",
	[SHARE_BURST] = "burst",
	[SHARE_LATENCY_TARGET] = "latency_target",
};

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
	unsigned index = 0;

	while (strcmp(config_sections[index]->name, name) != 0) {
		index++;
		assert(config_sections[index]);
	}
	return config_sections[index];
}

static unsigned key_index(const struct config_section *section, const char *name)
{
	unsigned index = 0;

	while (index < section->key_count && !config_key_is(&section->keys[index], name))
		index++;
	return index;
}

const struct config_key *config_share_key(const struct config_section *section, enum share_key key)
{
	unsigned index = key_index(section, names[key]);

	return index < section->key_count ? &section->keys[index] : NULL;
}

struct share_settings config_share_of(const struct config_section *section,
				      const struct config_object *object)
{
	struct share_settings share = { .value = { 0 } };

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, i);

		if (key && object)
			share.value[i] = *(const uint64_t *)((const char *)object + key->offset);
		else if (key && key->initial)
			value_parse_number(key->initial, &share.value[i]);
	}
	return share;
}

static const char *name_in(const struct config_object *object, enum share_key key)
{
	return config_share_key(object->section, key)->name;
}

/* Where a key was given; 0: nowhere. */
static unsigned line_of(const struct config_object *object, const char *name, const char **ret_file)
{
	unsigned index = key_index(object->section, name);

	*ret_file = object->file;
	if (index == object->section->key_count || object->key_line[index] == 0)
		return 0;
	*ret_file = object->key_file[index];
	return object->key_line[index];
}

unsigned config_share_line(const struct config_object *object, enum share_key key, const char **ret_file)
{
	return line_of(object, names[key], ret_file);
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

static void check_share(const struct config_object *object, struct config_messages *messages)
{
	const struct share_settings share = config_share_of(object->section, object);
	enum share_key limit, reservation;
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	if (!config_share_contradicts(&share, &limit, &reservation))
		return;
	line = config_share_line(object, limit, &file);
	config_message(messages, file, line,
		       "%s of %s is below its %s; raise the limit to at least the reservation, or take "
		       "one of them out",
		       name_in(object, limit), config_title(object, title), name_in(object, reservation));
}

/* What is reserved for a part must fit through the whole's limit. */
static void check_parent(const struct config_object *object, const struct config_object *parent,
			 struct config_messages *messages)
{
	const struct share_settings share = config_share_of(object->section, object),
				    above = config_share_of(parent->section, parent);
	char title[CONFIG_TITLE_SIZE], parent_title[CONFIG_TITLE_SIZE];

	for (unsigned i = 0; i < PAIRS; i++) {
		uint64_t reserved = share.value[pairs[i][0]], limit = above.value[pairs[i][1]];
		const char *file;
		unsigned line;

		if (limit == 0 || reserved <= limit)
			continue;
		line = config_share_line(object, pairs[i][0], &file);
		config_message(messages, file, line,
			       "%s of %s is more than %s of %s lets through; lower it, or raise the limit",
			       name_in(object, pairs[i][0]), config_title(object, title),
			       name_in(parent, pairs[i][1]), config_title(parent, parent_title));
	}
}

static void check_group(const struct config *config, const struct config_guest *guest,
			struct config_messages *messages)
{
	const struct config_object *group =
		guest->group ? config_find(config_groups(config), guest->group) : NULL;
	char title[CONFIG_TITLE_SIZE];
	struct value_nearest nearest;
	const char *file;
	unsigned line;

	if (group)
		check_parent(&guest->object, group, messages);
	if (!guest->group || group)
		return;
	value_nearest_init(&nearest, guest->group);
	for (const struct config_object *other = config_groups(config); other; other = other->next)
		value_nearest_offer(&nearest, other->name);
	line = line_of(&guest->object, "group", &file);
	config_message(messages, file, line, "the group '%s' of %s is not declared; %s%s%s", guest->group,
		       config_title(&guest->object, title),
		       nearest.best ? "did you mean group = " : "add a section [group ",
		       nearest.best ? nearest.best : guest->group, nearest.best ? "?" : "]");
}

/* One of the two says nothing about the other kind of request, and small ones move bytes too. */
static void check_capacity(const struct config_object *object, const struct config_capacity *capacity,
			   struct config_messages *messages)
{
	const char *given = capacity->iops ? "capacity_iops" : "capacity_bandwidth";
	const char *missing = capacity->iops ? "capacity_bandwidth" : "capacity_iops", *file;
	char title[CONFIG_TITLE_SIZE];
	unsigned line = line_of(object, given, &file);

	if (!capacity->iops != !capacity->bandwidth)
		config_message(messages, file, line,
			       "%s has %s without %s; give both, or neither to have the disk measured",
			       config_title(object, title), given, missing);
	else if (capacity->iops > capacity->bandwidth / CAPACITY_REQUEST_BYTES)
		config_message(messages, file, line,
			       "capacity_iops of %s, in requests of 4 KiB, moves more than its "
			       "capacity_bandwidth; lower it to %llu, or raise the bandwidth",
			       config_title(object, title),
			       (unsigned long long)(capacity->bandwidth / CAPACITY_REQUEST_BYTES));
}

static void check_disk(const struct config *config, const struct config_disk *disk,
		       struct config_messages *messages)
{
	char guest[CONFIG_GUEST_MAX + 1], title[CONFIG_TITLE_SIZE];
	const struct config_object *owner = NULL;
	const char *rest, *file;
	unsigned line;

	if (config_split_name(disk->object.name, guest, &rest))
		owner = config_find(config_guests(config), guest);
	check_share(&disk->object, messages);
	if (owner)
		check_parent(&disk->object, owner, messages);
	if (disk->pool && (disk->capacity.iops || disk->capacity.bandwidth)) {
		line = line_of(&disk->object, disk->capacity.iops ? "capacity_iops" : "capacity_bandwidth",
			       &file);
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
		check_share(&group->object, messages);
	config_for_each(config_guests(config), config_guest, guest) {
		check_share(&guest->object, messages);
		check_group(config, guest, messages);
	}
	config_for_each(config_disks(config), config_disk, disk)
		check_disk(config, disk, messages);
}
