/* SPDX-License-Identifier: MIT */
#include "rthooks/error.h"

#include <errno.h>

/* Sorted by nothing: a dozen rows, read rarely. strerror(3) would take locale state. */
static const struct {
    int error;
    const char *text;
} texts[] = {
    {0, "success"},
    {EINVAL, "invalid argument or setting"},
    {E2BIG, "asks for something this version does not know"},
    {EALREADY, "already started or already stopped"},
    {EBUSY, "another copy of rthooks owns this process"},
    {EAGAIN, "a resource is short; try again"},
    {ENOMEM, "out of memory"},
    {ENOENT, "no such thing"},
    {ENOTSUP, "not supported here"},
    {ETIMEDOUT, "timed out"},
    {ECANCELED, "cancelled"},
    {EPERM, "not permitted"},
    {EACCES, "permission denied"},
    {EADDRINUSE, "address in use"},
    {EADDRNOTAVAIL, "address not available"},
    {ECONNREFUSED, "connection refused"},
    {ECONNRESET, "connection reset by peer"},
    {ENOSPC, "no space left"},
    {ENAMETOOLONG, "name too long"},
    {ELOOP, "is a symbolic link"},
    {ENOTDIR, "not a directory"},
    {EEXIST, "already exists"},
    {EMSGSIZE, "message too long"},
    {EFBIG, "too large"},
    {ERANGE, "out of range"},
    {EBADMSG, "malformed data"},
    {EIO, "input/output error"},
    {ESRCH, "no such process"},
    {EMFILE, "too many open files"},
    {ENOSYS, "not provided by this kernel"},
    {EROFS, "read-only file system"},
};

const char *rth_strerror(int error)
{
    int positive = error < 0 ? -error : error;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].error == positive)
            return texts[i].text;
    return "unknown error";
}
