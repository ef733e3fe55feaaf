/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler_properties.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define MS NS_PER_MS
#define S  NS_PER_S

static const struct sim_load small_flood = { .bytes = 4096, .depth = 32 };
static const struct sim_load large_flood = { .bytes = 256 << 10, .depth = 32 };

static struct simulation *begin(const struct property_run *run, const struct sim_device *device,
				uint64_t end_ns)
{
	struct simulation *sim = sim_create(device, end_ns, run->seed);

	sim->mutation = run->mutation;
	sim->rival = run->rival;
	return sim;
}

static unsigned add(struct simulation *sim, uint32_t weight, const struct sim_load *load)
{
	struct scheduler_settings settings = SCHEDULER_SETTINGS_DEFAULT;

	settings.weight = weight;
	return sim_guest(sim, NULL, &settings, load);
}

static unsigned add_reserved(struct simulation *sim, uint32_t ppb, const struct sim_load *load)
{
	struct scheduler_settings settings = SCHEDULER_SETTINGS_DEFAULT;

	settings.reserved_ppb = ppb;
	return sim_guest(sim, NULL, &settings, load);
}

/* What a guest got of the device from..until, as a part of all of it. */
static double part(const struct simulation *sim, unsigned guest, uint64_t from_ns, uint64_t until_ns)
{
	return (double)sim_got(sim, guest, from_ns, until_ns).device_ns / (double)(until_ns - from_ns);
}

static double jain_of(const struct simulation *sim, unsigned guests, uint64_t from_ns, uint64_t until_ns)
{
	double got[SIM_GUESTS_MAX];

	for (unsigned i = 0; i < guests; i++)
		got[i] = part(sim, i, from_ns, until_ns);
	return sim_jain(got, guests);
}

/* ---- weights ---- */

/* Q1: the least Jain index of a second, every half second. */
static double equal_floods(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, 2 * S);
	double least = 1;

	for (unsigned i = 0; i < run->guests; i++)
		add(sim, 100, &small_flood);
	sim_run(sim, 2 * S);
	for (uint64_t from = 0; from <= S; from += S / 2)
		least = fmin(least, jain_of(sim, run->guests, from, from + S));
	sim_destroy(sim);
	return least;
}

/* Q2: the largest error of a share of a second. */
static double weights_1248(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, 1200 * MS);
	double sum = 0, worst = 0;

	for (unsigned i = 0; i < run->guests; i++) {
		add(sim, run->guests == 2 ? 100 + i * 700 : 100u << i % 4, &small_flood);
		sum += sim->guests[i].settings.weight;
	}
	sim_run(sim, 1200 * MS);
	for (unsigned i = 0; i < run->guests; i++)
		worst = fmax(
			worst,
			fabs(part(sim, i, 200 * MS, 1200 * MS) * sum / sim->guests[i].settings.weight - 1));
	sim_destroy(sim);
	return worst;
}

/* Q3: Jain index in device time. */
static double small_against_large(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	double jain;

	for (unsigned i = 0; i < run->guests; i++)
		add(sim, 100, i % 2 ? &large_flood : &small_flood);
	sim_run(sim, S);
	jain = jain_of(sim, run->guests, 0, S);
	sim_destroy(sim);
	return jain;
}

/* Q10: 500 of 512 sleep. */
static double mostly_idle(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S / 2);
	const struct sim_load sleep = { .bytes = 4096, .depth = 1, .start_ns = S };
	double jain;

	for (unsigned i = 0; i < run->guests; i++)
		add(sim, 100, i < 12 ? &small_flood : &sleep);
	sim_run(sim, S / 2);
	jain = jain_of(sim, 12, 0, S / 2);
	sim_destroy(sim);
	return jain;
}

/* Equal guests that get a dozen requests each: the Jain index. */
static double thousands(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	const struct sim_load pair = { .bytes = 4096, .depth = 2 };
	double jain;

	for (unsigned i = 0; i < run->guests; i++)
		add(sim, 100, &pair);
	sim_run(sim, S);
	jain = jain_of(sim, run->guests, 0, S);
	sim_destroy(sim);
	return jain;
}

