#include "imapd/digest_columns.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"

enum { BLOCK_COST_BYTES = 32, COLUMN_COST_BYTES = 160, VARINT_BYTES_MAX = 5 };     /* beside the values */

struct column_block {
    uint32_t number, len;
    char *bytes;
};

struct column {
    struct list node;
    struct digest_key key;
    uint64_t command;                        /* that used it last */
    millis used;
    struct column_block *blocks;             /* by number */
    size_t count, capacity;
    size_t bytes;
};

/* ---- columns ---- */

static struct column *column_of(struct list *node) { return container_of(node, struct column, node); }

static void drop_last_block(struct digest_columns *all, struct column *c)
{
    struct column_block *b = &c->blocks[--c->count];
    all->bytes -= b->len + BLOCK_COST_BYTES;
    c->bytes -= b->len + BLOCK_COST_BYTES;
    free(b->bytes);
}

static void drop_column(struct digest_columns *all, struct column *c)
{
    while (c->count) drop_last_block(all, c);
    all->bytes -= COLUMN_COST_BYTES;
    all->count--;
    list_remove(&c->node);
    free(c->blocks);
    free(c);
}

static void drop_idle(struct timer *t)
{
    struct digest_columns *all = container_of(t, struct digest_columns, idle);
    while (!list_is_empty(&all->columns)) {
        struct column *c = column_of(all->columns.next);
        millis due = millis_add(c->used, DIGEST_IDLE_MS);
        if (millis_before(clock_now(), due)) {
            timer_arm(t, due);
            break;
        }
        drop_column(all, c);
    }
}

void digest_columns_init(struct digest_columns *all)
{
    *all = (struct digest_columns){0};
    list_init(&all->columns);
    timer_init(&all->idle, drop_idle);
}

void digest_columns_stop(struct digest_columns *all)
{
    all->is_stopping = true;
    timer_disarm(&all->idle);
    while (!list_is_empty(&all->columns)) drop_column(all, column_of(all->columns.next));
}

/* Who used one lately is the likeliest to use it now. */
static struct column *find_column(struct digest_columns *all, const struct digest_key *key)
{
    for (struct list *node = all->columns.previous; node != &all->columns; node = node->previous) {
        struct column *c = column_of(node);
        if (c->key.mailbox == key->mailbox && c->key.kind == key->kind && id_equal(c->key.account, key->account)) return c;
    }
    return NULL;
}

static struct column *add_column(struct digest_columns *all, const struct digest_key *key)
{
    if (all->count == DIGEST_COLUMNS_MAX) drop_column(all, column_of(all->columns.next));
    struct column *c = calloc(1, sizeof *c);
    check(c != NULL);
    c->key = *key;
    list_append(&all->columns, &c->node);
    all->count++;
    all->bytes += COLUMN_COST_BYTES;
    return c;
}

static void use(struct digest_columns *all, struct column *c, uint64_t command)
{
    c->command = command;
    c->used = clock_now();
    list_remove(&c->node);
    list_append(&all->columns, &c->node);
    if (!all->idle.armed) timer_arm(&all->idle, millis_add(c->used, DIGEST_IDLE_MS));
}

/* Where the block is or would be. */
static size_t place_of(const struct column *c, uint32_t number)
{
    size_t low = 0, high = c->count;
    if (c->count && c->blocks[c->count - 1].number < number) return c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->blocks[middle].number < number) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool has_block(const struct column *c, size_t place, uint32_t number) { return place < c->count && c->blocks[place].number == number; }

void digest_columns_get(struct digest_columns *all, const struct digest_key *key, uint32_t block, uint64_t command, buf *into)
{
    struct column *c = find_column(all, key);
    if (!c) return;
    use(all, c, command);
    size_t place = place_of(c, block);
    if (has_block(c, place, block)) buf_append(into, view_make(c->blocks[place].bytes, c->blocks[place].len));
}

