/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU says of its display. The first byte chooses: lines of QMP, in pieces whose size is in the second
 * byte, which must lead to at most three commands, the descriptor with one of them, and looks at the keyboard
 * after that, or to a refusal that can be printed; or calls of the listener and messages of the daemon,
 * after which what the daemon is told must fit what it knows.
 *
 * A call is an act of one byte and, when it draws, six numbers of 32 bits, of which the middle byte says how
 * they are meant: small, or as they are. All calls draw from the same bytes, those of a file included, which
 * may be cut short.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pixman.h>

#include "core/fd.h"
#include "input_trace.h"
#include "interfaces/vmm_display/vmm_display_cursor.h"
#include "interfaces/vmm_display/vmm_display_qmp.h"
#include "interfaces/vmm_display/vmm_display_surface.h"

#define ACTS_MAX     64u
#define PIXEL_BYTES  4096u
#define COMMANDS_MAX 4096u
#define LOOKS_MAX    16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* ---- QMP ---- */

/* What QEMU got: three lines at most, one of them with the socket; and those that ask for a look. */
static void check_commands(int socket, enum vmm_display_qmp_stage stage, size_t looks)
{
	char commands[COMMANDS_MAX];
	size_t bytes = 0, fds = 0, lines = 0;

	for (;;) {
		size_t fd_count = 0;
		int fd = -1;
		ssize_t received =
			fd_receive(socket, commands + bytes, sizeof(commands) - bytes, &fd, 1, &fd_count);

		if (received <= 0)
			break;
		bytes += (size_t)received;
		fds += fd_count;
		fd_close(&fd);
	}
	for (size_t i = 0; i < bytes; i++)
		lines += commands[i] == '\n';
	check(lines == (stage == VMM_DISPLAY_QMP_DONE ? 3 + looks : stage));
	check(fds == (stage >= VMM_DISPLAY_QMP_GETFD));
	fuzz_trace(commands, bytes);
}

static void check_refusal(const struct vmm_display_qmp *qmp)
{
	check(memchr(qmp->refusal, '\0', sizeof(qmp->refusal)) != NULL);
	for (const char *at = qmp->refusal; *at; at++)
		check(*at >= ' ' && *at <= '~');
	fuzz_trace(qmp->refusal, strlen(qmp->refusal));
}

static void fuzz_qmp(const uint8_t *data, size_t size)
{
	static struct vmm_display_qmp qmp;
	size_t step = size > 0 ? data[0] + 1u : 1;
	int ends[2], given[2], error = 0;
	size_t looks = 0;

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, given) == 0);
	vmm_display_qmp_init(&qmp, ends[0], given[0]);
	for (size_t at = 1; at < size && error == 0; at += step) {
		error = vmm_display_qmp_eat(&qmp, (const char *)data + at,
					    size - at < step ? size - at : step);
		fuzz_trace_number(vmm_display_qmp_take_look(&qmp));
		if (qmp.stage != VMM_DISPLAY_QMP_DONE || qmp.is_looking || looks == LOOKS_MAX)
			continue;
		check(vmm_display_qmp_look(&qmp) == 0);
		looks++;
	}
	check((error == 0) == (qmp.refusal[0] == '\0'));
	check_refusal(&qmp);
	check_commands(ends[1], qmp.stage, looks);
	vmm_display_qmp_finish(&qmp);
	close(given[1]);
	close(ends[0]);
	close(ends[1]);
	fuzz_trace_number((uint64_t)error);
	fuzz_trace_number(qmp.stage);
}

/* ---- pictures ---- */

enum act {
	ACT_SCANOUT,
	ACT_UPDATE,
	ACT_DARKEN,
	ACT_TAKEN,
	ACT_AGAIN,
	ACT_TELL,
	ACT_DEFINE_CURSOR,
	ACT_MOVE_CURSOR,
	ACT_CURSOR_TAKEN,
	ACT_SCANOUT_MAP,
	ACT_UPDATE_MAP,
	ACT_CUT_MAP,
	ACTS
};

struct fuzz_bench {
	uint32_t number; /* of the daemon that is told */
	const uint8_t *at, *end;
	struct vmm_display_surface surface;
	struct vmm_display_cursor cursor;
	int file; /* QEMU's, in which it draws; -1: not used yet */
	/* What the daemon knows. */
	bool has_picture, is_waiting;
	bool has_cursor, cursor_is_waiting;
	struct vmm_display_message cursor_place;
	uint32_t width, height;
};

static uint8_t bytes_drawn[PIXEL_BYTES] __attribute__((aligned(4)));

static uint32_t take(struct fuzz_bench *bench)
{
	uint8_t bytes[4] = { 0 };
	uint32_t number;

	for (unsigned i = 0; i < 4 && bench->at < bench->end; i++)
		bytes[i] = *bench->at++;
	memcpy(&number, bytes, sizeof(number));
	return bytes[2] == 0 ? number % 80 : number;
}

