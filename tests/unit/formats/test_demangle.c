/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "formats/demangle.h"

/* What the smallest of our threads has; a sanitizer's frames are several times as large. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SMALL_STACK_BYTES ((size_t)512 * 1024)
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SMALL_STACK_BYTES ((size_t)512 * 1024)
#endif
#ifndef SMALL_STACK_BYTES
#define SMALL_STACK_BYTES ((size_t)64 * 1024)
#endif

static char name[RTH_DEMANGLED_BYTES];

static const struct {
    const char *mangled, *wanted;
} names[] = {
    /* gcc and clang agree on these. */
    {"_Z3foov", "foo()"},
    {"_ZN3foo3barEi", "foo::bar(int)"},
    {"_ZNK3foo3barERKS_", "foo::bar(foo const&) const"},
    {"_ZN3fooC1Ev", "foo::foo()"},
    {"_ZN3fooD0Ev", "foo::~foo()"},
    {"_ZN3fooplERKS_", "foo::operator+(foo const&)"},
    {"_ZN3foocvbEv", "foo::operator bool()"},
    {"_ZTV3foo", "vtable for foo"},
    {"_ZTIN3foo3barE", "typeinfo for foo::bar"},
    {"_ZGVZ3foovE1x", "guard variable for foo()::x"},
    {"_ZThn16_N3foo3barEv", "non-virtual thunk to foo::bar()"},
    {"_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo()"},
    {"_Z3fooPFivE", "foo(int (*)())"},
    {"_Z3fooM3barFvvE", "foo(void (bar::*)())"},
    {"_Z3fooRA10_Ki", "foo(int const (&) [10])"},
    {"_Z3fooDn", "foo(decltype(nullptr))"},
    {"_ZN1AB5cxx111fEv", "A[abi:cxx11]::f()"},
    /* Templates and substitutions. */
    {"_ZNSt6vectorIiSaIiEE9push_backERKi",
     "std::vector<int, std::allocator<int> >::push_back(int const&)"},
    {"_ZSt11make_sharedI3FooJRiEESt10shared_ptrIT_EDpOT0_",
     "std::shared_ptr<Foo> std::make_shared<Foo, int&>(int&)"},
    {"_ZN3foo3barE3bazS0_", "foo::bar(baz, baz)"},
    {"_Z3fooILi3EEvv", "void foo<3>()"},
    {"_Z3fooIXadL_Z3barvEEEvv", "void foo<&(bar())>()"},
    {"_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE6appendEPKc",
     "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::append("
     "char const*)"},
    /* Lambdas and local names. */
    {"_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"},
    {"_ZZN3FooC4EvENKUliE0_clEi", "Foo::Foo()::{lambda(int)#2}::operator()(int) const"},
    {"_ZZ3foovEN3bar3bazEv", "foo()::bar::baz()"},
    {"_ZN3FooUt_3barEv", "Foo::{unnamed type#1}::bar()"},
    /* What compilers append. */
    {"_Z3foov.part.0", "foo() [clone .part.0]"},
    {"_Z3foov.constprop.0.isra.0", "foo() [clone .constprop.0] [clone .isra.0]"},
    {"_Z3foov.cold", "foo() [clone .cold]"},
    /* Rust's first scheme is C++'s with a hash. */
    {"_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write::h0123456789abcdef"},
};

static void names_come_out_as_people_wrote_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(rth__demangle(names[i].mangled, name, sizeof(name)), 0);
        assert_string_equal(name, names[i].wanted);
    }
}

static void what_is_not_mangled_is_left_to_the_caller(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "",
        "main",
        "_",
        "_Z",
        "_ZZ",
        "_start",
        "_Zebra",

        "_Z9x",
        "?f@@YAXXZ",
        "i",
        "_Z3foov@garbage",
        "_ZN",
        "_ZNSt6vectorIiE",
        "_ZS_",
        "_RNvC1a1b",
        "_Z\xff\xfe",
        "Z3foov",
        "_Z99999999999999999999x",
        "_Z-1x",
    };
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        assert_int_equal(rth__demangle(plain[i], name, sizeof(name)), -ENOENT);
}

