/* SPDX-License-Identifier: MIT */
/* Names, literals and whole encodings as text: what has no right part. */
#include <string.h>

#include "formats/demangle_print.h"

static void print_template(struct printer *printer, const struct node *node)
{
    rth__demangle_print_left(printer, node->left);
    rth__demangle_puts(printer, rth__demangle_last_character(printer) == '<' ? " <" : "<");
    rth__demangle_print_list(printer, node->right);
    rth__demangle_puts(printer, rth__demangle_last_character(printer) == '>' ? " >" : ">");
}

/* A constructor is called as its class without arguments and scopes. */
static void print_base_name(struct printer *printer, uint16_t at)
{
    for (unsigned i = 0; i < DEMANGLE_NODES; i++) {
        const struct node *node = rth__demangle_resolved(printer, at);
        printer->steps++;
        if (node->kind == NODE_QUALIFIED || node->kind == NODE_LOCAL) {
            at = node->right;
        } else if (node->kind == NODE_TEMPLATE || node->kind == NODE_ABI_TAG) {
            at = node->left;
        } else if (node->kind == NODE_TEXT) {
            /* "std::basic_string<…>" is one text. */
            const char *arguments = memchr(node->text, '<', node->size_bytes);
            size_t end = arguments != NULL ? (size_t)(arguments - node->text) : node->size_bytes;
            size_t start = end;
            while (start > 0 && node->text[start - 1] != ':')
                start--;
            rth__demangle_put(printer, node->text + start, end - start);
            return;
        } else {
            rth__demangle_print_left(printer, at);
            return;
        }
    }
}

static bool text_is(const struct node *node, const char *text)
{
    return node->kind == NODE_TEXT && node->size_bytes == strlen(text) &&
           memcmp(node->text, text, node->size_bytes) == 0;
}

static void print_literal(struct printer *printer, const struct node *node)
{
    static const struct {
        const char *type, *suffix;
    } plain[] = {
        {"int", ""},         {"unsigned int", "u"},         {"long", "l"}, {"unsigned long", "ul"},
        {"long long", "ll"}, {"unsigned long long", "ull"},
    };
    const struct node *type = rth__demangle_resolved(printer, node->left);
    const char *sign = node->flags != 0 ? "-" : "";
    if (text_is(type, "bool") && node->size_bytes == 1 && node->flags == 0 &&
        (node->text[0] == '0' || node->text[0] == '1')) {
        rth__demangle_puts(printer, node->text[0] == '1' ? "true" : "false");
        return;
    }
    const char *suffix = NULL;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && suffix == NULL; i++)
        suffix = text_is(type, plain[i].type) ? plain[i].suffix : NULL;
    if (suffix == NULL) {
        rth__demangle_puts(printer, "(");
        rth__demangle_print_all(printer, node->left);
        rth__demangle_puts(printer, ")");
    }
    rth__demangle_puts(printer, sign);
    rth__demangle_put(printer, node->text, node->size_bytes);
    rth__demangle_puts(printer, suffix != NULL ? suffix : "");
}

static void print_operand(struct printer *printer, uint16_t at)
{
    uint8_t kind = rth__demangle_resolved(printer, at)->kind;
    bool is_simple = kind == NODE_TEXT || kind == NODE_QUALIFIED;
    rth__demangle_puts(printer, is_simple ? "" : "(");
    rth__demangle_print_all(printer, at);
    rth__demangle_puts(printer, is_simple ? "" : ")");
}

/* A bare ">" would end the template arguments. */
static void print_operation(struct printer *printer, const struct node *node)
{
    bool is_greater = node->size_bytes == 1 && node->text[0] == '>';
    rth__demangle_puts(printer, is_greater ? "(" : "");
    if (node->right != 0)
        print_operand(printer, node->left);
    rth__demangle_put(printer, node->text, node->size_bytes);
    print_operand(printer, node->right != 0 ? node->right : node->left);
    rth__demangle_puts(printer, is_greater ? ")" : "");
}

/* Of a member function the name is enough. */
static void print_address(struct printer *printer, const struct node *node)
{
    const struct node *target = &printer->nodes[node->left];
    bool is_member =
        target->kind == NODE_ENCODING && printer->nodes[target->left].kind == NODE_QUALIFIED;
    rth__demangle_puts(printer, "&");
    print_operand(printer, is_member ? target->left : node->left);
}

static void print_encoding(struct printer *printer, const struct node *node, bool with_result)
{
    struct node function = printer->nodes[node->right];
    if (!with_result)
        function.left = 0;
    rth__demangle_print_function_left(printer, &function);
    rth__demangle_print_left(printer, node->left);
    rth__demangle_print_function_right(printer, &function);
}

