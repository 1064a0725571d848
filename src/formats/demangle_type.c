/* SPDX-License-Identifier: MIT */
/* Types and what refers back, by the Itanium C++ ABI. */
#include <string.h>

#include "formats/demangle_node.h"

/* By the letter, from 'a' on; NULL: no builtin type. */
static const char *const builtins[26] = {
    "signed char",
    "bool",
    "char",
    "double",
    "long double",
    "float",
    "__float128",
    "unsigned char",
    "int",
    "unsigned int",
    NULL,
    "long",
    "unsigned long",
    "__int128",
    "unsigned __int128",
    NULL,
    NULL,
    NULL,
    "short",
    "unsigned short",
    NULL,
    "void",
    "wchar_t",
    "long long",
    "unsigned long long",
    "...",
};

/* The second letter of D… */
static const struct {
    char letter;
    const char *name;
} more_builtins[] = {
    {'d', "decimal64"},      {'e', "decimal128"},        {'f', "decimal32"}, {'h', "half"},
    {'s', "char16_t"},       {'i', "char32_t"},          {'u', "char8_t"},   {'a', "auto"},
    {'c', "decltype(auto)"}, {'n', "decltype(nullptr)"},
};

static uint16_t builtin_type(struct demangler *demangler, const char *name, size_t letters)
{
    demangler->at += letters;
    return rth__demangle_text(demangler, NODE_TEXT, name, strlen(name), 0);
}

/* A node of its own, that remembers which: the same reference may mean another argument later. */
static uint16_t parameter(struct demangler *demangler, uint32_t index)
{
    if (index >= demangler->parameter_count)
        return 0;
    return rth__demangle_numbered(demangler, NODE_FORWARD, index + 1, demangler->parameters[index]);
}

uint16_t rth__demangle_read_parameter_reference(struct demangler *demangler)
{
    uint32_t index;
    if (!rth__demangle_take(demangler, "T") || !rth__demangle_index(demangler, true, &index))
        return 0;
    if (demangler->lambda_depth > 0)
        return rth__demangle_numbered(demangler, NODE_AUTO, index + 1, 0);
    if (demangler->forward_allowed) {
        if (demangler->forward_count == DEMANGLE_FORWARDS) {
            demangler->too_much = true;
            return 0;
        }
        uint16_t node = rth__demangle_node(demangler, NODE_FORWARD, 0, 0);
        demangler->forwards[demangler->forward_count].node = node;
        demangler->forwards[demangler->forward_count++].index = (uint16_t)index;
        return node;
    }
    return parameter(demangler, index);
}

uint16_t rth__demangle_read_substitution(struct demangler *demangler)
{
    static const struct {
        char letter;
        const char *name, *whole;
    } standard[] = {
        {'a', "std::allocator", "std::allocator"},
        {'b', "std::basic_string", "std::basic_string"},
        {'s', "std::string",
         "std::basic_string<char, std::char_traits<char>, std::allocator<char> >"},
        {'i', "std::istream", "std::basic_istream<char, std::char_traits<char> >"},
        {'o', "std::ostream", "std::basic_ostream<char, std::char_traits<char> >"},
        {'d', "std::iostream", "std::basic_iostream<char, std::char_traits<char> >"},
    };
    char letter = rth__demangle_peek(demangler);
    for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
        if (letter != standard[i].letter)
            continue;
        /* A constructor needs the name that it has. */
        char next = rth__demangle_peek_next(demangler);
        return builtin_type(demangler,
                            next == 'C' || next == 'D' ? standard[i].whole : standard[i].name, 1);
    }
    uint32_t index;
    if (!rth__demangle_index(demangler, false, &index) || index >= demangler->substitution_count)
        return 0;
    uint16_t node = demangler->substitutions[index];
    const struct node *found = &demangler->nodes[node];
    if (found->kind == NODE_FORWARD && NODE_NUMBER(found) > 0 &&
        NODE_NUMBER(found) <= demangler->parameter_count)
        return parameter(demangler, NODE_NUMBER(found) - 1u);
    return node;
}

static uint16_t wrap(struct demangler *demangler, enum node_kind kind, size_t letters)
{
    demangler->at += letters;
    uint16_t type = rth__demangle_read_type(demangler);
    return type != 0 ? rth__demangle_node(demangler, kind, type, 0) : 0;
}

static uint16_t suffixed(struct demangler *demangler, const char *suffix)
{
    demangler->at++;
    uint16_t type = rth__demangle_read_type(demangler);
    if (type == 0)
        return 0;
    return rth__demangle_text(demangler, NODE_SUFFIX, suffix, strlen(suffix), type);
}

