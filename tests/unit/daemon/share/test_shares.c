/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trees of shares of two resources: a guest's shares of disks and of cards know nothing of each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "arbiter/disk/disk_meter.h"
#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/share/share_json.h"
#include "daemon/share/shares.h"

/* How a gate of cards learns costs is not asked here: both gates are those of a disk. */
struct fixture {
	struct daemon daemon;
	struct share_gate gate[SHARE_RESOURCES];
	struct disk_meter *meter[SHARE_RESOURCES];
	struct share_node *disk, *nic;
	uint64_t bandwidth; /* of either device */
};

static void start(struct fixture *fixture, const char *text)
{
	static char paths[SHARE_RESOURCES][16] = { "/dev/disk", "the uplink" };
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();

	assert_non_null(config);
	config_parse(config, "t.conf", text, strlen(text), &messages);
	assert_int_equal(messages.count, 0);
	*fixture = (struct fixture){ .daemon.config = config };
	fixture->bandwidth = disk_cost_bandwidth(&disk_cost_default);
	for (unsigned i = 0; i < SHARE_RESOURCES; i++) {
		struct share_gate *gate = &fixture->gate[i];

		assert_int_equal(disk_meter_create(&disk_cost_default, true, &fixture->meter[i]), 0);
		*gate = (struct share_gate){ .resource = i,
					     .path = paths[i],
					     .gate = disk_meter_gate(fixture->meter[i]) };
		share_gate_add(&fixture->daemon, gate);
	}
	fixture->disk = share_open(&fixture->daemon, &fixture->gate[SHARE_DISKS], "alice/root");
	fixture->nic = share_open(&fixture->daemon, &fixture->gate[SHARE_NICS], "alice/root");
	assert_non_null(fixture->disk);
	assert_non_null(fixture->nic);
}

static void finish(struct fixture *fixture)
{
	share_close(fixture->disk);
	share_close(fixture->nic);
	for (unsigned i = 0; i < SHARE_RESOURCES; i++) {
		assert_null(fixture->gate[i].nodes);
		share_gate_remove(&fixture->daemon, &fixture->gate[i]);
		disk_meter_destroy(fixture->meter[i]);
	}
	settings_free(fixture->daemon.settings);
	config_destroy(fixture->daemon.config);
}

static uint64_t effective(const struct fixture *fixture, struct share_id id, enum share_key key)
{
	const struct share_settings share = share_effective(&fixture->daemon, id, NULL);

	return share.value[key];
}

static void change(struct share_change changes[SHARE_RESOURCES], enum share_resource resource,
		   enum share_key key, uint64_t value)
{
	changes[resource].changed[key] = changes[resource].given[key] = true;
	changes[resource].share.value[key] = value;
}

/* The device's node is of the kind that the gate's resource says, below the guest and the group. */
static void test_trees(void **state)
{
	const struct share_id disks = { SHARE_OF_GUEST, SHARE_DISKS, "alice" },
			      nics = { SHARE_OF_GUEST, SHARE_NICS, "alice" },
			      disk = { SHARE_OF_DISK, SHARE_DISKS, "alice/root" };
	struct fixture fixture;

	start(&fixture, "[group gold]\ndisk_weight = 400\nnic_weight = 700\n"
			"[guest alice]\ngroup = gold\n"
			"[nic alice/root]\nweight = 30\nmax_pps = 50\n");
	assert_int_equal(fixture.disk->kind, SHARE_OF_DISK);
	assert_int_equal(fixture.nic->kind, SHARE_OF_NIC);
	assert_int_equal(fixture.nic->parent->kind, SHARE_OF_GUEST);
	assert_int_equal(fixture.nic->parent->parent->kind, SHARE_OF_GROUP);
	assert_int_equal(gate_node_settings(fixture.nic->node)->max_iops, 50);
	assert_int_equal(gate_node_weight(fixture.nic->parent->parent->node), 700);
	assert_int_equal(gate_node_weight(fixture.disk->parent->parent->node), 400);
	/* A guest without a weight weighs what is below it, of that resource. */
	assert_int_equal(effective(&fixture, disks, SHARE_WEIGHT), 100);
	assert_int_equal(effective(&fixture, nics, SHARE_WEIGHT), 30);
	assert_int_equal(effective(&fixture, disk, SHARE_MAX_IOPS), 0);
	finish(&fixture);
}

