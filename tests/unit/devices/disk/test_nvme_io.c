/* SPDX-License-Identifier: GPL-2.0-or-later */
/* I/O commands of the NVMe model against a plain array, and what is refused or fails. */
#include "nvme_driver.h"
#include "test_disk.h"

#define BLOCK	   512u
#define BLOCKS	   (DISK_BYTES / BLOCK)
#define DATA_PAGES 512u /* the guest's pages that data may lie in */
#define OPERATIONS 300u
#define PIECES_MAX 300u
#define UNTOUCHED  0x5au
#define FUA	   (1u << 30)

/* ---- data in pieces ---- */

struct pieces {
	struct {
		uint32_t at, bytes;
	} piece[PIECES_MAX];
	unsigned count;
};

static uint64_t seed;
static uint8_t expected[DISK_BYTES], buffer[DISK_BYTES];

/* Each page at most once. */
static void shuffle_pages(uint32_t pages[DATA_PAGES])
{
	for (unsigned i = 0; i < DATA_PAGES; i++)
		pages[i] = DATA_AT + i * PAGE;
	for (unsigned i = 0; i < DATA_PAGES; i++) {
		unsigned other = test_below(&seed, DATA_PAGES);
		uint32_t page = pages[i];

		pages[i] = pages[other];
		pages[other] = page;
	}
}

