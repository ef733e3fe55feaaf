/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct top`: samples the daemon (top_sample.h), makes rates of two samples (top_rates.h) and shows them
 * (top_screen.h), once or until it is ended. A daemon that goes away is waited for.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/top/top_json.h"
#include "cli/top/top_resource.h"
#include "cli/top/top_screen.h"
#include "core/clock.h"

#define INTERVAL_MIN_NS (100 * NS_PER_MS)
#define INTERVAL_MAX_NS (3600 * NS_PER_S)
#define SOON_NS		(300 * NS_PER_MS)	/* the second sample of a pair */
#define PATIENCE_S	5L

struct top {
	struct api_client *client;
	struct terminal *terminal;
	struct top_screen screen;
	struct top_sample *before, *now;	/* the last two; NULL: none yet */
	struct top_view *view;
	char trouble[256];
	uint64_t next_ns;	/* when to take the next sample */
};

/* ---- samples ---- */

/* Returns 0 or as api_call(). */
static int take_sample(struct api_client *client, struct top_sample **ret_sample)
{
	json_t *status, *guests = NULL;
	int error = api_call(client, "GET", "/v1/status", NULL, &status);

	if (error)
		return error;
	/* Without the guests their settings are missing, nothing else. */
	if (!json_object_get(status, "guests"))
		api_call(client, "GET", "/v1/guests", NULL, &guests);
	*ret_sample = top_sample_parse(status, guests, clock_now_ns());
	json_decref(status);
	json_decref(guests);
	return 0;
}

static void keep_sample(struct top *top, struct top_sample *sample)
{
	top_sample_destroy(top->before);
	top->before = top->now;
	top->now = sample;
}

static void update_view(struct top *top)
{
	top_view_destroy(top->view);
	top->view = top_view_create(top->before, top->now, top->screen.kind);
	top_sort(top->view, &top->screen);
}

/* ---- once ---- */

static void sleep_ns(uint64_t ns)
{
	struct timespec left = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int print_once(struct top *top, struct cli *cli, const struct cli_command *command)
{
	struct top_sample *sample;

	for (int i = 0; i < 2; i++) {
		if (i > 0)
			sleep_ns(top->screen.interval_ns);
		if (take_sample(top->client, &sample))
			return cli_fail(command, "%s", api_client_error(top->client));
		keep_sample(top, sample);
	}
	if (cli->json) {
		json_t *json = top_json(top->before, top->now);

		cli_print_json(json);
		json_decref(json);
		return CLI_OK;
	}
	top->screen.width = cli_terminal_width(STDOUT_FILENO);
	update_view(top);
	top_draw(top->view, &top->screen, stdout);
	return CLI_OK;
}

/* ---- live ---- */

static bool is_wanted_elsewhere(void *context)
{
	const struct top *top = context;

	return terminal_pending(top->terminal);
}

static void note_trouble(struct top *top)
{
	const char *sentence = api_client_error(top->client);
	size_t length = strcspn(sentence, ";\n");	/* the advice behind it is for those who start */

	if (length >= sizeof(top->trouble))
		length = sizeof(top->trouble) - 1;
	memcpy(top->trouble, sentence, length);
	top->trouble[length] = '\0';
	top->screen.trouble = top->trouble;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Takes a sample when it is time to; a call that a key broke off is made again. */
static void refresh(struct top *top)
{
	uint64_t now_ns = clock_now_ns(), wait_ns = top->screen.interval_ns;
	struct top_sample *sample;

	if (top->screen.paused || now_ns < top->next_ns)
		return;
	if (take_sample(top->client, &sample) == 0) {
		keep_sample(top, sample);
		update_view(top);
		top->screen.trouble = NULL;
		if (!top->view->measured)
			wait_ns = earlier(wait_ns, SOON_NS);
	} else if (terminal_pending(top->terminal)) {
		return;
	} else {
		note_trouble(top);
		wait_ns = earlier(wait_ns, NS_PER_S);
	}
	top->next_ns = now_ns + wait_ns;
}

static void show(struct top *top)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	terminal_size(top->terminal, &top->screen.width, &top->screen.height);
	top_draw(top->view, &top->screen, out);
	fclose(out);
	terminal_show(top->terminal, text);
	free(text);
}

/* ---- keys ---- */

static void scroll(struct top *top, int key)
{
	size_t page = top_rows_shown(top->view, &top->screen), *first = &top->screen.scroll;
	size_t last = top->view->row_count - page,
	       step = key == KEY_PAGE_UP || key == KEY_PAGE_DOWN ? page : 1;

	if (*first > last)
		*first = last;
	if (key == KEY_HOME)
		*first = 0;
	else if (key == KEY_END)
		*first = last;
	else if (key == KEY_UP || key == KEY_PAGE_UP)
		*first -= *first < step ? *first : step;
	else
		*first += last - *first < step ? last - *first : step;
}

/* 0.1, 0.2, 0.5, 1, 2, 5 … s. */
static void change_interval(struct top *top, bool longer)
{
	static const uint64_t steps_ms[] = { 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000 };
	uint64_t now_ms = top->screen.interval_ns / NS_PER_MS, found_ms = now_ms;

	for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
		if (!longer && steps_ms[i] < now_ms)
			found_ms = steps_ms[i];
		if (longer && steps_ms[i] > now_ms) {
			found_ms = steps_ms[i];
			break;
		}
	}
	top->screen.interval_ns = found_ms * NS_PER_MS;
	top->next_ns = earlier(top->next_ns, clock_now_ns() + top->screen.interval_ns);
}

/*
 * To the next column on the right (1) or left (-1), around the ends; the bar shows what the column before it
 * says.
 */
static void step_sort(struct top_screen *screen, unsigned step)
{
	const struct top_shown *shown = top_resources[top_kinds[screen->kind].resource]->shown;
	unsigned count = 0, place = 0;

	for (; !top_shown_ends(&shown[count]); count++) {
		if (shown[count].column == screen->sort)
			place = count;
	}
	do
		place = (place + count + step) % count;
	while (shown[place].column == TOP_COLUMN_BAR);
	screen->sort = shown[place].column;
}

/* The order stays when there is such a column. */
static void show_kind(struct top_screen *screen, enum top_kind kind)
{
	screen->kind = kind;
	screen->scroll = 0;
	if (!top_resource_shows(top_kinds[kind].resource, screen->sort))
		screen->sort = TOP_COLUMN_DEV;
}

/* false: the end. */
static bool obey(struct top *top, int key)
{
	struct top_screen *screen = &top->screen;

	switch (key) {
	case 'q':
	case KEY_ENDED:
		return false;
	case 'g':
		show_kind(screen, top_next_level(screen->kind));
		break;
	case 'n':
		show_kind(screen, top_next_resource(screen->kind));
		break;
	case 's':
	case KEY_RIGHT:
		step_sort(screen, 1);
		break;
	case KEY_LEFT:
		step_sort(screen, -1u);
		break;
	case 'r':
		screen->reverse = !screen->reverse;
		break;
	case 'p':
	case ' ':
		screen->paused = !screen->paused;
		break;
	case '+':
	case '-':
		change_interval(top, key == '+');
		break;
	case KEY_UP:
	case KEY_DOWN:
	case KEY_PAGE_UP:
	case KEY_PAGE_DOWN:
	case KEY_HOME:
	case KEY_END:
		scroll(top, key);
		break;
	default:
		return true;
	}
	update_view(top);
	return true;
}

/* Ends as a program ends that does not catch the signal. */
static int end_by(int signal)
{
	if (signal)
		raise(signal);
	return CLI_OK;
}

static int run_live(struct top *top, struct cli *cli, const struct cli_command *command)
{
	struct top_sample *sample;
	int key, signal;

	/* A daemon that is not there at the start is a mistake, not a restart. */
	if (take_sample(top->client, &sample))
		return cli_fail(command, "%s", api_client_error(top->client));
	keep_sample(top, sample);
	update_view(top);
	if (terminal_create(&top->terminal))
		return cli_usage(command, "this is no terminal to draw on; --once prints one interval");
	api_client_set_patience(top->client, PATIENCE_S, is_wanted_elsewhere, top);
	top->next_ns = clock_now_ns() + earlier(top->screen.interval_ns, SOON_NS);
	do {
		refresh(top);
		show(top);
		key = terminal_wait(top->terminal, top->screen.paused ? UINT64_MAX : top->next_ns);
	} while (obey(top, key));
	signal = terminal_end_signal(top->terminal);
	terminal_destroy(top->terminal);
	return end_by(signal);
}

/* ---- the command ---- */

static int parse_interval(const struct cli_command *command, const char *text, uint64_t *ret_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' ||
	    !(seconds * (double)NS_PER_S >= (double)INTERVAL_MIN_NS &&
	      seconds * (double)NS_PER_S <= (double)INTERVAL_MAX_NS))
		return cli_usage(command, "--interval: \"%s\" is no number of seconds from 0.1 to 3600",
				 text);
	*ret_ns = (uint64_t)(seconds * (double)NS_PER_S);
	return CLI_OK;
}

static int parse_sort(const struct cli_command *command, const char *key, struct top_screen *screen)
{
	enum top_resource resource = top_kinds[screen->kind].resource;
	const char *keys[TOP_COLUMNS + 1] = { NULL }, *nearest;
	unsigned count = 0;

	screen->sort = top_column_find(key);
	if (screen->sort != TOP_COLUMNS && top_resource_shows(resource, screen->sort))
		return CLI_OK;
	for (enum top_column_id id = 0; id < TOP_COLUMNS; id++) {
		if (top_resource_shows(resource, id))
			keys[count++] = top_columns[id].key;
	}
	nearest = cli_nearest(key, keys);
	return cli_usage(command, "--sort: there is no column \"%s\"; %s%s", key,
			 nearest ? "did you mean " : "`viaduct help top` lists them", nearest ? nearest : "");
}

int command_top(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct top top = { .screen = { .colour = cli->colour } };
	const char *interval = "1", *sort = "dev";
	bool once = false, nics = false, guests = false, groups = false;
	const struct cli_option options[] = {
		{ "once", NULL, &once }, { "interval", &interval, NULL }, { "sort", &sort, NULL },
		{ "nics", NULL, &nics }, { "guests", NULL, &guests },	  { "groups", NULL, &groups },
		{ 0 },
	};
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, options, 0, 0, &arguments);

	if (result == CLI_OK)
		result = parse_interval(command, interval, &top.screen.interval_ns);
	top.screen.kind = top_kind_of(nics ? TOP_RESOURCE_NIC : TOP_RESOURCE_DISK,
				      groups ? TOP_LEVEL_GROUP : guests ? TOP_LEVEL_GUEST : TOP_LEVEL_LEAF);
	if (result == CLI_OK)
		result = parse_sort(command, sort, &top.screen);
	if (result != CLI_OK)
		return result;
	top.screen.colour = cli->colour;
	if (api_client_create(cli->runtime_dir, &top.client))
		return cli_fail(command, "%s: this path is too long for a socket", cli->runtime_dir);
	result = once || cli->json ? print_once(&top, cli, command) : run_live(&top, cli, command);
	api_client_destroy(top.client);
	top_view_destroy(top.view);
	top_sample_destroy(top.before);
	top_sample_destroy(top.now);
	return result;
}
