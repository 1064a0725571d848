/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_UNIT_H
#define RTH_TESTS_HELPER_UNIT_H

/*
 * A unit test file is a list of cases and RTH_TEST_MAIN. CMake finds each
 * `cmocka_unit_test(name)` and makes it a CTest entry that runs alone in its process:
 * `test_file name`. Without an argument all cases run.
 */

/* cmocka wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#define RTH_TEST_MAIN(...)                                                                         \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        const struct CMUnitTest cases[] = {__VA_ARGS__};                                           \
        if (argc > 1)                                                                              \
            cmocka_set_test_filter(argv[1]);                                                       \
        return cmocka_run_group_tests(cases, NULL, NULL);                                          \
    }

/* Leaves the case with its reason on standard output. */
#define RTH_SKIP(reason)                                                                           \
    do {                                                                                           \
        print_message("skipped: %s\n", reason);                                                    \
        skip();                                                                                    \
    } while (0)

/* Between two looks at something that has a deadline of its own, or to show that nothing happens.
 */
static inline void test_pause_us(long us)
{
    struct timespec pause = {us / 1000000, us % 1000000 * 1000};
    (void)nanosleep(&pause, NULL);
}

#endif /* RTH_TESTS_HELPER_UNIT_H */
