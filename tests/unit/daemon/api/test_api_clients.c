/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections begin, in which order, and which ones go, with a server that does nothing but remember.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "daemon/api/api_clients.h"

#define CONNECTIONS_MAX 256

struct connection {
	int ours, client;
	void *context; /* the server's, once it has begun */
	bool begun;
};

struct server {
	struct loop *loop;
	struct api_clients clients;
	struct connection connections[CONNECTIONS_MAX];
	unsigned count;
	unsigned order[CONNECTIONS_MAX]; /* in which they began */
	unsigned begun;
	bool refuses;
};

static int set_up(void **state)
{
	static struct server server;
	const struct loop_options options = { .name = "test" };

	server = (struct server){ 0 };
	if (loop_create(&options, &server.loop) != 0)
		return -1;
	api_clients_init(&server.clients, server.loop);
	*state = &server;
	return 0;
}

static int tear_down(void **state)
{
	struct server *server = *state;

	for (unsigned i = 0; i < server->count; i++) {
		if (server->connections[i].begun) {
			api_clients_notify(&server->clients, NULL, &server->connections[i].context,
					   MHD_CONNECTION_NOTIFY_CLOSED);
			close(server->connections[i].ours);
		}
		close(server->connections[i].client);
	}
	api_clients_finish(&server->clients);
	loop_destroy(server->loop);
	return 0;
}

/* Returns its number. */
static unsigned arrive(struct server *server, uid_t user, pid_t process)
{
	struct connection *new = &server->connections[server->count];
	int pair[2];

	assert_true(server->count < CONNECTIONS_MAX);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	*new = (struct connection){ .ours = pair[0], .client = pair[1] };
	api_clients_arrive(&server->clients, new->ours, &(struct ucred){ .uid = user, .pid = process });
	return server->count++;
}

static bool is_over(const struct server *server, unsigned number)
{
	char byte;

	return recv(server->connections[number].client, &byte, 1, MSG_DONTWAIT) == 0;
}

static bool enter(void *context, int fd)
{
	struct server *server = context;
	unsigned number = server->count - 1;

	/* Descriptors are used again: the youngest with this one is it. */
	while (server->connections[number].ours != fd)
		number--;
	if (server->refuses) {
		close(fd);
		return false;
	}
	api_clients_notify(&server->clients, NULL, &server->connections[number].context,
			   MHD_CONNECTION_NOTIFY_STARTED);
	server->connections[number].begun = true;
	server->order[server->begun++] = number;
	return true;
}

static bool admit(struct server *server)
{
	return api_clients_admit(&server->clients, enter, server);
}

static void test_one_of_each_process_begins(void **state)
{
	struct server *server = *state;
	unsigned first = arrive(server, 0, 1), second = arrive(server, 0, 1), third = arrive(server, 0, 1);
	unsigned other = arrive(server, 0, 2), user = arrive(server, 7, 1);

	assert_true(admit(server));
	assert_int_equal(server->begun, 3);
	assert_int_equal(server->order[0], first);
	assert_int_equal(server->order[1], other);
	assert_int_equal(server->order[2], user);
	assert_true(admit(server));
	assert_false(admit(server));
	assert_int_equal(server->begun, 5);
	assert_int_equal(server->order[3], second);
	assert_int_equal(server->order[4], third);
	assert_false(admit(server));
}

static void test_a_flood_loses_what_has_not_begun(void **state)
{
	struct server *server = *state;

	for (unsigned i = 0; i < 200; i++)
		arrive(server, 0, 1);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(is_over(server, i), i < 200 - API_CONNECTIONS_PROCESS);
	assert_int_equal(server->clients.count, API_CONNECTIONS_PROCESS);
	arrive(server, 0, 2);
	assert_true(admit(server));
	assert_int_equal(server->begun, 2);
	assert_int_equal(server->order[0], 200 - API_CONNECTIONS_PROCESS);
	assert_int_equal(server->order[1], 200);
}

static void test_many_processes_lose_theirs(void **state)
{
	struct server *server = *state;
	unsigned patient = arrive(server, 7, 1);

	admit(server);
	for (unsigned i = 0; i < API_CONNECTIONS_MAX + 10; i++)
		arrive(server, 0, (pid_t)(100 + i / 4));
	assert_int_equal(server->clients.count, API_CONNECTIONS_MAX);
	assert_false(is_over(server, patient));
	for (unsigned i = 1; i < server->count; i++)
		assert_int_equal(is_over(server, i), i <= 44 && i % 4 == 1);
}

static void test_one_that_was_ended_makes_room_at_once(void **state)
{
	struct server *server = *state;

	for (unsigned i = 0; i < API_CONNECTIONS_PROCESS; i++)
		arrive(server, 0, 1);
	while (admit(server))
		;
	/* The server has not seen yet that they are over: they count no more. */
	for (unsigned i = 0; i < 3; i++)
		arrive(server, 0, 1);
	assert_int_equal(server->clients.count, API_CONNECTIONS_PROCESS);
	for (unsigned i = 0; i < server->count; i++)
		assert_int_equal(is_over(server, i), i < 3);
}

static void test_a_server_that_is_full(void **state)
{
	struct server *server = *state;

	server->refuses = true;
	arrive(server, 0, 1);
	arrive(server, 0, 1);
	assert_true(admit(server));
	assert_false(admit(server));
	assert_int_equal(server->clients.count, 0);
	assert_null(server->clients.processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_of_each_process_begins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_flood_loses_what_has_not_begun, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_processes_lose_theirs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_that_was_ended_makes_room_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_server_that_is_full, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