/* The column that was used longest ago, and not by this command. */
static struct column *victim(struct digest_columns *all, const struct column *wants)
{
    list_each (node, &all->columns) {
        struct column *c = column_of(node);
        if (c != wants && c->command != wants->command) return c;
    }
    return NULL;
}

static bool make_room(struct digest_columns *all, struct column *wants, size_t more)
{
    while (all->bytes + more > DIGEST_BYTES_MAX) {
        struct column *c = wants->bytes + more <= DIGEST_BYTES_MAX / 2 ? victim(all, wants) : NULL;
        if (!c) return false;
        if (c->count > 1) drop_last_block(all, c);
        else drop_column(all, c);
    }
    return true;
}

static struct column_block *add_block(struct column *c, size_t place, uint32_t number)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 4;
        c->blocks = realloc(c->blocks, c->capacity * sizeof *c->blocks);
        check(c->blocks != NULL);
    }
    memmove(&c->blocks[place + 1], &c->blocks[place], (c->count - place) * sizeof *c->blocks);
    c->count++;
    c->blocks[place] = (struct column_block){.number = number};
    return &c->blocks[place];
}

static void set_block(struct digest_columns *all, struct column *c, uint32_t number, view bytes)
{
    size_t place = place_of(c, number);
    bool is_there = has_block(c, place, number);
    size_t before = is_there ? c->blocks[place].len + BLOCK_COST_BYTES : 0, now = bytes.len + BLOCK_COST_BYTES;
    if (now > before && !make_room(all, c, now - before)) return;
    struct column_block *b = is_there ? &c->blocks[place] : add_block(c, place, number);
    free(b->bytes);
    b->bytes = malloc(bytes.len);
    check(b->bytes != NULL);
    memcpy(b->bytes, bytes.at, bytes.len);
    b->len = (uint32_t)bytes.len;
    all->bytes += now - before;
    c->bytes += now - before;
}

void digest_columns_put(struct digest_columns *all, const struct digest_key *key, uint32_t block, uint64_t command, view bytes)
{
    if (all->is_stopping || bytes.len == 0) return;
    struct column *c = find_column(all, key);
    if (!c) c = add_column(all, key);
    use(all, c, command);
    set_block(all, c, block, bytes);
}

/* ---- blocks ---- */

size_t digest_block_entry(const struct digest_block *b, view *ret_value)
{
    size_t stored = 0, bytes = 0;
    unsigned shift = 0;
    while (b->at + bytes < b->bytes.len) {
        unsigned char byte = (unsigned char)b->bytes.at[b->at + bytes++];
        stored |= (size_t)(byte & 0x7f) << shift;
        shift += 7;
        if (byte < 0x80) break;
    }
    size_t len = stored ? stored - 1 : 0;
    *ret_value = stored ? view_make(b->bytes.at + b->at + bytes, len) : VIEW_EMPTY;
    return bytes + len;
}

void digest_block_seek(struct digest_block *b, unsigned index)
{
    view value;
    if (index < b->index) b->at = b->index = 0;
    for (; b->index < index; b->index++) {
        if (b->at == b->bytes.len) buf_append_byte(&b->bytes, 0);
        b->at += digest_block_entry(b, &value);
    }
}

bool digest_block_value(const struct digest_block *b, view *ret_value)
{
    if (b->at == b->bytes.len || b->bytes.at[b->at] == 0) return false;
    (void)digest_block_entry(b, ret_value);
    return true;
}

void digest_block_add(struct digest_block *b, view value)
{
    char length[VARINT_BYTES_MAX];
    size_t count = 0;
    for (size_t rest = value.len + 1; rest; rest >>= 7) length[count++] = (char)(unsigned char)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (b->at == b->bytes.len) buf_append_byte(&b->bytes, 0);
    size_t more = count + value.len - 1, tail = b->bytes.len - b->at - 1;
    (void)buf_extend(&b->bytes, more);
    char *here = b->bytes.at + b->at;
    memmove(here + 1 + more, here + 1, tail);
    memcpy(here, length, count);
    if (value.len) memcpy(here + count, value.at, value.len);
    b->is_changed = true;
}
