/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver's rings against a naive device; what a broken device can do to them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "naive_device.h"

#define PACKED	  FRONTEND_F_PACKED
#define INDIRECT  FRONTEND_F_INDIRECT
#define EVENT_IDX FRONTEND_F_EVENT_IDX
#define IN_ORDER  FRONTEND_F_IN_ORDER

#define GUEST_DELTA 0x7700000000ull
#define CHAIN_MAX   6u

struct fixture {
	struct frontend_queue queue;
	struct naive_device device;
	void *memory;
	unsigned random;
};

static void set_up(struct fixture *f, unsigned size, uint64_t features)
{
	size_t bytes = frontend_queue_bytes(size);

	f->random = 12345;
	f->memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	assert_non_null(f->memory);
	memset(f->memory, 0, bytes);
	assert_int_equal(frontend_queue_init(&f->queue, 0, size, features, f->memory, GUEST_DELTA), 0);
	naive_init(&f->device, &f->queue);
}

static void tear_down(struct fixture *f)
{
	frontend_queue_finish(&f->queue);
	free(f->memory);
}

static unsigned next_random(struct fixture *f, unsigned below)
{
	f->random = f->random * 1103515245u + 12345u;
	return (f->random >> 16) % below;
}

/* ---- the model: chains as they were added, in order ---- */

struct expected {
	uint64_t token;
	unsigned count, id, descriptors;
	struct frontend_buffer buffer[CHAIN_MAX];
	uint32_t written, writable;
	bool pushed, done;
};

struct model {
	struct fixture *f;
	struct expected *chain;
	unsigned added, popped, most;
	unsigned taken;	 /* all before it are done */
	unsigned pushed; /* in order: chains given back so far */
};

static bool model_add(struct model *m)
{
	struct expected *e = &m->chain[m->added];
	unsigned readable = next_random(m->f, CHAIN_MAX);
	int error;

	e->token = 0xabc00000000ull + m->added;
	e->count = 1 + next_random(m->f, CHAIN_MAX);
	for (unsigned i = 0; i < e->count; i++) {
		e->buffer[i] = (struct frontend_buffer){(uint64_t)m->added << 20 | i,
							1 + next_random(m->f, 5000), i >= readable};
		if (e->buffer[i].device_writes)
			e->writable += e->buffer[i].length;
	}
	error = frontend_add(&m->f->queue, e->buffer, e->count, (void *)(uintptr_t)e->token);
	if (error) {
		assert_int_equal(error, -EAGAIN);
		memset(e, 0, sizeof(*e));
		return false;
	}
	m->added++;
	return true;
}

static bool model_pop(struct model *m)
{
	struct naive_chain got;
	struct expected *e = &m->chain[m->popped];

	if (!naive_pop(&m->f->device, &got))
		return false;
	assert_true(m->popped < m->added);
	assert_int_equal(got.count, e->count);
	for (unsigned i = 0; i < got.count; i++) {
		assert_int_equal(got.buffer[i].guest_address, e->buffer[i].guest_address);
		assert_int_equal(got.buffer[i].length, e->buffer[i].length);
		assert_int_equal(got.buffer[i].device_writes, e->buffer[i].device_writes);
	}
	e->id = got.id;
	e->descriptors = got.descriptors;
	m->popped++;
	return true;
}

static void model_push_any(struct model *m)
{
	unsigned first = m->taken, pick;
	struct expected *e;

	if (m->popped == first)
		return;
	pick = first + next_random(m->f, m->popped - first);
	e = &m->chain[pick];
	if (e->pushed || e->done)
		return;
	e->pushed = true;
	e->written = next_random(m->f, 10000);
	naive_push(&m->f->device, e->id, e->written, 1, e->descriptors);
}

/* A batch of 1 … all popped chains, answered by the used entry of the last. */
static void model_push_batch(struct model *m)
{
	unsigned count, descriptors = 0;
	struct expected *last;

	if (m->popped == m->pushed)
		return;
	count = 1 + next_random(m->f, m->popped - m->pushed);
	for (unsigned i = 0; i < count; i++) {
		struct expected *e = &m->chain[m->pushed + i];

		e->pushed = true;
		e->written = e->writable;
		descriptors += e->descriptors;
	}
	last = &m->chain[m->pushed + count - 1];
	last->written = next_random(m->f, 10000);
	naive_push(&m->f->device, last->id, last->written, count, descriptors);
	m->pushed += count;
}