/* The formats that are converted, and what else a peer may say. */
static uint32_t take_format(struct fuzz_bench *bench)
{
	static const uint32_t formats[] = { PIXMAN_x8r8g8b8, PIXMAN_a8b8g8r8, PIXMAN_b8g8r8x8, PIXMAN_r8g8b8,
					    PIXMAN_r5g6b5,   PIXMAN_x1r5g5b5, PIXMAN_c8,       PIXMAN_yv12 };
	uint32_t format = take(bench);

	return format < 8 ? formats[format] : format;
}

/* All that was promised to be there is there, and nothing refused is. */
static void check_pixels(const struct vmm_display_pixels *pixels, size_t count)
{
	uint64_t end = (uint64_t)pixels->stride_bytes * (pixels->height - 1) +
		       (uint64_t)pixels->width * PIXMAN_FORMAT_BPP(pixels->format) / 8;

	check(pixels->width >= 1 && pixels->width <= VMM_DISPLAY_SIDE_MAX);
	check(pixels->height >= 1 && pixels->height <= VMM_DISPLAY_SIDE_MAX);
	check(end <= count);
}

static void draw(struct fuzz_bench *bench, enum act act)
{
	int32_t x = (int32_t)take(bench), y = (int32_t)take(bench);
	uint32_t width = take(bench), height = take(bench), stride_bytes = take(bench),
		 format = take_format(bench);
	struct vmm_display_surface *surface = &bench->surface;
	struct vmm_display_pixels pixels;
	int error = vmm_display_pixels_check(width, height, stride_bytes, format, bytes_drawn, PIXEL_BYTES,
					     &pixels);

	fuzz_trace_number((uint64_t)error);
	if (error < 0)
		return;
	check_pixels(&pixels, PIXEL_BYTES);
	error = act == ACT_SCANOUT ? vmm_display_surface_set(surface, &pixels)
				   : vmm_display_surface_update(surface, x, y, &pixels);
	if (error == 0 && act == ACT_UPDATE)
		check(x >= 0 && y >= 0 && (uint32_t)x + width <= surface->width &&
		      (uint32_t)y + height <= surface->height);
	fuzz_trace_number((uint64_t)error);
}

/* The file is there when it is used for the first time, and may be cut short later. */
static void scanout_map(struct fuzz_bench *bench)
{
	uint32_t offset_bytes = take(bench);
	struct vmm_display_pixels numbers = { .width = take(bench),
					      .height = take(bench),
					      .stride_bytes = take(bench),
					      .format = take_format(bench) };
	struct vmm_display_map map;
	int error;

	if (bench->file < 0) {
		bench->file = memfd_create("fuzz", MFD_CLOEXEC);
		check(pwrite(bench->file, bytes_drawn, PIXEL_BYTES, 0) == PIXEL_BYTES);
	}
	error = vmm_display_map_open(bench->file, offset_bytes, &numbers, &map);
	fuzz_trace_number((uint64_t)error);
	if (error < 0)
		return;
	check_pixels(&map.layout, PIXEL_BYTES - offset_bytes);
	fuzz_trace_number((uint64_t)vmm_display_surface_set_map(&bench->surface, &map));
}

static void update_map(struct fuzz_bench *bench)
{
	int32_t x = (int32_t)take(bench), y = (int32_t)take(bench), width = (int32_t)take(bench),
		height = (int32_t)take(bench);
	int error = vmm_display_surface_update_map(&bench->surface, x, y, width, height);

	if (error == 0)
		check(x >= 0 && y >= 0 && (uint32_t)(x + width) <= bench->surface.width &&
		      (uint32_t)(y + height) <= bench->surface.height);
	fuzz_trace_number((uint64_t)error);
}

static void check_message(struct fuzz_bench *bench, const struct vmm_display_message *message, int file)
{
	fuzz_trace(message, sizeof(*message));
	check((file >= 0) == (message->kind == VMM_DISPLAY_SURFACE) && message->number == bench->number);
	if (message->kind == VMM_DISPLAY_DARK) {
		check(bench->has_picture);
		bench->has_picture = false;
		return;
	}
	check(!bench->is_waiting);
	bench->is_waiting = true;
	if (message->kind == VMM_DISPLAY_SURFACE) {
		bench->has_picture = true;
		bench->width = message->width;
		bench->height = message->height;
		check(message->stride_bytes == message->width * 4);
		return;
	}
	check(message->kind == VMM_DISPLAY_DAMAGE && bench->has_picture);
	check(message->width > 0 && message->x < bench->width && message->width <= bench->width - message->x);
	check(message->height > 0 && message->y < bench->height &&
	      message->height <= bench->height - message->y);
}

