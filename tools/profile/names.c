/* SPDX-License-Identifier: MIT */
#include "profile/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "formats/demangle.h"

#define ANONYMOUS "(anonymous namespace)"
#define OPERATOR  "operator"

/* A name being shortened: out never overtakes in, they share the buffer. */
struct shortening {
    const char *in;
    char *start, *out;
    char *word;          /* behind the last blank that separates a return type */
    bool after_template; /* what was written last had template arguments */
};

/* The end of what opens at text: '<' or '(' or '{' to its partner; the end of the text without. */
static const char *end_of_group(const char *text)
{
    char closers[256];
    size_t depth = 0;
    const char *at = text;
    do {
        char open = *at;
        if (depth > 0 && open == closers[depth - 1]) {
            depth--;
        } else if (open == '(' || open == '{' || (open == '<' && at[1] != '=')) {
            if (depth == sizeof(closers))
                return at + strlen(at);
            closers[depth++] = open == '(' ? ')' : open == '{' ? '}' : '>';
        } else if (open == '-' && at[1] == '>') {
            at++;
        }
    } while (*at != '\0' && *++at != '\0' && depth > 0);
    return at;
}

static void copy(struct shortening *name, size_t length)
{
    memmove(name->out, name->in, length);
    name->in += length;
    name->out += length;
    name->after_template = false;
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "operator" and what belongs to it: symbols, "()", " new", " delete[]", a type. */
static void copy_operator(struct shortening *name)
{
    const char *at = name->in + strlen(OPERATOR);
    if (starts(at, "()")) {
        at += 2;
    } else if (ispunct((unsigned char)*at) && *at != '_') {
        at += strspn(at, "<>=!+-*/%^&|~,[]");
    } else {
        at += strcspn(at, "<(");
    }
    copy(name, (size_t)(at - name->in));
    /* "operator<< <int>": the blank separates nothing. */
    if (starts(name->in, " <"))
        name->in++;
}

/* Behind the parameters: "const", "&" and the like go, " [clone .cold]" stays. */
static void skip_qualifiers(struct shortening *name)
{
    static const char *const qualifiers[] = {" const", " volatile", " &&", " &", " noexcept"};
    for (size_t i = 0; i < sizeof(qualifiers) / sizeof(qualifiers[0]);) {
        if (starts(name->in, qualifiers[i])) {
            name->in += strlen(qualifiers[i]);
            i = 0;
        } else {
            i++;
        }
    }
}

/* Only functions made from templates are printed with their return type. */
static void drop_return_type(struct shortening *name)
{
    if (!name->after_template || name->word == name->start)
        return;
    size_t length = (size_t)(name->out - name->word);
    memmove(name->start, name->word, length);
    name->out = name->start + length;
    name->word = name->start;
}

void shorten_cxx_name(char *text)
{
    struct shortening name = {.in = text, .start = text, .out = text, .word = text};
    while (*name.in != '\0') {
        bool in_word =
            name.out > name.start && (isalnum((unsigned char)name.out[-1]) || name.out[-1] == '_');
        if (starts(name.in, ANONYMOUS)) {
            copy(&name, strlen(ANONYMOUS));
        } else if (!in_word && starts(name.in, OPERATOR) &&
                   !isalnum((unsigned char)name.in[strlen(OPERATOR)]) &&
                   name.in[strlen(OPERATOR)] != '_') {
            copy_operator(&name);
        } else if (*name.in == '{' || starts(name.in, " [clone")) {
            copy(&name,
                 *name.in == '{' ? (size_t)(end_of_group(name.in) - name.in) : strlen(name.in));
        } else if (*name.in == '<') {
            name.in = end_of_group(name.in);
            name.after_template = true;
        } else if (*name.in == '(') {
            name.in = end_of_group(name.in);
            drop_return_type(&name);
            skip_qualifiers(&name);
        } else {
            bool blank = *name.in == ' ';
            copy(&name, 1);
            if (blank)
                name.word = name.out;
        }
    }
    *name.out = '\0';
}

const char *name_for_people(struct name_cache *cache, const char *name)
{
    char text[RTH_DEMANGLED_BYTES];
    if (name[0] != '_' || name[1] != 'Z')
        return name;
    size_t known = cache->known.count;
    uint32_t number = intern_number(&cache->known, name, strlen(name));
    if (cache->known.count == known)
        return cache->names[number];
    cache->names = grow(cache->names, number, &cache->capacity, sizeof(*cache->names));
    const char *result = name;
    if (rth__demangle(name, text, sizeof(text)) == 0) {
        shorten_cxx_name(text);
        if (text[0] != '\0')
            result = pool_text(cache->pool, text, strlen(text));
    }
    return cache->names[number] = result;
}

void name_cache_free(struct name_cache *cache)
{
    intern_free(&cache->known);
    free(cache->names);
}
