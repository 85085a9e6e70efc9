/*
 * The items of FETCH that need the message: RFC 9051 §6.4.5.1, §7.5.2; BINARY: RFC 3516.
 *
 * A message of common size is read once and everything is cut from it. Of a larger one the structure is read first, while
 * the whole is in memory; then the whole is let go and what was asked for streams, so that a slow client holds no memory.
 */
#include <string.h>

#include "base/check.h"
#include "formats/envelope.h"
#include "formats/header.h"
#include "formats/imap_structure.h"
#include "formats/imap_write.h"
#include "formats/mime.h"
#include "formats/preview.h"
#include "formats/transfer.h"
#include "imapd/fetch.h"

enum {
    WHOLE_BYTES_MAX = MESSAGE_WHOLE_FREE_BYTES,    /* up to here messages are read in one piece */
    HEADER_BYTES_FIRST = 64 << 10,                 /* of a larger one, the header is looked for here first */
    CHUNK_BYTES = 64 << 10,
    COPY_BYTES_MAX = 16 << 10,                     /* longer pieces go to the socket without being copied */
    ARENA_BYTES_MAX = MIME_ARENA_BYTES_ENOUGH + (4 << 20),
};

/* A message while its answer is written. */
struct source {
    struct fetch *f;
    const struct row *row;
    struct message *message;
    struct arena *arena;
    view whole;                  /* when small; else empty */
    view header;                 /* the top header, when any item wants it */
    struct structure *structure; /* of a large one: owns root */
    const struct mime_part *root; /* when parts or the structure are wanted */
    view body, body_structure, preview;   /* rendered while a large message was whole */
};

static bool is_utf8(const struct source *src) { return session_speaks_utf8(src->f->s); }
static millis deadline_of(const struct source *src) { return session_store_deadline(src->f->s); }

/* ---- reading ---- */

static view render_structure(struct source *src, view message, bool is_extended)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    imap_write_structure(&text, src->root, message, is_extended, is_utf8(src), src->arena);
    if (text.len > ARENA_BYTES_MAX / 4) return VIEW("NIL");
    return arena_keep(src->arena, buf_view(&text));
}

static bool asks_for(const struct fetch *f, enum imap_fetch_kind kind)
{
    for (size_t i = 0; i < f->item_count; i++)
        if (f->items[i].kind == kind) return true;
    return false;
}

/* A lazy one is made of messages that are read in one piece anyway. */
static bool wants_preview(const struct source *src)
{
    return src->f->tells_preview || (src->f->tells_lazy_preview && src->whole.len);
}

/* What must be written while the message is whole: envelopes of embedded messages are in it. */
static void render_structures(struct source *src, view message)
{
    if (wants_preview(src)) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        preview_append(src->root, message, src->arena, &text);
        src->preview = arena_keep(src->arena, buf_view(&text));
    }
    if (asks_for(src->f, IMAP_FETCH_BODY)) src->body = render_structure(src, message, false);
    if (asks_for(src->f, IMAP_FETCH_BODYSTRUCTURE)) src->body_structure = render_structure(src, message, true);
}

MAY_YIELD static result open_message(struct source *src, struct fault *fault)
{
    struct session *s = src->f->s;
    return message_open(s->account, mailbox_view_mailbox(s->view), src->row, deadline_of(src), &src->message, fault);
}

static struct structure_cache *cache_of(const struct source *src)
{
    return &src->f->s->home->structures;
}

/* What a worker does with a large message: it touches the source, which waits, and what the command asks for. */
struct structuring {
    struct source *source;
    struct arena *arena;
    view whole;
};

static void run_structuring(void *argument)
{
    struct structuring *g = argument;
    g->source->root = mime_parse(g->whole, g->arena);
    check(g->source->root);
    render_structures(g->source, g->whole);
}

/* The whole is let go as soon as its structure is known: it may be one of few that fit into memory. */
MAY_YIELD static result read_large_structure(struct source *src, struct fault *fault)
{
    struct structuring g = {.source = src};
    result code = message_whole(src->message, deadline_of(src), &g.whole, fault);
    if (code != OK) return code;
    g.arena = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    code = session_on_worker(src->f->s, run_structuring, &g, fault);
    if (code != OK) {
        arena_free(g.arena);
        return code;
    }
    src->structure = structure_add(cache_of(src), src->row->message, g.arena, src->root);
    message_close(src->message);
    src->message = NULL;
    return open_message(src, fault);
}

