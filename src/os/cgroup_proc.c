/* SPDX-License-Identifier: MIT */
/* The two texts that say where a process's cgroups are. Character by character: a mount of many
 * layers has a line that fills pages, and nothing of it may hide what stands behind it. */
#include <errno.h>
#include <string.h>

#include "os/cgroup_level.h"
#include "os/cgroup_parse.h"
#include "os/fd.h"
#include "os/rawsys.h"

#define HASH_START  UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define HASH_FACTOR UINT64_C(0x100000001b3)

#define NO_CHARACTER (-1)

void rth__chars_of_text(struct rth_chars *chars, const char *text, size_t size_bytes)
{
    *chars = (struct rth_chars){.fd = -1, .at = text, .end = text + size_bytes};
}

void rth__chars_of_fd(struct rth_chars *chars, int fd, char *buffer, size_t capacity_bytes)
{
    *chars = (struct rth_chars){
        .fd = fd, .at = buffer, .end = buffer, .buffer = buffer, .capacity_bytes = capacity_bytes};
}

static bool refill(struct rth_chars *chars)
{
    if (chars->fd < 0 || chars->error < 0)
        return false;
    ssize_t got = rth__read_some(chars->fd, chars->buffer, chars->capacity_bytes);
    if (got < 0)
        chars->error = (int)got;
    chars->at = chars->buffer;
    chars->end = chars->buffer + (got > 0 ? got : 0);
    return got > 0;
}

/* The character that next() would take; NO_CHARACTER at the end. */
static int peek(struct rth_chars *chars)
{
    return chars->at < chars->end || refill(chars) ? (unsigned char)*chars->at : NO_CHARACTER;
}

static int next(struct rth_chars *chars)
{
    int c = peek(chars);
    if (c != NO_CHARACTER)
        chars->at++;
    return c;
}

static int next_hashed(struct rth_chars *chars, uint64_t *hash)
{
    int c = next(chars);
    if (c != NO_CHARACTER)
        *hash = (*hash ^ (uint64_t)c) * HASH_FACTOR;
    return c;
}

/* ---- /proc/PID/cgroup: "id:controllers:path" ---- */

/* Words of a list that is told character by character. */
struct word {
    char text[16];
    size_t size_bytes; /* above the capacity: of no word that we know */
};

static void word_add(struct word *word, int c)
{
    if (word->size_bytes < sizeof(word->text))
        word->text[word->size_bytes] = (char)c;
    if (word->size_bytes <= sizeof(word->text))
        word->size_bytes++;
}

static bool word_is(const struct word *word, const char *wanted)
{
    return word->size_bytes == strlen(wanted) && memcmp(word->text, wanted, word->size_bytes) == 0;
}

static unsigned controller_of(const struct word *word)
{
    if (word_is(word, "memory"))
        return RTH_CGROUP_MEMORY;
    if (word_is(word, "cpu"))
        return RTH_CGROUP_CPU;
    return word_is(word, "cpuset") ? RTH_CGROUP_CPUSET : 0;
}

struct membership_line {
    bool is_unified; /* "0::" */
    unsigned controllers;
    size_t path_bytes; /* as it is, also where it does not fit */
    char path[RTH_CGROUP_PATH_BYTES];
};

/* Ends behind the newline in any case. False: malformed. Paths are as the kernel has them: no
 * escapes, and any ':' behind the second is theirs. */
static bool membership_line_read(struct rth_chars *chars, uint64_t *hash,
                                 struct membership_line *line)
{
    struct word id = {.size_bytes = 0}, word = {.size_bytes = 0};
    bool has_controllers = false, is_good = true;
    int field = 0, c;

