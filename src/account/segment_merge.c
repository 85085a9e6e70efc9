/* Several segments into one, a block of each in memory. */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "base/check.h"
#include "base/cursor.h"

struct input {
    const struct segment_index *index;
    const uint64_t *living;
    uint32_t base;                           /* its document 0 in the output */
    size_t block;                            /* the one in `bytes`, or to be read next */
    bool is_loaded, has_alone;
    buf bytes;
    uint32_t next;                           /* term of the block, */
    size_t text_at;                          /* and where it begins */
    view term;                               /* the next one */
};

struct segment_merge {
    struct input *inputs;
    size_t count;
    struct segment_writer writer;
    size_t wanted;
    uint32_t *documents;                     /* of the term under way */
    uint32_t *list;                          /* of one input */
    struct segment_alone *alone;
    size_t alone_count;
};

/* Filters are made anew. */
static void skip_filters(struct input *in)
{
    while (in->block < in->index->block_count && in->index->blocks[in->block].kind == SEGMENT_FILTERS) in->block++;
}

struct segment_merge *segment_merge_new(const struct segment_merge_input *inputs, size_t count, bool has_filters)
{
    struct segment_merge *m = calloc(1, sizeof *m);
    check(m);
    m->inputs = calloc(count + 1, sizeof *m->inputs);
    check(m->inputs);
    check(count <= SEGMENT_MERGE_INPUTS_MAX);
    m->count = count;
    uint64_t documents = 0, alone = 0;
    for (size_t i = 0; i < count; i++) {
        m->inputs[i] = (struct input){.index = inputs[i].index, .living = inputs[i].living, .base = (uint32_t)documents};
        skip_filters(&m->inputs[i]);
        documents += inputs[i].index->footer.documents;
        alone += inputs[i].index->footer.alone;
    }
    check(documents <= SEGMENT_DOCUMENTS_MAX);
    m->documents = malloc((documents + 1) * sizeof *m->documents);
    m->list = malloc((documents + 1) * sizeof *m->list);
    m->alone = malloc((alone + 1) * sizeof *m->alone);
    check(m->documents && m->list && m->alone);
    segment_writer_init(&m->writer, (uint32_t)documents, has_filters);
    return m;
}

void segment_merge_free(struct segment_merge *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->count; i++) buf_done(&m->inputs[i].bytes);
    segment_writer_done(&m->writer);
    free(m->inputs);
    free(m->documents);
    free(m->list);
    free(m->alone);
    free(m);
}

struct segment_writer *segment_merge_out(struct segment_merge *m) { return &m->writer; }

static const struct segment_block *block_of(const struct input *in) { return &in->index->blocks[in->block]; }
static bool has_blocks(const struct input *in) { return in->block < in->index->block_count; }

buf *segment_merge_wants(struct segment_merge *m, size_t *ret_input, uint64_t *ret_offset, size_t *ret_bytes)
{
    struct input *in = &m->inputs[m->wanted];
    *ret_input = m->wanted;
    *ret_offset = has_blocks(in) ? block_of(in)->offset : in->index->footer.alone_offset;
    *ret_bytes = has_blocks(in) ? (size_t)(segment_postings_offset(block_of(in)) - block_of(in)->offset + block_of(in)->postings_bytes)
                                : (size_t)in->index->footer.alone * SEGMENT_ALONE_BYTES;
    return &in->bytes;
}

/* The next term of the block. False: malformed. */
static bool find_term(struct input *in)
{
    const struct segment_block *b = block_of(in);
    view text = view_slice(buf_view(&in->bytes), 0, b->text_bytes);
    if (b->kind == SEGMENT_PAIRS) {
        in->term = view_slice(text, in->text_at, SEGMENT_PAIR_BYTES);
        in->text_at += SEGMENT_PAIR_BYTES;
        return in->term.len == SEGMENT_PAIR_BYTES;
    }
    if (in->text_at == 0) in->text_at = 1;
    view rest = view_from(text, in->text_at);
    size_t len = view_find(rest, '\n');
    if (len == VIEW_NONE || len == 0) return false;
    in->term = view_slice(rest, 0, len);
    in->text_at += len + 1;
    return true;
}

static bool take_alone(struct segment_merge *m, struct input *in)
{
    struct cursor c = cursor_of(buf_view(&in->bytes));
    for (uint32_t i = 0; i < in->index->footer.alone; i++) {
        struct segment_alone a;
        if (!take_raw_id(&c, &a.message) || !take_le32(&c, &a.document) || a.document >= in->index->footer.documents) return false;
        if (in->living && !(in->living[a.document / 64] >> a.document % 64 & 1)) continue;
        a.document += in->base;
        m->alone[m->alone_count++] = a;
    }
    in->has_alone = true;
    buf_done(&in->bytes);
    return true;
}

