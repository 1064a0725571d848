/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_WRITE_H
#define RTH_PROFILE_WRITE_H

/* When rth_profile_write may run: the row "custom" opens and closes it. */

void rth__profile_writes_open(void);
/* Ends those that wait, and waits until they have, 5 s at most. */
void rth__profile_writes_close(void);
/* In an adopted child: whoever wrote is not here. */
void rth__profile_writes_child_reset(void);

#endif /* RTH_PROFILE_WRITE_H */
