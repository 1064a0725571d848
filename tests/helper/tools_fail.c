/* SPDX-License-Identifier: MIT */
/* What the parts of the tools under test need from tools/main.c. */

#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdio.h>

int fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}