/* What was wanted is there. */
static bool take_bytes_of(struct segment_merge *m, struct input *in)
{
    if (!has_blocks(in)) return take_alone(m, in);
    in->is_loaded = true;
    in->next = 0;
    in->text_at = 0;
    return find_term(in);
}

static bool next_term(struct input *in)
{
    if (++in->next < block_of(in)->terms) return find_term(in);
    in->is_loaded = false;
    in->block++;
    skip_filters(in);
    buf_clear(&in->bytes);
    return true;
}

static int compare_inputs(const struct input *a, const struct input *b)
{
    const struct segment_block *x = block_of(a), *y = block_of(b);
    unsigned left = x->zone << 1 | x->kind, right = y->zone << 1 | y->kind;
    return left != right ? (left < right ? -1 : 1) : view_compare(a->term, b->term);
}

/* Its documents of the term, added to those in m->documents. */
static bool add_documents(struct segment_merge *m, const struct input *in, size_t *count)
{
    const struct segment_block *b = block_of(in);
    struct cursor info = cursor_of(view_slice(buf_view(&in->bytes), b->text_bytes + (size_t)in->next * 4, 4));
    view postings = view_from(buf_view(&in->bytes), b->text_bytes + (size_t)b->terms * 4);
    uint32_t at, documents = in->index->footer.documents, found = 1;
    if (!take_le32(&info, &at)) return false;
    if (segment_info_is_one(at)) {
        m->list[0] = at & 0x7fffffff;
        if (m->list[0] >= documents) return false;
    } else {
        struct segment_postings p;
        postings = view_from(postings, at);
        if (!segment_postings_head(view_slice(postings, 0, SEGMENT_POSTINGS_HEAD_MAX), documents, &p)) return false;
        if (!segment_postings_list(&p, view_slice(postings, p.head_bytes, p.bytes), documents, m->list)) return false;
        found = p.count;
    }
    for (uint32_t i = 0; i < found; i++) {
        uint32_t document = m->list[i];
        if (!in->living || in->living[document / 64] >> document % 64 & 1) m->documents[(*count)++] = document + in->base;
    }
    return true;
}

/* Inputs rise in their bases, so documents do. Whose term it is goes on. */
static bool merge_term(struct segment_merge *m, struct input *first)
{
    size_t count = 0;
    bool has[SEGMENT_MERGE_INPUTS_MAX];
    for (size_t i = 0; i < m->count; i++) {
        struct input *in = &m->inputs[i];
        has[i] = in->is_loaded && compare_inputs(in, first) == 0;
        if (has[i] && !add_documents(m, in, &count)) return false;
    }
    if (count) segment_writer_term(&m->writer, block_of(first)->zone, block_of(first)->kind, first->term, m->documents, count);
    for (size_t i = 0; i < m->count; i++)
        if (has[i] && !next_term(&m->inputs[i])) return false;
    return true;
}

static int by_id(const void *left, const void *right)
{
    const struct segment_alone *a = left, *b = right;
    return id_compare(a->message, b->message);
}

/* Whether some input has to be read before the next term is known. */
static bool wants_bytes(struct segment_merge *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct input *in = &m->inputs[i];
        m->wanted = i;
        if (has_blocks(in) ? !in->is_loaded : !in->has_alone && in->index->footer.alone > 0) return true;
    }
    return false;
}

result segment_merge_step(struct segment_merge *m, struct fault *fault)
{
    for (;;) {
        struct input *first = NULL;
        if (wants_bytes(m)) {
            struct input *in = &m->inputs[m->wanted];
            if (in->bytes.len == 0) return BUSY;
            if (!take_bytes_of(m, in)) return fail(fault, CORRUPT, "search segment: malformed block");
            continue;
        }
        if (m->writer.out.len >= SEGMENT_POSTINGS_BYTES_FULL) return OK;
        for (size_t i = 0; i < m->count; i++) {
            struct input *in = &m->inputs[i];
            if (in->is_loaded && (!first || compare_inputs(in, first) < 0)) first = in;
        }
        if (!first) break;
        if (!merge_term(m, first)) return fail(fault, CORRUPT, "search segment: malformed postings");
    }
    if (m->alone_count) qsort(m->alone, m->alone_count, sizeof *m->alone, by_id);
    segment_writer_end(&m->writer, m->alone, m->alone_count);
    return END;
}