MAY_YIELD static result find_large_structure(struct source *src, struct fault *fault)
{
    if (src->f->tells_structure || src->f->tells_preview) return read_large_structure(src, fault);
    if (!src->f->needs_structure) return OK;
    src->structure = structure_find(cache_of(src), src->row->message);
    if (!src->structure) return read_large_structure(src, fault);
    src->root = src->structure->root;
    return OK;
}

/* A header that does not end within HEADER_VALUE_BYTES_MAX counts as ending there. */
MAY_YIELD static result read_large_header(struct source *src, struct fault *fault)
{
    size_t want = HEADER_BYTES_FIRST;
    for (;;) {
        view bytes, body;
        result code = message_read(src->message, 0, want, deadline_of(src), &bytes, fault);
        if (code != OK) return code;
        header_split(bytes, &src->header, &body);
        if (body.len > 0 || bytes.len < want || want >= 4 * HEADER_VALUE_BYTES_MAX) {
            src->header = arena_keep(src->arena, src->header);
            return OK;
        }
        want *= 4;
    }
}

static void read_small(struct source *src)
{
    view body;
    header_split(src->whole, &src->header, &body);
    if (!src->f->needs_structure && !src->f->tells_structure && !wants_preview(src)) return;
    src->root = mime_parse(src->whole, src->arena);
    check(src->root);
    render_structures(src, src->whole);
}

MAY_YIELD static result load(struct source *src, struct fault *fault)
{
    result code = open_message(src, fault);
    if (code != OK) return code;
    if (message_size(src->message) <= WHOLE_BYTES_MAX) {
        code = message_whole(src->message, deadline_of(src), &src->whole, fault);
        if (code == OK) read_small(src);
        return code;
    }
    code = find_large_structure(src, fault);
    return code == OK && src->f->needs_header ? read_large_header(src, fault) : code;
}

/* ---- writing bytes ---- */

MAY_YIELD static result send_bytes(struct session *s, view bytes)
{
    struct fault fault = {0};
    if (bytes.len <= COPY_BYTES_MAX) {
        wire_put(&s->wire, bytes);
        return wire_is_full(&s->wire) ? session_flush(s) : OK;
    }
    result code = wire_flush_with(&s->wire, bytes, clock_in(session_options(s)->send_timeout_ms), &fault);
    if (code != OK) session_break(s, code, &fault);
    return code;
}

/* A literal is announced already: if the message cannot be read on, the only way out is to hang up. */
MAY_YIELD static result send_range(struct source *src, struct mime_range range)
{
    struct session *s = src->f->s;
    if (src->whole.len) return send_bytes(s, mime_range_of(src->whole, range));
    while (range.len > 0) {
        struct fault fault = {0};
        view bytes = VIEW_EMPTY;
        size_t want = range.len < CHUNK_BYTES ? range.len : CHUNK_BYTES;
        result code = message_read(src->message, range.from, want, deadline_of(src), &bytes, &fault);
        if (code == OK && bytes.len == 0) code = fail(&fault, CORRUPT, "a message is shorter than its row says");
        if (code != OK) {
            struct reply unused = {0};
            reply_result(s, &unused, code, &fault);
            reply_done(&unused);
            session_break(s, code, &fault);
            return code;
        }
        code = send_bytes(s, bytes);
        if (code != OK) return code;
        range.from += bytes.len;
        range.len -= bytes.len;
    }
    return OK;
}

static struct mime_range cut(const struct imap_fetch_item *item, struct mime_range range)
{
    if (!item->is_partial) return range;
    size_t skip = item->partial_from < range.len ? item->partial_from : range.len;
    range.from += skip;
    range.len -= skip;
    if (range.len > item->partial_len) range.len = item->partial_len;
    return range;
}

MAY_YIELD static result write_range(struct source *src, const struct imap_fetch_item *item, struct mime_range range)
{
    range = cut(item, range);
    imap_write_literal_header(session_out(src->f->s), range.len, false);
    return send_range(src, range);
}

