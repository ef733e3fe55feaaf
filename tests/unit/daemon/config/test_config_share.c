/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares in the configuration: groups, settings, capacities; and each mistake with what would be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "arbiter/share/gate.h"
#include "daemon/config/config.h"

#define POOL  "[pool main]\npath = /p\nsize = 8G\n"
#define GUEST "[guest alice]\n"
#define DISK  "[disk alice/root]\npool = main\nsize = 4G\n"
#define NIC   "[switch lan]\n[nic alice/eth0]\nswitch = lan\n"

static struct config *parse(const char *text, struct config_messages *messages)
{
	struct config *config = config_create();

	assert_non_null(config);
	config_parse(config, "t.conf", text, strlen(text), messages);
	config_check(config, messages);
	return config;
}

static const struct {
	const char *text, *message;
} mistakes[] = {
	{ POOL GUEST DISK "weight = 0\n",
	  "t.conf:8: weight = 0 is out of range: give a number from 1 to 10000" },
	{ POOL GUEST DISK "weight = 10001\n",
	  "t.conf:8: weight = 10001 is out of range: give a number from 1 to 10000" },
	{ "[group gold]\ndisk_weight = heavy\n", "t.conf:2: disk_weight = heavy is not a whole number" },
	{ GUEST "disk_min_iops = 1k\n", "t.conf:2: disk_min_iops = 1k is not a whole number" },
	{ GUEST "disk_max_iops = 2000000000\n",
	  "t.conf:2: disk_max_iops = 2000000000 is out of range: give a number from 0 to 1000000000" },
	{ GUEST "disk_max_bandwidth = fast\n",
	  "t.conf:2: disk_max_bandwidth = fast is not a size: give a number of bytes, or with K, "
	  "M, G or T, for example 8G" },
	{ GUEST "disk_max_bandwidth = 2T\n",
	  "t.conf:2: disk_max_bandwidth = 2T is out of range: give 0 to 1T" },
	{ GUEST "disk_burst = 60001\n",
	  "t.conf:2: disk_burst = 60001 is out of range: give a number from 0 to 60000" },
	{ GUEST "latency_target = 500\n",
	  "t.conf:2: unknown key 'latency_target' in [guest alice]; known keys: socket_owner, "
	  "socket_group, socket_mode, memory, group, own_worker, disk_weight, disk_min_iops, "
	  "disk_max_iops, disk_min_bandwidth, disk_max_bandwidth, disk_burst, nic_weight, nic_min_bandwidth, "
	  "nic_max_bandwidth, nic_max_pps, nic_burst" },
	{ GUEST "disk_wieght = 5\n",
	  "t.conf:2: unknown key 'disk_wieght' in [guest alice]; did you mean 'disk_weight'?" },
	{ GUEST "disk_min_iops = 500\ndisk_max_iops = 100\n",
	  "t.conf:3: disk_max_iops of [guest alice] is below its disk_min_iops; raise the limit to at least "
	  "the "
	  "reservation, or take one "
	  "of them out" },
	{ "[group gold]\ndisk_max_bandwidth = 1M\ndisk_min_bandwidth = 2M\n",
	  "t.conf:2: disk_max_bandwidth of [group gold] is below its disk_min_bandwidth; raise the limit to "
	  "at least "
	  "the reservation, or "
	  "take one of them out" },
	{ POOL GUEST "disk_max_iops = 100\n" DISK "min_iops = 500\n",
	  "t.conf:9: min_iops of [disk alice/root] is more than disk_max_iops of [guest alice] lets through; "
	  "lower it, or raise the "
	  "limit" },
	{ "[group gold]\ndisk_max_bandwidth = 1M\n" GUEST "group = gold\ndisk_min_bandwidth = 2M\n",
	  "t.conf:5: disk_min_bandwidth of [guest alice] is more than disk_max_bandwidth of [group gold] "
	  "lets through; "
	  "lower it, or raise "
	  "the limit" },
	{ GUEST NIC "max_iops = 5\n",
	  "t.conf:5: unknown key 'max_iops' in [nic alice/eth0]; did you mean 'max_pps'?" },
	{ GUEST NIC "weight = 0\n",
	  "t.conf:5: weight = 0 is out of range: give a number from 1 to 10000" },
	{ GUEST NIC "max_bandwidth = 1M\nmin_bandwidth = 2M\n",
	  "t.conf:5: max_bandwidth of [nic alice/eth0] is below its min_bandwidth; raise the limit to at "
	  "least the reservation, or take one of them out" },
	{ GUEST "nic_max_bandwidth = 1M\ndisk_max_bandwidth = 4M\n" NIC "min_bandwidth = 2M\n",
	  "t.conf:7: min_bandwidth of [nic alice/eth0] is more than nic_max_bandwidth of [guest alice] lets "
	  "through; lower it, or raise the limit" },
	{ "[group gold]\nnic_max_bandwidth = 1M\n" GUEST "group = gold\nnic_min_bandwidth = 2M\n",
	  "t.conf:5: nic_min_bandwidth of [guest alice] is more than nic_max_bandwidth of [group gold] lets "
	  "through; lower it, or raise the limit" },
	{ GUEST "group = gold\n",
	  "t.conf:2: the group 'gold' of [guest alice] is not declared; add a section [group gold]" },
	{ "[group gold]\n" GUEST "group = glod\n",
	  "t.conf:3: the group 'glod' of [guest alice] is not declared; did you mean group = gold?" },
	{ "[group a/b]\n",
	  "t.conf:1: bad name 'a/b' for a section of kind group: write it like [group gold], with letters, "
	  "digits, '.', '_' and '-' (not first), at most 63 characters" },
	{ POOL "capacity_iops = 5000\n",
	  "t.conf:4: [pool main] has capacity_iops without capacity_bandwidth; give both, or neither" },
	{ POOL "capacity_bandwidth = 1G\n",
	  "t.conf:4: [pool main] has capacity_bandwidth without capacity_iops; give both, or neither" },
	{ POOL "capacity_iops = 50000\ncapacity_bandwidth = 100M\n",
	  "t.conf:4: capacity_iops of [pool main], in requests of 4 KiB, moves more than its "
	  "capacity_bandwidth; lower it to 25600, "
	  "or raise the bandwidth" },
	{ POOL GUEST DISK "capacity_iops = 5000\ncapacity_bandwidth = 1G\n",
	  "t.conf:8: the capacity belongs to the pool of [disk alice/root]; set it in [pool main] and take "
	  "it out here" },
	{ POOL GUEST "[disk alice/own]\npath = /x\ncapacity_iops = 0\n",
	  "t.conf:7: capacity_iops = 0 is out of range: give a number from 1 to 1000000000" },
	{ "[daemon]\nstate_dir = state\n",
	  "t.conf:2: state_dir = state is not an absolute path: it must start with '/'" },
};

