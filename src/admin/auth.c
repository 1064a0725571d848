/* SPDX-License-Identifier: MIT */
#include "admin/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/rawsys.h"
#include "rthooks/error.h"

#define LOOK_EVERY_NS RTH_NS_PER_S

static bool identity_changed(struct rth_token_file *file, const struct stat *status)
{
    int64_t mtime_ns = (int64_t)status->st_mtim.tv_sec * RTH_NS_PER_S + status->st_mtim.tv_nsec;
    bool same = file->looked && file->identity.inode == status->st_ino &&
                file->identity.device == status->st_dev &&
                file->identity.size_bytes == status->st_size && file->identity.mtime_ns == mtime_ns;
    file->identity.inode = status->st_ino;
    file->identity.device = status->st_dev;
    file->identity.size_bytes = status->st_size;
    file->identity.mtime_ns = mtime_ns;
    return !same;
}

/* Reads the token from an open file. Returns its length or a negative errno. */
static ssize_t read_token(int fd, char *ret_token)
{
    char text[RTH_TOKEN_BYTES_MAX + 1];
    ssize_t length = rth__read_full(fd, text, sizeof(text));
    if (length < 0)
        return length;
    if (length > RTH_TOKEN_BYTES_MAX)
        return -EFBIG;
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t' ||
                          text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    for (ssize_t i = 0; i < length; i++) {
        /* What can't travel in a header would never match. */
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
            return -EBADMSG;
    }
    if (length == 0)
        return -ENODATA;
    memcpy(ret_token, text, (size_t)length);
    explicit_bzero(text, sizeof(text));
    return length;
}

static const char *explain(int error)
{
    switch (error) {
    case -EFBIG:
        return "larger than 4 KiB";
    case -ENODATA:
        return "empty";
    case -EBADMSG:
        return "holds spaces or control characters";
    case -EISDIR:
        return "not a regular file";
    default:
        return rth_strerror(error);
    }
}

static int load(struct rth_token_file *file)
{
    /* NONBLOCK: a FIFO in that place must not stop the thread. */
    RTH__AUTO_CLOSE int fd = rth__openat(AT_FDCWD, file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        memset(&file->identity, 0, sizeof(file->identity));
        return fd;
    }
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EISDIR;
    if (!identity_changed(file, &status))
        return -EALREADY;
    char token[RTH_TOKEN_BYTES_MAX];
    ssize_t length = read_token(fd, token);
    if (length < 0)
        return (int)length;
    memcpy(file->token, token, (size_t)length);
    explicit_bzero(token, sizeof(token));
    file->token_bytes = (size_t)length;
    file->has_token = true;
    return 0;
}

bool rth__token_refresh(struct rth_token_file *file, int64_t now_ns)
{
    if (file->path == NULL || file->path[0] == '\0')
        return false;
    if (file->looked && now_ns - file->looked_ns < LOOK_EVERY_NS)
        return false;
    int error = load(file);
    file->looked = true;
    file->looked_ns = now_ns;
    if (error == -EALREADY) /* nothing new: the reason, if there is one, still holds */
        return false;
    char reason[sizeof(file->reason)] = "";
    if (error != 0)
        (void)snprintf(reason, sizeof(reason), "token file: %s", explain(error));
    bool changed = strcmp(reason, file->reason) != 0;
    memcpy(file->reason, reason, sizeof(reason));
    return changed;
}

bool rth__token_matches(const struct rth_token_file *file, struct rth_http_text authorization)
{
    if (!file->has_token || authorization.size_bytes < 7 ||
        strncasecmp(authorization.data, "Bearer ", 7) != 0)
        return false;
    const char *given = authorization.data + 7;
    size_t given_bytes = authorization.size_bytes - 7;
    while (given_bytes > 0 && *given == ' ')
        given++, given_bytes--;
    /* The loop's length is the given one's, which the asker knows; each step costs the same. */
    unsigned difference = given_bytes != file->token_bytes;
    for (size_t i = 0; i < given_bytes; i++) {
        volatile const char *token = file->token;
        difference |= (unsigned)(unsigned char)(given[i] ^ token[i % file->token_bytes]);
    }
    return difference == 0;
}

/* HOST or HOST:PORT without the port. False when what follows the host is no port. */
static bool split_port(struct rth_http_text host, struct rth_http_text *ret_name)
{
    size_t name_bytes = host.size_bytes;
    if (host.size_bytes > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.size_bytes);
        if (end == NULL)
            return false;
        name_bytes = (size_t)(end - host.data) + 1;
    } else {
        const char *colon = memchr(host.data, ':', host.size_bytes);
        if (colon != NULL)
            name_bytes = (size_t)(colon - host.data);
    }
    for (size_t i = name_bytes; i < host.size_bytes; i++) {
        char c = host.data[i];
        if (i == name_bytes ? c != ':' : c < '0' || c > '9')
            return false;
    }
    ret_name->data = host.data;
    ret_name->size_bytes = name_bytes;
    return name_bytes > 0;
}

