/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay_TARGET FILE|FOLDER...: runs the target on each file, then on all of them in reverse order, and
 * compares what it did: a target is a function of its input. Answers as TAP, one test for each file.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input_trace.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES_MAX 4096

struct input {
	char *path;
	uint8_t *bytes;
	size_t size;
	uint64_t hash;
};

static struct input inputs[FILES_MAX];
static unsigned input_count;
static FILE *out;	/* the answer, also when a target writes to stdout */

static void give_up(const char *path)
{
	perror(path);
	exit(2);
}

static void add_file(const char *path, size_t size)
{
	struct input *input = &inputs[input_count];
	FILE *file = fopen(path, "rb");

	if (!file || input_count == FILES_MAX)
		give_up(path);
	*input = (struct input){ .path = strdup(path), .bytes = malloc(size + 1), .size = size };
	if (!input->path || !input->bytes || fread(input->bytes, 1, size, file) != size)
		give_up(path);
	fclose(file);
	input_count++;
}

static void add(const char *path)
{
	struct dirent **names;
	struct stat status;
	int count;

	if (stat(path, &status) < 0)
		give_up(path);
	if (!S_ISDIR(status.st_mode)) {
		add_file(path, (size_t)status.st_size);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	if (count < 0)
		give_up(path);
	for (int i = 0; i < count; i++) {
		char inner[4096];

		if (names[i]->d_name[0] != '.' &&
		    snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name) < (int)sizeof(inner))
			add(inner);
		free(names[i]);
	}
	free(names);
}

static uint64_t run(const struct input *input)
{
	/* In memory of its own size, so that a sanitizer sees the first byte beyond. */
	uint8_t *copy = malloc(input->size);

	if (input->size > 0 && !copy)
		abort();
	if (input->size > 0)
		memcpy(copy, input->bytes, input->size);
	fuzz_trace_hash = 0xcbf29ce484222325ull;
	LLVMFuzzerTestOneInput(copy, input->size);
	free(copy);
	return fuzz_trace_hash;
}

int main(int argc, char **argv)
{
	unsigned failed = 0;

	out = fdopen(dup(fileno(stdout)), "w");
	if (!out)
		give_up("stdout");
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	fuzz_trace_on = true;
	for (int i = 1; i < argc; i++)
		add(argv[i]);
	for (unsigned i = 0; i < input_count; i++) {
		/* Told before, so that an abort has a name. */
		fprintf(stderr, "replay: %s\n", inputs[i].path);
		inputs[i].hash = run(&inputs[i]);
	}
	fprintf(out, "1..%u\n", input_count);
	for (unsigned i = input_count; i-- > 0;) {
		bool same;

		fprintf(stderr, "replay: %s, again\n", inputs[i].path);
		same = run(&inputs[i]) == inputs[i].hash;
		failed += !same;
		fprintf(out, "%sok %u - %s\n", same ? "" : "not ", input_count - i, inputs[i].path);
		fflush(out);
		free(inputs[i].path);
		free(inputs[i].bytes);
	}
	fclose(out);
	return failed > 0 || input_count == 0;
}
