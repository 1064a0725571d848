/* SPDX-License-Identifier: MIT */
#include "profile/label_frames.h"

#include <stdlib.h>
#include <string.h>

#include "profile/intern.h"
#include "profile/label_text.h"

#define NO_VALUE UINT32_MAX

struct pair {
    uint32_t value, key;
};

/* Locations of the document, then those that are new. */
struct added {
    struct profile *profile;
    struct intern values, pairs;
    struct label_buffer buffer;
    struct rth_pprof_location_row *rows;
    struct frames *frames;
    size_t count, row_capacity, frame_capacity;
    uint64_t next_id;
};

bool label_keys_parse(const char *text, struct label_keys *ret_keys)
{
    struct label_keys keys = {.text = take(strlen(text) + 1, 1)};
    memcpy(keys.text, text, strlen(text));
    char *rest = keys.text;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (name[0] == '\0')
            continue;
        if (keys.count == LABEL_KEYS_MAX) {
            free(keys.text);
            return false;
        }
        keys.names[keys.count++] = name;
    }
    *ret_keys = keys;
    return true;
}

void label_keys_free(struct label_keys *keys)
{
    free(keys->text);
    *keys = (struct label_keys){0};
}

/* value NULL: the sample has none. */
static void add_location(struct added *added, const char *value, const char *key)
{
    struct frame *frame = pool_take(&added->profile->pool, sizeof(*frame));
    *frame = (struct frame){.name = value != NULL ? value : "<unknown>", .file = key};
    added->rows = grow(added->rows, added->count, &added->row_capacity, sizeof(*added->rows));
    added->frames =
        grow(added->frames, added->count, &added->frame_capacity, sizeof(*added->frames));
    added->rows[added->count] =
        (struct rth_pprof_location_row){.id = added->next_id++, .mapping = RTH_PPROF_NO_ROW};
    added->frames[added->count] = (struct frames){frame, 1};
    added->count++;
}

/* The row of a key's value. which: the number of the key. */
static uint32_t location_of(struct added *added, uint32_t sample, const char *key, uint32_t which)
{
    struct profile *profile = added->profile;
    const char *text = labels_of_sample(profile, sample, key, false, &added->buffer);
    struct pair pair = {.value = NO_VALUE, .key = which};
    if (text != NULL) {
        pair.value = intern_number(&added->values, text, strlen(text));
        const char **kept = &added->values.keys[pair.value];
        /* The table keeps the text. */
        if (*kept == text)
            *kept = pool_text(&profile->pool, text, strlen(text));
    }
    uint32_t number = intern_number(&added->pairs, (const char *)&pair, sizeof(pair));
    size_t row = (size_t)profile->document.location_count + number;
    if (row == added->count) {
        struct pair *kept = pool_take(&profile->pool, sizeof(*kept));
        *kept = pair;
        added->pairs.keys[number] = (const char *)kept;
        add_location(added, text != NULL ? added->values.keys[pair.value] : NULL, key);
    }
    return (uint32_t)row;
}

static struct added added_start(struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    struct added added = {.profile = profile, .count = document->location_count};
    added.row_capacity = added.frame_capacity = (size_t)document->location_count + 64;
    added.rows = take(added.row_capacity, sizeof(*added.rows));
    added.frames = take(added.frame_capacity, sizeof(*added.frames));
    for (uint32_t row = 0; row < document->location_count; row++) {
        added.rows[row] = document->locations[row];
        added.frames[row] = profile->locations[row];
        if (document->locations[row].id >= added.next_id)
            added.next_id = document->locations[row].id;
    }
    added.next_id++;
    return added;
}

void profile_add_label_frames(struct profile *profile, const struct label_keys *roots,
                              const struct label_keys *leaves)
{
    struct rth_pprof_document *document = &profile->document;
    size_t keys = roots->count + leaves->count, next = 0;
    if (keys == 0)
        return;
    struct added added = added_start(profile);
    uint32_t *locations = pool_take(
        &profile->pool,
        (document->sample_location_count + keys * document->sample_count) * sizeof(*locations));
    for (uint32_t row = 0; row < document->sample_count; row++) {
        struct rth_pprof_sample_row *sample = &document->samples[row];
        size_t first = next;
        for (size_t i = leaves->count; i-- > 0;)
            locations[next++] = location_of(&added, row, leaves->names[i], (uint32_t)i);
        for (uint32_t i = 0; i < sample->location_count; i++)
            locations[next++] = document->sample_locations[sample->first_location + i];
        for (size_t i = roots->count; i-- > 0;)
            locations[next++] =
                location_of(&added, row, roots->names[i], (uint32_t)(leaves->count + i));
        sample->first_location = (uint32_t)first;
        sample->location_count += (uint32_t)keys;
    }
    document->sample_locations = locations;
    document->sample_location_count = (uint32_t)next;
    document->location_count = (uint32_t)added.count;
    document->locations = pool_take(&profile->pool, added.count * sizeof(*added.rows));
    memcpy(document->locations, added.rows, added.count * sizeof(*added.rows));
    free(added.rows);
    free(profile->locations);
    profile->locations = added.frames;
    intern_free(&added.values);
    intern_free(&added.pairs);
    label_buffer_free(&added.buffer);
}
