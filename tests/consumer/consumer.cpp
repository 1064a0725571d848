/* SPDX-License-Identifier: MIT */
/* The same from C++17. */

#include <rthooks/rthooks.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

// True when an exception out of labelled blocks leaves nothing behind.
static bool labelled(const std::string &tenant)
{
    try {
        RTH_WITH_LABELS("handler", "/checkout") {
            rthooks::label_scope scope("tenant", tenant.c_str());
            rthooks::context_scope again(rthooks::context::current());
            throw std::runtime_error("out of stock");
        }
    } catch (const std::runtime_error &) {
        return rthooks::context::current().get() == nullptr;
    }
    return false;
}

// A session counts itself as long as it lives.
struct session {
    explicit session(rth_profile *sessions) : counted(sessions, this)
    {
    }
    rthooks::profile_value counted;
};

static bool profiled()
{
    rth_profile *sessions = nullptr;
    std::string text;
    rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
    opts.debug = 1;
    rth_sink_callback sink = {[](void *userdata, const void *data, size_t size_bytes) {
                                  static_cast<std::string *>(userdata)->append(
                                      static_cast<const char *>(data), size_bytes);
                                  return 0;
                              },
                              &text};
    if (rth_profile_new("sessions", &sessions) < 0)
        return false;
    {
        session one(sessions), two(sessions);
        if (one.counted.error() != 0 || rth_profile_count(sessions) != 2 ||
            rth_profile_write("sessions", &opts, &sink) < 0)
            return false;
    }
    return rth_profile_count(sessions) == 0 && text.find("sessions profile: total 2\n") == 0;
}

int main()
{
    rth_opts opts = RTH_OPTS_INIT;
    opts.service = "consumer";
    opts.admin = "off";
    rth_status status = RTH_STATUS_INIT;
    if (rth_start(&opts) < 0 || rth_status_read(&status) < 0 || !status.running)
        return 1;
    if (!labelled("acme") || !profiled())
        return 1;
    std::printf("rthooks %s\n", rth_version());
    return rth_stop() == 0 ? 0 : 1;
}
