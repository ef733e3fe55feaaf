/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps that are refused or fail, limits, and takeover, against the model of pages. */
#include "dma_bench.h"

/* ---- what is refused ---- */

static void ranges_that_cannot_be(void **state)
{
	static const struct {
		uint64_t address, size, offset;
	} bad[] = {
		{ BASE, 0, 0 },
		{ UINT64_MAX & ~(PAGE - 1), PAGE, 0 },
		{ BASE, UINT64_MAX & ~(PAGE - 1), 0 },
		{ BASE, PAGE, UINT64_MAX & ~(PAGE - 1) },
		{ PAGE, UINT64_MAX - PAGE + 1, 0 },
		{ BASE + 1, PAGE, 0 },
		{ BASE, PAGE + 512, 0 },
		{ BASE, PAGE, 2048 },
	};

	assert_int_equal(map(0, 4, 0, 0), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned j = 0; j < 2; j++)
			assert_int_equal(map_bytes(bad[i].address, bad[i].size, bad[i].offset, READ_WRITE,
						   j ? files[1] : -1),
					 -EINVAL);
		if (bad[i].offset == 0)
			assert_int_equal(vfio_user_dma_unmap(&dma, bad[i].address, bad[i].size), -EINVAL);
	}
	check();
	assert_int_equal(dma.count, 1);
}

/* The last page of all cannot be mapped, as its end is no number; the one before can. */
static void the_end_of_all_addresses(void **state)
{
	const uint64_t last = UINT64_MAX - 2 * PAGE + 1;

	assert_int_equal(map_bytes(last, PAGE, 7 * PAGE, READ_WRITE, files[0]), 0);
	assert_int_equal(map_bytes(0, PAGE, 8 * PAGE, READ_WRITE, files[0]), 0);
	assert_true(found_at(dma.memory, last) == word_of(0, 7));
	assert_true(found_at(dma.memory, 0) == word_of(0, 8));
	assert_null(guest_memory_at(dma.memory, last, PAGE + 1));
	assert_null(guest_memory_find(dma.memory, UINT64_MAX));
	assert_int_equal(vfio_user_dma_unmap(&dma, 0, UINT64_MAX - PAGE + 1), 0);
	assert_int_equal(dma.count, 0);
}

/* Pages that a file does not have, and files that are no memory. The new range is not there afterwards. */
static void files_that_cannot_be_mapped(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC), pair[2];
	int read_only;
	char path[64];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", files[0]);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	assert_int_equal(map(20, 2, 0, 0), 0);
	assert_int_equal(map_bytes(BASE, PAGE, FILE_PAGES * PAGE, READ_WRITE, files[0]), -ERANGE);
	assert_int_equal(map_bytes(BASE, 2 * PAGE, (FILE_PAGES - 1) * PAGE, READ_WRITE, files[0]), -ERANGE);
	assert_int_equal(map_bytes(1ull << 44, 1ull << 36, 0, READ_WRITE, files[0]), -ERANGE);
	assert_int_equal(map_bytes(BASE, PAGE, 1ull << 62, READ_WRITE, files[0]), -ERANGE);
	assert_int_equal(map_bytes(BASE, PAGE, 1ull << 63, READ_WRITE, files[0]), -EINVAL);
	assert_int_equal(map_bytes(BASE, PAGE, 0, READ_WRITE, null), -EBADF);
	assert_int_equal(map_bytes(BASE, PAGE, 0, READ_WRITE, event), -EBADF);
	assert_int_equal(map_bytes(BASE, PAGE, 0, READ_WRITE, pair[0]), -EBADF);
	assert_int_equal(map_bytes(BASE, PAGE, 0, READ_WRITE, read_only), -EACCES);
	check();
	assert_int_equal(dma.count, 1);
	/* A file that ends where it is to end is one. */
	assert_int_equal(map(0, 1, 0, FILE_PAGES - 1), 0);
	check();
	close(read_only);
	close(null);
	close(event);
	close(pair[0]);
	close(pair[1]);
}

/* A map that fails may cost what it overlaps, and nothing else; no page is another's. */
static void failing_maps_over_others(void **state)
{
	uint64_t seed = 5;

	for (unsigned i = 0; i < 500; i++) {
		unsigned from = test_below(&seed, PAGES - 8), pages = 1 + test_below(&seed, 8);

		assert_int_equal(map(test_below(&seed, PAGES - 10), 1 + test_below(&seed, 10),
				     (int)test_below(&seed, FILES), test_below(&seed, 20)),
				 0);
		assert_int_equal(
			map_bytes(BASE + from * PAGE, pages * PAGE, FILE_PAGES * PAGE, READ_WRITE, files[0]),
			-ERANGE);
		for (unsigned page = from; page < from + pages; page++)
			if (state_of(page) == UNMAPPED)
				expected[page] = UNMAPPED;
		check();
	}
}

