/* SPDX-License-Identifier: MIT */
/* Encodings and names, by the Itanium C++ ABI. */
#include <string.h>

#include "formats/demangle_node.h"

/* What a signature depends on: facts of the name before it. */
struct name_facts {
    bool ends_with_arguments; /* so the result type is in the signature */
    bool is_without_result;   /* constructor, destructor, conversion: it is not */
    uint8_t member_flags;     /* of the member function */
    bool is_encoding;         /* its template arguments are what T_ means */
    uint16_t component;       /* the last class or namespace, for constructors */
};

static const struct {
    char code[3];
    const char *text;
} operators[] = {
    {"nw", "new"}, {"na", "new[]"}, {"dl", "delete"}, {"da", "delete[]"}, {"aw", "co_await"},
    {"ps", "+"},   {"ng", "-"},     {"ad", "&"},      {"de", "*"},        {"co", "~"},
    {"pl", "+"},   {"mi", "-"},     {"ml", "*"},      {"dv", "/"},        {"rm", "%"},
    {"an", "&"},   {"or", "|"},     {"eo", "^"},      {"aS", "="},        {"pL", "+="},
    {"mI", "-="},  {"mL", "*="},    {"dV", "/="},     {"rM", "%="},       {"aN", "&="},
    {"oR", "|="},  {"eO", "^="},    {"ls", "<<"},     {"rs", ">>"},       {"lS", "<<="},
    {"rS", ">>="}, {"eq", "=="},    {"ne", "!="},     {"lt", "<"},        {"gt", ">"},
    {"le", "<="},  {"ge", ">="},    {"ss", "<=>"},    {"nt", "!"},        {"aa", "&&"},
    {"oo", "||"},  {"pp", "++"},    {"mm", "--"},     {"cm", ","},        {"pm", "->*"},
    {"pt", "->"},  {"cl", "()"},    {"ix", "[]"},     {"qu", "?"},
};

static uint16_t static_text(struct demangler *demangler, const char *text)
{
    return rth__demangle_text(demangler, NODE_TEXT, text, strlen(text), 0);
}

static uint16_t sized_text(struct demangler *demangler, enum node_kind kind, uint16_t left)
{
    uint32_t size_bytes;
    if (!rth__demangle_number(demangler, &size_bytes) || size_bytes == 0 ||
        size_bytes > (size_t)(demangler->end - demangler->at))
        return 0;
    const char *text = demangler->at;
    demangler->at += size_bytes;
    return rth__demangle_text(demangler, kind, text, size_bytes, left);
}

/* gcc names the unnamed namespace "_GLOBAL__N_1"; the letter between depends on the assembler. */
static bool is_unnamed_namespace(const struct node *name)
{
    return name->size_bytes >= 10 && memcmp(name->text, "_GLOBAL_", 8) == 0 &&
           strchr("_.$", name->text[8]) != NULL && name->text[9] == 'N';
}

uint16_t rth__demangle_read_source_name(struct demangler *demangler)
{
    uint16_t node = sized_text(demangler, NODE_TEXT, 0);
    if (node != 0 && is_unnamed_namespace(&demangler->nodes[node]))
        return static_text(demangler, "(anonymous namespace)");
    return node;
}

/* cv<type>: parameters in the type are those of arguments that follow. */
static uint16_t conversion(struct demangler *demangler, struct name_facts *facts)
{
    bool was_without = demangler->no_template_arguments, was_allowed = demangler->forward_allowed;
    demangler->no_template_arguments = true;
    demangler->forward_allowed = was_allowed || facts->is_encoding;
    uint16_t type = rth__demangle_read_type(demangler);
    demangler->no_template_arguments = was_without;
    demangler->forward_allowed = was_allowed;
    facts->is_without_result = true;
    return type != 0 ? rth__demangle_node(demangler, NODE_CONVERSION, type, 0) : 0;
}

