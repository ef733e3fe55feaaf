/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-net-client: guests on cards of a running viaductd, for bench/net. Prints "running" when all of them
 * have begun, and one JSON object at the end, which is when the guests with a number of frames have exchanged
 * them, after --seconds, or at SIGTERM.
 */
#include "net_client.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

#define WARM_NS (50 * NS_PER_MS)
/* At most, for guests that have not seen enough. */
#define PROLONGED_NS (60 * NS_PER_S)
#define RANDOM_0     0x9e3779b97f4a7c15ull

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	stopped = 1;
}

uint64_t client_random(struct client *client)
{
	client->random ^= client->random << 13;
	client->random ^= client->random >> 7;
	client->random ^= client->random << 17;
	return client->random;
}

/* ---- what was asked for ---- */

static _Noreturn void usage(const char *fault)
{
	fprintf(stderr,
		"viaduct-net-client: %s\n"
		"usage: viaduct-net-client [--seconds S] [--frames N] NAME,SOCKET,MAC,ROLE[,PEER[,BYTES]] "
		"...\n",
		fault);
	exit(2);
}

static const struct role *role_named(const char *name)
{
	static const struct role *const others[] = {
		&client_ping_role,    &client_echo_role, &client_exchange_role,
		&client_mallory_role, &client_sink_role, NULL,
	};

	for (const struct role *const *role = others; *role; role++)
		if (strcmp((*role)->name, name) == 0)
			return *role;
	for (const struct role *const *role = client_flood_roles; *role; role++)
		if (strcmp((*role)->name, name) == 0)
			return *role;
	usage("no such role");
}

static void parse_name(const char *text, char name[CLIENT_NAME_SIZE])
{
	if (strlen(text) >= CLIENT_NAME_SIZE)
		usage("a name is too long");
	snprintf(name, CLIENT_NAME_SIZE, "%s", text);
}

static bool parse_address(const char *text, uint8_t address[FRAME_ADDRESS_BYTES])
{
	for (unsigned i = 0; i < FRAME_ADDRESS_BYTES; i++) {
		char *end;
		unsigned long byte = strtoul(text, &end, 16);

		if (end != text + 2 || byte > 0xff || *end != (i + 1 < FRAME_ADDRESS_BYTES ? ':' : '\0'))
			return false;
		address[i] = (uint8_t)byte;
		text = end + 1;
	}
	return true;
}

static void parse_guest(struct client *client, char *text)
{
	struct guest *guest = &client->guest[client->guests];
	const char *mac, *name, *role, *more;

	if (client->guests++ == CLIENT_GUESTS_MAX)
		usage("too many guests");
	name = strtok(text, ",");
	guest->path = strtok(NULL, ",");
	mac = strtok(NULL, ",");
	role = strtok(NULL, ",");
	if (!role || !parse_address(mac, guest->address))
		usage("a guest is NAME,SOCKET,MAC,ROLE");
	parse_name(name, guest->name);
	guest->role = role_named(role);
	guest->client = client;
	more = strtok(NULL, ",");
	parse_name(more ? more : "", guest->peer_name);
	more = strtok(NULL, ",");
	guest->frame_bytes = more ? (uint32_t)strtoul(more, NULL, 10) : FRAME_BYTES_LEAST;
	if (guest->frame_bytes < FRAME_BYTES_LEAST || guest->frame_bytes > FRAME_BYTES_MOST)
		usage("frames have 64 to 1514 bytes");
}

static void parse(struct client *client, int count, char **arguments)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "frames", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	double seconds = 600;
	int option;

	while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
		if (option == 's')
			seconds = strtod(optarg, NULL);
		else if (option == 'f')
			client->frames = strtoull(optarg, NULL, 10);
		else
			usage("no such option");
	}
	for (; optind < count; optind++)
		parse_guest(client, arguments[optind]);
	client->end_ns = WARM_NS + (uint64_t)(seconds * NS_PER_S);
}

static void find_peers(struct client *client)
{
	for (unsigned i = 0; i < client->guests; i++) {
		struct guest *guest = &client->guest[i];

		for (unsigned k = 0; k < client->guests; k++)
			if (strcmp(client->guest[k].name, guest->peer_name) == 0)
				guest->peer = &client->guest[k];
		if (*guest->peer_name && !guest->peer && strcmp(guest->peer_name, "world") != 0)
			usage("no such peer");
	}
}

