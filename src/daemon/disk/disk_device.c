/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual disks. A disk is served in steps: the arbiter's disk on its bytes, the model that the guest sees,
 * the endpoint (device/device.c); it is taken back in the opposite order.
 */
#include "daemon/disk/disk_device.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "daemon/base/reach.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/config/config_values.h"
#include "daemon/device/report.h"
#include "daemon/device/virtio_endpoint.h"
#include "daemon/disk/catalogue.h"
#include "daemon/disk/disk_gate.h"
#include "daemon/disk/write_mode.h"
#include "daemon/share/shares.h"
#include "devices/disk/nvme.h"
#include "devices/disk/virtio_blk.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/virtio/virtqueue.h"

#define SECTOR_BYTES	   512u
#define SECTOR_BYTES_LARGE 4096u

/* As QEMU's virtio-blk-pci: mass storage, SCSI. */
#define PCI_CLASS_STORAGE 0x010000u

struct disk_device *disk_device_find(struct daemon *daemon, const char *name)
{
	struct device *device = device_find(daemon, &disk_device_kind, name);

	return device ? disk_device_of(device) : NULL;
}

const struct config_disk *disk_settings(const struct daemon *daemon, const char *name)
{
	return (const struct config_disk *)config_find(config_disks(daemon->config), name);
}

/* ---- attributes ---- */

static const struct config_key *disk_key(const char *name)
{
	const struct config_section *section = &config_section_disk;

	for (unsigned i = 0;; i++) {
		assert(i < section->key_count);
		if (strcmp(section->keys[i].name, name) == 0)
			return &section->keys[i];
	}
}

/*
 * A name that is too long is cut, and so many names become one: a sum of all of it follows. Names that differ
 * in up to four bytes beside each other have different sums.
 */
static void default_serial(struct disk_device *disk)
{
	const char *name = disk->base.name;

	if (strlen(name) < sizeof(disk->serial))
		snprintf(disk->serial, sizeof(disk->serial), "%s", name);
	else
		snprintf(disk->serial, sizeof(disk->serial), "%.11s-%08x", name,
			 crc32c(0, name, strlen(name)));
}

/* The attributes of a disk that the configuration does not mention. */
static void set_defaults(struct disk_device *disk)
{
	uint64_t queues = 0;

	value_parse_number(disk_key("queues")->initial, &queues);
	value_parse_boolean(disk_key("packed")->initial, &disk->packed);
	disk->queues = (unsigned)queues;
	disk->read_only = false;
	disk->model_kind = CONFIG_DISK_VIRTIO;
	disk->interface = CONFIG_INTERFACE_VHOST_USER;
	disk->sector_bytes = SECTOR_BYTES;
	default_serial(disk);
}

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_disk *settings = (const struct config_disk *)object;
	struct disk_device *disk = disk_device_of(device);

	set_defaults(disk);
	if (!settings)
		return;
	disk->queues = (unsigned)settings->queues;
	disk->packed = settings->packed;
	disk->model_kind = settings->model;
	disk->interface = settings->device.interface;
	disk->read_only = settings->read_only;
	disk->cache = settings->cache;
	if (settings->sector == CONFIG_SECTOR_4096)
		disk->sector_bytes = SECTOR_BYTES_LARGE;
	if (settings->serial)
		snprintf(disk->serial, sizeof(disk->serial), "%s", settings->serial);
}

/* ---- serving ---- */

/* Opens the file or device of a disk of its own. */
static int open_own(struct disk_device *disk)
{
	struct disk_uring_options options = {
		.path = disk->path,
		.cache = disk->cache,
		.read_only = disk->read_only,
		.lock = !disk->read_only,
		.lock_wait_ms = disk->base.daemon->serving ? 0 : DAEMON_LOCK_WAIT_MS,
	};
	int fd = takeover_offer_take(disk->base.daemon->offer, "disk", disk->base.name);
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
	if (code == -EACCES && !reach_has(disk->base.daemon->reach, disk->path))
		return error_set(&disk->base.error, code, "%s " REACH_REFUSAL, disk->path);
	if (code == -EBUSY)
		return error_set(&disk->base.error, code,
				 "%s is in use by another program or mounted by the host", disk->path);
	if (code == -ELOOP)
		return error_set(&disk->base.error, code, "%s " DISK_FOREIGN_LINK, disk->path);
	if (code)
		return error_set(&disk->base.error, code, "cannot open %s: %s", disk->path, strerror(-code));
	return 0;
}

/* Of its physical disk. NULL: out of memory. */
static struct share_gate *open_gate(struct disk_device *disk)
{
	const struct config_disk *settings = disk_settings(disk->base.daemon, disk->base.name);
	static const struct config_capacity unknown = { .iops = 0 };

