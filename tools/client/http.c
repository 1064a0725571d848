/* SPDX-License-Identifier: MIT */
#include "client/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include <rthooks/version.h>

#include "os/fd.h"

#define BODY_BYTES_MAX    (256u << 20)
#define TOKEN_BYTES_MAX   4096
#define CONNECT_TIMEOUT_S 5L
#define TOTAL_TIMEOUT_S   30L

static size_t receive(char *data, size_t size, size_t count, void *userdata)
{
    struct http_answer *answer = userdata;
    size_t bytes = size * count;
    if (bytes > BODY_BYTES_MAX - answer->body_bytes)
        return 0;
    char *grown = realloc(answer->body, answer->body_bytes + bytes + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + answer->body_bytes, data, bytes);
    answer->body = grown;
    answer->body_bytes += bytes;
    grown[answer->body_bytes] = '\0';
    return bytes;
}

/* The header with the token of a file: its first line, without surrounding blanks. */
static int authorization_header(const char *token_file, char *ret_header, size_t header_size,
                                char *ret_message, size_t message_size)
{
    char text[TOKEN_BYTES_MAX + 1];
    ssize_t got = rth__read_file_at(AT_FDCWD, token_file, text, sizeof(text));
    if (got < 0) {
        snprintf(ret_message, message_size, "token file %s: %s", token_file, strerror((int)-got));
        return -1;
    }
    const char *token = text + strspn(text, " \t\r\n");
    size_t token_bytes = strcspn(token, " \t\r\n");
    if (token_bytes == 0) {
        snprintf(ret_message, message_size, "token file %s is empty", token_file);
        return -1;
    }
    snprintf(ret_header, header_size, "Authorization: Bearer %.*s", (int)token_bytes, token);
    return 0;
}

/* The URL to ask, and for a Unix socket the path curl connects to: short whatever the folder. */
static void set_address(CURL *curl, const struct target *target, const char *path, char *url,
                        size_t url_size)
{
    if (target->kind == TARGET_URL) {
        snprintf(url, url_size, "%s%s", target->text, path);
    } else {
        char socket_path[NAME_MAX + 64];
        snprintf(socket_path, sizeof(socket_path), "/proc/self/fd/%d/%s", target->folder_fd,
                 target->socket_name);
        snprintf(url, url_size, "http://localhost%s", path);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
}

static int perform(CURL *curl, const struct target *target, struct http_answer *answer,
                   char *ret_message, size_t message_size)
{
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    if (code == CURLE_OK)
        return 0;
    const char *where = target->kind == TARGET_URL ? target->text : target->socket_path;
    if (code == CURLE_WRITE_ERROR)
        snprintf(ret_message, message_size, "%s: the answer is too large", where);
    else
        snprintf(ret_message, message_size, "%s: %s", where,
                 detail[0] != '\0' ? detail : curl_easy_strerror(code));
    return -1;
}

struct ticker {
    void (*tick)(void *userdata);
    void *userdata;
};

static int on_progress(void *ticker_pointer, curl_off_t expected, curl_off_t received,
                       curl_off_t to_send, curl_off_t sent)
{
    const struct ticker *ticker = ticker_pointer;
    (void)expected;
    (void)received;
    (void)to_send;
    (void)sent;
    ticker->tick(ticker->userdata);
    return 0;
}

int http_get(const struct target *target, const char *path, const char *token_file,
             struct http_answer *ret_answer, char *ret_message, size_t message_size)
{
    return http_get_slow(target, path, token_file, TOTAL_TIMEOUT_S, NULL, NULL, ret_answer,
                         ret_message, message_size);
}

int http_get_slow(const struct target *target, const char *path, const char *token_file,
                  long timeout_s, void (*tick)(void *userdata), void *userdata,
                  struct http_answer *ret_answer, char *ret_message, size_t message_size)
{
    struct ticker ticker = {tick, userdata};
    char header[TOKEN_BYTES_MAX + 64], url[2 * PATH_MAX];
    struct curl_slist *headers = NULL;
    struct http_answer answer = {0};
    if (token_file == NULL)
        token_file = getenv("RTHOOKS_ADMIN_TOKEN_FILE");
    if (target->kind == TARGET_URL && token_file != NULL && token_file[0] != '\0') {
        if (authorization_header(token_file, header, sizeof(header), ret_message, message_size) !=
            0)
            return -1;
        headers = curl_slist_append(NULL, header);
    }
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        curl_slist_free_all(headers);
        snprintf(ret_message, message_size, "libcurl cannot be used");
        return -1;
    }
    set_address(curl, target, path, url, sizeof(url));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, timeout_s);
    if (tick != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &ticker);
    }
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "rthooks/" RTH_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    int result = perform(curl, target, &answer, ret_message, message_size);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (result != 0)
        http_answer_free(&answer);
    else
        *ret_answer = answer;
    return result;
}

void http_answer_free(struct http_answer *answer)
{
    free(answer->body);
    *answer = (struct http_answer){0};
}

static int document_of_file(const char *path, json_t **ret_document)
{
    json_error_t error;
    json_t *document = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        return fail(EXIT_UNREACHABLE, "%s: not the JSON this command reads: line %d: %s", path,
                    error.line, error.text);
    if (!json_is_object(document)) {
        json_decref(document);
        return fail(EXIT_UNREACHABLE, "%s: not the JSON this command reads: no object", path);
    }
    *ret_document = document;
    return EXIT_FINE;
}

static int document_of_answer(const struct target *target, const char *path,
                              const struct http_answer *answer, json_t **ret_document)
{
    if (answer->status != 200) {
        char body[200] = "";
        if (answer->body != NULL)
            (void)printable(answer->body, body,
                            strcspn(answer->body, "\r\n") < sizeof(body)
                                ? strcspn(answer->body, "\r\n") + 1
                                : sizeof(body));
        return fail(EXIT_UNREACHABLE, "%s answers %s with status %ld%s%s", target->text, path,
                    answer->status, body[0] != '\0' ? ": " : "", body);
    }
    json_error_t error;
    json_t *document = json_loadb(answer->body != NULL ? answer->body : "", answer->body_bytes,
                                  JSON_REJECT_DUPLICATES, &error);
    if (document == NULL || !json_is_object(document)) {
        json_decref(document);
        return fail(EXIT_UNREACHABLE, "%s: the answer to %s is no JSON object: is this rthooks?",
                    target->text, path);
    }
    *ret_document = document;
    return EXIT_FINE;
}

int fetch_json(const char *target_text, const char *path, const struct common_options *options,
               json_t **ret_document)
{
    char message[PATH_MAX + 256];
    struct target target;
    int error = target_parse(target_text, &target, message, sizeof(message));
    if (error != 0)
        return fail(error == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE, "%s", message);
    if (target.kind == TARGET_FILE)
        return document_of_file(target.text, ret_document);
    if (target.kind != TARGET_URL && target_find_socket(&target, message, sizeof(message)) != 0)
        return fail(EXIT_UNREACHABLE, "%s", message);
    struct http_answer answer;
    int status;
    if (http_get(&target, path, options->token_file, &answer, message, sizeof(message)) != 0) {
        status = fail(EXIT_UNREACHABLE, "%s", message);
    } else {
        status = document_of_answer(&target, path, &answer, ret_document);
        http_answer_free(&answer);
    }
    target_close(&target);
    return status;
}
