/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of consoles, as JSON and as metrics. */
#include "daemon/base/metrics.h"
#include "daemon/console/console_device.h"
#include "daemon/console/console_memory.h"
#include "daemon/console/console_readers.h"
#include "daemon/device/virtio_endpoint.h"

#define LABELS_MAX (2 * CONFIG_NAME_SIZE + 32)

/* What a console has done; zero while it was never served. */
struct account {
	uint64_t output_bytes, input_bytes, refused_bytes, readers, missed_bytes;
};

static struct account read_account(const struct console_device *console)
{
	struct account account = { .input_bytes = counter_read(&console->input_bytes),
				   .refused_bytes = counter_read(&console->refused_bytes) };
	uint64_t begin;

	if (!console->readers)
		return account;
	console_memory_span(console_readers_memory(console->readers), &begin, &account.output_bytes);
	account.readers = console_readers_count(console->readers);
	account.missed_bytes = console_readers_missed(console->readers);
	return account;
}

static const struct number {
	const char *key, *metric, *type, *help;
	size_t offset; /* in struct account */
} numbers[] = {
	{ "output_bytes", "viaduct_console_output_bytes_total", "counter", "Bytes that the guest said.",
	  offsetof(struct account, output_bytes) },
	{ "input_bytes", "viaduct_console_input_bytes_total", "counter",
	  "Bytes that were typed for the guest.", offsetof(struct account, input_bytes) },
	{ "refused_bytes", "viaduct_console_refused_bytes_total", "counter",
	  "Bytes that were typed and not taken: the guest did not read, or there was none.",
	  offsetof(struct account, refused_bytes) },
	{ "readers", "viaduct_console_readers", "gauge", "Those who are attached.",
	  offsetof(struct account, readers) },
	{ "missed_bytes", "viaduct_console_missed_bytes_total", "counter",
	  "Bytes that those who were attached were too slow for.", offsetof(struct account, missed_bytes) },
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static uint64_t read_number(const struct account *account, const struct number *number)
{
	return *(const uint64_t *)((const char *)account + number->offset);
}

void console_describe(const struct device *device, json_t *object)
{
	const struct console_device *console = console_device_of(device);

	json_object_set_new(object, "source", json_string(console_source_text(console->source)));
	if (console->source == CONSOLE_OF_VIRTIO)
		json_object_set_new(object, "interface",
				    json_string(device_interface_text(true, console->interface)));
	json_object_set_new(object, "scrollback_bytes", json_integer((json_int_t)console->scrollback_bytes));
}

void console_status(const struct device *device, json_t *object)
{
	const struct account account = read_account(console_device_of(device));

	for (unsigned i = 0; i < NUMBERS; i++)
		json_object_set_new(object, numbers[i].key,
				    json_integer((json_int_t)read_number(&account, &numbers[i])));
}

static void print_number(struct daemon *daemon, FILE *out, const struct number *number)
{
	metrics_head(out, number->metric, number->type, number->help);
	device_for_each(daemon, &console_device_kind, device)
	{
		const struct account account = read_account(console_device_of(device));
		char labels[LABELS_MAX];

		snprintf(labels, sizeof(labels), "guest=\"%s\",console=\"%s\"", device->guest->name,
			 device->short_name);
		metrics_sample(out, number->metric, labels, read_number(&account, number), false);
	}
}

void consoles_print_metrics(struct daemon *daemon, FILE *out)
{
	if (!device_of_kind(daemon->devices, &console_device_kind))
		return;
	for (unsigned i = 0; i < NUMBERS; i++)
		print_number(daemon, out, &numbers[i]);
}
