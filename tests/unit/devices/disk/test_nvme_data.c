/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the data of a command of the NVMe model's lies: PRPs and SGLs, made by hand, right and wrong ones.
 * test_nvme_io.c makes right ones at random.
 */
#include "nvme_driver.h"

#define BLOCK 512u

/* The disk's byte at `offset`. */
static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 509);
}

static void begin_with_pattern(void)
{
	begin_ready();
	for (uint64_t i = 0; i < DISK_BYTES; i++)
		driver.held->bytes[i] = pattern(i);
}

/* Is the disk's range in the guest's memory there? */
static void assert_data(uint64_t at, uint64_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (driver.ram[at + i] != pattern(offset + i))
			assert_int_equal(driver.ram[at + i], pattern(offset + i));
}

/* Does [at, at + bytes) hold nothing that was read? */
static void assert_untouched(uint64_t at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(driver.ram[at + i], 0);
}

static struct nvme_command read_blocks(uint32_t blocks)
{
	memset(driver.ram + DATA_AT, 0, RAM_BYTES - DATA_AT);
	return (struct nvme_command){ .opcode = NVME_IO_READ, .namespace_id = 1, .cdw12 = blocks - 1 };
}

static uint64_t gpa(uint64_t at)
{
	return RAM_BASE + at;
}

/* ---- physical region pages ---- */

static uint16_t read_prp(uint32_t blocks, uint64_t prp1, uint64_t prp2)
{
	struct nvme_command command = read_blocks(blocks);

	command.prp1 = prp1;
	command.prp2 = prp2;
	return run_status(1, command);
}

static void one_page(void **state)
{
	begin_with_pattern();
	/* The second is not looked at. */
	assert_int_equal(read_prp(8, gpa(DATA_AT), OUTSIDE + 1), NVME_SUCCESS);
	assert_data(DATA_AT, 0, PAGE);
	assert_untouched(DATA_AT + PAGE, PAGE);
	assert_int_equal(read_prp(1, gpa(DATA_AT + PAGE - BLOCK), OUTSIDE + 1), NVME_SUCCESS);
	assert_untouched(DATA_AT, PAGE - BLOCK);
	assert_data(DATA_AT + PAGE - BLOCK, 0, BLOCK);
	assert_untouched(DATA_AT + PAGE, PAGE);
	end();
}

