/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_INTERN_H
#define RTH_TOOLS_PROFILE_INTERN_H

/* Keys numbered from 0 in the order they first came. The hash is seeded at random: no file can be
 * made to collide. */

#include <stddef.h>
#include <stdint.h>

struct intern {
    uint32_t *slots; /* number + 1, 0 for empty */
    size_t slot_count;
    const char **keys;
    size_t *key_bytes;
    size_t count, capacity, bytes_capacity;
    uint64_t seed;
};

/* Zeros are an empty table. The key is kept, not copied, when it is new. */
uint32_t intern_number(struct intern *intern, const char *key, size_t key_bytes);
void intern_free(struct intern *intern);

#endif /* RTH_TOOLS_PROFILE_INTERN_H */
