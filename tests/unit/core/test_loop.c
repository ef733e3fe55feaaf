/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "patience.h"

static struct loop *make_loop_by(uint64_t spin_max_ns, const struct loop_clocks *clocks)
{
	struct loop_options options = { .name = "test", .spin_max_ns = spin_max_ns, .clocks = clocks };
	struct loop *loop = NULL;

	assert_int_equal(loop_create(&options, &loop), 0);
	return loop;
}

static struct loop *make_loop(uint64_t spin_max_ns)
{
	return make_loop_by(spin_max_ns, NULL);
}

struct watched {
	struct loop_watch watch;
	unsigned count;
};

static void count_ready(struct loop_watch *watch, unsigned events)
{
	assert_true(events & POLLIN);
	((struct watched *)watch)->count++;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void test_watch_sees_every_write_without_reading(void **state)
{
	struct loop *loop = make_loop(0);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct watched watched = { .watch.ready = count_ready };

	assert_int_equal(loop_watch_start(loop, &watched.watch, fd, POLLIN), 0);
	for (unsigned i = 1; i <= 5; i++) {
		signal_fd(fd);
		AWAIT(watched.count >= i, assert_int_equal(loop_turn(loop, 100 * NS_PER_MS), 0));
		assert_int_equal(watched.count, i);
	}
	loop_watch_stop(loop, &watched.watch);
	loop_watch_stop(loop, &watched.watch);
	signal_fd(fd);
	for (int turn = 0; turn < 3; turn++)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
	assert_int_equal(watched.count, 5);
	loop_destroy(loop);
	close(fd);
}

static void turn_a_while(struct loop *loop)
{
	for (int turn = 0; turn < 4; turn++)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
}

static void test_paused_watch_tells_what_it_missed(void **state)
{
	struct loop *loop = make_loop(0);
	int fd = eventfd(0, EFD_NONBLOCK);
	struct watched watched = { .watch.ready = count_ready };

	loop_watch_pause(loop, &watched.watch);
	assert_int_equal(loop_watch_start(loop, &watched.watch, fd, POLLIN), 0);
	turn_a_while(loop);
	loop_watch_pause(loop, &watched.watch);
	loop_watch_pause(loop, &watched.watch);
	signal_fd(fd);
	turn_a_while(loop);
	assert_int_equal(watched.count, 0);
	loop_watch_resume(loop, &watched.watch);
	loop_watch_resume(loop, &watched.watch);
	turn_a_while(loop);
	assert_int_equal(watched.count, 1);

	/* Before the kernel knows of the pause. */
	loop_watch_pause(loop, &watched.watch);
	loop_watch_resume(loop, &watched.watch);
	turn_a_while(loop);
	watched.count = 0;
	signal_fd(fd);
	turn_a_while(loop);
	assert_int_equal(watched.count, 1);

	loop_watch_pause(loop, &watched.watch);
	turn_a_while(loop);
	loop_watch_stop(loop, &watched.watch);
	loop_watch_resume(loop, &watched.watch);
	signal_fd(fd);
	turn_a_while(loop);
	assert_int_equal(watched.count, 1);
	loop_destroy(loop);
	close(fd);
}

struct timed {
	struct loop_timer timer;
	unsigned order, *next_order;
};

static void note_order(struct loop_timer *timer)
{
	struct timed *timed = (struct timed *)timer;

	timed->order = ++*timed->next_order;
}

static void test_timers_fire_in_order_and_can_be_stopped(void **state)
{
	struct loop *loop = make_loop(0);
	unsigned order = 0;
	struct timed timed[3];
	uint64_t now = clock_now_ns();

	for (int i = 0; i < 3; i++)
		timed[i] = (struct timed){ .timer.expired = note_order, .next_order = &order };
	loop_timer_start(loop, &timed[0].timer, now + 3 * NS_PER_MS);
	loop_timer_start(loop, &timed[1].timer, now + 1 * NS_PER_MS);
	loop_timer_start(loop, &timed[2].timer, now + 2 * NS_PER_MS);
	loop_timer_stop(loop, &timed[2].timer);
	while (order < 2)
		assert_int_equal(loop_turn(loop, 50 * NS_PER_MS), 0);
	assert_true(clock_now_ns() >= now + 3 * NS_PER_MS);
	assert_int_equal(timed[1].order, 1);
	assert_int_equal(timed[0].order, 2);
	assert_int_equal(timed[2].order, 0);
	loop_destroy(loop);
}

struct counted_task {
	struct loop_task task;
	struct loop *loop;
	unsigned runs;
	bool again;
};

static void run_task(struct loop_task *task)
{
	struct counted_task *counted = (struct counted_task *)task;

	counted->runs++;
	if (counted->again)
		loop_defer(counted->loop, task);
}

static void test_task_runs_once_a_turn(void **state)
{
	struct loop *loop = make_loop(0);
	struct counted_task once = { .task.run = run_task, .loop = loop };
	struct counted_task again = { .task.run = run_task, .loop = loop, .again = true };
	struct counted_task cancelled = { .task.run = run_task, .loop = loop };

	loop_defer(loop, &once.task);
	loop_defer(loop, &once.task);
	loop_defer(loop, &cancelled.task);
	loop_defer(loop, &again.task);
	loop_defer_cancel(loop, &cancelled.task);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_int_equal(once.runs, 1);
	assert_int_equal(again.runs, 2);
	assert_int_equal(cancelled.runs, 0);
	loop_destroy(loop);
}

struct fake_poller {
	struct loop_poller poller;
	unsigned work, polls, parks;
};

static bool fake_poll(struct loop_poller *poller)
{
	struct fake_poller *fake = (struct fake_poller *)poller;

	fake->polls++;
	if (fake->work == 0)
		return false;
	fake->work--;
	return true;
}

static bool fake_park(struct loop_poller *poller)
{
	struct fake_poller *fake = (struct fake_poller *)poller;

	fake->parks++;
	return fake->work == 0;
}

static void test_poller_is_polled_until_it_parks(void **state)
{
	struct loop *loop = make_loop(0);
	struct fake_poller fake = { .poller = { .poll = fake_poll, .park = fake_park }, .work = 3 };

	loop_poller_wake(loop, &fake.poller);
	for (int turn = 0; turn < 8; turn++)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
	assert_int_equal(fake.work, 0);
	assert_int_equal(fake.parks, 1);
	assert_int_equal(fake.polls, 4);
	loop_poller_remove(loop, &fake.poller);
	loop_destroy(loop);
}

struct posted {
	struct loop_message message;
	struct loop *loop;
	unsigned number, *last;
};

static void run_posted(struct loop_message *message)
{
	struct posted *posted = (struct posted *)message;

	assert_int_equal(*posted->last + 1, posted->number);
	*posted->last = posted->number;
	if (posted->number == 1000)
		loop_stop(posted->loop);
}

static void *post_all(void *argument)
{
	struct posted *posted = argument;

	for (int i = 0; i < 1000; i++)
		loop_post(posted[i].loop, &posted[i].message);
	return NULL;
}

static void test_messages_arrive_in_order_from_another_thread(void **state)
{
	static struct posted posted[1000];
	struct loop *loop = make_loop(20 * NS_PER_US);
	unsigned last = 0;
	pthread_t thread;

	for (unsigned i = 0; i < 1000; i++)
		posted[i] = (struct posted){
			.message.run = run_posted, .loop = loop, .number = i + 1, .last = &last
		};
	assert_int_equal(pthread_create(&thread, NULL, post_all, posted), 0);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	assert_int_equal(last, 1000);
	loop_destroy(loop);
}

/* The others still run in their order, also when the message was not posted. */
static void test_messages_are_taken_back(void **state)
{
	struct posted posted[4], never = { .message.run = run_posted };
	struct loop *loop = make_loop(0);
	unsigned last = 0;

	for (unsigned i = 0; i < 4; i++) {
		posted[i] = (struct posted){
			.message.run = run_posted, .loop = loop, .number = i ? i : 1000, .last = &last
		};
		loop_post(loop, &posted[i].message);
	}
	/* It would run first, and assert that it is the last. */
	loop_unpost(loop, &posted[0].message);
	loop_unpost(loop, &never.message);
	while (last < 3)
		assert_return_code(loop_turn(loop, NS_PER_S), 0);
	assert_int_equal(last, 3);
	loop_destroy(loop);
}

/* ---- spinning, by a clock that each look moves by 1 us, and each sleep by as long as it was to last ---- */

static const struct loop_counters *spun;
static uint64_t spun_ns, spun_sleeps, sleep_ns;

static uint64_t look_at_clock(void)
{
	uint64_t sleeps = spun ? counter_read(&spun->sleeps) : 0;

	spun_ns += NS_PER_US + (sleeps - spun_sleeps) * sleep_ns;
	spun_sleeps = sleeps;
	return spun_ns;
}

static const struct loop_clocks spin_clocks = { .now_ns = look_at_clock, .thread_ns = look_at_clock };

static struct loop *make_spinning_loop(uint64_t spin_max_ns)
{
	struct loop *loop;

	spun = NULL;
	spun_ns = NS_PER_S;
	spun_sleeps = 0;
	loop = make_loop_by(spin_max_ns, &spin_clocks);
	spun = loop_get_counters(loop);
	return loop;
}

static void spin_turn(struct loop *loop, uint64_t timeout_ns)
{
	sleep_ns = timeout_ns;
	assert_int_equal(loop_turn(loop, timeout_ns), 0);
}

static void test_idle_loop_sleeps(void **state)
{
	struct loop *loop = make_spinning_loop(50 * NS_PER_US);
	uint64_t start = spun_ns;

	while (spun_ns - start < 100 * NS_PER_MS)
		spin_turn(loop, NS_PER_MS);
	assert_true(counter_read(&loop_get_counters(loop)->spin_ns) < 5 * NS_PER_MS);
	assert_true(counter_read(&loop_get_counters(loop)->turns) < 10000);
	loop_destroy(loop);
}

/* How long the loop spins before it sleeps for twice its longest spin. */
static uint64_t spin_before_sleep(struct loop *loop)
{
	const struct loop_counters *counters = loop_get_counters(loop);
	uint64_t sleeps = counter_read(&counters->sleeps), spin_ns = counter_read(&counters->spin_ns);

	while (counter_read(&counters->sleeps) == sleeps)
		spin_turn(loop, 2 * NS_PER_MS);
	return counter_read(&counters->spin_ns) - spin_ns;
}

static void test_spin_that_found_work_is_full_again(void **state)
{
	struct loop *loop = make_spinning_loop(NS_PER_MS);
	unsigned last = 0;
	struct posted posted = { .message.run = run_posted, .loop = loop, .number = 1, .last = &last };

	/* Short sleeps make it spin, long ones spin less. */
	while (counter_read(&loop_get_counters(loop)->spin_ns) == 0)
		spin_turn(loop, 1);
	for (unsigned i = 0; i < 6; i++)
		spin_before_sleep(loop);
	spin_turn(loop, 2 * NS_PER_MS);
	loop_post(loop, &posted.message);
	spin_turn(loop, 0);
	assert_true(spin_before_sleep(loop) > NS_PER_MS / 2);
	loop_destroy(loop);
}

struct device_read {
	struct loop_op op;
	int fd;
	uint64_t value;
	bool done;
};

static void read_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct device_read *read = container_of(op, struct device_read, op);

	(void)cqe_flags;
	assert_int_equal(result, sizeof(read->value));
	read->done = true;
}

