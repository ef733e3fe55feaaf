/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests and a viewer of one seat, in one process, so that one clock tells what is between them.
 *
 *     viaduct-seat-bench [--keys] [--zrle] VIEWER-SOCKET [GUEST …]
 *
 * GUEST is SOCKET,WIDTHxHEIGHT,ROLE[,RATE]; a role is still, blink, frames, pulse or storm. The program says
 * "shown" when each guest has shown its first picture, and reads a line of X,Y …: a pixel at the viewer for
 * each guest, its picture's last, or for what else draws. Then it connects the viewer, and says "running"
 * when that has the picture. With "begin" it forgets what it has measured, with "report" it writes what it
 * has, a line of JSON, and at the end of its input it ends.
 */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "load.h"
#include "seat_guest.h"
#include "seat_viewer_client.h"

#define GUESTS_MAX 8u
#define SIDE_MAX   8192u /* pixels */
/* XT's A and QEMU's are alike. */
#define KEY_CODE 30u
/* Between keys: from 5 to 15 ms, so that they meet every phase of what sleeps. */
#define KEY_MIN_NS (5 * NS_PER_MS)
#define KEY_MAX_NS (15 * NS_PER_MS)
#define SHOWN_MS   120000u

struct watch {
	unsigned x, y;
	uint32_t seen; /* the pixel, at the last look */
	uint64_t frames;
	struct load_histogram flushes;
};

struct bench {
	struct seat_client client;
	bool sends_keys;
	struct seat_guest guests[GUESTS_MAX];
	unsigned guest_count;
	struct watch watches[GUESTS_MAX];
	unsigned watch_count;
	uint64_t begun_ns, bytes_before;
	/* Keys. */
	struct load_histogram keys;
	bool is_down;
	uint64_t sent_ns; /* 0: none is on its way */
	uint64_t next_key_ns, heard;
};

static int fail(const char *what)
{
	fprintf(stderr, "viaduct-seat-bench: %s\n", what);
	return 1;
}

/* ---- arguments ---- */

/* Two numbers, each at most SIDE_MAX, as in 640x480. */
static bool parse_pair(const char *text, char between, unsigned *ret_one, unsigned *ret_other)
{
	char *end;
	unsigned long one = strtoul(text, &end, 10), other;
	const char *rest = end + 1;

	if (end == text || *end != between)
		return false;
	other = strtoul(rest, &end, 10);
	if (end == rest || *end != '\0' || one > SIDE_MAX || other > SIDE_MAX)
		return false;
	*ret_one = (unsigned)one;
	*ret_other = (unsigned)other;
	return true;
}

static bool parse_guest(char *text, struct seat_guest_options *ret_options)
{
	static const char *const roles[] = { [SEAT_STILL] = "still",
					     [SEAT_BLINK] = "blink",
					     [SEAT_FRAMES] = "frames",
					     [SEAT_PULSE] = "pulse",
					     [SEAT_STORM] = "storm" };
	struct seat_guest_options options = { .socket = strsep(&text, ","), .rate = 1 };
	const char *size = strsep(&text, ","), *role = strsep(&text, ","), *rate = text;
	unsigned kind = 0;

	if (!role || !parse_pair(size, 'x', &options.width, &options.height) || options.width == 0 ||
	    options.height == 0)
		return false;
	while (kind < sizeof(roles) / sizeof(*roles) && strcmp(roles[kind], role) != 0)
		kind++;
	options.role = kind;
	if (rate)
		options.rate = strtod(rate, NULL);
	*ret_options = options;
	return kind < sizeof(roles) / sizeof(*roles) && options.rate > 0;
}

