/* The libssl that Python's `_ssl` has loaded, by pointers: nothing is linked, no second copy is loaded.

   Only documented functions are used, so no OpenSSL headers are needed: every object stays opaque. */
#ifndef CCRELAY_LIBSSL_H
#define CCRELAY_LIBSSL_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Where it has been tried. Elsewhere the connection runs through Python's `ssl`. */
#if defined(__linux__) && defined(__GLIBC__) && !defined(Py_GIL_DISABLED) && !defined(Py_DEBUG)
#define CC_LIBSSL_TRIED 1
#else
#define CC_LIBSSL_TRIED 0
#endif

enum {
    /* openssl/ssl.h */
    CC_WANT_READ = 2,
    CC_WANT_WRITE = 3,
    CC_ZERO_RETURN = 6,
    /* openssl/crypto.h */
    CC_EX_INDEX_SSL = 0,
    /* openssl/bio.h */
    CC_BIO_SOURCE_SINK = 0x0400,
    CC_BIO_READ = 0x01,
    CC_BIO_RETRIES = 0x0f,
    CC_BIO_SHOULD_RETRY = 0x08,
    CC_BIO_FLUSH = 11
};

typedef void cc_ex_callback(void *parent, void *p, void *data, int index, long argl, void *argp);

typedef struct {
    unsigned long (*OpenSSL_version_num)(void);
    int (*CRYPTO_get_ex_new_index)(int, long, void *, cc_ex_callback *, void *, cc_ex_callback *);
    unsigned long (*ERR_peek_error)(void);
    void (*ERR_clear_error)(void);
    int (*SSL_read_ex)(void *, void *, size_t, size_t *);
    int (*SSL_write_ex)(void *, const void *, size_t, size_t *);
    int (*SSL_get_error)(const void *, int);
    int (*SSL_has_pending)(const void *);
    int (*SSL_shutdown)(void *);
    void (*SSL_set_bio)(void *, void *, void *);
    void *(*SSL_get_rbio)(const void *);
    void *(*SSL_get_wbio)(const void *);
    size_t (*BIO_ctrl_pending)(void *);
    int (*BIO_get_new_index)(void);
    void *(*BIO_meth_new)(int, const char *);
    int (*BIO_meth_set_read)(void *, int (*)(void *, char *, int));
    int (*BIO_meth_set_write)(void *, int (*)(void *, const char *, int));
    int (*BIO_meth_set_ctrl)(void *, long (*)(void *, int, long, void *));
    void *(*BIO_new)(const void *);
    void (*BIO_set_init)(void *, int);
    void (*BIO_set_flags)(void *, int);
    void (*BIO_clear_flags)(void *, int);
} cc_library;

