/* SPDX-License-Identifier: MIT */
/*
 * symbol_names LIBRARY: prints "NAME 0xADDRESS" for functions of its own, of libc, of the vDSO and
 * of the library, then "ready". Reads lines: "close" unloads the library, "open" loads it again
 * and prints its functions; each is answered by a line. Ends with its input.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int exported_in_program(int number);

static __attribute__((noinline)) int static_in_program(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number * 3;
}

__attribute__((noinline)) int exported_in_program(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number * 5;
}

static void print_address(const char *name, const void *address)
{
    printf("%s 0x%llx\n", name, (unsigned long long)(uintptr_t)address);
}

static void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    const void *(*static_function)(void);
    *(void **)&static_function = dlsym(library, "address_of_static");
    print_address("exported_in_module", dlsym(library, "exported_in_module"));
    print_address("static_in_module", static_function());
    return library;
}

int main(int argc, char **argv)
{
    char line[32];
    if (argc != 2)
        return 2;
    print_address("static_in_program", (const void *)(uintptr_t)static_in_program);
    print_address("exported_in_program", (const void *)(uintptr_t)exported_in_program);
    print_address("getenv", dlsym(RTLD_DEFAULT, "getenv"));
    void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (vdso != NULL)
        print_address("vdso", dlsym(vdso, "__vdso_clock_gettime"));
    void *library = load(argv[1]);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "close\n") == 0 && library != NULL) {
            dlclose(library);
            library = NULL;
            puts("closed");
        } else if (strcmp(line, "open\n") == 0 && library == NULL) {
            library = load(argv[1]);
            puts("opened");
        }
        fflush(stdout);
    }
    return static_in_program(0) + exported_in_program(0);
}