static void test_mistakes(void **state)
{
	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct config_messages messages = { .count = 0 };
		struct config *config = parse(mistakes[i].text, &messages);

		for (unsigned j = 0; messages.count != 1 && j < messages.kept; j++)
			print_message("%s\n", messages.text[j]);
		assert_int_equal(messages.count, 1);
		assert_string_equal(messages.text[0], mistakes[i].message);
		config_destroy(config);
		config_messages_finish(&messages);
	}
}

static void test_good(void **state)
{
	static const char text[] =
		POOL "capacity_iops = 5000\ncapacity_bandwidth = 200M\n"
		     "[group gold]\ndisk_weight = 400\ndisk_max_bandwidth = 1G\n" GUEST
		     "group = gold\ndisk_min_bandwidth = 10M\ndisk_max_bandwidth = 10M\n" DISK
		     "weight = 300\nmin_iops = 500\nmax_iops = 2000\nburst = 0\nlatency_target = 800\n";
	struct config_messages messages = { .count = 0 };
	struct config *config = parse(text, &messages);
	const struct config_pool *pool = (const struct config_pool *)config_pools(config);
	const struct config_guest *guest = (const struct config_guest *)config_guests(config);
	struct share_settings group, alice, root;
	const char *file;

	assert_int_equal(messages.count, 0);
	assert_int_equal(pool->capacity.iops, 5000);
	assert_int_equal(pool->capacity.bandwidth, 200 << 20);
	assert_string_equal(guest->group, "gold");
	group = config_share_of(config_groups(config)->section, SHARE_DISKS, config_groups(config));
	alice = config_share_of(config_guests(config)->section, SHARE_DISKS, config_guests(config));
	root = config_share_of(config_disks(config)->section, SHARE_DISKS, config_disks(config));
	assert_int_equal(group.value[SHARE_WEIGHT], 400);
	assert_int_equal(group.value[SHARE_MAX_BANDWIDTH], 1 << 30);
	assert_int_equal(group.value[SHARE_BURST], SHARE_BURST_MS_DEFAULT);
	assert_int_equal(alice.value[SHARE_WEIGHT], 0);		/* what its disks weigh */
	assert_int_equal(root.value[SHARE_WEIGHT], 300);
	assert_int_equal(alice.value[SHARE_MIN_BANDWIDTH], 10 << 20);
	assert_int_equal(alice.value[SHARE_LATENCY_TARGET], 0);
	assert_int_equal(root.value[SHARE_MIN_IOPS], 500);
	assert_int_equal(root.value[SHARE_MAX_IOPS], 2000);
	assert_int_equal(root.value[SHARE_BURST], 0);
	assert_int_equal(root.value[SHARE_LATENCY_TARGET], 800);
	assert_int_equal(config_share_line(config_disks(config), SHARE_DISKS, SHARE_MIN_IOPS, &file), 17);
	assert_int_equal(config_share_line(config_disks(config), SHARE_DISKS, SHARE_MIN_BANDWIDTH, &file), 0);
	config_destroy(config);
}

