/* SPDX-License-Identifier: MIT */
#ifndef RTH_RUNTIME_RUNTIME_H
#define RTH_RUNTIME_RUNTIME_H

#include "core/capability.h"

/* The row "runtime": /version, /debug/runtime/status and /debug/runtime/config. */
extern const struct rth_capability rth__runtime_capability;
/* The rows "log" and "fork": options alone. */
extern const struct rth_capability rth__log_capability;
extern const struct rth_capability rth__fork_capability;

/* What the status says of the start; written once, before our threads exist. */
struct rth_runtime_facts {
    bool autostarted;
    bool interposed;
    bool adopted_child;
    const char *interposer_reason; /* why not interposed, NULL when it is */
};
void rth__runtime_facts_set(const struct rth_runtime_facts *facts);
const struct rth_runtime_facts *rth__runtime_facts(void);

#endif /* RTH_RUNTIME_RUNTIME_H */
