/* SPDX-License-Identifier: MIT */
/*
 * memory_steps: does what the lines of its standard input say, one after the other, and answers
 * each with a line "done LINE". Ends with its input. hold MIB     so much more on the heap, touched
 *   drop         gives all of it back to the allocator
 *   write FILE MIB   a file of that size
 *   read FILE        all of it, twice
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 << 10, MIB = 1 << 20 };

struct block {
    struct block *next;
};

static struct block *held;
static char buffer[MIB];

static int hold(size_t mib)
{
    for (size_t i = 0; i < mib * (MIB / BLOCK_BYTES); i++) {
        struct block *block = malloc(BLOCK_BYTES);
        if (block == NULL)
            return -1;
        memset(block, 'h', BLOCK_BYTES);
        block->next = held;
        held = block;
    }
    return 0;
}

static void drop(void)
{
    while (held != NULL) {
        struct block *next = held->next;
        free(held);
        held = next;
    }
}

static int write_file(const char *path, size_t mib)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    for (size_t i = 0; i < mib; i++)
        if (write(fd, buffer, MIB) != MIB)
            return -1;
    return close(fd);
}

static int read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (int turn = 0; turn < 2; turn++) {
        if (lseek(fd, 0, SEEK_SET) != 0)
            return -1;
        while (read(fd, buffer, MIB) > 0)
            continue;
    }
    return close(fd);
}

int main(void)
{
    char line[4200], path[4100];
    size_t mib;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        int failed = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "hold %zu", &mib) == 1)
            failed = hold(mib);
        else if (strcmp(line, "drop") == 0)
            drop();
        else if (sscanf(line, "write %4099s %zu", path, &mib) == 2)
            failed = write_file(path, mib);
        else if (sscanf(line, "read %4099s", path) == 1)
            failed = read_file(path);
        else
            return 2;
        printf("%s %s\n", failed ? "failed" : "done", line);
        fflush(stdout);
    }
    return 0;
}
