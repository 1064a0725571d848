/* SPDX-License-Identifier: MIT */

/*
 * `rthooks threads`: what every thread does. A process that is hooked is asked; of one that is not,
 * or that no longer answers, it is read from /proc, so it works for any process. A socket or URL is
 * asked. All become the same document, the one of /debug/runtime/threads, and the same table; who
 * waits for whom is drawn below it.
 */

#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/http.h"
#include "client/process.h"
#include "client/target.h"
#include "cmd/pprof.h"
#include "cmd/threads.h"
#include "os/dir.h"
#include "os/fd.h"
#include "os/procfs.h"

static const char help[] =
    "Usage: rthooks threads [--sort KEY] [--json] TARGET\n"
    "       rthooks threads --stacks [--json] TARGET\n"
    "       rthooks threads --diff [--json] OLD NEW\n"
    "       rthooks threads --diff --seconds N [--json] TARGET\n"
    "\n"
    "Lists the threads of TARGET: a process id (any process: asked where it is hooked, else read\n"
    "from /proc), a Unix socket or a URL (asked), or a file saved from /debug/runtime/threads.\n"
    "Below the list: deadlocks, which are exit status 1, and the locks that threads wait for.\n"
    "\n"
    "With --stacks, where they are: threads with the same stack are one group, the largest first.\n"
    "TARGET is then a hooked process, a Unix socket, a URL, or a file saved from\n"
    "/debug/pprof/threads (`rthooks pprof fetch --profile threads`). With --diff, which stacks "
    "have\n"
    "more or fewer threads in NEW than in OLD, or in TARGET after N seconds than before.\n"
    "\n"
    "  --sort KEY           cpu (default), age, name or tid\n"
    "  --stacks             the stacks, innermost function first\n"
    "  --diff               what has changed; what stayed cancels out\n"
    "  --seconds N          time between the two dumps that --diff takes of TARGET\n"
    "  --json               as JSON; the list in the shape of /debug/runtime/threads\n"
    "  --token-file FILE    token for a URL (else RTHOOKS_ADMIN_TOKEN_FILE)\n"
    "  -h, --help           this text\n"
    "\n"
    "STATE running: on a CPU or waiting for one; disk: cannot be interrupted. WCHAN: the kernel\n"
    "function it sleeps in, as far as the kernel tells. CPU: user and system time, and its share\n"
    "of the thread's life. A * after the name marks a thread that rthooks added. WAITS FOR: what\n"
    "a hooked process tells of it, with the holder of a lock.\n";

#define SECONDS_MAX      300 /* what the endpoint takes */
#define LIST_ROUTE       "/debug/runtime/threads"
#define PATIENCE_SECONDS 5L /* with a process that can be read from /proc instead */

enum sort_key { SORT_CPU, SORT_AGE, SORT_NAME, SORT_TID };

static json_t *thread_object(int root_fd, pid_t pid, int tid, const struct rth_proc_stat *stat,
                             bool hooked)
{
    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    double user_s = (double)stat->utime_ticks / ticks_per_s;
    double system_s = (double)stat->stime_ticks / ticks_per_s;
    double age_s = boot_seconds() - (double)stat->starttime_ticks / ticks_per_s;
    char wchan[64] = "";
    (void)rth__proc_wchan_read(root_fd, pid, tid, wchan, sizeof(wchan));
    json_t *thread = json_object();
    json_object_set_new(thread, "tid", json_integer(tid));
    json_object_set_new(thread, "name", json_text(stat->comm));
    json_object_set_new(thread, "state", json_string(rth__proc_state_name(stat->state)));
    json_object_set_new(thread, "wchan", json_text(wchan));
    json_object_set_new(thread, "age_seconds", json_real(age_s > 0 ? age_s : 0));
    json_object_set_new(thread, "cpu_seconds", json_real(user_s + system_s));
    json_object_set_new(thread, "user_seconds", json_real(user_s));
    json_object_set_new(thread, "system_seconds", json_real(system_s));
    json_object_set_new(thread, "processor", json_integer(stat->processor));
    /* Who created a thread only the process itself knows. */
    bool ours = hooked && strncmp(stat->comm, "rth-", 4) == 0;
    json_object_set_new(thread, "origin", json_string(ours ? "rthooks" : "host"));
    return thread;
}

