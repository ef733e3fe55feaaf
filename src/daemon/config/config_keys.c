/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every section and key there is. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "daemon/config/config.h"
#include "daemon/config/config_share_keys.h"
#include "daemon/config/config_values.h"
#include "host/host_disk.h"

/* In the order of enum log_level and enum host_disk_cache. */
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const caches[] = { "auto", "direct", "buffered", NULL };

static_assert(LOG_LEVEL_DEBUG == 3, "log_levels[] follows enum log_level");
static_assert(HOST_DISK_CACHE_BUFFERED == 2, "caches[] follows enum host_disk_cache");

#define MIB (1024ull * 1024)

#define CAPACITY_KEYS_OF(object)                                                                             \
	{ .name = "capacity_iops",                                                                           \
	  .type = CONFIG_NUMBER,                                                                             \
	  .live = true,                                                                                      \
	  .offset = offsetof(struct object, capacity.iops),                                                  \
	  .minimum = 1,                                                                                      \
	  .maximum = SHARE_IOPS_MAX,                                                                         \
	  .help = "Requests a second (4 KiB, random) that the physical disk carries out, to begin with. "    \
		  "Default: an ordinary disk's, until it is seen." },                                        \
	{                                                                                                    \
		.name = "capacity_bandwidth", .type = CONFIG_SIZE, .live = true,                             \
		.offset = offsetof(struct object, capacity.bandwidth), .minimum = 4096,                      \
		.maximum = SHARE_BANDWIDTH_MAX,                                                              \
		.help = "Bytes a second (sequential) that it carries out; given together with "              \
			"capacity_iops."                                                                     \
	}

static const struct config_key daemon_keys[] = {
	{ .name = "runtime_dir",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_daemon, runtime_dir),
	  .help = "Directory of the sockets. Default: /run/viaduct for root, $XDG_RUNTIME_DIR/viaduct "
		  "otherwise." },
	{ .name = "state_dir",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_daemon, state_dir),
	  .help = "Directory of what outlives the daemon: settings made at run time, what was seen of "
		  "disks. No other daemon "
		  "uses it. Default: /var/lib/viaduct for root, $XDG_STATE_HOME/viaduct or "
		  "~/.local/state/viaduct otherwise." },
	{ .name = "workers",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_daemon, workers),
	  .minimum = 1,
	  .maximum = 64,
	  .help = "Threads that serve queues. Default: one for each two CPUs, at least one." },
	{ .name = "poll_us",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_daemon, poll_us),
	  .maximum = 1000000,
	  .initial = "32",
	  .help = "Longest busy wait of a worker, in microseconds, before it sleeps; 0 = never spin." },
	{ .name = "user",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_daemon, user),
	  .help = "Account to change to after the devices are open, when started as root. Default: stay." },
	{ .name = "group",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_daemon, group),
	  .help = "Group to change to, and owner of the API's socket. Default: the user's own group." },
	{ .name = "sandbox",
	  .type = CONFIG_BOOLEAN,
	  .offset = offsetof(struct config_daemon, sandbox),
	  .initial = "yes",
	  .help = "Forbid system calls (seccomp) and files (Landlock) that the daemon never needs." },
	{ .name = "core_dumps",
	  .type = CONFIG_BOOLEAN,
	  .offset = offsetof(struct config_daemon, core_dumps),
	  .initial = "no",
	  .help = "For debugging, with user: let the kernel dump core of the daemon, and other processes of "
		  "the user trace it." },
	{ .name = "log_level",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_daemon, log_level),
	  .choices = log_levels,
	  .initial = "info",
	  .help = "Least important kind of line that is logged." },
};

static const struct config_key pool_keys[] = {
	{ .name = "path",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_pool, path),
	  .help = "Block device, or file that is made if it is missing. Required." },
	{ .name = "size",
	  .type = CONFIG_SIZE,
	  .offset = offsetof(struct config_pool, size_bytes),
	  .minimum = 16 * MIB,
	  .maximum = 1ull << 50,
	  .help = "Size of the file; a larger value grows it. Required unless the path is below /dev." },
	{ .name = "cache",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_pool, cache),
	  .choices = caches,
	  .initial = "auto",
	  .help = "direct: O_DIRECT; buffered: the host's page cache; auto: direct on block devices, else "
		  "buffered." },
	CAPACITY_KEYS_OF(config_pool),
};

