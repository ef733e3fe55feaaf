/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that holds something is not made a pool: each kind by the bytes that tell it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_signature.h"
#include "test_disk.h"

#define DISK_BYTES (32u << 20)

struct patch {
	uint64_t offset;
	const char *bytes;
	size_t length;
};
#define PATCH(offset, bytes) {offset, bytes, sizeof(bytes) - 1}

static const struct {
	const char *name;
	struct patch patches[8];
} cases[] = {
	{ "dos",
	  { PATCH(446, "\x00\x20\x21\x00\x83\xaa\x28\x02\x00\x08\x00\x00\x00\x80\x00\x00"),
	    PATCH(510, "\x55\xaa") } },
	{ "swap",
	  { PATCH(1024, "\x01\x00\x00\x00\xff\x0f\x00\x00\x00\x00\x00\x00"), PATCH(4086, "SWAPSPACE2") } },
	{ "crypto_LUKS", { PATCH(0, "LUKS\xba\xbe\x00\x01") } },
	{ "LVM2_member",
	  { PATCH(512,
		  "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001") } },
	{ "linux_raid_member",
	  { PATCH(4096, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"), PATCH(4096 + 144, "\x08") } },
	{ "qcow2", { PATCH(0, "QFI\xfb\x00\x00\x00\x03") } },
	{ "VMDK", { PATCH(0, "KDMV") } },
	{ "ext2",
	  { PATCH(1024, "\x00\x08\x00\x00\x00\x20\x00\x00"),
	    PATCH(1024 + 20, "\x01\x00\x00\x00\x00\x00\x00\x00"),
	    PATCH(1024 + 32, "\x00\x20\x00\x00\x00\x20\x00\x00\x00\x08\x00\x00"),
	    PATCH(1024 + 56, "\x53\xef\x01\x00"), PATCH(1024 + 76, "\x01\x00\x00\x00"),
	    PATCH(1024 + 104, "0123456789abcdef") } },
	{ "ext4",
	  { PATCH(1024, "\x00\x08\x00\x00\x00\x20\x00\x00"),
	    PATCH(1024 + 32, "\x00\x20\x00\x00\x00\x20\x00\x00\x00\x08"),
	    PATCH(1024 + 56, "\x53\xef\x01\x00"), PATCH(1024 + 76, "\x01\x00\x00\x00"),
	    PATCH(1024 + 92, "\x3c\x00\x00\x00\x46\x02\x00\x00"), PATCH(1024 + 104, "0123456789abcdef") } },
};

static void each_kind(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
		struct error error = { .text = "" };

		for (const struct patch *patch = cases[i].patches; patch->bytes; patch++)
			memcpy(disk->bytes + patch->offset, patch->bytes, patch->length);
		if (pool_format(&disk->host, false, &error) != -EEXIST || !strstr(error.text, cases[i].name))
			fail_msg("%s: \"%s\"", cases[i].name, error.text);
		assert_int_equal(disk->writes, 0);
		assert_int_equal(pool_format(&disk->host, true, &error), 0);
		/* Nothing of it is found in a pool. */
		assert_int_equal(pool_signature_find(&disk->host, true, error.text), 0);
		test_disk_destroy(disk);
	}
}

/* RAID metadata 1.0 lies at the end; a guest could write it there, so it counts only when formatting. */
static void at_the_end(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	char name[POOL_SIGNATURE_MAX] = "";
	uint64_t sector = (DISK_BYTES / 512 - 16) & ~7ull;

	memcpy(disk->bytes + sector * 512, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00", 8);
	memcpy(disk->bytes + sector * 512 + 144, &sector, 8);
	assert_int_equal(pool_signature_find(&disk->host, false, name), 0);
	assert_int_equal(pool_signature_find(&disk->host, true, name), 1);
	assert_non_null(strstr(name, "raid"));
	assert_int_equal(pool_format(&disk->host, true, NULL), 0);
	assert_int_equal(pool_signature_find(&disk->host, true, name), 0);
	test_disk_destroy(disk);
}

static void nothing(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	char name[POOL_SIGNATURE_MAX] = "untouched";

	/* Data without a known beginning. */
	for (size_t i = 0; i < DISK_BYTES; i++)
		disk->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(pool_signature_find(&disk->host, true, name), 0);
	assert_string_equal(name, "untouched");
	disk->read_error = -EIO;
	assert_int_equal(pool_signature_find(&disk->host, true, name), -EIO);
	test_disk_destroy(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind),
		cmocka_unit_test(at_the_end),
		cmocka_unit_test(nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
