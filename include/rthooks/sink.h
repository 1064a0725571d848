/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_SINK_H
#define RTHOOKS_SINK_H

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/*
 * Where a function such as rth_profile_write puts its bytes.
 *
 * write: takes all of data and returns 0, or a negative errno, which ends the writing and is what
 * that function returns. Called on the thread that called it, with no lock of ours held; it may
 * block, and call any function of rthooks.
 */
struct rth_sink_callback {
    int (*write)(void *userdata, const void *data, size_t size_bytes);
    void *userdata;
};

RTH_END_DECLS

#endif /* RTHOOKS_SINK_H */
