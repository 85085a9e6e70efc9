#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/uv/stream_private.h"

/* Takes the socket in any case. */
MAY_YIELD static result connect_socket(int fd, const struct sockaddr_storage *to, socklen_t len, const struct address *peer,
                                       millis deadline, struct stream **ret_stream, struct fault *fault)
{
    int error = connect(fd, (const void *)to, len) == 0 ? 0 : errno;
    struct stream *s = stream_make(fd, peer);
    stream_attach(s);
    result r = OK;
    if (error == EINPROGRESS) {
        r = stream_wait_writable(s, deadline);
        socklen_t error_len = sizeof error;
        if (r != OK) (void)fail(fault, r, "connecting");
        else getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
    }
    bool is_nobody = peer->family != 4 && peer->family != 6 && (error == ENOENT || error == ECONNREFUSED);
    if (r == OK && error) r = fail(fault, is_nobody ? NOT_FOUND : UNAVAILABLE, "connect: %s", strerrorname_np(error));
    if (r != OK) {
        stream_close(s);
        return r;
    }
    *ret_stream = s;
    return OK;
}

static int open_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

result stream_connect(const struct address *to, const struct address *from_or_null, millis deadline, struct stream **ret_stream,
                      struct fault *fault)
{
    struct sockaddr_storage system, from;
    check(to->family == 4 || to->family == 6);
    int fd = open_socket(to->family == 4 ? AF_INET : AF_INET6);
    if (fd < 0) return fail(fault, UNAVAILABLE, "socket: %s", strerrorname_np(errno));
    stream_set_options(fd);
    if (from_or_null && bind(fd, (void *)&from, address_to_system(from_or_null, &from)) != 0) {
        close(fd);
        return fail(fault, UNAVAILABLE, "bind: %s", strerrorname_np(errno));
    }
    unsigned len = address_to_system(to, &system);
    return connect_socket(fd, &system, len, to, deadline, ret_stream, fault);
}

result stream_connect_path(const char *path, millis deadline, struct stream **ret_stream, struct fault *fault)
{
    struct sockaddr_storage system = {0};
    struct sockaddr_un *un = (void *)&system;
    struct address local = {0};
    if (strlen(path) >= sizeof un->sun_path) return fail(fault, INVALID, "%s: longer than a local socket's name may be", path);
    int fd = open_socket(AF_UNIX);
    if (fd < 0) return fail(fault, UNAVAILABLE, "socket: %s", strerrorname_np(errno));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    return connect_socket(fd, &system, sizeof *un, &local, deadline, ret_stream, fault);
}
