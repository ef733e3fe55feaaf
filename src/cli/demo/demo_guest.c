/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/demo/demo.h"

#define MEMORY_BYTES (128ull << 20)

static void build(const struct vmm_guest *vmm, const struct demo_image *image, const char *token,
		  struct vmm_arguments *arguments)
{
	const char *accel = image->accel == VMM_KVM ? "kvm" : "tcg",
		   *cpu = image->accel == VMM_KVM ? "host" : "max";
	const char *const fixed[] = {
		image->qemu,   "-accel",  accel,	 "-cpu",    cpu,	  "-nodefaults",
		"-vga",	       "std",	  "-serial",	 "stdio",   "-no-reboot", "-kernel",
		image->kernel, "-initrd", image->initrd, "-append",
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		vmm_argument(arguments, "%s", fixed[i]);
	vmm_argument(arguments,
		     "console=ttyS0 quiet panic=-1 viaduct.mode=demo viaduct.name=%s viaduct.token=%s",
		     vmm->name, token);
	vmm_qemu_arguments(vmm, arguments);
	vmm_display_arguments(vmm, arguments);
}

static int spawn(struct demo_guest *guest, const struct vmm_arguments *arguments)
{
	int input[2];

	if (pipe2(input, O_CLOEXEC) < 0)
		return -errno;
	fflush(stdout);
	guest->pid = fork();
	if (guest->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (guest->apart)
			setpgid(0, 0);
		dup2(input[0], STDIN_FILENO);
		dup2(open(guest->log, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
		dup2(STDOUT_FILENO, STDERR_FILENO);
		execv(arguments->argv[0], arguments->argv);
		_exit(127);
	}
	close(input[0]);
	guest->input = input[1];
	return guest->pid < 0 ? -errno : 0;
}

int demo_guest_start(struct demo_guest *guest, struct cli *cli, const struct cli_command *command,
		     const struct demo_image *image, const char *token)
{
	struct vmm_guest vmm = {
		.memory_bytes = MEMORY_BYTES,
		.cpus = 1,
		.no_msix = image->accel == VMM_TCG,
		.qemu_version = vmm_qemu_version(image->qemu),
	};
	struct vmm_arguments arguments = { 0 };
	int result = vmm_guest_load(cli, command, guest->name, &vmm);

	if (result == CLI_OK) {
		build(&vmm, image, token, &arguments);
		if (spawn(guest, &arguments) < 0)
			result = cli_fail(command, "QEMU cannot be started: %s", strerror(errno));
	}
	vmm_arguments_finish(&arguments);
	vmm_guest_finish(&vmm);
	return result;
}

/* "key=value" of a line, as a number. */
static unsigned number_of(const char *line, const char *key)
{
	const char *found = strstr(line, key);

	return found ? (unsigned)strtoul(found + strlen(key), NULL, 10) : 0;
}

static void word_of(const char *line, const char *key, char *out, size_t size)
{
	const char *found = strstr(line, key);
	size_t length;

	if (!found)
		return;
	found += strlen(key);
	length = strcspn(found, " \r\n");
	snprintf(out, size, "%.*s", (int)length, found);
}

static void take_boot(struct demo_guest *guest, const char *line)
{
	char boot[sizeof(guest->boot)] = "";

	word_of(line, " boot=", boot, sizeof(boot));
	if (guest->boot[0] && strcmp(guest->boot, boot) != 0)
		guest->rebooted = true;
	snprintf(guest->boot, sizeof(guest->boot), "%s", boot);
}

/* "NUMBER key=value …", of the last question or of one before. */
static void take_answer(struct demo_guest *guest, const char *line)
{
	guest->answered = (unsigned)strtoul(line, NULL, 10);
	snprintf(guest->answer, sizeof(guest->answer), "%s", line);
}

static void take_line(struct demo_guest *guest, const char *line)
{
	if (strncmp(line, "up ", 3) == 0) {
		guest->up = true;
		take_boot(guest, line);
		word_of(line, " kernel=", guest->kernel, sizeof(guest->kernel));
	} else if (strncmp(line, "ready", 5) == 0) {
		guest->ready = true;
	} else if (strncmp(line, "round ", 6) == 0 && strstr(line, " verified")) {
		guest->rounds++;
	} else if (strncmp(line, "error", 5) == 0) {
		guest->error_lines++;
	} else if (strncmp(line, "address ", 8) == 0) {
		word_of(line, "address ", guest->address, sizeof(guest->address));
	} else if (strncmp(line, "answer ", 7) == 0) {
		take_answer(guest, line + 7);
	} else if (strncmp(line, "end ", 4) == 0) {
		guest->ended = true;
		take_boot(guest, line);
		guest->mib = number_of(line, " mib=");
		guest->files = number_of(line, " files=");
		guest->errors = number_of(line, " errors=");
		guest->kernel_errors = number_of(line, " kernel_errors=");
		guest->pause_ms = number_of(line, " pause_ms=");
	}
}

void demo_guest_look(struct demo_guest *guest)
{
	FILE *log = fopen(guest->log, "re");
	char line[512];

	guest->rounds = guest->error_lines = 0;
	guest->boot[0] = '\0';
	while (log && fgets(line, sizeof(line), log)) {
		const char *word = strstr(line, "VIADUCT ");

		if (word && strchr(word, '\n'))
			take_line(guest, word + 8);
	}
	if (log)
		fclose(log);
}

void demo_guest_ask(struct demo_guest *guest, const char *verb, const char *format, ...)
{
	char operands[256], line[320];
	va_list arguments;
	int length;

	va_start(arguments, format);
	vsnprintf(operands, sizeof(operands), format, arguments);
	va_end(arguments);
	length = snprintf(line, sizeof(line), "%s %u %s\n", verb, ++guest->asked, operands);
	if (write(guest->input, line, (size_t)length) != length)
		kill(guest->pid, SIGTERM);
}

unsigned demo_guest_number(const struct demo_guest *guest, const char *key)
{
	return number_of(guest->answer, key);
}

char *demo_guest_word(const struct demo_guest *guest, const char *key, char word[DEMO_WORD_MAX])
{
	word[0] = '\0';
	word_of(guest->answer, key, word, DEMO_WORD_MAX);
	return word;
}

void demo_guest_stop(struct demo_guest *guest)
{
	if (write(guest->input, "stop\n", 5) != 5)
		kill(guest->pid, SIGTERM);
}

bool demo_guest_gone(struct demo_guest *guest)
{
	if (guest->pid > 0 && waitpid(guest->pid, NULL, WNOHANG) == guest->pid) {
		close(guest->input);
		guest->pid = 0;
	}
	return guest->pid == 0;
}

void demo_guest_kill(struct demo_guest *guest)
{
	if (guest->pid <= 0 || demo_guest_gone(guest))
		return;
	kill(guest->pid, SIGKILL);
	waitpid(guest->pid, NULL, 0);
	close(guest->input);
	guest->pid = 0;
}
