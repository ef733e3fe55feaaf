/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In every cmocka program: $VIADUCT_TEST names the one test function to run (* and ? as in a shell). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

/* A constructor, because each program has a main() of its own, and none should have to think of this. */
__attribute__((constructor)) static void choose_test(void)
{
	const char *chosen = getenv("VIADUCT_TEST");

	if (chosen)
		cmocka_set_test_filter(chosen);
}
