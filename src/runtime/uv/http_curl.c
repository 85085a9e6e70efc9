/*
 * http on libcurl's multi interface: a thread of its own drives all transfers; each answer is sent to the loop that asked. A request lives until
 * the thread is done with it, also when who asked has given up.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "runtime/background.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/http.h"
#include "runtime/loop.h"

enum { LOOK_MS = 1000, CONNECT_MS = 20000, HEADER_BYTES_MAX = 32 << 10 };

struct http {
    CURLM *multi;
    struct background *thread;
    pthread_mutex_t lock;                /* of `arrived` */
    struct list arrived, begun;          /* begun: the thread's */
    atomic_bool must_stop;
    atomic_uint flight;
    char authorities_file[4096];         /* empty: the system's */
};

struct transfer {
    struct task task;
    struct list node;
    struct http *http;
    struct loop *origin;
    char url[HTTP_URL_BYTES_MAX + 1];
    char place[512];                     /* host:port:address,... */
    int64_t timeout_ms;
    size_t bytes_max;
    buf request, type_field, body;
    struct curl_slist *fields, *places;
    CURL *easy;
    CURLcode error;
    char error_text[CURL_ERROR_SIZE];
    long status;
    buf content_type;
    bool is_too_big, is_answered, is_abandoned;   /* the last two on the origin loop */
    struct waitlist waiter;
};

/* ---- on the thread ---- */

static size_t take_bytes_of_body(char *at, size_t size, size_t count, void *argument)
{
    struct transfer *t = argument;
    t->is_too_big = t->body.len + size * count > t->bytes_max;
    if (t->is_too_big) return 0;
    buf_append(&t->body, view_make(at, size * count));
    return size * count;
}

static void set_fields(struct transfer *t)
{
    if (!t->request.len) return;
    t->fields = curl_slist_append(NULL, t->type_field.at);
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->request.at);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)t->request.len);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
}

static void set_up(struct transfer *t)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, (char *)t);
    curl_easy_setopt(e, CURLOPT_URL, t->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)t->timeout_ms);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->bytes_max);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error_text);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "Tayori");
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_bytes_of_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    if (*t->http->authorities_file) {
        curl_easy_setopt(e, CURLOPT_CAINFO, t->http->authorities_file);
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    if (*t->place) {
        t->places = curl_slist_append(NULL, t->place);
        curl_easy_setopt(e, CURLOPT_RESOLVE, t->places);
    }
    set_fields(t);
}

static void hand_back(struct transfer *t, CURLcode error)
{
    const char *type = NULL;
    list_remove(&t->node);
    t->error = error;
    if (t->easy) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
        if (type) buf_append_cstr(&t->content_type, type);
        curl_multi_remove_handle(t->http->multi, t->easy);
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
    }
    curl_slist_free_all(t->fields);
    curl_slist_free_all(t->places);
    loop_post(t->origin, &t->task);
}

static void begin_arrived(struct http *h)
{
    for (;;) {
        pthread_mutex_lock(&h->lock);
        struct list *node = list_is_empty(&h->arrived) ? NULL : list_pop(&h->arrived);
        pthread_mutex_unlock(&h->lock);
        if (!node) return;
        struct transfer *t = container_of(node, struct transfer, node);
        list_append(&h->begun, &t->node);
        t->easy = curl_easy_init();
        if (t->easy) set_up(t);
        if (!t->easy || curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) hand_back(t, CURLE_OUT_OF_MEMORY);
    }
}

static void end_done(struct http *h)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
        char *argument = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode error = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &argument);
        hand_back((struct transfer *)(void *)argument, error);
    }
}

static void drive(void *argument)
{
    struct http *h = argument;
    int running = 0;
    while (!atomic_load(&h->must_stop)) {
        begin_arrived(h);
        curl_multi_perform(h->multi, &running);
        end_done(h);
        curl_multi_poll(h->multi, NULL, 0, LOOK_MS, NULL);
    }
    begin_arrived(h);
    while (!list_is_empty(&h->begun)) hand_back(container_of(h->begun.next, struct transfer, node), CURLE_ABORTED_BY_CALLBACK);
}

/* ---- life ---- */

result http_new(const struct http_options *options, struct http **ret_http, struct fault *fault)
{
    struct http *h = calloc(1, sizeof *h);
    check(h);
    const char *file = options->authorities_file ? options->authorities_file : "";
    if (strlen(file) >= sizeof h->authorities_file || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(h);
        return fail(fault, INVALID, "HTTPS cannot be used");
    }
    memcpy(h->authorities_file, file, strlen(file) + 1);
    list_init(&h->arrived);
    list_init(&h->begun);
    pthread_mutex_init(&h->lock, NULL);
    h->multi = curl_multi_init();
    check(h->multi);
    h->thread = background_start("https", drive, h);
    *ret_http = h;
    return OK;
}