static bool model_take(struct model *m)
{
	uint32_t written;
	void *token;
	uint64_t index;
	struct expected *e;

	if (!frontend_take(&m->f->queue, &token, &written))
		return false;
	index = (uintptr_t)token - 0xabc00000000ull;
	assert_true(index < m->added);
	e = &m->chain[index];
	assert_true(e->pushed);
	assert_int_equal(e->written, written);
	e->pushed = false;
	e->done = true;
	m->most++;
	if (m->f->queue.in_order)
		assert_int_equal(index, m->taken);
	while (m->taken < m->popped && m->chain[m->taken].done)
		m->taken++;
	return true;
}

static void run_model(unsigned size, uint64_t features, unsigned chains)
{
	struct fixture f;
	struct model m = {.f = &f};

	set_up(&f, size, features);
	m.chain = calloc(chains + 1, sizeof(*m.chain));
	assert_non_null(m.chain);
	while (m.most < chains) {
		switch (next_random(&f, 4)) {
		case 0:
			for (unsigned n = next_random(&f, size); n > 0 && m.added < chains && model_add(&m);
			     n--)
				;
			frontend_kick(&f.queue);
			break;
		case 1:
			for (unsigned n = next_random(&f, size); n > 0 && model_pop(&m); n--)
				;
			break;
		case 2:
			if (features & IN_ORDER)
				model_push_batch(&m);
			else
				model_push_any(&m);
			break;
		default:
			for (unsigned n = next_random(&f, size); n > 0 && model_take(&m); n--)
				;
		}
		assert_false(f.queue.broken);
	}
	assert_int_equal(frontend_in_flight(&f.queue), 0);
	assert_int_equal(f.queue.free_count, size);
	free(m.chain);
	tear_down(&f);
}

static void every_format_keeps_every_chain(void **state)
{
	static const uint64_t features[] = {
	    0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX, IN_ORDER, INDIRECT | IN_ORDER,
	};

	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		for (unsigned size = 8; size <= 128; size *= 4) {
			run_model(size, features[i], 3000);
			run_model(size, features[i] | PACKED, 3000);
		}
	}
}

static void indices_wrap_at_16_bits(void **state)
{
	run_model(16, INDIRECT | EVENT_IDX, 140000);
	run_model(16, IN_ORDER, 140000);
	run_model(16, PACKED | EVENT_IDX, 140000);
}

/* Descriptors of a split ring in order follow each other (2.7.9). */
static void in_order_takes_descriptors_in_ring_order(void **state)
{
	const struct frontend_buffer buffers[3] = {{1, 1, false}, {2, 2, false}, {3, 3, true}};
	struct fixture f;
	uint32_t written;
	void *token;

	set_up(&f, 8, IN_ORDER);
	for (unsigned round = 0; round < 50; round++) {
		struct naive_chain chain;

		assert_int_equal(frontend_add(&f.queue, buffers, 3, NULL), 0);
		frontend_kick(&f.queue);
		assert_true(naive_pop(&f.device, &chain));
		assert_int_equal(chain.id, round * 3 % 8);
		assert_int_equal(f.queue.split_ring.desc[chain.id].next, (chain.id + 1) % 8);
		naive_push(&f.device, chain.id, 3, 1, 3);
		assert_true(frontend_take(&f.queue, &token, &written));
	}
	tear_down(&f);
}

static void a_full_ring_says_so(void **state)
{
	static const uint64_t features[] = {0, PACKED, INDIRECT, PACKED | INDIRECT};
	const struct frontend_buffer buffers[3] = {{1, 1, false}, {2, 2, false}, {3, 3, true}};

	for (unsigned i = 0; i < 4; i++) {
		unsigned room = features[i] & INDIRECT ? 8 : 2;
		struct fixture f;

		set_up(&f, 8, features[i]);
		for (unsigned n = 0; n < room; n++)
			assert_int_equal(frontend_add(&f.queue, buffers, 3, NULL), 0);
		assert_int_equal(frontend_add(&f.queue, buffers, 3, NULL), -EAGAIN);
		assert_int_equal(frontend_add(&f.queue, buffers, 0, NULL), -EINVAL);
		assert_int_equal(frontend_in_flight(&f.queue), room);
		tear_down(&f);
	}
}

/* ---- kicks ---- */

static bool kicked(struct fixture *f)
{
	uint64_t count;

	return read(f->queue.kick_fd, &count, sizeof(count)) == sizeof(count);
}

static void add_and_kick(struct fixture *f, unsigned count)
{
	const struct frontend_buffer buffer = {1, 1, false};

	while (count-- > 0)
		assert_int_equal(frontend_add(&f->queue, &buffer, 1, NULL), 0);
	frontend_kick(&f->queue);
}

