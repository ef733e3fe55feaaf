/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hostile guest: a driver that asks for what is not its own, because a stock kernel never does. Between
 * two such requests it asks for something allowed, which shows that the ring goes on, and how long it pauses.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/demo/demo.h"
#include "cli/demo/demo_scan.h"
#include "core/clock.h"
#include "frontend/frontend.h"

#define SECTOR_BYTES	 512u
#define BUFFER_SECTORS	 16u
#define BUFFER_BYTES	 ((size_t)BUFFER_SECTORS * SECTOR_BYTES)
#define MEMORY_BYTES	 (1u << 20)
#define QUEUE_SIZE	 32u
#define IN_FLIGHT_MAX	 8u
#define ANSWER_MS	 20000
#define UNTOUCHED	 0x5a
#define STATUS_OK	 0
#define STATUS_IOERR	 1
#define BLK_F_FLUSH	 (1ull << 9)
#define BLK_F_DISCARD	 (1ull << 13)
#define BLK_F_ZEROES	 (1ull << 14)
#define F_INDIRECT	 (1ull << 28)

/* Where a lie begins; the sector is relative to it. */
enum base { FROM_ZERO, FROM_END, FROM_POOL_END };

static const struct lie {
	const char *what;
	int64_t sector;
	enum base base;
	uint32_t sectors;
} lies[] = {
	{ "the first sector behind the end", 0, FROM_END, 1 },
	{ "across the end, by one sector", -1, FROM_END, 2 },
	{ "across the end, half and half", -8, FROM_END, 16 },
	{ "right behind, where a neighbour may be", 2048, FROM_END, 16 },
	{ "1 GiB behind the end", 2097152, FROM_END, 16 },
	{ "the last sectors of the physical disk", -16, FROM_POOL_END, 16 },
	{ "sector 2^40", 1ll << 40, FROM_ZERO, 16 },
	{ "sector 2^55: as bytes it wraps to 0", 1ll << 55, FROM_ZERO, 16 },
	{ "sector 2^55 + 2048: wraps to 1 MiB", (1ll << 55) + 2048, FROM_ZERO, 16 },
	{ "sector 2^55 - 1, two sectors: the end wraps", (1ll << 55) - 1, FROM_ZERO, 2 },
	{ "sector 2^63", INT64_MIN, FROM_ZERO, 1 },
	{ "sector 2^64 - 8, sixteen: the sum wraps", -8, FROM_ZERO, 16 },
	{ "sector 2^64 - 1", -1, FROM_ZERO, 1 },
};

#define LIES (sizeof(lies) / sizeof(lies[0]))

static const enum frontend_block_type types[] = {
	FRONTEND_BLOCK_IN, FRONTEND_BLOCK_OUT, FRONTEND_BLOCK_DISCARD, FRONTEND_BLOCK_WRITE_ZEROES,
};

#define TYPES (sizeof(types) / sizeof(types[0]))

struct hostile {
	struct frontend *frontend;
	struct frontend_queue *queue;
	uint64_t disk_sectors, pool_sectors;
	char *bad_buffer, *good_buffer, *flight_buffer;
	char line[SCAN_PATTERN_BYTES];
	size_t next;		/* kind = next % LIES, type = next / LIES % TYPES */
	uint64_t pulses;
	unsigned in_flight;
	struct hostile_counters counters;
	uint64_t sent[LIES], refused[LIES];
};

int hostile_connect(const char *socket, const char *token, uint64_t pool_bytes, uint64_t pretended_bytes,
		    struct hostile **ret_hostile, const char **ret_error)
{
	const struct frontend_options options = {
		.path = socket,
		.queues = 1,
		.queue_size = QUEUE_SIZE,
		.memory_bytes = MEMORY_BYTES,
		.inflight = true,
		.features = BLK_F_FLUSH | BLK_F_DISCARD | BLK_F_ZEROES | F_INDIRECT,
	};
	struct hostile *hostile = calloc(1, sizeof(*hostile));
	uint64_t bytes = 0;
	size_t room;
	int error;