void http_free(struct http *h)
{
    if (!h) return;
    atomic_store(&h->must_stop, true);
    curl_multi_wakeup(h->multi);
    background_join(h->thread);
    /* Those that nobody waits for any more end on their loops. */
    while (atomic_load(&h->flight) > 0) background_pause(1);
    curl_multi_cleanup(h->multi);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* ---- asking ---- */

static void transfer_free(struct transfer *t)
{
    struct http *h = t->http;
    buf_done(&t->request);
    buf_done(&t->type_field);
    buf_done(&t->body);
    buf_done(&t->content_type);
    free(t);
    atomic_fetch_sub(&h->flight, 1);
}

/* On the loop that asked. */
static void transfer_ended(struct task *task)
{
    struct transfer *t = container_of(task, struct transfer, task);
    t->is_answered = true;
    if (t->is_abandoned) transfer_free(t);
    else waitlist_wake_all(&t->waiter);
}

static bool has_control(view url)
{
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.at[i] <= ' ' || (unsigned char)url.at[i] >= 127) return true;
    return false;
}

/* "host:443:192.0.2.1,[2001:db8::1]". The port is the one of https, as nobody who publishes addresses for a name may name another. */
static void set_place(struct transfer *t, const struct http_request *r)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    view host = http_host(r->url);
    if (r->address_count == 0) return;
    buf_appendf(&text, VIEW_FMT ":443:", VIEW_ARG(host));
    for (size_t i = 0; i < r->address_count && i < HTTP_ADDRESSES_MAX; i++) {
        char one[ADDRESS_TEXT_MAX];
        view address = address_text(&r->addresses[i], one);
        buf_appendf(&text, r->addresses[i].family == 6 ? "%s[" VIEW_FMT "]" : "%s" VIEW_FMT, i ? "," : "", VIEW_ARG(address));
    }
    if (text.len < sizeof t->place) memcpy(t->place, text.at, text.len);
}

static struct transfer *transfer_new(struct http *h, const struct http_request *r, millis deadline)
{
    struct transfer *t = calloc(1, sizeof *t);
    check(t);
    t->http = h;
    t->origin = loop_self();
    t->task.run = transfer_ended;
    t->timeout_ms = deadline.ms - clock_now().ms;
    if (t->timeout_ms < 1) t->timeout_ms = 1;
    t->bytes_max = r->bytes_max;
    waitlist_init(&t->waiter);
    memcpy(t->url, r->url.at, r->url.len);
    set_place(t, r);
    buf_append(&t->request, r->body);
    buf_appendf(&t->type_field, "Content-Type: " VIEW_FMT, VIEW_ARG(r->content_type));
    buf_append_byte(&t->type_field, '\0');
    return t;
}

static bool is_certificate_error(CURLcode error)
{
    return error == CURLE_PEER_FAILED_VERIFICATION || error == CURLE_SSL_ISSUER_ERROR || error == CURLE_SSL_CERTPROBLEM;
}

static result read_answer(const struct transfer *t, struct arena *arena, struct http_answer *ret_answer, bool *reterr_is_certificate, struct fault *fault)
{
    if (t->is_too_big || t->error == CURLE_FILESIZE_EXCEEDED) return fail(fault, TOO_BIG, "%s: more than %zu bytes", t->url, t->bytes_max);
    if (t->error != CURLE_OK) {
        *reterr_is_certificate = is_certificate_error(t->error);
        return fail(fault, UNAVAILABLE, "%s: %s", t->url, *t->error_text ? t->error_text : curl_easy_strerror(t->error));
    }
    *ret_answer = (struct http_answer){.status = (unsigned)t->status, .content_type = arena_keep(arena, buf_view(&t->content_type)), .body = arena_keep(arena, buf_view(&t->body))};
    return OK;
}

result http_ask(struct http *h, const struct http_request *request, millis deadline, struct arena *arena, struct http_answer *ret_answer,
                bool *reterr_is_certificate, struct fault *fault)
{
    *reterr_is_certificate = false;
    if (request->url.len > HTTP_URL_BYTES_MAX || http_host(request->url).len == 0 || has_control(request->url)) return fail(fault, INVALID, "not a URL of https");
    if (atomic_fetch_add(&h->flight, 1) >= HTTP_FLIGHT_MAX) {
        atomic_fetch_sub(&h->flight, 1);
        return fail(fault, UNAVAILABLE, "too many requests by HTTPS under way");
    }
    struct transfer *t = transfer_new(h, request, deadline);
    pthread_mutex_lock(&h->lock);
    list_append(&h->arrived, &t->node);
    pthread_mutex_unlock(&h->lock);
    curl_multi_wakeup(h->multi);
    result code = OK;
    while (!t->is_answered && code == OK) code = waitlist_wait(&t->waiter, deadline);
    if (!t->is_answered) {
        t->is_abandoned = true;
        return fail(fault, code, "no answer by HTTPS in time");
    }
    code = read_answer(t, arena, ret_answer, reterr_is_certificate, fault);
    transfer_free(t);
    return code;
}
