#include "headers.h"
#include "kept.h"
#include "objects.h"

#include <string.h>

#define MAX_HEADERS 65536 /* as in frames.py */

static PyObject *extension_lines; /* of binding.py */

/* Nothing that binding.py's _NOT_IN_A_VALUE finds: all of it goes into a header as it is. */
static int
is_plain_value(const char *at, Py_ssize_t length)
{
    for (Py_ssize_t i = 0; i < length; i++)
        if (at[i] < '!' || at[i] > '~' || at[i] == '"' || at[i] == '%')
            return 0;
    return 1;
}

/* An attribute that goes into a header as it is; no characters where there is none. 0 where it is for Python. */
static int
plain_piece(Piece *piece, PyObject *text)
{
    *piece = (Piece){"", 0};
    if (text == Py_None)
        return 1;
    piece->at = ascii(text, &piece->length);
    return piece->at != NULL && piece->length <= MAX_CHARACTERS && is_plain_value(piece->at, piece->length);
}

#define LITERAL(text) ((Piece){text, (Py_ssize_t)sizeof(text) - 1})

int
headers_begin(Headers *headers, PyObject *const *message, long long revision)
{
    Piece id, time, shared, more = {"", 0};
    headers->subject = headers->lines = headers->extensions = NULL;
    if (message[M_EVENT_ID] == Py_None || !plain_piece(&id, message[M_EVENT_ID]) || !plain_piece(&time, message[M_TIME]))
        return 0;
    if (!PyBytes_CheckExact(message[M_ID]) || PyBytes_GET_SIZE(message[M_ID]) != 16)
        return 0;
    if (message[M_CONTENT_TYPE] == Py_None && message[M_BODY] != Py_None)
        return 0; /* whether it is JSON is looked up there */
    if (kept_lines(message, &headers->subject, &headers->lines) < 0 || (shared.at = ascii(headers->lines, &shared.length)) == NULL)
        return 0;
    if (message[M_EXTENSIONS] != Py_None) {
        headers->extensions = PyObject_CallOneArg(extension_lines, message[M_EXTENSIONS]);
        if (headers->extensions == NULL || (more.at = ascii(headers->extensions, &more.length)) == NULL)
            return 0;
    }
    write_uuid(headers->uuid, PyBytes_AS_STRING(message[M_ID]));
    Piece uuid = {headers->uuid, UUID_LENGTH}, number = {headers->number, write_number(headers->number, revision)};
    const Piece pieces[HEADER_PIECES] = {
        shared, LITERAL("ce-id: "), id, time.length ? LITERAL("\r\nce-time: ") : (Piece){"", 0}, time, LITERAL("\r\nce-sbid: "), uuid,
        LITERAL("\r\nce-sbrevision: "), number, LITERAL("\r\nNats-Msg-Id: "), uuid, LITERAL("\r\n"), more};
    memcpy(headers->pieces, pieces, sizeof pieces);
    headers->length = 0;
    for (int i = 0; i < HEADER_PIECES; i++)
        headers->length += pieces[i].length;
    return headers->length <= MAX_HEADERS;
}

void
headers_end(Headers *headers)
{
    Py_XDECREF(headers->subject);
    Py_XDECREF(headers->lines);
    Py_XDECREF(headers->extensions);
}

void
bind_extension_lines(PyObject *lines)
{
    keep(&extension_lines, lines);
}
