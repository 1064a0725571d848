/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_GZIP_H
#define RTH_FORMATS_GZIP_H

/*
 * A sink that compresses into another sink: one gzip member, fastest level, as Go writes its
 * profiles. Below 256 KiB of memory in all, every byte of it from the caller's allocator, given
 * back by rth__gzip_free.
 */

#include "formats/allocator.h"
#include "formats/sink.h"

struct rth_gzip;

/* Both pointers must outlive the result. 0 or -ENOMEM. Nothing is written below yet. */
int rth__gzip_new(struct rth_sink *below, const struct rth_allocator *allocator,
                  struct rth_gzip **ret_gzip);
/* Where to write what is to be compressed. It is cancelled when the sink below is. */
struct rth_sink *rth__gzip_sink(struct rth_gzip *gzip);
/* Writes what is still inside and the trailer; the last call but rth__gzip_free. Returns the first
 * error of either sink: what arrived below is a whole member only when that is 0. */
int rth__gzip_finish(struct rth_gzip *gzip);
/* Without rth__gzip_finish before it, the member stays cut: for errors and cancelled captures.
 * NULL is fine. */
void rth__gzip_free(struct rth_gzip *gzip);

#endif /* RTH_FORMATS_GZIP_H */