static uint8_t read_qualifiers(struct demangler *demangler)
{
    uint8_t flags = 0;
    flags |= rth__demangle_take(demangler, "r") ? FLAG_RESTRICT : 0;
    flags |= rth__demangle_take(demangler, "V") ? FLAG_VOLATILE : 0;
    flags |= rth__demangle_take(demangler, "K") ? FLAG_CONST : 0;
    return flags;
}

static uint16_t qualified_type(struct demangler *demangler)
{
    uint8_t flags = read_qualifiers(demangler);
    bool is_function = rth__demangle_peek(demangler) == 'F';
    uint16_t type = rth__demangle_read_type(demangler);
    if (type == 0)
        return 0;
    /* Only the qualified function can be referred to. */
    if (is_function)
        demangler->substitution_count--;
    uint16_t node = rth__demangle_node(demangler, NODE_QUALIFIERS, type, 0);
    if (node != 0)
        demangler->nodes[node].flags = flags;
    return node;
}

bool rth__demangle_read_parameters(struct demangler *demangler, uint16_t *ret_list)
{
    struct node_list list = {0, 0};
    if (rth__demangle_peek(demangler) == 'v') {
        demangler->at++;
        *ret_list = 0;
        return true;
    }
    for (;;) {
        char next = rth__demangle_peek(demangler);
        char after = rth__demangle_peek_next(demangler);
        if (next == '\0' || next == 'E' || next == '.' ||
            ((next == 'R' || next == 'O') && after == 'E'))
            break;
        if (!rth__demangle_append(demangler, &list, rth__demangle_read_type(demangler)))
            return false;
    }
    *ret_list = list.head;
    return list.head != 0;
}

static uint16_t function_type(struct demangler *demangler)
{
    uint8_t flags = 0;
    uint16_t list = 0;
    flags |= rth__demangle_take(demangler, "Dx") ? FLAG_TRANSACTION_SAFE : 0;
    flags |= rth__demangle_take(demangler, "Do") ? FLAG_NOEXCEPT : 0;
    if (!rth__demangle_take(demangler, "F"))
        return 0;
    (void)rth__demangle_take(demangler, "Y");
    uint16_t result = rth__demangle_read_type(demangler);
    if (result == 0 || !rth__demangle_read_parameters(demangler, &list))
        return 0;
    flags |= rth__demangle_take(demangler, "R") ? FLAG_REFERENCE : 0;
    flags |= rth__demangle_take(demangler, "O") ? FLAG_RVALUE_REFERENCE : 0;
    if (!rth__demangle_take(demangler, "E"))
        return 0;
    uint16_t node = rth__demangle_node(demangler, NODE_FUNCTION, result, list);
    if (node != 0)
        demangler->nodes[node].flags = flags;
    return node;
}

/* A length in digits, none, or one that a template parameter stands for. */
static uint16_t array_type(struct demangler *demangler)
{
    uint16_t length = 0;
    const char *digits = ++demangler->at;
    if (rth__demangle_peek(demangler) == 'T') {
        length = rth__demangle_read_parameter_reference(demangler);
        if (length == 0)
            return 0;
        digits = demangler->at;
    }
    while (rth__demangle_peek(demangler) >= '0' && rth__demangle_peek(demangler) <= '9')
        demangler->at++;
    size_t size_bytes = (size_t)(demangler->at - digits);
    if (!rth__demangle_take(demangler, "_"))
        return 0;
    uint16_t type = rth__demangle_read_type(demangler);
    uint16_t node =
        type != 0 ? rth__demangle_text(demangler, NODE_ARRAY, digits, size_bytes, type) : 0;
    if (node != 0)
        demangler->nodes[node].right = length;
    return node;
}

static uint16_t member_pointer(struct demangler *demangler)
{
    demangler->at++;
    uint16_t owner = rth__demangle_read_type(demangler);
    uint16_t member = owner != 0 ? rth__demangle_read_type(demangler) : 0;
    return member != 0 ? rth__demangle_node(demangler, NODE_MEMBER_POINTER, owner, member) : 0;
}

static uint16_t with_template_arguments(struct demangler *demangler, uint16_t name)
{
    uint16_t list = 0;
    demangler->at++;
    if (name == 0 || !rth__demangle_read_template_arguments(demangler, false, &list))
        return 0;
    return rth__demangle_node(demangler, NODE_TEMPLATE, name, list);
}

