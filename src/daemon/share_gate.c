/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a physical disk can do: from the configuration, from an earlier run, or measured. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "daemon/daemon.h"
#include "daemon/shares.h"
#include "daemon/state.h"

/* ---- kept measurements: STATE/disk-XXXXXXXX.cost, a line that says of what disk, and the cost model ---- */

#define IDENTITY_MAX 4400
#define NAME_SIZE    32

/* What must be the same for a measurement to hold. Returns its length. */
static size_t identity(const struct share_gate *gate, char text[IDENTITY_MAX])
{
	const struct host_disk_geometry *geometry = &gate->host->geometry;

	return (size_t)snprintf(text, IDENTITY_MAX, "disk %.4096s size %llu block %u cache %u\n", gate->path,
				(unsigned long long)geometry->size_bytes, geometry->block_bytes, gate->cache);
}

static void file_name(const char *text, size_t length, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "disk-%08x.cost", crc32c(0, text, length));
}

static bool recall(const struct daemon *daemon, const struct share_gate *gate, struct disk_cost *ret_cost)
{
	char text[IDENTITY_MAX], name[NAME_SIZE], *bytes;
	size_t head = identity(gate, text), length;
	bool known;

	file_name(text, head, name);
	if (state_read(daemon->state_dir, name, &bytes, &length) != 0)
		return false;
	known = length > head && memcmp(bytes, text, head) == 0 &&
		disk_cost_parse(bytes + head, length - head, ret_cost) == 0;
	free(bytes);
	return known;
}

static void keep(const struct daemon *daemon, const struct share_gate *gate)
{
	char text[IDENTITY_MAX + COST_TEXT_MAX], name[NAME_SIZE];
	size_t head = identity(gate, text);
	struct disk_cost cost;
	int length, error;

	if (!gate->measured || !daemon->state_dir)
		return;
	file_name(text, head, name);
	disk_gate_cost(gate->gate, &cost);
	length = disk_cost_print(&cost, text + head, sizeof(text) - head);
	error = length < 0 ? length : state_write(daemon->state_dir, name, text, head + (size_t)length, false);
	if (error)
		log_warning(NULL, "%s/%s: cannot be written: %s; %s will be measured again", daemon->state_dir, name,
			    strerror(-error), gate->path);
}

/* ---- models ---- */

/* A sequential request costs its bytes; a random one of 4 KiB what capacity_iops says. */
static struct disk_cost cost_of(const struct config_capacity *capacity)
{
	uint64_t per_kib = NS_PER_S * 1024 / capacity->bandwidth, small = NS_PER_S / capacity->iops;
	uint64_t random_per_kib = per_kib < small / 4 ? per_kib : small / 4;
	struct cost_line sequential = { .ns_per_kib = (uint32_t)(per_kib ? per_kib : 1) };
	struct cost_line random = {
		.base_ns = (uint32_t)(small - 4 * random_per_kib), .ns_per_kib = (uint32_t)random_per_kib,
	};
	struct disk_cost cost = disk_cost_default;

	cost.line[COST_READ_RANDOM] = cost.line[COST_WRITE_RANDOM] = random;
	cost.line[COST_READ_SEQUENTIAL] = cost.line[COST_WRITE_SEQUENTIAL] = sequential;
	return cost;
}

/* ---- gates ---- */

static void choose_cost(struct daemon *daemon, struct share_gate *gate, const struct config_capacity *capacity,
			struct disk_cost *ret_cost)
{
	*ret_cost = disk_cost_default;
	if (capacity->iops) {
		*ret_cost = cost_of(capacity);
	} else if (recall(daemon, gate, ret_cost)) {
		gate->measured = true;
	}
}

static void destroy(struct share_gate *gate)
{
	disk_gate_destroy(gate->gate);
	free(gate->path);
	free(gate);
}

struct share_gate *share_gate_open(struct daemon *daemon, const char *path, unsigned cache, struct host_disk *host,
				   const struct config_capacity *capacity)
{
	struct share_gate *gate = calloc(1, sizeof(*gate));
	struct disk_cost cost;

	if (!gate)
		return NULL;
	gate->host = host;
	gate->cache = cache;
	gate->path = strdup(path);
	if (gate->path)
		choose_cost(daemon, gate, capacity, &cost);
	if (!gate->path || disk_gate_create(&cost, &gate->gate) != 0) {
		destroy(gate);
		return NULL;
	}
	gate->next = daemon->gates;
	daemon->gates = gate;
	keep(daemon, gate);
	return gate;
}

void share_gate_close(struct daemon *daemon, struct share_gate *gate)
{
	struct share_gate **link = &daemon->gates;

	if (!gate)
		return;
	keep(daemon, gate);
	while (*link != gate)
		link = &(*link)->next;
	*link = gate->next;
	destroy(gate);
}

void share_gate_set_capacity(struct share_gate *gate, const struct config_capacity *capacity)
{
	struct disk_cost cost = cost_of(capacity);

	disk_gate_set_cost(gate->gate, &cost);
	gate->measured = false;
}

void share_gates_keep(struct daemon *daemon)
{
	for (const struct share_gate *gate = daemon->gates; gate; gate = gate->next)
		keep(daemon, gate);
}