bool rth__host_allowed(struct rth_http_text host, const struct rth_address *bound)
{
    struct rth_http_text name;
    if (host.data == NULL || !split_port(host, &name))
        return false;
    if (rth__http_text_is(name, "localhost") || rth__http_text_is(name, "localhost."))
        return true;
    struct rth_address literal;
    if (rth__address_parse_literal(name.data, name.size_bytes, &literal) != 0)
        return false;
    return rth__address_is_loopback(&literal) ||
           (bound != NULL &&
            (rth__address_is_wildcard(bound) || rth__address_same_ip(&literal, bound)));
}

bool rth__origin_allowed(struct rth_http_text origin, struct rth_http_text host)
{
    if (origin.data == NULL)
        return true;
    size_t scheme_bytes = 0;
    if (origin.size_bytes > 7 && strncasecmp(origin.data, "http://", 7) == 0)
        scheme_bytes = 7;
    else if (origin.size_bytes > 8 && strncasecmp(origin.data, "https://", 8) == 0)
        scheme_bytes = 8;
    return scheme_bytes > 0 && host.data != NULL &&
           origin.size_bytes - scheme_bytes == host.size_bytes &&
           strncasecmp(origin.data + scheme_bytes, host.data, host.size_bytes) == 0;
}

/* The next entry of the list, blanks around it cut off; false at the end. */
static bool next_entry(const char **cursor, struct rth_http_text *ret_entry)
{
    const char *start = *cursor;
    if (start == NULL)
        return false;
    const char *comma = strchr(start, ',');
    *cursor = comma != NULL ? comma + 1 : NULL;
    size_t size_bytes = comma != NULL ? (size_t)(comma - start) : strlen(start);
    while (size_bytes > 0 && *start == ' ')
        start++, size_bytes--;
    while (size_bytes > 0 && start[size_bytes - 1] == ' ')
        size_bytes--;
    ret_entry->data = start;
    ret_entry->size_bytes = size_bytes;
    return true;
}

int rth__allow_list_check(const char *text)
{
    if (*text == '\0')
        return 0;
    struct rth_http_text entry;
    for (const char *cursor = text; next_entry(&cursor, &entry);) {
        if (entry.size_bytes == 0 || entry.data[0] != '/')
            return -EINVAL;
        const char *star = memchr(entry.data, '*', entry.size_bytes);
        if (star != NULL && star != entry.data + entry.size_bytes - 1)
            return -EINVAL;
    }
    return 0;
}

bool rth__path_allowed(const char *allow_list, const char *path)
{
    if (*allow_list == '\0')
        return true;
    size_t path_bytes = strlen(path);
    struct rth_http_text entry;
    for (const char *cursor = allow_list; next_entry(&cursor, &entry);) {
        bool is_prefix = entry.size_bytes > 0 && entry.data[entry.size_bytes - 1] == '*';
        size_t compared_bytes = entry.size_bytes - is_prefix;
        if (entry.size_bytes > 0 &&
            (is_prefix ? path_bytes >= compared_bytes : path_bytes == compared_bytes) &&
            memcmp(path, entry.data, compared_bytes) == 0)
            return true;
    }
    return false;
}

bool rth__peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t size_bytes = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) != 0)
        return false;
    return peer.uid == 0 || peer.uid == (uid_t)RTH__RAW(SYS_geteuid);
}

static int refuse(int status, char *ret_message, size_t message_size, const char *text)
{
    (void)snprintf(ret_message, message_size, "%s", text);
    return status;
}

static int check_tcp(const struct rth_auth_context *context, const struct rth_http_request *request,
                     char *ret_message, size_t message_size)
{
    if (!rth__host_allowed(request->host, context->bound))
        return refuse(403, ret_message, message_size,
                      "Host must be localhost, a loopback address or the address listened on");
    if (!rth__origin_allowed(request->origin, request->host))
        return refuse(403, ret_message, message_size, "requests from other origins are refused");
    const struct rth_token_file *token = context->token;
    if (token == NULL || token->path == NULL || token->path[0] == '\0') {
        /* Such a listener is not opened in the first place; this is the second lock. */
        if (context->bound == NULL || !rth__address_is_loopback(context->bound))
            return refuse(403, ret_message, message_size,
                          "an address that is not loopback needs RTHOOKS_ADMIN_TOKEN_FILE");
        return 0;
    }
    if (!token->has_token)
        return refuse(503, ret_message, message_size,
                      token->reason[0] != '\0' ? token->reason : "token file: not read yet");
    if (request->authorization.data == NULL)
        return refuse(401, ret_message, message_size, "a token is needed: Authorization: Bearer");
    if (!rth__token_matches(token, request->authorization))
        return refuse(401, ret_message, message_size, "wrong token");
    return 0;
}

int rth__auth_check(const struct rth_auth_context *context, const struct rth_http_request *request,
                    char *ret_message, size_t message_size)
{
    int status = context->is_unix ? 0 : check_tcp(context, request, ret_message, message_size);
    if (status != 0)
        return status;
    if (!rth__path_allowed(context->allow_list, request->path))
        return refuse(403, ret_message, message_size,
                      "RTHOOKS_ADMIN_ALLOW does not list this path");
    return 0;
}