static uint16_t vendor_qualified(struct demangler *demangler)
{
    demangler->at++;
    uint16_t name = rth__demangle_read_source_name(demangler);
    if (name == 0 || rth__demangle_peek(demangler) == 'I')
        return 0;
    uint16_t type = rth__demangle_read_type(demangler);
    const struct node *text = &demangler->nodes[name];
    return type != 0
               ? rth__demangle_text(demangler, NODE_SUFFIX, text->text, text->size_bytes, type)
               : 0;
}

/* T_ and T_<arguments>: both can be referred to. */
static uint16_t parameter_type(struct demangler *demangler, bool *ret_substitutable)
{
    uint16_t node = rth__demangle_read_parameter_reference(demangler);
    *ret_substitutable = true;
    if (node == 0 || rth__demangle_peek(demangler) != 'I' || demangler->no_template_arguments)
        return node;
    if (!rth__demangle_substitutable(demangler, node))
        return 0;
    return with_template_arguments(demangler, node);
}

static uint16_t substituted_type(struct demangler *demangler, bool *ret_substitutable)
{
    if (rth__demangle_peek_next(demangler) == 't') {
        *ret_substitutable = true;
        return rth__demangle_read_class_name(demangler);
    }
    demangler->at++;
    uint16_t node = rth__demangle_read_substitution(demangler);
    *ret_substitutable = false;
    if (node == 0 || rth__demangle_peek(demangler) != 'I' || demangler->no_template_arguments)
        return node;
    *ret_substitutable = true;
    return with_template_arguments(demangler, node);
}

/* DF16_, DF32x, DF16b */
static uint16_t float_type(struct demangler *demangler)
{
    const char *start = demangler->at += 2;
    uint32_t bits;
    if (!rth__demangle_number(demangler, &bits))
        return 0;
    if (bits == 16 && rth__demangle_take(demangler, "b"))
        return builtin_type(demangler, "std::bfloat16_t", 0);
    size_t size_bytes = (size_t)(demangler->at - start) + (rth__demangle_peek(demangler) == 'x');
    if (!rth__demangle_take(demangler, "_") && !rth__demangle_take(demangler, "x"))
        return 0;
    return rth__demangle_text(demangler, NODE_FLOAT, start, size_bytes, 0);
}

static uint16_t d_type(struct demangler *demangler, bool *ret_substitutable)
{
    char letter = rth__demangle_peek_next(demangler);
    *ret_substitutable = false;
    for (size_t i = 0; i < sizeof(more_builtins) / sizeof(more_builtins[0]); i++) {
        if (more_builtins[i].letter == letter)
            return builtin_type(demangler, more_builtins[i].name, 2);
    }
    if (letter == 'F')
        return float_type(demangler);
    *ret_substitutable = true;
    if (letter == 'p')
        return wrap(demangler, NODE_PACK_EXPANSION, 2);
    if (letter == 'o' || letter == 'x')
        return function_type(demangler);
    return 0;
}

static uint16_t any_type(struct demangler *demangler, bool *ret_substitutable)
{
    char letter = rth__demangle_peek(demangler);
    *ret_substitutable = true;
    if (letter >= 'a' && letter <= 'z' && builtins[letter - 'a'] != NULL) {
        *ret_substitutable = false;
        return builtin_type(demangler, builtins[letter - 'a'], 1);
    }
    switch (letter) {
    case 'r':
    case 'V':
    case 'K':
        return qualified_type(demangler);
    case 'P':
        return wrap(demangler, NODE_POINTER, 1);
    case 'R':
        return wrap(demangler, NODE_REFERENCE, 1);
    case 'O':
        return wrap(demangler, NODE_RVALUE_REFERENCE, 1);
    case 'C':
        return suffixed(demangler, "_Complex");
    case 'G':
        return suffixed(demangler, "_Imaginary");
    case 'U':
        return vendor_qualified(demangler);
    case 'u':
        demangler->at++;
        return rth__demangle_read_source_name(demangler);
    case 'F':
        return function_type(demangler);
    case 'A':
        return array_type(demangler);
    case 'M':
        return member_pointer(demangler);
    case 'T':
        return parameter_type(demangler, ret_substitutable);
    case 'S':
        return substituted_type(demangler, ret_substitutable);
    case 'D':
        return d_type(demangler, ret_substitutable);
    default:
        return rth__demangle_read_class_name(demangler);
    }
}

uint16_t rth__demangle_read_type(struct demangler *demangler)
{
    bool substitutable = false;
    uint16_t type = rth__demangle_enter(demangler) ? any_type(demangler, &substitutable) : 0;
    rth__demangle_leave(demangler);
    if (substitutable && !rth__demangle_substitutable(demangler, type))
        return 0;
    return type;
}