	if (disk->pool)
		return &disk->pool->gate->base;
	if (!disk->gate)
		disk->gate = disk_gate_open(disk->base.daemon, disk->path, disk->cache, disk->host,
					    settings ? &settings->capacity : &unknown);
	return disk->gate ? &disk->gate->base : NULL;
}

/* Its place in the tree of shares of its physical disk. */
static int open_share(struct disk_device *disk)
{
	struct share_gate *gate = open_gate(disk);

	if (gate)
		disk->share = share_open(disk->base.daemon, gate, disk->base.name);
	return disk->share ? 0 : error_set(&disk->base.error, -ENOMEM, "out of memory");
}

static int open_disk(struct disk_device *disk)
{
	struct disk_options options = {
		.guest = disk->base.guest->name,
		.name = disk->base.short_name,
		.read_only = disk->read_only,
		.block_bytes = disk->sector_bytes,
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
	return code ? error_set(&disk->base.error, code, "cannot make the disk: %s", strerror(-code)) : 0;
}

static int open_virtio(struct disk_device *disk)
{
	const struct virtio_blk_options options = {
		.disk = disk->disk,
		.queues = disk->queues,
		.serial = disk->serial,
		.write_through = write_mode_is_through(disk),
		.writeback_changed = write_mode_changed,
		.context = disk,
	};

	return virtio_blk_create(&options, &disk->virtio);
}

static int open_nvme(struct disk_device *disk)
{
	const struct nvme_options options = {
		.disk = disk->disk,
		.queues = disk->queues,
		.serial = disk->serial,
	};

	return nvme_create(&options, &disk->nvme);
}

static int open_model(struct disk_device *disk)
{
	int code = disk->model_kind == CONFIG_DISK_NVME ? open_nvme(disk) : open_virtio(disk);

	if (!code)
		disk_on_resize(disk->disk, device_config_changed, &disk->base);
	return code ? error_set(&disk->base.error, code, "cannot make the device: %s", strerror(-code)) : 0;
}

/* ---- the kind ---- */

static int open_bytes_and_model(struct device *device)
{
	struct disk_device *disk = disk_device_of(device);
	int code = open_disk(disk);

	return code ? code : open_model(disk);
}

static int nvme_endpoint_create(const struct disk_device *disk, const struct endpoint_options *endpoint,
				struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct vfio_user_options options = {
		.endpoint = *endpoint,
		.model = &nvme_model,
		.device = disk->nvme,
	};

	return handed ? vfio_user_restore(&options, handed, ret_endpoint)
		      : vfio_user_create(&options, ret_endpoint);
}

/*
 * The mode of the write cache is not the driver's to choose by registers: to remember it (write_mode.h) is
 * not for a worker.
 */
static int virtio_create(struct disk_device *disk, const struct endpoint_options *endpoint,
			 struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct virtio_offer offer = {
		.model = &virtio_blk_model,
		.device = disk->virtio,
		.interface = disk->interface,
		.features_off = disk->packed ? 0 : 1ull << VIRTIO_F_RING_PACKED,
		.class_code = PCI_CLASS_STORAGE,
		.registers_off = 1ull << VIRTIO_BLK_FEATURE_CONFIG_WCE,
	};

	return virtio_endpoint_create(&offer, endpoint, handed, &disk->pci, ret_endpoint);
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct disk_device *disk = disk_device_of(device);

	return disk->nvme ? nvme_endpoint_create(disk, endpoint, handed, ret_endpoint)
			  : virtio_create(disk, endpoint, handed, ret_endpoint);
}

static void close_steps(struct device *device)
{
	struct disk_device *disk = disk_device_of(device);

	virtio_endpoint_free_pci(&disk->pci);
	virtio_blk_destroy(disk->virtio);
	disk->virtio = NULL;
	nvme_destroy(disk->nvme);
	disk->nvme = NULL;
	disk_destroy(disk->disk);
	disk->disk = NULL;
	share_close(disk->share);
	disk->share = NULL;
	disk_gate_close(device->daemon, disk->gate);
	disk->gate = NULL;
	if (disk->host)
		disk->host->ops->close(disk->host);
	disk->host = NULL;
}

static bool in_use(const struct device *device)
{
	const struct disk_device *disk = disk_device_of(device);

	return disk->disk && disk_channel_count(disk->disk) > 0;
}

static void finish(struct device *device)
{
	free(disk_device_of(device)->path);
}

struct disk_device *disk_device_add(struct daemon *daemon, const char *name, struct daemon_pool *pool,
				    struct pool_disk *part)
{
	const struct config_disk *settings = disk_settings(daemon, name);
	struct device *device = device_add(daemon, &disk_device_kind, name);
	struct disk_device *disk;

	if (!device)
		return NULL;
	disk = disk_device_of(device);
	disk->pool = pool;
	disk->part = part;
	if (!pool && !(disk->path = strdup(settings->path))) {
		device_forget(device);
		return NULL;
	}
	device_serve(device);
	return disk;
}

unsigned disk_devices_of_pool(struct daemon *daemon, struct daemon_pool *pool, struct change_report *report)
{
	struct pool_disk *part = NULL;
	unsigned added = 0;

	while (pool->pool && (part = pool_disk_next(pool->pool, part))) {
		const char *name = pool_disk_name(part);
		const struct disk_device *known = disk_device_find(daemon, name), *disk = NULL;

		if (known && known->part == part)
			continue;
		if (known)
			log_error(NULL, "pool %s: its disk %s is not served: another disk has this name",
				  pool->name, name);
		else if (!(disk = disk_device_add(daemon, name, pool, part)))
			log_error(
				NULL,
				"pool %s: its disk %s is not served: out of memory, or a name without GUEST/",
				pool->name, name);
		else if (disk->base.endpoint)
			added++;
		else if (report)
			report_refused(report, "disk %s: %s", name, disk->base.error.text);
	}
	return added;
}

static void open_pools(struct daemon *daemon)
{
	config_for_each(config_pools(daemon->config), config_pool, settings)
	{
		const struct daemon_pool *pool = daemon_pool_add(daemon, settings);

		if (!pool)
			log_error(NULL, "pool %s: out of memory", settings->object.name);
		else if (!pool->pool)
			log_error(NULL, "pool %s: not available: %s", pool->name, pool->error.text);
	}
}

static void open_disks(struct daemon *daemon)
{
	struct error error;

	config_for_each(config_disks(daemon->config), config_disk, disk)
	{
		if (disk->pool && disk_make_as_configured(daemon, disk, &error) < 0)
			log_error(NULL, "%s: %s", disk->object.name, error.text);
	}
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		disk_devices_of_pool(daemon, pool, NULL);
	config_for_each(config_disks(daemon->config), config_disk, disk)
	{
		const struct disk_device *known = disk_device_find(daemon, disk->object.name);

		if (disk->path && known)
			log_error(
				NULL,
				"%s:%u: [disk %s] with a path is not served: the pool %s has a disk of this "
				"name; give one of them another name",
				disk->object.file, disk->object.line, disk->object.name, known->pool->name);
		else if (disk->path && !disk_device_add(daemon, disk->object.name, NULL, NULL))
			log_error(NULL, "%s: out of memory", disk->object.name);
	}
}

/* ---- takeover ---- */

static void close_pools(struct daemon *daemon)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (pool->pool)
			daemon_pool_suspend(pool);
	}
}

