/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_BOOT_H
#define RTH_INTERPOSE_BOOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who gets our entries of the environment at its next exec or spawn. */
enum rth__boot_hand_on {
    RTH__HAND_ON_NONE, /* nobody: we are not meant, or privileged, or nobody ran `rthooks run` */
    RTH__HAND_ON_SAME_PID, /* the next image of this process alone */
    RTH__HAND_ON_ALL,      /* --follow, or --match EXE that this process is not: descendants too */
};

/* Written once before main, then read by anyone. */
struct rth__boot {
    enum rth__boot_hand_on hand_on;
    uint32_t autostart;
    uint32_t said_start;
    uint32_t follow;
    pid_t pid;     /* of the process that booted; a child's copy keeps its parent's */
    char said[96]; /* RTHOOKS_RUN_SAID=PID:STARTTIME of that process */
};

/* Does the work on the first call, then only answers. The constructor and attach. */
const struct rth__boot *rth__interpose_boot(void);
/* Only answers: before boot, that nothing is to be done. Signal-safe. */
const struct rth__boot *rth__boot_result(void);

#endif /* RTH_INTERPOSE_BOOT_H */