static void a_name_that_does_not_fit_is_refused_and_not_cut(void **state)
{
    (void)state;
    char small[] = "12345678901234567890";
    assert_int_equal(rth__demangle("_ZN3foo3barEi", small, 0), -ENOSPC);
    assert_string_equal(small, "12345678901234567890");
    for (size_t size_bytes = 1; size_bytes < sizeof("foo::bar(int)"); size_bytes++) {
        memset(small, '#', sizeof(small));
        assert_int_equal(rth__demangle("_ZN3foo3barEi", small, size_bytes), -ENOSPC);
        assert_int_equal(small[size_bytes], '#');
    }
    assert_int_equal(rth__demangle("_ZN3foo3barEi", small, sizeof("foo::bar(int)")), 0);
    assert_string_equal(small, "foo::bar(int)");
}

static void ten_thousand_characters_are_too_many(void **state)
{
    (void)state;
    static char mangled[10001];
    memset(mangled, 'P', sizeof(mangled) - 1);
    memcpy(mangled, "_Z3foo", 6);
    mangled[sizeof(mangled) - 2] = 'i';
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -E2BIG);
    /* The longest that is tried. */
    int head = snprintf(mangled, sizeof(mangled), "_Z%d", RTH_DEMANGLE_MANGLED_BYTES_MAX - 7);
    memset(mangled + head, 'x', RTH_DEMANGLE_MANGLED_BYTES_MAX - 7);
    mangled[head + RTH_DEMANGLE_MANGLED_BYTES_MAX - 7] = 'i';
    mangled[head + RTH_DEMANGLE_MANGLED_BYTES_MAX - 6] = '\0';
    assert_int_equal(strlen(mangled), RTH_DEMANGLE_MANGLED_BYTES_MAX);
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), 0);
    assert_string_equal(name + RTH_DEMANGLE_MANGLED_BYTES_MAX - 7, "(int)");
    mangled[head + RTH_DEMANGLE_MANGLED_BYTES_MAX - 6] = 'i';
    mangled[head + RTH_DEMANGLE_MANGLED_BYTES_MAX - 5] = '\0';
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -E2BIG);
}

static void nesting_is_read_up_to_a_bound(void **state)
{
    (void)state;
    char mangled[200] = "_Z1f";
    for (size_t depth = 0; depth < sizeof(mangled) - 6; depth++) {
        memset(mangled + 4, 'P', depth);
        memcpy(mangled + 4 + depth, "i", 2);
        int result = rth__demangle(mangled, name, sizeof(name));
        assert_int_equal(result, depth < 90 ? 0 : depth > 96 ? -E2BIG : result);
    }
}

/* head, then body as often as fits, middle, and tail as often as body. */
static void nest(char *ret_mangled, const char *head, const char *body, const char *middle,
                 const char *tail, const char *end)
{
    size_t fixed = strlen(head) + strlen(middle) + strlen(end);
    size_t count = (RTH_DEMANGLE_MANGLED_BYTES_MAX - fixed) / (strlen(body) + strlen(tail));
    char *at = ret_mangled + snprintf(ret_mangled, 64, "%s", head);
    for (size_t i = 0; i < count; i++)
        at += snprintf(at, 64, "%s", body);
    at += snprintf(at, 64, "%s", middle);
    for (size_t i = 0; i < count; i++)
        at += snprintf(at, 64, "%s", tail);
    (void)snprintf(at, 64, "%s", end);
}

static const char *const nests[][5] = {
    {"_Z1f", "P", "i", "", ""},           {"_Z1f", "A_", "i", "", ""},
    {"_Z1f", "PFv", "v", "E", ""},        {"_Z1f", "FP", "v", "vE", ""},
    {"_Z1f", "M1a", "i", "", ""},         {"_Z", "Z1fE", "1x", "", ""},
    {"_Z", "Z", "1fv", "E1x", ""},        {"_ZN", "1a", "", "", "E"},
    {"_Z1fI", "SaI", "i", "E", "Evv"},    {"_Z1fI", "J", "i", "E", "Evv"},
    {"_Z1fIX", "ng", "Li1E", "", "EEvv"}, {"_Z1fIX", "plLi1E", "Li1E", "", "EEvv"},
    {"_Z1f", "DTcl", "Li1E", "EE", ""},   {"_Z1f", "U1aI", "i", "E", "i"},
    {"_Z1fI", "L_Z1fI", "i", "EE", "Ev"}, {"_Z1fv", ".a", "", "", ""},
    {"_Z1f", "RT_", "", "", ""},          {"_Z1fIiEv", "RT_", "", "", ""},
    {"_Z1f", "KVr", "i", "", ""},         {"_ZN", "1aI", "i", "E", "Ev"},
    {"_Z1f", "\xff", "", "", ""},         {"_Z", "Z1fEUlvE_", "", "", ""},
};

