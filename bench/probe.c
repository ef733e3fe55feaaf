/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-probe: what a vhost-user disk says of itself, and whether each request does what it should. Writes
 * to the disk. Prints one JSON object; exit code 0 when every request got an answer, whatever it was.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"

#define DATA_BYTES (64u << 10)
/* Where the probe writes, in sectors; the disk has at least 1 MiB. */
#define PROBE_SECTOR	   512u
#define PROBE_UNKNOWN_TYPE 0x7777u

struct probe {
	struct frontend *frontend;
	struct frontend_queue *queue;
	uint8_t *data;
	uint64_t disk_bytes;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "viaduct-probe: %s: %s\n", what, why);
	exit(1);
}

/* The status byte of one request, waited for. */
static int request(struct probe *probe, unsigned queue, uint32_t type, uint64_t sector, uint32_t bytes)
{
	const struct frontend_block_request wanted = {
	    .type = type,
	    .sector = sector,
	    .data = bytes ? probe->data : NULL,
	    .data_bytes = bytes,
	};
	int status = frontend_block_do(frontend_queue(probe->frontend, queue), &wanted);

	if (status < 0)
		die("request", strerror(-status));
	return status;
}

static void fill(struct probe *probe, unsigned seed)
{
	for (unsigned i = 0; i < DATA_BYTES; i++)
		probe->data[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static bool filled(const struct probe *probe, unsigned seed)
{
	for (unsigned i = 0; i < DATA_BYTES; i++)
		if (probe->data[i] != (uint8_t)(i * 7 + i / 251 + seed))
			return false;
	return true;
}

static bool zero(const struct probe *probe)
{
	for (unsigned i = 0; i < DATA_BYTES; i++)
		if (probe->data[i])
			return false;
	return true;
}

/* Writes by the first queue, reads by the last. */
static void write_and_read(struct probe *probe, unsigned queues)
{
	int written, read;

	fill(probe, 3);
	written = request(probe, 0, FRONTEND_BLOCK_OUT, PROBE_SECTOR, DATA_BYTES);
	memset(probe->data, 0xee, DATA_BYTES);
	read = request(probe, queues - 1, FRONTEND_BLOCK_IN, PROBE_SECTOR, DATA_BYTES);
	printf("\"write\": %d, \"read\": %d, \"data_intact\": %s, ", written, read,
	       filled(probe, 3) ? "true" : "false");
}

/* One chain of many elements: the data is scattered over the ring or over a long indirect table. */
static void scattered(struct probe *probe)
{
	struct frontend_buffer buffers[18];
	uint32_t header[4] = {FRONTEND_BLOCK_IN, 0, PROBE_SECTOR, 0}, written = 0;
	uint8_t *status = probe->data + DATA_BYTES, *place = probe->data + DATA_BYTES + 16;
	void *token;

	memcpy(place, header, sizeof(header));
	memset(probe->data, 0xee, DATA_BYTES);
	buffers[0] = (struct frontend_buffer){frontend_guest_address(probe->frontend, place), 16, false};
	for (unsigned i = 0; i < 16; i++)
		buffers[i + 1] = (struct frontend_buffer){
		    frontend_guest_address(probe->frontend, probe->data + i * (DATA_BYTES / 16)),
		    DATA_BYTES / 16, true};
	buffers[17] = (struct frontend_buffer){frontend_guest_address(probe->frontend, status), 1, true};
	*status = FRONTEND_BLOCK_NO_STATUS;
	if (frontend_add(probe->queue, buffers, 18, NULL))
		die("scattered read", "the ring is too small");
	frontend_kick(probe->queue);
	if (frontend_wait(probe->queue, 30000) != 1 || !frontend_take(probe->queue, &token, &written))
		die("scattered read", "no completion");
	printf("\"scattered\": %u, \"scattered_written\": %u, \"scattered_intact\": %s, ", *status, written,
	       filled(probe, 3) ? "true" : "false");
}

static void get_id(struct probe *probe)
{
	char id[21] = "";
	int status;

	memset(probe->data, 0, sizeof(id));
	status = request(probe, 0, FRONTEND_BLOCK_GET_ID, 0, 20);
	memcpy(id, probe->data, 20);
	for (char *c = id; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			*c = '?';
	printf("\"get_id\": %d, \"id\": \"%s\", ", status, id);
}

static int range_request(struct probe *probe, uint32_t type, uint64_t sector, uint32_t sectors)
{
	const struct frontend_block_range range = {sector, sectors, 0};

	memcpy(probe->data, &range, sizeof(range));
	return request(probe, 0, type, 0, sizeof(range));
}

static void zeroes_and_discard(struct probe *probe)
{
	uint64_t features = frontend_features(probe->frontend);
	int zeroed = -1, discarded = -1, read;
	bool zeroes = false;

	if (features & FRONTEND_F_BLK_WRITE_ZEROES) {
		zeroed = range_request(probe, FRONTEND_BLOCK_WRITE_ZEROES, PROBE_SECTOR, DATA_BYTES / 512);
		memset(probe->data, 0xee, DATA_BYTES);
		request(probe, 0, FRONTEND_BLOCK_IN, PROBE_SECTOR, DATA_BYTES);
		zeroes = zero(probe);
	}
	if (features & FRONTEND_F_BLK_DISCARD)
		discarded = range_request(probe, FRONTEND_BLOCK_DISCARD, PROBE_SECTOR, DATA_BYTES / 512);
	read = request(probe, 0, FRONTEND_BLOCK_IN, PROBE_SECTOR, DATA_BYTES);
	printf("\"write_zeroes\": %d, \"reads_zero\": %s, \"discard\": %d, \"read_after_discard\": %d, ",
	       zeroed, zeroes ? "true" : "false", discarded, read);
}

/* What must be refused, and must not hurt. */
static void bounds(struct probe *probe)
{
	uint64_t end = probe->disk_bytes / 512;

	printf("\"read_last\": %d, ",
	       request(probe, 0, FRONTEND_BLOCK_IN, end - DATA_BYTES / 512, DATA_BYTES));
	printf("\"read_across_end\": %d, ", request(probe, 0, FRONTEND_BLOCK_IN, end - 1, DATA_BYTES));
	printf("\"read_beyond\": %d, ", request(probe, 0, FRONTEND_BLOCK_IN, end, DATA_BYTES));
	printf("\"read_wrapping\": %d, ",
	       request(probe, 0, FRONTEND_BLOCK_IN, UINT64_MAX / 512 + 1, DATA_BYTES));
	printf("\"write_far\": %d, ", request(probe, 0, FRONTEND_BLOCK_OUT, UINT64_MAX - 8, DATA_BYTES));
	printf("\"unknown_type\": %d, ", request(probe, 0, PROBE_UNKNOWN_TYPE, 0, 512));
}

static void connect_probe(struct probe *probe, const struct frontend_options *options)
{
	const char *text;
	size_t bytes;
	int error = frontend_connect(options, &probe->frontend, &text);

	if (error) {
		fprintf(stderr, "viaduct-probe: %s: %s (%s)\n", options->path, text, strerror(-error));
		exit(1);
	}
	probe->queue = frontend_queue(probe->frontend, 0);
	probe->data = frontend_memory(probe->frontend, &bytes);
	if (bytes < DATA_BYTES + 4096)
		die("memory", "too small");
	error = frontend_block_size(probe->frontend, &probe->disk_bytes);
	if (error)
		die("configuration", strerror(-error));
	if (probe->disk_bytes < 1 << 20)
		die("disk", "smaller than 1 MiB");
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"socket", required_argument, NULL, 's'}, {"packed", no_argument, NULL, 'p'},
	    {"no-indirect", no_argument, NULL, 'i'},  {"no-event-idx", no_argument, NULL, 'e'},
	    {"in-order", no_argument, NULL, 'o'},     {"inflight", no_argument, NULL, 'f'},
	    {"queues", required_argument, NULL, 'q'}, {0},
	};
	struct frontend_options options = {
	    .queues = 1,
	    .queue_size = 128,
	    .memory_bytes = 8 << 20,
	    .features = FRONTEND_F_INDIRECT | FRONTEND_F_EVENT_IDX | FRONTEND_F_BLK_FLUSH |
			FRONTEND_F_BLK_CONFIG_WCE | FRONTEND_F_BLK_DISCARD | FRONTEND_F_BLK_WRITE_ZEROES |
			FRONTEND_F_BLK_MQ,
	};
	struct probe probe;
	int key;

	while ((key = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (key) {
		case 's':
			options.path = optarg;
			break;
		case 'p':
			options.features |= FRONTEND_F_PACKED;
			break;
		case 'i':
			options.features &= ~FRONTEND_F_INDIRECT;
			break;
		case 'e':
			options.features &= ~FRONTEND_F_EVENT_IDX;
			break;
		case 'o':
			options.features |= FRONTEND_F_IN_ORDER;
			break;
		case 'f':
			options.inflight = true;
			break;
		case 'q':
			options.queues = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			fprintf(stderr,
				"usage: viaduct-probe --socket PATH [--packed] [--in-order] [--no-indirect] "
				"[--no-event-idx] [--inflight] [--queues N]\n");
			return 2;
		}
	}
	connect_probe(&probe, &options);
	printf("{\"features\": %" PRIu64 ", \"size\": %" PRIu64 ", ", frontend_features(probe.frontend),
	       probe.disk_bytes);
	write_and_read(&probe, options.queues);
	scattered(&probe);
	printf("\"flush\": %d, ", request(&probe, 0, FRONTEND_BLOCK_FLUSH, 0, 0));
	get_id(&probe);
	bounds(&probe);
	zeroes_and_discard(&probe);
	printf("\"config_changes\": %u}\n", frontend_config_changes(probe.frontend));
	frontend_close(probe.frontend);
	return 0;
}
