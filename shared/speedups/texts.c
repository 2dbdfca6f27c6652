#include "texts.h"

int
is_short_and_printable(PyObject *text)
{
    Py_ssize_t length;
    const char *at = ascii(text, &length);
    if (at == NULL || length > MAX_CHARACTERS)
        return 0;
    for (Py_ssize_t i = 0; i < length; i++)
        if (at[i] < 0x20 || at[i] > 0x7e)
            return 0;
    return 1;
}

static int
digits(const char *at, int count, int *value)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        sum = sum * 10 + (at[i] - '0');
    }
    *value = sum;
    return 1;
}

int
is_usual_time(PyObject *text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    Py_ssize_t length;
    int year, month, day, hour, minute, second, fraction;
    const char *at = ascii(text, &length);
    if (at == NULL || length < 20 || length == 21 || length > 27 || at[length - 1] != 'Z')
        return 0;
    if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':' || at[19] != (length == 20 ? 'Z' : '.'))
        return 0;
    if (!digits(at, 4, &year) || !digits(at + 5, 2, &month) || !digits(at + 8, 2, &day) || !digits(at + 11, 2, &hour))
        return 0;
    if (!digits(at + 14, 2, &minute) || !digits(at + 17, 2, &second) || (length > 20 && !digits(at + 20, (int)length - 21, &fraction)))
        return 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59)
        return 0;
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] + leap;
}