/* A line without its end; false at the end of all. */
static bool read_line(char *line, int bytes)
{
	if (!fgets(line, bytes, stdin))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static bool parse_watches(struct bench *bench)
{
	char line[256], *rest = line, *word;

	if (!read_line(line, sizeof(line)))
		return false;
	while ((word = strsep(&rest, " ")) && bench->watch_count < GUESTS_MAX) {
		struct watch *watch = &bench->watches[bench->watch_count++];

		if (!parse_pair(word, ',', &watch->x, &watch->y))
			return false;
	}
	return bench->watch_count >= bench->guest_count;
}

/* ---- what is measured ---- */

static void begin(struct bench *bench)
{
	for (unsigned i = 0; i < bench->watch_count; i++) {
		bench->watches[i].frames = 0;
		memset(&bench->watches[i].flushes, 0, sizeof(bench->watches[i].flushes));
	}
	memset(&bench->keys, 0, sizeof(bench->keys));
	for (unsigned i = 0; i < bench->guest_count; i++)
		__atomic_store_n(&bench->guests[i].flushes, 0, __ATOMIC_RELAXED);
	bench->begun_ns = clock_now_ns();
	bench->bytes_before = bench->client.received_bytes;
}

/* The viewer has taken an update. */
static void look(struct bench *bench, unsigned index, uint64_t now_ns)
{
	const struct seat_client *client = &bench->client;
	struct watch *watch = &bench->watches[index];
	struct seat_guest *guest = index < bench->guest_count ? &bench->guests[index] : NULL;
	uint32_t pixel;

	if (!seat_client_drew(client, watch->x, watch->y))
		return;
	pixel = client->pixels[(size_t)watch->y * client->width + watch->x] & 0xffffff;
	/* Packed pixels are not looked at. */
	if (client->encoding == SEAT_RAW && pixel == watch->seen)
		return;
	watch->seen = pixel;
	watch->frames++;
	if (!guest || guest->options.role != SEAT_PULSE)
		return;
	if (client->encoding != SEAT_RAW || pixel == __atomic_load_n(&guest->corner, __ATOMIC_ACQUIRE)) {
		load_histogram_add(&watch->flushes,
				   now_ns - __atomic_load_n(&guest->flushed_ns, __ATOMIC_RELAXED));
		seat_guest_saw(guest);
	}
}

static bool take_updates(struct bench *bench)
{
	do {
		if (!seat_client_read(&bench->client))
			return false;
		for (unsigned i = 0; i < bench->watch_count; i++)
			look(bench, i, clock_now_ns());
	} while (seat_client_has_buffered(&bench->client));
	return true;
}

/* The guest has heard a key. */
static void take_key(struct bench *bench)
{
	struct seat_guest *guest = &bench->guests[0];
	uint64_t keys, raised;

	if (read(guest->events, &raised, sizeof(raised)) < 0)
		return;
	keys = __atomic_load_n(&guest->keys, __ATOMIC_ACQUIRE);
	if (keys == bench->heard || bench->sent_ns == 0)
		return;
	bench->heard = keys;
	load_histogram_add(&bench->keys, __atomic_load_n(&guest->key_ns, __ATOMIC_RELAXED) - bench->sent_ns);
	bench->next_key_ns =
		clock_now_ns() + KEY_MIN_NS + bench->keys.count * 2654435761u % (KEY_MAX_NS - KEY_MIN_NS);
	bench->sent_ns = 0;
}

static bool send_key(struct bench *bench)
{
	if (!bench->sends_keys || bench->sent_ns > 0 || clock_now_ns() < bench->next_key_ns)
		return true;
	bench->is_down = !bench->is_down;
	bench->sent_ns = clock_now_ns();
	return seat_client_key(&bench->client, KEY_CODE, bench->is_down);
}

/* ---- the report ---- */

static json_t *figures(const struct load_histogram *histogram)
{
	return json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)histogram->count, "p50_us",
			 load_histogram_ns(histogram, 0.5) / NS_PER_US, "p99_us",
			 load_histogram_ns(histogram, 0.99) / NS_PER_US, "max_us",
			 (double)histogram->max_ns / NS_PER_US);
}

