/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arbiter/seat/seat.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "core/reaper.h"

/* Messages taken before others have their turn. */
#define MESSAGES_A_TURN 16u
/* Keys on their way to the guest before text that is typed has to wait. */
#define KEYS_AHEAD_MAX 8u

static_assert(VMM_DISPLAY_SIDE_MAX <= SEAT_SIDE_MAX, "a window can have any picture of a VMM's");
static_assert(VMM_DISPLAY_CURSOR_MAX <= SEAT_CURSOR_SIDE_MAX, "and any cursor");

static void end(struct vmm_display_source *source, const char *why)
{
	if (source->dead)
		return;
	source->dead = true;
	loop_watch_stop(source->loop, &source->watch);
	loop_defer_cancel(source->loop, &source->more);
	source->ended(source, why);
}

/* ---- to the process ---- */

/* It reads all the time; one that does not has more of these before it than anybody can press in a while. */
static void tell(struct vmm_display_source *source, const struct vmm_display_message *message)
{
	ssize_t sent =
		source->dead ? -EPIPE : fd_send_now(source->socket, message, sizeof(*message), NULL, 0);

	if (sent == -EAGAIN)
		end(source, "its process does not take the keys that it is sent");
}

static void on_key(void *context, unsigned code, bool down)
{
	struct vmm_display_source *source = context;

	counter_add(&source->counters->keys, 1);
	source->keys_told++;
	tell(source, &(struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = code, .down = down });
}

static enum seat_pace on_pace(void *context)
{
	const struct vmm_display_source *source = context;

	/* A process of a daemon before may not count them. */
	if (!source->tells_keys)
		return SEAT_PACE_UNKNOWN;
	if (source->keys_told - source->keys_read + source->keys_waiting > KEYS_AHEAD_MAX)
		return SEAT_PACE_WAIT;
	return source->guest_reads ? SEAT_PACE_GO : SEAT_PACE_UNKNOWN;
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct vmm_display_source *source = context;

	counter_add(&source->counters->pointer_events, 1);
	tell(source,
	     &(struct vmm_display_message){
		     .kind = VMM_DISPLAY_POINTER, .number = buttons, .x = x, .y = y, .wheel = wheel });
}

/* What the seat does for this guest's sake, its guest pays for. */
static void on_painting(void *context, bool begins)
{
	struct vmm_display_source *source = context;

	if (begins)
		source->payer = loop_payer(source->loop);
	loop_pay(source->loop, begins ? source->account : source->payer);
}

static void on_shown(void *context)
{
	struct vmm_display_source *source = context;

	if (!source->owes && !source->owes_cursor)
		return;
	on_painting(source, true);
	if (source->owes)
		tell(source, &(struct vmm_display_message){ .kind = VMM_DISPLAY_TAKEN });
	if (source->owes_cursor)
		tell(source, &(struct vmm_display_message){ .kind = VMM_DISPLAY_CURSOR_TAKEN });
	on_painting(source, false);
	source->owes = source->owes_cursor = false;
}

/* At most once a picture. */
static void on_resize(void *context, unsigned width, unsigned height)
{
	tell(context,
	     &(struct vmm_display_message){ .kind = VMM_DISPLAY_SIZE, .width = width, .height = height });
}

static const struct seat_window_ops window_ops = {
	.key = on_key,
	.pace = on_pace,
	.pointer = on_pointer,
	.shown = on_shown,
	.resize = on_resize,
	.painting = on_painting,
};

/* ---- the picture ---- */

static void drop_picture(struct vmm_display_source *source)
{
	struct vmm_display_picture *picture = &source->picture;

	if (!picture->pixels)
		return;
	memory_guard_remove(picture->pixels);
	munmap(picture->pixels, picture->bytes);
	*picture = (struct vmm_display_picture){ .pixels = NULL };
}

static bool has_side(uint32_t side)
{
	return side > 0 && side <= VMM_DISPLAY_SIDE_MAX;
}

