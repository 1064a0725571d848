/* SPDX-License-Identifier: MIT */
/* The object as the loader sees it. */
#include "helper/unit.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct object {
    const char *bytes;
    const Elf64_Shdr *sections;
    size_t count;
};

static struct object open_object(void)
{
    struct stat file;
    int fd = open(RTH_TEST_INTERPOSE, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &file), 0);
    const char *bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(bytes != MAP_FAILED);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)bytes;
    return (struct object){bytes, (const Elf64_Shdr *)(const void *)(bytes + header->e_shoff),
                           header->e_shnum};
}

static const Elf64_Shdr *find_section(const struct object *object, uint32_t type)
{
    for (size_t i = 0; i < object->count; i++)
        if (object->sections[i].sh_type == type)
            return &object->sections[i];
    fail();
    return NULL;
}

static const char *strings_of(const struct object *object, const Elf64_Shdr *section)
{
    return object->bytes + object->sections[section->sh_link].sh_offset;
}

static bool is_exported(const struct object *object, const char *name, size_t *ret_count)
{
    const Elf64_Shdr *section = find_section(object, SHT_DYNSYM);
    const Elf64_Sym *symbols =
        (const Elf64_Sym *)(const void *)(object->bytes + section->sh_offset);
    bool found = false;
    *ret_count = 0;
    for (size_t i = 1; i < section->sh_size / sizeof(*symbols); i++) {
        /* The names of versions are absolute. */
        if (symbols[i].st_shndx == SHN_UNDEF || symbols[i].st_shndx == SHN_ABS)
            continue;
        ++*ret_count;
        found |= strcmp(strings_of(object, section) + symbols[i].st_name, name) == 0;
    }
    return found;
}

static void exports_exactly_what_the_map_names(void **state)
{
    (void)state;
    struct object object = open_object();
    FILE *map = fopen(RTH_TEST_MAP, "re");
    assert_non_null(map);
    char line[256];
    size_t named = 0;
    size_t exported = 0;
    while (fgets(line, sizeof(line), map) != NULL) {
        char name[128];
        char end;
        if (sscanf(line, " %127[A-Za-z0-9_]%c", name, &end) != 2 || end != ';')
            continue;
        named++;
        if (!is_exported(&object, name, &exported))
            fail_msg("%s is in the map and not exported", name);
    }
    (void)fclose(map);
    assert_true(named > 40);
    assert_int_equal(named, exported);
}

static void needs_libc_alone_and_no_text_relocation(void **state)
{
    (void)state;
    struct object object = open_object();
    const Elf64_Shdr *section = find_section(&object, SHT_DYNAMIC);
    const Elf64_Dyn *entry = (const Elf64_Dyn *)(const void *)(object.bytes + section->sh_offset);
    int needed = 0;
    for (; entry->d_tag != DT_NULL; entry++) {
        assert_int_not_equal(entry->d_tag, DT_TEXTREL);
        if (entry->d_tag == DT_FLAGS)
            assert_int_equal(entry->d_un.d_val & DF_TEXTREL, 0);
        if (entry->d_tag != DT_NEEDED)
            continue;
        needed++;
        assert_string_equal(strings_of(&object, section) + entry->d_un.d_val, "libc.so.6");
    }
    assert_int_equal(needed, 1);
}

static void is_unloaded_never(void **state)
{
    (void)state;
    struct object object = open_object();
    const Elf64_Shdr *section = find_section(&object, SHT_DYNAMIC);
    const Elf64_Dyn *entry = (const Elf64_Dyn *)(const void *)(object.bytes + section->sh_offset);
    uint64_t flags = 0;
    for (; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_FLAGS_1)
            flags = entry->d_un.d_val;
    assert_true((flags & DF_1_NODELETE) != 0);
    assert_true((flags & DF_1_NOW) != 0);
}

RTH_TEST_MAIN(cmocka_unit_test(exports_exactly_what_the_map_names),
              cmocka_unit_test(needs_libc_alone_and_no_text_relocation),
              cmocka_unit_test(is_unloaded_never))
