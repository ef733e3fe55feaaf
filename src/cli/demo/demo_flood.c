/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_flood.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/clock.h"

#define LOOK_US	 5000u
#define DRAIN_NS (20 * NS_PER_S)
/* "Local experimental", IEEE 802 */
#define ETHERTYPE 0x88b5

struct demo_flood {
	struct demo_nic *nic;
	pthread_t thread;
	bool running;
	bool stop; /* atomic */
	struct counter sent, gaps;
	struct histogram waits;
};

/* ---- the thread ---- */

static void take_frames(struct demo_flood *flood)
{
	counter_add(&flood->sent, demo_nic_take_sent(flood->nic, &flood->waits));
}

static void drop_received(struct demo_flood *flood)
{
	size_t bytes;

	while (demo_nic_receive(flood->nic, &bytes))
		;
}

static void *run(void *context)
{
	struct demo_flood *flood = context;

	while (!__atomic_load_n(&flood->stop, __ATOMIC_RELAXED)) {
		demo_nic_fill(flood->nic, DEMO_FRAME_BYTES_MAX);
		usleep(LOOK_US);
		take_frames(flood);
		drop_received(flood);
		if (demo_nic_ran_dry(flood->nic))
			counter_add(&flood->gaps, 1);
	}
	return NULL;
}

/* ---- start and end ---- */

static void write_frame(uint8_t *frame, const uint8_t mac[DEMO_MAC_BYTES])
{
	static const uint8_t no_card[DEMO_MAC_BYTES] = { 0x02, 0xba, 0xdb, 0xad, 0x00, 0x02 };

	memcpy(frame, no_card, DEMO_MAC_BYTES);
	memcpy(frame + DEMO_MAC_BYTES, mac, DEMO_MAC_BYTES);
	big16_put(frame + (size_t)2 * DEMO_MAC_BYTES, ETHERTYPE);
}

int demo_flood_open(const char *socket, const uint8_t mac[DEMO_MAC_BYTES], struct demo_flood **ret_flood,
		    const char **ret_error)
{
	const struct demo_nic_options nic = { .socket = socket, .pairs = DEMO_FLOOD_PAIRS, .polled = true };
	struct demo_flood *flood = calloc(1, sizeof(*flood));
	int error;

	*ret_error = "out of memory";
	if (!flood)
		return -ENOMEM;
	error = demo_nic_open(&nic, &flood->nic, ret_error);
	if (!error) {
		write_frame(demo_nic_frame(flood->nic), mac);
		*ret_error = "its thread";
		error = -pthread_create(&flood->thread, NULL, run, flood);
		flood->running = !error;
	}
	if (error)
		demo_flood_close(flood);
	else
		*ret_flood = flood;
	return error;
}

static void stop_thread(struct demo_flood *flood)
{
	if (!flood->running)
		return;
	__atomic_store_n(&flood->stop, true, __ATOMIC_RELAXED);
	pthread_join(flood->thread, NULL);
	flood->running = false;
}

int demo_flood_stop(struct demo_flood *flood)
{
	uint64_t deadline_ns = clock_now_ns() + DRAIN_NS;

	stop_thread(flood);
	while (demo_nic_waiting(flood->nic) > 0) {
		if (clock_now_ns() > deadline_ns)
			return -ETIMEDOUT;
		usleep(LOOK_US);
		take_frames(flood);
	}
	return 0;
}

void demo_flood_close(struct demo_flood *flood)
{
	if (!flood)
		return;
	stop_thread(flood);
	demo_nic_close(flood->nic);
	free(flood);
}

/* ---- what came of it ---- */

uint64_t demo_flood_sent(const struct demo_flood *flood)
{
	return counter_read(&flood->sent);
}

uint64_t demo_flood_gaps(const struct demo_flood *flood)
{
	return counter_read(&flood->gaps);
}

const struct histogram *demo_flood_waits(const struct demo_flood *flood)
{
	return &flood->waits;
}
