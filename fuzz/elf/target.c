/* SPDX-License-Identifier: MIT */

/* Any bytes as an ELF file: no crash, bounded work, and facts within their bounds. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("elf", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    struct rth_elf_facts facts;
    if (rth__elf_facts_read(fd, &facts) < 0)
        return 0;
    char text[2 * RTH_ELF_BUILD_ID_BYTES + 1];
    if (rth__elf_build_id_text(&facts, text, sizeof(text)) != 2 * facts.build_id_bytes)
        abort();
    if (memchr(facts.interpreter, '\0', sizeof(facts.interpreter)) == NULL ||
        facts.has_interpreter != (facts.interpreter[0] != '\0'))
        abort();
    return 0;
}