/* Q14: milliseconds until a guest that was idle has 90 % of its share, over 2 ms. */
static double heavy_wakes(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, 600 * MS);
	const struct sim_load late = { .bytes = 4096, .depth = 32, .start_ns = 500 * MS };
	double share = 1600 / (1600 + 100.0 * (run->guests - 1));
	uint64_t from = 500 * MS;

	add(sim, 1600, &late);
	for (unsigned i = 1; i < run->guests; i++)
		add(sim, 100, &small_flood);
	sim_run(sim, 600 * MS);
	while (from < 590 * MS && part(sim, 0, from, from + 2 * MS) < 0.9 * share)
		from += MS;
	sim_destroy(sim);
	return (double)(from + 2 * MS - 500 * MS) / MS;
}

/* ---- latency ---- */

/*
 * What a victim waits, at this quantile, beside neighbours who begin at start_ns, or each so much after the
 * other.
 */
static double victim_latency(const struct property_run *run, unsigned neighbours, uint64_t start_ns,
			     uint64_t apart_ns, double quantile)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	const struct sim_load victim = { .bytes = 4096, .depth = 1 };
	struct sim_load flood = { .bytes = 256 << 10, .write = true, .depth = 256, .start_ns = start_ns };
	double latency_ns;

	/*
	 * Among 64 with the same weight its share would be one such request in 1.3 ms, which is less than one
	 * after the other asks for: then it waits for its share, not for its neighbours.
	 */
	add(sim, run->guests > 8 ? 200 : 100, &victim);
	for (unsigned i = 0; i < neighbours; i++, flood.start_ns += apart_ns)
		add(sim, 100, &flood);
	sim_run(sim, S);
	latency_ns = (double)sim_latency_ns(sim, 0, quantile);
	sim_destroy(sim);
	return latency_ns;
}

/* Twice what 99 % of its requests take at most when it is alone, and one longest service of a neighbour. */
static double victim_goal(const struct property_run *run)
{
	const struct sim_load flood = { .bytes = 256 << 10, .write = true };
	double longest_ns = (double)sim_cost_ns(&sim_device_ssd, &flood) * sim_device_ssd.parallel *
			    (100 + sim_device_ssd.jitter_percent) / 100;

	return 2 * victim_latency(run, 0, 0, 0, 0.99) + longest_ns;
}

/* Q4, against its goal. */
static double victim_tail(const struct property_run *run)
{
	return victim_latency(run, run->guests - 1, 0, 0, 0.99) / victim_goal(run);
}

/* The longest wait of all, the neighbours' beginning included, against the same. */
static double victim_of_a_rush(const struct property_run *run)
{
	return victim_latency(run, run->guests - 1, S / 2, 0, 1) / victim_goal(run);
}

/*
 * … and when they begin one after the other, each after all before it had a turn. Were they in step: 1.4 to
 * 1.5.
 */
static double victim_of_newcomers(const struct property_run *run)
{
	return victim_latency(run, run->guests - 1, 0, 13 * MS, 1) / victim_goal(run);
}

/* ---- reservations ---- */

static double least_of_100ms(const struct simulation *sim, unsigned guest, double reserved, uint64_t from,
			     uint64_t until)
{
	double least = 1e9;

	for (; from + 100 * MS <= until; from += 10 * MS)
		least = fmin(least, part(sim, guest, from, from + 100 * MS) / reserved);
	return least;
}

/* Q5: half of the device is reserved; the others have large weights. The least of any 100 ms, against it. */
static double reservation_under_flood(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	double least;

	add_reserved(sim, 500000000, &small_flood);
	for (unsigned i = 1; i < run->guests; i++)
		add(sim, 1000, i % 2 ? &large_flood : &small_flood);
	sim_run(sim, S);
	least = least_of_100ms(sim, 0, 0.5, 10 * MS, S);
	sim_destroy(sim);
	return least;
}

/* Reservations of 40 and 20 %, and a disk that is ten times slower from 1 s to 6 s. */
static struct simulation *capacity_falls(const struct property_run *run)
{
	struct sim_device device = sim_device_ssd;
	struct simulation *sim;

