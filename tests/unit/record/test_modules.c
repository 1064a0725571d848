/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/image.h"
#include "record/module.h"
#include "record/ranges.h"

/* A small library of libc's own that nothing here has loaded. */
#define LIBRARY "libresolv.so.2"

static int root_fd = -1;

static int refresh(void)
{
    if (root_fd < 0)
        root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = rth__modules_refresh(root_fd);
    assert_true(result >= 0);
    return result;
}

static const struct rth_module *module_of(const void *address)
{
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)address);
    return rth__module_by_id_sigsafe(rth__frame_module_id(frame));
}

/* Some code of the library. */
static void *code_of(void *library)
{
    void *code = dlsym(library, "ns_get16");
    if (code == NULL)
        code = dlsym(library, "__ns_get16");
    assert_non_null(code);
    return code;
}

static void *load(const char *name)
{
    void *library = dlopen(name, RTLD_NOW);
    if (library == NULL)
        RTH_SKIP(LIBRARY " is not there");
    return library;
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static void a_frame_holds_a_module_and_an_address_of_its_file(void **state)
{
    (void)state;
    rth_frame frame = rth__frame_make(RTH_MODULES_MAX - 1, UINT64_C(0x7fffffffffff));
    assert_int_equal(rth__frame_module_id(frame), RTH_MODULES_MAX - 1);
    assert_int_equal(rth__frame_vaddr(frame), UINT64_C(0x7fffffffffff));
    assert_int_equal(rth__frame_make(0, 0x1234), 0x1234);
}

static void an_address_and_its_frame_lead_to_each_other(void **state)
{
    (void)state;
    (void)refresh();
    uint64_t address = (uint64_t)(uintptr_t)&refresh;
    rth_frame frame = rth__frame_of_address_sigsafe(address);
    assert_true(rth__frame_module_id(frame) != 0);
    assert_int_equal(rth__frame_address(frame), address);
    static int data;
    address = (uint64_t)(uintptr_t)&data;
    assert_int_equal(rth__frame_of_address_sigsafe(address), address); /* no code: module 0 */
}

static void ids_never_given_name_nothing(void **state)
{
    (void)state;
    (void)refresh();
    assert_null(rth__module_by_id_sigsafe(0));
    assert_null(rth__module_by_id_sigsafe(rth__module_count() + 1));
    assert_null(rth__module_by_id_sigsafe(RTH_MODULES_MAX));
    assert_null(rth__module_by_id_sigsafe(UINT32_MAX));
}

/* ---- what is mapped ---------------------------------------------------------------------------
 */

static int check_against_loader(struct dl_phdr_info *info, size_t size_bytes, void *count)
{
    (void)size_bytes;
    const struct rth_module *module = NULL;
    uint64_t low = UINT64_MAX, high = 0, eh_frame_hdr = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        if (phdr->p_type == PT_GNU_EH_FRAME)
            eh_frame_hdr = phdr->p_vaddr;
        if (phdr->p_type != PT_LOAD)
            continue;
        low = phdr->p_vaddr < low ? phdr->p_vaddr : low;
        high = phdr->p_vaddr + phdr->p_memsz > high ? phdr->p_vaddr + phdr->p_memsz : high;
        if (phdr->p_flags & PF_X)
            module = module_of((const void *)(info->dlpi_addr + phdr->p_vaddr));
    }
    assert_non_null(module);
    assert_int_equal(module->last_load_bias, info->dlpi_addr);
    assert_int_equal(module->image_vaddr_low, low & ~UINT64_C(4095));
    assert_int_equal(module->image_vaddr_high, high);
    assert_int_equal(module->eh_frame_hdr_vaddr, eh_frame_hdr);
    assert_true(module->loaded);
    ++*(unsigned *)count;
    return 0;
}

static void every_module_of_the_loader_is_known_with_its_bias(void **state)
{
    (void)state;
    unsigned count = 0;
    (void)refresh();
    (void)dl_iterate_phdr(check_against_loader, &count);
    assert_true(count >= 3); /* this program, libc, the loader */
    assert_int_equal(rth__modules_dropped(), 0);
}

