/* SPDX-License-Identifier: MIT */
/* Drops its uid before its gid, which works because it keeps its capabilities meanwhile: a
 * property of the calling thread alone. Arguments: UID GID and a delay in milliseconds. */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int raise_again(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return -1;
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    return (int)syscall(SYS_capset, &header, data);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uid_t uid = (uid_t)atoi(argv[1]);
    gid_t gid = (gid_t)atoi(argv[2]);
    usleep((useconds_t)atoi(argv[3]) * 1000);
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setresuid(uid, uid, uid) != 0 || raise_again() != 0 ||
        setresgid(gid, gid, gid) != 0) {
        perror("keep_caps");
        return 1;
    }
    printf("uid %d gid %d\n", (int)geteuid(), (int)getegid());
    return 0;
}
