/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_EVIDENCE_H
#define RTH_LIMITS_EVIDENCE_H

/* When memory runs short, what is to be looked at afterwards is collected: episodes. */

#include "limits/look.h"

/* Of a state that was entered from a lower one. */
void rth__evidence_of_state(const struct rth_memory_transition *transition);
/* At each look, with the state: what could not begin since another episode was being collected. */
void rth__evidence_again(int state);
void rth__evidence_of_prediction(const struct rth_memory_look *look, int64_t growth_bytes_per_s);
/* Collecting ends where writing a file may be what kills. At each look. */
void rth__evidence_danger(const struct rth_memory_look *look);
void rth__evidence_reset(void);
/* The artefact "cgroup": the files of the cgroups that decide, as they are. */
struct rth_call;
struct rth_sink;
int rth__evidence_write_cgroup(struct rth_call *call, struct rth_sink *sink);

#endif /* RTH_LIMITS_EVIDENCE_H */
