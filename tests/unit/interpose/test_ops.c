/* SPDX-License-Identifier: MIT */
/* Attach and detach. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <stdbool.h>

#include "unit/interpose/helper/fake.h"

static void second_attach_is_busy_until_the_first_detaches(void **state)
{
    (void)state;
    const struct rth_interpose_ops *ops = fake_runtime_new();
    assert_int_equal(rth_interpose_attach(ops, NULL), 0);
    assert_int_equal(rth_interpose_attach(ops, NULL), -EBUSY);
    struct rth_interpose_ops other = *ops;
    assert_int_equal(rth_interpose_attach(&other, NULL), -EBUSY);
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    assert_int_equal(rth_interpose_attach(&other, NULL), 0);
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
}

static void foreign_version_size_or_missing_op_is_invalid(void **state)
{
    (void)state;
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    static struct rth_interpose_ops good; /* stays valid for ever, as attach asks */
    good = *fake_runtime_new();
    struct rth_interpose_ops bad = good;
    bad.version++;
    assert_int_equal(rth_interpose_attach(&bad, NULL), -EINVAL);
    bad = good;
    bad.version = 0;
    assert_int_equal(rth_interpose_attach(&bad, NULL), -EINVAL);
    bad = good;
    bad.struct_size--;
    assert_int_equal(rth_interpose_attach(&bad, NULL), -EINVAL);
    bad = good;
    bad.reserved = 1;
    assert_int_equal(rth_interpose_attach(&bad, NULL), -EINVAL);
    /* Every pointer from `enabled` on is required. */
    for (size_t at = offsetof(struct rth_interpose_ops, enabled); at < sizeof(bad);
         at += sizeof(void *)) {
        bad = good;
        memset((char *)&bad + at, 0, sizeof(void *));
        assert_int_equal(rth_interpose_attach(&bad, NULL), -EINVAL);
    }
    struct rth_interpose_info info = {.struct_size = 8};
    assert_int_equal(rth_interpose_attach(&good, &info), -EINVAL);
    /* None of these attached. */
    assert_int_equal(rth_interpose_attach(&good, NULL), 0);
}

static void longer_table_of_a_newer_runtime_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    static struct {
        struct rth_interpose_ops ops;
        void *later;
    } newer;
    newer.ops = *fake_runtime_new();
    newer.ops.struct_size = sizeof(newer);
    assert_int_equal(rth_interpose_attach(&newer.ops, NULL), 0);
}

static void info_is_filled_up_to_the_callers_size(void **state)
{
    (void)state;
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    union {
        struct rth_interpose_info info;
        unsigned char bytes[sizeof(struct rth_interpose_info) + 8];
    } got;
    memset(&got, 0xa5, sizeof(got));
    size_t older = offsetof(struct rth_interpose_info, saved_environment);
    got.info.struct_size = older;
    assert_int_equal(rth_interpose_attach(fake_runtime_new(), &got.info), 0);
    assert_int_equal(got.info.struct_size, older);
    assert_int_equal(got.info.version, RTH_INTERPOSE_ABI_VERSION);
    assert_int_equal(got.info.autostart, 0);
    assert_non_null((const void *)(uintptr_t)got.info.loader_generation);
    assert_int_equal(got.bytes[older], 0xa5);
}

static void attach_is_found_by_name(void **state)
{
    (void)state;
    rth_interpose_attach_fn attach =
        (rth_interpose_attach_fn)dlsym(RTLD_DEFAULT, "rth_interpose_attach");
    assert_true(attach == rth_interpose_attach);
}

RTH_TEST_MAIN(cmocka_unit_test(second_attach_is_busy_until_the_first_detaches),
              cmocka_unit_test(foreign_version_size_or_missing_op_is_invalid),
              cmocka_unit_test(longer_table_of_a_newer_runtime_is_accepted),
              cmocka_unit_test(info_is_filled_up_to_the_callers_size),
              cmocka_unit_test(attach_is_found_by_name))
