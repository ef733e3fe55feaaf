/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's seat: alice and bob show their consoles in two windows on one screen, and text that is typed
 * goes to the one with the keyboard.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/demo/demo.h"
#include "cli/disk/disk_stream.h"
#include "core/clock.h"

#define SEAT	     "desk"
#define SEAT_PATH    "/v1/seats/" SEAT
#define PICTURE_FILE "viaduct-demo.png"
#define LOOK_US	     50000u

/* One of the loopback that nobody has now; 0: none. */
static unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool found = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		     getsockname(fd, (struct sockaddr *)&address, &length) == 0;

	if (fd >= 0)
		close(fd);
	return found ? ntohs(address.sin_port) : 0;
}

void demo_seat_config(const struct demo *demo, FILE *config)
{
	unsigned port = demo->interactive ? free_port() : 0;

	/* Two consoles of 720 to 400 pixels beside each other. */
	fputs("\n[seat " SEAT "]\nsize = 1472x464\n", config);
	if (port > 0)
		fprintf(config, "web = 127.0.0.1:%u\n", port);
	for (unsigned i = 0; i < DEMO_GUESTS; i++)
		fprintf(config, "\n[display %s/0]\nseat = " SEAT "\n", demo->guests[i].name);
}

/* ---- what the daemon says ---- */

static bool is_shown(const json_t *seat, const char *guest)
{
	const size_t length = strlen(guest);
	const json_t *display;
	size_t index;

	json_array_foreach(json_object_get(seat, "displays"), index, display)
	{
		if (strncmp(api_text(display, "display"), guest, length) == 0)
			return api_flag(display, "shown");
	}
	return false;
}

static bool all_shown(const struct demo *demo)
{
	json_t *seat = demo_daemon_get(&demo->daemon, SEAT_PATH);
	bool shown = true;

	for (unsigned i = 0; i < demo->guest_count; i++)
		shown = shown && is_shown(seat, demo->guests[i].name);
	json_decref(seat);
	return shown;
}

void demo_seat_say_firmware(const struct demo *demo)
{
	while (demo->guest_count > 0 && !all_shown(demo) && clock_now_ns() < demo->deadline_ns)
		usleep(LOOK_US);
	if (demo->guest_count > 0)
		demo_say(demo, "the seat " SEAT " shows both guests' firmware, each in a window of its own");
}

/* ---- for a person who looks on ---- */

static bool is_over(const struct demo *demo)
{
	return stream_interrupted();
}

/* Mallory goes on meanwhile. The time that the rest may take begins again. */
int demo_seat_stay(struct demo *demo)
{
	uint64_t left_ns = demo->deadline_ns - clock_now_ns();
	json_t *seat = demo_daemon_get(&demo->daemon, SEAT_PATH);
	const char *console = api_text(seat, "console");
	int result;

	if (!console[0]) {
		json_decref(seat);
		return cli_fail(demo->command, "the seat has no console: see %s", demo->daemon.log);
	}
	printf("\nThe seat " SEAT
	       " in a browser of this machine, until Ctrl-C is pressed here:\n\n    %s\n\n",
	       console);
	fflush(stdout);
	json_decref(seat);
	demo->stays = true;
	demo->deadline_ns = UINT64_MAX;
	result = demo_run_until(demo, is_over, "everything goes on until Ctrl-C");
	demo->stays = false;
	demo->deadline_ns = clock_now_ns() + left_ns;
	stream_forget_signals();
	puts("");
	return result;
}

/* ---- typing ---- */

static bool all_answered(const struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		if (demo->guests[i].answered != demo->guests[i].asked)
			return false;
	}
	return true;
}

/* Nothing waits to be typed any more. */
static bool all_typed(const struct demo *demo)
{
	json_t *seat = demo_daemon_get(&demo->daemon, SEAT_PATH);
	bool typed = seat && api_number(seat, "typing") == 0;

	json_decref(seat);
	return typed;
}

