/* A self-made certificate, for a first start and for tests. */
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "runtime/random.h"
#include "runtime/uv/tls_private.h"

enum { VALID_DAYS = 730 };         /* clients refuse certificates that live much longer */

static void x509_freep(X509 **x) { X509_free(*x); }
static void key_freep(EVP_PKEY **key) { EVP_PKEY_free(*key); }

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension) X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static X509 *make(const char *name, EVP_PKEY *key)
{
    X509 *x = X509_new();
    check(x != NULL);
    char alternatives[400];
    snprintf(alternatives, sizeof alternatives, "DNS:%.253s,DNS:localhost,IP:127.0.0.1,IP:::1", name);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), random_u64() >> 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -24 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(x), (long)VALID_DAYS * 24 * 3600);
    X509_set_pubkey(x, key);
    X509_NAME *subject = X509_get_subject_name(x);
    /* X.520 allows 64 characters in a common name; clients look at the alternatives. */
    char common[65];
    snprintf(common, sizeof common, "%s", name);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0);
    X509_set_issuer_name(x, subject);
    add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, NID_key_usage, "critical,digitalSignature");
    add_extension(x, NID_ext_key_usage, "serverAuth");
    add_extension(x, NID_subject_alt_name, alternatives);
    add_extension(x, NID_subject_key_identifier, "hash");
    return x;
}

/* Written aside and renamed: a reader never sees half a file. */
static result write_pem(const char *path, mode_t mode, X509 *certificate, EVP_PKEY *key, struct fault *fault)
{
    char aside[1024];
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside) return fail(fault, INVALID, "%s: name too long", path);
    unlink(aside);
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) return fail(fault, IO, "create %s", aside);
    int done = certificate ? PEM_write_X509(file, certificate) : PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    bool failed = done != 1 || fflush(file) != 0 || fsync(fd) != 0;
    if (fclose(file) != 0 || failed || rename(aside, path) != 0) {
        unlink(aside);
        return fail(fault, IO, "write %s", path);
    }
    return OK;
}

result tls_make_certificate(const char *name, const char *certificate_file, const char *key_file, struct fault *fault)
{
    ERR_clear_error();
    CLEANUP(key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key) return fail(fault, UNAVAILABLE, "cannot make a key");
    CLEANUP(x509_freep) X509 *certificate = make(name, key);
    if (X509_sign(certificate, key, EVP_sha256()) == 0) return fail(fault, UNAVAILABLE, "cannot sign a certificate");
    result r = write_pem(key_file, 0600, NULL, key, fault);
    if (r != OK) return r;
    return write_pem(certificate_file, 0644, certificate, NULL, fault);
}