/* The document of a process, from /proc. */
static int read_process(struct target *target, json_t **ret_document)
{
    char path[64];
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    struct rth_dir dir;
    snprintf(path, sizeof(path), "proc/%d/task", (int)target->pid);
    int error = root_fd < 0 ? root_fd : rth__dir_open(&dir, root_fd, path);
    if (error != 0)
        return fail(EXIT_UNREACHABLE, "cannot list the threads of process %d: %s", (int)target->pid,
                    strerror(-error));
    bool hooked = process_maps(root_fd, target->pid).runtime;
    json_t *document = json_object(), *process = json_object(), *threads = json_array();
    json_object_set_new(process, "pid", json_integer(target->pid));
    json_object_set_new(process, "name", json_text(target->status.name));
    json_object_set_new(document, "process", process);
    json_object_set_new(document, "threads", threads);
    for (int tid; (tid = rth__dir_next_number(&dir, &error)) > 0;) {
        struct rth_proc_stat stat;
        /* A thread may end between the listing and the reading. */
        if (rth__proc_stat_read(root_fd, target->pid, tid, &stat) == 0)
            json_array_append_new(threads, thread_object(root_fd, target->pid, tid, &stat, hooked));
    }
    rth__dir_close(&dir);
    if (json_array_size(threads) == 0) {
        json_decref(document);
        return fail(EXIT_UNREACHABLE, "process %d has ended", (int)target->pid);
    }
    *ret_document = document;
    return EXIT_FINE;
}

static double number_of(const json_t *thread, const char *key)
{
    return json_number_value(json_object_get(thread, key));
}

static const char *text_of(const json_t *thread, const char *key)
{
    const char *text = json_string_value(json_object_get(thread, key));
    return text != NULL ? text : "";
}

static int compare(const void *left_pointer, const void *right_pointer, void *key_pointer)
{
    const json_t *left = *(json_t *const *)left_pointer;
    const json_t *right = *(json_t *const *)right_pointer;
    enum sort_key key = *(enum sort_key *)key_pointer;
    double difference = 0;
    if (key == SORT_NAME)
        difference = strcmp(text_of(left, "name"), text_of(right, "name"));
    else if (key == SORT_CPU)
        difference = number_of(right, "cpu_seconds") - number_of(left, "cpu_seconds");
    else if (key == SORT_AGE)
        difference = number_of(right, "age_seconds") - number_of(left, "age_seconds");
    if (difference == 0)
        difference = number_of(left, "tid") - number_of(right, "tid");
    return (difference > 0) - (difference < 0);
}

