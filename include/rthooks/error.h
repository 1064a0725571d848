/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_ERROR_H
#define RTHOOKS_ERROR_H

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/*
 * Describes an error returned by any rth_ function.
 *
 * error: the value as returned (a negative errno); its positive form is understood too.
 * Returns static text, never NULL; unknown values give "unknown error".
 *
 * Thread: any. Signal: safe. Fork: safe in a child. Cost: a table look-up. Since: 0.1.
 * Source: errno(3) names; the text is ours, so that it needs no locale and no lock.
 */
#ifndef RTHOOKS_DISABLE
RTH_API const char *rth_strerror(int error);
#else
static inline const char *rth_strerror(int error)
{
    (void)error;
    return "rthooks is disabled in this build";
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_ERROR_H */
