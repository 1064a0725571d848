/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "admin/address.h"

static struct rth_address address;

static void assert_reads(const char *text, const char *formatted, bool is_loopback)
{
    char back[RTH_ADDRESS_TEXT_BYTES];
    if (rth__address_parse(text, &address) != 0)
        fail_msg("%s was refused", text);
    rth__address_format(&address, back, sizeof(back));
    assert_string_equal(back, formatted);
    assert_int_equal(rth__address_is_loopback(&address), is_loopback);
}

static void good_addresses_are_read_and_written_back(void **state)
{
    (void)state;
    assert_reads("127.0.0.1:6060", "127.0.0.1:6060", true);
    assert_reads("127.9.9.9:1", "127.9.9.9:1", true);
    assert_reads("[::1]:6060", "[::1]:6060", true);
    assert_reads("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true);
    assert_reads("localhost:0", "127.0.0.1:0", true);
    assert_reads("LocalHost:65535", "127.0.0.1:65535", true);
    assert_reads("10.0.0.1:9090", "10.0.0.1:9090", false);
    assert_reads("[2001:db8::1]:9090", "[2001:db8::1]:9090", false);
    assert_reads("off", "off", false);
}

static void a_port_alone_means_every_address(void **state)
{
    (void)state;
    assert_reads(":6060", "[::]:6060", false);
    assert_true(address.any);
    assert_true(rth__address_is_wildcard(&address));
    assert_int_equal(rth__address_port(&address), 6060);
    assert_reads("0.0.0.0:9090", "0.0.0.0:9090", false);
    assert_false(address.any);
    assert_true(rth__address_is_wildcard(&address));
}

static void malformed_addresses_are_refused_and_leave_the_result_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ":",
        "6060",
        "127.0.0.1",
        "127.0.0.1:",
        "127.1:80",
        "1.2.3:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "::1]:80",
        "[127.0.0.1]:80",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        " 127.0.0.1:1",
        "127.0.0.1:80 ",
        "host:80",
        "OFF",
        "[]:80",
        "[::1%lo]:80",
        "0x7f.0.0.1:80",
        "127.0.0.1:80:80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rth_address before;
        memset(&before, 0x5a, sizeof(before));
        struct rth_address after = before;
        if (rth__address_parse(bad[i], &after) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_memory_equal(&before, &after, sizeof(before));
    }
}

static void an_overlong_host_is_refused(void **state)
{
    (void)state;
    char text[300];
    memset(text, '1', sizeof(text));
    memcpy(text + sizeof(text) - 4, ":80", 4);
    assert_int_equal(rth__address_parse(text, &address), -EINVAL);
}

static void the_ipv4_mapped_form_is_the_same_address(void **state)
{
    (void)state;
    struct rth_address v4, mapped, other;
    assert_int_equal(rth__address_parse("10.0.0.1:1", &v4), 0);
    assert_int_equal(rth__address_parse("[::ffff:10.0.0.1]:2", &mapped), 0);
    assert_int_equal(rth__address_parse("[::10.0.0.1]:1", &other), 0);
    assert_true(rth__address_same_ip(&v4, &mapped));
    assert_false(rth__address_same_ip(&v4, &other));
    assert_int_equal(rth__address_parse("off", &other), 0);
    assert_false(rth__address_same_ip(&other, &other));
}

RTH_TEST_MAIN(cmocka_unit_test(good_addresses_are_read_and_written_back),
              cmocka_unit_test(a_port_alone_means_every_address),
              cmocka_unit_test(malformed_addresses_are_refused_and_leave_the_result_alone),
              cmocka_unit_test(an_overlong_host_is_refused),
              cmocka_unit_test(the_ipv4_mapped_form_is_the_same_address))
