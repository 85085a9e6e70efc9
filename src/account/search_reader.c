#include "account/search_reader.h"

#include <stdlib.h>
#include <string.h>

#include "account/search.h"
#include "base/check.h"
#include "runtime/event.h"

enum { DIRECT_BYTES = 128 << 10 };           /* as much in one piece passes the cache by */

static struct search_reader *find_reader(const struct account *a, view object)
{
    list_each (node, &a->search_readers) {
        struct search_reader *r = container_of(node, struct search_reader, of_account);
        if (view_equal(r->object, object)) return r;
    }
    return NULL;
}

static void drop_page(struct search_page *p)
{
    struct home *h = p->reader->account->home;
    list_remove(&p->node);
    h->search_bytes -= sizeof *p + p->bytes.capacity;
    p->reader->pages[p->number] = NULL;
    buf_done(&p->bytes);
    free(p);
}

static void drop_reader(struct search_reader *r)
{
    for (uint32_t i = 0; r->index && i < r->index->footer.pages; i++)
        if (r->pages[i]) drop_page(r->pages[i]);
    list_remove(&r->of_account);
    segment_index_free(r->index);
    free(r->pages);
    free((char *)(uintptr_t)r->object.at);
    free(r);
}

void account_drop_search(struct account *a)
{
    account_drop_hits(a);
    list_each (node, &a->search_readers) drop_reader(container_of(node, struct search_reader, of_account));
}

/* ---- opening ---- */

/* Footer and directory. */
MAY_YIELD static result read_index(struct account *a, view object, millis deadline, struct segment_index **ret_index, struct fault *fault)
{
    char name[OBJECT_NAME_MAX];
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    struct engine *e = a->home->all->engine;
    struct segment_footer footer;
    uint64_t size;
    view full = account_object_name(a->id, object, name);
    result code = object_size(e, full, deadline, &size, fault);
    if (code == OK && size < SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES) code = fail(fault, CORRUPT, "%s: %llu bytes", name, (unsigned long long)size);
    if (code == OK) code = object_read(e, full, size - SEGMENT_FOOTER_BYTES, SEGMENT_FOOTER_BYTES, deadline, &bytes, fault);
    if (code == OK) code = segment_footer_decode(buf_view(&bytes), size, &footer, fault);
    if (code != OK) return code;
    buf_clear(&bytes);
    code = object_read(e, full, footer.body_bytes, (size_t)segment_tail_bytes(&footer), deadline, &bytes, fault);
    return code == OK ? segment_index_decode(&footer, buf_view(&bytes), ret_index, fault) : code;
}

static struct search_reader *reader_new(struct account *a, view object, struct segment_index *index)
{
    struct search_reader *r = calloc(1, sizeof *r);
    char *name = malloc(object.len + 1);
    check(r && name);
    memcpy(name, object.at, object.len);
    *r = (struct search_reader){.account = a, .object = view_make(name, object.len), .index = index};
    r->pages = calloc((index ? index->footer.pages : 0) + (size_t)1, sizeof *r->pages);
    check(r->pages);
    list_append(&a->search_readers, &r->of_account);
    return r;
}

void search_reader_distrust(struct search_reader *r)
{
    if (r->is_bad) return;
    r->is_bad = true;
    EVENT_EMIT(ACCOUNT_INDEX_DAMAGED, EVENT_ID("account", r->account->id), EVENT_TEXT("segment", r->object));
}

result search_reader_open(struct account *a, view object, millis deadline, struct search_reader **ret_reader, struct fault *fault)
{
    struct search_reader *r = find_reader(a, object);
    if (!r) {
        struct segment_index *index = NULL;
        view kept = VIEW_EMPTY;
        char name[OBJECT_NAME_MAX];
        check(object.len < sizeof name);
        memcpy(name, object.at, object.len);
        kept = view_make(name, object.len);
        result code = read_index(a, kept, deadline, &index, fault);
        if (code != OK && code != CORRUPT && code != NOT_FOUND) return code;
        r = find_reader(a, kept);            /* another may have opened it meanwhile */
        if (r) segment_index_free(index);
        else r = reader_new(a, kept, index);
        if (!r->index) search_reader_distrust(r);
    }
    if (r->is_bad) return fail(fault, CORRUPT, "search segment " VIEW_FMT " is lost or damaged", VIEW_ARG(object));
    r->users++;
    r->deadline = deadline;
    *ret_reader = r;
    return OK;
}

void search_reader_close(struct search_reader *r)
{
    check(r->users > 0);
    r->users--;
}

bool search_is_distrusted(const struct account *a, view object)
{
    const struct search_reader *r = find_reader(a, object);
    return r && r->is_bad;
}

void search_reader_forgive(struct account *a, view object)
{
    struct search_reader *r = find_reader(a, object);
    if (!r || !r->is_bad) return;
    if (r->users > 0) r->is_bad = false;     /* whoever has it open could read its directory */
    else drop_reader(r);
}

