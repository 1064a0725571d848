/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_FLAME_H
#define RTH_TOOLS_PROFILE_FLAME_H

/*
 * A flame graph as one SVG file: callers below, callees above, siblings by name, so that the same
 * profile always gives the same bytes. It carries a small script (zoom by click, search by
 * Ctrl-F); without one, tooltips still work. Nothing is loaded from elsewhere.
 */

#include <stdio.h>

#include "profile/profile.h"
#include "profile/selection.h"

struct flame;

struct flame *flame_new(void);
/* The profile's frames are named, and it outlives the flame. Samples of no or negative value are
 * left out. */
void flame_add(struct flame *flame, const struct profile *profile, int type,
               const struct selection *selection);
int64_t flame_total(const struct flame *flame);
/* title: "redis-server: cpu". unit: of the values, as the profile names it. */
void flame_write(struct flame *flame, FILE *out, const char *title, const char *unit);
void flame_free(struct flame *flame);

#endif /* RTH_TOOLS_PROFILE_FLAME_H */
