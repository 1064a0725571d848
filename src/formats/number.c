/* SPDX-License-Identifier: MIT */
/*
 * Shortest digits of a double. Two ways, both exact:
 *
 * - value × 10^n is a whole number m below 2^52 for some n <= 22: then m and 10^n are doubles
 *   without error, m / 10^n is rounded correctly, and if it gives the value back, the decimal
 *   m·10^-n does too; no other m does, because the doubles there lie closer together than 10^-n.
 *   Trying n upwards finds the fewest digits. Nearly every metric ends here.
 * - Otherwise the free-format algorithm of Steele and White (1990) and Dybvig and Burger (1996) on
 *   integers of up to 1,280 bits: generate digits until what is left is within half the distance to
 *   the neighbouring doubles. About a microsecond, 1 KiB of stack, no tables.
 */
#include "formats/number.h"

#include <stdbool.h>
#include <string.h>

#define DIGITS_MAX    17
#define WORDS         40 /* 10 × 2^1076 and 2^53 × 10^324 need 1,130 bits */
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1075               /* of the mantissa read as an integer */
#define UNIQUE_BELOW  4503599627370496.0 /* 2^52 */
#define FAST_DECIMALS 15

/* 0.d1d2d3… × 10^point */
struct decimal {
    int count;
    int point;
    char digits[24];
};

struct big {
    int used; /* words; 0 is zero */
    uint32_t words[WORDS];
};

static void big_set(struct big *big, uint64_t value)
{
    big->words[0] = (uint32_t)value;
    big->words[1] = (uint32_t)(value >> 32);
    big->used = big->words[1] != 0 ? 2 : big->words[0] != 0 ? 1 : 0;
}

static void big_multiply(struct big *big, uint32_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < big->used; i++) {
        carry += (uint64_t)big->words[i] * factor;
        big->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0)
        big->words[big->used++] = (uint32_t)carry;
}

static void big_multiply_power_of_ten(struct big *big, int power)
{
    for (; power >= 9; power -= 9)
        big_multiply(big, 1000000000u);
    for (; power > 0; power--)
        big_multiply(big, 10);
}

static void big_shift_left(struct big *big, int bits)
{
    int whole = bits / 32;
    if (big->used == 0)
        return;
    memmove(big->words + whole, big->words, (size_t)big->used * sizeof(big->words[0]));
    memset(big->words, 0, (size_t)whole * sizeof(big->words[0]));
    big->used += whole;
    big_multiply(big, UINT32_C(1) << (bits % 32));
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->used != b->used)
        return a->used < b->used ? -1 : 1;
    for (int i = a->used - 1; i >= 0; i--) {
        if (a->words[i] != b->words[i])
            return a->words[i] < b->words[i] ? -1 : 1;
    }
    return 0;
}

