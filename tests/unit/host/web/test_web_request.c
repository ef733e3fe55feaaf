/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which requests of a browser are meant for us, and what counts as a token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/web/web_request.h"

#define OWN	     "127.0.0.9"
#define TOKEN	     "abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ_01234"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void knows_its_names(void **state)
{
	static const char *const ours[] = { "localhost",      "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535",
					    "127.0.0.9:6080", "127.0.0.9",   "[::1]",	  "[::1]:6080" };

	for (unsigned i = 0; i < COUNT(ours); i++)
		assert_true(web_host_is_ours(ours[i], OWN));
	assert_true(web_host_is_ours("[::1]:6080", "[::1]"));
}

static void knows_no_other_names(void **state)
{
	static const char *const others[] = {
		"",
		":",
		":80",
		"evil.example",
		"localhost.evil.example",
		"localhos",
		"localhost:",
		"localhost:x",
		"localhost:123456",
		"localhost:1:1",
		"localhost ",
		" localhost",
		"localhost,a",
		"127.0.0.2",
		"127.0.0.1.evil.example",
		"[::1",
		"[::1]x",
		"[::1]:",
		"::1",
		"[::1]:80:80",
		"[",
		"]",
		"[]",
		"127.0.0.1:80/evil",
		"127.0.0.1@evil.example",
	};

	for (unsigned i = 0; i < COUNT(others); i++)
		assert_false(web_host_is_ours(others[i], OWN));
	/* An address of none: a socket that has no address of the internet. */
	assert_false(web_host_is_ours("", ""));
}

static void knows_its_own_page(void **state)
{
	assert_true(web_origin_is_ours("http://localhost:6080", "localhost:6080"));
	assert_true(web_origin_is_ours("HTTP://LocalHost", "localhost"));
	assert_false(web_origin_is_ours("http://localhost:6081", "localhost:6080"));
	assert_false(web_origin_is_ours("http://localhost", "localhost:6080"));
	assert_false(web_origin_is_ours("http://localhost:6080/", "localhost:6080"));
	assert_false(web_origin_is_ours("https://localhost:6080", "localhost:6080"));
	assert_false(web_origin_is_ours("null", "localhost"));
	assert_false(web_origin_is_ours("", ""));
	assert_false(web_origin_is_ours("http:/", "localhost"));
}

static void finds_the_token(void **state)
{
	static const char *const lists[] = { "token." TOKEN, "binary, token." TOKEN, "token." TOKEN ",binary",
					     ",, \t token." TOKEN " ,a" };
	char token[WEB_TOKEN_SIZE];

	for (unsigned i = 0; i < COUNT(lists); i++) {
		memset(token, 0, sizeof(token));
		assert_true(web_token_of_protocols(lists[i], token));
		assert_string_equal(token, TOKEN);
	}
	memset(token, 0, sizeof(token));
	assert_true(web_token_of_authorization("Bearer " TOKEN, token));
	assert_string_equal(token, TOKEN);
}

/* Nothing is written then. */
static void finds_no_token(void **state)
{
	static const char *const lists[] = {
		"",
		"binary",
		TOKEN,
		"binary," TOKEN,
		"token.",
		"token. " TOKEN,
		"token." TOKEN "a",
		"Token." TOKEN,
		"xtoken." TOKEN,
		"token.abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ_0123",
		"token.abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ_0123+",
		/* The first that says that it is one counts. */
		"token.a, token." TOKEN,
	};
	static const char *const proofs[] = { "",
					      "Bearer",
					      "Bearer ",
					      "bearer " TOKEN,
					      "Basic " TOKEN,
					      TOKEN,
					      "Bearer " TOKEN " ",
					      "Bearer  " TOKEN,
					      "Bearer " TOKEN "a" };
	char token[WEB_TOKEN_SIZE] = "as it was";

	for (unsigned i = 0; i < COUNT(lists); i++)
		assert_false(web_token_of_protocols(lists[i], token));
	for (unsigned i = 0; i < COUNT(proofs); i++)
		assert_false(web_token_of_authorization(proofs[i], token));
	assert_string_equal(token, "as it was");
}

static void knows_consoles(void **state)
{
	static const struct {
		const char *path, *guest;
	} rows[] = {
		{ "/console", "" },
		{ "/console/alice/0", "alice/0" },
		{ "/console/a", "a" },
		{ "/console//", "/" },
	};
	static const char *const others[] = { "",	    "/",	"/consol",  "/console/",
					      "/consoles",  "console",	"/CONSOLE", "/console?guest=a",
					      "/console0/", "//console" };
	char guest[8], kept[8] = "before";

	for (unsigned i = 0; i < COUNT(rows); i++) {
		assert_true(web_console_of_path(rows[i].path, guest, sizeof(guest)));
		assert_string_equal(guest, rows[i].guest);
	}
	for (unsigned i = 0; i < COUNT(others); i++)
		assert_false(web_console_of_path(others[i], kept, sizeof(kept)));
	/* A name of one byte too many. */
	assert_false(web_console_of_path("/console/alice/00", kept, sizeof(kept)));
	assert_string_equal(kept, "before");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_its_names),    cmocka_unit_test(knows_no_other_names),
		cmocka_unit_test(knows_its_own_page), cmocka_unit_test(finds_the_token),
		cmocka_unit_test(finds_no_token),     cmocka_unit_test(knows_consoles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
