/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_LOADER_H
#define RTH_RECORD_LOADER_H

/*
 * Whether the host may have loaded or unloaded a library, as the interposer's count of dlopen and
 * dlclose tells. Without an interposer nobody tells; the walker's own misses and the start of each
 * capture have to do.
 */

#include <stdbool.h>
#include <stdint.h>

/* counter: rises before each call of the loader; stays valid for ever; NULL: there is none. */
void rth__loader_watch(const volatile uint64_t *counter);
/* True after a change and once more: the call that was counted may not have been over at the first
 * look. rth-work. */
bool rth__loader_changed(void);
/* True from a change until the next look. Signal-safe. */
bool rth__loader_moved_sigsafe(void);

#endif /* RTH_RECORD_LOADER_H */
