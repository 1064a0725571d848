/* SPDX-License-Identifier: MIT */
/* Prints real, effective and saved ids, and whether the loader runs in secure mode. */
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(void)
{
    uid_t uid, euid, suid;
    gid_t gid, egid, sgid;
    getresuid(&uid, &euid, &suid);
    getresgid(&gid, &egid, &sgid);
    printf("uid %u %u %u gid %u %u %u secure %lu\n", uid, euid, suid, gid, egid, sgid,
           getauxval(AT_SECURE));
    return 0;
}