static const struct config_key group_keys[] = {
	{ WEIGHT_KEY(OF_DISKS, config_group), .help = DISK_WEIGHT_HELP " Default: the sum of its guests'." },
	DISK_SHARE_KEYS(OF_DISKS, config_group),
	{ WEIGHT_KEY(OF_NICS, config_group), .help = NIC_WEIGHT_HELP " Default: the sum of its guests'." },
	NIC_SHARE_KEYS(OF_NICS, config_group),
};

static const struct config_key guest_keys[] = {
	{ .name = "socket_owner",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_guest, socket_owner),
	  .help = "Account that owns the guest's sockets: the one its VMM runs as. Default: the daemon's "
		  "own." },
	{ .name = "socket_group",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_guest, socket_group),
	  .help = "Group of the guest's sockets. Default: the daemon's own." },
	{ .name = "socket_mode",
	  .type = CONFIG_MODE,
	  .offset = offsetof(struct config_guest, socket_mode),
	  .initial = "0600",
	  .help = "Permissions of the guest's sockets, octal." },
	{ .name = "memory",
	  .type = CONFIG_SIZE,
	  .offset = offsetof(struct config_guest, memory_bytes),
	  .minimum = 16 * MIB,
	  .maximum = 1ull << 46,
	  .initial = "512M",
	  .help = "Memory that `viaduct run` gives the guest." },
	{ .name = "group",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_guest, group),
	  .help = "Group whose share the guest's is a part of. Default: none, beside the groups." },
	{ .name = "own_worker",
	  .type = CONFIG_BOOLEAN,
	  .offset = offsetof(struct config_guest, own_worker),
	  .initial = "no",
	  .help = "The guest's queues are served by a thread that serves nobody else. Whatever its memory or "
		  "its VMM makes that thread wait for, no other guest waits with it; each request costs "
		  "about twice the CPU time." },
	{ WEIGHT_KEY(OF_DISKS, config_guest), .help = DISK_WEIGHT_HELP " Default: the sum of its disks'." },
	DISK_SHARE_KEYS(OF_DISKS, config_guest),
	{ WEIGHT_KEY(OF_NICS, config_guest), .help = NIC_WEIGHT_HELP " Default: the sum of its cards'." },
	NIC_SHARE_KEYS(OF_NICS, config_guest),
};

static const char *const sectors[] = { "512", "4096", NULL };
static const char *const disk_models[] = { "virtio", "nvme", NULL };

static const struct config_key disk_keys[] = {
	{ .name = "pool",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_disk, pool),
	  .live = true,
	  .help = "Pool that the disk is a part of. Either pool or path is required." },
	{ .name = "path",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_disk, path),
	  .live = true,
	  .help = "File or block device of its own, used as it is. Either pool or path is required." },
	{ .name = "size",
	  .type = CONFIG_SIZE,
	  .offset = offsetof(struct config_disk, size_bytes),
	  .live = true,
	  .minimum = 4096,
	  .maximum = 1ull << 50,
	  .help = "Size of a disk in a pool; it is made if missing, and a larger value grows it. Required "
		  "with pool." },
	{ .name = "cache",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_disk, cache),
	  .choices = caches,
	  .initial = "auto",
	  .help = "As for a pool; only with path." },
	{ .name = "read_only",
	  .type = CONFIG_BOOLEAN,
	  .offset = offsetof(struct config_disk, read_only),
	  .initial = "no",
	  .help = "The guest may only read." },
	{ .name = "model",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_disk, model),
	  .choices = disk_models,
	  .initial = "virtio",
	  .help = "What the guest sees: virtio, a virtio-blk device; or nvme, an NVMe controller over "
		  "vfio-user, whose driver every guest and its firmware have, and for which QEMU 10.1 or "
		  "newer is needed." },
	CONFIG_INTERFACE_KEY(config_disk),
	{ .name = "queues",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_disk, queues),
	  .minimum = 1,
	  .maximum = 64,
	  .initial = "16",
	  .help = "Queues that the guest may use at most; of an NVMe controller 63." },
	{ .name = "packed",
	  .type = CONFIG_BOOLEAN,
	  .offset = offsetof(struct config_disk, packed),
	  .initial = "yes",
	  .help = "Offer packed rings too; only for virtio." },
	{ .name = "serial",
	  .type = CONFIG_SERIAL,
	  .offset = offsetof(struct config_disk, serial),
	  .help = "Serial number that the guest sees, 1 to 20 printable characters. Default: the disk's "
		  "name; of a longer one its beginning and eight digits that are made of all of it." },
	{ .name = "sector",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_disk, sector),
	  .choices = sectors,
	  .initial = "512",
	  .help = "Bytes of a sector as the guest sees it. 512 suits every system and firmware, also where "
		  "the physical disk has sectors of 4096: what is smaller is read, changed and written "
		  "there." },
	{ .name = "boot",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_disk, boot),
	  .live = true,
	  .minimum = 1,
	  .maximum = 1000,
	  .help = "Its place when the guest looks for a system to boot, the least first. Default: a disk "
		  "named root, then the others as they were made, all behind those with a place." },
	{ .name = "socket",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_disk, device.socket),
	  .help = "Socket to listen on. Default: RUNTIME/GUEST/disk-NAME.sock." },
	{ .name = "connect",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_disk, device.connect),
	  .help = "Client mode: connect to this socket of the VMM instead of listening." },
	{ WEIGHT_KEY(OF_DISK, config_disk), .initial = "100", .help = DISK_WEIGHT_HELP },
	DISK_SHARE_KEYS(OF_DISK, config_disk),
	{ OF_DISK(config_disk, "latency_target", SHARE_LATENCY_TARGET), .type = CONFIG_NUMBER,
	  .maximum = SHARE_LATENCY_US_MAX,
	  .help = "Longest time in microseconds that 99 % of its requests should spend inside the "
		  "physical disk; less is let in at once while they do not. Default: none." },
	CAPACITY_KEYS_OF(config_disk),
};