/* A message comes, upon which something is read from a device that has not answered yet. */
static void begin_read(struct loop *loop, struct device_read *read)
{
	unsigned last = 0;
	struct posted posted = { .message.run = run_posted, .loop = loop, .number = 1, .last = &last };
	struct io_uring_sqe *sqe;

	loop_post(loop, &posted.message);
	while (last == 0)
		spin_turn(loop, 0);

	*read = (struct device_read){ .op.done = read_done, .fd = eventfd(0, EFD_CLOEXEC) };
	assert_true(read->fd >= 0);
	sqe = loop_sqe(loop);
	io_uring_prep_read(sqe, read->fd, &read->value, sizeof(read->value), 0);
	loop_sqe_finish_device(loop, sqe, &read->op);
	loop_submit(loop);
}

static void end_read(struct loop *loop, struct device_read *read)
{
	uint64_t one = 1;

	assert_int_equal(write(read->fd, &one, sizeof(one)), sizeof(one));
	while (!read->done)
		spin_turn(loop, 1);
	close(read->fd);
}

/* With one request in flight, long waits for the disk and short ones for the driver alternate. */
static void test_two_waits_have_two_spins(void **state)
{
	struct loop *loop = make_spinning_loop(NS_PER_MS);
	struct device_read read;
	uint64_t spin_ns = 0;

	while (counter_read(&loop_get_counters(loop)->spin_ns) == 0)
		spin_turn(loop, 1);
	for (unsigned i = 0; i < 40; i++) {
		begin_read(loop, &read);
		spin_ns = spin_before_sleep(loop);
		end_read(loop, &read);
		/* The next message comes while the loop spins. */
		spin_turn(loop, 2 * NS_PER_MS);
	}
	assert_true(spin_ns < 10 * NS_PER_US);
	assert_true(spin_before_sleep(loop) > NS_PER_MS / 2);
	/* A device that answers soon is worth a spin, too. */
	begin_read(loop, &read);
	for (unsigned i = 0; i < 4; i++)
		spin_turn(loop, 1);
	assert_true(spin_before_sleep(loop) > NS_PER_MS / 2);
	end_read(loop, &read);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch_sees_every_write_without_reading),
		cmocka_unit_test(test_paused_watch_tells_what_it_missed),
		cmocka_unit_test(test_timers_fire_in_order_and_can_be_stopped),
		cmocka_unit_test(test_task_runs_once_a_turn),
		cmocka_unit_test(test_poller_is_polled_until_it_parks),
		cmocka_unit_test(test_messages_arrive_in_order_from_another_thread),
		cmocka_unit_test(test_messages_are_taken_back),
		cmocka_unit_test(test_idle_loop_sleeps),
		cmocka_unit_test(test_spin_that_found_work_is_full_again),
		cmocka_unit_test(test_two_waits_have_two_spins),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