static void big_add(struct big *sum, const struct big *a, const struct big *b)
{
    uint64_t carry = 0;
    int used = a->used > b->used ? a->used : b->used;
    for (int i = 0; i < used; i++) {
        carry += i < a->used ? a->words[i] : 0;
        carry += i < b->used ? b->words[i] : 0;
        sum->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum->used = used;
    if (carry != 0)
        sum->words[sum->used++] = (uint32_t)carry;
}

/* a >= b */
static void big_subtract(struct big *a, const struct big *b)
{
    int64_t borrow = 0;
    for (int i = 0; i < a->used; i++) {
        borrow += (int64_t)a->words[i] - (i < b->used ? (int64_t)b->words[i] : 0);
        a->words[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->used > 0 && a->words[a->used - 1] == 0)
        a->used--;
}

/* The value is rest / scale; its neighbours are low / scale below and high / scale above, halved.
 */
struct interval {
    struct big rest, scale, low, high;
    bool inclusive; /* an even mantissa owns the ends of its interval */
};

/* True when rest + high reaches the next digit (or decade). */
static bool reaches_above(const struct interval *interval)
{
    struct big sum;
    big_add(&sum, &interval->rest, &interval->high);
    int order = big_compare(&sum, &interval->scale);
    return interval->inclusive ? order >= 0 : order > 0;
}

static bool reaches_below(const struct interval *interval)
{
    int order = big_compare(&interval->rest, &interval->low);
    return interval->inclusive ? order <= 0 : order < 0;
}

static void interval_init(struct interval *interval, uint64_t mantissa, int exponent)
{
    /* Below a power of two the doubles are twice as dense (but for the smallest normal one). */
    bool lower_is_closer = mantissa == UINT64_C(1) << MANTISSA_BITS && exponent > 1 - EXPONENT_BIAS;
    int extra = lower_is_closer ? 2 : 1;
    interval->inclusive = (mantissa & 1) == 0;
    big_set(&interval->rest, mantissa);
    big_set(&interval->scale, 1);
    big_set(&interval->low, 1);
    big_shift_left(&interval->rest, (exponent > 0 ? exponent : 0) + extra);
    big_shift_left(&interval->scale, (exponent < 0 ? -exponent : 0) + extra);
    big_shift_left(&interval->low, exponent > 0 ? exponent : 0);
    interval->high = interval->low;
    if (lower_is_closer)
        big_shift_left(&interval->high, 1);
}

/* Scales rest / scale into [0.1, 1) and returns the power of ten taken out. */
static int interval_scale(struct interval *interval, uint64_t mantissa, int exponent)
{
    int bits = 63 - __builtin_clzll(mantissa) + exponent;
    double estimate = bits * 0.30102999566398119521 - 1e-10; /* at most one too low */
    int power = (int)estimate;
    if (estimate > power)
        power++;
    if (power >= 0) {
        big_multiply_power_of_ten(&interval->scale, power);
    } else {
        big_multiply_power_of_ten(&interval->rest, -power);
        big_multiply_power_of_ten(&interval->low, -power);
        big_multiply_power_of_ten(&interval->high, -power);
    }
    if (reaches_above(interval)) {
        big_multiply(&interval->scale, 10);
        power++;
    }
    return power;
}

static void digits_exact(uint64_t mantissa, int exponent, struct decimal *ret_decimal)
{
    struct interval interval;
    interval_init(&interval, mantissa, exponent);
    ret_decimal->point = interval_scale(&interval, mantissa, exponent);
    ret_decimal->count = 0;
    for (;;) {
        int digit = 0;
        big_multiply(&interval.rest, 10);
        big_multiply(&interval.low, 10);
        big_multiply(&interval.high, 10);
        while (big_compare(&interval.rest, &interval.scale) >= 0) {
            big_subtract(&interval.rest, &interval.scale);
            digit++;
        }
        bool below = reaches_below(&interval);
        bool above = reaches_above(&interval);
        if (below && above) {
            big_multiply(&interval.rest, 2);
            int order = big_compare(&interval.rest, &interval.scale);
            below = order < 0 || (order == 0 && digit % 2 == 0); /* a tie goes to the even digit */
            above = !below;
        }
        ret_decimal->digits[ret_decimal->count++] = (char)('0' + digit + (above ? 1 : 0));
        if (below || above || ret_decimal->count == DIGITS_MAX)
            return;
    }
}

static void digits_of_integer(uint64_t value, struct decimal *ret_decimal)
{
    char text[RTH_NUMBER_BYTES];
    int length = (int)rth__number_uint(value, text);
    ret_decimal->point += length;
    while (length > 1 && text[length - 1] == '0')
        length--;
    memcpy(ret_decimal->digits, text, (size_t)length);
    ret_decimal->count = length;
}

static bool digits_fast(double value, struct decimal *ret_decimal)
{
    double power = 1;
    for (int decimals = 0; decimals <= FAST_DECIMALS; decimals++, power *= 10) {
        double scaled = value * power;
        if (scaled >= UNIQUE_BELOW)
            return false;
        uint64_t whole = (uint64_t)(scaled + 0.5);
        if ((double)whole / power != value)
            continue;
        ret_decimal->point = -decimals;
        digits_of_integer(whole, ret_decimal);
        return true;
    }
    return false;
}

/* value > 0, finite */
static void decimal_of(double value, struct decimal *ret_decimal)
{
    if (digits_fast(value, ret_decimal))
        return;
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint64_t mantissa = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    int biased = (int)(bits >> MANTISSA_BITS) & 0x7ff;
    if (biased != 0)
        mantissa |= UINT64_C(1) << MANTISSA_BITS;
    digits_exact(mantissa, (biased != 0 ? biased : 1) - EXPONENT_BIAS, ret_decimal);
}

static char *put_exponential(char *at, const struct decimal *decimal, int exponent_digits)
{
    *at++ = decimal->digits[0];
    if (decimal->count > 1) {
        *at++ = '.';
        memcpy(at, decimal->digits + 1, (size_t)decimal->count - 1);
        at += decimal->count - 1;
    }
    int exponent = decimal->point - 1;
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    char text[RTH_NUMBER_BYTES];
    size_t length = rth__number_int(exponent < 0 ? -exponent : exponent, text);
    for (size_t i = length; i < (size_t)exponent_digits; i++)
        *at++ = '0';
    memcpy(at, text, length);
    return at + length;
}

static char *put_plain(char *at, const struct decimal *decimal)
{
    if (decimal->point <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = decimal->point; i < 0; i++)
            *at++ = '0';
    }
    for (int i = 0; i < decimal->count || i < decimal->point; i++) {
        if (i > 0 && i == decimal->point)
            *at++ = '.';
        *at++ = i < decimal->count ? decimal->digits[i] : '0';
    }
    return at;
}

static size_t put_double(double value, int exponent_low, int exponent_high, int exponent_digits,
                         char *ret_text)
{
    char *at = ret_text;
    if (__builtin_signbit(value)) {
        *at++ = '-';
        value = -value;
    }
    if (value == 0) {
        *at++ = '0';
    } else {
        struct decimal decimal;
        decimal_of(value, &decimal);
        int exponent = decimal.point - 1;
        if (exponent < exponent_low || exponent >= exponent_high)
            at = put_exponential(at, &decimal, exponent_digits);
        else
            at = put_plain(at, &decimal);
    }
    *at = '\0';
    return (size_t)(at - ret_text);
}

size_t rth__number_uint(uint64_t value, char ret_text[RTH_NUMBER_BYTES])
{
    char reversed[RTH_NUMBER_BYTES];
    size_t length = 0;
    do {
        reversed[length++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < length; i++)
        ret_text[i] = reversed[length - 1 - i];
    ret_text[length] = '\0';
    return length;
}

size_t rth__number_int(int64_t value, char ret_text[RTH_NUMBER_BYTES])
{
    if (value >= 0)
        return rth__number_uint((uint64_t)value, ret_text);
    char magnitude[RTH_NUMBER_BYTES];
    size_t length = rth__number_uint(-(uint64_t)value, magnitude);
    ret_text[0] = '-';
    memcpy(ret_text + 1, magnitude, length + 1);
    return length + 1;
}

size_t rth__number_double_json(double value, char ret_text[RTH_NUMBER_BYTES])
{
    return put_double(value, -6, 21, 1, ret_text);
}

size_t rth__number_double_go(double value, char ret_text[RTH_NUMBER_BYTES])
{
    const char *special = NULL;
    if (value != value)
        special = "NaN";
    else if (__builtin_isinf(value))
        special = value > 0 ? "+Inf" : "-Inf";
    if (special == NULL)
        return put_double(value, -4, 6, 2, ret_text);
    size_t length = strlen(special);
    memcpy(ret_text, special, length + 1);
    return length;
}
