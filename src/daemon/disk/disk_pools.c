/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical disks: opened, made, formatted and grown as the configuration says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arbiter/pool/pool_contents.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/base/reach.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/config/config_values.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/disk_gate.h"

/* The control thread waits so long, once, for a disk that hangs; one that is merely busy answers sooner. */
#define PATIENCE_NS (5 * NS_PER_S)

struct daemon_pool *daemon_pool_find(struct daemon *daemon, const char *name)
{
	struct daemon_pool *pool = daemon->pools;

	while (pool && strcmp(pool->name, name) != 0)
		pool = pool->next;
	return pool;
}

static int fail_open(const struct daemon *daemon, struct daemon_pool *pool, int code)
{
	const char *path = pool->path;

	if (code == -EACCES && !reach_has(daemon->reach, path))
		return error_set(&pool->error, code, "%s " REACH_REFUSAL, path);
	switch (-code) {
	case EBUSY:
		return error_set(&pool->error, code, "%s is in use by another program or mounted by the host",
				 path);
	case ENOENT:
		return error_set(&pool->error, code, "%s: there is no such file, or its directory is missing",
				 path);
	case EACCES:
	case EPERM:
		return error_set(&pool->error, code,
				 "%s: permission denied; start as root, or give the daemon's user access",
				 path);
	case ELOOP:
		return error_set(&pool->error, code, "%s " DISK_FOREIGN_LINK, path);
	case ENOTBLK:
		return error_set(&pool->error, code, "%s is neither a regular file nor a block device", path);
	case ENOSPC:
		return error_set(&pool->error, code,
				 "%s: the file system has no room for a file of this size", path);
	default:
		return error_set(&pool->error, code, "cannot open %s: %s", path, strerror(-code));
	}
}

static int open_host(struct daemon *daemon, struct daemon_pool *pool, const struct config_pool *settings)
{
	struct disk_uring_options options = {
		.path = pool->path, .cache = pool->cache, .create_bytes = settings->size_bytes, .lock = true,
		.lock_wait_ms = daemon->serving ? 0 : DAEMON_LOCK_WAIT_MS,
	};
	int fd = takeover_offer_take(daemon->offer, "pool", pool->name);
	int code;

	if (fd < 0) {
		code = disk_uring_open(&options, &pool->host);
	} else {
		options.lock = false;	/* the lock came with the open file */
		code = disk_uring_open_fd(fd, &options, &pool->host);
		if (code)
			close(fd);
	}
	return code ? fail_open(daemon, pool, code) : 0;
}

/* A warning that says what a forced format destroys. */
static void name_contents(const struct daemon_pool *pool)
{
	char name[POOL_CONTENTS_MAX];

	if (pool_contents_find(pool->host, name) > 0)
		log_warning(NULL, "pool %s: --force-format: %s holds %s, which is destroyed now", pool->name,
			    pool->path, name);
}

/* A blank disk becomes an empty pool; a disk that holds something else only when the user insists. */
static int format(struct daemon *daemon, struct daemon_pool *pool)
{
	bool force = daemon->force_format && strcmp(daemon->force_format, pool->name) == 0;
	struct error why = { .text = "" };
	int code;

	if (force)
		name_contents(pool);
	code = pool_format(pool->host, force, &why);
	if (code == -EEXIST)
		return error_set(&pool->error, code,
				 "%s: %s; nothing was written; if that may be lost, start with "
				 "--force-format %s",
				 pool->path, why.text, pool->name);
	if (code)
		return error_set(&pool->error, code, "cannot format %s: %s", pool->path, why.text);
	log_info(NULL, "pool %s: formatted %s", pool->name, pool->path);
	return 0;
}

static int open_map(struct daemon *daemon, struct daemon_pool *pool)
{
	struct error why = { .text = "" };
	bool force = daemon->force_format && strcmp(daemon->force_format, pool->name) == 0;
	int code = pool_open(pool->host, &pool->pool, &why);

	if (code == -ENOENT || (code == -EBADMSG && force)) {
		code = format(daemon, pool);
		if (code)
			return code;
		code = pool_open(pool->host, &pool->pool, &why);
	} else if (!code && force) {
		log_warning(NULL, "pool %s: --force-format ignored: %s holds a pool in good order",
			    pool->name, pool->path);
	}
	if (code == -EBADMSG)
		return error_set(&pool->error, code, "%s is damaged: %s; see viaduct pool check", pool->path,
				 why.text);
	if (code)
		return error_set(&pool->error, code, "%s: %s", pool->path, why.text);
	return 0;
}