static void add_piece(struct pieces *pieces, uint32_t at, uint32_t bytes)
{
	assert_true(pieces->count < PIECES_MAX);
	pieces->piece[pieces->count].at = at;
	pieces->piece[pieces->count++].bytes = bytes;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The list's entries, from a random place in a page on; page after page. */
static uint64_t put_list(const struct pieces *pieces)
{
	uint64_t first = LISTS_AT + 8 * test_below(&seed, 511), at = first, next = LISTS_AT + 8 * PAGE, entry;

	for (unsigned i = 1; i < pieces->count; i++) {
		if (at % PAGE == PAGE - 8 && i + 1 < pieces->count) {
			entry = RAM_BASE + next;
			memcpy(driver.ram + at, &entry, sizeof(entry));
			at = next;
			next += PAGE;
		}
		entry = RAM_BASE + pieces->piece[i].at;
		memcpy(driver.ram + at, &entry, sizeof(entry));
		at += 8;
	}
	return RAM_BASE + first;
}

static void scatter_prp(struct nvme_command *command, uint32_t bytes, struct pieces *pieces)
{
	uint32_t pages[DATA_PAGES], offset = test_below(&seed, 2) ? 4 * test_below(&seed, PAGE / 4) : 0;

	shuffle_pages(pages);
	for (unsigned i = 0; bytes > 0; i++) {
		uint32_t now = smaller(bytes, PAGE - offset);

		add_piece(pieces, pages[i] + offset, now);
		bytes -= now;
		offset = 0;
	}
	command->prp1 = RAM_BASE + pieces->piece[0].at;
	if (pieces->count == 2)
		command->prp2 = RAM_BASE + pieces->piece[1].at;
	else if (pieces->count > 2)
		command->prp2 = put_list(pieces);
}

static void put_descriptor(uint64_t at, uint64_t address, uint32_t bytes, uint8_t type)
{
	const struct nvme_sgl sgl = { .address = address, .bytes = bytes, .type = (uint8_t)(type << 4) };

	memcpy(driver.ram + at, &sgl, sizeof(sgl));
}

/* Segments of random lengths, one behind the other. */
static void put_segments(struct nvme_command *command, const struct pieces *pieces)
{
	uint64_t at = LISTS_AT, name = 0;
	unsigned done = 0;
	struct nvme_sgl sgl;

	for (unsigned segment = 0; done < pieces->count; segment++) {
		unsigned left = pieces->count - done, now = 1 + test_below(&seed, 2 * left);
		bool is_last = now >= left || segment == 10;
		unsigned data = is_last ? left : now;
		uint8_t type = is_last && test_below(&seed, 2) ? NVME_SGL_LAST_SEGMENT : NVME_SGL_SEGMENT;
		uint32_t bytes = 16 * (data + (is_last ? 0 : 1));

		sgl = (struct nvme_sgl){ .address = RAM_BASE + at, .bytes = bytes };
		sgl.type = (uint8_t)(type << 4);
		if (segment == 0)
			memcpy(&command->prp1, &sgl, sizeof(sgl));
		else
			memcpy(driver.ram + name, &sgl, sizeof(sgl));
		for (unsigned i = 0; i < data; i++, done++)
			put_descriptor(at + 16 * i, RAM_BASE + pieces->piece[done].at,
				       pieces->piece[done].bytes, NVME_SGL_DATA);
		name = at + 16 * data;
		at += 16 * (data + 1 + test_below(&seed, 20));
	}
}

static void scatter_sgl(struct nvme_command *command, uint32_t bytes, struct pieces *pieces)
{
	uint32_t pages[DATA_PAGES];

	shuffle_pages(pages);
	command->flags = NVME_PSDT_SGL << 6;
	for (unsigned i = 0; bytes > 0 || i == 0; i++) {
		uint32_t offset = test_below(&seed, 3) ? test_below(&seed, PAGE) : 0;
		uint32_t now = smaller(bytes, PAGE - offset);

		/* There are only so many pieces. */
		if (pieces->count > 60 && bytes > 40 * PAGE)
			offset = 0, now = PAGE;
		add_piece(pieces, pages[i] + offset, now);
		bytes -= now;
	}
	if (pieces->count == 1)
		put_descriptor(LISTS_AT, RAM_BASE + pieces->piece[0].at, pieces->piece[0].bytes, 0);
	if (pieces->count == 1)
		memcpy(&command->prp1, driver.ram + LISTS_AT, sizeof(struct nvme_sgl));
	else
		put_segments(command, pieces);
}

/* Data for the command, of random bytes; the pages around it are known. */
static void scatter(struct nvme_command *command, uint32_t bytes, struct pieces *pieces)
{
	pieces->count = 0;
	memset(driver.ram + DATA_AT, UNTOUCHED, DATA_PAGES * PAGE);
	/* An SGL of so many odd pieces has more descriptors than a command may. */
	if (test_below(&seed, 2) && bytes <= 64 * PAGE)
		scatter_sgl(command, bytes, pieces);
	else
		scatter_prp(command, bytes, pieces);
}

static void gather(const struct pieces *pieces, uint8_t *to)
{
	for (unsigned i = 0; i < pieces->count; i++) {
		memcpy(to, driver.ram + DATA_AT + (pieces->piece[i].at - DATA_AT), pieces->piece[i].bytes);
		to += pieces->piece[i].bytes;
	}
}

/* Nothing but the pieces was written to. */
static void assert_only_pieces(const struct pieces *pieces)
{
	for (unsigned i = 0; i < pieces->count; i++)
		memset(driver.ram + pieces->piece[i].at, UNTOUCHED, pieces->piece[i].bytes);
	for (size_t i = 0; i < DATA_PAGES * PAGE; i += 8) {
		uint64_t word;

		memcpy(&word, driver.ram + DATA_AT + i, sizeof(word));
		if (word != 0x5a5a5a5a5a5a5a5a)
			fail_msg("a byte at %zu was written to", i);
	}
}

/* ---- against an array ---- */

static struct nvme_command command_of(uint8_t opcode, uint64_t first_block, uint32_t blocks)
{
	return (struct nvme_command){
		.opcode = opcode,
		.namespace_id = 1,
		.cdw10 = (uint32_t)first_block,
		.cdw11 = (uint32_t)(first_block >> 32),
		.cdw12 = blocks - 1,
	};
}

static void random_read_or_write(uint32_t first, uint32_t blocks)
{
	bool is_read = test_below(&seed, 2), fits = first + blocks <= BLOCKS;
	struct nvme_command command = command_of(is_read ? NVME_IO_READ : NVME_IO_WRITE, first, blocks);
	struct pieces pieces;
	uint16_t status;

	scatter(&command, blocks * BLOCK, &pieces);
	for (unsigned i = 0; i < pieces.count && !is_read; i++)
		for (unsigned j = 0; j < pieces.piece[i].bytes; j++)
			driver.ram[pieces.piece[i].at + j] = (uint8_t)test_random(&seed);
	if (test_below(&seed, 4) == 0)
		command.cdw12 |= FUA;
	gather(&pieces, buffer);
	status = run_status(1, command);
	assert_int_equal(status, fits ? NVME_SUCCESS : REFUSED(NVME_LBA_OUT_OF_RANGE));
	if (!fits)
		return;
	if (!is_read)
		memcpy(expected + first * BLOCK, buffer, blocks * BLOCK);
	gather(&pieces, buffer);
	assert_memory_equal(buffer, expected + first * BLOCK, blocks * BLOCK);
	assert_only_pieces(&pieces);
}

static void random_zeroes(uint32_t first, uint32_t blocks)
{
	uint16_t status = run_status(1, command_of(NVME_IO_WRITE_ZEROES, first, blocks));

	assert_int_equal(status, first + blocks <= BLOCKS ? NVME_SUCCESS : REFUSED(NVME_LBA_OUT_OF_RANGE));
	if (!status)
		memset(expected + first * BLOCK, 0, blocks * BLOCK);
}

/* Ranges of whole 4 KiB, which a disk that punches reads as zeroes afterwards. */
static void random_deallocation(void)
{
	struct nvme_command command = { .opcode = NVME_IO_DATASET_MANAGEMENT, .namespace_id = 1 };
	unsigned ranges = 1 + test_below(&seed, 20);
	struct nvme_range range[20];
	struct pieces pieces;
	bool fits = true;
	uint16_t status;

	for (unsigned i = 0; i < ranges; i++) {
		range[i] = (struct nvme_range){ .blocks = 8 * test_below(&seed, 6),
						.first_block = 8 * test_below(&seed, BLOCKS / 8 + 1) };
		fits &= range[i].first_block + range[i].blocks <= BLOCKS;
	}
	command.cdw10 = ranges - 1;
	command.cdw11 = test_below(&seed, 4) ? 7 : 3;
	scatter(&command, ranges * 16, &pieces);
	for (unsigned i = 0, done = 0; i < pieces.count; done += pieces.piece[i++].bytes)
		memcpy(driver.ram + pieces.piece[i].at, (uint8_t *)range + done, pieces.piece[i].bytes);
	status = run_status(1, command);
	assert_int_equal(status, fits ? NVME_SUCCESS : REFUSED(NVME_LBA_OUT_OF_RANGE));
	for (unsigned i = 0; i < ranges && fits && command.cdw11 & 4; i++)
		memset(expected + range[i].first_block * BLOCK, 0, range[i].blocks * BLOCK);
	assert_only_pieces(&pieces);
}

static void random_operation(void)
{
	uint32_t limit = test_below(&seed, 20) ? 100 : BLOCKS, first = test_below(&seed, BLOCKS),
		 blocks = 1 + test_below(&seed, limit);

	driver.held->logged = 0;
	switch (test_below(&seed, 10)) {
	case 0:
		random_zeroes(first, blocks);
		break;
	case 1:
		random_deallocation();
		break;
	case 2:
		assert_int_equal(run_status(1, command_of(NVME_IO_FLUSH, 0, 1)), NVME_SUCCESS);
		break;
	default:
		random_read_or_write(first, blocks);
	}
}

static void random_operations(void **state)
{
	const struct disk_options options = { .guest = "alice", .name = "root" };

	for (uint64_t round = 1; round <= 3; round++) {
		struct held_disk *held = held_disk_create(DISK_BYTES, 512);

		seed = round * 0x9e3779b97f4a7c15;
		held->host.geometry.can_punch = true;
		begin_on(held, &options, 2);
		enable();
		make_queue(1, 5, 5);
		memset(expected, 0xee, sizeof(expected));
		for (unsigned i = 0; i < OPERATIONS; i++)
			random_operation();
		assert_memory_equal(held->bytes, expected, DISK_BYTES);
		assert_int_equal(violations(), 0);
		end();
	}
}

/* Many under way that end in any order: each answer is its own command's, and so is the data. */
static void under_way_in_any_order(void **state)
{
	struct nvme_completion completion;
	uint16_t first;

	begin_ready();
	seed = 77;
	for (unsigned i = 0; i < DISK_BYTES; i++)
		driver.held->bytes[i] = (uint8_t)(i / BLOCK);
	driver.held->at_once = false;
	first = driver.next_id;
	for (unsigned i = 0; i < 50; i++)
		submit(1, io(NVME_IO_READ, i, 1, DATA_AT + i * PAGE));
	settle();
	assert_int_equal(driver.held->held_count, 50);
	for (unsigned left = 50; left > 0; left--) {
		unsigned which = test_below(&seed, left);
		uint64_t block = driver.held->held[which]->range.offset_bytes / BLOCK;

		held_end(driver.held, which, block % 5 == 4 ? -EIO : 0);
		completion = await(1);
		assert_int_equal(completion.command_id - first, block);
		assert_int_equal(status_of(completion),
				 block % 5 == 4 ? NVME_UNRECOVERED_READ : NVME_SUCCESS);
		assert_int_equal(driver.ram[DATA_AT + block * PAGE + 511], block % 5 == 4 ? 0 : block);
	}
	assert_silent(1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(under_way_in_any_order),
	};

	return cmocka_run_group_tests_name("nvme_io", tests, NULL, NULL);
}
