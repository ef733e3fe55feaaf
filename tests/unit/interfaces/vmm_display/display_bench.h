/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that serves a display, between the QEMU and the daemon of fake_qemu.h, and what that QEMU draws.
 */
#ifndef VIADUCT_TESTS_DISPLAY_BENCH_H
#define VIADUCT_TESTS_DISPLAY_BENCH_H

#include "fake_qemu.h"
#include "interfaces/vmm_display/vmm_display_serve.h"

#define LISTENER_PATH "/org/qemu/Display1/Listener"
#define LISTENER      "org.qemu.Display1.Listener"

/* ---- drawing ---- */

static inline int fake_on_answer(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct fake_qemu *qemu = context;

	qemu->answers++;
	qemu->errors += sd_bus_message_is_method_error(answer, NULL) > 0;
	return 0;
}

static inline sd_bus_message *fake_call(struct fake_qemu *qemu, const char *method)
{
	sd_bus_message *call;

	assert_true(sd_bus_message_new_method_call(qemu->listener, &call, NULL, LISTENER_PATH, LISTENER,
						   method) >= 0);
	return call;
}

static inline void fake_send(struct fake_qemu *qemu, sd_bus_message *call)
{
	assert_true(sd_bus_call_async(qemu->listener, NULL, call, fake_on_answer, qemu, UINT64_MAX) >= 0);
	sd_bus_message_unref(call);
}

/* Waits for the answer. Returns whether it was an error. */
static inline bool fake_wait(struct fake_qemu *qemu)
{
	unsigned answers = qemu->answers, errors = qemu->errors;

	UNTIL(qemu, qemu->answers == answers + 1);
	return qemu->errors > errors;
}

/*
 * After this, the process has read what QEMU answered before, and whatever it had to tell of what it has
 * answered to is in the daemon's socket. It reads the answers in the turn in which it answers to a call, or
 * earlier, and hears a key that is sent after that answer in a later turn.
 */
static inline void fake_settle(struct fake_qemu *qemu)
{
	unsigned before = qemu->call_count;
	sd_bus_message *call;

	assert_true(sd_bus_message_new_method_call(qemu->listener, &call, NULL, LISTENER_PATH,
						   "org.freedesktop.DBus.Properties", "Get") >= 0);
	assert_true(sd_bus_message_append(call, "ss", LISTENER, "Interfaces") >= 0);
	fake_send(qemu, call);
	assert_false(fake_wait(qemu));
	daemon_say(qemu,
		   (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = KEY_F24, .down = 1 });
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = KEY_F24 });
	UNTIL(qemu, qemu->call_count == before + 2);
	qemu->call_count = before;
	while (daemon_read(qemu))
		;
}

static inline bool fake_has_news(struct fake_qemu *qemu)
{
	fake_settle(qemu);
	return qemu->news_read < qemu->news_count;
}

/* Of these bytes, whatever the numbers say. */
struct fake_pixels {
	uint32_t stride, format;
	const void *bytes;
	size_t count;
};

static inline bool fake_scanout(struct fake_qemu *qemu, uint32_t width, uint32_t height,
				struct fake_pixels pixels)
{
	sd_bus_message *call = fake_call(qemu, "Scanout");

	assert_true(sd_bus_message_append(call, "uuuu", width, height, pixels.stride, pixels.format) >= 0);
	assert_true(sd_bus_message_append_array(call, 'y', pixels.bytes, pixels.count) >= 0);
	fake_send(qemu, call);
	return fake_wait(qemu);
}

static inline bool fake_move_cursor(struct fake_qemu *qemu, int32_t x, int32_t y, int32_t on)
{
	sd_bus_message *call = fake_call(qemu, "MouseSet");

	assert_true(sd_bus_message_append(call, "iii", x, y, on) >= 0);
	fake_send(qemu, call);
	return fake_wait(qemu);
}

/* Numbers: width, height and the hot spot. */
static inline bool fake_define_cursor(struct fake_qemu *qemu, const int32_t numbers[4], const void *bytes,
				      size_t count)
{
	sd_bus_message *call = fake_call(qemu, "CursorDefine");

	assert_true(sd_bus_message_append(call, "iiii", numbers[0], numbers[1], numbers[2], numbers[3]) >= 0);
	assert_true(sd_bus_message_append_array(call, 'y', bytes, count) >= 0);
	fake_send(qemu, call);
	return fake_wait(qemu);
}

