/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/input/input_reports.h"

#include <assert.h>
#include <string.h>

static struct input_report_event *waiting_at(struct input_reports *reports, unsigned position)
{
	return &reports->waiting[position % INPUT_WAITING_MAX];
}

/* Puts a report at the end, or drops it. */
static bool report(struct input_reports *reports, const struct input_report_event *events, unsigned count)
{
	static const struct input_report_event end = { .type = EV_SYN, .code = SYN_REPORT };

	if (INPUT_WAITING_MAX - reports->count < count + 1)
		return false;
	for (unsigned i = 0; i < count; i++)
		*waiting_at(reports, reports->first + reports->count + i) = events[i];
	*waiting_at(reports, reports->first + reports->count + count) = end;
	reports->count += count + 1;
	reports->has_motion = false;
	return true;
}

static bool report_key(struct input_reports *reports, unsigned code, bool down)
{
	const struct input_report_event event = { .type = EV_KEY, .code = (uint16_t)code, .value = down };

	if (!report(reports, &event, 1))
		return false;
	reports->told[code] = down;
	return true;
}

/* Lets up what the guest takes to be down. */
static void settle(struct input_reports *reports)
{
	if (!reports->owes)
		return;
	for (unsigned code = 0; code < KEY_CNT; code++)
		if (reports->told[code] && !reports->down[code] && !report_key(reports, code, false))
			return;
	reports->owes = false;
}

bool input_reports_wait(struct input_reports *reports)
{
	settle(reports);
	return reports->count > 0;
}

struct input_report_event input_reports_take(struct input_reports *reports)
{
	struct input_report_event event = *waiting_at(reports, reports->first);

	assert(reports->count > 0);
	if (reports->has_motion && reports->motion == reports->first)
		reports->has_motion = false;
	reports->first = (reports->first + 1) % INPUT_WAITING_MAX;
	reports->count--;
	return event;
}

void input_reports_forget(struct input_reports *reports)
{
	reports->first = reports->count = 0;
	reports->has_motion = reports->owes = false;
	memset(reports->told, 0, sizeof(reports->told));
}

bool input_reports_key(struct input_reports *reports, unsigned code, bool down, bool is_heard)
{
	assert(code < KEY_CNT);
	if (reports->down[code] == down)
		return false;
	reports->down[code] = down;
	if (!is_heard || reports->told[code] == down) {
		reports->owes = reports->owes || (reports->told[code] && !down);
	} else if (!report_key(reports, code, down)) {
		reports->dropped++;
		reports->owes = reports->owes || !down;
	}
	return true;
}

void input_reports_move(struct input_reports *reports, unsigned x, unsigned y)
{
	const struct input_report_event events[] = {
		{ .type = EV_ABS, .code = ABS_X, .value = x },
		{ .type = EV_ABS, .code = ABS_Y, .value = y },
	};

	if (reports->has_motion) {
		*waiting_at(reports, reports->motion) = events[0];
		*waiting_at(reports, reports->motion + 1) = events[1];
	} else if (report(reports, events, 2)) {
		reports->has_motion = true;
		reports->motion = (reports->first + reports->count - 3) % INPUT_WAITING_MAX;
	} else {
		reports->dropped++;
	}
}

void input_reports_turn_wheel(struct input_reports *reports, int notches)
{
	const struct input_report_event event = { .type = EV_REL,
						  .code = REL_WHEEL,
						  .value = (uint32_t)notches };

	if (!report(reports, &event, 1))
		reports->dropped++;
}