static void report(struct bench *bench)
{
	json_t *watches = json_array(), *object;

	for (unsigned i = 0; i < bench->watch_count; i++) {
		uint64_t flushes = i < bench->guest_count ? bench->guests[i].flushes : 0;

		json_array_append_new(watches, json_pack("{s:I, s:I, s:o}", "frames",
							 (json_int_t)bench->watches[i].frames, "flushes",
							 (json_int_t)flushes, "latency",
							 figures(&bench->watches[i].flushes)));
	}
	object = json_pack("{s:f, s:i, s:i, s:I, s:o, s:o}", "seconds",
			   (double)(clock_now_ns() - bench->begun_ns) / NS_PER_S, "width",
			   (int)bench->client.width, "height", (int)bench->client.height, "bytes",
			   (json_int_t)(bench->client.received_bytes - bench->bytes_before), "keys",
			   figures(&bench->keys), "watches", watches);
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* ---- running ---- */

static const char *failed(const struct bench *bench)
{
	for (unsigned i = 0; i < bench->guest_count; i++) {
		const char *what = __atomic_load_n(&bench->guests[i].failed, __ATOMIC_ACQUIRE);

		if (what)
			return what;
	}
	return bench->client.failed;
}

/* Returns whether it goes on. */
static bool obey_input(struct bench *bench)
{
	char line[16];

	if (!read_line(line, sizeof(line)))
		return false;
	if (strcmp(line, "begin") == 0)
		begin(bench);
	else if (strcmp(line, "report") == 0)
		report(bench);
	return true;
}

static int next_key_ms(const struct bench *bench)
{
	uint64_t now_ns = clock_now_ns();

	if (!bench->sends_keys || bench->sent_ns > 0)
		return -1;
	return bench->next_key_ns > now_ns ? (int)((bench->next_key_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

static void measure(struct bench *bench)
{
	bool goes_on = true;

	while (goes_on && !failed(bench)) {
		struct pollfd polled[] = {
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = bench->client.fd, .events = POLLIN },
			{ .fd = bench->guest_count > 0 ? bench->guests[0].events : -1, .events = POLLIN },
		};

		if (poll(polled, 3, next_key_ms(bench)) < 0)
			continue;
		if (polled[1].revents && !take_updates(bench))
			return;
		if (polled[2].revents)
			take_key(bench);
		if (polled[0].revents)
			goes_on = obey_input(bench);
		if (!send_key(bench))
			return;
	}
}

static bool all_are_shown(const struct bench *bench)
{
	for (unsigned i = 0; i < bench->guest_count; i++)
		if (!__atomic_load_n(&bench->guests[i].is_shown, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

static bool has_frames(const struct bench *bench)
{
	for (unsigned i = 0; i < bench->watch_count; i++)
		if (bench->watches[i].frames == 0)
			return false;
	return true;
}

/* It has all of the picture, and its guest the focus, where keys are to be heard. */
static bool connect_viewer(struct bench *bench, const char *path, enum seat_encoding encoding)
{
	const struct watch *first = &bench->watches[0];

	if (seat_client_open(&bench->client, path, encoding))
		return false;
	while (!has_frames(bench)) {
		if (!take_updates(bench))
			return false;
	}
	return !bench->sends_keys || seat_client_click(&bench->client, first->x, first->y);
}

static const char *run(struct bench *bench, const char *path, enum seat_encoding encoding)
{
	for (unsigned ms = 0; !all_are_shown(bench); ms++) {
		if (failed(bench) || ms > SHOWN_MS)
			return failed(bench) ? failed(bench) : "a guest's picture is not taken";
		poll(NULL, 0, 1);
	}
	puts("shown");
	if (!parse_watches(bench))
		return "no X,Y for each guest";
	if (!connect_viewer(bench, path, encoding))
		return bench->client.failed;
	bench->next_key_ns = clock_now_ns() + NS_PER_S / 10;
	begin(bench);
	puts("running");
	measure(bench);
	return failed(bench);
}

int main(int count, char **words)
{
	static struct bench bench = { .client.fd = -1 };
	enum seat_encoding encoding = SEAT_RAW;
	const char *path, *what;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	for (words++, count--; count > 0 && words[0][0] == '-'; words++, count--) {
		if (strcmp(words[0], "--keys") == 0)
			bench.sends_keys = true;
		else if (strcmp(words[0], "--zrle") == 0)
			encoding = SEAT_ZRLE;
		else
			return fail("no such option");
	}
	if (count < 1 || (unsigned)count - 1 > GUESTS_MAX || (bench.sends_keys && count < 2))
		return fail("[--keys] [--zrle] VIEWER-SOCKET [SOCKET,WIDTHxHEIGHT,ROLE[,RATE] …]");
	path = words[0];
	for (int i = 1; i < count; i++) {
		struct seat_guest_options options;

		if (!parse_guest(words[i], &options))
			return fail("a guest is SOCKET,WIDTHxHEIGHT,still|blink|frames|pulse|storm[,RATE]");
		if (seat_guest_start(&bench.guests[bench.guest_count], &options))
			return fail("a guest cannot connect to its display");
		bench.guest_count++;
	}
	what = run(&bench, path, encoding);
	for (unsigned i = 0; i < bench.guest_count; i++)
		seat_guest_stop(&bench.guests[i]);
	seat_client_close(&bench.client);
	return what ? fail(what) : 0;
}
