#include "formats/mime.h"

#include "base/check.h"
#include "base/hash.h"
#include "formats/mime_field.h"

enum { BOUNDARY_SLOTS = 128 };

/*
 * The boundaries of the open multiparts, innermost last. A line is looked up by the hash of its first n
 * bytes for each n that some boundary has, so many boundaries cost no more per line than one. Slots are
 * chains through `older`; boundaries come and go as a stack, so the newest heads its chain.
 */
struct boundary {
    struct mime_part *part;
    view text;
    uint64_t hash;
    uint8_t older;               /* index + 1 in the same slot; 0: none */
};

struct boundaries {
    struct boundary at[MIME_DEPTH_MAX + 1];
    unsigned count;
    uint8_t slots[BOUNDARY_SLOTS];                        /* index + 1 */
    uint8_t lengths[MIME_BOUNDARY_BYTES_MAX + 1];         /* how many boundaries have that length */
    uint64_t key;
};

enum place { IN_HEADER, IN_BODY, BETWEEN_PARTS };

struct parser {
    view message;
    struct arena *arena;
    struct boundaries *boundaries;
    struct mime_part *current;   /* the innermost open part */
    enum place place;            /* where in it */
    uint32_t lines;              /* line ends passed so far */
    unsigned parts;
    bool is_full;                /* no more parts: count or budget */
};

/* ---- boundaries ---- */

static uint64_t hash_step(uint64_t hash, uint64_t key, char byte)
{
    hash = (hash ^ (unsigned char)byte) * key;
    return hash ^ hash >> 29;
}

static void push_boundary(struct parser *p, struct mime_part *part, view text)
{
    struct boundaries *b = p->boundaries;
    check(b->count <= MIME_DEPTH_MAX);
    text = view_slice(text, 0, MIME_BOUNDARY_BYTES_MAX);
    uint64_t hash = b->key;
    for (size_t i = 0; i < text.len; i++) hash = hash_step(hash, b->key, text.at[i]);
    uint8_t *slot = &b->slots[hash % BOUNDARY_SLOTS];
    b->at[b->count] = (struct boundary){part, text, hash, *slot};
    *slot = (uint8_t)++b->count;
    b->lengths[text.len]++;
}

/* The innermost boundary, when it is that of `part`. */
static void pop_boundary(struct parser *p, const struct mime_part *part)
{
    struct boundaries *b = p->boundaries;
    if (b->count == 0 || b->at[b->count - 1].part != part) return;
    struct boundary *last = &b->at[--b->count];
    b->slots[last->hash % BOUNDARY_SLOTS] = last->older;
    b->lengths[last->text.len]--;
}

static struct boundary *find_boundary(struct boundaries *b, view text, uint64_t hash)
{
    for (unsigned i = b->slots[hash % BOUNDARY_SLOTS]; i; i = b->at[i - 1].older)
        if (b->at[i - 1].hash == hash && view_equal(b->at[i - 1].text, text)) return &b->at[i - 1];
    return NULL;
}

/*
 * delimiter := "--" boundary, close-delimiter := delimiter "--" (RFC 2046 §5.1.1), then nothing or white
 * space; after the closing one anything. Of several that fit the longest counts, of equal ones the
 * innermost. `line` begins with "--".
 */
static struct mime_part *match_boundary(struct boundaries *b, view line, bool *ret_is_closing)
{
    view text = view_from(line, 2);
    struct mime_part *found = NULL;
    uint64_t hash = b->key;
    for (size_t i = 0; i < text.len && i < MIME_BOUNDARY_BYTES_MAX; i++) {
        hash = hash_step(hash, b->key, text.at[i]);
        size_t len = i + 1;
        if (b->lengths[len] == 0) continue;
        view after = view_from(text, len);
        bool is_closing = view_starts(after, VIEW("--"));
        if (!is_closing && after.len && !ascii_is_space(after.at[0]) && len < MIME_BOUNDARY_BYTES_MAX) continue;
        struct boundary *hit = find_boundary(b, view_slice(text, 0, len), hash);
        if (!hit) continue;
        found = hit->part;
        *ret_is_closing = is_closing;
    }
    return found;
}

/* ---- parts ---- */

static struct mime_part *new_part(struct parser *p)
{
    struct mime_part *part = NULL;
    if (!p->is_full && p->parts < MIME_PARTS_MAX) part = arena_try_alloc(p->arena, sizeof *part);
    if (part) p->parts++;
    else p->is_full = true;
    return part;
}

static void open_part(struct parser *p, struct mime_part *part, struct mime_part *parent, size_t at)
{
    part->parent = parent;
    part->number = 1;
    part->depth = parent ? parent->depth + 1 : 0;
    part->header.from = part->body.from = at;
    p->current = part;
    p->place = IN_HEADER;
}

static void degrade(struct mime_part *part, view type, view subtype)
{
    part->kind = MIME_LEAF;
    part->type = type;
    part->subtype = subtype;
    part->is_degraded = true;
}

static bool is_encoded(const struct mime_part *part)
{
    return view_equal_nocase(part->encoding, VIEW("base64")) || view_equal_nocase(part->encoding, VIEW("quoted-printable"));
}