static inline sd_bus_message *fake_update_call(struct fake_qemu *qemu, const int32_t rect[4],
					       struct fake_pixels pixels)
{
	sd_bus_message *call = fake_call(qemu, "Update");

	assert_true(sd_bus_message_append(call, "iiiiuu", rect[0], rect[1], rect[2], rect[3], pixels.stride,
					  pixels.format) >= 0);
	assert_true(sd_bus_message_append_array(call, 'y', pixels.bytes, pixels.count) >= 0);
	return call;
}

static inline bool fake_update(struct fake_qemu *qemu, int32_t x, int32_t y, int32_t width, int32_t height,
			       struct fake_pixels pixels)
{
	fake_send(qemu, fake_update_call(qemu, (int32_t[]){ x, y, width, height }, pixels));
	return fake_wait(qemu);
}

/* A picture of one colour. Returns its surface as the daemon got it. */
static inline struct fake_news *fake_fill(struct fake_qemu *qemu, uint32_t width, uint32_t height,
					  uint32_t colour)
{
	static uint32_t pixels[64 * 64];
	struct fake_news *news;

	assert_true(width * height <= 64 * 64);
	for (unsigned i = 0; i < width * height; i++)
		pixels[i] = colour;
	assert_false(fake_scanout(
		qemu, width, height,
		(struct fake_pixels){ width * 4, X8R8G8B8, pixels, (size_t)width * height * 4 }));
	news = fake_next(qemu);
	assert_int_equal(news->message.kind, VMM_DISPLAY_SURFACE);
	return news;
}

static inline void daemon_take(struct fake_qemu *qemu)
{
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_TAKEN });
}

/* ---- life ---- */

/* The process is there, and QEMU has said nothing yet. */
static inline int fake_setup(void **state)
{
	static struct fake_qemu qemu;
	int outside[2], inside[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outside), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inside), 0);
	qemu = (struct fake_qemu){ .qmp = outside[0],
				   .daemon = inside[0],
				   .display = -1,
				   .is_absolute = true,
				   .graphic = "/org/qemu/Display1/Console_0" };
	qemu.pid = fork();
	assert_true(qemu.pid >= 0);
	if (qemu.pid == 0) {
		close(outside[0]);
		close(inside[0]);
		vmm_display_serve(outside[1], inside[1]);
		_exit(0);
	}
	close(outside[1]);
	close(inside[1]);
	*state = &qemu;
	return 0;
}

/* What fake_settle() types, which is counted, too: events, and bytes in QEMU's queue. */
#define SETTLE_KEYS  2u
#define SETTLE_BYTES 3u

/* QEMU's listener is registered, and its keys work: one was typed. */
static inline int fake_setup_display(void **state)
{
	struct fake_qemu *qemu;

	fake_setup(state);
	qemu = *state;
	fake_write(qemu, GREETING);
	/* The consoles, the type of the first one, and what is asked of it. */
	UNTIL(qemu, qemu->registrations == 1 && qemu->questions == 6);
	fake_settle(qemu);
	return 0;
}

/* It ends by itself, and well. */
static inline void fake_expect_end(struct fake_qemu *qemu)
{
	int status = -1;

	AWAIT(waitpid(qemu->pid, &status, WNOHANG) == qemu->pid, fake_step(qemu));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	qemu->pid = 0;
}

/* It ends when the daemon's end is closed, whatever QEMU does. */
static inline int fake_teardown(void **state)
{
	struct fake_qemu *qemu = *state;
	int status = -1;

	fd_close(&qemu->daemon);
	if (qemu->pid > 0) {
		assert_int_equal(waitpid(qemu->pid, &status, 0), qemu->pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	for (unsigned i = 0; i < qemu->held_count; i++)
		sd_bus_message_unref(qemu->held[i]);
	fake_close(&qemu->control);
	fake_close(&qemu->listener);
	fd_close(&qemu->display);
	fd_close(&qemu->qmp);
	for (unsigned i = 0; i < qemu->news_count && i < 64; i++)
		fd_close(&qemu->news[i].file);
	return 0;
}

#define DISPLAY_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup_display, fake_teardown)
#define BARE_TEST(name)	   cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

#endif
