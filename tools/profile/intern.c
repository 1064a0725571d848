/* SPDX-License-Identifier: MIT */
#include "profile/intern.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "profile/memory.h"

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return value ^ (value >> 32);
}

static uint64_t hash_of(const struct intern *intern, const char *key, size_t key_bytes)
{
    uint64_t hash = intern->seed ^ key_bytes;
    for (size_t at = 0; at < key_bytes; at += 8) {
        uint64_t word = 0;
        memcpy(&word, key + at, key_bytes - at < 8 ? key_bytes - at : 8);
        hash = mix(hash ^ word) + intern->seed;
    }
    return mix(hash);
}

/* The slot of the key, or the empty one where it belongs. */
static uint32_t *slot_of(const struct intern *intern, const char *key, size_t key_bytes)
{
    size_t mask = intern->slot_count - 1;
    for (size_t at = hash_of(intern, key, key_bytes) & mask;; at = (at + 1) & mask) {
        uint32_t number = intern->slots[at];
        if (number == 0 || (intern->key_bytes[number - 1] == key_bytes &&
                            memcmp(intern->keys[number - 1], key, key_bytes) == 0))
            return &intern->slots[at];
    }
}

static void rehash(struct intern *intern)
{
    if (intern->slot_count == 0 && getrandom(&intern->seed, sizeof(intern->seed), 0) < 0)
        intern->seed = (uintptr_t)intern;
    free(intern->slots);
    intern->slot_count = intern->slot_count > 0 ? 2 * intern->slot_count : 256;
    intern->slots = take(intern->slot_count, sizeof(*intern->slots));
    for (size_t i = 0; i < intern->count; i++)
        *slot_of(intern, intern->keys[i], intern->key_bytes[i]) = (uint32_t)i + 1;
}

uint32_t intern_number(struct intern *intern, const char *key, size_t key_bytes)
{
    if (2 * intern->count >= intern->slot_count)
        rehash(intern);
    uint32_t *slot = slot_of(intern, key, key_bytes);
    if (*slot == 0) {
        intern->keys = grow(intern->keys, intern->count, &intern->capacity, sizeof(*intern->keys));
        intern->key_bytes = grow(intern->key_bytes, intern->count, &intern->bytes_capacity,
                                 sizeof(*intern->key_bytes));
        intern->keys[intern->count] = key;
        intern->key_bytes[intern->count] = key_bytes;
        *slot = (uint32_t)++intern->count;
    }
    return *slot - 1;
}

void intern_free(struct intern *intern)
{
    free(intern->slots);
    free(intern->keys);
    free(intern->key_bytes);
    *intern = (struct intern){0};
}
