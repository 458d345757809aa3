/* body.h - a request body with the shape of a coding agent's (part of loadgen.c).
 *
 * Members in the order in which Claude Code sends them: model, messages, system, tools, metadata,
 * max_tokens, stream last; text full of escapes, as source code is.
 */
#ifndef BENCH_BODY_H
#define BENCH_BODY_H

#include "common.h"

#define TOOLS_FROM_BYTES 16384 /* smaller bodies have no room for tools */
#define TURN_BYTES_MAX 3000

static void add_tools(buffer_t *b) {
    static const char *names[] = {"Bash", "Read", "Edit", "Write", "Glob", "Grep", "Task",
            "WebFetch", "TodoWrite", "NotebookEdit"};
    buffer_text(b, ",\"tools\":[");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        b->len += sprintf(buffer_room(b, 2048),
                "%s{\"name\":\"%s\",\"description\":\"Executes the %s tool.\\n\\nUsage notes:\\n"
                "  - Always quote file paths that contain spaces with double quotes (e.g., cd "
                "\\\"path with spaces/file.txt\\\")\\n  - Results longer than 30000 characters are "
                "truncated.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"command\":{"
                "\"type\":\"string\",\"description\":\"The command\"},\"timeout\":{\"type\":"
                "\"number\"},\"stream\":{\"type\":\"boolean\"},\"model\":{\"type\":\"string\"}},"
                "\"required\":[\"command\"],\"additionalProperties\":false}}",
                i ? "," : "", names[i], names[i]);
    buffer_text(b, "]");
}

/* A tool call and its result: a piece of source code, escaped as JSON. */
static void add_turn(buffer_t *b, int i) {
    b->len += sprintf(buffer_room(b, 1024),
            ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"I'll look at the "
            "file.\"},{\"type\":\"tool_use\",\"id\":\"toolu_mock%08d\",\"name\":\"Read\","
            "\"input\":{\"file_path\":\"src/app_%d.py\"}}]},{\"role\":\"user\",\"content\":[{"
            "\"type\":\"tool_result\",\"tool_use_id\":\"toolu_mock%08d\",\"content\":\"",
            i, i, i);
    for (int k = 0; k < 6; k++)
        buffer_text(b,
                "    def handle(self, request: \\\"Request\\\") -> None:\\n        "
                "\\\"\\\"\\\"Return {\\\\\\\"ok\\\\\\\": true} \\u2014 see "
                "[docs](https://example.invalid/a?b=1&c=2).\\\"\\\"\\\"\\n        if request.path "
                "in self.routes: return self.routes[request.path](request)\\n");
    buffer_text(b, "\"}]}");
}

/* About want bytes of JSON (exactly, from 1 KB on). */
static buffer_t make_body(size_t want, int stream) {
    buffer_t b = {0}, tail = {0};
    buffer_text(&tail, "\"}],\"system\":[{\"type\":\"text\",\"text\":\"You are a coding agent.\","
                       "\"cache_control\":{\"type\":\"ephemeral\"}}]");
    if (want >= TOOLS_FROM_BYTES)
        add_tools(&tail);
    buffer_text(&tail, ",\"metadata\":{\"user_id\":\"user_mock_session_mock\"},"
                       "\"max_tokens\":32000,\"temperature\":1");
    if (stream)
        buffer_text(&tail, ",\"stream\":true");
    buffer_text(&tail, "}");
    buffer_text(&b, "{\"model\":\"claude-sonnet-4-5-20250929\",\"messages\":[{\"role\":\"user\","
                    "\"content\":[{\"type\":\"text\",\"text\":\"Please fix the failing test.\"}]}");
    for (int i = 0; b.len + tail.len + TURN_BYTES_MAX < want; i++)
        add_turn(&b, i);
    buffer_text(&b, ",{\"role\":\"assistant\",\"content\":\"ok\"},"
                    "{\"role\":\"user\",\"content\":\"");
    for (size_t i = 0; b.len + tail.len < want; i++)
        buffer_add(&b, &"plain words here "[i % 17], 1);
    buffer_add(&b, tail.data, tail.len);
    buffer_free(&tail);
    return b;
}

#endif