static bool is_listed(const struct account *a, view object)
{
    const struct search_list *l = state_search(a->state);
    for (size_t i = 0; i < l->count; i++)
        if (view_equal(l->segments[i].object, object)) return true;
    return false;
}

void search_forget_distrusted(struct account *a)
{
    list_each (node, &a->search_readers) {
        struct search_reader *r = container_of(node, struct search_reader, of_account);
        if (r->users == 0 && !is_listed(a, r->object)) drop_reader(r);
    }
}

/* ---- reading ---- */

static size_t page_bytes(const struct search_reader *r, uint64_t page)
{
    uint64_t left = r->index->footer.body_bytes - page * SEGMENT_PAGE_BYTES;
    return left < SEGMENT_PAGE_BYTES ? (size_t)left : SEGMENT_PAGE_BYTES;
}

/* Pages first to last, checked, appended. */
MAY_YIELD static result read_pages(struct search_reader *r, uint64_t first, uint64_t last, buf *into, struct fault *fault)
{
    char name[OBJECT_NAME_MAX];
    struct account *a = r->account;
    size_t before = into->len, bytes = (size_t)(last - first) * SEGMENT_PAGE_BYTES + page_bytes(r, last);
    view full = account_object_name(a->id, r->object, name);
    result code = object_read(a->home->all->engine, full, first * SEGMENT_PAGE_BYTES, bytes, r->deadline, into, fault);
    bool is_sound = code == OK && into->len - before == bytes;
    view rest = view_from(buf_view(into), before);
    for (uint64_t page = first; is_sound && page <= last; page++) {
        is_sound = segment_page_is_sound(r->index, page, view_slice(rest, 0, page_bytes(r, page)));
        rest = view_from(rest, page_bytes(r, page));
    }
    if (code == NOT_FOUND || (code == OK && !is_sound)) code = fail(fault, CORRUPT, "%s: %s", name, code == NOT_FOUND ? "is not there" : "wrong checksum");
    return code;
}

static void keep_within_budget(struct home *h)
{
    while (h->search_bytes > SEARCH_CACHE_BYTES && !list_is_empty(&h->search_pages)) drop_page(container_of(h->search_pages.next, struct search_page, node));
}

MAY_YIELD static result load_page(struct search_reader *r, uint32_t number, struct fault *fault)
{
    struct home *h = r->account->home;
    buf bytes = BUF_INIT;
    result code = read_pages(r, number, number, &bytes, fault);
    if (code != OK || r->pages[number]) {
        buf_done(&bytes);
        return code;
    }
    struct search_page *p = malloc(sizeof *p);
    check(p);
    *p = (struct search_page){.reader = r, .number = number, .bytes = bytes};
    list_append(&h->search_pages, &p->node);
    r->pages[number] = p;
    h->search_bytes += sizeof *p + bytes.capacity;
    return OK;
}

/* Copied from the cache: no pointer into it outlives a yield. */
MAY_YIELD static result read_cached(struct search_reader *r, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    struct home *h = r->account->home;
    for (uint64_t end = offset + bytes; offset < end;) {
        uint32_t number = (uint32_t)(offset / SEGMENT_PAGE_BYTES);
        result code = r->pages[number] ? OK : load_page(r, number, fault);
        if (code != OK) return code;
        struct search_page *p = r->pages[number];
        list_remove(&p->node);
        list_append(&h->search_pages, &p->node);
        size_t from = (size_t)(offset % SEGMENT_PAGE_BYTES), left = (size_t)(end - offset);
        view part = view_slice(buf_view(&p->bytes), from, left);
        buf_append(into, part);
        offset += part.len;
        keep_within_budget(h);
    }
    return OK;
}

result search_reader_read(struct search_reader *r, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    if (bytes == 0) return OK;
    if (offset > r->index->footer.body_bytes || bytes > r->index->footer.body_bytes - offset) return fail(fault, CORRUPT, "search segment: beyond its end");
    if (bytes < DIRECT_BYTES) return read_cached(r, offset, bytes, into, fault);
    uint64_t first = offset / SEGMENT_PAGE_BYTES, last = (offset + bytes - 1) / SEGMENT_PAGE_BYTES;
    size_t skip = (size_t)(offset - first * SEGMENT_PAGE_BYTES);
    check(into->len == 0);
    result code = read_pages(r, first, last, into, fault);
    if (code != OK) return code;
    buf_consume(into, skip);
    into->len = bytes;
    return OK;
}

MAY_YIELD static result read_for_search(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    if (coroutine_is_overdue()) coroutine_pause();
    return search_reader_read(argument, offset, bytes, into, fault);
}

struct segment_source search_reader_source(struct search_reader *r)
{
    return (struct segment_source){.read = read_for_search, .argument = r};
}
