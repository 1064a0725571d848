/* SPDX-License-Identifier: MIT */
/* Fields as they stand in the file, and ids in order. */

#include "formats/pprof_read_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int rth__pprof_broken(struct rth_pprof_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->message, reader->message_size, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

static bool read_varint(struct rth_pprof_wire *wire, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        uint8_t byte = *wire->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

int rth__pprof_next_field(struct rth_pprof_wire *wire, struct rth_pprof_field *ret_field)
{
    uint64_t key, length;
    if (wire->at == wire->end)
        return 0;
    if (!read_varint(wire, &key) || key >> 3 == 0)
        return -EBADMSG;
    *ret_field =
        (struct rth_pprof_field){.number = key >> 3, .type = (enum rth_pprof_wire_type)(key & 7)};
    switch (ret_field->type) {
    case WIRE_VARINT:
        return read_varint(wire, &ret_field->value) ? 1 : -EBADMSG;
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        length = ret_field->type == WIRE_FIXED64 ? 8 : 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(wire, &length))
            return -EBADMSG;
        break;
    default: /* groups, which nobody writes any more */
        return -EBADMSG;
    }
    if (length > (uint64_t)(wire->end - wire->at))
        return -EBADMSG;
    ret_field->bytes = (struct rth_pprof_wire){wire->at, wire->at + length};
    wire->at += length;
    return 1;
}

int rth__pprof_next_number(struct rth_pprof_field *field, uint64_t *ret_value)
{
    if (field->type == WIRE_VARINT) {
        *ret_value = field->value;
        field->type = WIRE_BYTES;
        field->bytes = (struct rth_pprof_wire){NULL, NULL};
        return 1;
    }
    if (field->type != WIRE_BYTES)
        return -EBADMSG;
    if (field->bytes.at == field->bytes.end)
        return 0;
    return read_varint(&field->bytes, ret_value) ? 1 : -EBADMSG;
}

static void sift_down(struct rth_pprof_id_row *rows, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && rows[child].id < rows[child + 1].id)
            child++;
        if (rows[root].id >= rows[child].id)
            return;
        struct rth_pprof_id_row row = rows[root];
        rows[root] = rows[child];
        rows[child] = row;
    }
}

/* Ascending, with a bound that no order of ids can break; most files are in order already. */
static void sort_ids(struct rth_pprof_id_row *rows, size_t count)
{
    size_t in_order = 1;
    while (in_order < count && rows[in_order - 1].id < rows[in_order].id)
        in_order++;
    if (in_order >= count)
        return;
    for (size_t root = count / 2; root-- > 0;)
        sift_down(rows, root, count);
    for (size_t last = count - 1; last > 0; last--) {
        struct rth_pprof_id_row row = rows[0];
        rows[0] = rows[last];
        rows[last] = row;
        sift_down(rows, 0, last);
    }
}

int rth__pprof_order_ids(struct rth_pprof_reader *reader, struct rth_pprof_id_row *rows,
                         size_t count, const char *what)
{
    sort_ids(rows, count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == 0)
            return rth__pprof_broken(reader, "%s %" PRIu32 " has no id", what, rows[i].row + 1);
        if (i > 0 && rows[i].id == rows[i - 1].id)
            return rth__pprof_broken(reader, "two %ss have the id %" PRIu64, what, rows[i].id);
    }
    return 0;
}

bool rth__pprof_find_row(const struct rth_pprof_id_row *rows, size_t count, uint64_t id,
                         uint32_t *ret_row)
{
    size_t low = 0, high = count;
    if (id - 1 < count && rows[id - 1].id == id)
        low = id - 1;
    while (low < high && rows[low].id != id) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].id < id)
            low = middle + 1;
        else if (rows[middle].id > id)
            high = middle;
        else
            low = middle;
    }
    if (low >= high)
        return false;
    *ret_row = rows[low].row;
    return true;
}
