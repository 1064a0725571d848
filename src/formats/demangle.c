/* SPDX-License-Identifier: MIT */
/*
 * C++ names, read by the Itanium ABI's grammar into a tree and printed as c++filt prints them.
 *
 * The names come out of files that anybody may have made, and this runs inside the host: so it is
 * our own and not libiberty's, which reads null pointers and loops for hours on names made for it
 * (docs/adr/0004). Everything is bounded: the tree and its tables are arrays on the stack, the
 * recursion of reader and printer is counted, the reader looks at each character once, and the
 * printer counts its steps.
 *
 * What it does not read, it refuses, and the caller shows the mangled name: computed expressions
 * (decltype, enable_if conditions, noexcept), constraints, modules, Objective-C and vendor
 * extensions. Rust's first scheme is this one with a hash at the end.
 *
 * Threads: any. Failure: an error, nothing else. Cost: about a microsecond.
 */
#include <errno.h>
#include <string.h>

#include "formats/demangle_node.h"

/* What compilers append to a name: ".cold", ".part.0", ".constprop.1.isra.0". */
static uint16_t read_clones(struct demangler *demangler, uint16_t root)
{
    while (root != 0 && rth__demangle_peek(demangler) == '.') {
        const char *start = demangler->at++;
        while (rth__demangle_peek(demangler) != '\0' && rth__demangle_peek(demangler) != '.')
            demangler->at++;
        /* A number belongs to the word before it. */
        while (rth__demangle_peek(demangler) == '.' && rth__demangle_peek_next(demangler) >= '0' &&
               rth__demangle_peek_next(demangler) <= '9') {
            demangler->at++;
            while (rth__demangle_peek(demangler) >= '0' && rth__demangle_peek(demangler) <= '9')
                demangler->at++;
        }
        root =
            rth__demangle_text(demangler, NODE_CLONE, start, (size_t)(demangler->at - start), root);
    }
    return root;
}

int rth__demangle(const char *mangled, char *ret_name, size_t size_bytes)
{
    struct demangler demangler;
    if (strncmp(mangled, "_Z", 2) != 0)
        return -ENOENT;
    size_t length = strnlen(mangled, RTH_DEMANGLE_MANGLED_BYTES_MAX + 1);
    if (length > RTH_DEMANGLE_MANGLED_BYTES_MAX)
        return -E2BIG;
    if (size_bytes == 0)
        return -ENOSPC;
    memset(&demangler, 0, offsetof(struct demangler, nodes));
    memset(&demangler.nodes[0], 0, sizeof(demangler.nodes[0]));
    demangler.at = mangled + 2;
    demangler.end = mangled + length;
    demangler.node_count = 1;
    uint16_t root = read_clones(&demangler, rth__demangle_read_encoding(&demangler));
    if (demangler.too_much)
        return -E2BIG;
    if (root == 0 || demangler.at != demangler.end)
        return -ENOENT;
    return rth__demangle_print(&demangler, root, ret_name, size_bytes);
}
