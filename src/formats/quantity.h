/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_QUANTITY_H
#define RTH_FORMATS_QUANTITY_H

#include <stdint.h>

/*
 * Quantities as Kubernetes' manifests and its downward API write them, without exponents: for
 * memory "1073741824", "1Gi", "1.5Gi", "900M" (also GOMEMLIMIT's "900MiB"); for processors "1.5",
 * "2", "1500m". 0, -EINVAL, or -ERANGE.
 */
int rth__quantity_bytes_parse(const char *text, int64_t *ret_bytes);
int rth__quantity_cpus_parse(const char *text, double *ret_cpus);

#endif /* RTH_FORMATS_QUANTITY_H */