static void the_program_has_its_path_and_build_id(void **state)
{
    (void)state;
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(length > 0);
    path[length] = '\0';
    (void)refresh();
    const struct rth_module *module = module_of((const void *)(uintptr_t)&refresh);
    assert_string_equal(module->path, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct rth_elf_facts facts;
    assert_int_equal(rth__elf_facts_read(fd, &facts), 0);
    (void)close(fd);
    assert_int_equal(module->build_id_bytes, facts.build_id_bytes);
    assert_memory_equal(module->build_id, facts.build_id, facts.build_id_bytes);
}

static void the_vdso_is_a_module(void **state)
{
    (void)state;
    uint64_t header = getauxval(AT_SYSINFO_EHDR);
    if (header == 0)
        RTH_SKIP("no vDSO");
    (void)refresh();
    const struct rth_module *module = module_of((const void *)(uintptr_t)header);
    assert_non_null(module);
    assert_true(module->is_vdso);
    assert_string_equal(module->path, "[vdso]");
    assert_int_equal(module->last_load_bias, header);
    assert_true(module->eh_frame_hdr_vaddr != 0);
}

/* Run by itself in a child, as ld.so's argument; then /proc/self/exe is the loader. */
static void a_program_started_through_the_loader_is_named_by_its_own_file(void **state)
{
    (void)state;
    const char *self = getenv("RTH_TEST_SELF");
    char path[4096] = "";
    if (self != NULL) {
        (void)refresh();
        assert_string_equal(module_of((const void *)(uintptr_t)&refresh)->path, self);
        return;
    }
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(length > 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const char *loader = "/lib64/ld-linux-x86-64.so.2";
        (void)setenv("RTH_TEST_SELF", path, 1);
        (void)execl(loader, loader, path, __func__, (char *)NULL);
        _exit(77);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        RTH_SKIP("no loader at its usual path");
    assert_int_equal(status, 0);
}

static void nothing_new_changes_nothing(void **state)
{
    (void)state;
    (void)refresh();
    uint32_t generation = rth__ranges_enter_sigsafe()->generation;
    rth__ranges_leave_sigsafe();
    (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(refresh(), 0);
    assert_int_equal(rth__ranges_enter_sigsafe()->generation, generation);
    rth__ranges_leave_sigsafe();
}

static void an_id_survives_unload_and_load(void **state)
{
    (void)state;
    void *library = load(LIBRARY);
    assert_int_equal(refresh(), 1);
    const struct rth_module *module = module_of(code_of(library));
    assert_non_null(module);
    uint32_t count = rth__module_count();
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)code_of(library));
    (void)dlclose(library);
    assert_int_equal(refresh(), 1);
    assert_false(module->loaded);
    assert_ptr_equal(rth__module_by_id_sigsafe(module->id), module);
    library = load(LIBRARY);
    assert_int_equal(refresh(), 1);
    assert_true(module->loaded);
    assert_ptr_equal(module_of(code_of(library)), module);
    assert_int_equal(rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)code_of(library)), frame);
    assert_int_equal(rth__module_count(), count);
    (void)dlclose(library);
}

/* A copy of the library under another name. */
static void copy_library(char *ret_path)
{
    struct link_map *map;
    char buffer[65536];
    void *library = load(LIBRARY);
    assert_int_equal(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
    int from = open(map->l_name, O_RDONLY | O_CLOEXEC);
    int to = mkstemp(ret_path);
    assert_true(from >= 0 && to >= 0);
    ssize_t got;
    while ((got = read(from, buffer, sizeof(buffer))) > 0)
        assert_int_equal(write(to, buffer, (size_t)got), got);
    (void)close(from);
    (void)close(to);
    (void)dlclose(library);
}

static void a_file_deleted_or_replaced_stays_the_module_it_was(void **state)
{
    (void)state;
    char path[] = "/tmp/rth-modules-XXXXXX", other[] = "/tmp/rth-modules-XXXXXX";
    copy_library(path);
    copy_library(other);
    void *library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    (void)refresh();
    const struct rth_module *module = module_of(code_of(library));
    assert_non_null(module);
    assert_string_equal(module->path, path);
    uint64_t inode = module->inode;
    assert_int_equal(rename(other, path), 0); /* an upgrade: the old file is deleted */
    (void)refresh();
    assert_ptr_equal(module_of(code_of(library)), module);
    assert_string_equal(module->path, path);
    assert_int_equal(module->inode, inode);
    (void)dlclose(library);
    (void)unlink(path);
}

static void another_file_of_the_same_build_is_another_module(void **state)
{
    (void)state;
    char path[] = "/tmp/rth-modules-XXXXXX";
    copy_library(path);
    void *library = load(LIBRARY), *copy = dlopen(path, RTLD_NOW);
    assert_non_null(copy);
    (void)refresh();
    const struct rth_module *first = module_of(code_of(library));
    const struct rth_module *second = module_of(code_of(copy));
    assert_true(first->id != second->id);
    assert_memory_equal(first->build_id, second->build_id, first->build_id_bytes);
    (void)dlclose(copy);
    (void)dlclose(library);
    (void)unlink(path);
}

static void a_file_mapped_twice_is_one_module_with_two_biases(void **state)
{
    (void)state;
    (void)refresh();
    const struct rth_module *module = module_of((const void *)(uintptr_t)&refresh);
    int fd = open(module->path, O_RDONLY | O_CLOEXEC);
    size_t size_bytes = (size_t)(module->last_exec_limit - module->last_exec_start);
    char *again = mmap(NULL, size_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
                       (off_t)module->last_exec_file_offset);
    assert_true(again != MAP_FAILED);
    (void)close(fd);
    assert_int_equal(refresh(), 1);
    uint64_t offset = (uint64_t)(uintptr_t)&refresh - module->last_exec_start;
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)again + offset);
    rth_frame original = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)&refresh);
    /* Without a mapping of the file's start beside it, the copy may be nobody's; never another's.
     */
    assert_true(rth__frame_module_id(frame) == 0 || frame == original);
    assert_ptr_equal(module_of((const void *)(uintptr_t)&refresh), module);
    assert_int_equal(munmap(again, size_bytes), 0);
}

