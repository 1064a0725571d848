/* SPDX-License-Identifier: MIT */
/* Template arguments, and of expressions those that occur in conditions. */
#include <string.h>

#include "formats/demangle_node.h"

static uint16_t expression(struct demangler *demangler);

/* L<type><digits>E or L_Z<encoding>E, after the 'L'. */
static uint16_t literal(struct demangler *demangler)
{
    if (rth__demangle_take(demangler, "_Z")) {
        uint16_t encoding = rth__demangle_read_encoding(demangler);
        return rth__demangle_take(demangler, "E") ? encoding : 0;
    }
    uint16_t type = rth__demangle_read_type(demangler);
    bool is_negative = rth__demangle_take(demangler, "n");
    const char *digits = demangler->at;
    while (rth__demangle_peek(demangler) >= '0' && rth__demangle_peek(demangler) <= '9')
        demangler->at++;
    size_t size_bytes = (size_t)(demangler->at - digits);
    if (type == 0 || !rth__demangle_take(demangler, "E"))
        return 0;
    uint16_t node = rth__demangle_text(demangler, NODE_LITERAL, digits, size_bytes, type);
    if (node != 0)
        demangler->nodes[node].flags = is_negative;
    return node;
}

/* A name with its template arguments: a step of what "sr" leads to. */
static uint16_t simple_name(struct demangler *demangler)
{
    uint16_t list = 0, name = rth__demangle_read_source_name(demangler);
    if (name == 0 || !rth__demangle_take(demangler, "I"))
        return name;
    if (!rth__demangle_read_template_arguments(demangler, false, &list))
        return 0;
    return rth__demangle_node(demangler, NODE_TEMPLATE, name, list);
}

static uint16_t qualified(struct demangler *demangler, uint16_t scope, uint16_t name)
{
    return scope != 0 && name != 0 ? rth__demangle_node(demangler, NODE_QUALIFIED, scope, name) : 0;
}

/* sr T_ 5value, srN T_ 1a 1b E 5value, sr 3std 7is_sameI…E E 5value; after the "sr". */
static uint16_t scope_resolution(struct demangler *demangler)
{
    bool has_levels = rth__demangle_take(demangler, "N");
    bool is_plain =
        !has_levels && rth__demangle_peek(demangler) >= '0' && rth__demangle_peek(demangler) <= '9';
    uint16_t scope = is_plain ? simple_name(demangler) : rth__demangle_read_type(demangler);
    while ((has_levels || is_plain) && scope != 0 && !rth__demangle_take(demangler, "E"))
        scope = qualified(demangler, scope, simple_name(demangler));
    return qualified(demangler, scope, simple_name(demangler));
}

static uint16_t operation(struct demangler *demangler)
{
    static const struct {
        char code[3], text[4];
        bool is_binary;
    } operations[] = {
        {"ng", "-", false}, {"nt", "!", false}, {"co", "~", false}, {"pl", "+", true},
        {"mi", "-", true},  {"ml", "*", true},  {"dv", "/", true},  {"rm", "%", true},
        {"an", "&", true},  {"or", "|", true},  {"eo", "^", true},  {"ls", "<<", true},
        {"rs", ">>", true}, {"eq", "==", true}, {"ne", "!=", true}, {"lt", "<", true},
        {"gt", ">", true},  {"le", "<=", true}, {"ge", ">=", true}, {"aa", "&&", true},
        {"oo", "||", true},
    };
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (!rth__demangle_take(demangler, operations[i].code))
            continue;
        uint16_t left = expression(demangler), right = 0;
        if (left != 0 && operations[i].is_binary)
            right = expression(demangler);
        if (left == 0 || (operations[i].is_binary && right == 0))
            return 0;
        uint16_t node = rth__demangle_text(demangler, NODE_OPERATION, operations[i].text,
                                           strlen(operations[i].text), left);
        if (node != 0)
            demangler->nodes[node].right = right;
        return node;
    }
    return 0;
}

static uint16_t any_expression(struct demangler *demangler)
{
    if (rth__demangle_take(demangler, "L"))
        return literal(demangler);
    if (rth__demangle_peek(demangler) == 'T')
        return rth__demangle_read_parameter_reference(demangler);
    if (rth__demangle_take(demangler, "adL")) {
        uint16_t node = literal(demangler);
        return node != 0 ? rth__demangle_node(demangler, NODE_ADDRESS, node, 0) : 0;
    }
    if (rth__demangle_take(demangler, "sr"))
        return scope_resolution(demangler);
    return operation(demangler);
}

static uint16_t expression(struct demangler *demangler)
{
    uint16_t node = rth__demangle_enter(demangler) ? any_expression(demangler) : 0;
    rth__demangle_leave(demangler);
    return node;
}

static uint16_t template_argument(struct demangler *demangler)
{
    if (rth__demangle_take(demangler, "L"))
        return literal(demangler);
    if (rth__demangle_take(demangler, "X")) {
        uint16_t node = expression(demangler);
        return rth__demangle_take(demangler, "E") ? node : 0;
    }
    /* Packs begin with 'I' in names of old compilers. */
    if (!rth__demangle_take(demangler, "J") && !rth__demangle_take(demangler, "I"))
        return rth__demangle_read_type(demangler);
    struct node_list list = {0, 0};
    while (!rth__demangle_take(demangler, "E")) {
        uint16_t argument = rth__demangle_enter(demangler) ? template_argument(demangler) : 0;
        rth__demangle_leave(demangler);
        if (!rth__demangle_append(demangler, &list, argument))
            return 0;
    }
    return rth__demangle_node(demangler, NODE_ARGUMENT_PACK, list.head, 0);
}

/* A pack that is referred to stands for one element at a time. */
static bool add_parameter(struct demangler *demangler, uint16_t argument)
{
    const struct node *node = &demangler->nodes[argument];
    if (demangler->parameter_count == DEMANGLE_PARAMETERS)
        return true; /* a reference to it will fail */
    if (node->kind == NODE_ARGUMENT_PACK)
        argument = rth__demangle_node(demangler, NODE_PARAMETER_PACK, node->left, 0);
    demangler->parameters[demangler->parameter_count++] = argument;
    return argument != 0;
}

static bool read_arguments(struct demangler *demangler, bool as_parameters, uint16_t *ret_list)
{
    struct node_list list = {0, 0};
    if (as_parameters)
        demangler->parameter_count = 0;
    while (!rth__demangle_take(demangler, "E")) {
        uint16_t argument = template_argument(demangler);
        if (!rth__demangle_append(demangler, &list, argument) ||
            (as_parameters && !add_parameter(demangler, argument)))
            return false;
    }
    *ret_list = list.head;
    return true;
}

bool rth__demangle_read_template_arguments(struct demangler *demangler, bool as_parameters,
                                           uint16_t *ret_list)
{
    /* What was said of the type around holds no longer inside. */
    bool was_without = demangler->no_template_arguments, was_allowed = demangler->forward_allowed;
    demangler->no_template_arguments = false;
    demangler->forward_allowed = false;
    bool fine =
        rth__demangle_enter(demangler) && read_arguments(demangler, as_parameters, ret_list);
    rth__demangle_leave(demangler);
    demangler->no_template_arguments = was_without;
    demangler->forward_allowed = was_allowed;
    return fine;
}