/* Returns NULL, or what is wrong with it. */
static const char *map_picture(struct vmm_display_source *source, const struct vmm_display_message *message,
			       int file)
{
	struct vmm_display_picture picture = { .width = message->width,
					       .height = message->height,
					       .stride_bytes = message->stride_bytes };
	long page_bytes;

	if (!has_side(message->width) || !has_side(message->height) || message->stride_bytes % 4 ||
	    message->stride_bytes < message->width * 4 || message->stride_bytes > VMM_DISPLAY_SIDE_MAX * 4)
		return "its process names a picture of a size that there is not";
	picture.bytes = picture.stride_bytes * picture.height;
	page_bytes = memory_file_accept(file, picture.bytes);
	if (page_bytes < 0)
		return "its process shares a file that is no memory, or too small for the picture";
	picture.bytes += (size_t)page_bytes - 1;
	picture.bytes -= picture.bytes % (size_t)page_bytes;
	picture.pixels = mmap(NULL, picture.bytes, PROT_READ, MAP_SHARED, file, 0);
	if (picture.pixels == MAP_FAILED)
		return "its picture cannot be mapped";
	if (seat_window_resize(source->window, picture.width, picture.height) ||
	    memory_guard_add(picture.pixels, picture.bytes, (size_t)page_bytes, &source->picture.lost)) {
		munmap(picture.pixels, picture.bytes);
		return "there is no room for its picture";
	}
	source->picture = picture;
	return NULL;
}

static const char *draw(struct vmm_display_source *source, const struct seat_rect *rect, bool was_read)
{
	uint64_t drawn_pixels = (uint64_t)rect->width * rect->height;
	const struct vmm_display_picture *picture = &source->picture;
	const uint8_t *pixels =
		picture->pixels + (size_t)rect->y * picture->stride_bytes + (size_t)rect->x * 4;

	if (seat_window_draw(source->window, rect, pixels, picture->stride_bytes))
		return "its process draws outside of the picture";
	if (__atomic_load_n(&picture->lost, __ATOMIC_RELAXED))
		return "its process has cut the picture's memory short";
	source->owes = true;
	counter_add(&source->counters->damaged_pixels, drawn_pixels);
	counter_add(&source->counters->read_pixels, was_read ? drawn_pixels : 0);
	return NULL;
}

static const char *show_surface(struct vmm_display_source *source, const struct vmm_display_message *message,
				int file)
{
	const char *wrong;

	counter_add(&source->counters->surfaces, 1);
	drop_picture(source);
	wrong = map_picture(source, message, file);
	if (!wrong)
		wrong = draw(source, &(struct seat_rect){ 0, 0, message->width, message->height },
			     message->down);
	if (!wrong)
		seat_window_set_hidden(source->window, false);
	return wrong;
}

static const char *show_damage(struct vmm_display_source *source, const struct vmm_display_message *message)
{
	const struct vmm_display_picture *picture = &source->picture;

	counter_add(&source->counters->damages, 1);
	if (message->width == 0 || message->height == 0 || message->x >= picture->width ||
	    message->y >= picture->height || message->width > picture->width - message->x ||
	    message->height > picture->height - message->y)
		return "its process draws outside of the picture";
	return draw(source,
		    &(struct seat_rect){ (int)message->x, (int)message->y, message->width, message->height },
		    message->down);
}

/* ---- the cursor ---- */

/* Out of the file, which is not mapped: what it lacks is an error here, and no fault. */
static const char *read_cursor(int file, uint32_t *pixels, size_t bytes)
{
	if (memory_file_accept(file, bytes) < 0 || pread(file, pixels, bytes, 0) != (ssize_t)bytes)
		return "its process shares a file that is no memory, or too small for the cursor";
	return NULL;
}

static const char *change_cursor(struct vmm_display_source *source, const struct vmm_display_message *message,
				 int file)
{
	struct seat_cursor cursor = { .width = message->width,
				      .height = message->height,
				      .hot_x = message->cursor.hot_x,
				      .hot_y = message->cursor.hot_y };
	const char *wrong;
	uint32_t *pixels;
	size_t bytes;

	if (cursor.width > VMM_DISPLAY_CURSOR_MAX || cursor.height > VMM_DISPLAY_CURSOR_MAX)
		return "its process names a cursor of a size that there is not";
	bytes = (size_t)cursor.width * cursor.height * sizeof(*pixels);
	pixels = malloc(bytes + 1);
	if (!pixels)
		return "there is no room for its cursor";
	cursor.pixels = pixels;
	wrong = read_cursor(file, pixels, bytes);
	if (!wrong && seat_window_set_cursor(source->window, &cursor))
		wrong = "its process names a cursor of a size that there is not";
	free(pixels);
	return wrong;
}

static const char *show_cursor(struct vmm_display_source *source, const struct vmm_display_message *message,
			       int file)
{
	const char *wrong = NULL;

	if (source->owes_cursor)
		return "its process moves its cursor more often than it is asked to";
	if (file >= 0)
		wrong = change_cursor(source, message, file);
	if (wrong)
		return wrong;
	seat_window_move_cursor(source->window, (int)message->x, (int)message->y, message->down);
	source->owes_cursor = true;
	return NULL;
}

/* Of the VMM before. */
static void drop_cursor(struct vmm_display_source *source)
{
	seat_window_set_cursor(source->window, &(struct seat_cursor){ .pixels = NULL });
	seat_window_move_cursor(source->window, 0, 0, false);
}