    line->controllers = 0;
    line->path_bytes = 0;
    while ((c = next_hashed(chars, hash)) != '\n' && c != NO_CHARACTER) {
        if (field == 2) {
            if (line->path_bytes < sizeof(line->path) - 1)
                line->path[line->path_bytes] = (char)c;
            line->path_bytes++;
            is_good &= c != '\0';
        } else if (c == ':') {
            line->controllers |= field == 1 ? controller_of(&word) : 0;
            field++;
        } else if (field == 0) {
            is_good &= c >= '0' && c <= '9';
            word_add(&id, c);
        } else {
            has_controllers = true;
            if (c != ',') {
                word_add(&word, c);
                continue;
            }
            line->controllers |= controller_of(&word);
            word.size_bytes = 0;
        }
    }
    if (line->path_bytes < sizeof(line->path))
        line->path[line->path_bytes] = '\0';
    line->is_unified = word_is(&id, "0") && !has_controllers;
    return is_good && c == '\n' && field == 2 && id.size_bytes > 0 && line->path_bytes > 0 &&
           line->path[0] == '/';
}

/* The first line that names a controller is the one. */
static void membership_take(struct rth_cgroup_place *place, int version,
                            const struct membership_line *line)
{
    if (place->version != 0 || place->error < 0)
        return;
    if (line->path_bytes >= sizeof(line->path)) {
        place->error = -ENAMETOOLONG;
        return;
    }
    place->version = version;
    memcpy(place->hierarchy, line->path, line->path_bytes + 1);
}

static void inherit_unified(struct rth_cgroup_place *place, const struct rth_cgroup_place *unified,
                            int malformed)
{
    if (place->version != 0 || place->error < 0)
        return;
    if (malformed < 0)
        place->error = malformed;
    else
        *place = *unified;
}

int rth__cgroup_membership_parse(struct rth_chars *chars, struct rth_cgroups *cgroups)
{
    struct rth_cgroup_place *const places[] = {&cgroups->memory, &cgroups->cpu, &cgroups->cpuset};
    struct membership_line line;
    int malformed = 0;

    memset(cgroups, 0, sizeof(*cgroups));
    cgroups->membership = HASH_START;
    while (peek(chars) != NO_CHARACTER) {
        if (!membership_line_read(chars, &cgroups->membership, &line)) {
            malformed = -EBADMSG;
            continue;
        }
        if (line.is_unified)
            membership_take(&cgroups->unified, 2, &line);
        for (unsigned i = 0; i < 3; i++) {
            if (line.controllers & (1u << i))
                membership_take(places[i], 1, &line);
        }
    }
    if (chars->error < 0)
        malformed = chars->error;
    for (unsigned i = 0; i < 3; i++)
        inherit_unified(places[i], &cgroups->unified, malformed);
    if (malformed < 0 && cgroups->unified.version == 0 && cgroups->unified.error == 0)
        cgroups->unified.error = malformed;
    cgroups->error = chars->error;
    return chars->error;
}

