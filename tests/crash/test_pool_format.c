/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A power failure while a pool is made, over garbage or over an older pool: what is then on the disk is no
 * pool, or a damaged one, or the old one whole, or the new one whole and empty. Over nothing, it is no pool,
 * and then a pool is made there without force as if nothing had happened; or a damaged one; or whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "pool_help.h"
#include "test_disk.h"

#define DISK_BYTES  (6u << 20)
#define WRITES_MAX  64u
#define EPOCHS_MAX  16u

struct write {
	uint64_t offset;
	size_t bytes;
	uint8_t *data;
};

/* Takes down what pool_format() does; the disk itself stays as it was. */
struct recorder {
	struct host_disk host;
	struct test_disk *disk;
	struct write writes[WRITES_MAX];
	unsigned count;
	unsigned epochs[EPOCHS_MAX];	/* writes before each flush */
	unsigned epoch_count;
};

static int record_read(struct host_disk *host, uint64_t offset, void *buffer, size_t bytes)
{
	struct recorder *recorder = (void *)host;

	return recorder->disk->host.ops->read_sync(&recorder->disk->host, offset, buffer, bytes);
}

static int record_write(struct host_disk *host, uint64_t offset, const void *data, size_t bytes)
{
	struct recorder *recorder = (void *)host;
	struct write *write = &recorder->writes[recorder->count++];

	assert_true(recorder->count < WRITES_MAX);
	*write = (struct write){offset, bytes, malloc(bytes)};
	assert_non_null(write->data);
	memcpy(write->data, data, bytes);
	return 0;
}

static int record_flush(struct host_disk *host)
{
	struct recorder *recorder = (void *)host;

	assert_true(recorder->epoch_count < EPOCHS_MAX);
	recorder->epochs[recorder->epoch_count++] = recorder->count;
	return 0;
}

static const struct host_disk_ops recorder_ops = {
	.name = "recorder",
	.read_sync = record_read,
	.write_sync = record_write,
	.flush_sync = record_flush,
};

struct outcomes {
	unsigned none, damaged, old, empty;
};

#define WAS_BLANK 0xffffffff	/* instead of an old pool's digest */

/* Over nothing: is anything in the block of the first superblock? */
static bool superblock_torn(const struct test_disk *disk)
{
	static const uint8_t zeroes[4096];

	return memcmp(disk->bytes, zeroes, sizeof(zeroes)) != 0;
}

static void look(struct test_disk *disk, uint32_t old_digest, struct outcomes *outcomes)
{
	struct error error = { .text = "" };
	struct pool *pool;
	int code = pool_open(&disk->host, &pool, &error);

	if (code == -ENOENT && old_digest == WAS_BLANK && superblock_torn(disk)) {
		outcomes->damaged++;
		return;
	}
	if (code == -ENOENT) {
		outcomes->none++;
		if (old_digest == WAS_BLANK)
			assert_int_equal(pool_format(&disk->host, false, &error), 0);
		return;
	}
	if (code == -EBADMSG) {
		outcomes->damaged++;
		return;
	}
	assert_int_equal(code, 0);
	if (!pool_disk_next(pool, NULL)) {
		outcomes->empty++;
	} else {
		assert_int_equal(pool_digest(pool), old_digest);
		outcomes->old++;
	}
	pool_close(pool);
}

static void put(struct test_disk *disk, const struct write *write, size_t from, size_t to)
{
	if (from < to)
		test_disk_put(disk, write->offset + from, write->data + from, to - from);
}

/*
 * All of the epochs before, and of this one: write `whole` of it torn, those before there, or a random
 * choice.
 */
static void crash(struct recorder *recorder, unsigned epoch, unsigned whole, uint64_t *seed, bool random,
		  uint32_t old_digest, struct outcomes *outcomes)
{
	unsigned first = epoch ? recorder->epochs[epoch - 1] : 0, end = recorder->epochs[epoch];

	test_disk_remember(recorder->disk);
	for (unsigned i = 0; i < first; i++)
		put(recorder->disk, &recorder->writes[i], 0, recorder->writes[i].bytes);
	for (unsigned i = first; i < end; i++) {
		const struct write *write = &recorder->writes[i];
		size_t cut = (size_t)test_below(seed, (uint32_t)write->bytes / 512 + 1) * 512;

		if (random ? test_below(seed, 2) : i < whole)
			put(recorder->disk, write, 0, write->bytes);
		else if (random ? test_below(seed, 2) : i == whole)
			put(recorder->disk, write, random ? cut / 2 / 512 * 512 : 0, cut);
	}
	look(recorder->disk, old_digest, outcomes);
	test_disk_undo(recorder->disk);
}

static void crash_everywhere(struct test_disk *disk, uint32_t old_digest, uint64_t *seed,
			     struct outcomes *outcomes)
{
	struct recorder recorder = { .host = { .ops = &recorder_ops, .geometry = disk->host.geometry },
				     .disk = disk };

	assert_int_equal(pool_format(&recorder.host, true, NULL), 0);
	assert_int_equal(recorder.epochs[recorder.epoch_count - 1], recorder.count);
	for (unsigned epoch = 0; epoch < recorder.epoch_count; epoch++) {
		for (unsigned i = epoch ? recorder.epochs[epoch - 1] : 0; i <= recorder.epochs[epoch]; i++)
			for (unsigned again = 0; again < 4; again++)
				crash(&recorder, epoch, i, seed, false, old_digest, outcomes);
		for (unsigned again = 0; again < 40; again++)
			crash(&recorder, epoch, 0, seed, true, old_digest, outcomes);
	}
	for (unsigned i = 0; i < recorder.count; i++)
		free(recorder.writes[i].data);
}

static void over_nothing(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	uint64_t seed = test_seed("nothing");
	struct outcomes outcomes = {0};

	crash_everywhere(disk, WAS_BLANK, &seed, &outcomes);
	assert_int_equal(outcomes.old, 0);
	assert_true(outcomes.none > 0 && outcomes.empty > 0);
	test_disk_destroy(disk);
}

static void over_garbage(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	uint64_t seed = test_seed("garbage");
	struct outcomes outcomes = {0};

	for (size_t i = 0; i < DISK_BYTES; i++)
		disk->bytes[i] = (uint8_t)test_random(&seed);
	crash_everywhere(disk, 0, &seed, &outcomes);
	assert_int_equal(outcomes.old, 0);
	assert_true(outcomes.none > 0 && outcomes.empty > 0);
	test_disk_destroy(disk);
}

static void over_a_pool(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	uint64_t seed = test_seed("pool");
	struct outcomes outcomes = {0};
	struct pool_disk *made;
	struct pool *pool;
	uint32_t digest;

	assert_int_equal(pool_format(&disk->host, false, NULL), 0);
	assert_int_equal(pool_open(&disk->host, &pool, NULL), 0);
	assert_int_equal(pool_disk_create(pool, "old/disk", 1 << 20, &made, NULL), 0);
	pool_mark(made, 0, 1 << 19, POOL_WRITTEN);
	digest = pool_digest(pool);
	pool_close(pool);
	crash_everywhere(disk, digest, &seed, &outcomes);
	assert_true(outcomes.none > 0 && outcomes.empty > 0 && outcomes.old > 0);
	test_disk_destroy(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_nothing),
		cmocka_unit_test(over_garbage),
		cmocka_unit_test(over_a_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
