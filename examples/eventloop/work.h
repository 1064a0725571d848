/* SPDX-License-Identifier: MIT */
#ifndef EVENTLOOP_WORK_H
#define EVENTLOOP_WORK_H

#include <stddef.h>
#include <stdint.h>

/* Uses so much CPU time of the calling thread, however long that takes. */
void burn_cpu(uint64_t cpu_ms);

/* Memory that was written to, to be given to free; NULL when there is none. */
void *take_memory(size_t bytes);

#endif
