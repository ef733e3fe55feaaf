/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a cost model: what is accepted is printed as it was, and its figures can be worked out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk_cost.h"
#include "input_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[COST_TEXT_MAX];
	struct disk_cost cost;

	if (disk_cost_parse((const char *)data, size, &cost))
		return 0;
	if (disk_cost_print(&cost, text, sizeof(text)) != (int)size || memcmp(text, data, size) != 0)
		abort();
	if (disk_cost_reservation_ppb(&cost, disk_cost_iops(&cost), disk_cost_bandwidth(&cost)) > 1000000000)
		abort();
	fuzz_trace_number(disk_cost_iops(&cost));
	return 0;
}