#define KEYS(table) .keys = (table), .key_count = sizeof(table) / sizeof((table)[0])

static_assert(sizeof(disk_keys) / sizeof(disk_keys[0]) <= CONFIG_KEYS_MAX, "struct config_object has room");

const struct config_section config_section_daemon = {
	.name = "daemon",
	.naming = CONFIG_UNNAMED,
	.example = "[daemon]",
	.object_bytes = sizeof(struct config_daemon),
	KEYS(daemon_keys),
	.help = "The daemon as a whole.",
};

const struct config_section config_section_pool = {
	.name = "pool",
	.naming = CONFIG_NAMED,
	.example = "[pool main]",
	.object_bytes = sizeof(struct config_pool),
	KEYS(pool_keys),
	.help = "A physical disk that is cut into virtual disks.",
	.check = config_check_pool,
};

const struct config_section config_section_group = {
	.name = "group",
	.naming = CONFIG_NAMED,
	.example = "[group gold]",
	.object_bytes = sizeof(struct config_group),
	KEYS(group_keys),
	.help = "Guests that share a part of each physical device's time.",
};

const struct config_section config_section_guest = {
	.name = "guest",
	.naming = CONFIG_NAMED,
	.example = "[guest alice]",
	.object_bytes = sizeof(struct config_guest),
	KEYS(guest_keys),
	.help = "One tenant: a virtual machine.",
};

const struct config_section config_section_disk = {
	.name = "disk",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[disk alice/root]",
	.object_bytes = sizeof(struct config_disk),
	KEYS(disk_keys),
	.help = "A virtual disk of a guest.",
	.device = true,
	.check = config_check_disk,
};

static void print_values(FILE *stream, const struct config_key *key)
{
	static const char *const names[] = {
		[CONFIG_TEXT] = "name",	    [CONFIG_PATH] = "absolute path", [CONFIG_SIZE] = "size",
		[CONFIG_NUMBER] = "number", [CONFIG_BOOLEAN] = "yes or no",  [CONFIG_MODE] = "octal mode",
		[CONFIG_SERIAL] = "text",
	};
	char least[VALUE_SIZE_TEXT], most[VALUE_SIZE_TEXT];

	if (key->type == CONFIG_CHOICE) {
		for (unsigned i = 0; key->choices[i]; i++)
			fprintf(stream, "%s%s", i ? ", " : "", key->choices[i]);
	} else if (key->type == CONFIG_SIZE) {
		fprintf(stream, "size, %s to %s", value_format_size(key->minimum, least),
			value_format_size(key->maximum, most));
	} else if (key->type == CONFIG_NUMBER) {
		fprintf(stream, "number, %llu to %llu", (unsigned long long)key->minimum,
			(unsigned long long)key->maximum);
	} else {
		fputs(names[key->type], stream);
	}
}

void config_print_reference(FILE *stream)
{
	for (unsigned i = 0; config_sections[i]; i++) {
		const struct config_section *section = config_sections[i];

		fprintf(stream,
			"%s### `%s`\n\n%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
			i ? "\n" : "", section->example, section->help);
		for (unsigned j = 0; j < section->key_count; j++) {
			const struct config_key *key = &section->keys[j];

			fprintf(stream, "| `%s` | ", key->name);
			print_values(stream, key);
			fprintf(stream, " | %s | %s |\n", key->initial ? key->initial : "", key->help);
		}
	}
}