static void complete_all(struct fixture *f)
{
	struct naive_chain chain;
	uint32_t written;
	void *token;

	while (naive_pop(&f->device, &chain)) {
		naive_push(&f->device, chain.id, 0, 1, chain.descriptors);
		assert_true(frontend_take(&f->queue, &token, &written));
	}
}

/* A device that sleeps is woken by whatever is added, however it wraps; one that is awake is left alone. */
static void kicks_come_when_they_are_wanted(void **state)
{
	static const uint64_t features[] = {0, EVENT_IDX, PACKED, PACKED | EVENT_IDX};

	for (unsigned i = 0; i < 4; i++) {
		struct fixture f;

		set_up(&f, 8, features[i]);
		f.queue.kick_fd = eventfd(0, EFD_NONBLOCK);
		for (unsigned round = 0; round < 3000; round++) {
			bool wanted = next_random(&f, 2);

			naive_want_kick(&f.device, wanted);
			add_and_kick(&f, 1 + next_random(&f, 8));
			assert_int_equal(kicked(&f), wanted);
			frontend_kick(&f.queue); /* nothing new */
			assert_false(kicked(&f));
			complete_all(&f);
		}
		tear_down(&f);
	}
}

/* Who listens is told at once of what is there already; a kick of a storm needs no reason. */
static void listening_says_what_is_there(void **state)
{
	static const uint64_t features[] = {0, EVENT_IDX, PACKED, PACKED | EVENT_IDX};

	for (unsigned i = 0; i < 4; i++) {
		struct naive_chain chain;
		struct fixture f;

		set_up(&f, 8, features[i]);
		f.queue.kick_fd = eventfd(0, EFD_NONBLOCK);
		naive_want_kick(&f.device, false);
		add_and_kick(&f, 1);
		assert_false(frontend_listen(&f.queue));
		assert_true(f.queue.armed);
		assert_true(naive_pop(&f.device, &chain));
		naive_push(&f.device, chain.id, 0, 1, chain.descriptors);
		assert_true(frontend_listen(&f.queue));
		assert_false(kicked(&f));
		frontend_kick_always(&f.queue);
		assert_true(kicked(&f));
		tear_down(&f);
	}
}

/* ---- a device that breaks the rules ---- */

static void expect_broken(struct fixture *f)
{
	uint32_t written;
	void *token;

	assert_false(frontend_take(&f->queue, &token, &written));
	assert_true(f->queue.broken);
	assert_int_equal(frontend_wait(&f->queue, 10), -EPROTO);
	assert_false(frontend_take(&f->queue, &token, &written));
	tear_down(f);
}

static void wrong_used_entries_stop_the_queue(void **state)
{
	static const uint64_t features[] = {0, PACKED, IN_ORDER, PACKED | IN_ORDER};
	static const unsigned ids[] = {1, 7, 8, 0xffff};

	for (unsigned i = 0; i < 4; i++) {
		for (unsigned n = 0; n < 4; n++) {
			struct fixture f;

			set_up(&f, 8, features[i]);
			add_and_kick(&f, 1); /* id 0 */
			naive_push(&f.device, ids[n], 1, 1, 1);
			expect_broken(&f);
		}
	}
}

static void a_used_index_that_jumps_stops_the_queue(void **state)
{
	struct fixture f;

	set_up(&f, 8, 0);
	add_and_kick(&f, 2);
	f.queue.split_ring.used->idx = 3;
	expect_broken(&f);
}

static void one_completion_twice_stops_the_queue(void **state)
{
	struct fixture f;
	uint32_t written;
	void *token;

	set_up(&f, 8, 0);
	add_and_kick(&f, 2);
	naive_push(&f.device, 0, 1, 1, 1);
	naive_push(&f.device, 0, 1, 1, 1);
	assert_true(frontend_take(&f.queue, &token, &written));
	expect_broken(&f);
}

/* ---- after a crash of the back end ---- */

/* Adds `count` chains of 2, lets the device take them all and complete those of `done`, in that order. */
static void crash_with(struct fixture *f, unsigned count, const unsigned *done, unsigned done_count)
{
	const struct frontend_buffer buffers[2] = {{1, 1, false}, {2, 2, true}};
	struct naive_chain chain[16];

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(frontend_add(&f->queue, buffers, 2, (void *)(uintptr_t)(i + 1)), 0);
	frontend_kick(&f->queue);
	for (unsigned i = 0; i < count; i++)
		assert_true(naive_pop(&f->device, &chain[i]));
	for (unsigned i = 0; i < done_count; i++)
		naive_push(&f->device, chain[done[i]].id, 2, 1, chain[done[i]].descriptors);
}