int daemon_pool_open(struct daemon *daemon, struct daemon_pool *pool, const struct config_pool *settings)
{
	int code = open_host(daemon, pool, settings);

	if (code)
		return code;
	code = open_map(daemon, pool);
	if (!code)
		pool->gate = disk_gate_open(daemon, pool->path, pool->cache, pool->host, &settings->capacity);
	if (!code && !pool->gate) {
		pool_close(pool->pool);
		pool->pool = NULL;
		code = error_set(&pool->error, -ENOMEM, "out of memory");
	}
	if (code) {
		pool->host->ops->close(pool->host);
		pool->host = NULL;
		return code;
	}
	pool->error = (struct error){ .code = 0 };
	pool_set_patience(pool->pool, PATIENCE_NS);
	if (settings->size_bytes > 0) {
		struct error error;

		if (daemon_pool_grow(pool, settings->size_bytes, &error) < 0)
			log_error(NULL, "pool %s: %s", pool->name, error.text);
	}
	return 0;
}

struct daemon_pool *daemon_pool_add(struct daemon *daemon, const struct config_pool *settings)
{
	struct daemon_pool *pool = calloc(1, sizeof(*pool)), **link = &daemon->pools;

	if (!pool)
		return NULL;
	pool->path = strdup(settings->path);
	if (!pool->path) {
		free(pool);
		return NULL;
	}
	snprintf(pool->name, sizeof(pool->name), "%s", settings->object.name);
	pool->cache = settings->cache;
	while (*link)
		link = &(*link)->next;
	*link = pool;
	daemon_pool_open(daemon, pool, settings);
	return pool;
}

/* A file that is smaller than configured is made larger; a device is as large as it is. */
static int grow_file(struct daemon_pool *pool, uint64_t size_bytes, struct error *error)
{
	/* By the open file: after the start, its path may be another user's. */
	int fd = disk_uring_fd(pool->host), code;
	struct error why = { .text = "" };
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set(error, -errno, "cannot look at %s: %s", pool->path, strerror(errno));
	if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size >= size_bytes)
		return 0;
	code = pool_await(pool->pool, &why);
	if (code)
		return error_set(error, code, "%s", why.text);
	if (ftruncate(fd, (off_t)size_bytes) < 0)
		return error_set(error, -errno, "cannot grow %s: %s", pool->path, strerror(errno));
	return 0;
}

int daemon_pool_grow(struct daemon_pool *pool, uint64_t size_bytes, struct error *error)
{
	uint64_t before = pool->host->geometry.size_bytes, known;
	struct error why = { .text = "" };
	struct pool_space space;
	char text[VALUE_SIZE_TEXT];
	int code = grow_file(pool, size_bytes, error);

	if (code)
		return code;
	code = pool->host->ops->refresh(pool->host);
	if (code)
		return error_set(error, code, "cannot look at the size of %s: %s", pool->path,
				 strerror(-code));
	if (size_bytes < before)
		log_warning(NULL, "pool %s: %s has %s already; it is not shrunk", pool->name, pool->path,
			    value_format_size(before, text));
	/* Also what an earlier run, cut short, made of the file but not of the pool. */
	pool_space(pool->pool, &space);
	known = space.metadata_bytes + space.used_bytes + space.free_bytes;
	if (known + POOL_EXTENT_BYTES > pool->host->geometry.size_bytes)
		return 0;
	code = pool_grow(pool->pool, &why);
	if (code)
		return error_set(error, code, "cannot grow the pool: %s", why.text);
	pool_space(pool->pool, &space);
	if (space.metadata_bytes + space.used_bytes + space.free_bytes == known)
		return 0;	/* the format's tables reach no further */
	log_info(NULL, "pool %s: grew to %s", pool->name,
		 value_format_size(pool->host->geometry.size_bytes, text));
	return 1;
}

void daemon_pool_suspend(struct daemon_pool *pool)
{
	pool_close(pool->pool);
	pool->pool = NULL;
}

int daemon_pool_resume(struct daemon_pool *pool)
{
	struct error why = { .text = "" };
	int code = pool_open(pool->host, &pool->pool, &why);

	if (code)
		return error_set(&pool->error, code, "cannot open %s again: %s", pool->path, why.text);
	pool_set_patience(pool->pool, PATIENCE_NS);
	return 0;
}

void daemon_pools_close(struct daemon *daemon)
{
	while (daemon->pools) {
		struct daemon_pool *pool = daemon->pools;

		daemon->pools = pool->next;
		pool_close(pool->pool);
		disk_gate_close(daemon, pool->gate);
		if (pool->host)
			pool->host->ops->close(pool->host);
		free(pool->path);
		free(pool);
	}
}
