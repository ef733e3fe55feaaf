/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/disk/image_format.h"

static struct image_ends head(const char *bytes, size_t length, size_t at)
{
	struct image_ends ends = { 0 };

	memcpy(ends.head + at, bytes, length);
	return ends;
}

static void test_names(void **state)
{
	enum image_format format;

	for (unsigned i = 0; i < IMAGE_FORMATS; i++) {
		assert_int_equal(image_format_parse(image_format_name((enum image_format)i), &format), 0);
		assert_int_equal(format, i);
	}
	assert_int_equal(image_format_parse("", &format), -EINVAL);
	assert_int_equal(image_format_parse("RAW", &format), -EINVAL);
	assert_int_equal(image_format_parse("raw ", &format), -EINVAL);
}

static void test_signatures(void **state)
{
	static const struct {
		enum image_format format;
		const char *bytes;
		size_t length, at;
	} cases[] = {
		{ IMAGE_QCOW, "QFI\xfb\0\0\0\1", 8, 0 },
		{ IMAGE_QCOW2, "QFI\xfb\0\0\0\2", 8, 0 },
		{ IMAGE_QCOW2, "QFI\xfb\0\0\0\3", 8, 0 },
		{ IMAGE_QCOW2, "QFI\xfb\xff\xff\xff\xff", 8, 0 },
		{ IMAGE_RAW, "QFI\xfa\0\0\0\3", 8, 0 },
		{ IMAGE_QED, "QED\0", 4, 0 },
		{ IMAGE_RAW, "QEDx", 4, 0 },
		{ IMAGE_VMDK, "KDMV", 4, 0 },
		{ IMAGE_VMDK, "COWD", 4, 0 },
		{ IMAGE_VDI, "\x7f\x10\xda\xbe", 4, 64 },
		{ IMAGE_RAW, "\x7f\x10\xda\xbe", 4, 0 },
		{ IMAGE_VPC, "conectix", 8, 0 },
		{ IMAGE_VHDX, "vhdxfile", 8, 0 },
		{ IMAGE_PARALLELS, "WithoutFreeSpace", 16, 0 },
		{ IMAGE_PARALLELS, "WithouFreSpacExt", 16, 0 },
		{ IMAGE_BOCHS, "Bochs Virtual HD Image", 23, 0 },
		{ IMAGE_CLOOP, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0", 45, 0 },
		{ IMAGE_RAW, "#!/bin/sh\necho", 14, 0 },
		{ IMAGE_LUKS, "LUKS\xba\xbe", 6, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_ends ends = head(cases[i].bytes, cases[i].length, cases[i].at);

		assert_int_equal(image_format_of(&ends), cases[i].format);
	}
}

static void test_packings(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t length, at;
	} cases[] = {
		{ "gzip", "\x1f\x8b\x08\0", 4, 0 },
		{ "xz", "\xfd" "7zXZ\0", 6, 0 },
		{ "zstd", "\x28\xb5\x2f\xfd", 4, 0 },
		{ "lz4", "\x04\x22\x4d\x18", 4, 0 },
		{ "bzip2", "BZh91AY&SY", 10, 0 },
		{ "lzip", "LZIP\1", 5, 0 },
		{ "lzop", "\x89LZO\0\r\n\x1a\n", 9, 0 },
		{ "7z", "7z\xbc\xaf\x27\x1c", 6, 0 },
		{ "zip", "PK\3\4", 4, 0 },
		{ "rar", "Rar!\x1a\7\1\0", 8, 0 },
		{ "tar", "ustar\0", 6, 257 },
		{ NULL, "ustar\0", 6, 0 },
		{ NULL, "BZh9", 4, 0 },
		{ NULL, "\x1f\x8b\x07\0", 4, 0 },
		{ NULL, "", 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_ends ends = head(cases[i].bytes, cases[i].length, cases[i].at);
		const char *name = image_format_packed(&ends);

		assert_int_equal(image_format_of(&ends), IMAGE_RAW);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
		else
			assert_null(name);
	}
}

static void test_signatures_at_the_end(void **state)
{
	struct image_ends ends = { 0 };

	assert_int_equal(image_format_of(&ends), IMAGE_RAW);
	memcpy(ends.tail, "conectix", 8);
	assert_int_equal(image_format_of(&ends), IMAGE_VPC);
	memcpy(ends.tail, "koly\0\0\0\4", 8);
	assert_int_equal(image_format_of(&ends), IMAGE_DMG);
	memcpy(ends.head, "vhdxfile", 8); /* the beginning counts first */
	assert_int_equal(image_format_of(&ends), IMAGE_VHDX);
}

static void test_vmdk_text(void **state)
{
	static const char *const text[] = {
		"# Disk DescriptorFile\nversion=1\n",
		"\r\n \n# disk descriptorfile",
		"# other\n#\nversion=3\n",
		"version=1",
	};
	static const char *const other[] = { "", "#\n", "# other\n", "x\n# Disk DescriptorFile\n",
					     "# Disk Descriptor" };
	struct image_ends ends;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		ends = head(text[i], strlen(text[i]), 0);
		assert_int_equal(image_format_of(&ends), IMAGE_VMDK);
		assert_non_null(image_format_other_files(IMAGE_VMDK, &ends));
	}
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		ends = head(other[i], strlen(other[i]), 0);
		assert_int_equal(image_format_of(&ends), IMAGE_RAW);
	}
	memset(ends.head, '#', sizeof(ends.head)); /* no line ends in what is looked at */
	assert_int_equal(image_format_of(&ends), IMAGE_RAW);
	memset(ends.head, '\n', sizeof(ends.head));
	assert_int_equal(image_format_of(&ends), IMAGE_RAW);
}

static void test_other_files(void **state)
{
	struct image_ends ends = head("QFI\xfb\0\0\0\3", 8, 0);

	assert_null(image_format_other_files(IMAGE_QCOW2, &ends));
	ends.head[79] = 4; /* bit 2 of a number of 8 bytes, most significant first */
	assert_non_null(image_format_other_files(IMAGE_QCOW2, &ends));
	ends.head[79] = 0xfb;
	assert_null(image_format_other_files(IMAGE_QCOW2, &ends));
	ends.head[79] = 4;
	ends.head[7] = 2; /* version 2 has no features there, but data */
	assert_null(image_format_other_files(IMAGE_QCOW2, &ends));

	ends = head("KDMV", 4, 0);
	assert_non_null(image_format_other_files(IMAGE_VMDK, &ends));
	ends.head[19] = 1;
	assert_null(image_format_other_files(IMAGE_VMDK, &ends));
	ends = head("COWD", 4, 0);
	assert_null(image_format_other_files(IMAGE_VMDK, &ends));
	assert_null(image_format_other_files(IMAGE_RAW, &ends));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	    cmocka_unit_test(test_packings),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_vmdk_text),   cmocka_unit_test(test_signatures_at_the_end),
		cmocka_unit_test(test_other_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