/* Half templates, half references to their parameters: the tables are as large as their product. */
static void nest_tables(char *ret_mangled, size_t depth)
{
    char *at = ret_mangled + snprintf(ret_mangled, 64, "_Z1fI");
    for (size_t i = 0; i < depth; i++)
        at += snprintf(at, 64, "SaI");
    at += snprintf(at, 64, "i");
    for (size_t i = 0; i < depth; i++)
        at += snprintf(at, 64, "E");
    at += snprintf(at, 64, "Ev");
    while (at < ret_mangled + RTH_DEMANGLE_MANGLED_BYTES_MAX - 3)
        at += snprintf(at, 64, "RT_");
}

/* Each part is the template applied twice to the one before it. Returns where the text ends. */
static char *double_parts(char *ret_mangled, const char *head, const char *template_name,
                          unsigned count, unsigned first)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char *at = ret_mangled + snprintf(ret_mangled, 64, "%s", head);
    for (unsigned i = first; i < first + count; i++)
        at += snprintf(at, 64, "%sIS%c_S%c_E", template_name, digits[i], digits[i]);
    return at;
}

static void *demangle_hostile_names(void *result_count)
{
    char mangled[RTH_DEMANGLE_MANGLED_BYTES_MAX + 64];
    char result[4096];
    for (size_t i = 0; i < sizeof(nests) / sizeof(nests[0]); i++) {
        nest(mangled, nests[i][0], nests[i][1], nests[i][2], nests[i][3], nests[i][4]);
        int error = rth__demangle(mangled, result, sizeof(result));
        if (error != 0 && error != -ENOENT && error != -ENOSPC && error != -E2BIG)
            return NULL;
        ++*(size_t *)result_count;
    }
    for (size_t depth = 10; depth < 170; depth += 10) {
        nest_tables(mangled, depth);
        if (rth__demangle(mangled, result, sizeof(result)) == 0)
            return NULL;
        ++*(size_t *)result_count;
    }
    return result_count;
}

/* A guard page stands below a thread's stack: an overflow would end the process. */
static void deep_nesting_needs_no_more_stack_than_a_small_thread_has(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_attr_t attributes;
    size_t result_count = 0;
    void *result = NULL;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, demangle_hostile_names, &result_count),
                     0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &result_count);
    assert_int_equal(result_count, sizeof(nests) / sizeof(nests[0]) + 16);
}

static void text_that_doubles_with_each_part_ends_when_the_buffer_is_full(void **state)
{
    (void)state;
    char mangled[RTH_DEMANGLE_MANGLED_BYTES_MAX];
    (void)double_parts(mangled, "_Z1f1AIiiE", "S_", 30, 0);
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -ENOSPC);
}

/* Without a character of text in between, these have 2^34 parts, and 2^100 ways to be read. */
static void parts_that_are_not_printed_take_no_time_either(void **state)
{
    (void)state;
    char mangled[RTH_DEMANGLE_MANGLED_BYTES_MAX];
    char *at = double_parts(mangled, "_ZN1XCI1Fv1AIiiE", "S0_", 34, 1);
    (void)snprintf(at, 64, "EEDpSZ_");
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -ENOSPC);
    nest(mangled, "_Z", "N1AcvT_IL_Z", "1fv", "EEEv", "");
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -E2BIG);
    at = double_parts(mangled, "_ZN1AIJEE1fIJEEEvF1BIiiE", "S2_", 20, 3);
    (void)snprintf(at, 64, "EDpT_");
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -ENOSPC);
}

/* "S_" is 0, "S0_" is 1. */
static const char *reference(unsigned number, char ret_text[8])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (number == 0)
        return "S_";
    (void)snprintf(ret_text, 8, "S%.*s%c_", number > 36, &digits[(number - 1) / 36 % 36],
                   digits[(number - 1) % 36]);
    return ret_text;
}