	device.slow_from_ns = 1 * S;
	device.slow_until_ns = 6 * S;
	device.slow_factor = 10;
	sim = begin(run, &device, 7 * S);
	add_reserved(sim, 400000000, &small_flood);
	add_reserved(sim, 200000000, &small_flood);
	for (unsigned i = 2; i < run->guests; i++)
		add(sim, 300, &small_flood);
	sim_run(sim, 7 * S);
	return sim;
}

/* Q13: how far the two reservations are from 2:1 while the disk is slow. */
static double slow_disk_proportion(const struct property_run *run)
{
	struct simulation *sim = capacity_falls(run);
	double worst = 0;

	for (uint64_t from = 1500 * MS; from < 6 * S; from += 500 * MS)
		worst = fmax(worst, fabs(part(sim, 0, from, from + 500 * MS) /
					 part(sim, 1, from, from + 500 * MS) / 2 - 1));
	sim_destroy(sim);
	return worst;
}

/* Q13: the least that all without a reservation got in a second of it, of what the disk still did. */
static double slow_disk_others(const struct property_run *run)
{
	struct simulation *sim = capacity_falls(run);
	double least = 1;

	for (uint64_t from = 1 * S; from < 6 * S; from += S) {
		double all = (double)sim_device_ns(sim, from, from + S) / S;

		for (unsigned i = 2; i < run->guests; i++)
			least = fmin(least, part(sim, i, from, from + S) * (run->guests - 2) / all);
	}
	sim_destroy(sim);
	return least;
}

/* Q13: what the reservations get from 100 ms after it is as it was. */
static double slow_disk_recovery(const struct property_run *run)
{
	struct simulation *sim = capacity_falls(run);
	double least = fmin(least_of_100ms(sim, 0, 0.4, 6100 * MS, 7 * S),
			    least_of_100ms(sim, 1, 0.2, 6100 * MS, 7 * S));

	sim_destroy(sim);
	return least;
}

/* Q13: … and nobody has to pay for it afterwards: the others' part, against what it is by rights. */
static double slow_disk_no_debt(const struct property_run *run)
{
	struct simulation *sim = capacity_falls(run);
	double got = 0;

	for (unsigned i = 2; i < run->guests; i++)
		got += part(sim, i, 6050 * MS, 6150 * MS);
	sim_destroy(sim);
	return got / 0.4;
}

/* ---- limits ---- */

/* The first half of the guests is limited, some by requests and some by bytes, and starts after a pause. */
static struct simulation *limited(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, 1600 * MS);

	for (unsigned i = 0; i < run->guests; i++) {
		struct scheduler_settings settings = { .weight = 100, .burst_ns = 10 * MS };
		struct sim_load load = i % 4 < 2 ? small_flood : large_flood;

		load.start_ns = 300 * MS;
		if (i < run->guests / 2 && i % 2 == 0)
			settings.max_iops = 16000 / run->guests - 3;
		else if (i < run->guests / 2)
			settings.max_bandwidth = (64u << 20) / run->guests - 1234;
		/* Small requests only, or a limit in requests would be beyond what large ones can do. */
		if (settings.max_iops > 0)
			load.bytes = 4096;
		sim_guest(sim, NULL, &settings, &load);
	}
	sim_run(sim, 1600 * MS);
	return sim;
}

/* Q6: the largest error of a second. */
static double limit_error(const struct property_run *run)
{
	struct simulation *sim = limited(run);
	double worst = 0;

	for (unsigned i = 0; i < run->guests / 2; i++) {
		const struct scheduler_settings *settings = &sim->guests[i].settings;
		struct sim_bin got = sim_got(sim, i, 500 * MS, 1500 * MS);
		double achieved = settings->max_iops ? got.requests / (double)settings->max_iops
						     : (double)got.bytes / (double)settings->max_bandwidth;

		worst = fmax(worst, fabs(achieved - 1));
	}
	sim_destroy(sim);
	return worst;
}

