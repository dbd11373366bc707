/* A load of event streams, from one thread that costs the server's machine little.
 *
 *     sse_load HOST PORT PATH BODY_FILE STREAMS SECONDS [HEADER]
 *
 * STREAMS connections send the same POST again and again over keep-alive and read the answers. An
 * event is a line "data: ..." that is neither [DONE] nor an error. At the end it prints as JSON:
 *
 *   requests      answers with status 200 that were read to their end
 *   errors        failed connections, other statuses, error events, answers that are no HTTP
 *   events        all events; events_done: those of the answers counted in requests
 *   gap_*_ms      between two reads of one answer that both brought events
 *   ttft_*_ms     from the start of sending a request to the read with its first event
 * Times are of the reads, to within 1 %. Linux only (epoll).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 256, READ_BYTES = 1 << 16, MAX_READY = 256, NUM_BUCKETS = 64 * 128 };
enum { SEND_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT };

/* A line as far as it has come: its length, and its first bytes with a NUL at the end. */
struct line {
    char text[LINE_BYTES];
    size_t length;
};

/* What the next byte of an answer belongs to. */
enum part { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, TRAILER };

struct stream {
    int fd;
    size_t num_sent; /* bytes of the request that the socket has taken */
    enum part part;
    uint64_t left;       /* bytes of the chunk, or of the body, that are still to come */
    struct line control; /* of the head, or a chunk's size */
    struct line event;   /* of the body; chunks may end within it */
    int status;          /* 0 until the status line was read */
    bool is_chunked, closes;
    uint64_t num_events, num_seen; /* of this answer; those that earlier reads brought */
    uint64_t last_us;              /* last read with events; before it, the request's start */
};

/* Exact below 256 us, then 128 buckets for each power of two. */
struct histogram {
    uint64_t count;
    uint64_t buckets[NUM_BUCKETS];
};

static struct {
    struct addrinfo *address;
    int epoll;
    char *request;
    size_t request_length;
    unsigned long requests, errors, events, events_done;
    struct histogram gaps, ttfts;
} load;

static void fail(const char *what)
{
    fprintf(stderr, "sse_load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void record(struct histogram *histogram, uint64_t us)
{
    unsigned shift = 0;
    while (us >> shift >= 256)
        shift++;
    histogram->count++;
    histogram->buckets[shift * 128 + (us >> shift)]++;
}

static void print_quantile(const char *name, const struct histogram *histogram, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)histogram->count), seen = 0;
    unsigned bucket = 0, shift;
    if (histogram->count == 0) {
        printf(", \"%s\": null", name);
        return;
    }
    while ((seen += histogram->buckets[bucket]) <= wanted)
        bucket++;
    shift = bucket < 256 ? 0 : bucket / 128 - 1;
    printf(", \"%s\": %.3f", name, (double)((uint64_t)(bucket - shift * 128) << shift) / 1000);
}

static void print_figures(double elapsed_s)
{
    printf("{\"seconds\": %.3f, \"requests\": %lu, \"errors\": %lu, \"events\": %lu, "
           "\"events_done\": %lu, \"events_per_s\": %.1f",
           elapsed_s, load.requests, load.errors, load.events, load.events_done,
           (double)load.events / elapsed_s);
    print_quantile("gap_p50_ms", &load.gaps, 0.50);
    print_quantile("gap_p99_ms", &load.gaps, 0.99);
    print_quantile("ttft_p50_ms", &load.ttfts, 0.50);
    print_quantile("ttft_p99_ms", &load.ttfts, 0.99);
    printf("}\n");
}

static void watch(struct stream *stream, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = stream};
    if (epoll_ctl(load.epoll, operation, stream->fd, &event) < 0)
        fail("epoll_ctl");
}

static void begin_request(struct stream *stream)
{
    *stream = (struct stream){.fd = stream->fd, .last_us = now_us()};
}

