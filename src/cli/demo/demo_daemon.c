/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/demo/demo.h"
#include "cli/program_output.h"
#include "core/clock.h"

#define LOOK_AGAIN_US 20000u

int demo_daemon_start(struct demo_daemon *daemon, bool takeover)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		daemon->pid = pid;
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (daemon->apart)
		setpgid(0, 0);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(open(daemon->log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	execl(daemon->program, daemon->program, "--config", daemon->config, "--runtime-dir",
	      daemon->runtime_dir, takeover ? "--takeover" : (char *)NULL, (char *)NULL);
	_exit(127);
}

json_t *demo_daemon_call(const struct demo_daemon *daemon, const char *method, const char *path,
			 const json_t *body)
{
	struct api_client *client;
	json_t *answer = NULL;

	if (api_client_create(daemon->runtime_dir, &client) == 0) {
		api_call(client, method, path, body, &answer);
		api_client_destroy(client);
	}
	return answer;
}

json_t *demo_daemon_get(const struct demo_daemon *daemon, const char *path)
{
	return demo_daemon_call(daemon, "GET", path, NULL);
}

bool demo_daemon_answers(struct demo_daemon *daemon)
{
	json_t *status = demo_daemon_get(daemon, "/v1/status");
	bool answers = status && (pid_t)api_number(status, "pid") == daemon->pid;

	json_decref(status);
	return answers;
}

int demo_daemon_ready(struct demo_daemon *daemon, unsigned timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;

	while (!demo_daemon_answers(daemon)) {
		if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
			daemon->pid = 0;
			return -ECHILD;
		}
		if (clock_now_ns() > deadline_ns)
			return -ETIMEDOUT;
		usleep(LOOK_AGAIN_US);
	}
	return 0;
}

int demo_daemon_stop(struct demo_daemon *daemon, int signal)
{
	int status = 0;

	if (daemon->pid == 0)
		return 0;
	kill(daemon->pid, signal);
	while (waitpid(daemon->pid, &status, 0) < 0 && errno == EINTR)
		;
	daemon->pid = 0;
	return status;
}

bool demo_daemon_has_takeover(const struct demo_daemon *daemon)
{
	char text[8192];

	return program_output(daemon->program, "--help", NULL, text, sizeof(text)) &&
	       strstr(text, "--takeover");
}