/* Bytes in memory; "~{n}" when there is a NUL in them and the item is BINARY (RFC 3516 §4.2). */
MAY_YIELD static result write_bytes(struct source *src, const struct imap_fetch_item *item, view bytes)
{
    struct mime_range range = cut(item, (struct mime_range){0, bytes.len});
    view piece = mime_range_of(bytes, range);
    imap_write_literal_header(session_out(src->f->s), piece.len, item->kind == IMAP_FETCH_BINARY && view_has_byte(piece, 0));
    return send_bytes(src->f->s, piece);
}

/* ---- sections ---- */

static bool is_named(const struct imap_section *section, view name)
{
    for (size_t i = 0; i < section->name_count; i++)
        if (view_equal_nocase(section->names[i], name)) return true;
    return false;
}

/* HEADER.FIELDS and .NOT: whole fields as they stand, and an empty line. */
static void pick_fields(buf *out, view header, const struct imap_section *section)
{
    struct header_field field;
    bool wants_named = section->kind == IMAP_SECTION_HEADER_FIELDS;
    while (header_next(&header, &field))
        if (is_named(section, field.name) == wants_named) buf_append(out, field.whole);
    buf_append(out, VIEW("\r\n"));
}

static enum mime_what what_of(enum imap_section_kind kind)
{
    switch (kind) {
    case IMAP_SECTION_ALL: return MIME_WHOLE;
    case IMAP_SECTION_MIME: return MIME_MIME;
    case IMAP_SECTION_TEXT: return MIME_TEXT;
    default: return MIME_HEADER;
    }
}

/* False when there is no such section: NIL. */
static bool find_section(const struct source *src, const struct imap_section *section, struct mime_range *ret_range)
{
    size_t size = message_size(src->message);
    if (section->part_count > 0)
        return mime_section(src->root, section->parts, section->part_count, what_of(section->kind), ret_range);
    switch (section->kind) {
    case IMAP_SECTION_ALL: *ret_range = (struct mime_range){0, size}; break;
    case IMAP_SECTION_TEXT: *ret_range = (struct mime_range){src->header.len, size - src->header.len}; break;
    default: *ret_range = (struct mime_range){0, src->header.len};
    }
    return true;
}

MAY_YIELD static result read_range(struct source *src, struct mime_range range, buf *into, struct fault *fault)
{
    if (src->whole.len) {
        buf_append(into, mime_range_of(src->whole, range));
        return OK;
    }
    while (range.len > 0) {
        view bytes;
        result code = message_read(src->message, range.from, range.len < CHUNK_BYTES ? range.len : CHUNK_BYTES, deadline_of(src), &bytes, fault);
        if (code != OK) return code;
        if (bytes.len == 0) return fail(fault, CORRUPT, "a message is shorter than its row says");
        buf_append(into, bytes);
        range.from += bytes.len;
        range.len -= bytes.len;
    }
    return OK;
}

MAY_YIELD static result write_fields(struct source *src, const struct imap_fetch_item *item, struct mime_range range)
{
    buf header CLEANUP(buf_done) = BUF_INIT, fields CLEANUP(buf_done) = BUF_INIT;
    struct fault fault = {0};
    result code = OK;
    view text = src->header;
    if (item->section.part_count > 0) {
        code = read_range(src, range, &header, &fault);
        text = buf_view(&header);
    }
    if (code != OK) {
        session_break(src->f->s, code, &fault);
        return code;
    }
    pick_fields(&fields, text, &item->section);
    return write_bytes(src, item, buf_view(&fields));
}

MAY_YIELD static result write_section(struct source *src, const struct imap_fetch_item *item)
{
    struct mime_range range;
    buf *out = session_out(src->f->s);
    imap_write_section_label(out, item);
    buf_append_byte(out, ' ');
    if (!find_section(src, &item->section, &range)) {
        buf_append(out, VIEW("NIL"));
        return OK;
    }
    if (item->section.kind == IMAP_SECTION_HEADER_FIELDS || item->section.kind == IMAP_SECTION_HEADER_FIELDS_NOT)
        return write_fields(src, item, range);
    return write_range(src, item, range);
}

/* ---- BINARY ---- */