static void begin_multipart(struct parser *p, struct mime_part *part)
{
    view boundary = mime_parameter(&part->parameters, VIEW("boundary"));
    while (boundary.len && ascii_is_space(boundary.at[boundary.len - 1])) boundary.len--;
    if (boundary.len == 0) {
        degrade(part, VIEW("text"), VIEW("plain"));
        return;
    }
    part->kind = MIME_MULTIPART;
    p->place = BETWEEN_PARTS;
    push_boundary(p, part, boundary);
}

static void begin_message(struct parser *p, struct mime_part *part)
{
    struct mime_part *root = is_encoded(part) ? NULL : new_part(p);
    if (!root) {
        degrade(part, VIEW("application"), VIEW("octet-stream"));
        return;
    }
    part->kind = MIME_MESSAGE;
    part->first = root;
    open_part(p, root, part, part->body.from);
}

/* The header of the current part ends before `end`: decides what the part is. p->lines counts all lines before `end`. */
static void finish_header(struct parser *p, size_t end)
{
    struct mime_part *part = p->current;
    part->header.len = end - part->header.from;
    part->body.from = end;
    part->body_lines = p->lines;
    p->place = IN_BODY;
    bool in_digest = part->parent && part->parent->kind == MIME_MULTIPART && mime_is(part->parent, "multipart", "digest");
    view header = mime_range_of(p->message, part->header);
    if (!mime_fields_read(header, in_digest ? VIEW("message") : VIEW("text"), in_digest ? VIEW("rfc822") : VIEW("plain"), p->arena, part))
        p->is_full = true;
    bool is_multipart = mime_is(part, "multipart", NULL);
    bool is_message = mime_is(part, "message", "rfc822") || mime_is(part, "message", "global");
    if (!is_multipart && !is_message) return;
    if (part->depth >= MIME_DEPTH_MAX) degrade(part, VIEW("application"), VIEW("octet-stream"));
    else if (is_multipart) begin_multipart(p, part);
    else begin_message(p, part);
}

/* Ends the innermost part at `end`; its parent becomes the current one. */
static void close_current(struct parser *p, size_t end, uint32_t lines)
{
    while (p->place == IN_HEADER) finish_header(p, end);
    struct mime_part *part = p->current;
    part->body.len = end - part->body.from;
    part->body_lines = lines > part->body_lines ? lines - part->body_lines : 0;
    if (part->body.len && p->message.at[end - 1] != '\n') part->body_lines++;
    if (part->kind == MIME_MULTIPART) {
        pop_boundary(p, part);
        if (!part->first) degrade(part, VIEW("text"), VIEW("plain"));
    }
    p->current = part->parent;
    p->place = part->parent && part->parent->kind == MIME_MULTIPART ? BETWEEN_PARTS : IN_BODY;
}

/* The line end before a delimiter belongs to the delimiter, unless the part has nothing before it but its header. */
static size_t content_end(const struct parser *p, size_t line_at)
{
    size_t end = line_at;
    if (p->place == IN_HEADER || end == 0) return line_at;
    end--;
    if (end && p->message.at[end - 1] == '\r') end--;
    return end >= p->current->body.from ? end : line_at;
}

/*
 * A delimiter of `multipart` stands at line_at. False when it is to be taken for content, because no more
 * parts can be opened.
 */
static bool cross_boundary(struct parser *p, struct mime_part *multipart, bool is_closing, size_t line_at, size_t next_line_at)
{
    struct mime_part *part = is_closing ? NULL : new_part(p), *previous = NULL;
    if (!is_closing && !part) return false;
    size_t end = content_end(p, line_at);
    uint32_t lines = end < line_at ? p->lines - 1 : p->lines;
    while (p->current != multipart) {
        previous = p->current;
        close_current(p, end, lines);
    }
    if (is_closing) {
        pop_boundary(p, multipart);
        p->place = BETWEEN_PARTS;
        return true;
    }
    open_part(p, part, multipart, next_line_at);
    if (previous) {
        previous->next = part;
        part->number = previous->number + 1;
    } else {
        multipart->first = part;
    }
    return true;
}

static void take_line(struct parser *p, size_t at, size_t next)
{
    view line = view_slice(p->message, at, next - at);
    bool is_ended = line.len && line.at[line.len - 1] == '\n', is_closing;
    struct mime_part *multipart = NULL;
    if (p->boundaries->count && line.len >= 3 && line.at[0] == '-' && line.at[1] == '-')
        multipart = match_boundary(p->boundaries, line, &is_closing);
    if (multipart && cross_boundary(p, multipart, is_closing, at, next)) {
        p->lines += is_ended;
        return;
    }
    p->lines += is_ended;
    if (p->place == IN_HEADER && is_ended && (line.len == 1 || (line.len == 2 && line.at[0] == '\r'))) finish_header(p, next);
}

struct mime_part *mime_parse(view message, struct arena *arena)
{
    struct parser p = {.message = message, .arena = arena};
    struct mime_part *root = new_part(&p);
    if (!root) return NULL;
    open_part(&p, root, NULL, 0);
    struct arena *scratch CLEANUP(arena_freep) = arena_new(NULL, sizeof *p.boundaries);
    p.boundaries = arena_new_struct(scratch, struct boundaries);
    p.boundaries->key = hash_bytes(VIEW("mime boundary")) | 1;
    for (size_t at = 0; at < message.len;) {
        size_t end = view_find(view_from(message, at), '\n');
        size_t next = end == VIEW_NONE ? message.len : at + end + 1;
        take_line(&p, at, next);
        at = next;
    }
    while (p.current) close_current(&p, message.len, p.lines);
    return root;
}
