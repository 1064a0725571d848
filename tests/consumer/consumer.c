/* SPDX-License-Identifier: MIT */
/* What a C service does with rthooks; prints the version it runs on. */

#include <rthooks/context.h>
#include <rthooks/label.h>
#include <rthooks/loop.h>
#include <rthooks/rthooks.h>
#include <rthooks/task.h>

#include <stdio.h>

static void work(void *done)
{
    *(int *)done += 1;
}

/* How often it worked: each time on somebody's account. */
static int labelled(const char *tenant)
{
    const char *const pairs[] = {"queue", "mail"};
    struct rth_labels *labels = NULL;
    struct rth_context_token token;
    int done = 0;
    if (rth_labels_new(pairs, 2, &labels) < 0)
        return 0;
    RTH_WITH_LABELS("handler", "/checkout", "tenant", tenant) {
        struct rth_context *context = rth_context_current();
        if (context != NULL && rth_context_attach(context, &token) == 0) {
            rth_do(labels, work, &done);
            rth_context_detach(&token);
        }
        rth_context_unref(context);
        RTH_WITH_LABELS("step", "pay")
            work(&done);
    }
    rth_labels_free(labels);
    return rth_context_current() == NULL ? done : 0;
}

static int count_bytes(void *userdata, const void *data, size_t size_bytes)
{
    (void)data;
    *(size_t *)userdata += size_bytes;
    return 0;
}

/* What it holds, and the profile of it as text. */
static int profiled(void)
{
    struct rth_profile *sockets = NULL;
    struct rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
    size_t bytes = 0;
    struct rth_sink_callback sink = {count_bytes, &bytes};
    opts.debug = 1;
    if (rth_profile_new("sockets", &sockets) < 0 || rth_profile_add(sockets, &bytes) < 0)
        return 0;
    if (rth_profile_count(sockets) != 1 || rth_profile_write("sockets", &opts, &sink) < 0)
        return 0;
    rth_profile_remove(sockets, &bytes);
    return rth_profile_count(sockets) == 0 && bytes > 0 && rth_cpu_hz_set(99) == 0;
}

/* Work that is queued, and a loop. */
static int tasked(void)
{
    struct rth_task *task = NULL;
    struct rth_loop *loop = NULL;
    if (rth_task_new("mail", &task) < 0 || rth_task_start(task) < 0 || rth_task_pause(task) < 0)
        return 0;
    rth_task_end(task);
    if (rth_task_start(task) == 0 || rth_loop_new("main", &loop) < 0)
        return 0;
    rth_loop_tick(loop, 1000, -1);
    rth_loop_free(loop);
    return 1;
}

int main(void)
{
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "consumer";
    opts.admin = "off";
    int error = rth_start(&opts);
    if (error < 0) {
        fprintf(stderr, "rth_start: %s\n", rth_strerror(error));
        return 1;
    }
    if (labelled("acme") != 2 || !profiled() || !tasked())
        return 1;
    printf("rthooks %s\n", rth_version());
    return rth_stop() == 0 ? 0 : 1;
}
