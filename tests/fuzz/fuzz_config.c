/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a configuration file: messages, never a crash; and every message names its line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();

	if (!config)
		return 0;
	config_parse(config, "fuzz.conf", (const char *)data, size, &messages);
	config_check(config, &messages);
	for (unsigned i = 0; i < messages.kept; i++) {
		if (strncmp(messages.text[i], "fuzz.conf:", 10) != 0)
			abort();
	}
	config_messages_finish(&messages);
	config_destroy(config);
	return 0;
}
