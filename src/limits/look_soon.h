/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_LOOK_SOON_H
#define RTH_LIMITS_LOOK_SOON_H

/* A look out of turn: by rth-collect, or by rth-admin in an adopted child. */

/* On any thread of the host, not within an allocation function. 0, or -EAGAIN: nobody looks here.
 */
int rth__look_soon(void);
void rth__look_soon_child_reset(void);

#endif /* RTH_LIMITS_LOOK_SOON_H */
