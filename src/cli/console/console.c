/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct console`: what a guest says on its console, and keys for it. The daemon's stream tells where it
 * begins, so that after a takeover, or when it was too slow, this goes on where it stood.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/console/console_names.h"
#include "cli/terminal_mode.h"
#include "cli/console/typing.h"
#include "core/clock.h"

#define POSITION_HEADER "Viaduct-Position"
/* Between two attempts to attach again, and how long there are any: a restart of the daemon takes less. */
#define AGAIN_MS   100
#define PATIENCE_S 30
/* A daemon that hangs holds up keys no longer than this. */
#define KEY_TIMEOUT_S 5

struct console {
	const struct cli_command *command;
	const char *name;
	char *path, *attach_path, *input_path;
	struct api_client *stream;
	struct terminal_mode *terminal;
	struct typing typing;
	bool scrollback;
	bool over;		 /* detached, or a signal came */
	bool answered;		 /* the daemon's stream has begun, since it was asked for last */
	bool positioned;	 /* `position` is known: where the next byte stands */
	uint64_t position, life; /* positions of another life of the daemon's are others */
	uint64_t linger_ns;	 /* after the input's end, of silence */
	uint64_t heard_ns;
	uint64_t away_ns; /* since when there is no stream; 0: there is */
	int error;	  /* of writing; 0 or -errno */
};

/* On a line of its own, whatever the guest was about to say. */
static void tell(const struct console *console, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void tell(const struct console *console, const char *format, ...)
{
	const char *end = terminal_mode_is_on(console->terminal) ? "\r\n" : "\n";
	va_list arguments;

	fprintf(stderr, "%s[viaduct: ", end);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "]%s", end);
}

/* ---- what the guest says ---- */

static bool take(void *context, const uint8_t *bytes, size_t count)
{
	struct console *console = context;

	console->position += count;
	console->heard_ns = clock_now_ns();
	while (count > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, count);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			console->error = -errno;
			console->over = true;
			return false;
		}
		bytes += written;
		count -= (size_t)written;
	}
	return true;
}

/* A serial port has no size, and a daemon that is away learns it later: what fails is no matter. */
static void tell_size(struct console *console)
{
	struct winsize size;
	json_t *body;

	if (!terminal_mode_is_on(console->terminal) || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 ||
	    size.ws_col == 0 || size.ws_row == 0)
		return;
	body = json_pack("{s:i, s:i}", "columns", (int)size.ws_col, "rows", (int)size.ws_row);
	api_call(console->typing.client, "PATCH", console->path, body, NULL);
	json_decref(body);
}

static void header(void *context, const char *name, const char *value)
{
	struct console *console = context;
	const char *parameter = strstr(value, "life=");
	uint64_t position, life;

	if (strcasecmp(name, POSITION_HEADER) != 0)
		return;
	position = strtoull(value, NULL, 10);
	life = parameter ? strtoull(parameter + strlen("life="), NULL, 10) : 0;
	if (console->positioned && life == console->life && position > console->position)
		tell(console, "%llu bytes missed", (unsigned long long)(position - console->position));
	console->answered = console->positioned = true;
	tell_size(console);
	console->position = position;
	console->life = life;
	console->heard_ns = clock_now_ns();
	console->away_ns = 0;
}

/* ---- meanwhile ---- */

static void take_events(struct console *console)
{
	enum terminal_event event;

	while ((event = terminal_mode_take(console->terminal)) != TERMINAL_NOTHING) {
		if (event == TERMINAL_ENDED)
			console->over = true;
		else
			tell_size(console);
	}
}

static void type(struct console *console)
{
	struct typing *typing = &console->typing;
	bool was_alone = typing->alone;

	typing_read(typing);
	typing_send(typing, clock_now_ns());
	if (typing->alone && !was_alone)
		tell(console, "%s",
		     typing->terminal ? "no VMM is connected: what you type is dropped"
				      : "no VMM is connected: waiting for one");
	if (typing->detached || (typing->ended && typing->terminal))
		console->over = true;
}

static int ms_until(uint64_t deadline_ns, uint64_t now_ns, int at_most_ms)
{
	uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;

	return left_ms < (uint64_t)at_most_ms ? (int)left_ms : at_most_ms;
}

static bool before_wait(void *context, struct api_wait *wait)
{
	struct console *console = context;
	const struct typing *typing = &console->typing;
	uint64_t now_ns;

	take_events(console);
	type(console);
	now_ns = clock_now_ns();
	wait->fds[wait->fd_count++] = terminal_mode_fd(console->terminal);
	if (typing_has_room(typing))
		wait->fds[wait->fd_count++] = STDIN_FILENO;
	if (typing->bytes > 0)
		wait->timeout_ms = ms_until(typing->retry_ns, now_ns, wait->timeout_ms);
	if (typing->ended && typing->bytes == 0 && console->answered) {
		uint64_t deadline_ns = console->heard_ns + console->linger_ns;

		console->over = console->over || now_ns >= deadline_ns;
		wait->timeout_ms = ms_until(deadline_ns, now_ns, wait->timeout_ms);
	}
	return !console->over;
}

/* ---- attaching ---- */

static int attach(struct console *console)
{
	json_t *body = console->positioned ? json_pack("{s:I, s:I}", "from", (json_int_t)console->position,
						       "life", (json_int_t)console->life)
					   : json_pack("{s:b}", "scrollback", console->scrollback ? 1 : 0);
	const struct api_follow_options options = {
		.path = console->attach_path,
		.body = body,
		.take = take,
		.header = header,
		.before_wait = before_wait,
		.context = console,
	};
	int error;

	console->answered = false;
	error = api_follow(console->stream, &options);
	json_decref(body);
	return error;
}

/* Keys are heard while there is no stream, too. */
static void pause_a_while(struct console *console)
{
	uint64_t until_ns = clock_now_ns() + AGAIN_MS * NS_PER_MS;

	while (!console->over && clock_now_ns() < until_ns) {
		struct api_wait wait = { .timeout_ms = AGAIN_MS };
		struct pollfd fds[API_WAIT_FDS];

		if (!before_wait(console, &wait))
			return;
		for (unsigned i = 0; i < wait.fd_count; i++)
			fds[i] = (struct pollfd){ .fd = wait.fds[i], .events = POLLIN };
		poll(fds, wait.fd_count, ms_until(until_ns, clock_now_ns(), wait.timeout_ms));
	}
}

/* Is it worth while to try again? The daemon may be handing over, or be restarted. */
static bool may_come_back(struct console *console, int error)
{
	uint64_t now_ns = clock_now_ns();

	if (!console->positioned || error == -ENOENT || error == -EINVAL || error == -EACCES)
		return false;
	if (console->away_ns == 0)
		console->away_ns = now_ns;
	else if (now_ns - console->away_ns > PATIENCE_S * NS_PER_S)
		return false;
	return true;
}

static int follow(struct console *console)
{
	for (;;) {
		uint64_t before = console->position;
		int error = attach(console);

		if (console->over)
			return CLI_OK;
		if (error && !may_come_back(console, error))
			return cli_fail(console->command, "%s", api_client_error(console->stream));
		/* Cut off, it goes on at once. */
		if (error || !console->answered || console->position == before)
			pause_a_while(console);
		if (console->over)
			return CLI_OK;
	}
}

/* ---- the whole ---- */

static int run(struct cli *cli, struct console *console)
{
	char key[TYPING_KEY_SIZE];
	int error = api_client_create(cli->runtime_dir, &console->stream), result;

	if (!error)
		error = api_client_create(cli->runtime_dir, &console->typing.client);
	console->path = cli_api_path("/v1/consoles", console->name);
	if (!error && (asprintf(&console->attach_path, "%s/attach", console->path) < 0 ||
		       asprintf(&console->input_path, "%s/input", console->path) < 0))
		error = -ENOMEM;
	if (!error)
		error = terminal_mode_create(TERMINAL_WIRE, &console->terminal);
	if (error)
		return cli_fail(console->command, "%s", strerror(-error));
	console->typing.path = console->input_path;
	console->typing.terminal = terminal_mode_is_on(console->terminal);
	api_client_set_patience(console->typing.client, KEY_TIMEOUT_S, NULL, NULL);
	if (console->typing.terminal && console->typing.detach_key >= 0)
		tell(console, "%s; %s detaches", console->name,
		     typing_key_name(console->typing.detach_key, key));
	result = follow(console);
	if (console->typing.detached)
		tell(console, "detached");
	return result;
}

static int finish(struct console *console, int result)
{
	int number = console->terminal ? terminal_mode_end_signal(console->terminal) : 0;

	terminal_mode_destroy(console->terminal);
	api_client_destroy(console->stream);
	api_client_destroy(console->typing.client);
	free(console->path);
	free(console->attach_path);
	free(console->input_path);
	if (number) {
		signal(number, SIG_DFL);
		raise(number);
	}
	/* A reader that has seen enough, as head(1), is no failure. */
	if (console->error && console->error != -EPIPE)
		return cli_fail(console->command, "standard output: %s", strerror(-console->error));
	return result;
}

static int parse_seconds(const struct cli_command *command, const char *text, uint64_t *ret_ns)
{
	char *end = NULL;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 1e6))
		return cli_usage(command, "--linger: \"%s\" is no number of seconds", text);
	*ret_ns = (uint64_t)(seconds * (double)NS_PER_S);
	return CLI_OK;
}

static int attach_to(struct cli *cli, struct console *console, const char *word)
{
	char name[CONSOLE_NAME_SIZE];
	int result = console_name_find(cli, console->command, word, name);

	if (result != CLI_OK)
		return result;
	signal(SIGPIPE, SIG_IGN);
	console->name = name;
	return finish(console, run(cli, console));
}

int command_console(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *escape = "^]", *linger = "1";
	bool no_scrollback = false;
	const struct cli_option options[] = { { "escape", &escape, NULL },
					      { "no-scrollback", NULL, &no_scrollback },
					      { "linger", &linger, NULL },
					      { 0 } };
	struct cli_arguments arguments;
	struct console *console;
	int result = cli_parse(cli, command, argc, argv, options, 0, 1, &arguments);

	if (result != CLI_OK || arguments.count == 0)
		return result == CLI_OK ? console_list(cli, command, argc, argv) : result;
	if (cli->json)
		return cli_usage(command, "there is no JSON of what a guest says");
	console = calloc(1, sizeof(*console));
	if (!console)
		return cli_fail(command, "out of memory");
	console->command = command;
	console->scrollback = !no_scrollback;
	result = parse_seconds(command, linger, &console->linger_ns);
	if (result == CLI_OK && !typing_parse_key(escape, &console->typing.detach_key))
		result = cli_usage(command, "--escape: \"%s\" is no key; write ^], ^a, ~ or none", escape);
	if (result == CLI_OK)
		result = attach_to(cli, console, arguments.words[0]);
	free(console);
	return result;
}