/* Puts the threads of the document in order. */
static void sort_threads(json_t *document, enum sort_key key)
{
    json_t *threads = json_object_get(document, "threads");
    size_t count = json_array_size(threads);
    json_t **order = calloc(count + 1, sizeof(*order));
    if (order == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        order[i] = json_incref(json_array_get(threads, i));
    qsort_r(order, count, sizeof(*order), compare, &key);
    json_array_clear(threads);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(threads, order[i]);
    free(order);
}

/* "mutex 0x55… held by 124 "worker" since 12 s" */
static void print_wait(const json_t *thread)
{
    const json_t *wait = json_object_get(thread, "wait");
    const json_t *seconds = json_object_get(wait, "seconds");
    if (text_of(wait, "for")[0] == '\0')
        return;
    fputs("  ", stdout);
    print_clean(text_of(wait, "for"));
    if (text_of(wait, "object")[0] != '\0') {
        putchar(' ');
        print_clean(text_of(wait, "object"));
    }
    if (text_of(wait, "held_by")[0] != '\0') {
        fputs(" held by ", stdout);
        print_clean(text_of(wait, "held_by"));
    }
    if (json_is_number(seconds))
        printf(" since %.*f s", json_number_value(seconds) < 10, json_number_value(seconds));
}

/* " {handler=/lock}" */
static void print_labels(const json_t *thread)
{
    const char *key, *separator = "  {";
    json_t *labels = json_object_get(thread, "labels"), *value;
    json_object_foreach(labels, key, value)
    {
        fputs(separator, stdout);
        print_clean(key);
        putchar('=');
        print_clean(json_is_string(value) ? json_string_value(value) : "");
        separator = ", ";
    }
    if (json_object_size(labels) > 0)
        putchar('}');
}

static void print_row(const json_t *thread)
{
    char name[20], clean[32], age[32], cpu[32], share[16] = "-";
    double cpu_s = number_of(thread, "cpu_seconds"), age_s = number_of(thread, "age_seconds");
    bool ours = strcmp(text_of(thread, "origin"), "rthooks") == 0;
    (void)printable(text_of(thread, "name"), clean, 17);
    snprintf(name, sizeof(name), "%.16s%s", clean, ours ? " *" : "");
    duration_text(age_s, age, sizeof(age));
    snprintf(cpu, sizeof(cpu), "%.2fs", cpu_s);
    if (age_s > 0)
        snprintf(share, sizeof(share), "%.1f%%", 100 * cpu_s / age_s);
    printf("%8.0f %-18s ", number_of(thread, "tid"), name);
    printf("%-8s ", printable(text_of(thread, "state"), clean, 9));
    const char *wchan = text_of(thread, "wchan");
    printf("%-24s ", printable(wchan[0] != '\0' ? wchan : "-", clean, 25));
    printf("%8s %12s %6s", age, cpu, share);
    print_wait(thread);
    print_labels(thread);
    putchar('\n');
}

static void print_table(const json_t *document)
{
    const json_t *process = json_object_get(document, "process");
    const json_t *threads = json_object_get(document, "threads");
    char clean[64];
    size_t ours = 0, waiting = 0;
    for (size_t i = 0; i < json_array_size(threads); i++)
        waiting += json_object_get(json_array_get(threads, i), "wait") != NULL;
    printf("%s (pid %.0f): %zu thread%s\n",
           printable(text_of(process, "name"), clean, sizeof(clean)), number_of(process, "pid"),
           json_array_size(threads), json_array_size(threads) == 1 ? "" : "s");
    printf("%8s %-18s %-8s %-24s %8s %12s %6s%s\n", "TID", "NAME", "STATE", "WCHAN", "AGE", "CPU",
           "%LIFE", waiting > 0 ? "  WAITS FOR" : "");
    for (size_t i = 0; i < json_array_size(threads); i++) {
        const json_t *thread = json_array_get(threads, i);
        print_row(thread);
        ours += strcmp(text_of(thread, "origin"), "rthooks") == 0;
    }
    if (ours > 0)
        printf("* %zu added by rthooks\n", ours);
}

static int parse_sort(const char *text, enum sort_key *ret_key)
{
    static const char *const names[] = {"cpu", "age", "name", "tid"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_key = (enum sort_key)i;
            return -1;
        }
    }
    return usage_error("--sort takes cpu, age, name or tid, not '%s'", text);
}

