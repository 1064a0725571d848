/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_PRIVATE_WORK_H
#define RTH_TESTS_HELPER_PRIVATE_WORK_H

/* rth-work with its own table of descriptors, and so the root that folders are below, as rth-admin
 * gives it to it. Ended by rth__work_stop. */

#include "core/service_thread.h"
#include "core/work.h"
#include "helper/unit.h"

static _Atomic int private_work_state; /* 1: it has it; -1: it failed */

static inline void private_work_run(struct rth_work_item *item)
{
    (void)item;
    private_work_state = rth__service_thread_private_fds() == 0 ? 1 : -1;
}

static inline void private_work_drop(struct rth_work_item *item)
{
    (void)item;
}

static inline void private_work_start(void)
{
    static struct rth_work_item item = {.run = private_work_run, .drop = private_work_drop};
    private_work_state = 0;
    assert_int_equal(rth__work_start(), 0);
    assert_int_equal(rth__work_submit_from_host(&item), 0);
    while (private_work_state == 0)
        test_pause_us(1000);
    assert_int_equal(private_work_state, 1);
}

#endif /* RTH_TESTS_HELPER_PRIVATE_WORK_H */