int rth__cgroup_membership_pread(int fd, uint64_t *ret_membership)
{
    char piece[256];
    uint64_t hash = HASH_START;
    long got, offset = 0;

    while ((got = RTH__RAW(SYS_pread64, fd, piece, sizeof(piece), offset)) != 0) {
        if (got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        for (long i = 0; i < got; i++)
            hash = (hash ^ (unsigned char)piece[i]) * HASH_FACTOR;
        offset += got;
    }
    *ret_membership = hash;
    return 0;
}

/* ---- /proc/PID/mountinfo ----
 * "36 35 98:0 /root /mount options optional… - type source super-options" */

struct path_field {
    char *text; /* of RTH_CGROUP_PATH_BYTES */
    size_t size_bytes;
    bool is_bad;
};

static int octal_digit(struct rth_chars *chars)
{
    int c = peek(chars);
    return c >= '0' && c <= '7' ? next(chars) - '0' : -1;
}

/* What stands behind a backslash, which itself is always written as one of these. */
static int octal_character(struct rth_chars *chars)
{
    int high = octal_digit(chars);
    int middle = high >= 0 ? octal_digit(chars) : -1;
    int low = middle >= 0 ? octal_digit(chars) : -1;
    int value = high * 64 + middle * 8 + low;

    return low >= 0 && value > 0 && value <= 255 ? value : NO_CHARACTER;
}

static bool is_field_end(int c)
{
    return c == ' ' || c == '\n' || c == NO_CHARACTER;
}

/* Over the blank behind a field; false at the end of the line. */
static bool skip_blank(struct rth_chars *chars)
{
    return peek(chars) == ' ' && next(chars) == ' ';
}

static void path_field_read(struct rth_chars *chars, struct path_field *field)
{
    while (!is_field_end(peek(chars))) {
        int c = next(chars);
        if (c == '\\')
            c = octal_character(chars);
        if (c == NO_CHARACTER || c == '\0')
            field->is_bad = true;
        if (field->size_bytes < RTH_CGROUP_PATH_BYTES - 1)
            field->text[field->size_bytes] = (char)c;
        field->size_bytes++;
    }
    field->text[field->size_bytes < RTH_CGROUP_PATH_BYTES ? field->size_bytes
                                                          : RTH_CGROUP_PATH_BYTES - 1] = '\0';
}

static void word_read(struct rth_chars *chars, struct word *word)
{
    word->size_bytes = 0;
    while (!is_field_end(peek(chars)))
        word_add(word, next(chars));
}

static void skip_line(struct rth_chars *chars)
{
    int c;
    do {
        c = next(chars);
    } while (c != '\n' && c != NO_CHARACTER);
}

/* The rest of the line, its newline included; options may hold blanks. */
static bool super_options_read(struct rth_chars *chars, unsigned *ret_controllers)
{
    struct word word = {.size_bytes = 0};
    int c;

    *ret_controllers = 0;
    do {
        c = next(chars);
        if (c != ',' && c != ' ' && c != '\n' && c != NO_CHARACTER) {
            word_add(&word, c);
            continue;
        }
        *ret_controllers |= controller_of(&word);
        word.size_bytes = 0;
    } while (c != '\n' && c != NO_CHARACTER);
    return c == '\n';
}

bool rth__cgroup_path_has_parent(const char *path)
{
    for (const char *at = strstr(path, "/.."); at != NULL; at = strstr(at + 1, "/.."))
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

/* One line. 1, 0 for a mount of another kind, -EBADMSG, -ENAMETOOLONG. */
static int mount_line_read(struct rth_chars *chars, struct rth_cgroup_mount *mount)
{
    struct path_field root = {.text = mount->root}, point = {.text = mount->mount};
    struct word word;
    bool more = true;

    for (int i = 0; i < 3 && more; i++) {
        word_read(chars, &word);
        more = skip_blank(chars);
    }
    if (more) {
        path_field_read(chars, &root);
        more = skip_blank(chars);
    }
    if (more) {
        path_field_read(chars, &point);
        more = skip_blank(chars);
    }
    for (bool is_separator = false; more && !is_separator;) {
        word_read(chars, &word);
        is_separator = word_is(&word, "-");
        more = skip_blank(chars);
    }
    if (more) {
        word_read(chars, &word);
        more = skip_blank(chars);
    }
    mount->version = !more ? 0 : word_is(&word, "cgroup2") ? 2 : word_is(&word, "cgroup");
    if (!more || mount->version == 0) {
        skip_line(chars);
        return more ? 0 : -EBADMSG;
    }
    word_read(chars, &word); /* the source */
    if (!super_options_read(chars, &mount->controllers))
        return -EBADMSG;
    if (root.is_bad || point.is_bad || mount->root[0] != '/' || mount->mount[0] != '/' ||
        rth__cgroup_path_has_parent(mount->mount))
        return -EBADMSG;
    if (root.size_bytes >= RTH_CGROUP_PATH_BYTES || point.size_bytes >= RTH_CGROUP_PATH_BYTES)
        return -ENAMETOOLONG;
    return 1;
}

int rth__cgroup_mount_next(struct rth_chars *chars, struct rth_cgroup_mount *ret_mount)
{
    int result = 0;

    *ret_mount = (struct rth_cgroup_mount){.version = 0};
    while (result == 0 && peek(chars) != NO_CHARACTER)
        result = mount_line_read(chars, ret_mount);
    return chars->error < 0 ? chars->error : result;
}
