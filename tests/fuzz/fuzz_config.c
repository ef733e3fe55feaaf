/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a configuration file: messages, never a crash; and every message names its line. Then the same
 * bytes as what was set at run time: what is understood is understood again when it is written.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/share/settings.h"
#include "input_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(struct config_messages *messages)
{
	for (unsigned i = 0; i < messages->kept; i++) {
		if (strncmp(messages->text[i], "fuzz.conf:", 10) != 0)
			abort();
		fuzz_trace(messages->text[i], strlen(messages->text[i]));
	}
	config_messages_finish(messages);
}

static bool same_parts(const struct setting *one, const struct setting *other)
{
	bool same = true;

	for (unsigned i = 0; i < SHARE_RESOURCES; i++) {
		const struct setting_part *part = &one->part[i], *other_part = &other->part[i];

		same = same && memcmp(part->given, other_part->given, sizeof(part->given)) == 0 &&
		       memcmp(&part->share, &other_part->share, sizeof(part->share)) == 0;
	}
	return same;
}

static void parse_settings(const char *bytes, size_t size)
{
	struct config_messages messages = { .count = 0 };
	struct setting *list = settings_parse("fuzz.conf", bytes, size, &messages), *again;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		abort();
	check_messages(&messages);
	settings_print(list, out);
	fclose(out);
	fuzz_trace(text, length);
	again = settings_parse("fuzz.conf", text, length, &messages);
	if (messages.count > 0)
		abort();
	for (struct setting *setting = list; setting; setting = setting->next) {
		const struct setting *found = settings_find(again, setting->kind, setting->name);

		if (!found || !same_parts(found, setting))
			abort();
	}
	settings_free(list);
	settings_free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();

	if (!config)
		return 0;
	config_parse(config, "fuzz.conf", (const char *)data, size, &messages);
	config_check(config, &messages);
	check_messages(&messages);
	config_destroy(config);
	parse_settings((const char *)data, size);
	return 0;
}