static void a_split_ring_is_offered_again(void **state)
{
	static const unsigned done[] = {3, 0};
	unsigned seen = 0;
	struct fixture f;
	uint32_t base, written;
	void *token;
	struct naive_chain chain;

	set_up(&f, 16, 0);
	crash_with(&f, 5, done, 2);
	assert_true(frontend_take(&f.queue, &token, &written)); /* one of the two is taken before the crash */
	assert_int_equal(frontend_split_recover(&f.queue, true, &base), 0);
	assert_int_equal(base, 2);
	naive_init(&f.device, &f.queue);
	f.device.taken = f.device.used = (uint16_t)base;
	while (naive_pop(&f.device, &chain))
		naive_push(&f.device, chain.id, 2, 1, chain.descriptors);
	while (frontend_take(&f.queue, &token, &written))
		seen |= 1u << (uintptr_t)token;
	assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5);
	assert_int_equal(frontend_in_flight(&f.queue), 0);
	tear_down(&f);
}

static void a_packed_ring_knows_its_position(void **state)
{
	static const unsigned done[] = {1, 0, 2};
	struct fixture f;
	uint32_t base;

	set_up(&f, 8, PACKED);
	for (unsigned i = 0; i < 3; i++) { /* 6 of 8 descriptors: the crash comes after the wrap */
		add_and_kick(&f, 2);
		complete_all(&f);
	}
	crash_with(&f, 3, done, 2);
	assert_int_equal(frontend_packed_recover(&f.queue, true, &base), -EOPNOTSUPP);
	assert_int_equal(frontend_packed_recover(&f.queue, false, &base), 0);
	assert_int_equal(base, 2 | 2 << 16);
	tear_down(&f);

	set_up(&f, 8, PACKED | IN_ORDER);
	crash_with(&f, 3, done, 0);
	naive_push(&f.device, f.queue.order[1], 2, 2, 4); /* a batch of two */
	assert_int_equal(frontend_packed_recover(&f.queue, true, &base), 0);
	assert_int_equal(base, 0x80048004u);
	tear_down(&f);
}

/* ---- virtio-blk ---- */

static void a_request_has_header_data_and_status(void **state)
{
	static const uint64_t features[] = {0, PACKED, INDIRECT, PACKED | INDIRECT};
	static uint8_t data[512];

	for (unsigned i = 0; i < 4; i++) {
		const struct frontend_block_request read = {FRONTEND_BLOCK_IN, 77, data, sizeof(data), data};
		const struct block_header *header;
		struct naive_chain chain;
		struct fixture f;
		uint8_t status;
		void *token;

		set_up(&f, 8, features[i]);
		for (unsigned answered = 0; answered < 2; answered++) {
			assert_int_equal(frontend_block_add(&f.queue, &read), 0);
			frontend_kick(&f.queue);
			assert_true(naive_pop(&f.device, &chain));
			assert_int_equal(chain.count, 3);
			header = naive_pointer(&f.device, chain.buffer[0].guest_address);
			assert_int_equal(chain.buffer[0].length, 16);
			assert_int_equal(header->type, FRONTEND_BLOCK_IN);
			assert_int_equal(header->sector, 77);
			assert_ptr_equal(naive_pointer(&f.device, chain.buffer[1].guest_address), data);
			assert_true(chain.buffer[1].device_writes);
			assert_int_equal(chain.buffer[2].length, 1);
			if (answered)
				*(uint8_t *)naive_pointer(&f.device, chain.buffer[2].guest_address) = 1;
			naive_push(&f.device, chain.id, 513, 1, chain.descriptors);
			assert_true(frontend_block_take(&f.queue, &token, &status));
			assert_ptr_equal(token, data);
			assert_int_equal(status, answered ? 1 : FRONTEND_BLOCK_NO_STATUS);
		}
		tear_down(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_format_keeps_every_chain),
	    cmocka_unit_test(indices_wrap_at_16_bits),
	    cmocka_unit_test(in_order_takes_descriptors_in_ring_order),
	    cmocka_unit_test(a_full_ring_says_so),
	    cmocka_unit_test(kicks_come_when_they_are_wanted),
	    cmocka_unit_test(listening_says_what_is_there),
	    cmocka_unit_test(wrong_used_entries_stop_the_queue),
	    cmocka_unit_test(a_used_index_that_jumps_stops_the_queue),
	    cmocka_unit_test(one_completion_twice_stops_the_queue),
	    cmocka_unit_test(a_split_ring_is_offered_again),
	    cmocka_unit_test(a_packed_ring_knows_its_position),
	    cmocka_unit_test(a_request_has_header_data_and_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
