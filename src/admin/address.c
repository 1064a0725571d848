/* SPDX-License-Identifier: MIT */
#include "admin/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int parse_port(const char *text, uint16_t *ret_port)
{
    unsigned port = 0;
    if (*text == '\0')
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static void set_v4(struct rth_address *address, struct in_addr ip)
{
    memset(address, 0, sizeof(*address));
    address->socket.v4.sin_family = AF_INET;
    address->socket.v4.sin_addr = ip;
    address->socket_bytes = sizeof(address->socket.v4);
}

static void set_v6(struct rth_address *address, const struct in6_addr *ip)
{
    memset(address, 0, sizeof(*address));
    address->socket.v6.sin6_family = AF_INET6;
    address->socket.v6.sin6_addr = *ip;
    address->socket_bytes = sizeof(address->socket.v6);
}

int rth__address_parse_literal(const char *text, size_t size_bytes, struct rth_address *ret_address)
{
    char copy[RTH_ADDRESS_TEXT_BYTES];
    bool bracketed = size_bytes >= 2 && text[0] == '[' && text[size_bytes - 1] == ']';
    if (bracketed) {
        text++;
        size_bytes -= 2;
    }
    if (size_bytes == 0 || size_bytes >= sizeof(copy) || memchr(text, '\0', size_bytes) != NULL)
        return -EINVAL;
    memcpy(copy, text, size_bytes);
    copy[size_bytes] = '\0';
    struct in_addr v4;
    struct in6_addr v6;
    if (bracketed && inet_pton(AF_INET6, copy, &v6) == 1)
        set_v6(ret_address, &v6);
    else if (!bracketed && inet_pton(AF_INET, copy, &v4) == 1)
        set_v4(ret_address, v4);
    else
        return -EINVAL;
    return 0;
}

int rth__address_parse(const char *text, struct rth_address *ret_address)
{
    struct rth_address address = {0};
    if (strcmp(text, "off") == 0) {
        address.off = true;
        *ret_address = address;
        return 0;
    }
    const char *colon = strrchr(text, ':');
    uint16_t port = 0;
    if (colon == NULL || parse_port(colon + 1, &port) != 0)
        return -EINVAL;
    size_t host_bytes = (size_t)(colon - text);
    if (host_bytes == 0) {
        set_v6(&address, &in6addr_any);
        address.any = true;
    } else if (host_bytes == 9 && strncasecmp(text, "localhost", 9) == 0) {
        set_v4(&address, (struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)});
    } else if (rth__address_parse_literal(text, host_bytes, &address) != 0) {
        return -EINVAL;
    }
    if (address.socket.generic.sa_family == AF_INET)
        address.socket.v4.sin_port = htons(port);
    else
        address.socket.v6.sin6_port = htons(port);
    *ret_address = address;
    return 0;
}

/* The IPv4 address in host order, also out of its mapped form; false for other IPv6. */
static bool v4_of(const struct rth_address *address, uint32_t *ret_ip)
{
    if (address->socket.generic.sa_family == AF_INET) {
        *ret_ip = ntohl(address->socket.v4.sin_addr.s_addr);
        return true;
    }
    const struct in6_addr *v6 = &address->socket.v6.sin6_addr;
    if (address->socket.generic.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(v6))
        return false;
    const uint8_t *b = v6->s6_addr + 12;
    *ret_ip = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

bool rth__address_is_loopback(const struct rth_address *address)
{
    uint32_t ip;
    if (address->off)
        return false;
    if (v4_of(address, &ip))
        return ip >> 24 == 127;
    return address->socket.generic.sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&address->socket.v6.sin6_addr);
}

bool rth__address_is_wildcard(const struct rth_address *address)
{
    uint32_t ip;
    if (address->off)
        return false;
    if (v4_of(address, &ip))
        return ip == INADDR_ANY;
    return address->socket.generic.sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&address->socket.v6.sin6_addr);
}

bool rth__address_same_ip(const struct rth_address *a, const struct rth_address *b)
{
    uint32_t a_ip, b_ip;
    if (a->off || b->off)
        return false;
    bool a_v4 = v4_of(a, &a_ip), b_v4 = v4_of(b, &b_ip);
    if (a_v4 || b_v4)
        return a_v4 && b_v4 && a_ip == b_ip;
    return memcmp(&a->socket.v6.sin6_addr, &b->socket.v6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

uint16_t rth__address_port(const struct rth_address *address)
{
    if (address->off)
        return 0;
    return ntohs(address->socket.generic.sa_family == AF_INET ? address->socket.v4.sin_port
                                                              : address->socket.v6.sin6_port);
}

void rth__address_format(const struct rth_address *address, char *ret_text, size_t text_size)
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (address->off) {
        (void)snprintf(ret_text, text_size, "off");
        return;
    }
    bool is_v4 = address->socket.generic.sa_family == AF_INET;
    const void *bytes = is_v4 ? (const void *)&address->socket.v4.sin_addr
                              : (const void *)&address->socket.v6.sin6_addr;
    (void)inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes, ip, sizeof(ip));
    (void)snprintf(ret_text, text_size, is_v4 ? "%s:%u" : "[%s]:%u", ip,
                   rth__address_port(address));
}
