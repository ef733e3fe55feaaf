/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/device/quarantine.h"

#include <assert.h>
#include <stddef.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/base/worker.h"
#include "daemon/device/device.h"

#define TERM_NS (10 * NS_PER_S)
/* 10 s doubled so often are almost three hours. */
#define TERM_DOUBLED_MAX 10u

static unsigned guests_of(const struct daemon *daemon, const struct worker *worker)
{
	unsigned count = 0;

	for (const struct guest *guest = daemon->guests; guest; guest = guest->next)
		count += guest->quarantine == worker;
	return count;
}

static struct worker *least_used(struct daemon *daemon)
{
	struct worker *best = &daemon->spare_workers[0];

	assert(daemon->spare_worker_count > 0);
	for (unsigned i = 1; i < daemon->spare_worker_count; i++)
		if (guests_of(daemon, &daemon->spare_workers[i]) < guests_of(daemon, best))
			best = &daemon->spare_workers[i];
	return best;
}

static uint64_t term_ns(const struct guest *guest)
{
	unsigned doubled = guest->quarantines - 1;

	return TERM_NS << (doubled < TERM_DOUBLED_MAX ? doubled : TERM_DOUBLED_MAX);
}

/* Several queues may tell of one wait, and queues on several workers of one each. */
void quarantine_guest(struct device *device, uint64_t waited_ns)
{
	struct daemon *daemon = device->daemon;
	struct guest *guest = device->guest;

	/* Nobody else waits where it is. */
	if (guest->own)
		return;
	if (!guest->quarantine) {
		guest->quarantine = least_used(daemon);
		guest->quarantines++;
		log_warning(&device->subject,
			    "the guest's memory made a worker wait for %llu ms: it is served apart from "
			    "others for %llu s at least, until it starts its devices anew",
			    (unsigned long long)(waited_ns / NS_PER_MS),
			    (unsigned long long)(term_ns(guest) / NS_PER_S));
	}
	guest->quarantine_until_ns = clock_now_ns() + term_ns(guest);
	for (struct device *other = daemon->devices; other; other = other->next)
		if (other->guest == guest && other->endpoint)
			endpoint_move(other->endpoint);
}

static bool runs(const struct guest *guest, const struct daemon *daemon)
{
	for (const struct device *device = daemon->devices; device; device = device->next)
		if (device->guest == guest && device_status(device).queues_running > 0)
			return true;
	return false;
}

struct worker *quarantine_worker(struct device *device)
{
	struct guest *guest = device->guest;

	if (guest->quarantine && clock_now_ns() >= guest->quarantine_until_ns &&
	    !runs(guest, device->daemon)) {
		guest->quarantine = NULL;
		log_info(&device->subject, "the guest is served with the others again");
	}
	return guest->quarantine;
}
