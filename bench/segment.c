/*
 * What the index for searches costs, without any store: making segments of the messages of a mailbox file, merging them, and looking for words in what
 * was merged, with filters and without. bench-segment FILE.mbox [NEEDLE ...]; bench/search.py --mbox N FILE makes one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "account/segment.h"
#include "base/check.h"

enum { SEGMENTS_MAX = 16 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void read_file(const char *path, buf *into)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    for (size_t got = 1; got;) {
        char *at = buf_extend(into, 1 << 20);
        got = fread(at, 1, 1 << 20, f);
        into->len -= (1 << 20) - got;
    }
    fclose(f);
}

static struct segment_index *open_segment(view bytes)
{
    struct segment_footer f;
    struct segment_index *i;
    check(segment_footer_decode(view_from(bytes, bytes.len - SEGMENT_FOOTER_BYTES), bytes.len, &f, NULL) == OK);
    check(segment_index_decode(&f, view_slice(bytes, (size_t)f.body_bytes, (size_t)segment_tail_bytes(&f)), &i, NULL) == OK);
    return i;
}

static void merge(const buf *segments, size_t count, bool has_filters, buf *into_all)
{
    struct segment_merge_input inputs[SEGMENTS_MAX];
    size_t input, wanted;
    uint64_t offset;
    result code;
    for (size_t i = 0; i < count; i++) inputs[i] = (struct segment_merge_input){.index = open_segment(buf_view(&segments[i]))};
    struct segment_merge *m = segment_merge_new(inputs, count, has_filters);
    while ((code = segment_merge_step(m, NULL)) != END) {
        if (code == BUSY) {
            buf *into = segment_merge_wants(m, &input, &offset, &wanted);
            buf_append(into, view_slice(buf_view(&segments[input]), (size_t)offset, wanted));
            continue;
        }
        check(code == OK);
        buf_append(into_all, buf_view(&segment_merge_out(m)->out));
        segment_writer_took(segment_merge_out(m));
    }
    buf_append(into_all, buf_view(&segment_merge_out(m)->out));
    segment_merge_free(m);
    for (size_t i = 0; i < count; i++) segment_index_free((struct segment_index *)(uintptr_t)inputs[i].index);
}

struct reading { view bytes; size_t read; };

MAY_YIELD static result read_memory(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    struct reading *r = argument;
    (void)fault;
    r->read += bytes;
    buf_append(into, view_slice(r->bytes, (size_t)offset, bytes));
    return OK;
}

/* In all zones, as SEARCH TEXT does. */
static void look_for(view segment, const char *needle)
{
    struct segment_index *i = open_segment(segment);
    struct reading r = {segment, 0};
    struct segment_source source = {read_memory, &r};
    struct search_query q;
    size_t words = segment_bits_words(i->footer.documents), hits = 0;
    uint64_t *sure = calloc(words, sizeof *sure), *maybe = calloc(words, sizeof *maybe);
    check(sure && maybe);
    search_query_make(view_of(needle), &q);
    double began = now_us();
    colour_pretend_coroutine();
    check(segment_find(i, &source, &q, (1u << ZONES) - 1, sure, maybe, NULL) == OK);
    double took = now_us() - began;
    for (size_t k = 0; k < words; k++) hits += (size_t)__builtin_popcountll(maybe[k]);
    printf("  %-20s %7zu documents, %9.0f us, %9zu bytes read\n", needle, hits, took, r.read);
    free(sure);
    free(maybe);
    segment_index_free(i);
}

int main(int argc, char **argv)
{
    buf file = BUF_INIT, segments[SEGMENTS_MAX] = {0};
    size_t count = 0, bytes = 0, messages = 0, made = 0, message_bytes = 0;
    struct segment_builder *b = segment_builder_new();
    if (argc < 2) return 2;
    read_file(argv[1], &file);
    double began = now_us();
    for (view rest = buf_view(&file); rest.len && count < SEGMENTS_MAX;) {
        size_t line = view_find(rest, '\n'), end = view_find_view(view_from(rest, 1), VIEW("\nFrom a "));
        view message = view_slice(rest, line + 1, end == VIEW_NONE ? rest.len : end - line);
        rest = end == VIEW_NONE ? VIEW_EMPTY : view_from(rest, end + 2);
        segment_builder_add(b, message);
        message_bytes += message.len;
        messages++;
        if (++made < 5000 && rest.len) continue;
        segment_builder_write(b, true, &segments[count]);
        bytes += segments[count++].len;
        made = 0;
    }
    double built = now_us();
    printf("%zu messages of %zu bytes: %.1f us of CPU and %zu bytes of index each\n", messages, message_bytes / (messages + !messages),
           (built - began) / (double)messages, bytes / (messages + !messages));
    for (int has_filters = 1; has_filters >= 0; has_filters--) {
        buf merged = BUF_INIT;
        double before = now_us();
        merge(segments, count, has_filters, &merged);
        printf("merged %zu into one, %s filters: %.1f us, %zu bytes each\n", count, has_filters ? "with" : "without", (now_us() - before) / (double)messages,
               merged.len / (messages + !messages));
        for (int i = 2; i < argc; i++) look_for(buf_view(&merged), argv[i]);
        buf_done(&merged);
    }
    return 0;
}
