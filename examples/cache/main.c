/* SPDX-License-Identifier: MIT */
/*
 * cache: a cache in memory that has no size of its own. It registers a shrinker and asks for
 * admission, so it fills what the container's budget leaves and stays alive; with RTHOOKS=off it
 * grows until the kernel kills it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <rthooks/rthooks.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cache.h"
#include "load.h"

static const char usage[] =
    "Usage: cache [OPTION]...\n"
    "\n"
    "  --threads N           that insert; default 4\n"
    "  --seconds S           for so long at most; default 10\n"
    "  --insert-bytes BYTES  ends when so much was inserted or refused\n"
    "  --rate BYTES          a second; default: as fast as the threads can\n"
    "  --value-min BYTES, --value-max BYTES\n"
    "                        sizes of values; default 4KiB to 64KiB\n"
    "  --linger S            stays for so long after the load; default 0\n"
    "\n"
    "BYTES may end in KiB, MiB or GiB. At the end one line of JSON says what was done.\n";

static bool parse_bytes(const char *name, const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *text;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (errno != 0 || end == text || text[0] == '-' || strcmp(end, units[i].text) != 0 ||
            number > UINT64_MAX >> units[i].shift)
            continue;
        *ret_bytes = (uint64_t)number << units[i].shift;
        return true;
    }
    (void)fprintf(stderr, "cache: %s takes bytes, as 64KiB, not '%s'\n", name, text);
    return false;
}

static bool parse_number(const char *name, const char *text, unsigned min, unsigned max,
                         unsigned *ret_number)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number < min ||
        number > max) {
        (void)fprintf(stderr, "cache: %s takes a whole number from %u to %u, not '%s'\n", name, min,
                      max, text);
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct load *load, unsigned *linger_s)
{
    static const struct option known[] = {{"threads", required_argument, NULL, 't'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"insert-bytes", required_argument, NULL, 'i'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"value-min", required_argument, NULL, 'm'},
                                          {"value-max", required_argument, NULL, 'M'},
                                          {"linger", required_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int letter;
    bool is_fine = true;
    while (is_fine && (letter = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (letter) {
        case 't':
            is_fine = parse_number("--threads", optarg, 1, 1024, &load->threads);
            break;
        case 's':
            is_fine = parse_number("--seconds", optarg, 1, 1000000, &load->seconds);
            break;
        case 'i':
            is_fine = parse_bytes("--insert-bytes", optarg, &load->insert_bytes);
            break;
        case 'r':
            is_fine = parse_bytes("--rate", optarg, &load->rate);
            break;
        case 'm':
            is_fine = parse_bytes("--value-min", optarg, &load->value_min_bytes);
            break;
        case 'M':
            is_fine = parse_bytes("--value-max", optarg, &load->value_max_bytes);
            break;
        case 'l':
            is_fine = parse_number("--linger", optarg, 0, 1000000, linger_s);
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (!is_fine)
        return 2;
    if (optind != argc) {
        (void)fprintf(stderr, "cache: unexpected '%s'\n%s", argv[optind], usage);
        return 2;
    }
    if (load->value_min_bytes > load->value_max_bytes || load->value_max_bytes > 1u << 30) {
        (void)fputs("cache: --value-min may not be above --value-max, nor that above 1GiB\n",
                    stderr);
        return 2;
    }
    return -1;
}

static void print_result(struct cache *cache)
{
    struct cache_stats stats;
    struct rusage used;
    cache_stats_read(cache, &stats);
    (void)getrusage(RUSAGE_SELF, &used);
    (void)printf("{\"inserted_bytes\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"live_bytes\":%" PRIu64
                 ",\"live_min_bytes\":%" PRIu64 ",\"evicted_bytes\":%" PRIu64
                 ",\"peak_rss\":%" PRIu64 "}\n",
                 stats.inserted_bytes, stats.refused, stats.live_bytes, stats.live_min_bytes,
                 stats.evicted_bytes, (uint64_t)used.ru_maxrss * 1024);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct load load = {
        .threads = 4, .seconds = 10, .value_min_bytes = 4096, .value_max_bytes = 65536};
    unsigned linger_s = 0;
    int status = parse_options(argc, argv, &load, &linger_s);
    if (status >= 0)
        return status;
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "cache";
    int error = rth_start(&opts);
    if (error != 0)
        (void)fprintf(stderr, "cache: without rthooks: %s\n", strerror(-error));
    struct cache *cache = NULL;
    error = cache_new(&cache);
    if (error == 0)
        error = load_run(cache, &load);
    if (error == 0)
        print_result(cache);
    else
        (void)fprintf(stderr, "cache: %s\n", strerror(-error));
    if (linger_s != 0)
        (void)sleep(linger_s);
    cache_free(cache);
    (void)rth_stop();
    return error == 0 ? 0 : 1;
}
