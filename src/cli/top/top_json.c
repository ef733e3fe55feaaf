/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_json.h"

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *row_json(const struct top_row *row)
{
	static const char *const state[] = {
		[TOP_IDLE] = "idle", [TOP_CONNECTED] = "connected", [TOP_BROKEN] = "broken"
	};

	return json_pack(
		"{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o}",
		"name", row->name, "state", state[row->state], "iops", row->iops, "read_bandwidth",
		row->read_bytes, "write_bandwidth", row->written_bytes, "device_part", row->device,
		"reservation_part", row->reservation, "limit_part", row->limit, "got_part", row->got,
		"due_part", row->due, "cpu_part", row->cpu, "throttled_part", row->throttled,
		"contended_part", row->contended, "waiting", number(row->waiting), "p99_ns",
		number(row->p99_ns), "errors", number(row->errors), "refused", number(row->refused), "weight",
		number(row->share.weight));
}

static json_t *device_json(const struct top_device_row *row)
{
	const struct top_device *device = row->device;

	return json_pack("{s:s, s:f, s:f, s:f, s:o, s:o, s:o, s:f}", "name", device->name, "busy_part",
			 row->busy, "iops", row->iops, "bandwidth", row->bytes, "capacity_iops",
			 number(device->capacity_iops), "capacity_bandwidth",
			 number(device->capacity_bandwidth), "reserved_ppb", number(device->reserved_ppb),
			 "rate", device->rate);
}

static void add_devices(json_t *object, const struct top_view *view)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < view->device_count; i++)
		json_array_append_new(devices, device_json(&view->devices[i]));
	json_object_set_new(object, "seconds", json_real(view->seconds));
	json_object_set_new(object, "cpu_part", json_real(view->cpu));
	json_object_set_new(object, "devices", devices);
}

json_t *top_json(const struct top_sample *before, const struct top_sample *now)
{
	static const char *const kind_text[TOP_KINDS] = { "disks", "guests", "groups" };
	json_t *object = json_object();

	for (enum top_kind kind = 0; kind < TOP_KINDS; kind++) {
		struct top_view *view = top_view_create(before, now, kind);
		json_t *rows = json_array();

		for (size_t i = 0; i < view->row_count; i++)
			json_array_append_new(rows, row_json(&view->rows[i]));
		if (kind == TOP_DISKS)
			add_devices(object, view);
		json_object_set_new(object, kind_text[kind], rows);
		top_view_destroy(view);
	}
	return object;
}
