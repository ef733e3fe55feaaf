/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_resource.h"

#include <assert.h>

const struct top_resource_ops *const top_resources[TOP_RESOURCES] = {
	[TOP_RESOURCE_DISK] = &top_disks,
	[TOP_RESOURCE_NIC] = &top_nics,
};

const struct top_kind_words top_kinds[TOP_KINDS] = {
	[TOP_DISKS] = { TOP_RESOURCE_DISK, TOP_LEVEL_LEAF, "DISK", "disks", "disks" },
	[TOP_GUESTS] = { TOP_RESOURCE_DISK, TOP_LEVEL_GUEST, "GUEST", "guests", "guests" },
	[TOP_GROUPS] = { TOP_RESOURCE_DISK, TOP_LEVEL_GROUP, "GROUP", "groups", "groups" },
	[TOP_NICS] = { TOP_RESOURCE_NIC, TOP_LEVEL_LEAF, "CARD", "cards", "nics" },
	[TOP_NIC_GUESTS] = { TOP_RESOURCE_NIC, TOP_LEVEL_GUEST, "GUEST", "guests", "nic_guests" },
	[TOP_NIC_GROUPS] = { TOP_RESOURCE_NIC, TOP_LEVEL_GROUP, "GROUP", "groups", "nic_groups" },
};

enum top_kind top_kind_of(enum top_resource resource, enum top_level level)
{
	for (enum top_kind kind = 0; kind < TOP_KINDS; kind++) {
		if (top_kinds[kind].resource == resource && top_kinds[kind].level == level)
			return kind;
	}
	assert(false);
}

enum top_kind top_next_level(enum top_kind kind)
{
	return top_kind_of(top_kinds[kind].resource, (top_kinds[kind].level + 1) % TOP_LEVELS);
}

enum top_kind top_next_resource(enum top_kind kind)
{
	return top_kind_of((top_kinds[kind].resource + 1) % TOP_RESOURCES, top_kinds[kind].level);
}

bool top_resource_shows(enum top_resource resource, enum top_column_id column)
{
	for (const struct top_shown *shown = top_resources[resource]->shown; !top_shown_ends(shown);
	     shown++) {
		if (shown->column == column)
			return true;
	}
	return false;
}