static uint16_t operator_name(struct demangler *demangler, struct name_facts *facts)
{
    if (rth__demangle_take(demangler, "cv"))
        return conversion(demangler, facts);
    if (rth__demangle_take(demangler, "li"))
        return sized_text(demangler, NODE_LITERAL_OPERATOR, 0);
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (rth__demangle_take(demangler, operators[i].code))
            return rth__demangle_text(demangler, NODE_OPERATOR, operators[i].text,
                                      strlen(operators[i].text), 0);
    }
    return 0;
}

/* Ul<types>E<index> after "Ul". Parameters in the types are the lambda's own "auto". */
static uint16_t lambda(struct demangler *demangler)
{
    uint16_t list = 0;
    uint32_t index;
    demangler->lambda_depth++;
    bool fine = rth__demangle_read_parameters(demangler, &list);
    demangler->lambda_depth--;
    if (!fine || !rth__demangle_take(demangler, "E") ||
        !rth__demangle_index(demangler, true, &index))
        return 0;
    return rth__demangle_numbered(demangler, NODE_LAMBDA, index + 1, list);
}

static uint16_t unnamed_type(struct demangler *demangler)
{
    uint32_t index;
    if (!rth__demangle_index(demangler, true, &index))
        return 0;
    return rth__demangle_numbered(demangler, NODE_UNNAMED, index + 1, 0);
}

static uint16_t constructor_or_destructor(struct demangler *demangler, struct name_facts *facts)
{
    enum node_kind kind = rth__demangle_peek(demangler) == 'C' ? NODE_CONSTRUCTOR : NODE_DESTRUCTOR;
    demangler->at++;
    bool is_inherited = kind == NODE_CONSTRUCTOR && rth__demangle_take(demangler, "I");
    char variant = rth__demangle_peek(demangler);
    if (facts->component == 0 || variant < '0' || variant > '5')
        return 0;
    demangler->at++;
    if (is_inherited && rth__demangle_read_type(demangler) == 0)
        return 0;
    facts->is_without_result = true;
    return rth__demangle_node(demangler, kind, facts->component, 0);
}

static bool is_constructor_or_destructor(const struct demangler *demangler)
{
    char letter = rth__demangle_peek(demangler), next = rth__demangle_peek_next(demangler);
    return (letter == 'C' && ((next >= '1' && next <= '5') || next == 'I')) ||
           (letter == 'D' && next >= '0' && next <= '5');
}

/* One component, with its ABI tags. */
static uint16_t unqualified_name(struct demangler *demangler, struct name_facts *facts)
{
    char letter = rth__demangle_peek(demangler);
    uint16_t node;
    facts->is_without_result = false;
    (void)rth__demangle_take(demangler, "L"); /* internal linkage */
    if (letter == 'L')
        letter = rth__demangle_peek(demangler);
    if (letter >= '1' && letter <= '9')
        node = rth__demangle_read_source_name(demangler);
    else if (rth__demangle_take(demangler, "Ul"))
        node = lambda(demangler);
    else if (rth__demangle_take(demangler, "Ut"))
        node = unnamed_type(demangler);
    else if (is_constructor_or_destructor(demangler))
        node = constructor_or_destructor(demangler, facts);
    else
        node = operator_name(demangler, facts);
    while (node != 0 && rth__demangle_take(demangler, "B"))
        node = sized_text(demangler, NODE_ABI_TAG, node);
    return node;
}

static uint16_t with_arguments(struct demangler *demangler, uint16_t name, struct name_facts *facts)
{
    uint16_t list = 0;
    demangler->at++;
    if (!rth__demangle_read_template_arguments(demangler, facts->is_encoding, &list))
        return 0;
    facts->ends_with_arguments = true;
    return rth__demangle_node(demangler, NODE_TEMPLATE, name, list);
}

