/* SPDX-License-Identifier: MIT */
/* A library that takes 128 bytes of the static TLS that glibc keeps for libraries loaded late. */
char *module_tls(void);

static __thread char reserve[128] __attribute__((tls_model("initial-exec")));

char *module_tls(void)
{
    return reserve;
}