/* Each is printed and, being empty, taken back: the text never grows. */
static void empty_packs_in_empty_packs_are_given_up(void **state)
{
    (void)state;
    char mangled[RTH_DEMANGLE_MANGLED_BYTES_MAX], text[8];
    char *at = mangled + snprintf(mangled, 64, "_Z1fIJEEvDpFvT_E");
    for (unsigned level = 1; level <= 30; level++) {
        const char *inner = reference(2 * level + 1, text);
        at += snprintf(at, 64, "DpFvS0_%s%sE", inner, inner);
        if (level == 3) {
            assert_int_equal(rth__demangle(mangled, name, sizeof(name)), 0);
            assert_string_equal(name, "void f<>()");
        }
    }
    assert_int_equal(rth__demangle(mangled, name, sizeof(name)), -E2BIG);
}

/* Flat to read, deep to print. */
static void parts_of_parts_are_printed_up_to_a_bound(void **state)
{
    (void)state;
    char mangled[RTH_DEMANGLE_MANGLED_BYTES_MAX], text[8];
    char *at = mangled + snprintf(mangled, 64, "_Z1f1b");
    for (unsigned level = 0; level < 150; level++) {
        const char *inner = reference(level, text);
        at += snprintf(at, 64, "M%si", inner);
    }
    static char long_name[65536];
    assert_int_equal(rth__demangle(mangled, long_name, sizeof(long_name)), -E2BIG);
}

static void names_that_refer_to_what_is_not_there_are_not_read(void **state)
{
    (void)state;
    static const char *const dangling[] = {
        "_Z1fT_",          "_Z1fIiEvT0_",         "_Z1fS_",
        "_Z1f1aS1_",       "_ZN1AcvT_Ev",         "_ZN1AcvT0_IiEEv",
        "_Z1fIJEEvT_IiE_", "_ZUlDTsZT_EE_S_",     "_ZUlDTsPDpT_IEEEE_T1_IE",
        "_Z1fSZZZZZZZZ_",  "_Z1fT99999999999_",   "_ZC1v",
        "_ZN1AD9Ev",       "_Z1fA99999999999999", "_ZNC1Ev",
    };
    for (size_t i = 0; i < sizeof(dangling) / sizeof(dangling[0]); i++)
        assert_int_equal(rth__demangle(dangling[i], name, sizeof(name)), -ENOENT);
    /* A conversion to itself. */
    assert_int_equal(rth__demangle("_ZN1AcvPT_IS1_EEv", name, sizeof(name)), -E2BIG);
}

static void usual_packs_are_not_refused(void **state)
{
    (void)state;
    assert_int_equal(
        rth__demangle("_ZNSt6vectorISt6threadSaIS0_EE12emplace_backIJRFvS0_S1_RKS0_ERS0_S3_S4_S5_S6"
                      "_S7_S0_S0_S0_S0_EEERS0_DpOT_",
                      name, sizeof(name)),
        0);
    assert_non_null(strstr(name, "std::vector<std::thread"));
    assert_int_equal(rth__demangle("_ZN1AIJiiEE1fIJcEEEvDpNSt5decayIT_E4typeE", name, sizeof(name)),
                     0);
    assert_string_equal(name, "void A<int, int>::f<char>(std::decay<char>::type)");
}

RTH_TEST_MAIN(cmocka_unit_test(names_come_out_as_people_wrote_them),
              cmocka_unit_test(what_is_not_mangled_is_left_to_the_caller),
              cmocka_unit_test(a_name_that_does_not_fit_is_refused_and_not_cut),
              cmocka_unit_test(ten_thousand_characters_are_too_many),
              cmocka_unit_test(nesting_is_read_up_to_a_bound),
              cmocka_unit_test(deep_nesting_needs_no_more_stack_than_a_small_thread_has),
              cmocka_unit_test(text_that_doubles_with_each_part_ends_when_the_buffer_is_full),
              cmocka_unit_test(parts_that_are_not_printed_take_no_time_either),
              cmocka_unit_test(empty_packs_in_empty_packs_are_given_up),
              cmocka_unit_test(parts_of_parts_are_printed_up_to_a_bound),
              cmocka_unit_test(names_that_refer_to_what_is_not_there_are_not_read),
              cmocka_unit_test(usual_packs_are_not_refused))
