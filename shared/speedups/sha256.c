#include "sha256.h"
#include "texts.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

typedef union {
    uint64_t aligned;
    unsigned char bytes[512]; /* OpenSSL's has 112 */
} HashState;

static int (*hash_init)(void *);
static int (*hash_update)(void *, const void *, size_t);
static int (*hash_final)(unsigned char *, void *);

static void
hash_counted(HashState *state, const char *at, Py_ssize_t length)
{
    unsigned char big_endian[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16), (unsigned char)(length >> 8),
                                   (unsigned char)length};
    hash_update(state, big_endian, 4);
    hash_update(state, at, (size_t)length);
}

PyObject *
message_id(PyObject *start, PyObject *event_id)
{
    HashState state;
    unsigned char hashed[32];
    Py_ssize_t length = 0;
    const char *at = ascii(event_id, &length);
    hash_init(&state);
    hash_update(&state, PyBytes_AS_STRING(start), (size_t)PyBytes_GET_SIZE(start));
    hash_counted(&state, at, length);
    hash_final(hashed, &state);
    hashed[6] = (hashed[6] & 0x0f) | 0x80; /* RFC 9562: version 8 and the variant */
    hashed[8] = (hashed[8] & 0x3f) | 0x80;
    return PyBytes_FromStringAndSize((char *)hashed, 16);
}

PyObject *
message_digest(PyObject *start, PyObject *body)
{
    static const unsigned char absent[4] = {0xff, 0xff, 0xff, 0xff};
    HashState state;
    unsigned char hashed[32];
    hash_init(&state);
    hash_update(&state, PyBytes_AS_STRING(start), (size_t)PyBytes_GET_SIZE(start));
    if (body == Py_None)
        hash_update(&state, absent, 4);
    else
        hash_counted(&state, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body));
    hash_final(hashed, &state);
    return PyBytes_FromStringAndSize((char *)hashed, 32);
}

/* hashlib's own OpenSSL: its symbols are found through the library that links it. */
int
find_hash(void)
{
    static const unsigned char of_abc[32] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    PyObject *hashlib = PyImport_ImportModule("_hashlib");
    PyObject *file = hashlib == NULL ? NULL : PyObject_GetAttrString(hashlib, "__file__");
    const char *path = file == NULL ? NULL : PyUnicode_AsUTF8(file);
    void *library = path == NULL ? NULL : dlopen(path, RTLD_LAZY | RTLD_NOLOAD); /* stays open, as hashlib does */
    Py_XDECREF(file);
    Py_XDECREF(hashlib);
    if (library != NULL) {
        void *found[] = {dlsym(library, "SHA256_Init"), dlsym(library, "SHA256_Update"), dlsym(library, "SHA256_Final")};
        memcpy(&hash_init, &found[0], sizeof hash_init); /* ISO C has no cast between the two kinds of pointer */
        memcpy(&hash_update, &found[1], sizeof hash_update);
        memcpy(&hash_final, &found[2], sizeof hash_final);
    }
    if (hash_init != NULL && hash_update != NULL && hash_final != NULL) {
        HashState state;
        unsigned char hashed[32];
        if (hash_init(&state) && hash_update(&state, "abc", 3) && hash_final(hashed, &state) && memcmp(hashed, of_abc, 32) == 0)
            return 0;
    }
    PyErr_Clear();
    PyErr_SetString(PyExc_ImportError, "hashlib has no OpenSSL with SHA256_Init, SHA256_Update and SHA256_Final");
    return -1;
}
