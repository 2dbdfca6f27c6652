/* The headers of a message on its backbone, in pieces. */
#ifndef SWITCHBOARD_HEADERS_H
#define SWITCHBOARD_HEADERS_H

#include "texts.h"

#define ROOM_FOR_BATCH 160 /* bytes: as in frames.py */
#define HEADER_PIECES 13

typedef struct {
    const char *at;
    Py_ssize_t length;
} Piece;

/* Not to be moved: pieces point into it. */
typedef struct {
    Piece pieces[HEADER_PIECES]; /* all of them ASCII */
    Py_ssize_t length;           /* of all together */
    PyObject *subject;           /* as the backbone has it */
    PyObject *lines, *extensions;
    char uuid[UUID_LENGTH], number[MOST_DIGITS];
} Headers;

/* binding.py, header_lines(), and the subject, of a message's fields under a revision. 0 where it is for Python, with or without an
 * exception. In either case headers_end() is to be called, before the message may go. */
int headers_begin(Headers *headers, PyObject *const *message, long long revision);

void headers_end(Headers *headers);

void bind_extension_lines(PyObject *lines);

#endif