/* Calls take() with the decoded bytes in pieces. */
typedef result take_fn(void *argument, view bytes);

MAY_YIELD static result decode(struct source *src, enum transfer_encoding encoding, struct mime_range range, take_fn *take, void *argument)
{
    buf decoded CLEANUP(buf_done) = BUF_INIT;
    struct transfer_decoder decoder = transfer_decoder_of(encoding);
    struct fault fault = {0};
    result code = OK;
    while (range.len > 0 && code == OK) {
        view bytes = VIEW_EMPTY;
        size_t want = range.len < CHUNK_BYTES ? range.len : CHUNK_BYTES;
        if (src->whole.len) {
            bytes = mime_range_of(src->whole, (struct mime_range){range.from, want});
        } else {
            code = message_read(src->message, range.from, want, deadline_of(src), &bytes, &fault);
        }
        if (code == OK && bytes.len == 0) code = CORRUPT;
        if (code != OK) break;
        range.from += bytes.len;
        range.len -= bytes.len;
        buf_clear(&decoded);
        transfer_decoder_feed(&decoder, bytes, &decoded);
        code = take(argument, buf_view(&decoded));
        if (coroutine_is_overdue()) coroutine_pause();
    }
    buf_clear(&decoded);
    transfer_decoder_end(&decoder, &decoded);
    return code == OK ? take(argument, buf_view(&decoded)) : code;
}

struct decoded_size {
    uint64_t bytes;
    bool has_nul;
};

static result count_bytes(void *argument, view bytes)
{
    struct decoded_size *size = argument;
    size->bytes += bytes.len;
    size->has_nul |= view_has_byte(bytes, 0);
    return OK;
}

struct decoded_window {
    struct session *s;
    uint64_t skip, left;
};

MAY_YIELD static result send_window(void *argument, view bytes)
{
    struct decoded_window *w = argument;
    size_t skip = w->skip < bytes.len ? (size_t)w->skip : bytes.len;
    w->skip -= skip;
    bytes = view_from(bytes, skip);
    if (bytes.len > w->left) bytes.len = (size_t)w->left;
    w->left -= bytes.len;
    return send_bytes(w->s, bytes);
}

/* The part's body and encoding. A multipart has none; without part numbers it is the whole message, as it is. */
static bool find_binary(const struct source *src, const struct imap_section *section, struct mime_range *ret_range,
                        enum transfer_encoding *ret_encoding)
{
    *ret_encoding = TRANSFER_IDENTITY;
    if (!find_section(src, section, ret_range)) return false;
    if (section->part_count == 0) return true;
    const struct mime_part *part = mime_find(src->root, section->parts, section->part_count);
    if (!part || part->kind == MIME_MULTIPART) return false;
    *ret_encoding = transfer_encoding_of(part->encoding);
    return true;
}

MAY_YIELD static result write_decoded(struct source *src, const struct imap_fetch_item *item, struct mime_range range,
                                      enum transfer_encoding encoding)
{
    struct session *s = src->f->s;
    struct decoded_size size = {0};
    result code = decode(src, encoding, range, count_bytes, &size);
    if (code == OK && item->kind == IMAP_FETCH_BINARY_SIZE) {
        buf_append_u64(session_out(s), size.bytes);
        return OK;
    }
    if (code == OK) {
        struct mime_range window = cut(item, (struct mime_range){0, (size_t)size.bytes});
        imap_write_literal_header(session_out(s), window.len, size.has_nul);
        struct decoded_window w = {.s = s, .skip = window.from, .left = window.len};
        code = decode(src, encoding, range, send_window, &w);
    }
    if (code != OK) session_break(s, code, NULL);
    return code;
}

MAY_YIELD static result write_binary(struct source *src, const struct imap_fetch_item *item)
{
    struct mime_range range;
    enum transfer_encoding encoding;
    buf *out = session_out(src->f->s);
    imap_write_section_label(out, item);
    buf_append_byte(out, ' ');
    bool is_there = find_binary(src, &item->section, &range, &encoding);
    if (is_there && encoding != TRANSFER_UNKNOWN) return write_decoded(src, item, range, encoding);
    src->f->met_unknown_encoding |= is_there;
    buf_append_cstr(out, item->kind == IMAP_FETCH_BINARY_SIZE ? "0" : "NIL");
    return OK;
}