	*ret_error = "out of memory";
	if (!hostile)
		return -ENOMEM;
	error = frontend_connect(&options, &hostile->frontend, ret_error);
	if (error) {
		free(hostile);
		return error;
	}
	error = frontend_block_size(hostile->frontend, &bytes);
	hostile->queue = frontend_queue(hostile->frontend, 0);
	hostile->disk_sectors = (pretended_bytes ? pretended_bytes : bytes) / SECTOR_BYTES;
	hostile->pool_sectors = pool_bytes / SECTOR_BYTES;
	hostile->bad_buffer = frontend_memory(hostile->frontend, &room);
	hostile->good_buffer = hostile->bad_buffer + BUFFER_BYTES;
	hostile->flight_buffer = hostile->good_buffer + BUFFER_BYTES;
	scan_pattern_line(hostile->line, token, "mallory", 0);
	if (error || room < (2 + IN_FLIGHT_MAX) * BUFFER_BYTES || bytes < 1 << 20) {
		*ret_error = "the disk's configuration makes no sense";
		hostile_close(hostile);
		return error ? error : -EPROTO;
	}
	*ret_hostile = hostile;
	return 0;
}

void hostile_close(struct hostile *hostile)
{
	if (!hostile)
		return;
	frontend_close(hostile->frontend);
	free(hostile);
}

/* Waits for one completion, over a reconnect if need be. Its status or -errno. */
static int answer(struct hostile *hostile)
{
	uint8_t status;
	void *token;

	for (;;) {
		int result = frontend_wait(hostile->queue, ANSWER_MS);

		if (result == 1 && frontend_block_take(hostile->queue, &token, &status))
			return status;
		if (result == 0)
			return -ETIMEDOUT;
		if (result < 0 && result != -EPIPE && result != -ECONNRESET)
			return result;
		if (result < 0) {
			result = frontend_reconnect(hostile->frontend, ANSWER_MS);
			if (result)
				return result;
			hostile->counters.reconnects++;
		}
	}
}

static int request_do(struct hostile *hostile, const struct frontend_block_request *request)
{
	int result;

	while (hostile->in_flight > 0) {
		result = answer(hostile);
		if (result < 0)
			return result;
		hostile->in_flight--;
		hostile->counters.honest++;
		hostile->counters.honest_failed += result != STATUS_OK;
	}
	result = frontend_block_add(hostile->queue, request);
	if (result)
		return result;
	frontend_kick(hostile->queue);
	return answer(hostile);
}

static void fill_pattern(struct hostile *hostile, char *buffer)
{
	for (size_t at = 0; at < BUFFER_BYTES; at += SCAN_PATTERN_BYTES)
		memcpy(buffer + at, hostile->line, SCAN_PATTERN_BYTES);
}

static uint64_t lie_sector(const struct hostile *hostile, const struct lie *lie)
{
	uint64_t base = lie->base == FROM_END	   ? hostile->disk_sectors :
			lie->base == FROM_POOL_END ? hostile->pool_sectors :
						     0;

	return base + (uint64_t)lie->sector;
}

static bool offered(const struct hostile *hostile, enum frontend_block_type type)
{
	uint64_t features = frontend_features(hostile->frontend);

	if (type == FRONTEND_BLOCK_DISCARD)
		return features & BLK_F_DISCARD;
	return type != FRONTEND_BLOCK_WRITE_ZEROES || (features & BLK_F_ZEROES);
}

static bool untouched(const char *buffer)
{
	for (size_t i = 0; i < BUFFER_BYTES; i++) {
		if (buffer[i] != UNTOUCHED)
			return false;
	}
	return true;
}