static uint8_t member_flags(struct demangler *demangler)
{
    uint8_t flags = 0;
    flags |= rth__demangle_take(demangler, "r") ? FLAG_RESTRICT : 0;
    flags |= rth__demangle_take(demangler, "V") ? FLAG_VOLATILE : 0;
    flags |= rth__demangle_take(demangler, "K") ? FLAG_CONST : 0;
    flags |= rth__demangle_take(demangler, "R") ? FLAG_REFERENCE : 0;
    flags |= rth__demangle_take(demangler, "O") ? FLAG_RVALUE_REFERENCE : 0;
    return flags;
}

/* The next step of a nested name: its scope so far becomes longer. */
static uint16_t next_component(struct demangler *demangler, uint16_t scope,
                               struct name_facts *facts, bool *ret_substitutable)
{
    char letter = rth__demangle_peek(demangler), next = rth__demangle_peek_next(demangler);
    *ret_substitutable = true;
    if (letter == 'I')
        return scope != 0 ? with_arguments(demangler, scope, facts) : 0;
    facts->ends_with_arguments = false;
    if (scope == 0 && letter == 'S') {
        *ret_substitutable = false;
        demangler->at += next == 't' ? 2 : 1;
        return next == 't' ? static_text(demangler, "std")
                           : rth__demangle_read_substitution(demangler);
    }
    if (scope == 0 && letter == 'T')
        return rth__demangle_read_parameter_reference(demangler);
    facts->component = scope;
    uint16_t name = unqualified_name(demangler, facts);
    if (name == 0 || scope == 0)
        return name;
    return rth__demangle_node(demangler, NODE_QUALIFIED, scope, name);
}

/* After the 'N'. */
static uint16_t nested_name(struct demangler *demangler, struct name_facts *facts)
{
    uint16_t scope = 0;
    bool substitutable = false;
    facts->member_flags = member_flags(demangler);
    while (!rth__demangle_take(demangler, "E")) {
        scope = next_component(demangler, scope, facts, &substitutable);
        (void)rth__demangle_take(demangler, "M"); /* a closure in a member's initializer */
        if (scope == 0 || (substitutable && !rth__demangle_substitutable(demangler, scope)))
            return 0;
    }
    /* The whole is no scope; as a type it becomes referable by its reader. */
    if (substitutable)
        demangler->substitution_count--;
    return scope;
}

/* "_3" or "__12_" behind a local name says which of several; not shown. Another '_' is not ours. */
static void skip_discriminator(struct demangler *demangler)
{
    const char *start = demangler->at;
    uint32_t number;
    char digit = rth__demangle_peek_next(demangler);
    if (rth__demangle_take(demangler, "__")) {
        if (!rth__demangle_number(demangler, &number) || !rth__demangle_take(demangler, "_"))
            demangler->at = start;
    } else if (digit >= '0' && digit <= '9' && rth__demangle_take(demangler, "_")) {
        demangler->at++;
    }
}

static uint16_t any_name(struct demangler *demangler, struct name_facts *facts);

/* After the 'Z'. The parameters of the function around are its own. */
static uint16_t local_name(struct demangler *demangler, struct name_facts *facts)
{
    uint32_t index = 0;
    uint16_t around = rth__demangle_read_encoding(demangler), name;
    if (around == 0 || !rth__demangle_take(demangler, "E"))
        return 0;
    if (rth__demangle_take(demangler, "s")) {
        name = static_text(demangler, "string literal");
        skip_discriminator(demangler);
    } else if (rth__demangle_take(demangler, "d")) {
        if (!rth__demangle_index(demangler, true, &index))
            return 0;
        uint16_t inner = any_name(demangler, facts);
        name = inner != 0
                   ? rth__demangle_numbered(demangler, NODE_DEFAULT_ARGUMENT, index + 1, inner)
                   : 0;
    } else {
        name = any_name(demangler, facts);
        skip_discriminator(demangler);
    }
    return name != 0 ? rth__demangle_node(demangler, NODE_LOCAL, around, name) : 0;
}

