/* SPDX-License-Identifier: MIT */
/*
 * From the tree to text, in the form of c++filt. A type has a left and a right part, around the
 * name that is declared with it or around nothing: "void (*" and ")(int)". Parts of the tree are
 * shared, so the text can be exponentially longer than the name: it ends with the buffer, and the
 * steps are counted for what prints nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/demangle_print.h"

#define STEPS_MAX  100000u
#define NO_ELEMENT UINT32_MAX

void rth__demangle_put(struct printer *printer, const char *text, size_t size_bytes)
{
    if (printer->error != 0 || size_bytes == 0)
        return;
    if (size_bytes >= printer->capacity_bytes - printer->size_bytes) {
        printer->error = -ENOSPC;
        return;
    }
    memcpy(printer->text + printer->size_bytes, text, size_bytes);
    printer->size_bytes += size_bytes;
}

void rth__demangle_puts(struct printer *printer, const char *text)
{
    rth__demangle_put(printer, text, strlen(text));
}

void rth__demangle_put_number(struct printer *printer, unsigned number)
{
    char digits[16];
    int length = snprintf(digits, sizeof(digits), "%u", number);
    rth__demangle_put(printer, digits, (size_t)length);
}

char rth__demangle_last_character(const struct printer *printer)
{
    return printer->size_bytes > 0 ? printer->text[printer->size_bytes - 1] : '\0';
}

static bool enter(struct printer *printer)
{
    if (++printer->depth > DEMANGLE_DEPTH || ++printer->steps > STEPS_MAX) {
        if (printer->error == 0)
            printer->error = -E2BIG;
    }
    return printer->error == 0;
}

static uint32_t list_length(struct printer *printer, uint16_t list)
{
    uint32_t count = 0;
    for (; list != 0; list = printer->nodes[list].right) {
        count++;
        printer->steps++;
    }
    return count;
}

static uint16_t list_element(struct printer *printer, uint16_t list, uint32_t index)
{
    for (; list != 0 && index > 0; index--) {
        list = printer->nodes[list].right;
        printer->steps++;
    }
    return list != 0 ? printer->nodes[list].left : 0;
}

/* The element of a pack that is due; 0 when there is none, or no expansion around. */
static uint16_t current_element(struct printer *printer, const struct node *pack)
{
    if (!printer->expanding)
        return 0;
    if (printer->element == NO_ELEMENT) {
        printer->element = 0;
        printer->element_count = list_length(printer, pack->left);
    }
    return list_element(printer, pack->left, printer->element);
}

/* What a reference stands for, as far as that is one node. */
const struct node *rth__demangle_resolved(struct printer *printer, uint16_t at)
{
    for (int i = 0; i < DEMANGLE_DEPTH; i++) {
        const struct node *node = &printer->nodes[at];
        uint16_t next = 0;
        if (node->kind == NODE_FORWARD)
            next = node->left;
        else if (node->kind == NODE_PARAMETER_PACK)
            next = current_element(printer, node);
        if (next == 0)
            return node;
        at = next;
    }
    printer->error = -E2BIG;
    return &printer->nodes[0];
}

static const struct node *without_qualifiers(struct printer *printer, uint16_t at)
{
    const struct node *node = rth__demangle_resolved(printer, at);
    while (node->kind == NODE_QUALIFIERS && ++printer->steps <= STEPS_MAX)
        node = rth__demangle_resolved(printer, node->left);
    return node;
}

/* Whether the type ends in a right part. */
static bool has_right(struct printer *printer, uint16_t at)
{
    for (unsigned i = 0; i < DEMANGLE_NODES; i++) {
        const struct node *node = rth__demangle_resolved(printer, at);
        printer->steps++;
        switch (node->kind) {
        case NODE_FUNCTION:
        case NODE_ARRAY:
            return true;
        case NODE_POINTER:
        case NODE_REFERENCE:
        case NODE_RVALUE_REFERENCE:
        case NODE_QUALIFIERS:
        case NODE_SUFFIX:
            at = node->left;
            break;
        case NODE_MEMBER_POINTER:
            at = node->right;
            break;
        default:
            return false;
        }
    }
    return false;
}

void rth__demangle_print_all(struct printer *printer, uint16_t at)
{
    rth__demangle_print_left(printer, at);
    rth__demangle_print_right(printer, at);
}

