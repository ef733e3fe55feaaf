/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_json.h"

#include "cli/top/top_resource.h"

json_t *top_json_number(double value)
{
	return json_integer(value >= (double)INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *row_json(const struct top_row *row, const struct top_field *fields)
{
	static const char *const state[] = {
		[TOP_IDLE] = "idle", [TOP_CONNECTED] = "connected", [TOP_BROKEN] = "broken"
	};
	json_t *object = json_pack("{s:s, s:s}", "name", row->name, "state", state[row->state]);

	for (const struct top_field *field = fields; field->name; field++) {
		double value = top_row_value(row, field->member);

		json_object_set_new(object, field->name,
				    field->whole ? top_json_number(value) : json_real(value));
	}
	return object;
}

static const struct top_resource_ops *ops_of(const struct top_view *view)
{
	return top_resources[top_kinds[view->kind].resource];
}

static void add_rows(json_t *object, const struct top_view *view)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < view->row_count; i++)
		json_array_append_new(rows, row_json(&view->rows[i], ops_of(view)->fields));
	json_object_set_new(object, top_kinds[view->kind].list, rows);
}

static void add_devices(json_t *object, const struct top_view *view)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < view->device_count; i++)
		json_array_append_new(devices, ops_of(view)->device_json(&view->devices[i]));
	json_object_set_new(object, ops_of(view)->device_rows_list, devices);
}

json_t *top_json(const struct top_sample *before, const struct top_sample *now)
{
	json_t *object = json_object();
	double cpu = 0;

	for (enum top_kind kind = 0; kind < TOP_KINDS; kind++) {
		struct top_view *view = top_view_create(before, now, kind);

		if (top_kinds[kind].level == TOP_LEVEL_LEAF) {
			cpu += view->cpu;
			add_devices(object, view);
		}
		add_rows(object, view);
		json_object_set_new(object, "seconds", json_real(view->seconds));
		top_view_destroy(view);
	}
	json_object_set_new(object, "cpu_part", json_real(cpu));
	return object;
}