static void executable_memory_of_no_file_is_code_of_module_0(void **state)
{
    (void)state;
    char *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    assert_int_equal(refresh(), 1);
    const struct rth_loaded_ranges *ranges = rth__ranges_enter_sigsafe();
    int index = rth__ranges_find_sigsafe(ranges, (uint64_t)(uintptr_t)page + 5);
    assert_true(index >= 0);
    assert_int_equal(ranges->range[index].module_id, 0);
    rth__ranges_leave_sigsafe();
    assert_int_equal(rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)page + 5),
                     (uint64_t)(uintptr_t)page + 5);
    assert_int_equal(munmap(page, 4096), 0);
}

static void text_copied_to_anonymous_pages_in_place_stays_its_modules(void **state)
{
    (void)state;
    void *library = load(LIBRARY);
    (void)refresh();
    const struct rth_module *module = module_of(code_of(library));
    size_t size_bytes = (size_t)(module->last_exec_limit - module->last_exec_start);
    void *text = (void *)(uintptr_t)module->last_exec_start;
    void *copy = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(copy != MAP_FAILED);
    memcpy(copy, text, size_bytes);
    assert_int_equal(mprotect(copy, size_bytes, PROT_READ | PROT_EXEC), 0);
    rth_frame before = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)code_of(library));
    uint64_t file_offset = module->last_exec_file_offset;
    /* As programs do that want their code on huge pages. */
    assert_true(mremap(copy, size_bytes, size_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, text) !=
                MAP_FAILED);
    assert_int_equal(refresh(), 1);
    assert_int_equal(rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)code_of(library)), before);
    assert_int_equal(module->last_exec_file_offset, file_offset);
    (void)dlclose(library);
}

