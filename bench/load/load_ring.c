/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine that goes through a front end: a lane is a queue. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "load.h"

#define WAIT_MS 100
/* Of the configuration space (virtio 1.2, 5.2.4): writeback. */
#define CONFIG_WCE 32

struct ring_engine;

struct ring_lane {
	struct load_lane lane;
	struct ring_engine *engine;
	struct frontend_queue *queue;
	uint32_t block_bytes;
};

struct ring_engine {
	struct load_engine engine;
	struct frontend *frontend;
	unsigned queues, reconnect_ms;
	/* all jobs meet here before the connection is made anew */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned active, parked, epoch;
	int result;
	struct ring_lane lane[];
};

static void ring_add(struct load_lane *lane, struct load_io *io)
{
	struct ring_lane *ring = (struct ring_lane *)lane;
	const struct frontend_block_request request = {
	    .type = io->write ? FRONTEND_BLOCK_OUT : FRONTEND_BLOCK_IN,
	    .sector = io->offset / 512,
	    .data = io->data,
	    .data_bytes = ring->block_bytes,
	    .token = io,
	};

	if (frontend_block_add(ring->queue, &request))
		abort(); /* the ring was made to hold the depth */
}

static void ring_submit(struct load_lane *lane)
{
	frontend_kick(((struct ring_lane *)lane)->queue);
}

static struct load_io *ring_take(struct load_lane *lane, int *ret_error)
{
	uint8_t status;
	void *io;

	if (!frontend_block_take(((struct ring_lane *)lane)->queue, &io, &status))
		return NULL;
	*ret_error = status == 0 ? 0 : -EIO;
	return io;
}

static int ring_wait(struct load_lane *lane)
{
	return frontend_wait(((struct ring_lane *)lane)->queue, WAIT_MS);
}

/* The last job to come makes the connection, for all. */
static int ring_rejoin(struct load_lane *lane)
{
	struct ring_engine *engine = ((struct ring_lane *)lane)->engine;
	unsigned epoch;
	int result;

	pthread_mutex_lock(&engine->lock);
	epoch = engine->epoch;
	engine->parked++;
	while (engine->epoch == epoch && engine->parked < engine->active)
		pthread_cond_wait(&engine->changed, &engine->lock);
	if (engine->epoch == epoch) {
		engine->result = frontend_reconnect(engine->frontend, engine->reconnect_ms);
		engine->parked = 0;
		engine->epoch++;
		pthread_cond_broadcast(&engine->changed);
	}
	result = engine->result;
	pthread_mutex_unlock(&engine->lock);
	return result;
}