/* Q6: the largest overshoot, against the burst (or one request, where that is more). */
static double limit_overshoot(const struct property_run *run)
{
	struct simulation *sim = limited(run);
	double worst = 0;

	for (unsigned i = 0; i < run->guests / 2; i++) {
		const struct sim_guest *guest = &sim->guests[i];
		double seconds = (double)guest->settings.burst_ns / S;
		double burst[2] = { fmax((double)guest->settings.max_iops * seconds, 1),
				    fmax((double)guest->settings.max_bandwidth * seconds,
					 (double)guest->load.bytes) };

		worst = fmax(worst, guest->settings.max_iops ? guest->excess_most[0] / burst[0]
							     : guest->excess_most[1] / burst[1]);
	}
	sim_destroy(sim);
	return worst;
}

/* ---- work conservation ---- */

/* Q7: utilisation of the device by one guest of many. */
static double one_active(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S / 2);
	const struct sim_load sleep = { .bytes = 4096, .depth = 1, .start_ns = S };
	double used;

	for (unsigned i = 0; i < run->guests; i++)
		add(sim, 100, i == 0 ? &small_flood : &sleep);
	sim_run(sim, S / 2);
	used = part(sim, 0, 0, S / 2);
	sim_destroy(sim);
	return used;
}

/* Q8: weights 9:1 (the 1 is all the others together), the heavy one pauses half of the time: utilisation. */
static double heavy_half_idle(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	const struct sim_load half = { .bytes = 4096, .depth = 32, .on_ns = 20 * MS, .off_ns = 20 * MS };
	double used;

	add(sim, 9 * (run->guests - 1), &half);
	for (unsigned i = 1; i < run->guests; i++)
		add(sim, 1, &small_flood);
	sim_run(sim, S);
	used = (double)sim_device_ns(sim, 0, S) / S;
	sim_destroy(sim);
	return used;
}

/* Q8: … and the heavy one has nine tenths while it works. */
static double heavy_half_idle_share(const struct property_run *run)
{
	struct simulation *sim = begin(run, &sim_device_ssd, S);
	const struct sim_load half = { .bytes = 4096, .depth = 32, .on_ns = 20 * MS, .off_ns = 20 * MS };
	double share;

	add(sim, 9 * (run->guests - 1), &half);
	for (unsigned i = 1; i < run->guests; i++)
		add(sim, 1, &small_flood);
	sim_run(sim, S);
	share = part(sim, 0, 0, S) * 2;
	sim_destroy(sim);
	return share;
}

#define ALL { 2, 8, 64 }

const struct property properties[] = {
	{ "equal_floods", equal_floods, 0.99, false, ALL },
	{ "weights_1248", weights_1248, 0.03, true, ALL },
	{ "small_against_large", small_against_large, 0.98, false, ALL },
	{ "mostly_idle", mostly_idle, 0.99, false, { 512 } },
	{ "thousands", thousands, 0.99, false, { SIM_GUESTS_MAX } },
	{ "heavy_wakes", heavy_wakes, 10, true, ALL },
	{ "victim_tail", victim_tail, 1, true, ALL },
	{ "victim_of_a_rush", victim_of_a_rush, 1, true, ALL },
	{ "victim_of_newcomers", victim_of_newcomers, 1.25, true, ALL },
	{ "reservation_under_flood", reservation_under_flood, 0.99, false, ALL },
	{ "slow_disk_proportion", slow_disk_proportion, 0.03, true, { 8, 64 } },
	{ "slow_disk_others", slow_disk_others, 0.02, false, { 8, 64 } },
	{ "slow_disk_recovery", slow_disk_recovery, 0.99, false, { 8, 64 } },
	{ "slow_disk_no_debt", slow_disk_no_debt, 0.9, false, { 8, 64 } },
	{ "limit_error", limit_error, 0.01, true, ALL },
	{ "limit_overshoot", limit_overshoot, 1.0001, true, ALL },
	{ "one_active", one_active, 0.98, false, ALL },
	{ "heavy_half_idle", heavy_half_idle, 0.97, false, ALL },
	{ "heavy_half_idle_share", heavy_half_idle_share, 0.88, false, ALL },
};
const unsigned property_count = sizeof(properties) / sizeof(properties[0]);

const struct property *property_find(const char *name)
{
	for (unsigned i = 0; i < property_count; i++)
		if (strcmp(properties[i].name, name) == 0)
			return &properties[i];
	return NULL;
}

bool property_holds(const struct property *property, double measured)
{
	return property->at_most ? measured <= property->bound : measured >= property->bound;
}
