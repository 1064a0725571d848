/* SPDX-License-Identifier: MIT */
/*
 * /debug/pprof/symbol: names for program counters, as pprof clients ask for them when a profile
 * came without. The question is the raw query of a GET or the body of a POST: numbers with '+'
 * between. The answer is 200 whatever was asked: "num_symbols: 1", which says that names can be
 * had at all, then a line for each number that has one. Names are as the file has them; the client
 * demangles.
 *
 * Threads: rth-work. Failure: a number without a name has no line; 503 when memory is short.
 * Cost: the symbol tables of the modules asked about are read once per question.
 */
#include "profile/symbol.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "record/module.h"
#include "symbols/symbols.h"
#include "unwind/unwind.h"

struct question {
    size_t capacity, count;
    uint64_t *addresses; /* in the order asked */
    rth_frame *frames;   /* of the same; 0 where no module is */
};

/* ---- numbers ------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 36;
}

/* Takes the prefix off; the zero of an octal number counts as a digit before an underscore. */
static int take_base(const char **text, size_t *size_bytes)
{
    char second = *size_bytes > 2 ? (char)((*text)[1] | 0x20) : '\0';
    if (*size_bytes < 2 || (*text)[0] != '0')
        return 10;
    int base = second == 'x' ? 16 : second == 'o' ? 8 : second == 'b' ? 2 : 0;
    size_t prefix_bytes = base != 0 ? 2 : 1;
    *text += prefix_bytes;
    *size_bytes -= prefix_bytes;
    return base != 0 ? base : 8;
}

bool rth__symbol_number_parse(const char *text, size_t size_bytes, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *start = text;
    int base = take_base(&text, &size_bytes);
    bool after_digit = text != start; /* a prefix stands for one */
    if (size_bytes == 0)
        return false;
    for (size_t i = 0; i < size_bytes; i++) {
        if (text[i] == '_') {
            if (!after_digit)
                return false;
            after_digit = false;
            continue;
        }
        int digit = digit_of(text[i]);
        if (digit >= base || __builtin_mul_overflow(number, (uint64_t)base, &number) ||
            __builtin_add_overflow(number, (uint64_t)digit, &number))
            return false;
        after_digit = true;
    }
    if (!after_digit)
        return false;
    *ret_number = number;
    return true;
}

/* ---- addresses ----------------------------------------------------------------------------- */

/* Code that was unloaded keeps its names, where only one module can have been meant. */
static rth_frame frame_of_unloaded(uint64_t address)
{
    rth_frame frame = 0;
    for (uint32_t id = 1; id < RTH_MODULES_MAX; id++) {
        const struct rth_module *module = rth__module_by_id_sigsafe(id);
        if (module == NULL)
            break;
        if (module->loaded || address < module->last_exec_start ||
            address >= module->last_exec_limit)
            continue;
        if (frame != 0)
            return 0;
        frame = rth__frame_make(id, address - module->last_load_bias);
    }
    return frame;
}

static rth_frame frame_of(uint64_t address)
{
    rth_frame frame = rth__frame_of_address_sigsafe(address);
    if (rth__frame_module_id(frame) != 0)
        return frame;
    return frame_of_unloaded(address);
}

/* Also '&' separates, so that a GET may have other parameters beside. */
static size_t word_length(const char *text, size_t size_bytes)
{
    size_t length = 0;
    while (length < size_bytes && text[length] != '+' && text[length] != '&')
        length++;
    return length;
}

static size_t count_words(const char *text, size_t size_bytes)
{
    size_t count = 0;
    for (size_t at = 0; at < size_bytes; count++)
        at += word_length(text + at, size_bytes - at) + 1;
    return count;
}

static void take_words(struct question *question, const char *text, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes && question->count < question->capacity;) {
        size_t length = word_length(text + at, size_bytes - at);
        uint64_t address;
        if (rth__symbol_number_parse(text + at, length, &address) && address != 0) {
            question->addresses[question->count] = address;
            question->frames[question->count++] = frame_of(address);
        }
        at += length + 1;
    }
}

/* ---- answer -------------------------------------------------------------------------------- */

static bool is_cancelled(void *userdata)
{
    return rth__sink_cancelled(userdata);
}

static int write_names(const struct question *question, struct rth_sink *sink)
{
    struct rth_symbol_set *set = rth__symbol_set_new(question->frames, question->count);
    if (set == NULL)
        return -ENOMEM;
    int error = rth__symbol_set_resolve(set, rth__root_fd(), is_cancelled, sink);
    for (size_t i = 0; error == 0 && i < question->count; i++) {
        struct rth_symbol symbol = rth__symbol_find(set, question->frames[i]);
        if (symbol.name == NULL)
            continue;
        (void)rth__sink_printf(sink, "0x%llx ", (unsigned long long)question->addresses[i]);
        (void)rth__sink_puts(sink, symbol.name);
        (void)rth__sink_puts(sink, "\n");
    }
    rth__symbol_set_free(set);
    return error;
}

static int answer(struct question *question, const char *text, size_t size_bytes,
                  struct rth_sink *sink)
{
    size_t list_bytes = question->capacity * sizeof(uint64_t);
    int error = -ENOMEM;
    question->addresses = rth__arena_alloc_nomalloc(list_bytes);
    question->frames = rth__arena_alloc_nomalloc(list_bytes);
    if (question->addresses != NULL && question->frames != NULL) {
        /* Fails where /proc is missing: then what is known already has to do. The walker's refresh,
         * so that no module is ever known without its rows. */
        (void)rth__unwind_refresh(rth__root_fd());
        take_words(question, text, size_bytes);
        (void)rth__sink_puts(sink, "num_symbols: 1\n");
        error = write_names(question, sink);
    }
    rth__arena_free_nomalloc(question->frames, list_bytes);
    rth__arena_free_nomalloc(question->addresses, list_bytes);
    return error != 0 ? error : sink->error;
}

int rth__symbol_write(struct rth_call *call, struct rth_sink *sink)
{
    const char *text = call->body != NULL ? call->body : call->params.query;
    size_t size_bytes = call->body != NULL ? call->body_bytes : call->params.query_bytes;
    struct question question = {.capacity = text != NULL ? count_words(text, size_bytes) : 0};
    if (question.capacity == 0)
        return rth__sink_puts(sink, "num_symbols: 1\n");
    return answer(&question, text, size_bytes, sink);
}