/* Names outside of classes and of namespaces but std, with their template arguments. */
static uint16_t unscoped_name(struct demangler *demangler, struct name_facts *facts)
{
    uint16_t node;
    bool is_substitution = false;
    if (rth__demangle_take(demangler, "St")) {
        uint16_t scope = static_text(demangler, "std");
        uint16_t name = unqualified_name(demangler, facts);
        node = scope != 0 && name != 0 ? rth__demangle_node(demangler, NODE_QUALIFIED, scope, name)
                                       : 0;
    } else if (rth__demangle_take(demangler, "S")) {
        is_substitution = true;
        node = rth__demangle_read_substitution(demangler);
        if (rth__demangle_peek(demangler) != 'I')
            return 0;
    } else {
        node = unqualified_name(demangler, facts);
    }
    if (node == 0 || rth__demangle_peek(demangler) != 'I')
        return node;
    if (!is_substitution && !rth__demangle_substitutable(demangler, node))
        return 0;
    return with_arguments(demangler, node, facts);
}

static uint16_t any_name(struct demangler *demangler, struct name_facts *facts)
{
    uint16_t node = 0;
    if (rth__demangle_enter(demangler)) {
        if (rth__demangle_take(demangler, "N"))
            node = nested_name(demangler, facts);
        else if (rth__demangle_take(demangler, "Z"))
            node = local_name(demangler, facts);
        else
            node = unscoped_name(demangler, facts);
    }
    rth__demangle_leave(demangler);
    return node;
}

uint16_t rth__demangle_read_class_name(struct demangler *demangler)
{
    struct name_facts facts = {.is_encoding = false};
    return any_name(demangler, &facts);
}

static bool is_at_end(const struct demangler *demangler)
{
    char next = rth__demangle_peek(demangler);
    return next == '\0' || next == 'E' || next == '.';
}

static bool resolve_forwards(struct demangler *demangler, uint16_t first)
{
    for (uint16_t i = first; i < demangler->forward_count; i++) {
        if (demangler->forwards[i].index >= demangler->parameter_count)
            return false;
        uint16_t argument = demangler->parameters[demangler->forwards[i].index];
        /* An argument that holds the reference itself would be endless; it was read before. */
        demangler->nodes[demangler->forwards[i].node].left = argument;
    }
    demangler->forward_count = first;
    return true;
}

static uint16_t function_or_data(struct demangler *demangler)
{
    struct name_facts facts = {.is_encoding = true};
    uint16_t forwards_before = demangler->forward_count;
    uint16_t name = any_name(demangler, &facts), result = 0, list = 0;
    if (name == 0 || !resolve_forwards(demangler, forwards_before))
        return 0;
    if (is_at_end(demangler))
        return name;
    if (facts.ends_with_arguments && !facts.is_without_result) {
        result = rth__demangle_read_type(demangler);
        if (result == 0)
            return 0;
    }
    if (!rth__demangle_read_parameters(demangler, &list))
        return 0;
    uint16_t function = rth__demangle_node(demangler, NODE_FUNCTION, result, list);
    if (function == 0)
        return 0;
    demangler->nodes[function].flags = facts.member_flags;
    return rth__demangle_node(demangler, NODE_ENCODING, name, function);
}

static bool skip_call_offset(struct demangler *demangler)
{
    uint32_t number;
    bool is_virtual = rth__demangle_take(demangler, "v");
    if (!is_virtual && !rth__demangle_take(demangler, "h"))
        return false;
    for (int i = 0; i < (is_virtual ? 2 : 1); i++) {
        (void)rth__demangle_take(demangler, "n");
        if (!rth__demangle_number(demangler, &number) || !rth__demangle_take(demangler, "_"))
            return false;
    }
    return true;
}

static uint16_t special(struct demangler *demangler, const char *text, uint16_t of)
{
    return of != 0 ? rth__demangle_text(demangler, NODE_SPECIAL, text, strlen(text), of) : 0;
}