static void two_pages(void **state)
{
	begin_with_pattern();
	/* Each offset that a first page may have. */
	for (unsigned offset = 4; offset < PAGE; offset += 4 * 37) {
		assert_int_equal(read_prp(8, gpa(DATA_AT + offset), gpa(DATA_AT + 5 * PAGE)), NVME_SUCCESS);
		assert_untouched(DATA_AT, offset);
		assert_data(DATA_AT + offset, 0, PAGE - offset);
		assert_untouched(DATA_AT + PAGE, PAGE);
		assert_data(DATA_AT + 5 * PAGE, PAGE - offset, offset);
		assert_untouched(DATA_AT + 5 * PAGE + offset, PAGE - offset);
	}
	for (unsigned offset = 1; offset < 4; offset++)
		assert_int_equal(read_prp(8, gpa(DATA_AT) + offset, gpa(DATA_AT + PAGE)),
				 REFUSED(NVME_PRP_OFFSET_INVALID));
	assert_int_equal(read_prp(16, gpa(DATA_AT), gpa(DATA_AT + PAGE + 4)),
			 REFUSED(NVME_PRP_OFFSET_INVALID));
	assert_int_equal(read_prp(16, gpa(DATA_AT), gpa(DATA_AT + PAGE + 2048)),
			 REFUSED(NVME_PRP_OFFSET_INVALID));
	assert_int_equal(read_prp(16, gpa(DATA_AT), OUTSIDE), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_prp(16, OUTSIDE, gpa(DATA_AT)), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_prp(16, gpa(RAM_BYTES - PAGE), gpa(RAM_BYTES)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_prp(8, UINT64_MAX & ~3ull, 0), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_prp(8, 0, 0), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_untouched(DATA_AT, 4 * PAGE);
	end();
}

static void list_entry(uint64_t at, uint64_t address)
{
	memcpy(driver.ram + at, &address, sizeof(address));
}

/* A list that begins so many entries before the end of a page, of `pages` pages in descending order. */
static void list_of(uint64_t at, unsigned pages)
{
	uint64_t next = LISTS_AT + 16 * PAGE;

	for (unsigned i = 0; i < pages; i++) {
		if (at % PAGE == PAGE - 8 && i + 1 < pages) {
			list_entry(at, gpa(next));
			at = next;
			next += PAGE;
		}
		list_entry(at, gpa(DATA_AT + (pages - i) * PAGE));
		at += 8;
	}
}

static void lists(void **state)
{
	begin_with_pattern();
	for (unsigned pages = 2; pages <= 40; pages += 19) {
		/* From the page's beginning, in its middle, and where the last entries are. */
		for (unsigned from = 0; from < 512; from += from < 500 ? 50 : 1) {
			uint64_t list = LISTS_AT + 8 * from;

			if (from == 511)
				break;
			list_of(list, pages);
			assert_int_equal(read_prp(8 * (pages + 1), gpa(DATA_AT), gpa(list)), NVME_SUCCESS);
			assert_data(DATA_AT, 0, PAGE);
			for (unsigned i = 0; i < pages; i++)
				assert_data(DATA_AT + (pages - i) * PAGE, (i + 1ull) * PAGE, PAGE);
			assert_untouched(DATA_AT + (pages + 1) * PAGE, PAGE);
		}
	}
	end();
}

/* The most that a command carries, at an odd place: 257 pages. */
static void the_longest_list(void **state)
{
	begin_with_pattern();
	list_of(LISTS_AT, 256);
	assert_int_equal(read_prp(2048, gpa(DATA_AT + 2048), gpa(LISTS_AT)), NVME_SUCCESS);
	assert_data(DATA_AT + 2048, 0, 2048);
	for (unsigned i = 0; i < 255; i++)
		assert_data(DATA_AT + (256 - i) * PAGE, 2048 + (uint64_t)i * PAGE, PAGE);
	assert_data(DATA_AT + PAGE, 2048 + 255 * PAGE, 2048);
	assert_untouched(DATA_AT + PAGE + 2048, 2048);
	end();
}

static void lists_that_are_wrong(void **state)
{
	begin_with_pattern();
	list_of(LISTS_AT, 4);
	for (unsigned offset = 1; offset < 8; offset++)
		assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT + offset)),
				 REFUSED(NVME_PRP_OFFSET_INVALID));
	/* A page that only names the next one: it might go on so for ever. */
	list_entry(LISTS_AT + PAGE - 8, gpa(LISTS_AT + PAGE - 8));
	assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT + PAGE - 8)),
			 REFUSED(NVME_PRP_OFFSET_INVALID));
	for (unsigned bad = 0; bad < 4; bad++) {
		list_of(LISTS_AT, 4);
		list_entry(LISTS_AT + 8 * bad, gpa(DATA_AT) + 4);
		assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT)), REFUSED(NVME_PRP_OFFSET_INVALID));
		list_entry(LISTS_AT + 8 * bad, OUTSIDE);
		assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT)),
				 REFUSED(NVME_DATA_TRANSFER_ERROR));
	}
	/* Outside: all of it, its second page, or the chain. */
	assert_int_equal(read_prp(40, gpa(DATA_AT), OUTSIDE), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_prp(40, gpa(DATA_AT), UINT64_MAX - 7), REFUSED(NVME_PRP_OFFSET_INVALID));
	assert_int_equal(read_prp(40, gpa(DATA_AT), UINT64_MAX - 15), REFUSED(NVME_DATA_TRANSFER_ERROR));
	list_of(LISTS_AT + PAGE - 16, 4);
	list_entry(LISTS_AT + PAGE - 8, OUTSIDE);
	assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT + PAGE - 16)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	list_entry(LISTS_AT + PAGE - 8, gpa(LISTS_AT) + 4);
	assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT + PAGE - 16)),
			 REFUSED(NVME_PRP_OFFSET_INVALID));
	/* A page that names itself as the next: it ends with the data, of which there are two parts. */
	list_entry(LISTS_AT + PAGE - 16, gpa(DATA_AT + PAGE));
	list_entry(LISTS_AT + PAGE - 8, gpa(LISTS_AT + PAGE - 16));
	assert_int_equal(read_prp(40, gpa(DATA_AT), gpa(LISTS_AT + PAGE - 16)),
			 REFUSED(NVME_PRP_OFFSET_INVALID));
	assert_int_equal(driver.held->logged, 0);
	end();
}

/* ---- scatter gather lists ---- */

static struct nvme_sgl sgl(uint8_t type, uint64_t address, uint32_t bytes)
{
	return (struct nvme_sgl){ .address = address, .bytes = bytes, .type = (uint8_t)(type << 4) };
}

static void descriptor(uint64_t at, struct nvme_sgl descriptor)
{
	memcpy(driver.ram + at, &descriptor, sizeof(descriptor));
}

/* Descriptor `index` of the list. */
static void nth(unsigned index, uint8_t type, uint64_t address, uint32_t bytes)
{
	descriptor(LISTS_AT + 16 * index, sgl(type, address, bytes));
}

static uint16_t read_sgl(uint32_t blocks, struct nvme_sgl first)
{
	struct nvme_command command = read_blocks(blocks);

	command.flags = NVME_PSDT_SGL << 6;
	memcpy(&command.prp1, &first, sizeof(first));
	return run_status(1, command);
}