/* An object's shares of disks and of cards are two. */
static void test_two_resources(void **state)
{
	static const char text[] = GUEST "nic_max_pps = 9\ndisk_max_iops = 7\nnic_burst = 50\n" NIC
					 "weight = 300\nmin_bandwidth = 1M\nmax_pps = 5000\n";
	struct config_messages messages = { .count = 0 };
	struct config *config = parse(text, &messages);
	const struct config_object *guest = config_guests(config),
				   *nic = config_list(config, config_section_find("nic"));
	struct share_settings disks, nics, card;
	const char *file;

	assert_int_equal(messages.count, 0);
	disks = config_share_of(guest->section, SHARE_DISKS, guest);
	nics = config_share_of(guest->section, SHARE_NICS, guest);
	card = config_share_of(nic->section, SHARE_NICS, nic);
	assert_int_equal(disks.value[SHARE_MAX_IOPS], 7);
	assert_int_equal(disks.value[SHARE_BURST], SHARE_BURST_MS_DEFAULT);
	assert_int_equal(nics.value[SHARE_MAX_IOPS], 9);
	assert_int_equal(nics.value[SHARE_BURST], 50);
	assert_int_equal(nics.value[SHARE_WEIGHT], 0);		/* what its cards weigh */
	assert_int_equal(card.value[SHARE_WEIGHT], 300);
	assert_int_equal(card.value[SHARE_MIN_BANDWIDTH], 1 << 20);
	assert_int_equal(card.value[SHARE_MAX_IOPS], 5000);
	assert_int_equal(config_share_line(guest, SHARE_NICS, SHARE_MAX_IOPS, &file), 2);
	assert_int_equal(config_share_line(guest, SHARE_DISKS, SHARE_MAX_IOPS, &file), 3);
	assert_int_equal(config_share_line(nic, SHARE_DISKS, SHARE_WEIGHT, &file), 0);
	config_destroy(config);
}

/* The names that groups and guests had at first are read, with a warning each. */
static void test_old_names(void **state)
{
	static const char text[] = "[group gold]\nweight = 400\n" GUEST "max_iops = 7\ndisk_weight = 5\n";
	struct config_messages messages = { .count = 0 };
	struct config *config = parse(text, &messages);
	const struct config_object *group = config_groups(config), *guest = config_guests(config);
	const char *file;

	assert_int_equal(messages.count, 0);
	assert_int_equal(config_share_of(group->section, SHARE_DISKS, group).value[SHARE_WEIGHT], 400);
	assert_int_equal(config_share_of(guest->section, SHARE_DISKS, guest).value[SHARE_MAX_IOPS], 7);
	assert_int_equal(config_share_line(guest, SHARE_DISKS, SHARE_MAX_IOPS, &file), 4);
	assert_int_equal(config->warnings.count, 2);
	assert_string_equal(
		config->warnings.text[0],
		"t.conf:2: weight in [group gold] is called disk_weight now; the old name is read "
		"until version 1.0");
	config_destroy(config);

	config = parse(GUEST "disk_weight = 1\nweight = 2\n", &messages);
	assert_int_equal(messages.count, 1);
	assert_string_equal(messages.text[0], "t.conf:3: weight is already given at t.conf:2");
	config_messages_finish(&messages);
	config_destroy(config);
}

/*
 * Every setting is a key of [disk], and all but the latency target of the others; cards have no reservation
 * of requests either.
 */
static void test_every_section_has_the_keys(void **state)
{
	static const char *const cards[] = { "nic", "guest", "group" };
	const struct share_settings defaults =
		config_share_of(config_section_find("disk"), SHARE_DISKS, NULL);

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		assert_non_null(config_share_key(config_section_find("disk"), SHARE_DISKS, i));
		assert_true((config_share_key(config_section_find("guest"), SHARE_DISKS, i) != NULL) ==
			    (i != SHARE_LATENCY_TARGET));
		assert_true((config_share_key(config_section_find("group"), SHARE_DISKS, i) != NULL) ==
			    (i != SHARE_LATENCY_TARGET));
		assert_null(config_share_key(config_section_find("pool"), SHARE_DISKS, i));
		assert_null(config_share_key(config_section_find("disk"), SHARE_NICS, i));
		assert_null(config_share_key(config_section_find("nic"), SHARE_DISKS, i));
		for (unsigned j = 0; j < sizeof(cards) / sizeof(cards[0]); j++)
			assert_int_equal(!config_share_key(config_section_find(cards[j]), SHARE_NICS, i),
					 i == SHARE_LATENCY_TARGET || i == SHARE_MIN_IOPS);
	}
	assert_int_equal(defaults.value[SHARE_WEIGHT], SCHEDULER_WEIGHT_DEFAULT);
	assert_int_equal(defaults.value[SHARE_BURST], SHARE_BURST_MS_DEFAULT);
	assert_int_equal(defaults.value[SHARE_MAX_IOPS], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes), cmocka_unit_test(test_good),
		cmocka_unit_test(test_two_resources), cmocka_unit_test(test_old_names),
		cmocka_unit_test(test_every_section_has_the_keys),
	};

	return cmocka_run_group_tests_name("config_share", tests, NULL, NULL);
}
