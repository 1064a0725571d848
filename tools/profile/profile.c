/* SPDX-License-Identifier: MIT */
#include "profile/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/inflate.h"
#include "profile/label_text.h"
#include "profile/names.h"

static void take_frames(struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    struct frame *next = pool_take(&profile->pool, document->line_count * sizeof(*next));
    profile->locations = take(document->location_count, sizeof(*profile->locations));
    for (uint32_t row = 0; row < document->location_count; row++) {
        const struct rth_pprof_location_row *location = &document->locations[row];
        profile->locations[row] = (struct frames){next, location->line_count};
        for (uint32_t i = 0; i < location->line_count; i++) {
            const struct rth_pprof_line_row *line = &document->lines[location->first_line + i];
            *next = (struct frame){.name = "", .file = "", .line = line->line};
            if (line->function != RTH_PPROF_NO_ROW) {
                const struct rth_pprof_function_row *function =
                    &document->functions[line->function];
                next->name = function->name[0] != '\0' ? function->name : function->system_name;
                next->file = function->file;
            }
            next++;
        }
    }
}

int profile_read(const void *bytes, size_t size_bytes, struct profile *ret_profile,
                 char *ret_message, size_t message_size)
{
    struct profile profile = {0};
    char *plain = NULL;
    if (is_gzip(bytes, size_bytes)) {
        int error = inflate_gzip(bytes, size_bytes, RTH_PPROF_INPUT_BYTES_MAX, &plain, &size_bytes,
                                 ret_message, message_size);
        if (error != 0)
            return error;
        bytes = plain;
    }
    int error = rth__pprof_read(bytes, size_bytes, &malloc_allocator, &profile.document,
                                ret_message, message_size);
    free(plain);
    if (error != 0)
        return error;
    take_frames(&profile);
    profile_take_label_units(&profile);
    *ret_profile = profile;
    return 0;
}

void profile_free(struct profile *profile)
{
    rth__pprof_document_free(&profile->document, &malloc_allocator);
    free(profile->locations);
    pool_free(&profile->pool);
    *profile = (struct profile){0};
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* For code of which only the file is known. */
static const char *name_of_mapping(struct profile *profile, uint32_t mapping)
{
    if (mapping == RTH_PPROF_NO_ROW || profile->document.mappings[mapping].file[0] == '\0')
        return "<unknown>";
    const char *base = base_name(profile->document.mappings[mapping].file);
    size_t length = strlen(base);
    if (base[0] == '[')
        return base;
    char *name = pool_take(&profile->pool, length + 3);
    snprintf(name, length + 3, "[%s]", base);
    return name;
}

void profile_name_frames(struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    struct name_cache cache = {.pool = &profile->pool};
    const char **of_mapping = take(document->mapping_count + 1, sizeof(*of_mapping));
    for (uint32_t row = 0; row < document->location_count; row++) {
        struct frames *frames = &profile->locations[row];
        uint32_t count = frames->count > 0 ? frames->count : 1;
        struct frame *named = pool_take(&profile->pool, count * sizeof(*named));
        for (uint32_t i = 0; i < count; i++) {
            named[i] = frames->count > 0 ? frames->list[i] : (struct frame){.name = "", .file = ""};
            if (named[i].name[0] != '\0') {
                named[i].name = name_for_people(&cache, named[i].name);
                continue;
            }
            uint32_t mapping = document->locations[row].mapping;
            uint32_t place = mapping != RTH_PPROF_NO_ROW ? mapping : document->mapping_count;
            if (of_mapping[place] == NULL)
                of_mapping[place] = name_of_mapping(profile, mapping);
            named[i].name = of_mapping[place];
        }
        *frames = (struct frames){named, count};
    }
    free(of_mapping);
    name_cache_free(&cache);
}

int profile_type(const struct profile *profile, const char *name)
{
    const struct rth_pprof_document *document = &profile->document;
    const char *wanted = name != NULL ? name : document->default_type;
    for (uint32_t i = 0; i < document->type_count; i++) {
        if (strcmp(document->types[i].type, wanted) == 0)
            return (int)i;
    }
    return name != NULL ? -1 : (int)document->type_count - 1;
}

int64_t profile_value(const struct profile *profile, uint32_t sample, int type)
{
    return profile->document.values[(size_t)sample * profile->document.type_count + (size_t)type];
}

bool profile_same_types(const struct profile *left, const struct profile *right)
{
    if (left->document.type_count != right->document.type_count)
        return false;
    for (uint32_t i = 0; i < left->document.type_count; i++) {
        const struct rth_pprof_type_row *one = &left->document.types[i];
        const struct rth_pprof_type_row *other = &right->document.types[i];
        if (strcmp(one->type, other->type) != 0 || strcmp(one->unit, other->unit) != 0)
            return false;
    }
    return true;
}

const char *profile_program(const struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    return document->mapping_count > 0 ? base_name(document->mappings[0].file) : "";
}
