/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any stream of TCP segments and of what becomes of them when a byte is changed, joined and cut again: the
 * same frames must come out. The input is a script (segment_script.h).
 */
#include <stdlib.h>

#include "input_trace.h"
#include "segment_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script_frames frames;
	struct script_result result;

	script_frames_init(&frames, data, size);
	if (script_check(&frames, &result))
		abort();
	script_frames_finish(&frames);
	fuzz_trace_number(result.handed);
	fuzz_trace_number(result.joined);
	fuzz_trace_number(result.pieces_max);
	fuzz_trace_number(result.bytes_max);
	return 0;
}
