/* Every message of the shared test data through the parsers of messages: nothing crashes, all ranges are sound, time is bounded. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/test.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/envelope.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "formats/transfer.h"

struct walk {
    unsigned files, parts;
    int64_t worst_us;
    char worst[512];
};

static void check_part(struct walk *w, const char *path, const struct mime_part *part, size_t from, size_t to)
{
    size_t body_end = part->body.from + part->body.len;
    bool is_sound = part->header.from >= from && part->header.from + part->header.len == part->body.from && body_end <= to &&
                    part->type.len && part->subtype.len && (part->kind == MIME_LEAF) == !part->first;
    if (!is_sound) test_fail(__FILE__, __LINE__, "%s: part at %zu", path, part->header.from);
    w->parts++;
    for (const struct mime_part *child = part->first; child; child = child->next) check_part(w, path, child, part->body.from, body_end);
}

static void check_envelopes(view message, const struct mime_part *part, struct arena *arena)
{
    struct message_envelope envelope;
    struct date date;
    if (!part->parent || part->parent->kind == MIME_MESSAGE) {
        message_envelope_parse(mime_range_of(message, part->header), arena, &envelope);
        if (envelope.has_date && date_parse(envelope.date, &date)) EXPECT(date.zone_minutes > -1440 && date.zone_minutes < 1440);
    }
    for (const struct mime_part *child = part->first; child; child = child->next) check_envelopes(message, child, arena);
}

/* Bodies and texts of all parts: whatever stands there, what comes out is UTF-8. */
static void check_texts(view message, const struct mime_part *part, struct arena *arena)
{
    struct header_field field;
    view rest = mime_range_of(message, part->header), text;
    while (header_next(&rest, &field)) EXPECT(utf8_is_valid(encoded_word_decode(field.value, arena)));
    if (mime_filename(part, arena, &text)) EXPECT(utf8_is_valid(text));
    if (part->kind == MIME_LEAF) {
        buf bytes CLEANUP(buf_done) = BUF_INIT, utf8 CLEANUP(buf_done) = BUF_INIT;
        transfer_decode(transfer_encoding_of(part->encoding), mime_range_of(message, part->body), &bytes);
        charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), buf_view(&bytes), &utf8);
        EXPECT(utf8_is_valid(buf_view(&utf8)));
    }
    for (const struct mime_part *child = part->first; child; child = child->next) check_texts(message, child, arena);
}

/* The fields of a header give its bytes back. */
static void check_header(const char *path, view message)
{
    view header, body, rest;
    struct header_field field;
    size_t bytes = 0;
    header_split(message, &header, &body);
    rest = header;
    while (header_next(&rest, &field)) bytes += field.whole.len;
    if (header.len - bytes > 2 || rest.len) test_fail(__FILE__, __LINE__, "%s: header of %zu bytes has %zu in fields", path, header.len, bytes);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void check_message(struct walk *w, const char *path, view message)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH + 20 * message.len);
    int64_t from = now_us();
    const struct mime_part *root = mime_parse(message, arena);
    REQUIRE(root);
    check_part(w, path, root, 0, message.len);
    check_envelopes(message, root, arena);
    check_header(path, message);
    check_texts(message, root, arena);
    int64_t us = now_us() - from;
    if (us > w->worst_us) {
        w->worst_us = us;
        snprintf(w->worst, sizeof w->worst, "%s", path);
    }
    w->files++;
}

static void check_file(struct walk *w, const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    buf b CLEANUP(buf_done) = BUF_INIT;
    size_t got = fread(buf_extend(&b, size), 1, size, file);
    fclose(file);
    check_message(w, path, view_make(b.at, got));
}

static void check_folder(struct walk *w, const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inner[1024];
        struct stat s;
        if (entry->d_name[0] == '.') continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (stat(inner, &s) != 0) continue;
        if (S_ISDIR(s.st_mode)) check_folder(w, inner);
        else check_file(w, inner, (size_t)s.st_size);
    }
    closedir(folder);
}

static void check_shared_folder(const char *name, unsigned files_at_least)
{
    char path[512];
    struct walk w = {0};
    const char *data = test_data_folder();
    if (!data) test_skip("no shared test data");
    snprintf(path, sizeof path, "%s/%s", data, name);
    check_folder(&w, path);
    printf("# %s: %u files, %u parts, the slowest %d us (%s)\n", name, w.files, w.parts, (int)w.worst_us, w.worst);
    EXPECT(w.files >= files_at_least);
    EXPECT(w.worst_us < 2000000);
}

TEST_SLOW(mime_corpus_of_parser_tests, 120) { check_shared_folder("mime", 1400); }
TEST_SLOW(mime_corpus_of_japanese_mail, 60) { check_shared_folder("japanese", 100); }
TEST_SLOW(mime_corpus_of_bounces, 60) { check_shared_folder("bounces", 600); }
TEST_SLOW(mime_corpus_of_signed_mail, 60) { check_shared_folder("dkim", 80); }