static uint16_t read_list(uint32_t blocks, unsigned descriptors)
{
	return read_sgl(blocks, sgl(NVME_SGL_LAST_SEGMENT, gpa(LISTS_AT), 16 * descriptors));
}

static void data_blocks(void **state)
{
	begin_with_pattern();
	for (unsigned offset = 0; offset < 7; offset++) {
		assert_int_equal(read_sgl(40, sgl(NVME_SGL_DATA, gpa(DATA_AT + offset), 40 * BLOCK)),
				 NVME_SUCCESS);
		assert_untouched(DATA_AT, offset);
		assert_data(DATA_AT + offset, 0, 40 * BLOCK);
		assert_untouched(DATA_AT + offset + 40 * BLOCK, PAGE);
	}
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, gpa(DATA_AT), PAGE - 1)),
			 REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, gpa(DATA_AT), PAGE + 1)),
			 REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, gpa(DATA_AT), 0)), REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, gpa(DATA_AT), UINT32_MAX)),
			 REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, OUTSIDE, PAGE)), REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, gpa(RAM_BYTES - 1), PAGE)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_sgl(8, sgl(NVME_SGL_DATA, UINT64_MAX - 9, PAGE)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	end();
}

/* All but data blocks, segments and last segments, and all subtypes. */
static void types_that_are_wrong(void **state)
{
	begin_with_pattern();
	for (unsigned type = 0; type < 256; type++) {
		struct nvme_sgl first = sgl(0, gpa(LISTS_AT), 16);
		bool is_data = type >> 4 == NVME_SGL_DATA, is_last = type >> 4 == NVME_SGL_LAST_SEGMENT,
		     is_segment = type >> 4 == NVME_SGL_SEGMENT || is_last;

		nth(0, NVME_SGL_DATA, gpa(DATA_AT), PAGE);
		first.type = (uint8_t)type;
		if (type == 0x00)
			assert_int_equal(read_sgl(8, first), REFUSED(NVME_SGL_LENGTH_INVALID));
		else if (type == 0x20 || type == 0x30)
			assert_int_equal(read_sgl(8, first), NVME_SUCCESS);
		else
			assert_int_equal(read_sgl(8, first), REFUSED(NVME_SGL_TYPE_INVALID));
		/* The same inside of a last segment, where there may be no other one. */
		first = sgl(0, gpa(DATA_AT), PAGE);
		first.type = (uint8_t)type;
		descriptor(LISTS_AT, first);
		assert_int_equal(read_list(8, 1), is_data && type == 0 ? NVME_SUCCESS
						  : is_segment	       ? REFUSED(NVME_INVALID_SGL_SEGMENT)
								       : REFUSED(NVME_SGL_TYPE_INVALID));
	}
	end();
}

static void segments(void **state)
{
	begin_with_pattern();
	/* Two segments and a last one, with descriptors of no bytes in between. */
	nth(0, NVME_SGL_DATA, gpa(DATA_AT + 1), 1);
	nth(1, NVME_SGL_DATA, OUTSIDE, 0);
	nth(2, NVME_SGL_DATA, gpa(DATA_AT + PAGE - 1), 510);
	nth(3, NVME_SGL_SEGMENT, gpa(LISTS_AT + 16 * 100), 32);
	nth(100, NVME_SGL_DATA, gpa(DATA_AT + 3 * PAGE), 1);
	nth(101, NVME_SGL_LAST_SEGMENT, gpa(LISTS_AT + 16 * 200), 16);
	nth(200, NVME_SGL_DATA, gpa(DATA_AT + 2 * PAGE), 512);
	assert_int_equal(read_sgl(2, sgl(NVME_SGL_SEGMENT, gpa(LISTS_AT), 64)), NVME_SUCCESS);
	assert_data(DATA_AT + 1, 0, 1);
	assert_data(DATA_AT + PAGE - 1, 1, 510);
	assert_data(DATA_AT + 3 * PAGE, 511, 1);
	assert_data(DATA_AT + 2 * PAGE, 512, 512);
	assert_untouched(DATA_AT + 2, 100);
	/* Another segment only at the end of one. */
	nth(2, NVME_SGL_SEGMENT, gpa(LISTS_AT + 16 * 100), 32);
	assert_int_equal(read_sgl(2, sgl(NVME_SGL_SEGMENT, gpa(LISTS_AT), 64)),
			 REFUSED(NVME_INVALID_SGL_SEGMENT));
	/* Neither empty, nor of half descriptors. */
	assert_int_equal(read_list(2, 0), REFUSED(NVME_INVALID_SGL_SEGMENT));
	for (uint32_t bytes = 1; bytes < 64; bytes += 13)
		assert_int_equal(read_sgl(1, sgl(NVME_SGL_LAST_SEGMENT, gpa(LISTS_AT), bytes)),
				 REFUSED(NVME_INVALID_SGL_SEGMENT));
	/* Outside, in part or whole. */
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_SEGMENT, OUTSIDE, 16)), REFUSED(NVME_DATA_TRANSFER_ERROR));
	nth(0, NVME_SGL_DATA, gpa(DATA_AT), 512);
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_SEGMENT, gpa(RAM_BYTES - 8), 16)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_SEGMENT, UINT64_MAX - 15, 32)),
			 REFUSED(NVME_DATA_TRANSFER_ERROR));
	end();
}