static void test_changes(void **state)
{
	struct share_change changes[SHARE_RESOURCES] = { { .changed = { false } } };
	struct fixture fixture;
	struct error error;

	start(&fixture, "[guest alice]\n");
	change(changes, SHARE_DISKS, SHARE_MAX_IOPS, 7);
	change(changes, SHARE_NICS, SHARE_MAX_IOPS, 9);
	assert_int_equal(shares_set(&fixture.daemon, SHARE_OF_GUEST, "alice", changes, &error), 0);
	assert_int_equal(gate_node_settings(fixture.disk->parent->node)->max_iops, 7);
	assert_int_equal(gate_node_settings(fixture.nic->parent->node)->max_iops, 9);
	/* One resource goes back to the configuration, and the other keeps what was set. */
	changes[SHARE_DISKS] = (struct share_change){ .changed[SHARE_MAX_IOPS] = true };
	changes[SHARE_NICS] = (struct share_change){ .changed = { false } };
	assert_int_equal(shares_set(&fixture.daemon, SHARE_OF_GUEST, "alice", changes, &error), 0);
	assert_int_equal(gate_node_settings(fixture.disk->parent->node)->max_iops, 0);
	assert_int_equal(gate_node_settings(fixture.nic->parent->node)->max_iops, 9);
	assert_false(setting_has_part(fixture.daemon.settings, SHARE_DISKS));
	assert_true(setting_has_part(fixture.daemon.settings, SHARE_NICS));
	finish(&fixture);
}

/* What is asked for of two resources is one change: refused by one, it changes nothing of the other. */
static void test_refused_change(void **state)
{
	struct share_change changes[SHARE_RESOURCES] = { { .changed = { false } } };
	struct fixture fixture;
	struct error error;

	start(&fixture, "[guest alice]\ndisk_min_bandwidth = 1M\n");
	change(changes, SHARE_DISKS, SHARE_MIN_BANDWIDTH, 2 << 20);
	change(changes, SHARE_DISKS, SHARE_WEIGHT, 55);
	change(changes, SHARE_NICS, SHARE_MIN_BANDWIDTH, 2 * fixture.bandwidth);
	assert_int_equal(shares_set(&fixture.daemon, SHARE_OF_GUEST, "alice", changes, &error), -EBUSY);
	assert_non_null(strstr(error.text, "guest alice on the uplink: the reservation is"));
	assert_int_equal(gate_node_settings(fixture.disk->parent->node)->min_bandwidth, 1 << 20);
	assert_int_equal(gate_node_settings(fixture.disk->parent->node)->weight, 0);

	changes[SHARE_NICS] = (struct share_change){ .changed = { false } };
	change(changes, SHARE_NICS, SHARE_MIN_BANDWIDTH, 5 << 20);
	change(changes, SHARE_NICS, SHARE_MAX_BANDWIDTH, 4 << 20);
	assert_int_equal(shares_set(&fixture.daemon, SHARE_OF_GUEST, "alice", changes, &error), -EINVAL);
	assert_non_null(
		strstr(error.text, "nic_max_bandwidth of alice would be below its nic_min_bandwidth"));
	assert_int_equal(gate_node_settings(fixture.disk->parent->node)->min_bandwidth, 1 << 20);
	assert_null(fixture.daemon.settings);
	finish(&fixture);
}

/* "share" has the settings of both, and "share_error" says what is wrong with either. */
static void test_json(void **state)
{
	json_t *object = json_object(), *settings;
	const char *why;
	struct fixture fixture;

	log_set_level(LOG_LEVEL_ERROR);
	start(&fixture, "[guest alice]\ndisk_min_bandwidth = 1T\nnic_min_bandwidth = 1T\nnic_max_pps = 4\n");
	share_set_json(object, &fixture.daemon, SHARE_OF_GUEST, "alice");
	settings = json_object_get(object, "share");
	assert_int_equal(json_integer_value(json_object_get(settings, "nic_max_pps")), 4);
	assert_int_equal(json_object_size(settings), 6 + 5);
	why = json_string_value(json_object_get(object, "share_error"));
	assert_non_null(why);
	assert_non_null(strstr(why, "; the reservation is"));
	json_decref(object);

	object = json_object();
	share_set_json(object, &fixture.daemon, SHARE_OF_NIC, "alice/root");
	assert_int_equal(json_object_size(json_object_get(object, "share")), 5);
	assert_null(json_object_get(object, "share_error"));
	json_decref(object);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_refused_change),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
