/* SPDX-License-Identifier: MIT */
/* dlopen and its relatives. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <stdbool.h>

#include "unit/interpose/helper/fake.h"

extern void *interpose_opener_open(const char *name, int in_new_namespace);

static uint64_t generation(void)
{
    static const volatile uint64_t *word;
    if (word == NULL) {
        struct rth_interpose_info info = {.struct_size = sizeof(info)};
        assert_int_equal(rth_interpose_attach(NULL, &info), 0);
        word = info.loader_generation;
    }
    return *word;
}

static void library_finds_its_plugin_by_its_own_runpath(void **state)
{
    (void)state;
    void *handle = interpose_opener_open(RTH_TEST_PLUGIN_NAME, 0);
    assert_non_null(handle);
    int (*answer)(void) = (int (*)(void))dlsym(handle, "interpose_plugin_answer");
    assert_non_null(answer);
    assert_int_equal(answer(), 42);
    assert_int_equal(dlclose(handle), 0);
}

static void library_finds_its_plugin_in_another_namespace(void **state)
{
    (void)state;
    void *handle = interpose_opener_open(RTH_TEST_PLUGIN_NAME, 1);
    assert_non_null(handle);
    assert_int_equal(dlclose(handle), 0);
}

static void caller_without_the_runpath_does_not_find_it(void **state)
{
    (void)state;
    void *handle = dlopen(RTH_TEST_PLUGIN_NAME, RTLD_NOW);
    assert_null(handle);
    assert_non_null(strstr(dlerror(), RTH_TEST_PLUGIN_NAME));
}

static void every_call_is_counted(void **state)
{
    (void)state;
    uint64_t before = generation();
    void *handle = dlopen(RTH_TEST_PLUGIN, RTLD_NOW);
    assert_non_null(handle);
    assert_int_equal(generation(), before + 1);
    assert_int_equal(dlclose(handle), 0);
    assert_int_equal(generation(), before + 2);
    handle = dlmopen(LM_ID_BASE, RTH_TEST_PLUGIN, RTLD_NOW);
    assert_non_null(handle);
    assert_int_equal(generation(), before + 3);
    assert_int_equal(dlclose(handle), 0);
    assert_null(dlopen("/nonexistent.so", RTLD_NOW));
    assert_int_equal(generation(), before + 5);
}

RTH_TEST_MAIN(cmocka_unit_test(library_finds_its_plugin_by_its_own_runpath),
              cmocka_unit_test(library_finds_its_plugin_in_another_namespace),
              cmocka_unit_test(caller_without_the_runpath_does_not_find_it),
              cmocka_unit_test(every_call_is_counted))