static void text_of_several_mappings_is_one_module_that_knows_them_all(void **state)
{
    (void)state;
    void *library = load(LIBRARY);
    (void)refresh();
    const struct rth_module *module = module_of(code_of(library));
    uint64_t start = module->last_exec_start, limit = module->last_exec_limit;
    uint64_t file_offset = module->last_exec_file_offset;
    assert_int_equal(module->more_count, 0);
    assert_true(limit - start > 4096);
    void *first_page = (void *)(uintptr_t)start;
    assert_int_equal(mprotect(first_page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    assert_int_equal(refresh(), 1);
    assert_int_equal(module->last_exec_start, start);
    assert_int_equal(module->last_exec_limit, start + 4096);
    assert_int_equal(module->more_count, 1);
    assert_int_equal(module->more[0].start, start + 4096);
    assert_int_equal(module->more[0].limit, limit);
    assert_int_equal(module->more[0].file_offset, file_offset + 4096);
    (void)dlclose(library);
}

/* ---- ranges under readers ---------------------------------------------------------------------
 */

static void ranges_in_use_stay_until_the_reader_leaves(void **state)
{
    (void)state;
    (void)refresh();
    const struct rth_loaded_ranges *held = rth__ranges_enter_sigsafe();
    uint32_t generation = held->generation, count = held->count;
    uint64_t first = held->range[0].start;
    for (unsigned i = 0; i < 200; i++) {
        char *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(page != MAP_FAILED);
        assert_int_equal(refresh(), 1);
        assert_int_equal(munmap(page, 4096), 0);
        assert_int_equal(refresh(), 1);
    }
    assert_int_equal(held->generation, generation);
    assert_int_equal(held->count, count);
    assert_int_equal(held->range[0].start, first);
    rth__ranges_leave_sigsafe();
}

static _Atomic bool churn_ends;

static void *thread_churns(void *unused)
{
    (void)unused;
    while (!atomic_load(&churn_ends)) {
        void *library = dlopen(LIBRARY, RTLD_NOW);
        if (library != NULL)
            (void)dlclose(library);
    }
    return NULL;
}

static void *thread_reads(void *unused)
{
    (void)unused;
    uintptr_t bad = 0;
    while (!atomic_load(&churn_ends)) {
        const struct rth_loaded_ranges *ranges = rth__ranges_enter_sigsafe();
        for (uint32_t i = 0; i < ranges->count; i++) {
            bad += ranges->range[i].start >= ranges->range[i].limit;
            bad += i > 0 && ranges->range[i].start < ranges->range[i - 1].limit;
        }
        rth__ranges_leave_sigsafe();
        bad += module_of((const void *)(uintptr_t)&refresh) == NULL;
    }
    return (void *)bad;
}

static void libraries_that_come_and_go_never_disturb_a_refresh_or_a_reader(void **state)
{
    (void)state;
    pthread_t churner, reader;
    void *bad;
    void *library = load(LIBRARY);
    (void)dlclose(library);
    (void)refresh();
    assert_int_equal(pthread_create(&churner, NULL, thread_churns, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, thread_reads, NULL), 0);
    unsigned changes = 0;
    for (unsigned i = 0; i < 2000; i++)
        changes += refresh() == 1;
    atomic_store(&churn_ends, true);
    assert_int_equal(pthread_join(churner, NULL), 0);
    assert_int_equal(pthread_join(reader, &bad), 0);
    assert_null(bad);
    assert_true(changes > 0);
    assert_int_equal(rth__modules_dropped(), 0);
}

/* ---- hostile images ---------------------------------------------------------------------------
 */

static struct {
    Elf64_Ehdr header;
    Elf64_Phdr phdr[4];
    unsigned char rest[4096];
} image;

static struct rth_image_facts facts;

static int read_image(void)
{
    struct rth_image_reader reader = {.root_fd = root_fd};
    int result = rth__image_facts_read(&reader, (uint64_t)(uintptr_t)&image, &facts);
    rth__image_reader_close(&reader);
    return result;
}

static void make_image(void)
{
    memset(&image, 0, sizeof(image));
    memcpy(image.header.e_ident, ELFMAG, SELFMAG);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_ident[EI_DATA] = ELFDATA2LSB;
    image.header.e_machine = rth__elf_own_machine();
    image.header.e_phoff = sizeof(image.header);
    image.header.e_phentsize = sizeof(Elf64_Phdr);
    image.header.e_phnum = 4;
    image.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_X,
                                 .p_filesz = sizeof(image),
                                 .p_memsz = sizeof(image)};
    image.phdr[1] = (Elf64_Phdr){.p_type = PT_NOTE,
                                 .p_vaddr = offsetof(__typeof__(image), rest),
                                 .p_memsz = 24,
                                 .p_align = 4};
    const uint32_t note[] = {4, 8, NT_GNU_BUILD_ID, 0x00554e47, 0x04030201, 0x08070605};
    memcpy(image.rest, note, sizeof(note));
}

static void a_sound_image_gives_its_facts(void **state)
{
    (void)state;
    make_image();
    assert_int_equal(read_image(), 0);
    assert_int_equal(facts.vaddr_low, 0);
    assert_int_equal(facts.vaddr_high, sizeof(image));
    assert_int_equal(facts.build_id_bytes, 8);
    assert_int_equal(facts.build_id[0], 1);
    assert_int_equal(facts.exec_segment_count, 1);
    assert_int_equal(facts.eh_frame_hdr_vaddr, 0);
}

static void images_that_lie_are_refused_or_cost_a_fact(void **state)
{
    (void)state;
    make_image();
    image.header.e_ident[0] = 0;
    assert_int_equal(read_image(), -ENOEXEC);
    make_image();
    image.header.e_ident[EI_CLASS] = ELFCLASS32;
    assert_int_equal(read_image(), -ENOEXEC);
    make_image();
    image.header.e_phnum = 60000;
    assert_int_equal(read_image(), -EBADMSG);
    make_image();
    image.header.e_phoff = UINT64_MAX - 10;
    assert_int_equal(read_image(), -EBADMSG);
    make_image();
    image.header.e_phoff = UINT64_C(0x600000000000);
    assert_true(read_image() < 0);
    make_image();
    image.phdr[0].p_vaddr = UINT64_MAX - 100;
    assert_int_equal(read_image(), -EBADMSG);
    make_image();
    image.phdr[0].p_type = PT_NULL; /* nothing to load */
    assert_int_equal(read_image(), -EBADMSG);
    make_image();
    image.phdr[2] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME, .p_vaddr = 1u << 30, .p_memsz = 100};
    assert_int_equal(read_image(), 0);
    assert_int_equal(facts.eh_frame_hdr_bytes, 0);
    make_image();
    memset(image.rest, 0xff, 24); /* a note longer than everything */
    assert_int_equal(read_image(), 0);
    assert_int_equal(facts.build_id_bytes, 0);
    make_image();
    image.phdr[1].p_vaddr = UINT64_C(0x600000000000);
    assert_int_equal(read_image(), 0);
    assert_int_equal(facts.build_id_bytes, 0);
}