static uint16_t construction_table(struct demangler *demangler)
{
    uint32_t offset;
    uint16_t derived = rth__demangle_read_type(demangler);
    if (derived == 0 || !rth__demangle_number(demangler, &offset) ||
        !rth__demangle_take(demangler, "_"))
        return 0;
    uint16_t base = rth__demangle_read_type(demangler);
    return base != 0 ? rth__demangle_node(demangler, NODE_CONSTRUCTION, base, derived) : 0;
}

static uint16_t temporary(struct demangler *demangler)
{
    uint32_t index = 0;
    uint16_t name = rth__demangle_read_class_name(demangler);
    if (name == 0 || (!is_at_end(demangler) && !rth__demangle_index(demangler, false, &index)))
        return 0;
    return rth__demangle_numbered(demangler, NODE_TEMPORARY, index, name);
}

static uint16_t special_name(struct demangler *demangler)
{
    static const struct {
        char code[4];
        const char *text;
        uint16_t (*read)(struct demangler *demangler);
    } specials[] = {
        {"TV", "vtable for ", rth__demangle_read_type},
        {"TT", "VTT for ", rth__demangle_read_type},
        {"TI", "typeinfo for ", rth__demangle_read_type},
        {"TS", "typeinfo name for ", rth__demangle_read_type},
        {"TH", "TLS init function for ", rth__demangle_read_class_name},
        {"TW", "TLS wrapper function for ", rth__demangle_read_class_name},
        {"GV", "guard variable for ", rth__demangle_read_class_name},
        {"GTt", "transaction clone for ", rth__demangle_read_encoding},
        {"GTn", "non-transaction clone for ", rth__demangle_read_encoding},
        {"GA", "hidden alias for ", rth__demangle_read_encoding},
    };
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (rth__demangle_take(demangler, specials[i].code))
            return special(demangler, specials[i].text, specials[i].read(demangler));
    }
    if (rth__demangle_take(demangler, "TC"))
        return construction_table(demangler);
    if (rth__demangle_take(demangler, "GR"))
        return temporary(demangler);
    if (rth__demangle_take(demangler, "Tc")) {
        if (!skip_call_offset(demangler) || !skip_call_offset(demangler))
            return 0;
        return special(demangler, "covariant return thunk to ",
                       rth__demangle_read_encoding(demangler));
    }
    const char *text =
        rth__demangle_peek_next(demangler) == 'v' ? "virtual thunk to " : "non-virtual thunk to ";
    if (!rth__demangle_take(demangler, "T") || !skip_call_offset(demangler))
        return 0;
    return special(demangler, text, rth__demangle_read_encoding(demangler));
}

uint16_t rth__demangle_read_encoding(struct demangler *demangler)
{
    /* What T_ means around comes back afterwards. */
    uint16_t parameters[DEMANGLE_PARAMETERS];
    uint16_t parameter_count = demangler->parameter_count;
    bool was_without = demangler->no_template_arguments, was_allowed = demangler->forward_allowed;
    unsigned lambda_depth = demangler->lambda_depth;
    uint16_t node = 0;
    bool is_inner = demangler->depth > 0;
    memcpy(parameters, demangler->parameters, sizeof(parameters));
    demangler->no_template_arguments = false;
    demangler->forward_allowed = false;
    demangler->lambda_depth = 0;
    if (rth__demangle_enter(demangler)) {
        char letter = rth__demangle_peek(demangler);
        node =
            letter == 'T' || letter == 'G' ? special_name(demangler) : function_or_data(demangler);
    }
    rth__demangle_leave(demangler);
    demangler->no_template_arguments = was_without;
    demangler->forward_allowed = was_allowed;
    demangler->lambda_depth = lambda_depth;
    if (is_inner) {
        memcpy(demangler->parameters, parameters, sizeof(parameters));
        demangler->parameter_count = parameter_count;
    }
    return node;
}
