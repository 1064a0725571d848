/* SPDX-License-Identifier: MIT */
/*
 * encode_self {proto|bare|text} REPEAT: a profile of made-up samples in this program's own real
 * functions, as the runtime encodes it, on standard output; "bare" is without symbols. For
 * tests/integration/test_encode.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profile/encode.h"
#include "profile/text.h"

int demo_inner(int value) __asm__("_ZN4demo5innerEi");
int demo_outer(int value);

__attribute__((noinline)) int demo_inner(int value)
{
    return value * 3;
}

__attribute__((noinline)) int demo_outer(int value)
{
    return demo_inner(value) + 1;
}

static int write_standard_output(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    (void)sink;
    return fwrite(data, 1, size_bytes, stdout) == size_bytes ? 0 : -EIO;
}

int main(int argc, char **argv);

static rth_frame frame_in(uintptr_t function)
{
    return rth__frame_of_address_sigsafe(function + 1);
}

static int encode(const char *form, int64_t repeat, int root_fd, struct rth_sink *sink)
{
    static const struct rth_profile_value_type types[] = {{"samples", "count"},
                                                          {"cpu", "nanoseconds"}};
    static const char *const comments[] = {"made up"};
    static const struct rth_pprof_label labels[] = {
        {.key = "tenant", .text = "blue"}, {.key = "bytes", .number = 64, .unit = "bytes"}};
    const rth_frame stack[] = {frame_in((uintptr_t)demo_inner), frame_in((uintptr_t)demo_outer),
                               frame_in((uintptr_t)main)};
    const rth_frame in_libc[] = {frame_in((uintptr_t)getpid), stack[1], stack[2]};
    const int64_t values[] = {3 * repeat, 30000000 * repeat}, others[] = {1, 10000000};
    const struct rth_profile_row rows[] = {{stack, 3, values, NULL, 0},
                                           {in_libc, 3, others, labels, 2}};
    const struct rth_profile_rows all = {rows, 2};
    const struct rth_profile_naming naming = {.root_fd = root_fd,
                                              .symbols = strcmp(form, "bare") != 0};
    const struct rth_profile_description description = {
        .sample_types = types,
        .sample_type_count = 2,
        .period_type = types[1],
        .period = 10000000,
        .time_ns = 1700000000000000000,
        .duration_ns = 1000000000,
        .comments = comments,
        .comment_count = 1,
    };
    if (strcmp(form, "text") == 0)
        return rth__profile_text_counts("goroutine", &all, &naming, comments, 1, sink);
    return rth__profile_encode(&description, &all, &naming, sink);
}

int main(int argc, char **argv)
{
    struct rth_sink sink = {.write = write_standard_output};
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (argc != 3 || root_fd < 0 || rth__modules_refresh(root_fd) < 0)
        return 2;
    int result = encode(argv[1], strtol(argv[2], NULL, 10), root_fd, &sink);
    if (result < 0)
        (void)fprintf(stderr, "encode_self: %d\n", result);
    return result < 0 || fflush(stdout) != 0 || demo_outer(1) != 4;
}
