/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat_mean.h"

#include <string.h>

#define COLUMNS_MAX 128u /* at once */

/* Pixels of the picture, from the first one to before the last one. */
struct span {
	unsigned from, to;
};

/* Of `whole` pixels that are shown as `shown`, those that the one at `at` touches. */
static struct span span_at(unsigned at, unsigned shown, unsigned whole)
{
	return (struct span){ at * whole / shown, ((at + 1) * whole + shown - 1) / shown };
}

static unsigned length(struct span span)
{
	return span.to > span.from ? span.to - span.from : 0;
}

/* What of it lies in the image; from its first pixel. */
static struct span inside(struct span span, int start, unsigned count)
{
	int from = (int)span.from - start, to = (int)span.to - start;

	if (from < 0)
		from = 0;
	if (to > (int)count)
		to = (int)count;
	return (struct span){ (unsigned)from, to > from ? (unsigned)to : (unsigned)from };
}

/* ---- means ---- */

/* So many bytes can be added up in 16 bits. */
#define NARROW_MAX 256u
#define SHIFT	   24u

/* What is the same for all pixels of one drawing. */
struct drawing {
	const struct seat_mean *drawn;
	const uint8_t *pixels; /* of the image */
	size_t stride;
	/*
	 * To divide by so many: multiplied and shifted, which is exact for dividends below 65536, as the
	 * error of a factor times both is below 2^24.
	 */
	uint32_t factors[NARROW_MAX + 1];
};

static void prepare(struct drawing *drawing, const struct seat_mean *drawn)
{
	drawing->drawn = drawn;
	drawing->pixels = (const uint8_t *)pixman_image_get_data(drawn->image);
	drawing->stride = (size_t)pixman_image_get_stride(drawn->image);
	drawing->factors[0] = 0;
	for (unsigned count = 1; count <= NARROW_MAX; count++)
		drawing->factors[count] = ((1u << SHIFT) + count - 1) / count;
}

static uint32_t divide(uint32_t sum, unsigned count, uint64_t factor)
{
	return (uint32_t)((sum + count / 2) * factor >> SHIFT);
}

/* Two channels in each sum. */
static uint32_t mean_of_few(const uint8_t *line, size_t stride, unsigned columns, unsigned rows,
			    unsigned count, uint32_t factor)
{
	uint32_t even = 0, odd = 0;

	for (unsigned y = 0; y < rows; y++, line += stride)
		for (unsigned x = 0; x < columns; x++) {
			uint32_t pixel = ((const uint32_t *)line)[x];

			even += pixel & 0xff00ff;
			odd += pixel >> 8 & 0xff00ff;
		}
	return divide(odd >> 16, count, factor) << 24 | divide(even >> 16, count, factor) << 16 |
	       divide(odd & 0xffff, count, factor) << 8 | divide(even & 0xffff, count, factor);
}

static uint32_t mean_of_many(const uint8_t *line, size_t stride, unsigned columns, unsigned rows,
			     uint64_t count)
{
	uint64_t sums[4] = { 0 };
	uint32_t mean = 0;

	for (unsigned y = 0; y < rows; y++, line += stride)
		for (unsigned x = 0; x < columns; x++)
			for (unsigned channel = 0; channel < 4; channel++)
				sums[channel] += ((const uint32_t *)line)[x] >> 8 * channel & 0xff;
	for (unsigned channel = 0; channel < 4; channel++)
		mean |= (uint32_t)((sums[channel] + count / 2) / count) << 8 * channel;
	return mean;
}

/* ---- drawing ---- */

/* Rounded as pixman does; a cursor that is brighter than its alpha allows does not overflow. */
static uint32_t over(uint32_t cursor, uint32_t below)
{
	uint32_t through = 255 - (cursor >> 24), result = 0;

	for (unsigned shift = 0; shift < 24; shift += 8) {
		uint32_t sum = (below >> shift & 0xff) * through + 128;

		sum = ((sum >> 8) + sum) >> 8;
		sum += cursor >> shift & 0xff;
		result |= (sum > 255 ? 255 : sum) << shift;
	}
	return result;
}

/* Columns of the screen beside each other. */
struct columns {
	unsigned count;
	struct span touched[COLUMNS_MAX]; /* as far as the image has them */
	unsigned length[COLUMNS_MAX];	  /* of what is touched, wherever the image is */
};

static void find_columns(const struct seat_mean *drawn, const pixman_box32_t *box, struct columns *columns)
{
	columns->count = (unsigned)(box->x2 - box->x1);
	for (unsigned i = 0; i < columns->count; i++) {
		struct span span =
			span_at((unsigned)(box->x1 - drawn->shown.x) + i, drawn->shown.width, drawn->width);

		columns->length[i] = length(span);
		columns->touched[i] = inside(span, drawn->at.x, drawn->at.width);
	}
}

static void draw_line(const struct drawing *drawing, const struct columns *columns, struct span rows,
		      uint32_t *to)
{
	const struct seat_mean *drawn = drawing->drawn;
	unsigned height = length(rows);
	const uint8_t *line;

	rows = inside(rows, drawn->at.y, drawn->at.height);
	line = drawing->pixels + rows.from * drawing->stride;
	for (unsigned i = 0; i < columns->count; i++) {
		struct span touched = columns->touched[i];
		const uint8_t *first = line + (size_t)touched.from * 4;
		unsigned count = columns->length[i] * height;
		uint32_t value;

		if (count == 1 && !drawn->over)
			value = *(const uint32_t *)first;
		else if (count <= NARROW_MAX)
			value = mean_of_few(first, drawing->stride, length(touched), length(rows), count,
					    drawing->factors[count]);
		else
			value = mean_of_many(first, drawing->stride, length(touched), length(rows), count);
		to[i] = drawn->over ? over(value, to[i]) : value;
	}
}

/* At most COLUMNS_MAX columns of the screen. Lines that touch the same ones of the picture are copies. */
static void draw_columns(const struct drawing *drawing, pixman_image_t *screen, const pixman_box32_t *box)
{
	const struct seat_mean *drawn = drawing->drawn;
	size_t stride = (size_t)pixman_image_get_stride(screen);
	uint8_t *to = (uint8_t *)(pixman_image_get_data(screen) + box->x1) + (size_t)box->y1 * stride;
	struct span before = { 0, 0 };
	struct columns columns;

	find_columns(drawn, box, &columns);
	for (int y = box->y1; y < box->y2; y++, to += stride) {
		struct span rows =
			span_at((unsigned)(y - drawn->shown.y), drawn->shown.height, drawn->height);

		if (!drawn->over && rows.from == before.from && rows.to == before.to)
			memcpy(to, to - stride, (size_t)columns.count * 4);
		else
			draw_line(drawing, &columns, rows, (uint32_t *)to);
		before = rows;
	}
}

void seat_mean_draw(const struct seat_mean *drawn, pixman_image_t *screen, pixman_region32_t *part)
{
	int count;
	const pixman_box32_t *boxes = pixman_region32_rectangles(part, &count);
	struct drawing drawing;

	prepare(&drawing, drawn);
	for (int i = 0; i < count; i++)
		for (pixman_box32_t box = boxes[i]; box.x1 < boxes[i].x2; box.x1 = box.x2) {
			box.x2 = boxes[i].x2 - box.x1 > (int)COLUMNS_MAX ? box.x1 + (int)COLUMNS_MAX
									 : boxes[i].x2;
			draw_columns(&drawing, screen, &box);
		}
}
