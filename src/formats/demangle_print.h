/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_DEMANGLE_PRINT_H
#define RTH_FORMATS_DEMANGLE_PRINT_H

/* What the two halves of the printer, types and names, need of each other. */

#include "formats/demangle_node.h"

struct printer {
    const struct node *nodes;
    char *text;
    size_t capacity_bytes, size_bytes;
    int error;
    unsigned depth, steps;
    /* Inside a pack expansion: which element, of how many; NO_ELEMENT until a pack is met. */
    bool expanding;
    uint32_t element, element_count;
};

/* demangle_print.c */
void rth__demangle_put(struct printer *printer, const char *text, size_t size_bytes);
void rth__demangle_puts(struct printer *printer, const char *text);
void rth__demangle_put_number(struct printer *printer, unsigned number);
char rth__demangle_last_character(const struct printer *printer);
void rth__demangle_print_left(struct printer *printer, uint16_t at);
void rth__demangle_print_right(struct printer *printer, uint16_t at);
void rth__demangle_print_all(struct printer *printer, uint16_t at);
void rth__demangle_print_list(struct printer *printer, uint16_t list);
const struct node *rth__demangle_resolved(struct printer *printer, uint16_t at);
void rth__demangle_print_expansion(struct printer *printer, const struct node *node);
void rth__demangle_print_function_left(struct printer *printer, const struct node *node);
void rth__demangle_print_function_right(struct printer *printer, const struct node *node);

/* demangle_print_name.c: what is printed whole. */
void rth__demangle_print_other(struct printer *printer, const struct node *node);

#endif /* RTH_FORMATS_DEMANGLE_PRINT_H */