/* ---- items ---- */

static void write_envelope(struct source *src)
{
    struct message_envelope envelope;
    buf *out = session_out(src->f->s);
    message_envelope_parse(src->header, src->arena, &envelope);
    buf_append(out, VIEW("ENVELOPE "));
    imap_write_envelope(out, &envelope, is_utf8(src));
}

static void write_threadid(struct source *src)
{
    char text[THREAD_ID_BYTES];
    buf_appendf(session_out(src->f->s), "THREADID (%s)", message_thread_id(src->header, src->row, src->arena, text));
}

static void write_structure(struct source *src, const char *name, view text)
{
    buf *out = session_out(src->f->s);
    buf_append_cstr(out, name);
    buf_append(out, text);
}

/* RFC 8970 §3.2, §4.1: of a large message it would mean delay. */
static void write_preview(struct source *src, const struct imap_fetch_item *item)
{
    buf *out = session_out(src->f->s);
    buf_append(out, VIEW("PREVIEW "));
    bool is_there = src->whole.len || src->f->tells_preview;
    imap_write_nstring(out, src->preview, is_there || !item->is_lazy, is_utf8(src));
}

MAY_YIELD static result write_item(struct source *src, const struct imap_fetch_item *item)
{
    static const struct imap_section header = {.kind = IMAP_SECTION_HEADER}, text = {.kind = IMAP_SECTION_TEXT}, all = {0};
    const struct imap_section *section = item->kind == IMAP_FETCH_RFC822_HEADER ? &header
                                         : item->kind == IMAP_FETCH_RFC822_TEXT ? &text
                                                                                : &all;
    struct mime_range range;
    switch (item->kind) {
    case IMAP_FETCH_ENVELOPE: write_envelope(src); return OK;
    case IMAP_FETCH_THREADID: write_threadid(src); return OK;
    case IMAP_FETCH_BODY: write_structure(src, "BODY ", src->body); return OK;
    case IMAP_FETCH_BODYSTRUCTURE: write_structure(src, "BODYSTRUCTURE ", src->body_structure); return OK;
    case IMAP_FETCH_PREVIEW: write_preview(src, item); return OK;
    case IMAP_FETCH_SECTION: return write_section(src, item);
    case IMAP_FETCH_BINARY:
    case IMAP_FETCH_BINARY_SIZE: return write_binary(src, item);
    case IMAP_FETCH_RFC822:
    case IMAP_FETCH_RFC822_HEADER:
    case IMAP_FETCH_RFC822_TEXT:
        imap_write_section_label(session_out(src->f->s), item);
        buf_append_byte(session_out(src->f->s), ' ');
        find_section(src, section, &range);
        return write_range(src, item, range);
    default: fetch_write_row_item(src->f, item->kind, src->row); return OK;
    }
}

MAY_YIELD static result write_line(struct source *src, uint32_t number)
{
    struct fetch *f = src->f;
    fetch_begin_line(f, number, src->row);
    for (size_t i = 0; i < f->item_count; i++) {
        if (i) wire_put(&f->s->wire, VIEW(" "));
        result code = write_item(src, &f->items[i]);
        if (code != OK) return code;
    }
    wire_put(&f->s->wire, VIEW(")\r\n"));
    return OK;
}

/* A message that cannot be read is left out and does not keep the others from being told. */
static void note_unreadable(struct fetch *f, result code, const struct fault *fault)
{
    if (code == NOT_FOUND) {
        f->met_gone = true;
    } else if (f->code == OK) {
        f->code = code;
        f->fault = *fault;
    }
}

result fetch_write_message(struct fetch *f, uint32_t number, const struct row *row)
{
    struct source src = {.f = f, .row = row, .arena = arena_new(NULL, ARENA_BYTES_MAX)};
    struct fault fault = {0};
    result code = load(&src, &fault);
    if (code == OK) {
        code = write_line(&src, number);
    } else {
        note_unreadable(f, code, &fault);
        code = OK;
    }
    if (src.message) message_close(src.message);
    structure_release(src.structure);
    arena_free(src.arena);
    return code;
}