static void memory_that_is_gone_is_an_error_and_no_fault(void **state)
{
    (void)state;
    (void)refresh();
    struct rth_image_reader reader = {.root_fd = root_fd};
    char buffer[8192];
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(munmap(pages + 4096, 4096), 0);
    pages[4095] = 'x';
    uint64_t address = (uint64_t)(uintptr_t)pages;
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(rth__image_read(&reader, address, buffer, 4096), 0);
        assert_int_equal(buffer[4095], 'x');
        assert_true(rth__image_read(&reader, address, buffer, 8192) < 0);
        assert_int_equal(rth__image_read_some(&reader, address, buffer, 8192), 4096);
        assert_true(rth__image_read_some(&reader, address + 4096, buffer, 16) < 0);
        assert_true(rth__image_read_some(&reader, UINT64_MAX - 7, buffer, 8) < 0);
        /* Once more through /proc/self/mem, as under a filter that refuses the first way. */
        reader.mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        reader.has_mem_fd = true;
        assert_true(reader.mem_fd >= 0);
    }
    rth__image_reader_close(&reader);
    assert_int_equal(munmap(pages, 4096), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_frame_holds_a_module_and_an_address_of_its_file),
              cmocka_unit_test(an_address_and_its_frame_lead_to_each_other),
              cmocka_unit_test(ids_never_given_name_nothing),
              cmocka_unit_test(every_module_of_the_loader_is_known_with_its_bias),
              cmocka_unit_test(the_program_has_its_path_and_build_id),
              cmocka_unit_test(the_vdso_is_a_module),
              cmocka_unit_test(a_program_started_through_the_loader_is_named_by_its_own_file),
              cmocka_unit_test(nothing_new_changes_nothing),
              cmocka_unit_test(an_id_survives_unload_and_load),
              cmocka_unit_test(a_file_deleted_or_replaced_stays_the_module_it_was),
              cmocka_unit_test(another_file_of_the_same_build_is_another_module),
              cmocka_unit_test(a_file_mapped_twice_is_one_module_with_two_biases),
              cmocka_unit_test(executable_memory_of_no_file_is_code_of_module_0),
              cmocka_unit_test(text_copied_to_anonymous_pages_in_place_stays_its_modules),
              cmocka_unit_test(text_of_several_mappings_is_one_module_that_knows_them_all),
              cmocka_unit_test(ranges_in_use_stay_until_the_reader_leaves),
              cmocka_unit_test(libraries_that_come_and_go_never_disturb_a_refresh_or_a_reader),
              cmocka_unit_test(a_sound_image_gives_its_facts),
              cmocka_unit_test(images_that_lie_are_refused_or_cost_a_fact),
              cmocka_unit_test(memory_that_is_gone_is_an_error_and_no_fault), )
