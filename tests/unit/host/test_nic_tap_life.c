/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap whose interface goes and comes back, or is handed over. */
#include "nic_tap_fixture.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>

static void test_link_goes_and_comes(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture, &plain);
	command("ip link set %s down", fixture.name);
	await_link(&fixture, 1, false);
	frame_fill(frame, sizeof(frame), 1);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 0);
	command("ip link set %s up", fixture.name);
	await_link(&fixture, 2, true);
	meet(&fixture);
	finish(&fixture);
}

/* Before the loop has heard of it. */
static void test_frames_for_an_interface_that_is_down(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture, &plain);
	frame_fill(frame, sizeof(frame), 1);
	command("ip link set %s down", fixture.name);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	command("ip link del %s", fixture.name);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 2);
	finish(&fixture);
}

static void test_deleted_interface_is_made_again(void **state)
{
	struct nic_tap_options options = { .name = "again0", .fd = -1, .offload = true };
	uint8_t address[6];
	struct fixture fixture;

	start(&fixture, &options);
	assert_string_equal(fixture.name, "again0");
	memcpy(address, fixture.nic->address, 6);
	for (unsigned round = 0; round < 3; round++) {
		struct ifreq ifreq = { .ifr_name = "again0" };
		unsigned before = if_nametoindex("again0");

		command("ip link del again0");
		AWAIT(if_nametoindex("again0") > before && nic_is_up(fixture.nic),
		      loop_turn(fixture.loop, TURN_NS));
		close(fixture.peer);
		fixture.peer = peer_open("again0");
		assert_int_equal(ioctl(fixture.peer, SIOCGIFHWADDR, &ifreq), 0);
		assert_memory_equal(ifreq.ifr_hwaddr.sa_data, address, 6);
		meet(&fixture);
	}
	finish(&fixture);
}

static void test_persistent_interface_is_waited_for(void **state)
{
	struct nic_tap_options options = { .name = "stay0", .fd = -1, .offload = true };
	struct fixture fixture;
	uint8_t frame[60] = { 0 };

	need_tap();
	command("ip tuntap add stay0 mode tap vnet_hdr");
	command("ip link set stay0 mtu 1400");
	start(&fixture, &options);
	assert_int_equal(fixture.nic->sends.mtu, 1400);
	/* Its state is not ours to change. */
	assert_false(nic_is_up(fixture.nic));
	command("ip link set stay0 up");
	await_link(&fixture, 1, true);
	meet(&fixture);
	command("ip link del stay0");
	await_link(&fixture, 2, false);
	assert_int_equal(if_nametoindex("stay0"), 0);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	command("ip tuntap add stay0 mode tap vnet_hdr");
	command("ip link set stay0 up");
	await_link(&fixture, 3, true);
	close(fixture.peer);
	fixture.peer = peer_open("stay0");
	meet(&fixture);
	/* A channel that opens while there is none waits as well. */
	command("ip link del stay0");
	await_link(&fixture, 4, false);
	port_finish(&fixture.port);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	assert_false(nic_is_up(fixture.nic));
	command("ip tuntap add stay0 mode tap vnet_hdr");
	command("ip link set stay0 up");
	await_link(&fixture, 1, true);
	command("ip link del stay0");
	finish(&fixture);
}

static void test_renamed_interface_is_followed(void **state)
{
	struct fixture fixture;
	char name[NIC_NAME_BYTES];

	start(&fixture, &plain);
	command("ip link set %s down", fixture.name);
	command("ip link set %s name other0", fixture.name);
	command("ip link set other0 up");
	AWAIT(nic_is_up(fixture.nic) && (nic_tap_name(fixture.nic, name), strcmp(name, "other0") == 0),
	      loop_turn(fixture.loop, TURN_NS));
	meet(&fixture);
	command("ip link set other0 down");
	AWAIT(!nic_is_up(fixture.nic), loop_turn(fixture.loop, TURN_NS));
	finish(&fixture);
}

static void test_descriptor_is_handed_over(void **state)
{
	struct nic_tap_options options = { .name = "hand0", .fd = -1, .offload = true };
	struct fixture fixture;
	uint8_t address[6];

	start(&fixture, &options);
	memcpy(address, fixture.nic->address, 6);
	assert_int_equal(fixture.nic->ops->channel_fd(fixture.nic, 1), -1);
	options.fd = dup(fixture.nic->ops->channel_fd(fixture.nic, 0));
	options.name = NULL;
	assert_true(options.fd >= 0);
	finish(&fixture);
	assert_true(if_nametoindex("hand0") > 0);

	start(&fixture, &options);
	assert_string_equal(fixture.name, "hand0");
	assert_memory_equal(fixture.nic->address, address, 6);
	assert_int_equal(fixture.nic->ops->channel_fd(fixture.nic, 0), options.fd);
	assert_true(nic_is_up(fixture.nic));
	peer_to_nic(&fixture, 60, 1);
	nic_to_peer(&fixture, 60, 2);
	finish(&fixture);
}

static void test_descriptors_of_another_kind(void **state)
{
	struct nic_tap_options options = { .fd = -1 };
	struct ifreq ifreq = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	struct host_nic *nic = NULL;
	int fd;

	need_tap();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	options.fd = fd;
	assert_int_equal(nic_tap_open(&options, &nic), -ENOTTY);
	close(fd);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	options.fd = fd;
	assert_int_equal(nic_tap_open(&options, &nic), -ENODEV);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifreq), 0);
	assert_int_equal(nic_tap_open(&options, &nic), -EINVAL);
	/* It is still ours. */
	assert_int_equal(ioctl(fd, TUNGETIFF, &ifreq), 0);
	close(fd);
	assert_null(nic);
}

static void test_open_refuses_wrong_options(void **state)
{
	static const struct nic_tap_options wrong[] = {
		{ .fd = -1, .name = "a-name-that-is-too-long" },
		{ .fd = -1, .channels = 65 },
		{ .fd = -1, .name = "lo" },
	};
	struct host_nic *nic = NULL;

	need_tap();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nic_tap_open(&wrong[i], &nic), -EINVAL);
	assert_null(nic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_goes_and_comes),
		cmocka_unit_test(test_frames_for_an_interface_that_is_down),
		cmocka_unit_test(test_deleted_interface_is_made_again),
		cmocka_unit_test(test_persistent_interface_is_waited_for),
		cmocka_unit_test(test_renamed_interface_is_followed),
		cmocka_unit_test(test_descriptor_is_handed_over),
		cmocka_unit_test(test_descriptors_of_another_kind),
		cmocka_unit_test(test_open_refuses_wrong_options),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
