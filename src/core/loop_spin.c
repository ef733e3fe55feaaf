/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two questions. How long? A wait that ended within the longest busy wait makes the next one full; a longer
 * one takes a quarter off.
 *
 * And does it pay? A busy wait saves a wake-up, but on a virtual machine it takes the time of whoever is to
 * bring the end, or to go on after it: the host's thread that serves the disk, the driver's processor. The
 * wait itself does not show that. So it is tried: at times TRIAL_WAITS do the other thing, and as many
 * completions a second as just before, or not clearly more, are the answer. Two answers in a row that say
 * otherwise change what is done. While they agree, trials become rarer. A loop that waits for no device is
 * not asked.
 */
#include "core/loop_spin.h"

/* Below this a busy wait is not worth its clock reads. */
#define BUDGET_LEAST_NS 1000
#define TRIAL_WAITS	16u
/* From one trial to the next. */
#define ROUND_LEAST 64u
#define ROUND_MOST  4096u
/* Clearly more. */
#define BUSY_GAIN 1.06

static unsigned round_of(const struct loop_spin *spin)
{
	return spin->round > 0 ? spin->round : ROUND_LEAST;
}

uint64_t loop_spin_limit(const struct loop_spin *spin)
{
	bool trial = spin->waits >= round_of(spin) - TRIAL_WAITS;

	return spin->in_vain == trial ? spin->budget_ns : 0;
}

/* Since then; and from now on anew. */
static double rate(struct loop_spin *spin, struct loop_progress progress)
{
	uint64_t completions = progress.completions - spin->since.completions,
		 ns = progress.now_ns - spin->since.now_ns;

	spin->since = progress;
	return ns > 0 ? (double)completions / (double)ns : 0;
}

static void judge(struct loop_spin *spin, double trial)
{
	double busy = spin->in_vain ? trial : spin->before, slept = spin->in_vain ? spin->before : trial;
	bool in_vain = busy < slept * BUSY_GAIN;
	unsigned round = round_of(spin);

	if (in_vain == spin->in_vain) {
		spin->doubts = 0;
		spin->round = round < ROUND_MOST ? round * 2 : round;
		return;
	}
	spin->round = ROUND_LEAST;
	if (++spin->doubts < 2)
		return;
	spin->in_vain = in_vain;
	spin->doubts = 0;
}

static void count(struct loop_spin *spin, struct loop_progress progress)
{
	unsigned left = round_of(spin) - ++spin->waits;

	if (left == 2 * TRIAL_WAITS) {
		spin->since = progress;
	} else if (left == TRIAL_WAITS) {
		spin->before = rate(spin, progress);
		/* No device: nothing to be compared, and no trial. */
		if (spin->before <= 0) {
			spin->waits = 0;
			spin->in_vain = false;
		}
	} else if (left == 0) {
		spin->waits = 0;
		judge(spin, rate(spin, progress));
	}
}

void loop_spin_note(struct loop_spin *spin, uint64_t gap_ns, uint64_t max_ns, struct loop_progress progress)
{
	/* Without a budget both do the same. */
	if (spin->budget_ns > 0)
		count(spin, progress);
	if (gap_ns <= max_ns)
		spin->budget_ns = max_ns;
	else
		spin->budget_ns =
			spin->budget_ns < BUDGET_LEAST_NS ? 0 : spin->budget_ns - spin->budget_ns / 4;
}

void loop_spin_bound(struct loop_spin *spin, uint64_t max_ns)
{
	if (spin->budget_ns > max_ns)
		spin->budget_ns = max_ns;
}
