/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_ORACLE_WORKLOAD_H
#define RTH_TESTS_ORACLE_WORKLOAD_H

/* Code with every shape of frame a compiler and libc have, and nothing that waits. */
void workload(void);

#define WORKLOAD_ALTERNATE_BYTES 65536u
extern unsigned char workload_alternate_stack[WORKLOAD_ALTERNATE_BYTES];

#endif /* RTH_TESTS_ORACLE_WORKLOAD_H */
