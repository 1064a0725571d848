/* SPDX-License-Identifier: MIT */

/* `rthooks version`: of this command and its libraries, or of a process that answers. */

#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <gnu/libc-version.h>

#include <rthooks/rthooks.h>

#include "client/http.h"
#include "client/libraries.h"
#include "client/target.h"
#include "formats/elf.h"

static const char help[] =
    "Usage: rthooks version [--json] [TARGET]\n"
    "\n"
    "Without TARGET: the version of this command and of the libraries it uses.\n"
    "With TARGET (a process id, a Unix socket, a URL, or a file saved from /version): what that\n"
    "process says of itself.\n"
    "\n"
    "  --json               as JSON\n"
    "  --token-file FILE    token for a URL (else RTHOOKS_ADMIN_TOKEN_FILE)\n"
    "  -h, --help           this text\n";

#ifdef RTH_DEBUG
#define BUILD_KIND "debug (checks on)"
#else
#define BUILD_KIND "release"
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static json_t *own_facts(void)
{
    struct libraries libraries = {.runtime = ""};
    char message[PATH_MAX + 256];
    bool found = libraries_find(&libraries, message, sizeof(message)) == 0;
    json_t *facts = json_object();
    json_object_set_new(facts, "name", json_string("rthooks"));
    json_object_set_new(facts, "version", json_string(RTH_VERSION));
    json_object_set_new(facts, "library_version", json_string(rth_version()));
    json_object_set_new(facts, "runtime", found ? json_text(libraries.runtime) : json_null());
    json_object_set_new(facts, "interposer", found ? json_text(libraries.interposer) : json_null());
    if (!found)
        json_object_set_new(facts, "libraries_problem", json_text(message));
    json_object_set_new(facts, "compiler", json_string(COMPILER));
    json_object_set_new(facts, "build", json_string(BUILD_KIND));
    json_object_set_new(facts, "machine",
                        json_string(rth__elf_machine_name(rth__elf_own_machine())));
    json_object_set_new(facts, "libc", json_sprintf("glibc %s", gnu_get_libc_version()));
    json_object_set_new(facts, "curl", json_string(curl_version_info(CURLVERSION_NOW)->version));
    json_object_set_new(facts, "jansson", json_string(jansson_version_str()));
    return facts;
}

/* "key value" lines; members of an object inside follow as "key.member". */
static void print_members(const char *prefix, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char label[256], clean[1024];
        bool is_headline =
            prefix[0] == '\0' && (strcmp(key, "name") == 0 || strcmp(key, "version") == 0);
        snprintf(label, sizeof(label), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (is_headline || json_is_null(value))
            continue;
        if (json_is_object(value) && prefix[0] == '\0') {
            print_members(label, value);
            continue;
        }
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text != NULL && text[0] != '\0') {
            printf("%-17s ", printable(label, clean, sizeof(clean)));
            printf("%s\n", printable(text, clean, sizeof(clean)));
        }
        free(text);
    }
}

static const char *text_or(const json_t *facts, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(facts, key));
    return text != NULL && text[0] != '\0' ? text : otherwise;
}

/* First line "NAME VERSION", then the other facts. */
static void print_facts(json_t *facts)
{
    char name[256], version[256];
    (void)printable(text_or(facts, "name", "(no name)"), name, sizeof(name));
    (void)printable(text_or(facts, "version", "(no version)"), version, sizeof(version));
    printf("%s %s\n", name, version);
    print_members("", facts);
}

static int version_main(int argc, char **argv)
{
    struct common_options options = {0};
    int parsed = parse_common_options(argc, argv, &options);
    if (parsed >= 0)
        return parsed;
    json_t *facts = NULL;
    if (optind < argc) {
        int status = fetch_json(argv[optind], "/version", &options, &facts);
        if (status != EXIT_FINE)
            return status;
    } else {
        facts = own_facts();
    }
    if (options.json)
        return print_json(facts) ? EXIT_FINE : EXIT_UNREACHABLE;
    print_facts(facts);
    json_decref(facts);
    return EXIT_FINE;
}

const struct command command_version = {
    .name = "version",
    .summary = "say which version this is, or a process runs",
    .help = help,
    .main = version_main,
};
