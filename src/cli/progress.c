/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/progress.h"

#include <string.h>

#include "cli/text.h"
#include "core/clock.h"

#define REDRAW_NS (100 * NS_PER_MS)
#define BAR_MIN	  10u
#define BAR_MAX	  40u

void progress_start(struct progress *progress, FILE *out, bool terminal, size_t width, const char *label,
		    uint64_t total_bytes, uint64_t now_ns)
{
	*progress = (struct progress){
		.out = out,
		.label = label,
		.terminal = terminal,
		.width = width ? width : 80,
		.total_bytes = total_bytes,
		.start_ns = now_ns,
	};
}

/* Bytes a second of real work; 0 while unknown. */
static double rate(const struct progress *progress, uint64_t now_ns)
{
	uint64_t worked = progress->done_bytes - progress->skipped_bytes;
	uint64_t elapsed = now_ns - progress->start_ns;

	return elapsed == 0 ? 0 : (double)worked * (double)NS_PER_S / (double)elapsed;
}

uint64_t progress_left_ns(const struct progress *progress, uint64_t now_ns)
{
	double bytes_per_s = rate(progress, now_ns);

	if (progress->done_bytes >= progress->total_bytes)
		return 0;
	if (bytes_per_s < 1)
		return UINT64_MAX;
	return (uint64_t)((double)(progress->total_bytes - progress->done_bytes) / bytes_per_s *
			  (double)NS_PER_S);
}

static unsigned percent(const struct progress *progress)
{
	if (progress->total_bytes == 0)
		return 100;
	return (unsigned)((double)progress->done_bytes * 100 / (double)progress->total_bytes);
}

static void format_bar(char *bar, unsigned columns, unsigned done_percent)
{
	unsigned full = columns * done_percent / 100;

	for (unsigned i = 0; i < columns; i++)
		bar[i] = i < full ? '#' : '.';
	bar[columns] = '\0';
}

void progress_format(const struct progress *progress, uint64_t now_ns, char line[PROGRESS_LINE_MAX])
{
	char done[TEXT_NUMBER_MAX], total[TEXT_NUMBER_MAX], speed[TEXT_NUMBER_MAX], left[TEXT_NUMBER_MAX];
	char tail[PROGRESS_LINE_MAX / 2], bar[BAR_MAX + 1];
	uint64_t left_ns = progress_left_ns(progress, now_ns);
	size_t used;

	text_size(speed, (uint64_t)rate(progress, now_ns));
	snprintf(tail, sizeof(tail), " %3u%%  %s of %s  %s/s  %s left", percent(progress),
		 text_size(done, progress->done_bytes), text_size(total, progress->total_bytes), speed,
		 left_ns == UINT64_MAX ? "?" : text_duration(left, left_ns));
	used = text_columns(progress->label) + strlen(tail) + 4;
	if (progress->terminal && used + BAR_MIN <= progress->width) {
		size_t room = progress->width - used;

		format_bar(bar, (unsigned)(room < BAR_MAX ? room : BAR_MAX), percent(progress));
		snprintf(line, PROGRESS_LINE_MAX, "%.60s [%s]%s", progress->label, bar, tail);
	} else {
		snprintf(line, PROGRESS_LINE_MAX, "%.60s%s", progress->label, tail);
	}
}

void progress_update(struct progress *progress, uint64_t done_bytes, uint64_t skipped_bytes, uint64_t now_ns)
{
	char line[PROGRESS_LINE_MAX];

	progress->done_bytes = done_bytes;
	progress->skipped_bytes = skipped_bytes;
	if (progress->terminal) {
		if (progress->drawn_ns != 0 && now_ns - progress->drawn_ns < REDRAW_NS)
			return;
		progress->drawn_ns = now_ns;
		progress_format(progress, now_ns, line);
		line[text_cut(line, progress->width - 1)] = '\0';
		fprintf(progress->out, "\r\033[K%s", line);
	} else {
		if (percent(progress) / 10 <= progress->tenths)
			return;
		progress->tenths = percent(progress) / 10;
		progress_format(progress, now_ns, line);
		fprintf(progress->out, "%s\n", line);
	}
	fflush(progress->out);
}

void progress_clear(struct progress *progress)
{
	if (progress->terminal)
		fputs("\r\033[K", progress->out);
	fflush(progress->out);
}

void progress_finish(struct progress *progress, uint64_t now_ns)
{
	char size[TEXT_NUMBER_MAX], holes[TEXT_NUMBER_MAX], time[TEXT_NUMBER_MAX], speed[TEXT_NUMBER_MAX];

	progress_clear(progress);
	fprintf(progress->out, "%s: %s", progress->label, text_size(size, progress->done_bytes));
	if (progress->skipped_bytes > 0)
		fprintf(progress->out, " (%s of it empty, not copied)",
			text_size(holes, progress->skipped_bytes));
	fprintf(progress->out, " in %s, %s/s\n", text_duration(time, now_ns - progress->start_ns),
		text_size(speed, (uint64_t)rate(progress, now_ns)));
	fflush(progress->out);
}
