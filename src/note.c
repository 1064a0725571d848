/* SPDX-License-Identifier: MIT */
/*
 * The ELF note of librthooks.a: owner "rthooks", type 1, one 32-bit word, the interposer ABI the
 * archive was built for. `rthooks run` reads it in an executable's PT_NOTE segments and then
 * preloads the interposer alone, since a second runtime in one process is refused. Only the archive
 * contains it. Linkers keep note sections under --gc-sections.
 *
 * Assembled rather than a C object: the compiler would give the section the wrong type.
 */

#include "interpose/abi.h"

_Static_assert(RTH_INTERPOSE_ABI_VERSION == 1u, "the note below says 1");

__asm__(".pushsection .note.rthooks, \"a\", %note\n"
        ".balign 4\n"
        ".long 8\n" /* bytes of the owner's name */
        ".long 4\n" /* bytes of the descriptor */
        ".long 1\n" /* type */
        ".asciz \"rthooks\"\n"
        ".long 1\n" /* RTH_INTERPOSE_ABI_VERSION */
        ".popsection\n");