/* All that the file is said to hold is in it, and the place is one that sums do not overflow from. */
static void check_cursor(struct fuzz_bench *bench, const struct vmm_display_message *message, int file)
{
	static uint32_t pixels[VMM_DISPLAY_CURSOR_MAX * VMM_DISPLAY_CURSOR_MAX];
	size_t bytes = (size_t)message->width * message->height * 4;

	fuzz_trace(message, sizeof(*message));
	check(message->kind == VMM_DISPLAY_CURSOR && message->number == bench->number);
	check(!bench->cursor_is_waiting && (bench->has_cursor || file >= 0));
	check(abs((int32_t)message->x) < 0x10000 && abs((int32_t)message->y) < 0x10000);
	bench->has_cursor = bench->cursor_is_waiting = true;
	bench->cursor_place = *message;
	if (file < 0)
		return;
	check(message->width >= 1 && message->width <= VMM_DISPLAY_CURSOR_MAX);
	check(message->height >= 1 && message->height <= VMM_DISPLAY_CURSOR_MAX);
	check(message->cursor.hot_x < message->width && message->cursor.hot_y < message->height);
	check(pread(file, pixels, bytes, 0) == (ssize_t)bytes);
	fuzz_trace(pixels, bytes);
}

static void tell(struct fuzz_bench *bench)
{
	struct vmm_display_message message;
	int file;

	vmm_display_surface_read(&bench->surface);
	if (vmm_display_surface_news(&bench->surface, &message, &file)) {
		check_message(bench, &message, file);
		vmm_display_surface_told(&bench->surface);
	}
	if (vmm_display_cursor_news(&bench->cursor, &message, &file)) {
		check_cursor(bench, &message, file);
		vmm_display_cursor_told(&bench->cursor);
	}
}

static void define_cursor(struct fuzz_bench *bench)
{
	const int32_t size[2] = { (int32_t)take(bench), (int32_t)take(bench) },
		      hot[2] = { (int32_t)take(bench), (int32_t)take(bench) };
	uint32_t count = take(bench);
	int error = vmm_display_cursor_define(&bench->cursor, size, hot, bytes_drawn,
					      count < 80 ? (size_t)size[0] * (size_t)size[1] * 4 % PIXEL_BYTES
							 : count % PIXEL_BYTES);

	fuzz_trace_number((uint64_t)error);
}

static void act(struct fuzz_bench *bench, enum act act)
{
	switch (act) {
	case ACT_SCANOUT:
	case ACT_UPDATE:
		draw(bench, act);
		break;
	case ACT_DARKEN:
		vmm_display_surface_darken(&bench->surface);
		break;
	case ACT_TAKEN:
		bench->is_waiting = false;
		vmm_display_surface_taken(&bench->surface);
		break;
	case ACT_DEFINE_CURSOR:
		define_cursor(bench);
		break;
	case ACT_MOVE_CURSOR:
		vmm_display_cursor_move(&bench->cursor, (int32_t)take(bench), (int32_t)take(bench),
					take(bench) % 2);
		break;
	case ACT_CURSOR_TAKEN:
		bench->cursor_is_waiting = false;
		vmm_display_cursor_taken(&bench->cursor);
		break;
	case ACT_SCANOUT_MAP:
		scanout_map(bench);
		break;
	case ACT_UPDATE_MAP:
		update_map(bench);
		break;
	case ACT_CUT_MAP:
		if (bench->file >= 0)
			check(ftruncate(bench->file, take(bench) % PIXEL_BYTES) == 0);
		break;
	case ACT_AGAIN:
		/* The window is shown, so that it must be told when it is dark. */
		bench->is_waiting = false;
		bench->has_picture = true;
		bench->width = bench->height = 0;
		bench->has_cursor = bench->cursor_is_waiting = false;
		vmm_display_surface_again(&bench->surface, ++bench->number);
		vmm_display_cursor_again(&bench->cursor, bench->number);
		break;
	default:
		tell(bench);
		break;
	}
}

static void fuzz_pictures(const uint8_t *data, size_t size)
{
	struct fuzz_bench bench = { .at = data, .end = data + size, .file = -1 };

	for (unsigned i = 0; i < PIXEL_BYTES; i++)
		bytes_drawn[i] = (uint8_t)(i * 7);
	vmm_display_surface_init(&bench.surface);
	vmm_display_cursor_init(&bench.cursor);
	for (unsigned i = 0; i < ACTS_MAX && bench.at < bench.end; i++)
		act(&bench, *bench.at++ % ACTS);
	/* In the end the daemon knows all. */
	for (unsigned i = 0; i < 3; i++) {
		act(&bench, ACT_TAKEN);
		act(&bench, ACT_CURSOR_TAKEN);
		tell(&bench);
	}
	check(bench.has_picture == bench.surface.is_lit);
	if (bench.has_picture) {
		check(bench.width == bench.surface.width && bench.height == bench.surface.height);
		fuzz_trace(bench.surface.pixels, (size_t)bench.width * bench.height * 4);
	}
	check(bench.has_cursor == (bench.cursor.width > 0));
	if (bench.has_cursor)
		check((int32_t)(bench.cursor_place.x - bench.cursor.hot_x) == bench.cursor.x &&
		      bench.cursor_place.down == bench.cursor.is_visible);
	vmm_display_cursor_finish(&bench.cursor);
	vmm_display_surface_finish(&bench.surface);
	fd_close(&bench.file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		fuzz_qmp(data + 1, size - 1);
	else
		fuzz_pictures(data + 1, size - 1);
	return 0;
}
