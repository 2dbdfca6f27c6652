/* Texts: the characters of a str, what they may be, and what is written as some. */
#ifndef SWITCHBOARD_TEXTS_H
#define SWITCHBOARD_TEXTS_H

#include "core.h"

#define MAX_CHARACTERS 512 /* of an id and of a trace: as in usual.py */
#define MOST_DIGITS 20     /* of a long long, its sign included */
#define UUID_LENGTH 36

/* The characters of a str that is ASCII; NULL for any other object. */
static inline const char *
ascii(PyObject *text, Py_ssize_t *length)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
        return NULL;
    *length = PyUnicode_GET_LENGTH(text);
    return (const char *)PyUnicode_1BYTE_DATA(text);
}

/* str.isprintable() of an ASCII text with at most MAX_CHARACTERS. */
int is_short_and_printable(PyObject *text);

/* A timestamp in the shape nearly all have: `2026-11-27T21:30:05Z`, with one to six digits of a fraction or none, and a day that exists. */
int is_usual_time(PyObject *text);

/* The number in decimal, at most MOST_DIGITS characters; how many. */
static inline int
write_number(char *to, long long number)
{
    char backwards[MOST_DIGITS];
    unsigned long long rest = number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    int count = 0, length = 0;
    do
        backwards[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        to[length++] = '-';
    while (count)
        to[length++] = backwards[--count];
    return length;
}

/* The UUID_LENGTH characters of 16 bytes. */
static inline void
write_uuid(char *to, const char *id)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[(unsigned char)id[i] >> 4];
        *to++ = hex[(unsigned char)id[i] & 15];
    }
}

#endif
