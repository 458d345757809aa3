/* proctree.h - CPU time and memory of a process and all its descendants (part of loadgen.c). */
#ifndef BENCH_PROCTREE_H
#define BENCH_PROCTREE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    double cpu_ns;    /* time on a CPU, from schedstat: exact, unlike utime and stime */
    long rss_kb;      /* resident now */
    long peak_kb;     /* resident at most, since the last reset */
    long leaf_rss_kb; /* resident in processes without children: workers, not who watches them */
    int processes;
} usage_t;

/* 0, or -1 when there is no such file (a thread that ended meanwhile). */
static int read_small(const char *path, char *text, size_t cap) {
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, cap - 1);
    close(fd);
    if (n < 0)
        return -1;
    text[n] = 0;
    return 0;
}

/* Also makes the kernel forget the peak, if asked. */
static long add_memory(int pid, usage_t *u, int reset_peak) {
    char path[64], line[256];
    long value, rss = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %ld", &value) == 1)
            u->peak_kb += value;
        else if (sscanf(line, "VmRSS: %ld", &value) == 1)
            rss = value;
    }
    if (f)
        fclose(f);
    u->rss_kb += rss;
    if (reset_peak) {
        snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
        int fd = open(path, O_WRONLY);
        if (fd >= 0) {
            if (write(fd, "5", 1) != 1)
                perror(path);
            close(fd);
        }
    }
    return rss;
}

static void add_tree(int pid, usage_t *u, int reset_peak) {
    char tasks[64], path[512], text[8192];
    int children = 0;
    struct dirent *task;
    long rss = add_memory(pid, u, reset_peak);
    u->processes++;
    snprintf(tasks, sizeof tasks, "/proc/%d/task", pid);
    DIR *d = opendir(tasks);
    while (d && (task = readdir(d))) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/schedstat", tasks, task->d_name);
        if (read_small(path, text, sizeof text) == 0)
            u->cpu_ns += strtod(text, NULL);
        snprintf(path, sizeof path, "%s/%s/children", tasks, task->d_name);
        if (read_small(path, text, sizeof text) < 0)
            continue;
        char *p = text, *end;
        for (long child; child = strtol(p, &end, 10), end != p; p = end, children++)
            add_tree(child, u, reset_peak);
    }
    if (d)
        closedir(d);
    if (!children)
        u->leaf_rss_kb += rss;
}

/* Without a pid everything is 0. */
static usage_t usage_of(int pid, int reset_peak) {
    usage_t u = {0};
    if (pid)
        add_tree(pid, &u, reset_peak);
    return u;
}

#endif