/* Sends one lie. 0 or -errno; what came of it is counted. */
static int ask_for_more(struct hostile *hostile, const struct lie *lie, enum frontend_block_type type)
{
	struct frontend_block_request request = {
		.type = type,
		.sector = lie_sector(hostile, lie),
		.data = hostile->bad_buffer,
		.data_bytes = lie->sectors * SECTOR_BYTES,
	};
	int status;

	memset(hostile->bad_buffer, UNTOUCHED, BUFFER_BYTES);
	if (type == FRONTEND_BLOCK_OUT) {
		fill_pattern(hostile, hostile->bad_buffer);
	} else if (type != FRONTEND_BLOCK_IN) {
		const struct frontend_block_range range = { .sector = request.sector,
							    .sectors = lie->sectors };

		memcpy(hostile->bad_buffer, &range, sizeof(range));
		request.sector = 0;
		request.data_bytes = sizeof(range);
	}
	status = request_do(hostile, &request);
	if (status < 0)
		return status;
	hostile->counters.sent++;
	hostile->sent[lie - lies]++;
	hostile->counters.refused += status == STATUS_IOERR;
	hostile->refused[lie - lies] += status == STATUS_IOERR;
	hostile->counters.leaked += type == FRONTEND_BLOCK_IN && !untouched(hostile->bad_buffer);
	return 0;
}

/* Writes the pattern into our own disk and reads it back, in turn. */
int hostile_pulse(struct hostile *hostile)
{
	bool write = hostile->pulses++ % 2 == 0;
	struct frontend_block_request request = {
		.type = write ? FRONTEND_BLOCK_OUT : FRONTEND_BLOCK_IN,
		.sector = (hostile->pulses - 1) / 2 % 64 * BUFFER_SECTORS,
		.data = hostile->good_buffer,
		.data_bytes = (uint32_t)BUFFER_BYTES,
	};
	uint64_t start_ns = clock_now_ns(), took_ns;
	int status;

	if (write)
		fill_pattern(hostile, hostile->good_buffer);
	else
		memset(hostile->good_buffer, UNTOUCHED, BUFFER_BYTES);
	status = request_do(hostile, &request);
	if (status < 0)
		return status;
	took_ns = clock_now_ns() - start_ns;
	if (took_ns > hostile->counters.longest_ns)
		hostile->counters.longest_ns = took_ns;
	hostile->counters.honest++;
	for (unsigned at = 0; at < BUFFER_BYTES && status == STATUS_OK; at += SCAN_PATTERN_BYTES)
		status = memcmp(hostile->good_buffer + at, hostile->line, SCAN_PATTERN_BYTES) != 0;
	hostile->counters.honest_failed += status != STATUS_OK;
	return 0;
}

int hostile_step(struct hostile *hostile)
{
	const struct lie *lie = &lies[hostile->next % LIES];
	enum frontend_block_type type = types[hostile->next / LIES % TYPES];
	int error = 0;

	hostile->next++;
	if (offered(hostile, type))
		error = ask_for_more(hostile, lie, type);
	return error ? error : hostile_pulse(hostile);
}

int hostile_leave_in_flight(struct hostile *hostile, unsigned count)
{
	assert(count <= IN_FLIGHT_MAX);
	for (unsigned i = 0; i < count; i++) {
		const struct frontend_block_request request = {
			.type = FRONTEND_BLOCK_IN,
			.sector = (uint64_t)i * BUFFER_SECTORS,
			.data = hostile->flight_buffer + i * BUFFER_BYTES,
			.data_bytes = (uint32_t)BUFFER_BYTES,
		};
		int error = frontend_block_add(hostile->queue, &request);

		if (error)
			return error;
		hostile->in_flight++;
	}
	frontend_kick(hostile->queue);
	return 0;
}

const struct hostile_counters *hostile_counters(const struct hostile *hostile)
{
	return &hostile->counters;
}

void hostile_reset_longest(struct hostile *hostile)
{
	hostile->counters.longest_ns = 0;
}

bool hostile_kind(const struct hostile *hostile, size_t index, const char **ret_what, uint64_t *ret_sent,
		  uint64_t *ret_refused)
{
	if (index >= LIES)
		return false;
	*ret_what = lies[index].what;
	*ret_sent = hostile->sent[index];
	*ret_refused = hostile->refused[index];
	return true;
}
