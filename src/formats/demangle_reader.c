/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "formats/demangle_node.h"

#define NUMBER_MAX 65535u

bool rth__demangle_enter(struct demangler *demangler)
{
    if (++demangler->depth <= DEMANGLE_DEPTH)
        return true;
    demangler->too_much = true;
    return false;
}

void rth__demangle_leave(struct demangler *demangler)
{
    demangler->depth--;
}

char rth__demangle_peek(const struct demangler *demangler)
{
    return demangler->at < demangler->end ? demangler->at[0] : '\0';
}

char rth__demangle_peek_next(const struct demangler *demangler)
{
    return demangler->end - demangler->at > 1 ? demangler->at[1] : '\0';
}

bool rth__demangle_take(struct demangler *demangler, const char *text)
{
    size_t size_bytes = strlen(text);
    if ((size_t)(demangler->end - demangler->at) < size_bytes ||
        memcmp(demangler->at, text, size_bytes) != 0)
        return false;
    demangler->at += size_bytes;
    return true;
}

static struct node *new_node(struct demangler *demangler)
{
    if (demangler->node_count == DEMANGLE_NODES) {
        demangler->too_much = true;
        return NULL;
    }
    struct node *node = &demangler->nodes[demangler->node_count++];
    memset(node, 0, sizeof(*node));
    return node;
}

static uint16_t position(const struct demangler *demangler, const struct node *node)
{
    return (uint16_t)(node - demangler->nodes);
}

uint16_t rth__demangle_node(struct demangler *demangler, enum node_kind kind, uint16_t left,
                            uint16_t right)
{
    struct node *node = new_node(demangler);
    if (node == NULL)
        return 0;
    node->kind = (uint8_t)kind;
    node->left = left;
    node->right = right;
    return position(demangler, node);
}

uint16_t rth__demangle_text(struct demangler *demangler, enum node_kind kind, const char *text,
                            size_t size_bytes, uint16_t left)
{
    uint16_t node = rth__demangle_node(demangler, kind, left, 0);
    if (node != 0) {
        demangler->nodes[node].text = text;
        demangler->nodes[node].size_bytes = (uint16_t)size_bytes;
    }
    return node;
}

uint16_t rth__demangle_numbered(struct demangler *demangler, enum node_kind kind, uint32_t number,
                                uint16_t left)
{
    uint16_t node = rth__demangle_node(demangler, kind, left, 0);
    if (node != 0)
        NODE_NUMBER(&demangler->nodes[node]) = (uint16_t)number;
    return node;
}

bool rth__demangle_substitutable(struct demangler *demangler, uint16_t node)
{
    if (node == 0)
        return false;
    if (demangler->substitution_count == DEMANGLE_SUBSTITUTIONS) {
        demangler->too_much = true;
        return false;
    }
    demangler->substitutions[demangler->substitution_count++] = node;
    return true;
}

static int digit_of(char c, bool in_decimal)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return !in_decimal && c >= 'A' && c <= 'Z' ? c - 'A' + 10 : -1;
}

static bool read_digits(struct demangler *demangler, bool in_decimal, uint32_t *ret_number)
{
    uint32_t number = 0;
    if (digit_of(rth__demangle_peek(demangler), in_decimal) < 0)
        return false;
    for (int digit; (digit = digit_of(rth__demangle_peek(demangler), in_decimal)) >= 0;) {
        number = number * (in_decimal ? 10 : 36) + (uint32_t)digit;
        if (number > NUMBER_MAX - 2)
            return false;
        demangler->at++;
    }
    *ret_number = number;
    return true;
}

bool rth__demangle_number(struct demangler *demangler, uint32_t *ret_number)
{
    return read_digits(demangler, true, ret_number);
}

bool rth__demangle_index(struct demangler *demangler, bool in_decimal, uint32_t *ret_index)
{
    uint32_t number = 0;
    if (rth__demangle_take(demangler, "_")) {
        *ret_index = 0;
        return true;
    }
    if (!read_digits(demangler, in_decimal, &number) || !rth__demangle_take(demangler, "_"))
        return false;
    *ret_index = number + 1;
    return true;
}

bool rth__demangle_append(struct demangler *demangler, struct node_list *list, uint16_t element)
{
    uint16_t link = element != 0 ? rth__demangle_node(demangler, NODE_LIST, element, 0) : 0;
    if (link == 0)
        return false;
    if (list->head == 0)
        list->head = link;
    else
        demangler->nodes[list->tail].right = link;
    list->tail = link;
    return true;
}