static void open_stream(struct stream *stream)
{
    int one = 1;
    if (stream->fd != 0)
        close(stream->fd);
    stream->fd = socket(load.address->ai_family, SOCK_STREAM, 0);
    if (stream->fd < 0 || connect(stream->fd, load.address->ai_addr, load.address->ai_addrlen) < 0)
        fail("connect");
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    begin_request(stream);
    watch(stream, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* Sends what is left of the request; false where the connection is gone. */
static bool send_rest(struct stream *stream)
{
    size_t left = load.request_length - stream->num_sent;
    ssize_t sent = send(stream->fd, load.request + stream->num_sent, left, SEND_FLAGS);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    stream->num_sent += (size_t)sent;
    if (stream->num_sent == load.request_length)
        watch(stream, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

/* Adds a byte to a line; true where that ends it. The text then stands without its end. */
static bool take_line_byte(struct line *line, char byte)
{
    if (byte != '\n') {
        if (line->length < LINE_BYTES - 1)
            line->text[line->length] = byte;
        line->length++;
        return false;
    }
    if (line->length > 0 && line->length < LINE_BYTES && line->text[line->length - 1] == '\r')
        line->length--;
    line->text[line->length < LINE_BYTES ? line->length : LINE_BYTES - 1] = '\0';
    return true;
}

static bool starts(const struct line *line, const char *text)
{
    return strncasecmp(line->text, text, strlen(text)) == 0;
}

static bool end_head_line(struct stream *stream)
{
    struct line *line = &stream->control;
    if (stream->status == 0) {
        stream->status = starts(line, "HTTP/1.") ? atoi(line->text + strlen("HTTP/1.x ")) : 0;
        return stream->status != 0;
    }
    if (starts(line, "Transfer-Encoding: chunked"))
        stream->is_chunked = true;
    else if (starts(line, "Content-Length: "))
        stream->left = strtoull(line->text + strlen("Content-Length: "), NULL, 10);
    else if (starts(line, "Connection: close"))
        stream->closes = true;
    else if (line->length == 0)
        stream->part = stream->is_chunked ? CHUNK_SIZE : BODY;
    return true;
}

static bool end_size_line(struct stream *stream)
{
    char *end;
    if (stream->control.length == 0)
        return true; /* the end of the chunk before */
    stream->left = strtoull(stream->control.text, &end, 16);
    stream->part = stream->left == 0 ? TRAILER : CHUNK_DATA;
    return end != stream->control.text;
}

static void take_body_byte(struct stream *stream, char byte)
{
    stream->left--;
    if (!take_line_byte(&stream->event, byte))
        return;
    if (stream->status == 200 && starts(&stream->event, "data: ")) {
        if (starts(&stream->event, "data: {\"error\""))
            load.errors++;
        else if (!starts(&stream->event, "data: [DONE]"))
            stream->num_events++;
    }
    stream->event.length = 0;
}

/* Takes a byte of the head or of what stands around the chunks. */
static bool take_control_byte(struct stream *stream, char byte, bool *is_done)
{
    bool is_sound = true;
    if (!take_line_byte(&stream->control, byte))
        return true;
    if (stream->part == HEAD)
        is_sound = end_head_line(stream);
    else if (stream->part == CHUNK_SIZE)
        is_sound = end_size_line(stream);
    else
        *is_done = stream->control.length == 0;
    stream->control.length = 0;
    return is_sound;
}

static bool take_bytes(struct stream *stream, const char *bytes, size_t length, bool *is_done)
{
    for (size_t i = 0; i < length; i++) {
        if (*is_done)
            return false; /* nothing was asked for that could follow */
        if (stream->part != CHUNK_DATA && stream->part != BODY) {
            if (!take_control_byte(stream, bytes[i], is_done))
                return false;
        } else {
            take_body_byte(stream, bytes[i]);
            if (stream->left == 0 && stream->part == CHUNK_DATA)
                stream->part = CHUNK_SIZE;
        }
        *is_done |= stream->part == BODY && stream->left == 0;
    }
    return true;
}

static void record_events(struct stream *stream, uint64_t now)
{
    bool is_first = stream->num_seen == 0;
    if (stream->num_events == stream->num_seen)
        return;
    record(is_first ? &load.ttfts : &load.gaps, now - stream->last_us);
    load.events += stream->num_events - stream->num_seen;
    stream->num_seen = stream->num_events;
    stream->last_us = now;
}

static void end_answer(struct stream *stream)
{
    if (stream->status == 200) {
        load.requests++;
        load.events_done += stream->num_events;
    } else if (load.errors++ == 0) {
        fprintf(stderr, "sse_load: the first error is a status %d\n", stream->status);
    }
    if (stream->closes) {
        open_stream(stream);
    } else {
        begin_request(stream);
        watch(stream, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
}

/* Reads once; false where the connection is gone or speaks no HTTP. */
static bool receive_some(struct stream *stream)
{
    static char buffer[READ_BYTES];
    bool is_done = false;
    ssize_t received = recv(stream->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0)
        return errno == EAGAIN || errno == EINTR;
    if (received == 0 || !take_bytes(stream, buffer, (size_t)received, &is_done))
        return false;
    record_events(stream, now_us());
    if (is_done)
        end_answer(stream);
    return true;
}

static void serve(struct stream *stream, uint32_t events)
{
    if (!(events & EPOLLIN ? receive_some(stream) : send_rest(stream))) {
        load.errors++;
        open_stream(stream);
    }
}

static void make_request(char **arguments, const char *header)
{
    static char body[1 << 20];
    FILE *file = fopen(arguments[4], "rb");
    if (file == NULL)
        fail(arguments[4]);
    size_t length = fread(body, 1, sizeof body, file);
    fclose(file);
    FILE *request = open_memstream(&load.request, &load.request_length);
    fprintf(request,
            "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
            "Content-Length: %zu\r\n%s%s\r\n",
            arguments[3], arguments[1], arguments[2], length, header, *header ? "\r\n" : "");
    fwrite(body, 1, length, request);
    fclose(request);
}

static void run_until(uint64_t end)
{
    struct epoll_event ready[MAX_READY];
    for (uint64_t now = now_us(); now < end; now = now_us()) {
        int count = epoll_wait(load.epoll, ready, MAX_READY, (int)((end - now) / 1000) + 1);
        for (int i = 0; i < count; i++)
            serve(ready[i].data.ptr, ready[i].events);
    }
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (argc < 7 || argc > 8 || atoi(argv[5]) < 1 || atof(argv[6]) <= 0 ||
        getaddrinfo(argv[1], argv[2], &hints, &load.address) != 0)
        fail("arguments are HOST PORT PATH BODY_FILE STREAMS SECONDS [HEADER]");
    make_request(argv, argc == 8 ? argv[7] : "");
    size_t num_streams = (size_t)atoi(argv[5]);
    struct stream *streams = calloc(num_streams, sizeof *streams);
    load.epoll = epoll_create1(0);
    if (streams == NULL || load.epoll < 0)
        fail("set-up");
    uint64_t start = now_us();
    for (size_t i = 0; i < num_streams; i++)
        open_stream(&streams[i]);
    run_until(start + (uint64_t)(atof(argv[6]) * 1e6));
    print_figures((double)(now_us() - start) / 1e6);
    return 0;
}