static void print_scoped(struct printer *printer, const struct node *node)
{
    const struct node *scope = &printer->nodes[node->left];
    if (node->kind == NODE_LOCAL && scope->kind == NODE_ENCODING)
        print_encoding(printer, scope, false);
    else
        rth__demangle_print_left(printer, node->left);
    rth__demangle_puts(printer, "::");
    rth__demangle_print_left(printer, node->right);
}

static void print_numbered(struct printer *printer, const char *text, const struct node *node)
{
    rth__demangle_puts(printer, text);
    rth__demangle_put_number(printer, NODE_NUMBER(node));
    rth__demangle_puts(printer, "}");
}

static void print_operator(struct printer *printer, const struct node *node)
{
    bool is_word = node->text[0] >= 'a' && node->text[0] <= 'z';
    rth__demangle_puts(printer, is_word ? "operator " : "operator");
    rth__demangle_put(printer, node->text, node->size_bytes);
}

/* Names: all of them is their left part. */
static void print_name(struct printer *printer, const struct node *node)
{
    switch (node->kind) {
    case NODE_QUALIFIED:
    case NODE_LOCAL:
        print_scoped(printer, node);
        break;
    case NODE_TEMPLATE:
        print_template(printer, node);
        break;
    case NODE_ABI_TAG:
        rth__demangle_print_left(printer, node->left);
        rth__demangle_puts(printer, "[abi:");
        rth__demangle_put(printer, node->text, node->size_bytes);
        rth__demangle_puts(printer, "]");
        break;
    case NODE_DESTRUCTOR:
        rth__demangle_puts(printer, "~");
        print_base_name(printer, node->left);
        break;
    case NODE_CONSTRUCTOR:
        print_base_name(printer, node->left);
        break;
    case NODE_OPERATOR:
        print_operator(printer, node);
        break;
    case NODE_CONVERSION:
        rth__demangle_puts(printer, "operator ");
        rth__demangle_print_all(printer, node->left);
        break;
    case NODE_LITERAL_OPERATOR:
        rth__demangle_puts(printer, "operator\"\" ");
        rth__demangle_put(printer, node->text, node->size_bytes);
        break;
    case NODE_LAMBDA:
        rth__demangle_puts(printer, "{lambda(");
        rth__demangle_print_list(printer, node->left);
        print_numbered(printer, ")#", node);
        break;
    case NODE_UNNAMED:
        print_numbered(printer, "{unnamed type#", node);
        break;
    case NODE_DEFAULT_ARGUMENT:
        print_numbered(printer, "{default arg#", node);
        rth__demangle_puts(printer, "::");
        rth__demangle_print_left(printer, node->left);
        break;
    default:
        rth__demangle_put(printer, node->text, node->size_bytes);
        break;
    }
}

/* What is printed whole, and is neither a name nor a type. */
void rth__demangle_print_other(struct printer *printer, const struct node *node)
{
    switch (node->kind) {
    case NODE_FLOAT:
        rth__demangle_puts(printer, "_Float");
        rth__demangle_put(printer, node->text, node->size_bytes);
        break;
    case NODE_AUTO:
        rth__demangle_puts(printer, "auto:");
        rth__demangle_put_number(printer, NODE_NUMBER(node));
        break;
    case NODE_PACK_EXPANSION:
        rth__demangle_print_expansion(printer, node);
        break;
    case NODE_ARGUMENT_PACK:
        rth__demangle_print_list(printer, node->left);
        break;
    case NODE_LITERAL:
        print_literal(printer, node);
        break;
    case NODE_ADDRESS:
        print_address(printer, node);
        break;
    case NODE_OPERATION:
        print_operation(printer, node);
        break;
    case NODE_ENCODING:
        print_encoding(printer, node, true);
        break;
    case NODE_SPECIAL:
        rth__demangle_put(printer, node->text, node->size_bytes);
        rth__demangle_print_all(printer, node->left);
        break;
    case NODE_CONSTRUCTION:
        rth__demangle_puts(printer, "construction vtable for ");
        rth__demangle_print_all(printer, node->left);
        rth__demangle_puts(printer, "-in-");
        rth__demangle_print_all(printer, node->right);
        break;
    case NODE_TEMPORARY:
        rth__demangle_puts(printer, "reference temporary #");
        rth__demangle_put_number(printer, NODE_NUMBER(node));
        rth__demangle_puts(printer, " for ");
        rth__demangle_print_left(printer, node->left);
        break;
    case NODE_CLONE:
        rth__demangle_print_all(printer, node->left);
        rth__demangle_puts(printer, " [clone ");
        rth__demangle_put(printer, node->text, node->size_bytes);
        rth__demangle_puts(printer, "]");
        break;
    default:
        print_name(printer, node);
        break;
    }
}