static void reopen_pools(struct daemon *daemon)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (!pool->host || daemon_pool_resume(pool) == 0)
			continue;
		/* Guests wait on this pool; a new start is the only thing that can help them. */
		log_error(NULL, "pool %s: %s", pool->name, pool->error.text);
		_exit(1);
	}
	device_for_each(daemon, &disk_device_kind, device)
	{
		struct disk_device *disk = disk_device_of(device);

		if (!disk->pool)
			continue;
		disk->part = pool_disk_find(disk->pool->pool, device->name);
		if (disk->disk)
			disk_set_part(disk->disk, disk->pool->pool, disk->part);
	}
}

static void hand_over(struct daemon *daemon, struct handover *header)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (pool->host)
			takeover_put_fd(header, "pool", pool->name, disk_uring_fd(pool->host));
	}
	device_for_each(daemon, &disk_device_kind, device)
	{
		const struct disk_device *disk = disk_device_of(device);

		if (disk->host)
			takeover_put_fd(header, "disk", device->name, disk_uring_fd(disk->host));
	}
}

const struct device_kind disk_device_kind = {
	.name = "disk",
	.section = &config_section_disk,
	.device_bytes = sizeof(struct disk_device),
	.open_resources = open_pools,
	.open_devices = open_disks,
	.close_resources = daemon_pools_close,
	.release = close_pools,
	.reclaim = reopen_pools,
	.hand_over = hand_over,
	.reload = disks_reload,
	.plan = disks_plan,
	.check_host = catalogue_check_sizes,
	.check_open = catalogue_check_open,
	.print_metrics = disks_print_metrics,
	.configure = configure,
	.open = open_bytes_and_model,
	.endpoint_create = endpoint_create,
	.close = close_steps,
	.in_use = in_use,
	.change = disk_carry_out_change,
	.finish = finish,
	.describe = disk_describe,
	.status = disk_status,
};