/* ---- limits ---- */

static void as_many_ranges_as_may_be(void **state)
{
	for (unsigned i = 0; i < VFIO_USER_MAPS_MAX; i++)
		assert_int_equal(map_bytes(BASE + 4 * i * PAGE, 3 * PAGE, 0, READ_WRITE, -1), 0);
	assert_int_equal(dma.count, VFIO_USER_MAPS_MAX);
	assert_int_equal(map_bytes(0, PAGE, 0, READ_WRITE, -1), -ENOSPC);
	assert_int_equal(map_bytes(0, PAGE, 0, READ_WRITE, files[0]), -ENOSPC);
	/* One that would be two. */
	assert_int_equal(vfio_user_dma_unmap(&dma, BASE + PAGE, PAGE), -ENOSPC);
	assert_int_equal(map_bytes(BASE + PAGE, PAGE, 0, READ_WRITE, files[0]), -ENOSPC);
	assert_int_equal(dma.count, VFIO_USER_MAPS_MAX);
	/* What is known already needs no room, and neither does an edge that goes. */
	assert_int_equal(map_bytes(BASE, 3 * PAGE, 0, READ_WRITE, -1), 0);
	assert_int_equal(vfio_user_dma_unmap(&dma, BASE, PAGE), 0);
	assert_int_equal(vfio_user_dma_unmap(&dma, BASE + 6 * PAGE, PAGE), 0);
	assert_int_equal(dma.count, VFIO_USER_MAPS_MAX);
	assert_int_equal(vfio_user_dma_unmap(&dma, BASE + 8 * PAGE, 3 * PAGE), 0);
	assert_int_equal(map_bytes(0, PAGE, 0, READ_WRITE, -1), 0);
	assert_int_equal(vfio_user_dma_unmap(&dma, 0, 1ull << 40), 0);
	assert_int_equal(dma.count, 0);
}

/* One guest may not have all addresses that there are for all. */
static void more_memory_than_one_guest_may_have(void **state)
{
	int vast = memfd_create("vast", MFD_CLOEXEC);
	unsigned mapped = 0;
	int error = 0;

	assert_int_equal(ftruncate(vast, 1ll << 43), 0);
	while (mapped < 20 && !error) {
		error = map_bytes((mapped + 1ull) << 43, 1ull << 43, 0, READ_WRITE, vast);
		if (!error)
			mapped++;
	}
	/* Refused by us, or before that by the kernel: it is no end of anything. */
	assert_true(error == -ENOSPC || error == -ENOMEM);
	assert_int_equal(dma.count, mapped);
	assert_int_equal(map_bytes(BASE, 1ull << 50, 0, READ_WRITE, files[0]), -ENOSPC);
	vfio_user_dma_unmap_all(&dma);
	assert_int_equal(map(0, 4, 0, 0), 0);
	check();
	close(vast);
}

/* A part that gets no descriptor is out of reach, and no more than that. */
static void no_descriptor_is_left(void **state)
{
	struct rlimit before, none;

	assert_int_equal(map(0, 9, 0, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(unmap(4, 1), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned page = 0; page < 9; page++)
		expected[page] = page == 4 ? UNMAPPED : KNOWN;
	check();
}

/* ---- takeover ---- */

static void hand_over(struct handover *in)
{
	struct handover out = { 0 };
	int pair[2];

	vfio_user_dma_save(&dma, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], in), 0);
	close(pair[0]);
	close(pair[1]);
	handover_finish(&out);
	vfio_user_dma_finish(&dma);
	assert_int_equal(vfio_user_dma_init(&dma), 0);
}

static void takeover(void **state)
{
	struct handover in;
	uint64_t seed = 11;

	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < round; i++)
			assert_int_equal(map(test_below(&seed, PAGES - 6), 1 + test_below(&seed, 6),
					     (int)test_below(&seed, FILES + 1) - 1, test_below(&seed, 20)),
					 0);
		assert_int_equal(unmap(test_below(&seed, PAGES - 6), 1 + test_below(&seed, 6)), 0);
		hand_over(&in);
		vfio_user_dma_restore(&dma, true, &in);
		assert_int_equal(in.error, 0);
		assert_int_equal(in.position, in.length);
		handover_finish(&in);
		check();
	}
}

static bool is_remote(unsigned page)
{
	const struct guest_region *region = guest_memory_find(dma.memory, BASE + page * PAGE);

	return region && region->remote;
}

