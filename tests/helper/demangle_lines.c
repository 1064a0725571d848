/* SPDX-License-Identifier: MIT */
/*
 * Standard input, one name a line, demangled as the runtime does; what it does not demangle comes
 * out as it is. For tests/integration/test_demangle.py.
 */
#include <stdio.h>
#include <string.h>

#include "formats/demangle.h"

int main(void)
{
    char mangled[8192], name[RTH_DEMANGLED_BYTES];
    while (fgets(mangled, sizeof(mangled), stdin) != NULL) {
        mangled[strcspn(mangled, "\n")] = '\0';
        (void)puts(rth__demangle(mangled, name, sizeof(name)) == 0 ? name : mangled);
    }
    return ferror(stdin) || fflush(stdout) != 0;
}