/* What a hooked process tells of itself; NULL, with a warning where it should have answered. */
static json_t *ask_process(struct target *target, const struct common_options *options)
{
    char message[PATH_MAX + 256];
    struct http_answer answer;
    json_t *document = NULL;
    if (target_find_socket(target, message, sizeof(message)) != 0)
        return NULL;
    if (http_get_slow(target, LIST_ROUTE, options->token_file, PATIENCE_SECONDS, NULL, NULL,
                      &answer, message, sizeof(message)) != 0) {
        warning("%s: the list is from /proc", message);
        return NULL;
    }
    if (answer.status == 200 && answer.body != NULL)
        document = json_loadb(answer.body, answer.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    http_answer_free(&answer);
    if (document != NULL && json_is_array(json_object_get(document, "threads")))
        return document;
    json_decref(document);
    warning("%d answers without a list of threads: the list is from /proc", (int)target->pid);
    return NULL;
}

static int load_process(struct target *target, const struct common_options *options,
                        json_t **ret_document)
{
    char message[PATH_MAX + 256];
    if (target_process(target, message, sizeof(message)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    *ret_document = ask_process(target, options);
    int status = *ret_document != NULL ? EXIT_FINE : read_process(target, ret_document);
    target_close(target);
    return status;
}

/* ret_is_live: there is somebody who could be asked for more. */
static int load(const char *text, const struct common_options *options, bool *ret_is_live,
                json_t **ret_document)
{
    char message[PATH_MAX + 256];
    struct target target;
    int error = target_parse(text, &target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    *ret_is_live = target.kind != TARGET_FILE;
    if (target.kind == TARGET_PID)
        return load_process(&target, options, ret_document);
    json_t *document;
    int status = fetch_json(text, LIST_ROUTE, options, &document);
    if (status != EXIT_FINE)
        return status;
    if (!json_is_array(json_object_get(document, "threads"))) {
        json_decref(document);
        return fail(EXIT_UNREACHABLE, "%s: the document has no list of threads", text);
    }
    *ret_document = document;
    return EXIT_FINE;
}

/* Files and lines, which only a dump has the addresses for. */
static void add_lines(struct waits *waits, const char *target, const struct common_options *options)
{
    struct pprof_options dump_options = {
        .common = *options,
        .name = "threads",
        .patience_seconds = PATIENCE_SECONDS,
        .symbolize = {.want = WANT_LINES, .quiet = true},
    };
    struct pprof_input input = {0};
    if (pprof_load(target, &dump_options, &input) != EXIT_FINE)
        return;
    waits_refine(waits, &input.profile);
    pprof_input_free(&input);
}

static int list(const char *target, enum sort_key key, const struct common_options *options)
{
    json_t *document;
    bool is_live;
    int status = load(target, options, &is_live, &document);
    if (status != EXIT_FINE)
        return status;
    struct waits waits = {0};
    sort_threads(document, key);
    threads_waits_read(document, &waits);
    if (is_live && waits.graph.object_count > 0)
        add_lines(&waits, target, options);
    status = waits.graph.cycle_count > 0 ? EXIT_BAD_NEWS : EXIT_FINE;
    if (options->json) {
        threads_waits_json(&waits, document);
        if (!print_json(document))
            status = EXIT_UNREACHABLE;
    } else {
        print_table(document);
        threads_waits_print(&waits);
        json_decref(document);
    }
    waits_free(&waits);
    return status;
}

static int parse_seconds(const char *text, long *ret_seconds)
{
    char *end;
    errno = 0;
    long seconds = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || seconds < 1 || seconds > SECONDS_MAX)
        return usage_error("--seconds takes a number from 1 to %d, not '%s'", SECONDS_MAX, text);
    *ret_seconds = seconds;
    return -1;
}

/* What the options say about each other and the number of targets; -1 when all is well. */
static int check_request(const struct stacks_options *options, bool stacks, bool sorted,
                         char **targets, int count)
{
    int wanted = options->diff && options->seconds == 0 ? 2 : 1;
    if (stacks && options->diff)
        return usage_error("--stacks or --diff, not both");
    if (sorted && (stacks || options->diff))
        return usage_error("--sort is for the list of threads");
    if (options->seconds != 0 && !options->diff)
        return usage_error("--seconds is for --diff");
    if (count == 0)
        return usage_error(wanted == 2 ? "--diff takes two targets, or --seconds and one"
                                       : "which process?");
    if (count < wanted)
        return usage_error("--diff takes two targets, or --seconds and one");
    if (count > wanted)
        return usage_error(wanted == 2 ? "two targets at a time, not '%s' as well"
                                       : "one target at a time, not '%s' as well",
                           targets[wanted]);
    return -1;
}

static int threads_main(int argc, char **argv)
{
    enum { OPTION_STACKS = 256, OPTION_DIFF, OPTION_SECONDS };
    static const struct option long_options[] = {
        {"sort", required_argument, NULL, 's'},
        {"stacks", no_argument, NULL, OPTION_STACKS},
        {"diff", no_argument, NULL, OPTION_DIFF},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        COMMON_LONG_OPTIONS,
        {0}};
    struct stacks_options options = {0};
    bool stacks = false, sorted = false;
    enum sort_key key = SORT_CPU;
    int option;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        int status = -1;
        if (option == 's')
            status = parse_sort(optarg, &key);
        else if (option == OPTION_SECONDS)
            status = parse_seconds(optarg, &options.seconds);
        else if (option != OPTION_STACKS && option != OPTION_DIFF)
            status = common_option(option, argv, &options.common);
        if (status >= 0)
            return status;
        sorted |= option == 's';
        stacks |= option == OPTION_STACKS;
        options.diff |= option == OPTION_DIFF;
    }
    int count = argc - optind;
    int status = check_request(&options, stacks, sorted, argv + optind, count);
    if (status >= 0)
        return status;
    if (stacks || options.diff)
        return threads_stacks(argv + optind, (size_t)count, &options);
    return list(argv[optind], key, &options.common);
}

const struct command command_threads = {
    .name = "threads",
    .summary = "list the threads of a process: state, wait channel, age, CPU, stacks",
    .help = help,
    .main = threads_main,
};