/* Find all of it in what the extension at `path` has loaded. NULL, or what is missing. */
static const char *cc_find(const char *path, cc_library *lib)
{
#define CC_FIND(name) \
    if ((*(void **)&lib->name = dlsym(handle, #name)) == NULL) return #name
    /* With NOLOAD: the library that is there already, or none. The handle is kept for good. */
    void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL) return "the extension";
    CC_FIND(OpenSSL_version_num);
    CC_FIND(CRYPTO_get_ex_new_index);
    CC_FIND(ERR_peek_error);
    CC_FIND(ERR_clear_error);
    CC_FIND(SSL_read_ex);
    CC_FIND(SSL_write_ex);
    CC_FIND(SSL_get_error);
    CC_FIND(SSL_has_pending);
    CC_FIND(SSL_shutdown);
    CC_FIND(SSL_set_bio);
    CC_FIND(SSL_get_rbio);
    CC_FIND(SSL_get_wbio);
    CC_FIND(BIO_ctrl_pending);
    CC_FIND(BIO_get_new_index);
    CC_FIND(BIO_meth_new);
    CC_FIND(BIO_meth_set_read);
    CC_FIND(BIO_meth_set_write);
    CC_FIND(BIO_meth_set_ctrl);
    CC_FIND(BIO_new);
    CC_FIND(BIO_set_init);
    CC_FIND(BIO_set_flags);
    CC_FIND(BIO_clear_flags);
#undef CC_FIND
    return NULL;
}

static cc_library cc_ssl; /* the one in use */

/* ---- which SSL belongs to an SSLObject

   Callbacks are registered at the library (CRYPTO_get_ex_new_index(3)): one is called with each SSL
   that is made, in the thread that makes it, the other when one is freed. So the SSL of an SSLObject
   is known without knowing how CPython lays its objects out. */

static _Thread_local size_t cc_births;
static _Thread_local void *cc_newborn;

static void cc_on_birth(void *parent, void *p, void *data, int index, long argl, void *argp)
{
    (void)p, (void)data, (void)index, (void)argl, (void)argp;
    cc_births++;
    cc_newborn = parent;
}

static void cc_on_death(void *parent, void *p, void *data, int index, long argl, void *argp)
{
    (void)p, (void)data, (void)index, (void)argl, (void)argp;
    if (cc_newborn == parent) cc_newborn = NULL;
}

/* ---- the stage: what libssl reads from and writes to during one call

   A BIO without state of its own: outside of a call there is nothing behind it, so it may outlive
   the connection that it was made for. */

typedef struct {
    char *data;
    size_t size, cap;
} cc_bytes;

typedef struct {
    const char *in;
    size_t left;
    cc_bytes *out; /* NULL: no call of ours is going on */
} cc_stage;

static _Thread_local cc_stage cc_on_stage;

static int cc_bio_read(void *bio, char *into, int n)
{
    cc_stage *stage = &cc_on_stage;
    cc_ssl.BIO_clear_flags(bio, CC_BIO_RETRIES);
    if (n <= 0) return 0;
    if (stage->left == 0) {
        cc_ssl.BIO_set_flags(bio, CC_BIO_READ | CC_BIO_SHOULD_RETRY);
        return -1;
    }
    if ((size_t)n > stage->left) n = (int)stage->left;
    memcpy(into, stage->in, (size_t)n);
    stage->in += n;
    stage->left -= (size_t)n;
    return n;
}

static int cc_bio_write(void *bio, const char *from, int n)
{
    cc_bytes *out = cc_on_stage.out;
    cc_ssl.BIO_clear_flags(bio, CC_BIO_RETRIES);
    if (out == NULL || n <= 0) return -1;
    if (out->size + (size_t)n > out->cap) {
        size_t cap = 2 * out->cap > out->size + (size_t)n ? 2 * out->cap : out->size + (size_t)n;
        char *grown = realloc(out->data, cap);
        if (grown == NULL) return -1;
        out->data = grown;
        out->cap = cap;
    }
    memcpy(out->data + out->size, from, (size_t)n);
    out->size += (size_t)n;
    return n;
}

static long cc_bio_ctrl(void *bio, int command, long number, void *p)
{
    (void)bio, (void)number, (void)p;
    return command == CC_BIO_FLUSH;
}

static void *cc_method; /* BIO_METHOD, for the life of the process */

/* Use this library from now on: register what it shall call. 0, or -1. Once per process. */
static int cc_adopt(const cc_library *lib)
{
    int type;
    void *method;
    cc_ssl = *lib;
    if ((type = cc_ssl.BIO_get_new_index()) < 0) return -1;
    method = cc_ssl.BIO_meth_new(type | CC_BIO_SOURCE_SINK, "ccrelay");
    if (method == NULL || !cc_ssl.BIO_meth_set_read(method, cc_bio_read) ||
        !cc_ssl.BIO_meth_set_write(method, cc_bio_write) ||
        !cc_ssl.BIO_meth_set_ctrl(method, cc_bio_ctrl))
        return -1;
    if (cc_ssl.CRYPTO_get_ex_new_index(CC_EX_INDEX_SSL, 0, NULL, cc_on_birth, NULL, cc_on_death) < 0)
        return -1;
    cc_method = method;
    return 0;
}

/* Put the stage in the place of an SSL's BIOs. 0, or -1 with nothing changed. */
static int cc_set_stage(void *ssl)
{
    void *bio = cc_ssl.BIO_new(cc_method);
    if (bio == NULL) return -1;
    cc_ssl.BIO_set_init(bio, 1);
    cc_ssl.SSL_set_bio(ssl, bio, bio); /* takes the one reference for both, frees the old two */
    return 0;
}

static void cc_enter(const char *in, size_t n, cc_bytes *out)
{
    /* An error that is left in the thread's queue would be taken for one of this call. To look is
       cheaper than to clear. */
    if (cc_ssl.ERR_peek_error()) cc_ssl.ERR_clear_error();
    cc_on_stage.in = in;
    cc_on_stage.left = n;
    cc_on_stage.out = out;
}

static void cc_leave(int failed)
{
    cc_on_stage.in = NULL;
    cc_on_stage.left = 0;
    cc_on_stage.out = NULL;
    if (failed) cc_ssl.ERR_clear_error(); /* nor may CPython's next call find ours */
}

enum { CC_OPEN, CC_ENDED, CC_BROKEN };

/* Decrypt `in` into `into`, which has room for all of it. *state: whether the session goes on. */
static size_t cc_unseal(void *ssl, const char *in, size_t n, char *into, size_t room,
                        cc_bytes *out, int *state)
{
    size_t filled = 0, got;
    int error = 0;
    cc_enter(in, n, out);
    /* libssl takes of the stage what the record at hand needs, no more (no read-ahead). So mostly it
       holds nothing when the stage is empty, and a read that would be in vain is spared. */
    while ((cc_on_stage.left || cc_ssl.SSL_has_pending(ssl)) && filled < room) {
        int done = cc_ssl.SSL_read_ex(ssl, into + filled, room - filled, &got);
        if (done == 1) {
            filled += got;
            continue;
        }
        error = cc_ssl.SSL_get_error(ssl, done);
        if (error == CC_ZERO_RETURN)
            *state = CC_ENDED;
        else if (error != CC_WANT_READ)
            *state = CC_BROKEN;
        break;
    }
    cc_leave(error);
    return filled;
}

/* Encrypt all of `p` behind what `out` holds. 0, or -1. */
static int cc_seal(void *ssl, const char *p, size_t n, cc_bytes *out)
{
    size_t done;
    int failed = 0;
    cc_enter(NULL, 0, out);
    while (n && !failed) {
        if (cc_ssl.SSL_write_ex(ssl, p, n, &done) == 1) {
            p += done;
            n -= done;
        } else {
            failed = 1;
        }
    }
    cc_leave(failed);
    if (failed) out->size = 0; /* a part of it would only be a riddle */
    return failed ? -1 : 0;
}

/* Add a close_notify to `out`. */
static void cc_goodbye(void *ssl, cc_bytes *out)
{
    cc_enter(NULL, 0, out);
    cc_ssl.SSL_shutdown(ssl);
    cc_leave(1);
}
#endif