static bool give_focus(const struct demo *demo, const struct demo_guest *guest)
{
	json_t *body, *answer;
	char display[DEMO_WORD_MAX];

	snprintf(display, sizeof(display), "%s/0", guest->name);
	body = json_pack("{s:s}", "focus", display);
	answer = demo_daemon_call(&demo->daemon, "PATCH", SEAT_PATH, body);
	json_decref(body);
	json_decref(answer);
	return answer != NULL;
}

static bool type_line(const struct demo *demo, const char *word)
{
	json_t *body = json_pack("{s:s+}", "text", word, "\n");
	json_t *answer = demo_daemon_call(&demo->daemon, "POST", SEAT_PATH "/type", body);

	json_decref(body);
	json_decref(answer);
	return answer != NULL;
}

/* What each guest has heard so far, in *heard. Returns an exit code. */
static int ask_what_was_heard(struct demo *demo, char heard[DEMO_GUESTS][DEMO_WORD_MAX])
{
	int result;

	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_guest_ask(&demo->guests[i], "heard", "%s", "");
	result = demo_run_until(demo, all_answered, "the guests say what they heard");
	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_guest_word(&demo->guests[i], " typed=", heard[i]);
	return result;
}

/* The word goes to the guest, and nowhere else. */
static int type_to(struct demo *demo, unsigned to, const char *word, const char *then)
{
	char heard[DEMO_GUESTS][DEMO_WORD_MAX], before[DEMO_GUESTS][DEMO_WORD_MAX], wanted[2 * DEMO_WORD_MAX];
	const unsigned other = 1 - to;
	int result = ask_what_was_heard(demo, before);

	if (result != CLI_OK)
		return result;
	if (!give_focus(demo, &demo->guests[to]) || !type_line(demo, word))
		return cli_fail(demo->command, "the daemon does not type into %s", demo->guests[to].name);
	result = demo_run_until(demo, all_typed, "text is typed");
	if (result == CLI_OK)
		result = ask_what_was_heard(demo, heard);
	if (result != CLI_OK)
		return result;
	snprintf(wanted, sizeof(wanted), "%s%s", before[to], word);
	demo_check(&demo->checks, strcmp(heard[to], wanted) == 0 && strcmp(heard[other], before[other]) == 0,
		   "%s'%s' was typed at the seat: %s heard '%s', %s '%s'", then, word, demo->guests[to].name,
		   heard[to], demo->guests[other].name, heard[other]);
	return CLI_OK;
}

/* ---- the picture ---- */

/* As `viaduct screenshot` does, which is what is run. */
static bool take_picture(const struct demo *demo, const char *file)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl("/proc/self/exe", "viaduct", "--runtime-dir", demo->daemon.runtime_dir, "screenshot",
		      SEAT, "-o", file, (char *)NULL);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void keep_picture(struct demo *demo)
{
	char here[CLI_PATH_MAX], file[CLI_PATH_MAX + sizeof(PICTURE_FILE) + 1];
	bool is_here = getcwd(here, sizeof(here)) && access(here, W_OK) == 0;

	snprintf(file, sizeof(file), "%s/" PICTURE_FILE, is_here ? here : demo->directory);
	demo_check(&demo->checks, take_picture(demo, file), "`viaduct screenshot " SEAT "`: %s", file);
}

int demo_seat(struct demo *demo)
{
	char word[DEMO_WORD_MAX];
	int result;

	if (demo->guest_count == 0)
		return CLI_OK;
	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_guest_ask(&demo->guests[i], "show", "%s", "");
	result = demo_run_until(demo, all_answered, "the guests show who they are");
	snprintf(word, sizeof(word), "to-alice-%.6s", demo->token);
	if (result == CLI_OK)
		result = type_to(demo, 0, word, "");
	snprintf(word, sizeof(word), "to-bob-%.6s", demo->token);
	if (result == CLI_OK)
		result = type_to(demo, 1, word, "then the keyboard went to bob, and ");
	if (result == CLI_OK)
		keep_picture(demo);
	return result;
}
