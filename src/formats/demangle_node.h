/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_DEMANGLE_NODE_H
#define RTH_FORMATS_DEMANGLE_NODE_H

/*
 * What the reader of mangled names hands to the printer: a tree (with shared parts, as names refer
 * back to their own parts) of nodes in a fixed array. A node refers to others by their position; 0
 * is none. Only demangle*.c include this.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/demangle.h"

#define DEMANGLE_NODES         1024
#define DEMANGLE_SUBSTITUTIONS 384
#define DEMANGLE_PARAMETERS    64
#define DEMANGLE_FORWARDS      8
#define DEMANGLE_DEPTH         96 /* of the reader's and of the printer's recursion */

enum node_kind {
    NODE_TEXT,      /* text */
    NODE_QUALIFIED, /* left::right */
    NODE_LOCAL,     /* left::right, left an encoding without its return type */
    NODE_TEMPLATE,  /* left<right> */
    NODE_ABI_TAG,   /* left[abi:text] */
    NODE_CONSTRUCTOR,
    NODE_DESTRUCTOR,       /* of left */
    NODE_OPERATOR,         /* operator text */
    NODE_CONVERSION,       /* operator left */
    NODE_LITERAL_OPERATOR, /* operator"" text */
    NODE_LAMBDA,           /* {lambda(left)#number} */
    NODE_UNNAMED,          /* {unnamed type#number} */
    NODE_DEFAULT_ARGUMENT, /* {default arg#number}::left */
    NODE_AUTO,             /* auto:number */
    NODE_FORWARD,          /* left; number: T_ is 1; of conversions known later */
    NODE_POINTER,
    NODE_REFERENCE,
    NODE_RVALUE_REFERENCE,
    NODE_QUALIFIERS,     /* of left: flags */
    NODE_SUFFIX,         /* left text */
    NODE_FUNCTION,       /* left: result, 0 for none; right: parameters; flags */
    NODE_FLOAT,          /* _Float and text */
    NODE_ARRAY,          /* left [text], or [right] */
    NODE_MEMBER_POINTER, /* right left::* */
    NODE_PACK_EXPANSION, /* left once per element of the packs in it */
    NODE_PARAMETER_PACK, /* the current element of the list left */
    NODE_ARGUMENT_PACK,  /* all elements of the list left */
    NODE_LITERAL,        /* text of type left; number: 1 for negative */
    NODE_ADDRESS,        /* &left */
    NODE_OPERATION,      /* text of left, or of left and right */
    NODE_ENCODING,       /* left: name, right: NODE_FUNCTION */
    NODE_SPECIAL,        /* text and left, "vtable for " */
    NODE_CONSTRUCTION,   /* construction vtable for left-in-right */
    NODE_TEMPORARY,      /* reference temporary #text for left */
    NODE_CLONE,          /* left [clone text] */
    NODE_LIST,           /* left: element, right: the rest */
};

enum node_flags {
    FLAG_RESTRICT = 1,
    FLAG_VOLATILE = 2,
    FLAG_CONST = 4,
    FLAG_REFERENCE = 8, /* of a member function */
    FLAG_RVALUE_REFERENCE = 16,
    FLAG_NOEXCEPT = 32,
    FLAG_TRANSACTION_SAFE = 64,
    FLAGS_QUALIFIERS = FLAG_RESTRICT | FLAG_VOLATILE | FLAG_CONST,
};

struct node {
    const char *text;
    uint16_t size_bytes; /* of text */
    uint16_t left, right;
    uint8_t kind, flags;
};

/* Numbers use the place of a text's size. */
#define NODE_NUMBER(node) ((node)->size_bytes)

struct demangler {
    const char *at, *end;
    unsigned depth;
    bool too_much;              /* a bound was met, and not a mistake in the name */
    bool no_template_arguments; /* those that follow belong to the name and not to the type */
    bool forward_allowed;
    unsigned lambda_depth;
    uint16_t node_count, substitution_count, parameter_count, forward_count;
    uint16_t substitutions[DEMANGLE_SUBSTITUTIONS];
    uint16_t parameters[DEMANGLE_PARAMETERS]; /* what T_, T0_, … stand for now */
    struct {
        uint16_t node, index;
    } forwards[DEMANGLE_FORWARDS];
    struct node nodes[DEMANGLE_NODES];
};

/* demangle_read.c: an encoding up to the end of the input, or to an 'E' or '.'; 0 on failure. */
uint16_t rth__demangle_read_encoding(struct demangler *demangler);

/* demangle_type.c, demangle_argument.c and demangle_read.c: 0 on failure. */
uint16_t rth__demangle_read_type(struct demangler *demangler);
uint16_t rth__demangle_read_class_name(struct demangler *demangler);
uint16_t rth__demangle_read_source_name(struct demangler *demangler);
/* After the 'I'. as_parameters: what T_ means from now on. */
bool rth__demangle_read_template_arguments(struct demangler *demangler, bool as_parameters,
                                           uint16_t *ret_list);
/* Types up to what ends a signature; a lone void gives the empty list. */
bool rth__demangle_read_parameters(struct demangler *demangler, uint16_t *ret_list);
/* After the 'S', for all but "St". */
uint16_t rth__demangle_read_substitution(struct demangler *demangler);
uint16_t rth__demangle_read_parameter_reference(struct demangler *demangler);

/* demangle_reader.c: what both readers stand on. */
bool rth__demangle_enter(struct demangler *demangler); /* every enter has its leave */
void rth__demangle_leave(struct demangler *demangler);
char rth__demangle_peek(const struct demangler *demangler); /* 0 at the end */
char rth__demangle_peek_next(const struct demangler *demangler);
bool rth__demangle_take(struct demangler *demangler, const char *text);
uint16_t rth__demangle_node(struct demangler *demangler, enum node_kind kind, uint16_t left,
                            uint16_t right);
uint16_t rth__demangle_text(struct demangler *demangler, enum node_kind kind, const char *text,
                            size_t size_bytes, uint16_t left);
uint16_t rth__demangle_numbered(struct demangler *demangler, enum node_kind kind, uint32_t number,
                                uint16_t left);
bool rth__demangle_substitutable(struct demangler *demangler, uint16_t node);
/* Decimal digits; false without any or for more than 65,535. */
bool rth__demangle_number(struct demangler *demangler, uint32_t *ret_number);
/* "_" is 0, "0_" is 1, "A_" (base 36) or, in_decimal, "10_" is 11. */
bool rth__demangle_index(struct demangler *demangler, bool in_decimal, uint32_t *ret_index);
/* Appends to a list that is built from its head: {0, 0} is the empty one. */
struct node_list {
    uint16_t head, tail;
};
bool rth__demangle_append(struct demangler *demangler, struct node_list *list, uint16_t element);

/* demangle_print.c: 0, -ENOSPC or -E2BIG. */
int rth__demangle_print(const struct demangler *demangler, uint16_t root, char *ret_name,
                        size_t size_bytes);

#endif /* RTH_FORMATS_DEMANGLE_NODE_H */
