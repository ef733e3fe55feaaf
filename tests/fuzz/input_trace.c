/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "input_trace.h"

bool fuzz_trace_on;
uint64_t fuzz_trace_hash;