static void ring_leave(struct load_lane *lane)
{
	struct ring_engine *engine = ((struct ring_lane *)lane)->engine;

	pthread_mutex_lock(&engine->lock);
	engine->active--;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

static const struct load_lane_ops ring_ops = {
    .add = ring_add,
    .submit = ring_submit,
    .take = ring_take,
    .wait = ring_wait,
    .rejoin = ring_rejoin,
    .leave = ring_leave,
};

static struct load_lane *ring_lane(struct load_engine *engine, unsigned index)
{
	return &((struct ring_engine *)engine)->lane[index].lane;
}

static struct frontend_queue_counters ring_counters(struct load_engine *engine)
{
	struct ring_engine *ring = (struct ring_engine *)engine;
	struct frontend_queue_counters sum = {0};

	for (unsigned i = 0; i < ring->queues; i++) {
		struct frontend_queue_counters one = frontend_queue_counters(ring->lane[i].queue);

		sum.kicks += one.kicks;
		sum.waits += one.waits;
	}
	return sum;
}

static void ring_close(struct load_engine *engine)
{
	struct ring_engine *ring = (struct ring_engine *)engine;

	frontend_close(ring->frontend);
	pthread_mutex_destroy(&ring->lock);
	pthread_cond_destroy(&ring->changed);
	free(ring);
}

static unsigned ring_size(const struct load_options *options)
{
	unsigned size = 128, wanted = options->no_indirect ? options->depth * 3 : options->depth;

	if (options->ring_size)
		return options->ring_size;
	while (size < wanted)
		size *= 2;
	return size;
}

static uint64_t wanted_features(const struct load_options *options)
{
	uint64_t features = FRONTEND_F_BLK_FLUSH | FRONTEND_F_BLK_CONFIG_WCE;

	if (options->queues > 1)
		features |= FRONTEND_F_BLK_MQ;
	if (!options->no_indirect)
		features |= FRONTEND_F_INDIRECT;
	if (!options->no_event_idx)
		features |= FRONTEND_F_EVENT_IDX;
	if (options->packed)
		features |= FRONTEND_F_PACKED;
	if (options->in_order)
		features |= FRONTEND_F_IN_ORDER;
	return features;
}

static int connect_frontend(const struct load_options *options, struct frontend **ret_frontend)
{
	/* 40 KiB a descriptor is room for rings with long tables, and for the next huge page's boundary. */
	const struct frontend_options wanted = {
	    .path = options->socket,
	    .queues = options->queues,
	    .queue_size = ring_size(options),
	    .features = wanted_features(options),
	    .memory_bytes = options->queues *
				(load_buffer_bytes(options) * options->depth + ring_size(options) * 1024ull) +
			    (8ull << 20),
	    .huge_pages = true,
	    .inflight = options->inflight,
	    .poll = options->poll,
	};
	const char *text;
	int error = frontend_connect(&wanted, ret_frontend, &text);

	if (error)
		fprintf(stderr, "%s: %s (%s)\n", options->socket, text, strerror(-error));
	return error;
}

/* Asked-for features that the back end does not have make another experiment: refuse. */
static int check_features(const struct load_options *options, struct frontend *frontend)
{
	uint64_t missing = 0;

	if (options->packed)
		missing |= FRONTEND_F_PACKED;
	if (options->in_order)
		missing |= FRONTEND_F_IN_ORDER;
	missing &= ~frontend_features(frontend);
	if (missing) {
		fprintf(stderr, "%s: the back end does not offer %s\n", options->socket,
			missing & FRONTEND_F_PACKED ? "packed rings" : "IN_ORDER");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int set_write_back(const struct load_options *options, struct frontend *frontend)
{
	const uint8_t on = 1;
	int error = 0;

	if (options->write_back && (frontend_features(frontend) & FRONTEND_F_BLK_CONFIG_WCE))
		error = frontend_config_write(frontend, CONFIG_WCE, &on, sizeof(on));
	if (error)
		fprintf(stderr, "%s: write-back refused\n", options->socket);
	return error;
}

static void fill_lanes(const struct load_options *options, struct ring_engine *ring)
{
	size_t bytes, each = load_buffer_bytes(options) * options->depth;
	uint8_t *memory = frontend_memory(ring->frontend, &bytes);

	for (unsigned i = 0; i < options->queues; i++) {
		ring->lane[i] = (struct ring_lane){
		    .lane = {&ring_ops, memory + i * each},
		    .engine = ring,
		    .queue = frontend_queue(ring->frontend, i),
		    .block_bytes = options->block_bytes,
		};
		if ((i + 1) * each > bytes)
			abort(); /* connect_frontend() asked for enough */
	}
}

int load_ring_open(const struct load_options *options, struct load_engine **ret_engine)
{
	struct ring_engine *ring = calloc(1, sizeof(*ring) + options->queues * sizeof(ring->lane[0]));
	int error;

	if (!ring)
		return -ENOMEM;
	error = connect_frontend(options, &ring->frontend);
	if (!error)
		error = check_features(options, ring->frontend);
	if (!error)
		error = set_write_back(options, ring->frontend);
	if (!error)
		error = frontend_block_size(ring->frontend, &ring->engine.size_bytes);
	if (error) {
		frontend_close(ring->frontend);
		free(ring);
		return error;
	}
	ring->engine.name = "vhost-user";
	ring->engine.features = frontend_features(ring->frontend);
	ring->engine.lane = ring_lane;
	ring->engine.counters = ring_counters;
	ring->engine.close = ring_close;
	ring->queues = ring->active = options->queues;
	ring->reconnect_ms = options->reconnect_ms;
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	fill_lanes(options, ring);
	*ret_engine = &ring->engine;
	return 0;
}