/* Lists that say more than they carry, or lead back to themselves, end. */
static void segments_without_an_end(void **state)
{
	begin_with_pattern();
	nth(0, NVME_SGL_SEGMENT, gpa(LISTS_AT), 16);
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_SEGMENT, gpa(LISTS_AT), 16)),
			 REFUSED(NVME_INVALID_SGL_COUNT));
	/* Two that name each other, with data of no bytes. */
	nth(0, NVME_SGL_DATA, gpa(DATA_AT), 0);
	nth(1, NVME_SGL_SEGMENT, gpa(LISTS_AT + 32), 32);
	nth(2, NVME_SGL_DATA, gpa(DATA_AT), 0);
	nth(3, NVME_SGL_SEGMENT, gpa(LISTS_AT), 32);
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_SEGMENT, gpa(LISTS_AT), 32)),
			 REFUSED(NVME_INVALID_SGL_COUNT));
	/* Many of no bytes, in a segment of four gigabytes. */
	for (unsigned i = 0; i < 2000; i++)
		nth(i, NVME_SGL_DATA, gpa(DATA_AT), 0);
	assert_int_equal(read_sgl(1, sgl(NVME_SGL_LAST_SEGMENT, gpa(LISTS_AT), UINT32_MAX & ~15u)),
			 REFUSED(NVME_INVALID_SGL_COUNT));
	/* More descriptors than the command has bytes for. */
	for (unsigned i = 0; i < 100; i++)
		nth(i, NVME_SGL_DATA, gpa(DATA_AT), 512);
	assert_int_equal(read_list(99, 100), REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(read_list(101, 100), REFUSED(NVME_SGL_LENGTH_INVALID));
	assert_int_equal(driver.held->logged, 0);
	assert_int_equal(read_list(100, 100), NVME_SUCCESS);
	end();
}

/* The most pieces: one for each page of the largest command, and one more. */
static void as_many_descriptors_as_pages(void **state)
{
	begin_with_pattern();
	nth(0, NVME_SGL_DATA, gpa(DATA_AT), 2048);
	for (unsigned i = 1; i < 256; i++)
		nth(i, NVME_SGL_DATA, gpa(DATA_AT + i * 2 * PAGE), PAGE);
	nth(256, NVME_SGL_DATA, gpa(DATA_AT + PAGE), 2048);
	assert_int_equal(read_list(2048, 257), NVME_SUCCESS);
	assert_data(DATA_AT + 255 * 2 * PAGE, 2048 + 254 * PAGE, PAGE);
	assert_data(DATA_AT + PAGE, DISK_BYTES - 2048, 2048);
	nth(256, NVME_SGL_DATA, gpa(DATA_AT + PAGE), 1024);
	nth(257, NVME_SGL_DATA, gpa(DATA_AT + PAGE + 2048), 1024);
	assert_int_equal(read_list(2048, 258), REFUSED(NVME_INVALID_SGL_COUNT));
	end();
}

static void the_kinds_of_pointers(void **state)
{
	struct nvme_command command;
	struct nvme_sgl first = sgl(NVME_SGL_DATA, gpa(DATA_AT), BLOCK);

	begin_with_pattern();
	for (unsigned psdt = 0; psdt < 4; psdt++) {
		command = read_blocks(1);
		command.flags = (uint8_t)(psdt << 6);
		memcpy(&command.prp1, &first, sizeof(first));
		assert_int_equal(run_status(1, command),
				 psdt < 3 ? NVME_SUCCESS : REFUSED(NVME_INVALID_FIELD));
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_page),
		cmocka_unit_test(two_pages),
		cmocka_unit_test(lists),
		cmocka_unit_test(the_longest_list),
		cmocka_unit_test(lists_that_are_wrong),
		cmocka_unit_test(data_blocks),
		cmocka_unit_test(types_that_are_wrong),
		cmocka_unit_test(segments),
		cmocka_unit_test(segments_without_an_end),
		cmocka_unit_test(as_many_descriptors_as_pages),
		cmocka_unit_test(the_kinds_of_pointers),
	};

	return cmocka_run_group_tests_name("nvme_data", tests, NULL, NULL);
}