/* Without a file, where messages reach it: cut, taken the place of, and handed over; ROM is none. */
static void ranges_that_messages_reach(void **state)
{
	struct handover in;

	dma.has_messages = true;
	assert_int_equal(map_bytes(BASE, 16 * PAGE, 5 * PAGE, READ_WRITE, -1), 0);
	assert_int_equal(map_bytes(BASE + 16 * PAGE, PAGE, 0, VFIO_USER_DMA_READABLE, -1), 0);
	assert_true(vfio_user_dma_is_private(&dma));
	for (unsigned page = 0; page < 18; page++)
		assert_int_equal(is_remote(page), page < 16);
	*(uint8_t *)guest_memory_at(dma.memory, BASE, 1) = 1;
	/* A file in its middle. */
	assert_int_equal(map_bytes(BASE + 4 * PAGE, PAGE, 0, READ_WRITE, files[0]), 0);
	assert_int_equal(vfio_user_dma_unmap(&dma, BASE + 8 * PAGE, PAGE), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned page = 0; page < 18; page++)
			assert_int_equal(is_remote(page), page < 16 && page != 4 && page != 8);
		assert_true(found_at(dma.memory, BASE + 4 * PAGE) == word_of(0, 0));
		assert_null(guest_memory_find(dma.memory, BASE + 8 * PAGE));
		assert_false(vfio_user_dma_is_private(&dma));
		assert_true(is_known(BASE + 16 * PAGE));
		if (round > 0)
			break;
		hand_over(&in);
		dma.has_messages = true;
		vfio_user_dma_restore(&dma, true, &in);
		assert_int_equal(in.error, 0);
		handover_finish(&in);
	}
	/* More than there can be is out of reach, and no error. */
	assert_int_equal(map_bytes(1ull << 62, 1ull << 61, 0, READ_WRITE, -1), 0);
	assert_null(guest_memory_find(dma.memory, 1ull << 62));
	vfio_user_dma_unmap_all(&dma);
}

static void streams_that_are_cut(void **state)
{
	struct handover in;
	size_t length;

	for (size_t cut = 0;; cut++) {
		assert_int_equal(map(0, 4, 0, 0), 0);
		assert_int_equal(map(8, 4, -1, 0), 0);
		assert_int_equal(map(2, 1, 1, 0), 0);
		hand_over(&in);
		length = in.length;
		if (cut >= length)
			break;
		in.length = cut;
		vfio_user_dma_restore(&dma, true, &in);
		assert_int_equal(in.error, -EBADMSG);
		handover_finish(&in);
		vfio_user_dma_unmap_all(&dma);
	}
	/* A file that is no memory, or too short now. */
	for (unsigned i = 0; i < 2; i++) {
		if (i > 0)
			hand_over(&in);
		assert_int_equal(in.fd_count, 3);
		close(in.fds[1]);
		in.fds[1] = i ? fd_memfd("short", PAGE / 2) : eventfd(0, EFD_CLOEXEC);
		vfio_user_dma_restore(&dma, true, &in);
		assert_int_equal(in.error, -EBADMSG);
		handover_finish(&in);
		vfio_user_dma_unmap_all(&dma);
		memset(expected, 0, sizeof(expected));
		assert_int_equal(map(0, 4, 0, 0), 0);
		assert_int_equal(map(2, 1, 1, 0), 0);
	}
}

/* Numbers that no VMM could have said. */
static void streams_that_are_wrong(void **state)
{
	static const uint64_t bad[][4] = {
		{ 513, BASE, PAGE, 0 },
		{ UINT64_MAX, BASE, PAGE, 0 },
		{ 1, BASE, 0, 0 },
		{ 1, UINT64_MAX, PAGE, 0 },
		{ 1, BASE, UINT64_MAX, 0 },
		{ 1, BASE, PAGE, UINT64_MAX },
		{ 1, BASE, PAGE, 1ull << 63 },
		{ 1, BASE, FILE_PAGES * PAGE, PAGE },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct handover handover = { 0 };

		for (unsigned j = 0; j < 4; j++)
			handover_put_u64(&handover, bad[i][j]);
		handover_put_fd(&handover, fcntl(files[0], F_DUPFD_CLOEXEC, 0));
		/* As if it had been received: its descriptors are there to be taken. */
		handover.fd_position = 0;
		vfio_user_dma_restore(&dma, true, &handover);
		assert_int_equal(handover.error, -EBADMSG);
		handover_finish(&handover);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ranges_that_cannot_be),	   TEST(the_end_of_all_addresses),
		TEST(files_that_cannot_be_mapped), TEST(failing_maps_over_others),
		TEST(as_many_ranges_as_may_be),	   TEST(more_memory_than_one_guest_may_have),
		TEST(no_descriptor_is_left),	   TEST(takeover),
		TEST(streams_that_are_cut),	   TEST(streams_that_are_wrong),
		TEST(ranges_that_messages_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