/* ---- keys that were taken ---- */

static const char *count_keys(struct vmm_display_source *source, const struct vmm_display_message *message)
{
	uint32_t read = message->x - source->keys_read, lost = message->width - source->keys_lost;

	if (read > source->keys_told - source->keys_read || message->y > VMM_DISPLAY_KEYS_MAX)
		return "its process counts keys that it was not sent";
	source->keys_read = message->x;
	source->keys_waiting = message->y;
	source->keys_lost = message->width;
	source->guest_reads = message->down;
	source->tells_keys = true;
	seat_window_set_lights(source->window, message->height);
	counter_add(&source->counters->lost_keys, lost);
	return NULL;
}

/* ---- from the process ---- */

/* Returns NULL, or why it is not to be listened to any more. */
static const char *obey(struct vmm_display_source *source, struct vmm_display_message *message, int file)
{
	if (message->kind != VMM_DISPLAY_REFUSED && message->number != source->number)
		return NULL;
	switch (message->kind) {
	case VMM_DISPLAY_SURFACE:
	case VMM_DISPLAY_DAMAGE:
		if (source->owes)
			return "its process draws more often than it is asked to";
		return message->kind == VMM_DISPLAY_SURFACE ? show_surface(source, message, file)
							    : show_damage(source, message);
	case VMM_DISPLAY_CURSOR:
		return show_cursor(source, message, file);
	case VMM_DISPLAY_KEYS:
		return count_keys(source, message);
	case VMM_DISPLAY_DARK:
		seat_window_set_hidden(source->window, true);
		return NULL;
	case VMM_DISPLAY_REFUSED:
		message->text[sizeof(message->text) - 1] = '\0';
		for (char *letter = message->text; *letter; letter++)
			*letter = *letter < ' ' || *letter > '~' ? '?' : *letter;
		memcpy(source->text, message->text, sizeof(source->text));
		return source->text;
	default:
		return "its process sends a message that there is not";
	}
}

/* Returns false when there is nothing more to read now. */
static bool read_one(struct vmm_display_source *source)
{
	struct vmm_display_message message;
	int file = -1;
	size_t files = 0;
	const char *wrong = "its process sends a message of another size";
	ssize_t received = fd_receive(source->socket, &message, sizeof(message), &file, 1, &files);

	if (received == -EAGAIN)
		return false;
	if (received == sizeof(message))
		wrong = obey(source, &message, files > 0 ? file : -1);
	if (files > 0)
		reaper_close(&file);
	if (received <= 0)
		end(source, received == 0 || received == -ECONNRESET ? NULL : wrong);
	else if (wrong)
		end(source, wrong);
	return !source->dead;
}

static void read_some(struct vmm_display_source *source)
{
	for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
		if (!read_one(source))
			return;
	}
	loop_defer(source->loop, &source->more);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	read_some(container_of(watch, struct vmm_display_source, watch));
}

static void on_more(struct loop_task *task)
{
	read_some(container_of(task, struct vmm_display_source, more));
}

/* ---- life ---- */

int vmm_display_source_start(struct vmm_display_source *source, int socket, uint32_t again)
{
	int error;

	source->socket = socket;
	source->number = again;
	source->dead = source->owes = source->owes_cursor = false;
	source->keys_told = source->keys_read = source->keys_waiting = source->keys_lost = 0;
	source->tells_keys = source->guest_reads = false;
	source->watch = (struct loop_watch){ .ready = on_ready, .account = source->account };
	source->more = (struct loop_task){ .run = on_more };
	source->picture = (struct vmm_display_picture){ .pixels = NULL };
	error = loop_watch_start(source->loop, &source->watch, socket, POLLIN);
	if (error) {
		source->socket = -1;
		return error;
	}
	seat_window_listen(source->window, &window_ops, source);
	if (!again) {
		drop_cursor(source);
		seat_window_set_lights(source->window, 0);
	}
	/* It was shown, most likely: so it keeps its place and the focus. */
	if (again)
		seat_window_set_hidden(source->window, false);
	if (again)
		tell(source, &(struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = again });
	loop_defer_for(source->loop, &source->more, source->account);
	return 0;
}

void vmm_display_source_stop(struct vmm_display_source *source, bool hide)
{
	if (hide)
		seat_window_set_hidden(source->window, true);
	if (source->socket < 0)
		return;
	loop_watch_stop(source->loop, &source->watch);
	loop_defer_cancel(source->loop, &source->more);
	seat_window_listen(source->window, NULL, NULL);
	drop_picture(source);
	source->socket = -1;
}