/* ---- a run ---- */

static void connect_all(struct client *client)
{
	for (unsigned i = 0; i < client->guests; i++) {
		struct guest *guest = &client->guest[i];

		card_connect(&guest->card, guest->path, guest->role->features, guest->role->slot_bytes);
		guest->state = calloc(1, guest->role->state_bytes + 1);
		card_check(guest->state ? 0 : -ENOMEM, "state of a guest");
	}
	for (unsigned i = 0; i < client->guests; i++)
		if (client->guest[i].role->begin)
			client->guest[i].role->begin(&client->guest[i]);
}

/* There are guests that finish, and all of these have. */
static bool all_finished(struct client *client, uint64_t now_ns)
{
	bool some = false;

	for (unsigned i = 0; i < client->guests; i++) {
		struct guest *guest = &client->guest[i];

		if (!guest->role->finished)
			continue;
		if (!guest->role->finished(guest, now_ns))
			return false;
		some = true;
	}
	return some;
}

static bool all_enough(const struct client *client)
{
	for (unsigned i = 0; i < client->guests; i++)
		if (client->guest[i].role->enough && !client->guest[i].role->enough(&client->guest[i]))
			return false;
	return true;
}

static bool run_ends(struct client *client, uint64_t now_ns)
{
	if (stopped || now_ns >= client->end_ns + PROLONGED_NS)
		return true;
	return (now_ns >= client->end_ns || all_finished(client, now_ns)) && all_enough(client);
}

static void run(struct client *client)
{
	uint64_t now_ns = clock_now_ns();

	client->cpu_ns = clock_thread_ns();
	client->begin_ns = now_ns;
	client->warm_ns = now_ns + WARM_NS;
	client->end_ns += now_ns;
	for (uint64_t turn = 0; !run_ends(client, now_ns); turn++) {
		for (unsigned i = 0; i < client->guests; i++) {
			struct guest *guest = &client->guest[i];

			if (turn % (guest->role->turns_between + 1) == 0)
				guest->role->turn(guest, now_ns);
		}
		now_ns = clock_now_ns();
	}
	client->end_ns = now_ns;
	client->cpu_ns = clock_thread_ns() - client->cpu_ns;
}

/* ---- what came of it ---- */

static void report(const struct client *client)
{
	const struct verdict *verdict = &client->verdict;
	double seconds = (double)(client->end_ns - client->begin_ns) / NS_PER_S;

	printf("{\"seconds\": %.6f, \"cpu_share\": %.4f, \"verdict\": {\"judged\": %llu, \"leaked\": %llu, "
	       "\"spoofed\": %llu, \"duplicated\": %llu, \"reordered\": %llu, \"damaged\": %llu}, "
	       "\"guests\": {",
	       seconds, (double)client->cpu_ns / NS_PER_S / seconds, (unsigned long long)verdict->judged,
	       (unsigned long long)verdict->leaked, (unsigned long long)verdict->spoofed,
	       (unsigned long long)verdict->duplicated, (unsigned long long)verdict->reordered,
	       (unsigned long long)verdict->damaged);
	for (unsigned i = 0; i < client->guests; i++) {
		const struct guest *guest = &client->guest[i];

		printf("%s\"%s\": {", i ? ", " : "", guest->name);
		if (guest->role->report)
			guest->role->report(guest, stdout);
		printf("\"role\": \"%s\"}", guest->role->name);
	}
	printf("}}\n");
}

int main(int count, char **arguments)
{
	static struct client client = { .random = RANDOM_0 };

	signal(SIGTERM, stop);
	parse(&client, count, arguments);
	find_peers(&client);
	client.secret = client_random(&client) ^ clock_now_ns();
	connect_all(&client);
	printf("running\n");
	fflush(stdout);
	run(&client);
	report(&client);
	for (unsigned i = 0; i < client.guests; i++) {
		card_close(&client.guest[i].card);
		if (client.guest[i].role->end)
			client.guest[i].role->end(&client.guest[i]);
		free(client.guest[i].state);
	}
	return 0;
}