/* What prints nothing, an empty pack, takes its comma with it. */
void rth__demangle_print_list(struct printer *printer, uint16_t list)
{
    size_t start = printer->size_bytes;
    for (; list != 0 && printer->error == 0; list = printer->nodes[list].right) {
        size_t before = printer->size_bytes;
        if (before > start)
            rth__demangle_puts(printer, ", ");
        size_t after_comma = printer->size_bytes;
        rth__demangle_print_all(printer, printer->nodes[list].left);
        if (printer->size_bytes == after_comma)
            printer->size_bytes = before;
    }
}

static void print_qualifiers(struct printer *printer, unsigned flags)
{
    static const struct {
        unsigned flag;
        const char *text;
    } names[] = {
        {FLAG_TRANSACTION_SAFE, " transaction_safe"},
        {FLAG_NOEXCEPT, " noexcept"},
        {FLAG_CONST, " const"},
        {FLAG_VOLATILE, " volatile"},
        {FLAG_RESTRICT, " __restrict"},
        {FLAG_REFERENCE, " &"},
        {FLAG_RVALUE_REFERENCE, " &&"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((flags & names[i].flag) != 0)
            rth__demangle_puts(printer, names[i].text);
    }
}

void rth__demangle_print_expansion(struct printer *printer, const struct node *node)
{
    bool was_expanding = printer->expanding;
    uint32_t element = printer->element, element_count = printer->element_count;
    size_t before = printer->size_bytes;
    printer->expanding = true;
    printer->element = NO_ELEMENT;
    printer->element_count = 0;
    rth__demangle_print_all(printer, node->left);
    if (printer->element == NO_ELEMENT)
        rth__demangle_puts(printer, "...");
    else if (printer->element_count == 0)
        printer->size_bytes = before;
    while (printer->error == 0 && printer->element != NO_ELEMENT &&
           printer->element + 1 < printer->element_count) {
        printer->element++;
        rth__demangle_puts(printer, ", ");
        rth__demangle_print_all(printer, node->left);
    }
    printer->expanding = was_expanding;
    printer->element = element;
    printer->element_count = element_count;
}

static void print_pack(struct printer *printer, const struct node *node, bool right)
{
    uint16_t element = current_element(printer, node);
    if (element != 0 && right)
        rth__demangle_print_right(printer, element);
    else if (element != 0)
        rth__demangle_print_left(printer, element);
    else if (!printer->expanding && !right)
        rth__demangle_print_list(printer, node->left);
}

/* "*" and the like go between a function or array and what it is made of. */
static void print_declarator(struct printer *printer, uint16_t target, const char *sign)
{
    rth__demangle_print_left(printer, target);
    uint8_t kind = without_qualifiers(printer, target)->kind;
    if (kind == NODE_ARRAY)
        rth__demangle_puts(printer, " (");
    else if (kind == NODE_FUNCTION)
        rth__demangle_puts(printer, "(");
    rth__demangle_puts(printer, sign);
}

static void print_declarator_right(struct printer *printer, uint16_t target)
{
    uint8_t kind = without_qualifiers(printer, target)->kind;
    if (kind == NODE_ARRAY || kind == NODE_FUNCTION)
        rth__demangle_puts(printer, ")");
    rth__demangle_print_right(printer, target);
}

/* A reference to a reference is one: "&&" only when both are. */
static uint16_t reference_target(struct printer *printer, const struct node *node,
                                 const char **ret_sign)
{
    bool is_rvalue = node->kind == NODE_RVALUE_REFERENCE;
    uint16_t target = node->left;
    for (const struct node *inner = rth__demangle_resolved(printer, target);
         (inner->kind == NODE_REFERENCE || inner->kind == NODE_RVALUE_REFERENCE) &&
         ++printer->steps <= STEPS_MAX;
         inner = rth__demangle_resolved(printer, target)) {
        is_rvalue = is_rvalue && inner->kind == NODE_RVALUE_REFERENCE;
        target = inner->left;
    }
    *ret_sign = is_rvalue ? "&&" : "&";
    return target;
}

static void print_member_pointer(struct printer *printer, const struct node *node)
{
    rth__demangle_print_left(printer, node->right);
    uint8_t kind = without_qualifiers(printer, node->right)->kind;
    rth__demangle_puts(printer, kind == NODE_FUNCTION ? "(" : kind == NODE_ARRAY ? " (" : " ");
    rth__demangle_print_all(printer, node->left);
    rth__demangle_puts(printer, "::*");
}

void rth__demangle_print_function_left(struct printer *printer, const struct node *node)
{
    if (node->left == 0)
        return;
    rth__demangle_print_left(printer, node->left);
    if (!has_right(printer, node->left))
        rth__demangle_puts(printer, " ");
}

void rth__demangle_print_function_right(struct printer *printer, const struct node *node)
{
    rth__demangle_puts(printer, "(");
    rth__demangle_print_list(printer, node->right);
    rth__demangle_puts(printer, ")");
    print_qualifiers(printer, node->flags);
    if (node->left != 0)
        rth__demangle_print_right(printer, node->left);
}

static void print_node_left(struct printer *printer, const struct node *node)
{
    const char *sign = "*";
    uint16_t target = node->left;
    switch (node->kind) {
    case NODE_FORWARD:
        rth__demangle_print_left(printer, node->left);
        break;
    case NODE_PARAMETER_PACK:
        print_pack(printer, node, false);
        break;
    case NODE_REFERENCE:
    case NODE_RVALUE_REFERENCE:
        target = reference_target(printer, node, &sign);
        print_declarator(printer, target, sign);
        break;
    case NODE_POINTER:
        print_declarator(printer, target, sign);
        break;
    case NODE_QUALIFIERS:
        rth__demangle_print_left(printer, node->left);
        if (without_qualifiers(printer, node->left)->kind != NODE_FUNCTION)
            print_qualifiers(printer, node->flags);
        break;
    case NODE_SUFFIX:
        rth__demangle_print_left(printer, node->left);
        rth__demangle_puts(printer, " ");
        rth__demangle_put(printer, node->text, node->size_bytes);
        break;
    case NODE_FUNCTION:
        rth__demangle_print_function_left(printer, node);
        break;
    case NODE_ARRAY:
        rth__demangle_print_left(printer, node->left);
        break;
    case NODE_MEMBER_POINTER:
        print_member_pointer(printer, node);
        break;
    default:
        rth__demangle_print_other(printer, node);
        break;
    }
}

static void print_node_right(struct printer *printer, const struct node *node)
{
    const char *sign;
    switch (node->kind) {
    case NODE_FORWARD:
    case NODE_SUFFIX:
        rth__demangle_print_right(printer, node->left);
        break;
    case NODE_PARAMETER_PACK:
        print_pack(printer, node, true);
        break;
    case NODE_REFERENCE:
    case NODE_RVALUE_REFERENCE:
        print_declarator_right(printer, reference_target(printer, node, &sign));
        break;
    case NODE_POINTER:
        print_declarator_right(printer, node->left);
        break;
    case NODE_QUALIFIERS:
        rth__demangle_print_right(printer, node->left);
        if (without_qualifiers(printer, node->left)->kind == NODE_FUNCTION)
            print_qualifiers(printer, node->flags);
        break;
    case NODE_FUNCTION:
        rth__demangle_print_function_right(printer, node);
        break;
    case NODE_ARRAY:
        rth__demangle_puts(printer, rth__demangle_last_character(printer) == ']' ? "[" : " [");
        rth__demangle_put(printer, node->text, node->size_bytes);
        if (node->right != 0)
            rth__demangle_print_all(printer, node->right);
        rth__demangle_puts(printer, "]");
        rth__demangle_print_right(printer, node->left);
        break;
    case NODE_MEMBER_POINTER:
        print_declarator_right(printer, node->right);
        break;
    default:
        break;
    }
}

void rth__demangle_print_left(struct printer *printer, uint16_t at)
{
    if (enter(printer))
        print_node_left(printer, &printer->nodes[at]);
    printer->depth--;
}

void rth__demangle_print_right(struct printer *printer, uint16_t at)
{
    if (enter(printer))
        print_node_right(printer, &printer->nodes[at]);
    printer->depth--;
}

int rth__demangle_print(const struct demangler *demangler, uint16_t root, char *ret_name,
                        size_t size_bytes)
{
    struct printer printer = {
        .nodes = demangler->nodes,
        .text = ret_name,
        .capacity_bytes = size_bytes,
        .element = NO_ELEMENT,
    };
    rth__demangle_print_all(&printer, root);
    if (printer.error == 0)
        ret_name[printer.size_bytes] = '\0';
    return printer.error;
}
