/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_ADDRESS_H
#define RTH_ADMIN_ADDRESS_H

/* Listening addresses: ADDRESS:PORT, [IPV6]:PORT, localhost:PORT, :PORT (every address), off. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RTH_ADDRESS_TEXT_BYTES 64

struct rth_address {
    bool off;
    bool any; /* ":PORT": [::] for both protocols, 0.0.0.0 where there is no IPv6 */
    union {
        struct sockaddr generic;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t socket_bytes;
};

#define RTH_ADDRESS_GRAMMAR "ADDRESS:PORT, [IPV6]:PORT, localhost:PORT, :PORT or off"

/* 0 or -EINVAL. Names other than localhost are not looked up. */
int rth__address_parse(const char *text, struct rth_address *ret_address);
/* 127.0.0.0/8, ::1 and the IPv4-mapped form. */
bool rth__address_is_loopback(const struct rth_address *address);
bool rth__address_is_wildcard(const struct rth_address *address);
/* "127.0.0.1:6060", "[::1]:6060", "off" */
void rth__address_format(const struct rth_address *address, char *ret_text, size_t text_size);
uint16_t rth__address_port(const struct rth_address *address);

/* An address without a port, as in Host: "127.0.0.1", "[::1]". 0 or -EINVAL. */
int rth__address_parse_literal(const char *text, size_t size_bytes,
                               struct rth_address *ret_address);
/* Same address, whatever the ports; an IPv4-mapped address equals its IPv4 form. */
bool rth__address_same_ip(const struct rth_address *a, const struct rth_address *b);

#endif /* RTH_ADMIN_ADDRESS_H */
